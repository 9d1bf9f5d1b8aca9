"""One call of a tool: a command in a process of its own, bounded in time, memory and output."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from subprocess import DEVNULL
from typing import Any

from warmdown.system import NEW_GROUP, end_tree, end_with_parent, ending_after, limit_memory

MEMORY = 16 * 2**30
"""Bytes of address space; torch with its libraries maps several GiB before it does anything."""
_LARGEST_OUTPUT = 4 * 2**20
_PATIENCE = 5.0
"""Seconds that a process has to end itself before it is ended from here."""


class CallEnded(Exception):
    """A call that gave no answer; the message has the reason."""


async def run_command(words: list[str], place: Path, seconds: float) -> str:
    """Return what a command prints; it works in ``place`` and reads no other standard input.

    Raises:
        CallEnded: It took too long, was ended, or printed too much.
    """
    output = place / ".output"
    with output.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "warmdown.cli.call", str(seconds), *words,
            cwd=place, stdin=DEVNULL, stdout=file, stderr=DEVNULL, **NEW_GROUP,
        )  # fmt: skip
        try:
            code = await asyncio.wait_for(process.wait(), seconds + _PATIENCE)
        except TimeoutError:
            code = None
        finally:
            if process.returncode is None:  # also when the client is gone
                end_tree(process)  # type: ignore[arg-type]  # it has what is used of a Popen
                await process.wait()
    with output.open("rb") as file:
        printed = file.read(_LARGEST_OUTPUT + 1)
    if len(printed) > _LARGEST_OUTPUT:
        raise CallEnded(f"{words[0]}: more than {_LARGEST_OUTPUT >> 20} MiB. Ask for less.")
    if not printed.rstrip().endswith((b"]", b"}")):
        raise CallEnded(
            f"{words[0]}: no answer within {seconds:g} seconds or the memory of a call "
            f"(exit code {code}). Ask for less."
        )
    return printed.decode()


def run_in_child() -> Any:
    """Run the command of the arguments, within bounds that hold when the server is gone, too."""
    from warmdown.cli.main import main

    end_with_parent()
    limit_memory(MEMORY)
    with ending_after(float(sys.argv[1])):
        main(sys.argv[2:], prog_name="warmdown")


if __name__ == "__main__":
    run_in_child()
