"""Everything that can go wrong, in one tree.

::

    WarmdownError
    ├── ScheduleError   (ValueError)    a schedule that cannot be, or is not ready to be asked
    ├── RunError        (ValueError)    a duration the run cannot measure
    ├── SpecError       (ValueError)    text that is no plan; holds every mistake with its path
    ├── BindingError    (ValueError)    a target that the live object does not have
    ├── StateError      (ValueError)    a state that is damaged, or of another plan
    ├── TrainingError   (RuntimeError)  a run that cannot start, go on or resume
    └── MissingExtra    (ImportError)   an optional library is not installed

Every message reads ``who(field=value): what is wrong. The way out.``
"""

from __future__ import annotations

__all__ = [
    "BindingError",
    "MissingExtra",
    "RunError",
    "ScheduleError",
    "SpecError",
    "StateError",
    "TrainingError",
    "WarmdownError",
    "nearest",
]

import difflib
from collections.abc import Iterable, Sequence


class WarmdownError(Exception):
    """The root of every error that warmdown raises on purpose."""


class ScheduleError(WarmdownError, ValueError):
    """A schedule was given values it cannot have, or was asked before its lengths were known."""


class RunError(WarmdownError, ValueError):
    """A duration cannot be measured on this run, or the run contradicts itself."""


class SpecError(WarmdownError, ValueError):
    """A text is no plan.

    Args:
        mistakes: Every mistake found, each as ``path: what is wrong. The way out.``
    """

    def __init__(self, mistakes: Sequence[str]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__("\n".join(self.mistakes))


class BindingError(WarmdownError, ValueError):
    """A target names something that the optimizer or object does not have."""


class StateError(WarmdownError, ValueError):
    """A saved state is damaged, or belongs to another plan."""


class TrainingError(WarmdownError, RuntimeError):
    """A training run cannot start, go on or resume."""


class MissingExtra(WarmdownError, ImportError):
    """A feature needs an optional library.

    Args:
        feature: What was asked for, as a noun: ``plot``.
        library: The library that is missing, as it is imported.
        extra: The extra that installs it.
    """

    def __init__(self, feature: str, library: str, extra: str) -> None:
        super().__init__(f"{feature} needs {library}: pip install 'warmdown[{extra}]'")


def nearest(word: str, known: Iterable[str]) -> str:
    """Say what exists instead of ``word``: the nearest name, or all of them when none is near.

    Example:
        >>> nearest("cosin", ["cosine", "linear"])
        "Did you mean 'cosine'?"
    """
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1)
    return f"Did you mean {close[0]!r}?" if close else f"Known: {', '.join(names)}."
