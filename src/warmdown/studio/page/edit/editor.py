"""The left side: the numbers that are driven, each with its phases; groups; the run."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from nicegui import ui

from warmdown.plan import EVERY_GROUP
from warmdown.studio.draft.document import (
    is_under,
    mark_of,
    meaning_of,
    renamed,
    targets_in,
    with_meaning,
    with_target,
    without_target,
)
from warmdown.studio.page.edit.inputs import Inputs
from warmdown.studio.page.edit.phases import build_phases
from warmdown.studio.page.edit.run import build_groups, build_run
from warmdown.studio.page.parts import Act, card, marked, menu_item, tag
from warmdown.studio.page.state import Studio

_FIELDS = {
    "lr": "learning rate",
    "weight_decay": "weight decay",
    "momentum": "momentum",
    "betas[1]": "second beta",
    "ema_decay": "decay of the averaged weights",
}
_USUAL_VALUES = {"weight_decay": 0.05, "momentum": 0.9, "betas[1]": 0.95, "ema_decay": 0.999}
_MEANINGS = {"scale": "multiplies the base value", "set": "is the value itself"}


def build_editor(studio: Studio) -> None:
    """Build everything that is typed."""
    inputs = Inputs(studio)
    side = tag("div", classes="side")
    shown: list[Act] = []

    def build() -> None:
        """Build everything again, after more than a text has changed."""
        side.clear()
        inputs.clear()
        if studio.draft.is_empty:  # the gallery is shown
            return
        with side:
            show_phases = _build_schedule(studio, inputs)
            build_groups(studio, inputs)
            shown[:] = [show_phases, build_run(studio, inputs)]
        inputs.show()

    def follow() -> None:
        inputs.show()
        if not studio.draft.is_empty:
            for show in shown:
                show()

    studio.subscribe("draft", build)
    studio.subscribe("view", inputs.show)
    studio.subscribe("moved", inputs.follow)
    studio.subscribe("summary", follow)


def _build_schedule(studio: Studio, inputs: Inputs) -> Act:
    """Build the phases of a target; return what shows when each one is."""
    with card("Schedule", "schedule") as head:
        with head:
            _build_menu(studio)
        show_tabs = _build_tabs(studio) if len(targets_in(studio.document)) > 1 else None
        with tag("div", classes="stack"):
            _build_fields(studio, inputs)
            show_phases = build_phases(studio, inputs)

    def show() -> None:
        show_phases()
        if show_tabs:
            show_tabs()

    return show


def _build_tabs(studio: Studio) -> Act:
    """Build a tab for each number that is driven; return what marks those with a mistake."""
    built: list[ui.tab] = []

    def show(event: Any) -> None:
        studio.target, studio.open_phase = int(event.value), 0
        studio.emit("draft")
        studio.focus(f"track-{studio.target}")

    tabs = ui.tabs().props("dense align=left narrow-indicator")
    with tabs.style("margin-bottom: 12px"):
        for number, row in enumerate(targets_in(studio.document)):
            label = _FIELDS.get(row.field, row.field.replace("_", " "))
            groups = "" if row.groups == EVERY_GROUP else f" · {row.groups}"
            built.append(ui.tab(str(number), label=f"{label}{groups}"))
            marked(built[-1], f"track-{number}")
    tabs.set_value(str(studio.target))
    tabs.on_value_change(show)

    def mark() -> None:
        for tab, row in zip(built, targets_in(studio.document), strict=True):
            is_wrong = any(is_under(one, mark_of(row.path)) for one in studio.mistakes)
            if is_wrong != ("alert" in tab.props):
                tab.props("alert=negative" if is_wrong else "", remove="" if is_wrong else "alert")

    mark()
    return mark


def _build_fields(studio: Studio, inputs: Inputs) -> None:
    row, document = studio.row, studio.document
    meaning = meaning_of(document, row)
    is_usual = (row.field, row.groups, meaning) == ("lr", EVERY_GROUP, "scale")
    with tag("div", classes="fields"):
        if is_usual:
            low = studio.get((*row.path, "low"))
            if not isinstance(low, Mapping | list):
                inputs.value(
                    (*row.path, "low"), "Never below", "number", placeholder="no bound",
                    help="An absolute lower bound, the same for every group.",
                )  # fmt: skip
            return
        element = ui.select(_MEANINGS, label="The number", value=meaning)
        element.props("outlined dense options-dense")
        element.on_value_change(
            lambda event: studio.change(with_meaning(studio.document, studio.row, event.value))
        )
        marked(element, mark_of((*row.path, "@meaning")))
        groups = ui.input("For groups", value=row.groups)
        groups.props("outlined dense autocomplete=off spellcheck=false")

        def rename() -> None:
            studio.change(renamed(studio.document, studio.row, groups.value or ""))

        groups.on("blur", rename)
        groups.on("keydown.enter", rename)
        inputs.add((*row.path, "@groups"), groups, "* for all, a name, or a pattern like decoder.*")


def _build_menu(studio: Studio) -> None:
    button = ui.button("Add target", icon="add", color=None).props("flat dense no-caps")
    with marked(button, "add-track"), ui.menu():
        for field, words in _FIELDS.items():
            name = "learning rate of one group" if field == "lr" else words
            menu_item(name, partial(_add, studio, field), f"add-{field}")
        if len(targets_in(studio.document)) > 1:
            ui.separator()

            def take_out() -> None:
                studio.change(without_target(studio.document, studio.row))

            menu_item("Remove the target that is shown", take_out, "remove-track")


def _add(studio: Studio, field: str) -> None:
    rule: Any = {"set": {"kind": "constant", "value": _USUAL_VALUES.get(field)}}
    groups = EVERY_GROUP
    if field == "lr":
        names = (str(group.get("name", "")) for group in studio.document["groups"])
        rule, groups = {"kind": "cosine"}, next(filter(None, names), "head")
    label = field if groups == EVERY_GROUP else f"{field}/{groups}"
    document = studio.document
    if label not in (row.label for row in targets_in(document)):
        document = with_target(document, field, groups, rule)
    studio.target = [row.label for row in targets_in(document)].index(label)
    studio.open_phase = 0
    studio.change(document)
