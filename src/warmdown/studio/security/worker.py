"""The process in which the page runs code of other libraries, with bounded time and memory."""

from __future__ import annotations

__all__ = ["Ended", "Worker"]

import asyncio
import contextlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any, TypeAlias, final

from warmdown.errors import WarmdownError
from warmdown.importing.fence_worker import LONGEST_START
from warmdown.studio.security.limits import LONGEST_ANSWER

Question: TypeAlias = dict[str, Any]
Answer: TypeAlias = dict[str, Any]


@final
class Ended(WarmdownError):
    """The process was ended, or ended itself, before it answered."""


@final
class Worker:
    """One process that answers one question at a time, as lines of JSON.

    Where it was ended, the next question starts another one.

    Args:
        folder: Where it looks for modules of one's own, after all installed ones.
    """

    def __init__(self, folder: str | Path = ".") -> None:
        self.folder = Path(folder).resolve()
        self._process: asyncio.subprocess.Process | None = None
        self._lock = asyncio.Lock()

    async def start(self) -> None:
        """Start the process, so that the first question need not wait for its imports."""
        async with self._lock:
            await self._running()

    async def ask(self, question: Question, *, seconds: float) -> Answer:
        """Return the answer.

        Args:
            question: Plain data; its ``task`` says what to do.
            seconds: After which the process is ended.

        Raises:
            Ended: It took too long, or crashed, as it does when it asks for too much memory.
        """
        async with self._lock:
            process = await self._running()
            try:
                return await asyncio.wait_for(_exchange(process, question), seconds)
            except TimeoutError:
                await self._end()
                raise Ended(
                    f"it took longer than {seconds:g} seconds, so it was ended. Give a shorter run."
                ) from None
            except (
                ConnectionError,
                asyncio.IncompleteReadError,
                asyncio.LimitOverrunError,
                ValueError,
            ):
                code = await self._wait_for_end()
                raise Ended(
                    f"it ended its process ({_exit_text(code)}). It may need too much memory."
                ) from None
            except asyncio.CancelledError:
                await (
                    self._end()
                )  # an answer that nobody waits for must not be taken for the next one
                raise

    async def close(self) -> None:
        """End the process."""
        await self._end()

    async def _running(self) -> asyncio.subprocess.Process:
        if self._process is not None and self._process.returncode is None:
            return self._process
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "warmdown.studio.security.child", str(self.folder),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            limit=LONGEST_ANSWER,
            start_new_session=True,  # so that what it starts is ended with it
        )  # fmt: skip
        try:
            await asyncio.wait_for(_next_line(self._process), LONGEST_START)
        except (TimeoutError, asyncio.IncompleteReadError):
            await self._end()
            raise Ended("its process did not start. Is torch installed?") from None
        return self._process

    async def _wait_for_end(self) -> int | None:
        """Return how the process ended; end it if it has not."""
        process, code = self._process, None
        if process is not None:
            with contextlib.suppress(TimeoutError):
                code = await asyncio.wait_for(process.wait(), 1.0)
        await self._end()
        return code

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
            process._transport.close()  # type: ignore[attr-defined]  # a pipe that nobody reads stays open otherwise


async def _exchange(process: asyncio.subprocess.Process, question: Question) -> Answer:
    assert process.stdin is not None
    process.stdin.write(json.dumps(question).encode() + b"\n")
    await process.stdin.drain()
    answer = json.loads(await _next_line(process))
    if not isinstance(answer, dict):
        raise ValueError("an answer is an object")
    return answer


async def _next_line(process: asyncio.subprocess.Process) -> bytes:
    assert process.stdout is not None
    return await process.stdout.readuntil(b"\n")


def _exit_text(code: int | None) -> str:
    if code is None:
        return "without an answer"
    return f"signal {-code}" if code < 0 else f"exit code {code}"
