"""The process in which the page has code of other libraries run."""

from __future__ import annotations

__all__ = ["main"]

import ctypes
import os
import signal
import sys
from collections.abc import Mapping

from warmdown.importing.fence_worker import Task, serve

_DEATH_SIGNAL = 1
"""Linux's ``PR_SET_PDEATHSIG``."""


def main(folder: str) -> None:
    """Answer until the parent is gone."""
    _end_with_parent()
    os.chdir(folder)  # what is here is not taken for a library, whatever is installed
    sys.path.append(folder)  # last, so that no file there is taken for an installed library
    serve(_tasks)


def _tasks() -> Mapping[str, Task]:
    """Return what can be asked."""
    from warmdown.studio.preview.foreign import describe_class, look_at

    return {"describe": describe_class, "look": look_at}


def _end_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_DEATH_SIGNAL, signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1])
