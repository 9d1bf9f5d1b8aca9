"""The left side: run, groups, and the numbers that are driven, each with its phases."""

from __future__ import annotations

__all__ = ["Editor"]

from dataclasses import replace
from functools import partial
from typing import final

from nicegui import ui

from warmdown.studio.draft.edits import add_track, remove_track
from warmdown.studio.draft.pieces import EVERY, Piece, Track
from warmdown.studio.page.edit.inputs import Inputs
from warmdown.studio.page.edit.phases import Phases
from warmdown.studio.page.edit.run import GroupRows, RunFields
from warmdown.studio.page.parts import card, marked, menu_item, tag
from warmdown.studio.page.state import Studio

_FIELDS = {
    "lr": "learning rate",
    "weight_decay": "weight decay",
    "momentum": "momentum",
    "betas[1]": "second beta",
}
_STARTS = {
    "weight_decay": Track(
        "weight_decay", meaning="set", phases=(Piece("constant", (("value", "0.05"),)),)
    ),
    "momentum": Track("momentum", meaning="set", phases=(Piece("constant", (("value", "0.9"),)),)),
    "betas[1]": Track("betas[1]", meaning="set", phases=(Piece("constant", (("value", "0.95"),)),)),
    "lr": Track("lr", groups="head", phases=(Piece("cosine"),)),
}
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
        self.phases = Phases(studio, self.inputs)
        self.side = tag("div", classes="side")
        studio.on("draft", self.build)
        studio.on("look", self.inputs.show)
        studio.on("told", self._follow)

    def build(self) -> None:
        """Build everything anew, after more than a text has changed."""
        self.side.clear()
        self.inputs.forget("")
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
        studio = self.studio
        track = studio.draft.tracks[studio.track]
        with card("Schedule", "schedule") as head:
            with head:
                self._more_tracks()
            if len(studio.draft.tracks) > 1:
                self._tracks()
            with tag("div", classes="stack"):
                self._of_track(track)
                self.phases.build()

    def _tracks(self) -> None:
        """Build a row of tabs, one for each number that is driven."""
        studio = self.studio
        with (
            ui.tabs()
            .props("dense align=left narrow-indicator")
            .style("margin-bottom: 12px") as tabs
        ):
            for number, track in enumerate(studio.draft.tracks):
                label = _FIELDS.get(track.field, track.field.replace("_", " "))
                groups = "" if track.groups == EVERY else f" · {track.groups}"
                marked(ui.tab(str(number), label=f"{label}{groups}"), f"track-{number}")
        tabs.set_value(str(studio.track))
        tabs.on_value_change(lambda event: self._show(int(str(event.value))))

    def _of_track(self, track: Track) -> None:
        key = f"t{self.studio.track}"
        is_usual = track.field == "lr" and track.groups == EVERY and track.meaning == "scale"
        with tag("div", classes="fields"):
            if track.meaning == "scale":
                self.inputs.text(
                    f"{key}.warmup", "Warmup on top", track.warmup, placeholder="none",
                    help="A straight way up to the schedule's begin: updates, or 5%. Leave it "
                         "empty for none.",
                )  # fmt: skip
            if is_usual:
                self.inputs.text(
                    f"{key}.low", "Never below", track.low, placeholder="no bound",
                    help="An absolute lower bound, the same for every group.",
                )  # fmt: skip
                return
            self.inputs.choice(f"{key}.meaning", "The number", track.meaning, _MEANINGS)
            self.inputs.text(
                f"{key}.groups",
                "For groups",
                track.groups,
                help="* for all, a name, or a pattern such as decoder.*",
            )
        self.inputs.by_key[f"{key}.meaning"].on_value_change(lambda: self.studio.refresh())

    def _more_tracks(self) -> None:
        button = ui.button("Add target", icon="add", color=None).props("flat dense no-caps")
        marked(button, "add-track")
        with button, ui.menu():
            for field, words in _FIELDS.items():
                name = "learning rate of one group" if field == "lr" else words
                menu_item(name, partial(self._add, field), f"add-{field}")
            if len(self.studio.draft.tracks) > 1:
                ui.separator()
                menu_item("Remove the target that is shown", self._remove, "remove-track")

    def _show(self, number: int) -> None:
        self.studio.track, self.studio.open_phase = number, 0
        self.studio.say("draft")
        self.studio.focus(f"track-{number}")

    def _add(self, field: str) -> None:
        studio = self.studio
        track = _STARTS[field]
        if field == "lr":
            track = replace(
                track, groups=next((g.name for g in studio.draft.groups if g.name), "head")
            )
        changed = add_track(studio.draft, track)
        studio.track, studio.open_phase = changed.tracks.index(track), 0
        studio.change(changed)

    def _remove(self) -> None:
        self.studio.change(remove_track(self.studio.draft, self.studio.track))
