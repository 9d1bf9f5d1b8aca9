"""The fields of the form: one for each parameter, by the widget of its type, with its messages."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, final

from nicegui import ui

from warmdown.errors import WarmdownError
from warmdown.expressions import evaluate, has_placeholder, run_facts
from warmdown.formatting import count, number
from warmdown.run import Run
from warmdown.schedules.base import PlainData
from warmdown.studio.draft.document import Path, expanded, is_at, mark_of, typed
from warmdown.studio.draft.fields import FormField, known_shapes, shown
from warmdown.studio.page.parts import icon_button, marked, menu_item, tag
from warmdown.studio.page.state import Studio

PLACEHOLDERS = ("%LR%", "%EPOCHS%", "%STEPS_PER_EPOCH%", "%TOTAL_STEPS%", "%SCHEDULER_STEPS%")
"""The numbers of the run that OneTrainer's users know."""
_HINTS = {
    "duration": "A number of updates, or 5%, 10ep, 2e9tok, 1h30m, rest.",
    "durations": "Separated by commas: updates, or shares such as 50%.",
    "numbers": "Separated by commas.",
    "counts": "Whole numbers, separated by commas.",
}
_WIDE = ("value", "numbers", "durations", "counts")


@final
class Inputs:
    """The fields that are on the page now, by the marks of their paths.

    Args:
        studio: Whose fields.
    """

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        self.by_mark: PlainData = {}
        self._shown: dict[str, tuple[str, str, str]] = {}
        self._values: list[tuple[Path, ui.input]] = []

    def clear(self) -> None:
        """Forget the fields, which are built again."""
        self.by_mark, self._shown, self._values = {}, {}, []
        self.studio.shown_marks.clear()

    def value(
        self, path: Path, label: str, widget: str, *, placeholder: str = "", help: str = ""
    ) -> ui.input:
        """Make a field for the value at a path, which is typed as a text."""
        element = ui.input(
            label,
            value=shown(self.studio.get(path)),
            on_change=lambda event: self.studio.type(path, typed(widget, event.value or "")),
        )
        element.props("autocomplete=off spellcheck=false")
        if placeholder:
            element.props["placeholder"] = placeholder
            element.props("stack-label")
        self.add(path, element, help)
        self._values.append((path, element))
        return element

    def choice(self, path: Path, label: str, value: Any, options: Any, *, help: str = "") -> None:
        """Make a field with a list to choose from."""
        element = ui.select(
            options,
            label=label,
            value=value,
            on_change=lambda event: self.studio.type(path, event.value),
        )
        self.add(path, element.props("options-dense"), help)

    def schedule(self, path: Path) -> None:
        """Make the fields of the schedule at a path."""
        schedule = expanded(self.studio.get(path))
        shape = self.studio.shape_at(path)
        is_class = "class_path" in schedule
        home = (*path, "init_args") if is_class else path
        fields = shape.fields if shape else ()
        named = {field.name for field in fields}
        rest = expanded(schedule.get("init_args")) if is_class else {}
        with tag("div", classes="fields"):
            for field in fields:
                self._field((*home, field.name), field, is_class=is_class)
            for name in rest:
                if name not in named:
                    self._unnamed((*home, name), name)

    def follow(self) -> None:
        """Show the values of what was moved on the curve."""
        for path, element in self._values:
            if (text := shown(self.studio.get(path))) != element.value:
                element.value = text

    def show(self) -> None:
        """Show beside each field what is wrong with it, or which number it comes to."""
        run = self.studio.run
        for mark, element in self.by_mark.items():
            wrong, warning = self._mistake(mark), self.studio.warnings.get(mark, "")
            number_text = ""
            if isinstance(element, ui.input) and not wrong:
                number_text = resolved(str(element.value), run)
            state = (wrong, warning, number_text)
            if self._shown.get(mark, ("", "", "")) == state:
                continue
            self._shown[mark] = state
            element.error = wrong or None
            element.props["hint"] = warning
            element.classes(add="warned") if warning else element.classes(remove="warned")
            if isinstance(element, ui.input):
                element.props["suffix"] = number_text

    def add(self, path: Path, element: Any, help: str = "") -> None:
        """Show mistakes, warnings and help at a field."""
        mark = mark_of(path)
        element.without_auto_validation()  # the plan finds what is wrong, not the field
        element.props("outlined dense hide-bottom-space")
        if help:
            element.props["data-help"] = help
        self.by_mark[mark] = element
        self.studio.shown_marks.add(mark)
        marked(element, mark)

    def _mistake(self, mark: str) -> str:
        """Return what is wrong with a field, or with a part of its value."""
        found = (what for wrong, what in self.studio.mistakes.items() if is_at(wrong, mark))
        return next(found, "")

    def _field(self, path: Path, field: FormField, *, is_class: bool) -> None:
        label = _capital(field.label)
        help = " ".join(filter(None, (field.help, _HINTS.get(field.kind, ""))))
        value = self.studio.get(path)
        if field.kind == "schedule":
            self._inner(path, field)
        elif field.kind == "schedules":
            self._several(path, field)
        elif isinstance(value, Mapping) or (isinstance(value, list) and field.kind == "number"):
            self._inner(path, field)  # a schedule where a number would do
        elif field.kind == "choice":
            options = {choice: choice.replace("_", " ") for choice in field.choices}
            chosen = value if value in options else field.default or field.choices[0]
            self.choice(path, label, chosen, options, help=help)
        elif field.kind == "flag":
            self._flag(path, field, bool(field.default == "yes" if value is None else value))
        else:
            self._typed(path, field, help, is_class=is_class)

    def _typed(self, path: Path, field: FormField, help: str, *, is_class: bool) -> None:
        is_required = field.default is None
        label = _capital(f"{field.label} (required)" if is_required else field.label)
        element = self.value(path, label, field.kind, placeholder=field.default or "", help=help)
        if is_required:
            element.props["aria-required"] = "true"
        if field.kind in _WIDE:
            element.classes("wide")
        if is_class:
            with element.add_slot("append"):
                self._placeholders(element, field.label)

    def _placeholders(self, element: ui.input, label: str) -> None:
        """Offer the run's numbers, each with what it is now."""
        button = ui.button("%", color=None).props("flat dense no-caps size=sm").classes("icon")
        button.props["aria-label"] = f"Insert a number of the run into {label}"

        def add(text: str) -> None:
            element.set_value(f"{element.value or ''}{text}")

        with button, ui.menu() as menu:
            menu.props["aria-label"] = "Numbers of the run"
            for name in PLACEHOLDERS:
                value = resolved(name, self.studio.run) or "not known yet"
                menu_item(f"{name}  {value}", partial(add, name))

    def _flag(self, path: Path, field: FormField, value: bool) -> None:
        element = ui.checkbox(
            _capital(field.label),
            value=value,
            on_change=lambda event: self.studio.type(path, bool(event.value)),
        ).props("dense")
        if field.help:
            element.props["data-help"] = field.help
        marked(element, mark_of(path))

    def _inner(self, path: Path, field: FormField) -> None:
        """Make the fields of a schedule inside a schedule; its kind is chosen from a list."""
        with tag("fieldset", classes="wide stack"):
            tag("legend", _capital(field.label), "small quiet")
            self._kind(path, field.label)
            if self.studio.get(path) is not None:
                with tag("div", classes="inner"):
                    self.schedule(path)

    def _several(self, path: Path, field: FormField) -> None:
        rows = self.studio.get(path) or []
        with tag("fieldset", classes="wide stack"):
            tag("legend", _capital(field.label), "small quiet")
            for at in range(len(rows)):
                label = f"{field.label} {at + 1}"
                less = partial(self.studio.put, path, rows[:at] + rows[at + 1 :])
                with tag("div", classes="line"):
                    self._kind((*path, at), label)
                    icon_button("close", f"Remove {label}", less)
                with tag("div", classes="inner"):
                    self.schedule((*path, at))
            add = partial(self.studio.put, path, [*rows, {"kind": "cosine"}])
            more = ui.button(f"Add to {field.label}", icon="add", on_click=add, color=None)
            more.props("flat dense no-caps")

    def _kind(self, path: Path, label: str) -> None:
        schedule = expanded(self.studio.get(path))
        kind = schedule.get("kind", "class" if "class_path" in schedule else "")
        options = {} if kind else {"": "choose …"}
        options |= {
            word: shape.label for word, shape in known_shapes().items() if not shape.drives_several
        }
        if kind == "class":
            options[kind] = schedule["class_path"]
        element = ui.select(options, label=f"{label}: shape", value=kind)
        element.on_value_change(lambda event: self.studio.put(path, {"kind": event.value}))
        self.add((*path, "kind"), element.props("options-dense").classes("grow"))

    def _unnamed(self, path: Path, name: str) -> None:
        """Make the field of a parameter that no signature names, with a way to remove it."""
        with tag("div", classes="wide line"):
            self.value(path, name, "value").classes("grow")
            icon_button("close", f"Remove {name}", partial(self.studio.put, path, None))


def resolved(text: str, run: Run | None) -> str:
    """Return the number of a text in this run, as ``= 500``; nothing where it is written so.

    Example:
        >>> run = Run(total_steps=10_000, lr=3e-4)
        >>> resolved("5%", run), resolved("%TOTAL_STEPS% * 0.1", run), resolved("%LR%", run)
        ('= 500', '= 1,000', '= 3e-4')
    """
    plain = text.strip()
    if run is None or not plain or plain.isdecimal():
        return ""
    try:
        if has_placeholder(plain):
            value = evaluate(plain, run_facts(run))
            is_whole = value == int(value) and abs(value) >= 1
            return f"= {count(value) if is_whole else number(value)}"
        if not plain[0].isdigit() or plain[-1].isdigit():
            return ""
        measured = run.measure(plain)
    except WarmdownError:
        return ""
    return "" if measured is None else f"= {count(measured)}"


def _capital(label: str) -> str:
    return label if len(label) == 1 else label[:1].upper() + label[1:]
