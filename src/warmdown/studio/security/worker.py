"""The processes in which the page runs code of other libraries, with bounded time and memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, final

from warmdown.errors import ScheduleError, WarmdownError
from warmdown.importing.fence import Fence
from warmdown.schedules.base import PlainData

_WHO = "class"
_MOST = 3
"""Processes; each takes a core and, with torch, some 300 MB."""
_REST = 300.0
"""Seconds without a question after which a process is ended."""


@final
class Ended(WarmdownError):
    """The process was ended, or ended itself, before it answered."""


@final
class Worker:
    """A few processes that answer a question each, while the page goes on.

    A question that finds all of them busy starts another one, so that a slow class of one tab holds
    up no other tab; what rested for long is ended. Where one was ended, the next question starts it
    again.

    Args:
        folder: Where they look for modules of one's own, after all installed ones.
    """

    def __init__(self, folder: str | Path = ".") -> None:
        self.folder = Path(folder).resolve()
        self._room = asyncio.Semaphore(_MOST)
        self._resting: list[_Seat] = []
        self._busy: set[_Seat] = set()

    @property
    def processes(self) -> list[int]:
        """Return the number that the system has given to each process."""
        return [pid for seat in (*self._resting, *self._busy) if (pid := seat.fence.pid)]

    async def start(self) -> None:
        """Start a process, so that the first question need not wait for its imports."""
        async with self._seat() as seat:
            await seat.run(seat.fence.start, _WHO)

    async def ask(self, question: PlainData, *, seconds: float) -> PlainData:
        """Return the answer.

        Args:
            question: Plain data; its ``task`` names what to do.
            seconds: After which the process is ended.

        Raises:
            Ended: It took too long, or crashed, as it does when it asks for too much memory.
        """
        async with self._seat() as seat:
            try:
                answer = await seat.run(seat.fence.ask, _WHO, question, seconds)
            except (ScheduleError, ValueError, OSError) as error:
                raise Ended(str(error).removeprefix(f"{_WHO}: ")) from None
            except asyncio.CancelledError:
                seat.fence.end()  # a late answer must not be taken for the next one
                raise
        if not isinstance(answer, dict):
            raise Ended("it gave no answer.")
        return answer

    async def close(self) -> None:
        """End the processes."""
        for seat in (*self._resting, *self._busy):
            seat.close()
        self._resting.clear()

    @asynccontextmanager
    async def _seat(self) -> AsyncIterator[_Seat]:
        async with self._room:
            # the last that rested: so the others rest until they are ended
            seat = self._resting.pop() if self._resting else _Seat(self.folder)
            seat.wake()
            self._busy.add(seat)
            try:
                yield seat
            finally:
                self._busy.discard(seat)
                at = len(self._resting) if seat.fence.pid else 0  # what was ended starts slowly
                self._resting.insert(at, seat)
                seat.rest(self._end)

    def _end(self, seat: _Seat) -> None:
        self._resting.remove(seat)
        seat.close()


@final
class _Seat:
    """One process, and the thread that waits for it.

    Linux ends a process with the thread that started it, so that thread stays; and a class that is
    slow takes no thread from the page.
    """

    def __init__(self, folder: Path) -> None:
        self.fence = Fence("warmdown.studio.security.child", folder)
        self._thread = ThreadPoolExecutor(1)
        self._ending: asyncio.TimerHandle | None = None

    async def run(self, act: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, act, *arguments)

    def rest(self, end: Callable[[_Seat], None]) -> None:
        self._ending = asyncio.get_running_loop().call_later(_REST, end, self)

    def wake(self) -> None:
        if self._ending is not None:
            self._ending.cancel()

    def close(self) -> None:
        self.wake()
        self.fence.end()
        self._thread.shutdown(wait=False)
