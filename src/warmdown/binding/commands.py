"""What a running job is asked from outside: read by the first process, agreed by all of them."""

from __future__ import annotations

__all__ = ["Commands"]

import os
import time
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from warmdown.binding.clock import AllGather, is_distributed
from warmdown.binding.events import EVENTS
from warmdown.errors import TrainingError, WarmdownError
from warmdown.mailbox import OF_LOOP, Answer, Mailbox, Request

if TYPE_CHECKING:
    from warmdown.binding.targets import ValueWriter

_POINTS = 400
"""Updates of a curve that a trial shows."""
_MOST_CURVES = 16


class Commands:
    """Listens for requests in the folder of a run, at little cost to a step.

    The first process looks about once a second; all of them exchange what it found at the same
    update, after as many updates as that takes at the pace of late.

    Args:
        folder: Of the run; requests lie in ``commands`` below it. Give each scheduler its own.
        every: Most updates between two exchanges.
        seconds: Least time between two looks.

    Raises:
        TrainingError: ``every`` is less than 1, or the folder cannot be made.

    Example:
        >>> import torch, warmdown as wd
        >>> optimizer = torch.optim.SGD(torch.nn.Linear(2, 2).parameters(), lr=0.4)
        >>> listening = wd.Commands("runs/x", every=256)
        >>> scheduler = wd.Scheduler(optimizer, lr=wd.Constant(), commands=listening)
    """

    def __init__(self, folder: str | Path, every: int = 4_096, seconds: float = 1.0) -> None:
        if every < 1:
            raise TrainingError(f"Commands(every={every}): at least 1 update is needed.")
        self.folder, self.every, self.seconds = Path(folder), every, seconds
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise TrainingError(
                f"Commands({str(folder)!r}): no folder can be made there: "
                f"{error.strerror or error}. Give another place, or leave commands out."
            ) from None
        self._mailbox = Mailbox(self.folder)

    def begin(self, count: int) -> None:
        """Begin, or go on, at an update; what a resumed run had been asked later is done again."""
        self.due = count + 1
        """The update before which all processes exchange what is asked."""
        self._began = count
        self._is_new = True
        self._looked = -self.seconds
        self._paced = (time.monotonic(), count)
        self._stride = self.every if not self.seconds else 1
        self._unread: deque[str] = deque()
        self._again: deque[tuple[int, Request]] = deque()
        """What was done before at updates that are still to come: the run was resumed."""
        self._stale = set() if count or not _is_first() else set(self._mailbox.waiting())
        """What was asked before this run began."""

    def exchange(self, writer: ValueWriter, gather: AllGather) -> list[Request]:
        """Return what all processes do before the next update; each of them calls it at once."""
        update = writer.count + 1
        found = self._look(update, writer) if _is_first() else None
        asked, self.due = gather(found)[0]
        return list(asked)

    def _look(self, update: int, writer: ValueWriter) -> tuple[list[Request], int]:
        """Return what is to be done before an update, and the next at which to exchange."""
        asked: list[Request] = []
        now = time.monotonic()
        with suppress(OSError):  # a disk that is gone must not end a training: later, then
            if self._is_new:
                self._take_up()
            while self._again and self._again[0][0] <= update:
                asked.append(self._again.popleft()[1])
            if not self._unread and now - self._looked >= self.seconds:
                self._looked = now
                self._unread.extend(self._mailbox.waiting())
            # one at a time: whether one can be done may depend on the one before
            if self._unread and not asked:
                asked += self._judged(self._unread.popleft(), update, writer)
        began, count = self._paced
        pace = (now - began) / max(update - count, 1)
        self._paced = (now, update)
        paced = int(self.seconds / pace) if self.seconds and pace > 0 else self.every
        # at most twice the last: where updates become slower, it is found out in time
        self._stride = stride = max(min(paced, self.every, 2 * self._stride), 1)
        due = update + (1 if self._unread else stride)
        return asked, min([due, *(at for at, _ in self._again)])

    def _take_up(self) -> None:
        """Find what was done later than here; of a new run, refuse what another one was asked."""
        self._is_new = False
        if self._began:
            later = self._mailbox.done_after(self._began)
            self._again.extend(one for one in later if one[1].command != "stop")
            return
        self._mailbox.put_aside()
        for name in self._stale:
            text = f"{name.removesuffix('.json')}: asked before this run began. Ask again."
            self._mailbox.answer(name, Answer(outcome="refused", text=text))

    def _judged(self, name: str, update: int, writer: ValueWriter) -> list[Request]:
        """Answer the request in a file, and return it if it is to be done."""
        try:
            request = self._mailbox.read(name)
            after = None if request.command in OF_LOOP else _timeline_with(request, writer)
            end = None if after is None or after.end is None else int(after.end)
        except WarmdownError as error:
            self._mailbox.answer(name, Answer(outcome="refused", text=str(error)))
            return []
        if request.is_trial:
            curves = None if after is None else _curves_of_trial(writer, after)
            text = f"{request}: this would come of it from update {update:,} on."
            answer = Answer(outcome="shown", text=text, update=update, end=end, curves=curves)
            self._mailbox.answer(name, answer)
            return []
        # answered first: a process that is killed here does it when it is resumed
        text = f"{request}: from update {update:,} on."
        self._mailbox.answer(name, Answer(outcome="done", text=text, update=update, end=end))
        return [request]


def _timeline_with(request: Request, writer: ValueWriter) -> Any:
    """Return the timeline on which a request was done.

    Raises:
        WarmdownError: It cannot be done.
    """
    return writer.timeline.after(EVENTS[request.command](writer, **request.arguments))


def _curves_of_trial(writer: ValueWriter, after: Any) -> dict[str, Any]:
    """Return the values of the whole run before and after, by label."""
    before = writer.timeline
    ends = [timeline.end for timeline in (before, after)]
    stop = max([end for end in ends if end is not None], default=2 * int(writer.position) + 1000)
    steps = np.unique(np.linspace(0, max(stop - 1, 1), _POINTS).round())
    lines = {}
    for group in [group for target in writer.targets for group in target.groups][:_MOST_CURVES]:
        values = {}
        for name, timeline in (("before", before), ("after", after)):
            # an event of some groups alone gives them a line of their own
            line = timeline.own_line(group.follows, group.key.partition("/")[2])
            values[name] = group._replace(follows=line).values(timeline, steps).tolist()
        lines[group.label] = values
    return {"steps": steps.tolist(), "lines": lines, "ends": ends}


def _is_first() -> bool:
    if is_distributed():
        return torch.distributed.get_rank() == 0
    return os.environ.get("RANK", "0") == "0"
