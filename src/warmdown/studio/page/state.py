"""One tab: what is typed, what is seen of it, and every act of a person."""

from __future__ import annotations

import asyncio
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias, final

from nicegui import ui

from warmdown.errors import RunError
from warmdown.importing.fence import LONGEST_LOOK
from warmdown.importing.fence_worker import LONGEST_START
from warmdown.planfile.classes import is_known
from warmdown.plot.view import View
from warmdown.run import Run
from warmdown.schedules.base import PlainData
from warmdown.studio.draft.decoding import decoded
from warmdown.studio.draft.edits import put, remove
from warmdown.studio.draft.fields import Shape, known_shapes
from warmdown.studio.draft.history import History
from warmdown.studio.draft.model import Draft, ScheduleDraft, TargetDraft, Typed
from warmdown.studio.draft.writing import ByKey, Written, written
from warmdown.studio.page.parts import Act
from warmdown.studio.preview.preview import Preview, Summary, preview, summarize
from warmdown.studio.preview.spans import findings_by_key
from warmdown.studio.security.folder import Folder, Stamp
from warmdown.studio.security.worker import Ended, Worker

Event: TypeAlias = Literal["draft", "typed", "view", "summary", "file", "theme", "kept", "focus"]
"""After a key only the curve listens, to ``typed``: any other change makes the browser build the
page again, which takes longer than to draw. The rest follows with ``summary``."""

_ARGUMENT = re.compile(r"\w+\((\w+)=")
NEEDS_YES = "this class is not of a known library: it runs only when you say yes."
"""The message at a class path until a person has decided."""
_PAUSE = 0.25
"""Seconds after the last key until tables, findings and texts follow the curve."""


@final
@dataclass
class AppContext:
    """What all tabs of one server share.

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
        name: In the picture.
        draft: To go back to.
        view: Its curves.
    """

    name: str
    draft: Draft
    view: View


@final
class Studio:
    """The state of one tab. Parts of the page subscribe to it; only its methods change it.

    Args:
        app: What it shares with other tabs.
    """

    def __init__(self, app: AppContext) -> None:
        self.app = app
        self.client = ui.context.client
        self.history = History(app.start)
        self.target = 0
        self.open_phase = 0
        self.log = False
        self.dark = False
        self.kept: list[Candidate] = []
        self.file = app.file
        self.stamp = app.folder.stamp(app.file) if app.file else None
        self.saved = app.start
        self.trusted: set[str] = set()
        self.classes: dict[str, Shape] = {}
        self.preview = Preview()
        self.summary = Summary()
        self.mistakes: ByKey = {}
        self.warnings: ByKey = {}
        self.written = Written()
        self.is_asking = False
        self.focus_target = ""
        self._subscribers: dict[Event, list[Act]] = defaultdict(list)
        self._summarizing: asyncio.Task[None] | None = None
        self._asking: asyncio.Task[None] | None = None
        self._edits = 0

    @property
    def draft(self) -> Draft:
        """What is typed."""
        return self.history.now

    @property
    def shown_target(self) -> TargetDraft:
        """The target whose phases are shown."""
        return self.draft.targets[self.target]

    @property
    def run(self) -> Run | None:
        """Facts about the run, as far as they agree."""
        try:
            return Run(**self.written.data.get("run", {}))
        except RunError:
            return None

    def shape(self, schedule: ScheduleDraft) -> Shape | None:
        """Return the parameters of a schedule; ``None`` while its class was not described yet."""
        if schedule.is_foreign:
            return self.classes.get(schedule.path)
        return known_shapes().get(schedule.kind)

    def type(self, key: str, value: Typed) -> None:
        """Take what was typed into the field of a key."""
        self.history.edit(put(self.draft, key, value), burst=key)
        self._changed("typed")

    def put(self, key: str, value: Typed) -> None:
        """Take another schedule, or other rows, at a key."""
        self.change(put(self.draft, key, value))

    def remove(self, key: str) -> None:
        """Remove the row at a key."""
        self.change(remove(self.draft, key))

    def change(self, draft: Draft) -> None:
        """Go on to a draft with other rows, phases or targets."""
        self.history.edit(draft)
        self.refresh()

    def begin(self, draft: Draft, file: str = "", stamp: Stamp = None) -> None:
        """Show another plan; undo brings back the one before."""
        self.file, self.stamp = file, stamp
        self.saved = draft
        self.target = self.open_phase = 0
        self.change(draft)
        self.emit("file")
        self.focus("preset-0" if draft.is_empty else "phase-0")  # what was pressed is gone

    def resume(self, draft: Draft, file: str, stamp: Stamp) -> None:
        """Go on with what a tab had before it was loaded again."""
        if not draft.is_empty:
            self.history = History(draft)
            self.file, self.stamp = file, stamp

    def saved_as(self, file: str, stamp: Stamp) -> None:
        """Remember that the file holds what is typed."""
        self.file, self.stamp, self.saved = file, stamp, self.draft
        self.emit("file")

    def undo(self) -> None:
        """Take the last edit back."""
        self.history.undo()
        self.refresh()

    def redo(self) -> None:
        """Make it again."""
        self.history.redo()
        self.refresh()

    def keep(self) -> None:
        """Keep the curves, to be compared with what comes."""
        if self.preview.view.lines:
            name = f"kept {len(self.kept) + 1}"
            self.kept.append(Candidate(name, self.draft, self.preview.view))
            self.emit("kept")

    def drop(self, candidate: Candidate) -> None:
        """Forget a kept plan."""
        self.kept.remove(candidate)
        self.emit("kept")

    def focus(self, mark: str) -> None:
        """Move the keyboard's focus to a marked part, once it is there."""
        self.focus_target = mark
        self.emit("focus")

    def trust(self, path: str) -> None:
        """Take a person's yes to a class outside the list."""
        self.trusted.add(path)
        self.refresh()

    def subscribe(self, event: Event, callback: Act) -> None:
        """Call back whenever something happened."""
        self._subscribers[event].append(callback)

    def emit(self, event: Event) -> None:
        """Call everyone who subscribed."""
        with self.client:  # what was clicked may be gone by now, and its place with it
            for callback in self._subscribers[event]:
                callback()

    def refresh(self) -> None:
        """Preview what is typed, and build the form again."""
        self._changed("draft")

    def _changed(self, event: Event) -> None:
        self.target = min(self.target, len(self.draft.targets) - 1)
        self.written = written(self.draft)
        self._edits += 1
        if not self.draft.class_paths():
            self._take(preview(self.written.data, self.written.bases))
        elif self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask_until_answered())
        self.emit(event)
        if event != "typed":
            self.emit("view")
        self._summarize_soon()

    def _take(self, seen: Preview, at_classes: Mapping[str, str] | None = None) -> None:
        """Show a preview; what was drawn last stays while something is wrong."""
        is_right = bool(seen.view.lines) and not self.written.mistakes
        if is_right or self.draft.is_empty or not self.preview.view.lines:
            self.preview = seen
        else:
            self.preview = Preview(self.preview.view)
        self.mistakes = {
            **self.written.mistakes,
            **(at_classes or {}),
            **_mistakes_by_key(self.written, seen.mistakes),
        }

    async def _ask_until_answered(self) -> None:
        """Ask again when the draft has changed meanwhile.

        A question is never cancelled, because that ends the process.
        """
        asked, self.is_asking = 0, True
        try:
            while asked != self._edits and self.draft.class_paths():
                asked = self._edits
                await self._preview_foreign()
        finally:
            self.is_asking = False
            self._summarize_soon()

    async def _preview_foreign(self) -> None:
        """Describe each class that is not known yet, then let the other process draw them."""
        unknown = [path for path in self.draft.class_paths() if path not in self.classes]
        wrong = {path: what for path in unknown if (what := await self._describe(path))}
        if wrong:
            self._take(Preview(), self._at_classes(wrong))
        else:
            seen, self.summary = await preview_foreign(
                self.app.worker, self.written, sorted(self.trusted)
            )
            self._take(seen)
        if len(unknown) > len(wrong):
            self.emit("draft")
        self.emit("typed")

    async def _describe(self, path: str) -> str:
        """Describe a class; return what is wrong with its path, or nothing."""
        if not path:
            return "type where the class is, like torch.optim.lr_scheduler.MultiStepLR."
        if not is_known(path) and path not in self.trusted:
            return NEEDS_YES
        described = await describe_foreign(self.app.worker, path, sorted(self.trusted))
        if isinstance(described, str):
            return described
        self.classes[path] = described
        return ""

    def _at_classes(self, wrong: Mapping[str, str]) -> ByKey:
        """Return what is wrong with class paths, by the key of the phase where each stands."""
        return {
            f"t{number}.p{at}.@path": wrong[inner.path]
            for number, target in enumerate(self.draft.targets)
            for at, phase in enumerate(target.phases)
            for inner in phase.inner()
            if inner.is_foreign and inner.path in wrong
        }

    def _summarize_soon(self) -> None:
        if self._summarizing is not None:
            self._summarizing.cancel()
        self._summarizing = asyncio.create_task(self._summarize())

    async def _summarize(self) -> None:
        await asyncio.sleep(_PAUSE)
        plan = self.preview.plan
        if not self.draft.class_paths():
            self.summary = summarize(self.preview.view, plan) if plan else Summary()
        is_right = plan is not None and not self.mistakes
        self.warnings = (
            findings_by_key(self.summary.findings, self.draft, plan) if plan and is_right else {}
        )
        self.emit("summary")


