"""How a command that trains is called: a task of one's own lies here, and Ctrl-C ends it in one line."""

from __future__ import annotations

__all__ = ["ends_by_ctrl_c", "goes_on_from", "look_here"]

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


def look_here() -> None:
    """Look for modules in the folder that the command is called in, too: a task of one's own lies there."""
    if "" not in sys.path:
        sys.path.append("")  # last, so that no file there is taken for an installed library


def goes_on_from(out: Path) -> str:
    """Return what there is to know of a folder that keeps every run."""
    return f"Every run that was finished is in {out}: the same command goes on from there."


@contextmanager
def ends_by_ctrl_c(says: str) -> Iterator[None]:
    """Let Ctrl-C end what is inside: one line and exit code 130; a second Ctrl-C does not wait for the tidying up.

    Args:
        says: What there is to know then, as a sentence.
    """
    try:
        with _a_second_ends_at_once():
            yield
    except KeyboardInterrupt:
        say(f"\nInterrupted. {says}", err=True)  # a terminal has written ^C on the line before
        raise click.exceptions.Exit(INTERRUPTED) from None


@contextmanager
def _a_second_ends_at_once() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    presses = count()

    def obey(*_: Any) -> None:
        if next(presses):
            os._exit(INTERRUPTED)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, obey)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
