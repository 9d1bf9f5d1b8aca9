"""One tab: what is typed, what is seen of it, and everything that can be done."""

from __future__ import annotations

__all__ = ["Candidate", "Launch", "Studio"]

import asyncio
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias, final

from nicegui import ui

from warmdown.errors import RunError
from warmdown.plan import Plan
from warmdown.run import Run
from warmdown.studio.draft.edits import put
from warmdown.studio.draft.fields import Shape, shape
from warmdown.studio.draft.history import History
from warmdown.studio.draft.pieces import Draft, Given, Piece
from warmdown.studio.draft.writing import Written, number_of, written
from warmdown.studio.page.asking import NEEDS_YES, describe, needs_yes, see_foreign
from warmdown.studio.preview.look import Look, Told
from warmdown.studio.preview.seeing import Scene, see, tell_of
from warmdown.studio.preview.spans import placed
from warmdown.studio.security.folder import Folder, Stamp
from warmdown.studio.security.worker import Worker

Event: TypeAlias = Literal["draft", "typed", "look", "told", "file", "theme", "kept", "focus"]
"""After a key only the curve listens, to ``typed``: whatever else changes makes the browser build the page anew, which
takes longer than to draw. The rest follows with ``told``."""

_ARGUMENT = re.compile(r"\w+\((\w+)=")
_PAUSE = 0.25
"""Seconds after the last key until tables, findings and texts follow the curve."""


@final
@dataclass
class Launch:
    """What all tabs of one launch share.

    Args:
        folder: The one that plans are opened from and saved to.
        worker: Where foreign classes run.
        start: What a new tab shows.
        file: Name of the file that it is from, if any.
        watch: The folder of runs to watch, if any.
    """

    folder: Folder
    worker: Worker
    start: Draft = field(default_factory=Draft)
    file: str = ""
    watch: Path | None = None


@final
@dataclass(frozen=True)
class Candidate:
    """A plan that was kept to be compared.

    Args:
        name: Told in the picture.
        draft: To go back to.
        look: Its curves.
    """

    name: str
    draft: Draft
    look: Look


