"""The fields of the form: one for each parameter, by the widget of its type, with its messages."""

from __future__ import annotations

from functools import partial
from typing import Any, final

from nicegui import ui

from warmdown.errors import WarmdownError
from warmdown.expressions import evaluate, has_placeholder, run_facts
from warmdown.formatting import count, number
from warmdown.run import Run
from warmdown.schedules.base import PlainData
from warmdown.studio.draft.fields import FormField, known_shapes
from warmdown.studio.draft.model import ScheduleDraft, Typed
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
    """The fields that are on the page now, by key.

    Args:
        studio: Whose fields.
    """

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        self.by_key: PlainData = {}
        self._helps: dict[str, str] = {}
        self._shown: dict[str, tuple[str, str, str]] = {}

    def clear(self) -> None:
        """Forget the fields, which are built again."""
        self.by_key, self._helps, self._shown = {}, {}, {}

    def text(
        self, key: str, label: str, value: str, *, placeholder: str = "", help: str = ""
    ) -> ui.input:
        """Make a field for a text."""
        element = ui.input(
            label, value=value, on_change=lambda event: self.studio.type(key, event.value or "")
        )
        element.props("autocomplete=off spellcheck=false")
        if placeholder:
            element.props["placeholder"] = placeholder
            element.props("stack-label")
        self._add(key, element, help)
        return element

    def choice(
        self, key: str, label: str, value: str, options: Any, *, help: str = ""
    ) -> ui.select:
        """Make a field with a list to choose from."""
        element = ui.select(
            options,
            label=label,
            value=value,
            on_change=lambda event: self.studio.type(key, event.value),
        )
        self._add(key, element.props("options-dense"), help)
        return element

    def schedule(self, key: str, schedule: ScheduleDraft) -> None:
        """Make the fields of a schedule."""
        shape = self.studio.shape(schedule)
        fields = shape.fields if shape else ()
        named = {field.name for field in fields}
        with tag("div", classes="fields"):
            for field in fields:
                self._field(f"{key}.{field.name}", field, schedule)
            for name, value in schedule.arguments:
                if name not in named and isinstance(value, str):
                    self._unnamed(f"{key}.{name}", name, value)

    def show(self) -> None:
        """Show beside each field what is wrong with it, or which number it comes to."""
        run = self.studio.run
        for key, element in self.by_key.items():
            wrong, warning = self._mistake(key), self.studio.warnings.get(key, "")
            number_text = ""
            if isinstance(element, ui.input) and not wrong:
                number_text = resolved(str(element.value), run)
            state = (wrong, warning, number_text)
            if self._shown.get(key, ("", "", "")) == state:
                continue
            self._shown[key] = state
            element.error = wrong or None
            element.props["hide-hint"] = not warning
            element.props["hint"] = warning or self._helps[key]
            element.classes(add="warned") if warning else element.classes(remove="warned")
            if isinstance(element, ui.input):
                element.props["suffix"] = number_text

    def _add(self, key: str, element: Any, help: str = "") -> None:
        element.without_auto_validation()  # the plan finds what is wrong, not the field
        element.props("outlined dense hide-bottom-space hide-hint")
        self._helps[key] = element.props["hint"] = help
        self.by_key[key] = element
        marked(element, key)

    def _mistake(self, key: str) -> str:
        """Return what is wrong with a field, or with a part of its value: ``t0.p0.at[2]``."""
        for wrong, what in self.studio.mistakes.items():
            if wrong == key or wrong.startswith(f"{key}["):
                return what
        return ""

    def _field(self, key: str, field: FormField, schedule: ScheduleDraft) -> None:
        value = schedule.get(field.name)
        text = value if isinstance(value, str) else ""
        help = " ".join(part for part in (field.help, _HINTS.get(field.kind, "")) if part)
        if field.kind == "schedule" or isinstance(value, ScheduleDraft):
            self._inner(key, field, value)
        elif field.kind == "schedules" or isinstance(value, tuple):
            self._several(key, field, value if isinstance(value, tuple) else ())
        elif field.kind == "choice":
            options = {choice: choice.replace("_", " ") for choice in field.choices}
            chosen = text if text in options else field.default or field.choices[0]
            self.choice(key, _capital(field.label), chosen, options, help=help)
        elif field.kind == "flag":
            self._flag(key, field, text or field.default or "no")
        else:
            self._typed(key, field, text, help, is_foreign=schedule.is_foreign)

    def _typed(
        self, key: str, field: FormField, value: str, help: str, *, is_foreign: bool
    ) -> None:
        is_required = field.default is None
        label = _capital(f"{field.label} (required)" if is_required else field.label)
        element = self.text(key, label, value, placeholder=field.default or "", help=help)
        if is_required:
            element.props["aria-required"] = "true"
        if field.kind in _WIDE:
            element.classes("wide")
        if is_foreign:
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

    def _flag(self, key: str, field: FormField, value: str) -> None:
        element = ui.checkbox(
            _capital(field.label),
            value=value.lower() in ("yes", "true", "on"),
            on_change=lambda event: self.studio.type(key, "yes" if event.value else "no"),
        ).props("dense")
        if field.help:
            with element:
                ui.tooltip(field.help)
        marked(element, key)

    def _inner(self, key: str, field: FormField, value: Typed | None) -> None:
        """Make the fields of a schedule inside a schedule; its kind is chosen from a list."""
        inner = value if isinstance(value, ScheduleDraft) else ScheduleDraft("")
        with tag("fieldset", classes="wide stack"):
            tag("legend", _capital(field.label), "small quiet")
            self._kind(key, field.label, inner)
            if inner.kind:
                with tag("div", classes="inner"):
                    self.schedule(key, inner)

    def _several(self, key: str, field: FormField, rows: tuple[ScheduleDraft, ...]) -> None:
        with tag("fieldset", classes="wide stack"):
            tag("legend", _capital(field.label), "small quiet")
            for number_of_row, row in enumerate(rows):
                row_key, label = f"{key}[{number_of_row}]", f"{field.label} {number_of_row + 1}"
                with tag("div", classes="line"):
                    self._kind(row_key, label, row)
                    icon_button("close", f"Remove {label}", partial(self.studio.remove, row_key))
                with tag("div", classes="inner"):
                    self.schedule(row_key, row)
            add = partial(self.studio.put, key, (*rows, ScheduleDraft("cosine")))
            more = ui.button(f"Add to {field.label}", icon="add", on_click=add, color=None)
            more.props("flat dense no-caps")

    def _kind(self, key: str, label: str, schedule: ScheduleDraft) -> None:
        options = {} if schedule.kind else {"": "choose …"}
        options |= {
            kind: shape.label for kind, shape in known_shapes().items() if not shape.drives_several
        }
        if schedule.is_foreign:
            options[schedule.kind] = schedule.path
        element = ui.select(options, label=f"{label}: shape", value=schedule.kind)
        element.on_value_change(lambda event: self.studio.put(key, ScheduleDraft(event.value)))
        self._add(key, element.props("options-dense").classes("grow"))

    def _unnamed(self, key: str, name: str, value: str) -> None:
        """Make the field of a parameter that no signature names, with a way to remove it."""
        with tag("div", classes="wide line"):
            self.text(key, name, value).classes("grow")
            icon_button("close", f"Remove {name}", partial(self.studio.put, key, ""))


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
