"""One field of the page for each parameter: typed, told, and marked when something is wrong with it."""

from __future__ import annotations

__all__ = ["Inputs"]

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, final

from nicegui import ui

from warmdown.studio.draft.fields import Field, shapes
from warmdown.studio.draft.pieces import Given, Piece
from warmdown.studio.page.parts import icon_button, marked, menu_item, tag
from warmdown.studio.page.state import Studio
from warmdown.studio.preview.resolved import PLACEHOLDERS, resolved

_WIDE = ("piece", "pieces", "value", "numbers", "durations", "counts")
_HINTS = {
    "duration": "A number of updates, or 5%, 10ep, 2e9tok, 1h30m, rest.",
    "durations": "Separated by commas: updates, or shares such as 50%.",
    "numbers": "Separated by commas.",
    "counts": "Whole numbers, separated by commas.",
}


@final
class Inputs:
    """The fields that are on the page now, by key.

    Args:
        studio: Whose fields.
    """

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        self.by_key: dict[str, Any] = {}
        self._hints: dict[int, str] = {}
        self._shown: dict[str, tuple[str, str, str]] = {}

    def forget(self, prefix: str) -> None:
        """Forget the fields of a part that is built anew."""
        for key in [key for key in self.by_key if key.startswith(prefix)]:
            del self.by_key[key]
            self._shown.pop(key, None)
        self._hints = {
            element.id: self._hints[element.id]
            for element in self.by_key.values()
            if element.id in self._hints
        }

    def text(
        self, key: str, label: str, value: str, *, placeholder: str = "", help: str = ""
    ) -> ui.input:
        """Make a field for a text."""
        element = ui.input(
            label, value=value, on_change=lambda event: self.studio.type(key, event.value or "")
        )
        element.props(
            "outlined dense hide-bottom-space hide-hint autocomplete=off spellcheck=false"
        )
        if placeholder:
            element.props["placeholder"] = placeholder
            element.props("stack-label")
        self._hold(key, element, help)
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
        element.props("outlined dense hide-bottom-space hide-hint options-dense")
        self._hold(key, element, help)
        return element

    def piece(self, key: str, piece: Piece, change: Callable[[Piece], None]) -> None:
        """Make the fields of a schedule."""
        known = self.studio.shape(piece)
        fields = known.fields if known else ()
        with tag("div", classes="fields"):
            for field in fields:
                self._field(f"{key}.{field.name}", field, piece, change)
            for name, value in piece.given:
                if not any(field.name == name for field in fields) and isinstance(value, str):
                    self._extra(f"{key}.{name}", name, value, piece, change)

    def show(self) -> None:
        """Show beside each field what is wrong with it, or which number it comes to."""
        run = self.studio.run
        for key, element in self.by_key.items():
            wrong, warning = self._mistake(key), self.studio.warnings.get(key, "")
            told = (
                resolved(str(element.value), run)
                if isinstance(element, ui.input) and not wrong
                else ""
            )
            if self._shown.get(key, ("", "", "")) != (wrong, warning, told):
                self._shown[key] = (wrong, warning, told)
                self._mark(element, wrong, warning, told)

    def _hold(self, key: str, element: Any, help: str = "") -> None:
        element.without_auto_validation()  # what is wrong is told by the plan, not by the field
        self._hints[element.id] = element.props["hint"] = help
        self.by_key[key] = element
        marked(element, key)

    def _mark(self, element: Any, wrong: str, warning: str, told: str) -> None:
        element.error = wrong or None
        element.props["hide-hint"] = not warning
        element.props["hint"] = warning or self._hints.get(element.id, "")
        element.classes(add="warned") if warning else element.classes(remove="warned")
        if isinstance(element, ui.input):
            element.props["suffix"] = told

    def _mistake(self, key: str) -> str:
        """Return what is wrong with a field, or with a part of what it holds: ``t0.p0.at[2]``."""
        for wrong, what in self.studio.mistakes.items():
            if wrong == key or wrong.startswith(f"{key}["):
                return what
        return ""

    def _field(self, key: str, field: Field, piece: Piece, change: Callable[[Piece], None]) -> None:
        value = piece.get(field.name)
        if field.kind == "piece" or isinstance(value, Piece):
            self._nested(key, field, value, piece, change)
        elif field.kind == "pieces" or isinstance(value, tuple):
            self._several(key, field, value if isinstance(value, tuple) else (), piece, change)
        elif field.kind == "choice":
            help = self._help(field)
            options = {choice: choice.replace("_", " ") for choice in field.choices}
            chosen = value if isinstance(value, str) and value in options else field.default
            self.choice(key, _capital(field.label), chosen or field.choices[0], options, help=help)
        elif field.kind == "flag":
            self._flag(key, field, str(value or field.default or "no"))
        else:
            self._typed(key, field, str(value or ""), is_foreign=piece.is_foreign)

    def _typed(self, key: str, field: Field, value: str, *, is_foreign: bool) -> None:
        label = _capital(field.label if field.default is not None else f"{field.label} (required)")
        element = self.text(
            key, label, value, placeholder=field.default or "", help=self._help(field)
        )
        if field.default is None:
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
            run = self.studio.run
            for name in PLACEHOLDERS:
                told = resolved(name, run) or "not known yet"
                menu_item(f"{name}  {told}", partial(add, name))

    def _flag(self, key: str, field: Field, value: str) -> None:
        element = ui.checkbox(
            _capital(field.label),
            value=value.lower() in ("yes", "true", "on"),
            on_change=lambda event: self.studio.type(key, "yes" if event.value else "no"),
        ).props("dense")
        if field.help:
            with element:
                ui.tooltip(field.help)
        marked(element, key)

    def _nested(
        self,
        key: str,
        field: Field,
        value: Given | None,
        piece: Piece,
        change: Callable[[Piece], None],
    ) -> None:
        """Make the fields of a schedule inside a schedule; its kind is chosen from a list."""
        held = value if isinstance(value, Piece) else Piece("")

        def put(inner: Piece) -> None:
            given = {**dict(piece.given), field.name: inner}
            change(replace(piece, given=tuple(given.items())))

        with tag("fieldset", classes="wide stack"):
            tag("legend", _capital(field.label), "small quiet")
            self._kind(key, field.label, held, put)
            if held.kind:
                with tag("div", classes="inner"):
                    self.piece(key, held, put)

    def _several(
        self,
        key: str,
        field: Field,
        held: tuple[Piece, ...],
        piece: Piece,
        change: Callable[[Piece], None],
    ) -> None:
        def put_all(pieces: tuple[Piece, ...]) -> None:
            change(replace(piece, given=tuple({**dict(piece.given), field.name: pieces}.items())))

        with tag("fieldset", classes="wide stack"):
            tag("legend", _capital(field.label), "small quiet")
            for number, one in enumerate(held):

                def put(inner: Piece, number: int = number) -> None:
                    put_all((*held[:number], inner, *held[number + 1 :]))

                with tag("div", classes="line"):
                    self._kind(f"{key}[{number}]", f"{field.label} {number + 1}", one, put)
                    icon_button(
                        "close",
                        f"Remove {field.label} {number + 1}",
                        partial(put_all, (*held[:number], *held[number + 1 :])),
                    )
                with tag("div", classes="inner"):
                    self.piece(f"{key}[{number}]", one, put)
            more = f"Add to {field.label}"
            ui.button(
                more, icon="add", on_click=lambda: put_all((*held, Piece("cosine"))), color=None
            ).props("flat dense no-caps")

    def _kind(self, key: str, label: str, held: Piece, put: Callable[[Piece], None]) -> None:
        options = {"": "choose …"} if not held.kind else {}
        options |= {
            kind: known.label for kind, known in shapes().items() if not known.drives_several
        }
        if held.is_foreign:
            options[held.kind] = held.path
        element = ui.select(options, label=f"{label}: shape", value=held.kind)
        element.on_value_change(lambda event: put(Piece(event.value)))
        element.props("outlined dense options-dense hide-bottom-space").classes("grow")
        self._hold(key, element)

    def _extra(
        self, key: str, name: str, value: str, piece: Piece, change: Callable[[Piece], None]
    ) -> None:
        """Make the field of a parameter that the signature does not name, with a way to take it out."""
        with tag("div", classes="wide line"):
            self.text(key, name, value).classes("grow")
            without = tuple((other, given) for other, given in piece.given if other != name)
            icon_button("close", f"Remove {name}", lambda: change(replace(piece, given=without)))

    @staticmethod
    def _help(field: Field) -> str:
        return " ".join(part for part in (field.help, _HINTS.get(field.kind, "")) if part)


def _capital(label: str) -> str:
    return label if len(label) == 1 else label[:1].upper() + label[1:]
