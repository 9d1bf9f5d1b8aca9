"""One tab: what is typed, what is seen of it, and every act of a person."""

from __future__ import annotations

import asyncio
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, final

from nicegui import ui

from warmdown.errors import WarmdownError
from warmdown.importing.fence import LONGEST_LOOK
from warmdown.importing.fence_worker import LONGEST_START
from warmdown.planfile.classes import is_known
from warmdown.planfile.plans import run_from_dict
from warmdown.planfile.text import is_json
from warmdown.plot.view import View
from warmdown.run import Run
from warmdown.schedules.base import PlainData
from warmdown.studio.draft.decoding import decoded
from warmdown.studio.draft.document import (
    NOT_TARGETS,
    OF_LOADER,
    ByMark,
    Draft,
    Path,
    Reading,
    TargetRow,
    class_paths,
    expanded,
    get,
    is_at,
    is_under,
    mark_of,
    phases_of,
    put,
    read,
    targets_in,
)
from warmdown.studio.draft.fields import Shape, known_shape
from warmdown.studio.draft.history import History
from warmdown.studio.draft.joints import inserted, is_joined, joint, put_joined, value_at
from warmdown.studio.draft.wording import message_of
from warmdown.studio.page.parts import Act
from warmdown.studio.preview.outlook import Outlook, foresee, with_loss
from warmdown.studio.preview.preview import Preview, Summary, Window, preview, summarize
from warmdown.studio.preview.spans import findings_by_mark, spans
from warmdown.studio.security.folder import Folder, Stamp
from warmdown.studio.security.worker import Ended, Worker

if TYPE_CHECKING:
    from warmdown.forecast import Law

Event: TypeAlias = Literal[
    "draft", "typed", "moved", "view", "summary", "forecast", "file", "theme", "kept", "focus"
]
"""After a key only the curve listens, to ``typed``: any other change makes the browser build the
page again, which takes longer than to draw. The rest follows with ``summary``."""

NEEDS_YES = "this class is not of a known library: it runs only when you say yes."
"""The message at a class path until a person has decided."""
_PAUSE = 0.25
"""Seconds after the last key until tables, findings and texts follow the curve."""
_MOMENT = 0.1
"""Seconds from a key to the question to the law, which takes the time of many curves."""


@final
@dataclass
class AppContext:
    """What all tabs of one server share.

    Args:
        folder: The one that plans are opened from and saved to.
        worker: Where foreign classes run.
        start: What a new tab shows.
        watch: The folder of runs to watch, if any.
        law: What a new tab predicts the loss by, if anything.
        bring: A configuration of the folder that a new tab shows as a plan, if any.
        is_read_only: Whether nothing is written: no plan, and nothing to a running job.
    """

    folder: Folder
    worker: Worker
    start: Draft = field(default_factory=Draft)
    watch: FilePath | None = None
    law: Law | None = None
    bring: str = ""
    is_read_only: bool = False


