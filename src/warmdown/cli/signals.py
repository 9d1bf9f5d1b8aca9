"""Ctrl-C in a command that trains, and a task of one's own in the folder of the call."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import click

from warmdown.cli.main import INTERRUPTED
from warmdown.cli.say import say


def add_cwd_to_path() -> None:
    """Look for modules in the current folder too: a task of one's own lies there."""
    if "" not in sys.path:
        sys.path.append("")  # last, so that no file there is taken for an installed library


def resume_hint(out: Path) -> str:
    """Return how to resume in a folder that keeps every run."""
    return f"Every run that was finished is in {out}: the same command resumes there."


@contextmanager
def ends_by_ctrl_c(hint: str) -> Iterator[None]:
    """Let Ctrl-C end the block with one line and exit code 130; a second Ctrl-C ends it at once.

    Args:
        hint: What is left then, as a sentence.
    """
    presses = count()

    def obey(*_: Any) -> None:
        if next(presses):
            os._exit(INTERRUPTED)
        raise KeyboardInterrupt

    # only the main thread of a process may set a handler
    is_main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGINT, obey) if is_main else None
    try:
        yield
    except KeyboardInterrupt:
        say(f"\nInterrupted. {hint}", err=True)  # a terminal has written ^C on the line before
        raise click.exceptions.Exit(INTERRUPTED) from None
    finally:
        if is_main:
            signal.signal(signal.SIGINT, before)
