"""The phases of one number: a row of schedules that is moved by pointer and by keyboard, each with its fields."""

from __future__ import annotations

__all__ = ["Phases"]

from typing import Any, final

from nicegui import ui
from nicegui.elements.mixins.sortable_element import SortableElement

from warmdown.studio.draft.catalogue import example_of, path_of
from warmdown.studio.draft.edits import add_phase, move_phase, piece_at, remove_phase, replace_phase
from warmdown.studio.draft.fields import shape
from warmdown.studio.draft.opening import with_targets
from warmdown.studio.draft.pieces import Piece
from warmdown.studio.page.asking import NEEDS_YES
from warmdown.studio.page.edit.choose import Chooser
from warmdown.studio.page.edit.inputs import Inputs
from warmdown.studio.page.parts import (
    icon_button,
    marked,
    menu_item,
    paragraph,
    plain_button,
    spark,
    tag,
)
from warmdown.studio.page.state import Studio
from warmdown.studio.preview.spans import span_text, spans

CLASSES = [
    f"torch.optim.lr_scheduler.{name}"
    for name in (
        "ConstantLR", "CosineAnnealingLR", "CosineAnnealingWarmRestarts", "CyclicLR", "ExponentialLR", "LinearLR",
        "MultiStepLR", "OneCycleLR", "PolynomialLR", "StepLR",
    )
] + [
    f"transformers.get_{name}_schedule_with_warmup"
    for name in ("constant", "cosine", "linear", "polynomial_decay")
] + ["timm.scheduler.CosineLRScheduler", "timm.scheduler.StepLRScheduler"]  # fmt: skip
"""Paths that are offered while one is typed; any other can be typed as well."""


