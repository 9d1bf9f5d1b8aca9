"""The phases of one number: a row of schedules, moved by pointer or keyboard, with their fields."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

from nicegui import ui
from nicegui.element import Element
from nicegui.elements.mixins.sortable_element import SortableElement

from warmdown.formatting import count
from warmdown.studio.draft.catalogue import example_data, path_of
from warmdown.studio.draft.document import ByMark, Path, expanded, mark_of, with_phases
from warmdown.studio.draft.joints import edge, is_joined, joint, value_at
from warmdown.studio.page.bring import build_native_button
from warmdown.studio.page.edit.choose import open_gallery
from warmdown.studio.page.edit.inputs import Inputs
from warmdown.studio.page.parts import (
    Act,
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


def build_phases(studio: Studio, inputs: Inputs) -> Act:
    """Build the phases of the target that is shown; return what shows when each one is.

    That asks for a yes, too, where a class needs one.
    """
    phases = studio.phases
    times: list[Element] = []
    wrong: list[Element] = []
    ask: Act | None = None
    with SortableElement("ol").classes("phases") as rows:
        rows.props["aria-label"] = "Phases, in order"
        for number, path in enumerate(phases):
            is_open = number == studio.open_phase
            with tag("li", classes="phase open" if is_open else "phase"):
                with tag("div", classes="head"):
                    if len(phases) > 1:
                        with tag("span", classes="grip", aria_hidden="true", title="Drag to move"):
                            ui.icon("drag_indicator", size="18px")
                    times.append(_build_title(studio, number, path))
                    _build_tools(studio, number, path)
                wrong.append(marked(tag("div", classes="wrong"), f"wrong-{number}"))
                if is_open:
                    with tag("div", classes="body stack"):
                        ask = _build_body(studio, inputs, path)
    wrong.append(marked(tag("div", classes="wrong"), "wrong-row"))
    if len(phases) > 1:
        rows.make_sortable(
            handle=".grip",
            ghost_class="ghost",
            on_end=lambda event: _move(studio, event.old_index, event.new_index),
        )
    with tag("div", classes="line").style("margin-top: 10px"):
        add = partial(open_gallery, studio, "Choose the next phase")
        plain_button("Add phase", add, icon="add", mark="add-phase")
        plain_button("Add warmup", partial(_add_warmup, studio), icon="north_east", mark="warmup")

    shown: list[ByMark] = [{} for _ in wrong]

    def show() -> None:
        plan = studio.preview.plan
        stretches = spans(studio.document, studio.row, plan) if plan else {}
        for path, element in zip(phases, times, strict=True):
            set_text(element, " – ".join(map(count, stretches.get(path, ()))))
        found = [studio.mistakes_under(path) for path in phases]
        rest = studio.mistakes_under(studio.row.path)
        found.append({mark: rest[mark] for mark in rest if not any(mark in one for one in found)})
        for at, (mistakes, place) in enumerate(zip(found, wrong, strict=True)):
            if mistakes != shown[at]:
                shown[at] = mistakes
                place.clear()
                with place:
                    _build_mistakes(studio, mistakes, (*phases, studio.row.path)[at])
        if ask is not None:
            ask()

    show()
    return show


def _build_title(studio: Studio, number: int, path: Path) -> Element:
    """Build the head that opens a phase; return where its time is shown."""
    is_open = number == studio.open_phase

    def toggle() -> None:
        studio.open_phase = -1 if is_open else number
        studio.emit("draft")

    button = ui.button(on_click=toggle, color=None)
    button.props("flat dense no-caps").classes("title")
    button.props["aria-expanded"] = "true" if is_open else "false"
    phase = expanded(studio.get(path))
    with marked(button, f"phase-{number}"):
        if "kind" in phase and (drawn := path_of(phase) or _usual_path(phase["kind"])):
            spark(drawn)
        tag("span", _phase_name(studio, path), "what")
        return tag("span", "", "span")


def _build_mistakes(studio: Studio, mistakes: ByMark, path: Path) -> None:
    """Build what is wrong in a phase that is folded, or with it as a whole; each leads there."""
    for mark, what in mistakes.items():
        field = " ".join(re.findall(r"\w+", mark.removeprefix(mark_of(path)))).replace("_", " ")
        text = f"{field.capitalize()}: {what}" if field else what
        button = plain_button(text, partial(studio.go_to, mark), "error", f"to-{mark}")
        button.props("align=left")


def _build_tools(studio: Studio, number: int, path: Path) -> None:
    last = len(studio.phases) - 1
    name = _phase_name(studio, path)
    if last:
        earlier, later = (partial(_move, studio, number, number + by) for by in (-1, 1))
        up = icon_button("arrow_upward", f"Move {name} earlier", earlier, f"up-{number}")
        down = icon_button("arrow_downward", f"Move {name} later", later, f"down-{number}")
        up.set_enabled(number > 0)
        down.set_enabled(number < last)

    def duplicate() -> None:
        phase = expanded(studio.get(path))
        first = edge(studio.document, path, "start")
        if first and "class_path" not in phase:  # a copy begins where its model does
            phase[str(first[-1])] = value_at(studio.document, first)
        studio.insert(number + 1, phase)
        studio.focus(f"phase-{number + 1}")

    def take_out() -> None:
        phases = _phases(studio)
        _put_phases(studio, phases[:number] + phases[number + 1 :])
        studio.focus(f"phase-{max(number - 1, 0)}")

    other = partial(open_gallery, studio, "Choose another schedule", number)
    more = icon_button("more_vert", f"More for {name}", lambda: None, f"more-{number}")
    with more, ui.menu():
        menu_item("Choose another schedule", other, f"other-{number}")
        menu_item("Duplicate", duplicate, f"duplicate-{number}")
        menu_item("Remove", take_out, f"remove-{number}")


def _build_body(studio: Studio, inputs: Inputs, path: Path) -> Act | None:
    """Build the fields of a phase; return what asks for a yes, where it is a class."""
    is_class = "class_path" in expanded(studio.get(path))
    if is_class:
        element = inputs.value(
            (*path, "class_path"), "Class path", "text", placeholder=CLASSES[6],
            help="Module and class. Tab takes the suggestion.",
        )  # fmt: skip
        element.props("debounce=350").set_autocomplete(CLASSES)
        element.classes("wide")
    shape = studio.shape_at(path)
    if shape:
        tag("p", shape.summary, "small quiet")
    ask = _build_place_to_ask(studio, (*path, "class_path")) if is_class else None
    inputs.schedule(path)
    if is_class and shape:
        build_native_button(studio)
    if shape and shape.takes_more:
        _build_more(studio, (*path, "init_args"))
    number = studio.open_phase
    if joint(studio.document, studio.row, number):
        joins = ui.checkbox(
            "Begins where the phase before it ends",
            value=is_joined(studio.document, studio.row, number, studio.parted),
            on_change=lambda: studio.toggle_joint(number),
        )
        marked(joins.props("dense"), f"joined-{number}")
    if len(studio.phases) > 1 or expanded(studio.get(path)).get("name"):
        inputs.value(
            (*path, "name"), "Name of the phase", "text", placeholder="read off its direction"
        )
    return ask


def _build_place_to_ask(studio: Studio, place_of_path: Path) -> Act:
    """Build an empty place; return what asks for a yes in it, while the class needs one."""
    place, asked = tag("div", classes="stack"), ""

    def ask() -> None:
        nonlocal asked
        needs_yes = studio.mistakes.get(mark_of(place_of_path)) == NEEDS_YES
        path = str(studio.get(place_of_path) or "") if needs_yes else ""
        if path == asked:
            return
        asked = path
        place.clear()
        if path:
            with place:
                _build_question(studio, path)

    return ask


def _build_question(studio: Studio, path: str) -> None:
    with tag("div", classes="finding warning", role="group", aria_label="Run this class?"):
        ui.icon("gpp_maybe")
        with tag("div", classes="stack"):
            tag(
                "p",
                f"“{path[:200]}” is not of a library that warmdown knows. Looking at it imports "
                f"and runs its code, in a process of its own, with your rights. Say yes only if "
                f"you know where it comes from.",
            )
            plain_button("Yes, run it", partial(studio.trust, path), icon="check", mark="yes")


def _build_more(studio: Studio, home: Path) -> None:
    """Build the field that adds a parameter which no signature names."""

    def add() -> None:
        word = (name.value or "").strip()
        if word.isidentifier():
            studio.put((*home, word), 0)

    with tag("div", classes="line"):
        name = ui.input("Parameter name")
        name.props("outlined dense hide-bottom-space autocomplete=off").classes("grow")
        marked(name, "more-name")
        plain_button("Add parameter", add, icon="add", mark="more-add")


def _phases(studio: Studio) -> list[Any]:
    return [studio.get(path) for path in studio.phases]


def _put_phases(studio: Studio, phases: list[Any]) -> None:
    studio.change(with_phases(studio.document, studio.row, phases))


def _add_warmup(studio: Studio) -> None:
    first = edge(studio.document, studio.phases[0], "start")
    top = value_at(studio.document, first) if first else 1.0
    end = 1 if top in (0.0, 1.0) or top != top else top
    warmup = {"kind": "linear", "start": 0, "end": end, "steps": "5%", "name": "warmup"}
    studio.open_phase = 0
    _put_phases(studio, [warmup, *_phases(studio)])
    studio.focus(mark_of((*studio.phases[0], "steps")))


def _move(studio: Studio, number: int, to: int) -> None:
    phases = _phases(studio)
    last = len(phases) - 1
    to = min(max(to, 0), last)
    if studio.open_phase == number:
        studio.open_phase = to
    phases.insert(to, phases.pop(number))
    _put_phases(studio, phases)
    # the one that can be pressed again
    studio.focus(f"up-{to}" if to == last or 0 < to < number else f"down-{to}")


def _phase_name(studio: Studio, path: Path) -> str:
    phase = expanded(studio.get(path))
    if "class_path" in phase:
        return str(phase["class_path"] or "").rpartition(".")[2] or "class"
    shape = studio.shape_at(path)
    return shape.label if shape else str(phase.get("kind", ""))


def _usual_path(kind: str) -> str:
    """Return the small picture of a kind, while what is typed cannot be drawn."""
    return path_of(example_data(kind))