def _mistakes_by_key(out: Written, mistakes: tuple[str, ...]) -> ByKey:
    """Return each mistake by the key of its field; one without a field has a number as its key."""
    by_key: ByKey = {}
    for number, mistake in enumerate(mistakes):
        path, colon, what = mistake.partition(": ")
        key = out.key_of(path) if colon else ""
        if key and (argument := _ARGUMENT.match(what)):
            key = f"{key}.{argument[1]}"  # the schedule's own message names the field
        if key and key not in by_key:
            by_key[key] = what
        else:
            by_key[f"#{number}"] = mistake
    return by_key


async def describe_foreign(worker: Worker, path: str, allow: Sequence[str]) -> Shape | str:
    """Return the parameters of a class, or what is wrong with its path."""
    try:
        answer = await worker.ask(
            {"task": "describe", "path": path, "allow": allow}, seconds=LONGEST_START
        )
    except Ended as error:
        return f"{path}: {error}"
    if "shape" not in answer:
        return _mistakes_in(answer)[0]
    shape: Shape = decoded(Shape, answer["shape"])
    return shape


async def preview_foreign(
    worker: Worker, plan: Written, allow: Sequence[str]
) -> tuple[Preview, Summary]:
    """Return the preview and the summary of a plan with foreign classes in it."""
    question = {"task": "look", "data": plan.data, "bases": plan.bases, "allow": allow}
    try:
        answer = await worker.ask(question, seconds=LONGEST_LOOK)
    except Ended as error:
        return Preview(mistakes=(f"The class was stopped: {error}",)), Summary()
    if "view" not in answer:
        return Preview(mistakes=_mistakes_in(answer)), Summary()
    return Preview(decoded(View, answer["view"])), decoded(Summary, answer["summary"])


def _mistakes_in(answer: PlainData) -> tuple[str, ...]:
    return tuple(map(str, answer.get("mistakes", ()))) or ("it gave no answer.",)
