"""The phases of one number: a row of schedules, moved by pointer or keyboard, with their fields."""

from __future__ import annotations

from functools import partial
from typing import Any, final

from nicegui import ui
from nicegui.elements.mixins.sortable_element import SortableElement

from warmdown.plot.formatting import count
from warmdown.studio.draft.catalogue import example_data, path_of
from warmdown.studio.draft.edits import get, insert, move, remove
from warmdown.studio.draft.model import ScheduleDraft
from warmdown.studio.draft.opening import schedule_draft
from warmdown.studio.page.edit.choose import open_gallery
from warmdown.studio.page.edit.inputs import Inputs
from warmdown.studio.page.parts import (
    icon_button,
    marked,
    menu_item,
    plain_button,
    set_text,
    spark,
    tag,
)
from warmdown.studio.page.state import NEEDS_YES, Studio
from warmdown.studio.preview.spans import spans

CLASSES = [
    f"torch.optim.lr_scheduler.{name}"
    for name in (
        "ConstantLR", "CosineAnnealingLR", "CosineAnnealingWarmRestarts", "CyclicLR",
        "ExponentialLR", "LinearLR", "MultiStepLR", "OneCycleLR", "PolynomialLR", "StepLR",
    )
] + [
    f"transformers.get_{name}_schedule_with_warmup"
    for name in ("constant", "cosine", "linear", "polynomial_decay")
] + ["timm.scheduler.CosineLRScheduler", "timm.scheduler.StepLRScheduler"]  # fmt: skip
"""Paths that are offered while one is typed; any other can be typed as well."""


