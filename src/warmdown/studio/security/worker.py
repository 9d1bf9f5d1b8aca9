"""The process in which the page runs code of other libraries, with bounded time and memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, final

from warmdown.errors import ScheduleError, WarmdownError
from warmdown.importing.fence import Fence
from warmdown.schedules.base import PlainData

_WHO = "class"


@final
class Ended(WarmdownError):
    """The process was ended, or ended itself, before it answered."""


@final
class Worker:
    """One process that answers one question at a time, while the page goes on.

    Where it was ended, the next question starts another one.

    Args:
        folder: Where it looks for modules of one's own, after all installed ones.
    """

    def __init__(self, folder: str | Path = ".") -> None:
        self.folder = Path(folder).resolve()
        self.fence = Fence("warmdown.studio.security.child", self.folder)
        self._lock = asyncio.Lock()
        # Linux ends the child with the thread that started it, so that thread stays; and a class
        # that is slow takes no thread from the page
        self._thread = ThreadPoolExecutor(1)

    async def start(self) -> None:
        """Start the process, so that the first question need not wait for its imports."""
        async with self._lock:
            await self._run(self.fence.start, _WHO)

    async def ask(self, question: PlainData, *, seconds: float) -> PlainData:
        """Return the answer.

        Args:
            question: Plain data; its ``task`` names what to do.
            seconds: After which the process is ended.

        Raises:
            Ended: It took too long, or crashed, as it does when it asks for too much memory.
        """
        async with self._lock:
            try:
                answer = await self._run(self.fence.ask, _WHO, question, seconds)
            except (ScheduleError, ValueError, OSError) as error:
                raise Ended(str(error).removeprefix(f"{_WHO}: ")) from None
            except asyncio.CancelledError:
                self.fence.end()  # a late answer must not be taken for the next one
                raise
        if not isinstance(answer, dict):
            raise Ended("it gave no answer.")
        return answer

    async def close(self) -> None:
        """End the process."""
        self.fence.end()

    async def _run(self, act: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, act, *arguments)