@final
@dataclass(frozen=True)
class Candidate:
    """A plan that was kept to be compared.

    Args:
        name: In the picture; no two have the same.
        document: To go back to.
        view: Its curves.
    """

    name: str
    document: PlainData
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
        self.saved = app.start.document
        self.trusted: set[str] = set()
        self.parted: set[str] = set()
        self.classes: dict[str, Shape] = {}
        self.preview = Preview()
        self.summary = Summary()
        self.mistakes: ByMark = {}
        self.warnings: ByMark = {}
        self.reading = Reading({})
        self.is_asking = False
        self.focus_target = ""
        self.shown_marks: set[str] = set()
        self.law = app.law
        self.outlook = Outlook()
        self.outlooks: dict[View, Outlook] = {}
        self.window: Window | None = None
        self._subscribers: dict[Event, list[Act]] = defaultdict(list)
        self._summarizing: asyncio.Task[None] | None = None
        self._asking: asyncio.Task[None] | None = None
        self._resuming: asyncio.Task[None] | None = None
        self._edits = 0
        self._forecasting: asyncio.Task[None] | None = None
        self._foreign = Summary()
        self._moves = 0
        for event in ("typed", "view", "kept"):
            self.subscribe(event, self._forecast_soon)

    @property
    def draft(self) -> Draft:
        """What is typed, and the file that it is from."""
        return self.history.now

    @property
    def document(self) -> PlainData:
        """What is typed."""
        return self.history.now.document

    @property
    def row(self) -> TargetRow:
        """The target whose phases are shown."""
        rows = targets_in(self.document)
        return rows[min(self.target, len(rows) - 1)]

    @property
    def phases(self) -> tuple[Path, ...]:
        """The path of each phase that is shown."""
        return phases_of(self.document, self.row)

    @property
    def is_edited(self) -> bool:
        """Whether something is typed that no file holds."""
        return self.document != self.saved

    @property
    def run(self) -> Run | None:
        """Facts about the run, as far as they agree."""
        try:
            return run_from_dict(self.reading.data.get("run", {}))
        except WarmdownError:
            return None

    def get(self, path: Path) -> Any:
        """Return what stands at a path, or ``None``."""
        return get(self.document, path)

    def shape_at(self, path: Path) -> Shape | None:
        """Return the parameters of a schedule; ``None`` while its class was not described yet."""
        schedule = expanded(self.get(path))
        if "class_path" in schedule:
            return self.classes.get(str(schedule["class_path"] or ""))
        return known_shape(schedule)

    def type(self, path: Path, value: Any) -> None:
        """Take what was typed into the field of a path."""
        if path[-1] in ("start", "end", "value") and not self.draft.is_empty:
            typed = put_joined(self.document, self.row, path, value, self.parted)
        else:
            typed = put(self.document, path, value)
        self.history.edit(replace(self.draft, document=typed), burst=mark_of(path))
        self._changed("typed")

    def drag(self, document: PlainData, phase: int) -> None:
        """Take what was moved on the curve; the fields of that phase show it."""
        self.history.edit(replace(self.draft, document=document), burst=f"drag-{phase}")
        if self.open_phase != phase:
            self.open_phase = phase
            self._changed("draft")
        else:
            self._changed("typed")
            self.emit("moved")

    def toggle_joint(self, number: int) -> None:
        """Part a phase from the one before, or let it begin where that one ends."""
        ends = joint(self.document, self.row, number)
        if ends is None:
            return
        if is_joined(self.document, self.row, number, self.parted):
            self.parted.add(mark_of(ends[1]))
            self.refresh()
            return
        self.parted.discard(mark_of(ends[1]))
        if not is_joined(self.document, self.row, number, self.parted):
            self.put(ends[1], value_at(self.document, ends[0]))
        else:
            self.refresh()

    def insert(self, number: int, phase: PlainData) -> None:
        """Take one more phase, which begins where the one before it ends, and open it."""
        plan = self.preview.plan
        begin, stop = (
            spans(self.document, self.row, plan).get(self.phases[number - 1], (0, 0))
            if plan
            else (0, 0)
        )
        length = plan.length if plan else None
        share = 100 * (stop - begin) / length if length and stop > begin else 100.0
        self.open_phase = number
        self.change(inserted(self.document, self.row, number, phase, share=share))

    def put(self, path: Path, value: Any) -> None:
        """Take another schedule, or other rows, at a path."""
        self.change(put(self.document, path, value))

    def change(self, document: PlainData) -> None:
        """Go on to a document with other rows, phases or targets."""
        self.history.edit(replace(self.draft, document=document))
        self.refresh()

    def begin(self, draft: Draft) -> None:
        """Show another plan; undo brings back the one before, with its file."""
        # what another program's file says is in no file of ours yet
        self.saved = Draft().document if draft.report else draft.document
        self.target = self.open_phase = 0
        self.history.edit(replace(draft, lineage=self.draft.lineage + 1))
        self.refresh()
        self.emit("file")
        self.focus("preset-0" if draft.is_empty else "phase-0")  # what was pressed is gone

    def resume(self, draft: Draft, *, is_edited: bool) -> None:
        """Go on with what a tab had before it was loaded again."""
        if not draft.is_empty:
            self.history = History(draft)
            self.saved = Draft().document if is_edited else draft.document

    def resume_kept(self, plans: Mapping[str, PlainData]) -> None:
        """Compare with the plans that a tab had kept; those with classes are looked at later."""

        async def look() -> None:
            for name, document in plans.items():
                reading = read(document)
                if class_paths(document):
                    seen, _ = await preview_foreign(self.app.worker, reading, ())
                else:
                    seen = preview(reading.data, reading.bases)
                self.kept.append(Candidate(name, document, seen.view))
            self.emit("kept")

        if plans:
            self._resuming = asyncio.create_task(look())

    def saved_as(self, file: str, stamp: Stamp, text: str) -> None:
        """Remember that the file holds what is typed."""
        self.history.name_file(file, stamp, "" if is_json(file) else text)
        self.saved = self.document
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
            name = self._free_name(self.draft.file.rpartition(".")[0] or "kept")
            self.kept.append(Candidate(name, self.document, self.preview.view))
            self.emit("kept")

    def rename(self, candidate: Candidate, name: str) -> None:
        """Give a kept plan another name; one that is taken gets a number."""
        at, name = self.kept.index(candidate), name.strip()[:60]
        if name and name != candidate.name:
            self.kept[at] = replace(candidate, name=self._free_name(name))
        self.emit("kept")

    def _free_name(self, name: str) -> str:
        taken = {one.name for one in self.kept}
        numbered = (f"{name} {number}" for number in range(2, len(taken) + 3))
        return next(free for free in (name, *numbered) if free not in taken)

    def drop(self, candidate: Candidate) -> None:
        """Forget a kept plan."""
        self.kept.remove(candidate)
        self.emit("kept")

    def take_law(self, law: Law | None) -> None:
        """Predict the loss by a law, also in tabs to come; ``None`` predicts no more."""
        self.law = self.app.law = law
        self.outlook = Outlook()
        self.outlooks.clear()
        self.emit("forecast")
        self._forecast_soon()
        self._summarize_soon()

    def zoom(self, window: Window | None) -> None:
        """Look closely at a stretch of the run."""
        self.window = window
        self.outlooks.clear()
        self._forecast_soon()

    def mistakes_under(self, path: Path) -> ByMark:
        """Return what is wrong at a path and below it, where no field shows it now."""
        part = mark_of(path)
        return {
            mark: what
            for mark, what in self.mistakes.items()
            if is_under(mark, part) and not self.is_shown(mark)
        }

    def is_shown(self, mark: str) -> bool:
        """Whether a field of the page shows what is wrong at a mark."""
        return any(is_at(mark, shown) for shown in self.shown_marks)

    def go_to(self, mark: str) -> None:
        """Show the target and the phase that a mark lies in, and move the focus to its field."""
        for target, row in enumerate(targets_in(self.document)):
            if is_under(mark, mark_of(row.path)):
                inside = [is_under(mark, mark_of(path)) for path in phases_of(self.document, row)]
                self.target, self.open_phase = target, inside.index(True) if any(inside) else 0
                self.emit("draft")
        shown = (shown for shown in self.shown_marks if is_at(mark, shown))
        self.focus(next(shown, f"phase-{self.open_phase}"))

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
        self.target = max(min(self.target, len(targets_in(self.document)) - 1), 0)
        self.reading = read(self.document)
        self._edits += 1
        if not class_paths(self.document):
            self._take(preview(self.reading.data, self.reading.bases))
        elif self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask_until_answered())
        self.emit(event)
        if event != "typed":
            self.emit("view")
        self._summarize_soon()

    def _take(self, seen: Preview, at_classes: Mapping[str, str] | None = None) -> None:
        """Show a preview; what was drawn last stays while something is wrong."""
        is_right = bool(seen.view.lines) and not self.reading.mistakes
        if is_right or self.draft.is_empty or not self.preview.view.lines:
            self.preview = seen
        else:
            self.preview = Preview(self.preview.view)
        self.mistakes = {
            **self.reading.mistakes,
            **(at_classes or {}),
            **mistakes_by_mark(seen.mistakes, self.reading.data),
        }

    async def _ask_until_answered(self) -> None:
        """Ask again when the draft has changed meanwhile.

        A question is never cancelled, because that ends the process.
        """
        asked, self.is_asking = 0, True
        try:
            while asked != self._edits and class_paths(self.document):
                asked = self._edits
                await self._preview_foreign()
        finally:
            self.is_asking = False
            self._summarize_soon()

    async def _preview_foreign(self) -> None:
        """Describe each class that is not known yet, then let the other process draw them."""
        unknown = [path for path in class_paths(self.document) if path not in self.classes]
        wrong = {path: what for path in unknown if (what := await self._describe(path))}
        if wrong:
            self._take(Preview(), self._at_classes(wrong))
        else:
            seen, self._foreign = await preview_foreign(
                self.app.worker, self.reading, sorted(self.trusted)
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

    def _at_classes(self, wrong: Mapping[str, str]) -> ByMark:
        """Return what is wrong with class paths, by the mark of the field where each stands."""
        return {
            mark_of((*path, "class_path")): wrong[name]
            for name, paths in class_paths(self.document).items()
            for path in paths
            if name in wrong
        }

    def _summarize_soon(self) -> None:
        if self._summarizing is not None:
            self._summarizing.cancel()
        self._summarizing = asyncio.create_task(self._summarize())

    async def _summarize(self) -> None:
        await asyncio.sleep(_PAUSE)
        plan, summary = self.preview.plan, self._foreign
        if not class_paths(self.document):
            summary = summarize(self.preview.view, plan) if plan else Summary()
        self.summary = with_loss(summary, self.outlook)
        is_right = plan is not None and not self.mistakes
        self.warnings = (
            findings_by_mark(self.summary.findings, self.document, plan)
            if plan and is_right
            else {}
        )
        self.emit("summary")

    def _forecast_soon(self) -> None:
        self._moves += 1
        if self.law is not None and (self._forecasting is None or self._forecasting.done()):
            self._forecasting = asyncio.create_task(self._forecast())

    async def _forecast(self) -> None:
        """Ask the law in a thread, and again while the plan moves: no curve waits for it."""
        asked = 0
        while (law := self.law) is not None and asked != self._moves:
            await asyncio.sleep(_MOMENT)
            asked, window, outlook = self._moves, self.window, self.outlook
            if not self.mistakes and self.preview.view.lines:
                now = (self.preview, self.reading.bases, window)
                outlook = await asyncio.to_thread(foresee, law, *now)
            kept = {one.view: self.outlooks.get(one.view) for one in self.kept}
            for one in self.kept:
                kept[one.view] = kept[one.view] or await asyncio.to_thread(
                    _outlook_of, law, one, window
                )
            if law is self.law:
                self.outlook = outlook
                self.outlooks = {view: found for view, found in kept.items() if found}
                self.emit("forecast")
                self._summarize_soon()


def _outlook_of(law: Law, kept: Candidate, window: Window | None) -> Outlook:
    """Return what a law predicts for a kept plan; with foreign classes, by its curves."""
    reading, seen = read(kept.document), Preview(kept.view)
    if not class_paths(kept.document):
        seen = Preview(kept.view, preview(reading.data, reading.bases).plan)
    return foresee(law, seen, reading.bases, window)


def mistakes_by_mark(mistakes: Sequence[str], data: PlainData) -> ByMark:
    """Return each mistake by the mark of its value; one without a place has a number instead.

    A mistake at a place that no field is for belongs to the nearest part around it.
    """
    by_mark: ByMark = {}
    for number, mistake in enumerate(mistakes):
        place, colon, what = mistake.partition(": ")
        root = re.split(r"[.[]", place)[0]
        mark = f"plan.{place}" if colon and root in (*data, *NOT_TARGETS) else ""
        if place == "run.lr":
            mark = "groups[0].lr"
        elif place.removeprefix("run.") in OF_LOADER:
            mark = f"loader.{OF_LOADER[place.removeprefix('run.')]}"
        message = message_of(what if mark else mistake)
        if mark.startswith("plan.") and message.arguments:
            mark = f"{mark}.{message.arguments[0]}"  # the schedule's own message names the field
        by_mark[mark if mark and mark not in by_mark else f"#{number}"] = message.text
    return by_mark


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
    worker: Worker, plan: Reading, allow: Sequence[str]
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