@final
class PhaseList:
    """The list of phases of the target that is shown.

    Args:
        studio: The tab.
        inputs: Where its fields are kept.
    """

    def __init__(self, studio: Studio, inputs: Inputs) -> None:
        self.studio = studio
        self.inputs = inputs
        self.spans: list[Any] = []
        self.questions: dict[str, Any] = {}
        self.asked: dict[str, str] = {}

    def build(self) -> None:
        """Build the list."""
        phases = self.studio.draft.targets[self.studio.target].phases
        self.spans, self.questions, self.asked = [], {}, {}
        with SortableElement("ol").classes("phases") as rows:
            rows.props["aria-label"] = "Phases, in order"
            for number, phase in enumerate(phases):
                self._row(number, phase, len(phases))
        if len(phases) > 1:
            rows.make_sortable(
                handle=".grip",
                ghost_class="ghost",
                on_end=lambda event: self._move(event.old_index, event.new_index),
            )
        with tag("div", classes="line").style("margin-top: 10px"):
            add = partial(open_gallery, self.studio, "Choose the next phase")
            plain_button("Add phase", add, icon="add", mark="add-phase")
        self.show()

    def show(self) -> None:
        """Show beside each phase when it is, and ask for a yes where a class needs one."""
        studio = self.studio
        plan = studio.preview.plan
        stretches = spans(studio.draft.targets[studio.target], plan) if plan else {}
        for number, element in enumerate(self.spans):
            stretch = stretches.get(number)
            set_text(element, " – ".join(map(count, stretch)) if stretch else "")
        for key in self.questions:
            self._ask(key)

    def _key(self, number: int) -> str:
        return f"t{self.studio.target}.p{number}"

    def _row(self, number: int, phase: ScheduleDraft, count_of_phases: int) -> None:
        is_open = number == self.studio.open_phase
        with tag("li", classes="phase open" if is_open else "phase"):
            with tag("div", classes="head"):
                if count_of_phases > 1:
                    with tag("span", classes="grip", aria_hidden="true", title="Drag to move"):
                        ui.icon("drag_indicator", size="18px")
                self._title(number, phase, is_open)
                self._tools(number, phase, count_of_phases)
            if is_open:
                with tag("div", classes="body stack"):
                    self._body(self._key(number), phase, count_of_phases)

    def _title(self, number: int, phase: ScheduleDraft, is_open: bool) -> None:
        button = ui.button(on_click=partial(self._toggle, number), color=None)
        button.props("flat dense no-caps").classes("title")
        button.props["aria-expanded"] = "true" if is_open else "false"
        with marked(button, f"phase-{number}"):
            if not phase.is_foreign and (path := path_of(phase) or _usual_path(phase.kind)):
                spark(path)
            tag("span", self._name(phase), "what")
            self.spans.append(tag("span", "", "span"))

    def _tools(self, number: int, phase: ScheduleDraft, count_of_phases: int) -> None:
        name, key, studio = self._name(phase), self._key(number), self.studio
        if count_of_phases > 1:
            earlier, later = (partial(self._move, number, number + by) for by in (-1, 1))
            up = icon_button("arrow_upward", f"Move {name} earlier", earlier, f"up-{number}")
            down = icon_button("arrow_downward", f"Move {name} later", later, f"down-{number}")
            up.set_enabled(number > 0)
            down.set_enabled(number + 1 < count_of_phases)

        def duplicate() -> None:
            studio.change(insert(studio.draft, self._key(number + 1), get(studio.draft, key)))

        def take_out() -> None:
            studio.change(remove(studio.draft, key))
            studio.focus(f"phase-{max(number - 1, 0)}")

        other = partial(open_gallery, studio, "Choose another schedule", number)
        more = icon_button("more_vert", f"More for {name}", lambda: None, f"more-{number}")
        with more, ui.menu():
            menu_item("Choose another schedule", other, f"other-{number}")
            menu_item("Duplicate", duplicate, f"duplicate-{number}")
            menu_item("Remove", take_out, f"remove-{number}")

    def _body(self, key: str, phase: ScheduleDraft, count_of_phases: int) -> None:
        if phase.is_foreign:
            element = self.inputs.text(
                f"{key}.@path", "Class path", phase.path, placeholder=CLASSES[6],
                help="Module and class. Tab takes the suggestion.",
            )  # fmt: skip
            element.props("debounce=350").set_autocomplete(CLASSES)
            element.classes("wide")
        shape = self.studio.shape(phase)
        if shape:
            tag("p", shape.summary, "small quiet")
        if phase.is_foreign:
            self.questions[key] = tag("div", classes="stack")
        self.inputs.schedule(key, phase)
        if shape and shape.takes_more:
            self._more_parameters(key)
        if count_of_phases > 1 or phase.name:
            self.inputs.text(
                f"{key}.@name", "Name of the phase", phase.name,
                placeholder="read off its direction",
            )  # fmt: skip

    def _ask(self, key: str) -> None:
        """Ask for a yes, while the class at a key needs one."""
        is_asked = self.studio.mistakes.get(f"{key}.@path", "") == NEEDS_YES
        path = get(self.studio.draft, f"{key}.@path") if is_asked else ""
        if self.asked.get(key, "") == path:
            return
        self.asked[key] = path
        place = self.questions[key]
        place.clear()
        if not path:
            return
        with (
            place,
            tag("div", classes="finding warning", role="group", aria_label="Run this class?"),
        ):
            ui.icon("gpp_maybe")
            with tag("div", classes="stack"):
                tag(
                    "p",
                    f"“{path[:200]}” is not of a library that warmdown knows. Looking at it "
                    f"imports and runs its code, in a process of its own, with your rights. Say "
                    f"yes only if you know where it comes from.",
                )
                trust = partial(self.studio.trust, path)
                plain_button("Yes, run it", trust, icon="check", mark="yes")

    def _more_parameters(self, key: str) -> None:
        with tag("div", classes="line"):
            name = ui.input("Parameter name")
            name.props("outlined dense hide-bottom-space autocomplete=off").classes("grow")
            marked(name, "more-name")

            def add() -> None:
                word = (name.value or "").strip()
                if word.isidentifier():
                    self.studio.put(f"{key}.{word}", " ")

            plain_button("Add parameter", add, icon="add", mark="more-add")

    def _toggle(self, number: int) -> None:
        self.studio.open_phase = -1 if self.studio.open_phase == number else number
        self.studio.emit("draft")

    def _move(self, number: int, to: int) -> None:
        studio = self.studio
        last = len(studio.draft.targets[studio.target].phases) - 1
        to = min(max(to, 0), last)
        if studio.open_phase == number:
            studio.open_phase = to
        studio.change(move(studio.draft, self._key(number), to))
        # the one that can be pressed again
        studio.focus(f"up-{to}" if to == last or 0 < to < number else f"down-{to}")

    def _name(self, phase: ScheduleDraft) -> str:
        if phase.is_foreign:
            return phase.path.rpartition(".")[2] or "class"
        shape = self.studio.shape(phase)
        return shape.label if shape else phase.kind


def _usual_path(kind: str) -> str:
    """Return the small picture of a kind, while what is typed cannot be drawn."""
    return path_of(schedule_draft(example_data(kind)))
