"""The left side: the numbers that are driven, each with its phases; groups; the run."""

from __future__ import annotations

from functools import partial
from typing import Any

from nicegui import ui

from warmdown.plan import EVERY_GROUP
from warmdown.studio.draft.edits import add_target
from warmdown.studio.draft.model import ScheduleDraft, TargetDraft
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
}
_USUAL_VALUES = {"weight_decay": "0.05", "momentum": "0.9", "betas[1]": "0.95"}
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
    studio.subscribe("summary", follow)


def _build_schedule(studio: Studio, inputs: Inputs) -> Act:
    """Build the phases of a target; return what shows when each one is."""
    with card("Schedule", "schedule") as head:
        with head:
            _build_menu(studio)
        if len(studio.draft.targets) > 1:
            _build_tabs(studio)
        with tag("div", classes="stack"):
            _build_fields(studio, inputs, studio.shown_target)
            return build_phases(studio, inputs)


def _build_tabs(studio: Studio) -> None:
    """Build a row of tabs, one for each number that is driven."""

    def show(event: Any) -> None:
        studio.target, studio.open_phase = int(event.value), 0
        studio.emit("draft")
        studio.focus(f"track-{studio.target}")

    tabs = ui.tabs().props("dense align=left narrow-indicator")
    with tabs.style("margin-bottom: 12px"):
        for number, target in enumerate(studio.draft.targets):
            label = _FIELDS.get(target.field, target.field.replace("_", " "))
            groups = "" if target.groups == EVERY_GROUP else f" · {target.groups}"
            marked(ui.tab(str(number), label=f"{label}{groups}"), f"track-{number}")
    tabs.set_value(str(studio.target))
    tabs.on_value_change(show)


def _build_fields(studio: Studio, inputs: Inputs, target: TargetDraft) -> None:
    key = f"t{studio.target}"
    with tag("div", classes="fields"):
        if target.meaning == "scale":
            inputs.text(
                f"{key}.warmup", "Warmup on top", target.warmup, placeholder="none",
                help="A straight way up to the schedule's begin: updates, or 5%. Leave it empty "
                     "for none.",
            )  # fmt: skip
        if (target.field, target.groups, target.meaning) == ("lr", EVERY_GROUP, "scale"):
            inputs.text(
                f"{key}.low", "Never below", target.low, placeholder="no bound",
                help="An absolute lower bound, the same for every group.",
            )  # fmt: skip
            return
        meaning = inputs.choice(f"{key}.meaning", "The number", target.meaning, _MEANINGS)
        meaning.on_value_change(studio.refresh)
        inputs.text(
            f"{key}.groups", "For groups", target.groups,
            help="* for all, a name, or a pattern such as decoder.*",
        )  # fmt: skip


def _build_menu(studio: Studio) -> None:
    button = ui.button("Add target", icon="add", color=None).props("flat dense no-caps")
    with marked(button, "add-track"), ui.menu():
        for field, words in _FIELDS.items():
            name = "learning rate of one group" if field == "lr" else words
            menu_item(name, partial(_add, studio, field), f"add-{field}")
        if len(studio.draft.targets) > 1:
            ui.separator()
            take_out = partial(studio.remove, f"t{studio.target}")
            menu_item("Remove the target that is shown", take_out, "remove-track")


def _add(studio: Studio, field: str) -> None:
    if field == "lr":
        group = next((group.name for group in studio.draft.groups if group.name), "head")
        target = TargetDraft("lr", group, phases=(ScheduleDraft("cosine"),))
    else:
        usual = ScheduleDraft("constant", (("value", _USUAL_VALUES[field]),))
        target = TargetDraft(field, meaning="set", phases=(usual,))
    changed = add_target(studio.draft, target)
    studio.target, studio.open_phase = changed.targets.index(target), 0
    studio.change(changed)