@final
class Studio:
    """The state of one tab. Parts of the page listen to it; only its verbs change it.

    Args:
        launch: What it shares with other tabs.
    """

    def __init__(self, launch: Launch) -> None:
        self.launch = launch
        self.client = ui.context.client
        self.history = History(launch.start)
        self.track = 0
        self.open_phase = 0
        self.log = False
        self.dark = False
        self.kept: list[Candidate] = []
        self.file = launch.file
        self.stamp = launch.folder.stamp(launch.file) if launch.file else Stamp(None)
        self.saved = launch.start
        self.trusted: set[str] = set()
        self.classes: dict[str, Shape] = {}
        self.seen = Scene()
        self.told = Told()
        self.mistakes: dict[str, str] = {}
        self.warnings: dict[str, str] = {}
        self.written = Written()
        self._listeners: dict[Event, list[Callable[[], Any]]] = {}
        self._telling: asyncio.Task[None] | None = None
        self._asking: asyncio.Task[None] | None = None
        self._edits = 0
        self.is_asking = False
        self.wish = ""

    @property
    def draft(self) -> Draft:
        """What is typed."""
        return self.history.now

    @property
    def look(self) -> Look:
        """The curves, or the last ones that could be drawn."""
        return self.seen.look

    @property
    def plan(self) -> Plan | None:
        """The plan, when what is typed is one."""
        return self.seen.plan

    @property
    def run(self) -> Run | None:
        """Facts about the run, as far as they agree."""
        try:
            return Run(**self.written.data.get("run", {}))
        except RunError:
            return None

    @property
    def is_edited(self) -> bool:
        """Whether there is something to save."""
        return self.draft != self.saved

    def shape(self, piece: Piece) -> Shape | None:
        """Return what a shape, recipe or class takes; ``None`` while a class was not looked at."""
        return self.classes.get(piece.path) if piece.is_foreign else shape(piece.kind)

    def bases(self) -> Mapping[str, Mapping[str, float]]:
        """Return the base values of each group that has any."""
        found: dict[str, dict[str, float]] = {}
        for number, group in enumerate(self.draft.groups):
            values = {name: number_of(text) for name, text in group.bases if text.strip()}
            known = {
                name: float(value)
                for name, value in values.items()
                if isinstance(value, int | float)
            }
            name = group.name.strip() or ("" if len(self.draft.groups) == 1 else f"group {number}")
            if known:
                found[name] = known
        return found

    def type(self, key: str, value: Given) -> None:
        """Take what was typed into the field of a key."""
        self.history.edit(put(self.draft, key, value), burst=key)
        self._changed("typed")

    def change(self, draft: Draft) -> None:
        """Go on to a draft with other rows, phases or targets."""
        self.history.edit(draft)
        self._changed("draft")

    def begin(self, draft: Draft, file: str = "", stamp: Stamp | None = None) -> None:
        """Show another plan; the one before can be had back by undoing."""
        self.file, self.stamp = file, stamp or Stamp(None)
        self.saved = draft
        self.track = self.open_phase = 0
        self.change(draft)
        self.say("file")
        self.focus("preset-0" if draft.is_empty else "phase-0")  # what was pressed is gone

    def resume(self, draft: Draft, file: str, digest: str | None) -> None:
        """Go on with what a tab had before it was loaded again."""
        if not draft.is_empty:
            self.history = History(draft)
            self.file, self.stamp = file, Stamp(digest)

    def saved_as(self, file: str, stamp: Stamp) -> None:
        """Remember that what is typed is what the file holds."""
        self.file, self.stamp, self.saved = file, stamp, self.draft
        self.say("file")

    def undo(self) -> None:
        """Take the last edit back."""
        self.history.undo()
        self._changed("draft")

    def redo(self) -> None:
        """Make it again."""
        self.history.redo()
        self._changed("draft")

    def keep(self, name: str) -> None:
        """Keep the curves, to be compared with what comes."""
        self.kept.append(Candidate(name, self.draft, self.look))
        self.say("kept")

    def drop(self, candidate: Candidate) -> None:
        """Forget a kept plan."""
        self.kept.remove(candidate)
        self.say("kept")

    def focus(self, mark: str) -> None:
        """Move the keyboard's focus to a marked part, once it is there."""
        self.wish = mark
        self.say("focus")

    def trust(self, path: str) -> None:
        """Take a person's yes to a class outside the list."""
        self.trusted.add(path)
        self._changed("draft")

    def on(self, event: Event, callback: Callable[[], Any]) -> None:
        """Call back whenever something happened."""
        self._listeners.setdefault(event, []).append(callback)

    def say(self, event: Event) -> None:
        """Tell everyone who listens."""
        with self.client:  # what was clicked may be gone by now, and its place with it
            for callback in self._listeners.get(event, []):
                callback()

    def refresh(self) -> None:
        """Look again at what is typed."""
        self._changed("draft")

    def _changed(self, event: Event) -> None:
        self.track = min(self.track, len(self.draft.tracks) - 1)
        self._see()
        self.say(event)
        if event != "typed":
            self.say("look")
        self._tell_soon()

    def _see(self) -> None:
        """See the plan at once, or ask the other process when foreign classes are in it."""
        self.written = written(self.draft)
        self._edits += 1
        if not self.draft.foreign():
            self._take(see(self.written.data, self.bases()))
        elif self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask_until_answered())

    def _take(self, seen: Scene) -> None:
        """Show what is seen; what was drawn last stays while something is wrong."""
        is_right = bool(seen.look.curves) and not self.written.mistakes
        is_new = is_right or self.draft.is_empty or not self.seen.look.curves
        self.seen = seen if is_new else Scene(self.seen.look)
        self.mistakes = {**self.written.mistakes, **_by_key(self.written, seen.look.mistakes)}

    async def _ask_until_answered(self) -> None:
        """Ask again when the draft has changed meanwhile; a question is never broken off, for that ends the process."""
        asked, self.is_asking = 0, True
        try:
            while asked != self._edits and self.draft.foreign():
                asked = self._edits
                await self._see_foreign()
        finally:
            self.is_asking = False
            self._tell_soon()

    async def _see_foreign(self) -> None:
        """Learn what each class takes, then let the other process draw them."""
        unknown = {
            path: await self._describe(path)
            for path in self.draft.foreign()
            if path not in self.classes
        }
        wrong = {path: what for path, what in unknown.items() if what}
        if wrong:
            self._take(Scene(Look(mistakes=self._at_class(wrong))))
        else:
            scene, self.told = await see_foreign(
                self.launch.worker, self.written.data, self.bases(), self._allowed()
            )
            self._take(scene)
        if len(unknown) > len(wrong):
            self.say("draft")
        self.say("typed")

    async def _describe(self, path: str) -> str:
        """Learn what a class takes; return what is wrong with its path, or nothing."""
        if not path:
            return "type where the class is, like torch.optim.lr_scheduler.MultiStepLR."
        if needs_yes(path) and path not in self.trusted:
            return NEEDS_YES
        found = await describe(self.launch.worker, path, self._allowed())
        if isinstance(found, str):
            return found
        self.classes[path] = found
        return ""

    def _allowed(self) -> tuple[str, ...]:
        return tuple(sorted(self.trusted))

    def _at_class(self, wrong: Mapping[str, str]) -> tuple[str, ...]:
        """Return what is wrong with class paths, each at the place in the plan where it stands."""
        places = {key: path for path, key in self.written.keys.items()}
        found = []
        for number, track in enumerate(self.draft.tracks):
            for at, phase in enumerate(track.phases):
                told = [
                    wrong[piece.path]
                    for piece in phase.inner()
                    if piece.is_foreign and piece.path in wrong
                ]
                found += [f"{places[f't{number}.p{at}']}.@path: {what}" for what in told[:1]]
        return tuple(found)

    def _tell_soon(self) -> None:
        if self._telling is not None:
            self._telling.cancel()
        self._telling = asyncio.create_task(self._tell())

    async def _tell(self) -> None:
        await asyncio.sleep(_PAUSE)
        if not self.draft.foreign():
            self.told = tell_of(self.seen)
        self._warn()
        self.say("told")

    def _warn(self) -> None:
        """Find the field that each finding is about."""
        is_right = self.plan is not None and not self.mistakes
        self.warnings = (
            placed(self.told.findings, self.draft, self.plan) if self.plan and is_right else {}
        )


def _by_key(out: Written, mistakes: tuple[str, ...]) -> dict[str, str]:
    """Return what is wrong by the key of the field it is wrong in; what has none is kept under a number."""
    found: dict[str, str] = {}
    for number, mistake in enumerate(mistakes):
        path, colon, what = mistake.partition(": ")
        key = out.key_of(path) if colon else ""
        if key and (argument := _ARGUMENT.match(what)):
            key = f"{key}.{argument[1]}"  # the schedule itself says which of its fields it is
        if key and key not in found:
            found[key] = what
        else:
            found[f"#{number}"] = mistake
    return found
