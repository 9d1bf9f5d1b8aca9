"""The left side: the numbers that are driven, each with its phases; groups; the run."""

from __future__ import annotations

from functools import partial
from typing import final

from nicegui import ui

from warmdown.plan import EVERY_GROUP
from warmdown.studio.draft.edits import add_target, remove
from warmdown.studio.draft.model import ScheduleDraft, TargetDraft
from warmdown.studio.page.edit.inputs import Inputs
from warmdown.studio.page.edit.phases import PhaseList
from warmdown.studio.page.edit.run import GroupRows, RunFields
from warmdown.studio.page.parts import card, marked, menu_item, tag
from warmdown.studio.page.state import Studio

_FIELDS = {
    "lr": "learning rate",
    "weight_decay": "weight decay",
    "momentum": "momentum",
    "betas[1]": "second beta",
}
_USUAL_VALUES = {"weight_decay": "0.05", "momentum": "0.9", "betas[1]": "0.95"}
_MEANINGS = {"scale": "multiplies the base value", "set": "is the value itself"}


@final
class Editor:
    """Everything that is typed.

    Args:
        studio: The tab.
    """

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        self.inputs = Inputs(studio)
        self.run = RunFields(studio, self.inputs)
        self.groups = GroupRows(studio, self.inputs)
        self.phases = PhaseList(studio, self.inputs)
        self.side = tag("div", classes="side")
        studio.subscribe("draft", self.build)
        studio.subscribe("view", self.inputs.show)
        studio.subscribe("summary", self._follow)

    def build(self) -> None:
        """Build everything again, after more than a text has changed."""
        self.side.clear()
        self.inputs.clear()
        with self.side:
            self._schedule()
            self.groups.build()
            self.run.build()
        self.inputs.show()

    def _follow(self) -> None:
        self.inputs.show()
        if not self.studio.draft.is_empty:
            self.run.show()
            self.phases.show()

    def _schedule(self) -> None:
        targets = self.studio.draft.targets
        with card("Schedule", "schedule") as head:
            with head:
                self._more_targets()
            if len(targets) > 1:
                self._tabs()
            with tag("div", classes="stack"):
                self._target_fields(targets[self.studio.target])
                self.phases.build()

    def _tabs(self) -> None:
        """Build a row of tabs, one for each number that is driven."""
        studio = self.studio
        tabs = ui.tabs().props("dense align=left narrow-indicator")
        with tabs.style("margin-bottom: 12px"):
            for number, target in enumerate(studio.draft.targets):
                label = _FIELDS.get(target.field, target.field.replace("_", " "))
                groups = "" if target.groups == EVERY_GROUP else f" · {target.groups}"
                marked(ui.tab(str(number), label=f"{label}{groups}"), f"track-{number}")
        tabs.set_value(str(studio.target))
        tabs.on_value_change(lambda event: self._show(int(str(event.value))))

    def _target_fields(self, target: TargetDraft) -> None:
        key = f"t{self.studio.target}"
        with tag("div", classes="fields"):
            if target.meaning == "scale":
                self.inputs.text(
                    f"{key}.warmup", "Warmup on top", target.warmup, placeholder="none",
                    help="A straight way up to the schedule's begin: updates, or 5%. Leave it "
                         "empty for none.",
                )  # fmt: skip
            if (target.field, target.groups, target.meaning) == ("lr", EVERY_GROUP, "scale"):
                self.inputs.text(
                    f"{key}.low", "Never below", target.low, placeholder="no bound",
                    help="An absolute lower bound, the same for every group.",
                )  # fmt: skip
                return
            meaning = self.inputs.choice(f"{key}.meaning", "The number", target.meaning, _MEANINGS)
            meaning.on_value_change(self.studio.refresh)
            self.inputs.text(
                f"{key}.groups", "For groups", target.groups,
                help="* for all, a name, or a pattern such as decoder.*",
            )  # fmt: skip

    def _more_targets(self) -> None:
        button = ui.button("Add target", icon="add", color=None).props("flat dense no-caps")
        marked(button, "add-track")
        with button, ui.menu():
            for field, words in _FIELDS.items():
                name = "learning rate of one group" if field == "lr" else words
                menu_item(name, partial(self._add, field), f"add-{field}")
            if len(self.studio.draft.targets) > 1:
                ui.separator()
                menu_item("Remove the target that is shown", self._remove, "remove-track")

    def _show(self, number: int) -> None:
        self.studio.target, self.studio.open_phase = number, 0
        self.studio.emit("draft")
        self.studio.focus(f"track-{number}")

    def _add(self, field: str) -> None:
        studio = self.studio
        if field == "lr":
            group = next((group.name for group in studio.draft.groups if group.name), "head")
            target = TargetDraft("lr", group, phases=(ScheduleDraft("cosine"),))
        else:
            usual = ScheduleDraft("constant", (("value", _USUAL_VALUES[field]),))
            target = TargetDraft(field, meaning="set", phases=(usual,))
        changed = add_target(studio.draft, target)
        studio.target, studio.open_phase = changed.targets.index(target), 0
        studio.change(changed)

    def _remove(self) -> None:
        self.studio.change(remove(self.studio.draft, f"t{self.studio.target}"))