@final
class Phases:
    """The list of phases of the track that is shown.

    Args:
        studio: The tab.
        inputs: Where its fields are kept.
    """

    def __init__(self, studio: Studio, inputs: Inputs) -> None:
        self.studio = studio
        self.inputs = inputs
        self.spans: list[Any] = []
        self.asked: dict[str, tuple[str, Any]] = {}

    def build(self) -> None:
        """Build the list."""
        studio, track = self.studio, self.studio.track
        phases = studio.draft.tracks[track].phases
        self.spans, self.asked = [], {}
        with SortableElement("ol").classes("phases") as rows:
            rows.props["aria-label"] = "Phases, in order"
            for number, piece in enumerate(phases):
                self._row(number, piece, len(phases))
        if len(phases) > 1:
            rows.make_sortable(
                handle=".grip",
                ghost_class="ghost",
                on_end=lambda event: self._move(event.old_index, event.new_index),
            )
        with tag("div", classes="line").style("margin-top: 10px"):
            plain_button("Add phase", self._choose_more, icon="add", mark="add-phase")
        self.show()

    def show(self) -> None:
        """Show beside each phase when it is."""
        studio = self.studio
        told = spans(studio.draft.tracks[studio.track], studio.plan) if studio.plan else {}
        for number, span in enumerate(self.spans):
            text = span_text(told[number]) if number in told else ""
            if span._text != text:
                span._text = text
                span.update()

        for key, (_, place) in self.asked.items():
            self._ask(key, place)

    def _row(self, number: int, piece: Piece, count: int) -> None:
        is_open = number == self.studio.open_phase
        with tag("li", classes="phase open" if is_open else "phase"):
            with tag("div", classes="head"):
                if count > 1:
                    with tag("span", classes="grip", aria_hidden="true", title="Drag to move"):
                        ui.icon("drag_indicator", size="18px")
                self._title(number, piece, is_open)
                self._tools(number, piece, count)
            if is_open:
                with tag("div", classes="body stack"):
                    self._body(number, piece)

    def _title(self, number: int, piece: Piece, is_open: bool) -> None:
        name = self._name(piece)
        button = (
            ui.button(on_click=lambda: self._toggle(number), color=None)
            .props("flat dense no-caps")
            .classes("title")
        )
        button.props["aria-expanded"] = "true" if is_open else "false"
        marked(button, f"phase-{number}")
        with button:
            if not piece.is_foreign and (path := path_of(piece) or path_of(example_of(piece.kind))):
                spark(path)
            tag("span", name, "what")
            self.spans.append(tag("span", "", "span"))

    def _tools(self, number: int, piece: Piece, count: int) -> None:
        name = self._name(piece)
        if count > 1:
            up = icon_button(
                "arrow_upward",
                f"Move {name} earlier",
                lambda: self._move(number, number - 1),
                f"up-{number}",
            )
            down = icon_button(
                "arrow_downward",
                f"Move {name} later",
                lambda: self._move(number, number + 1),
                f"down-{number}",
            )
            up.set_enabled(number > 0)
            down.set_enabled(number + 1 < count)
        with (
            icon_button("more_vert", f"More for {name}", lambda: None, f"more-{number}"),
            ui.menu(),
        ):
            menu_item(
                "Choose another schedule", lambda: self._choose_other(number), f"other-{number}"
            )
            menu_item("Duplicate", lambda: self._duplicate(number, piece), f"duplicate-{number}")
            menu_item("Remove", lambda: self._remove(number), f"remove-{number}")

    def _body(self, number: int, piece: Piece) -> None:
        key = f"t{self.studio.track}.p{number}"
        if piece.is_foreign:
            self._class(key, piece)
        elif known := self.studio.shape(piece):
            paragraph(known.summary, "small quiet")
        self.inputs.piece(key, piece, lambda changed: self._replace(number, changed))
        known = self.studio.shape(piece)
        if known and known.takes_more:
            self._more_parameters(key)
        if len(self.studio.draft.tracks[self.studio.track].phases) > 1 or piece.name:
            self.inputs.text(
                f"{key}.@name",
                "Name of the phase",
                piece.name,
                placeholder="read off its direction",
            )

    def _class(self, key: str, piece: Piece) -> None:
        element = self.inputs.text(
            f"{key}.@path", "Class path", piece.path, placeholder="torch.optim.lr_scheduler.MultiStepLR",
            help="Module and class. Tab takes the suggestion.",
        )  # fmt: skip
        element.props("debounce=350").set_autocomplete(CLASSES)
        element.classes("wide")
        known = self.studio.shape(piece)
        if known:
            paragraph(known.summary, "small quiet")
        self.asked[key] = ("", tag("div", classes="stack"))

    def _ask(self, key: str, place: Any) -> None:
        """Ask for a yes, while the class at a key needs one."""
        piece = piece_at(self.studio.draft, key)
        path = piece.path if piece else ""
        is_asked = bool(path) and self.studio.mistakes.get(f"{key}.@path", "") == NEEDS_YES
        if self.asked[key] == (path if is_asked else "", place):
            return
        self.asked[key] = (path if is_asked else "", place)
        place.clear()
        if is_asked:
            with place:
                self._question(path)

    def _question(self, path: str) -> None:
        with tag("div", classes="finding warning", role="group", aria_label="Run this class?"):
            ui.icon("gpp_maybe")
            with tag("div", classes="stack"):
                paragraph(
                    f"“{path[:200]}” is not of a library that warmdown knows. Looking at it "
                    f"imports and runs its code, "
                    "in a process of its own, with your rights. Say yes only if you know where it "
                    "comes from."
                )
                plain_button(
                    "Yes, run it", lambda: self.studio.trust(path), icon="check", mark="yes"
                )

    def _more_parameters(self, key: str) -> None:
        with tag("div", classes="line"):
            name = (
                ui.input("Parameter name")
                .props("outlined dense hide-bottom-space autocomplete=off")
                .classes("grow")
            )
            marked(name, "more-name")

            def add() -> None:
                word = (name.value or "").strip()
                if word.isidentifier():
                    self.studio.type(f"{key}.{word}", " ")
                    self.studio.refresh()

            plain_button("Add parameter", add, icon="add", mark="more-add")

    def _toggle(self, number: int) -> None:
        self.studio.open_phase = -1 if self.studio.open_phase == number else number
        self.studio.say("draft")

    def _move(self, number: int, to: int) -> None:
        studio = self.studio
        last = len(studio.draft.tracks[studio.track].phases) - 1
        to = min(max(to, 0), last)
        if studio.open_phase == number:
            studio.open_phase = to
        # the one that can be pressed again
        mark = f"up-{to}" if to == last or 0 < to < number else f"down-{to}"
        studio.change(move_phase(studio.draft, studio.track, number, to))
        studio.focus(mark)

    def _replace(self, number: int, piece: Piece) -> None:
        self.studio.change(replace_phase(self.studio.draft, self.studio.track, number, piece))

    def _duplicate(self, number: int, piece: Piece) -> None:
        self.studio.change(add_phase(self.studio.draft, self.studio.track, piece, number + 1))

    def _remove(self, number: int) -> None:
        self.studio.change(remove_phase(self.studio.draft, self.studio.track, number))
        self.studio.focus(f"phase-{max(number - 1, 0)}")

    def _choose_more(self) -> None:
        def add(piece: Piece) -> None:
            studio = self.studio
            if _drives_several(piece):
                studio.change(with_targets(studio.draft, piece))
                return
            studio.open_phase = len(studio.draft.tracks[studio.track].phases)
            studio.change(add_phase(studio.draft, studio.track, piece))
            studio.focus(f"phase-{studio.open_phase}")

        Chooser(self.studio, add, "Choose the next phase")

    def _choose_other(self, number: int) -> None:
        def put(piece: Piece) -> None:
            if _drives_several(piece):
                self.studio.change(with_targets(self.studio.draft, piece))
                return
            self.studio.open_phase = number
            self._replace(number, piece)
            self.studio.focus(f"phase-{number}")

        Chooser(self.studio, put, "Choose another schedule")

    def _name(self, piece: Piece) -> str:
        if piece.is_foreign:
            return piece.path.rpartition(".")[2] or "class"
        known = self.studio.shape(piece)
        return known.label if known else piece.kind


def _drives_several(piece: Piece) -> bool:
    known = None if piece.is_foreign else shape(piece.kind)
    return known is not None and known.drives_several
