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

What goes wrong silently is a warning, said once; ``Scheduler(strict=True)`` raises it instead::

    WarmdownWarning (UserWarning)
    ├── StepBeforeUpdate    scheduler.step() came before the first update
    ├── StepTwice           … twice for each update
    ├── StepForgotten       … never, for many updates
    ├── StepPerEpoch        … once for many updates, again and again
    ├── StepPerUpdate       … far more often than the plan has steps
    ├── SchedulerLost       it was to count by itself, and nothing refers to it
    ├── OptimizerUnused     the optimizer is not the one that makes the updates
    ├── UpdatesUnseen       the optimizer's updates run no hooks
    ├── BaseDiffers         something else than the last schedule has set the value
    ├── ForeignWrite        something else writes the same field
    ├── ZeroBase            a base value of 0 is scaled
    ├── ZeroOverwritten     a group that had 0 gets the value that is set for all
    ├── FarBelowBase        a factor is so small that it was probably meant as the value
    ├── FactorsAsValues     a rate peaks at exactly 1: factors were probably set as values
    ├── NegativeValue       a rate or another number falls below zero
    ├── OutOfRange          a momentum or beta reaches 1
    ├── MetricForgotten     a schedule waits for a metric that is never observed
    ├── MetricUnused        a metric was observed that no schedule waits for
    ├── MetricUnusable      a metric was NaN
    ├── LengthMismatch      data has more or less than its length promised
    ├── AmountMismatch      updates use another amount of data than the run gives
    ├── PastEnd             the run goes on past its planned end
    └── StoppedEarly        the run ended before its planned end

Every message reads ``who(field=value): what is wrong. The way out.``
"""

from __future__ import annotations

__all__ = [
    "AmountMismatch",
    "BaseDiffers",
    "BindingError",
    "FactorsAsValues",
    "FarBelowBase",
    "ForeignWrite",
    "LengthMismatch",
    "MetricForgotten",
    "MetricUnusable",
    "MetricUnused",
    "MissingExtra",
    "NegativeValue",
    "OptimizerUnused",
    "OutOfRange",
    "PastEnd",
    "RunError",
    "ScheduleError",
    "SchedulerLost",
    "SpecError",
    "StateError",
    "StepBeforeUpdate",
    "StepForgotten",
    "StepPerEpoch",
    "StepPerUpdate",
    "StepTwice",
    "StoppedEarly",
    "TrainingError",
    "UpdatesUnseen",
    "WarmdownError",
    "WarmdownWarning",
    "ZeroBase",
    "ZeroOverwritten",
    "nearest",
]

import codecs
import re
import warnings
from collections.abc import Iterable, Sequence
from typing import TextIO

# compiled when first used: an import prints nothing
_OBEYED = "\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff"
"""Control characters, direction of writing, separators of lines, and halves of characters."""


def printable(text: str, *, as_line: bool = False) -> str:
    r"""Return a text with every character escaped that a terminal obeys and does not show.

    Args:
        text: Any text; line ends and tabs stay.
        as_line: Whether line ends and tabs are escaped too: a name cannot then forge a line of its
            own.

    Example:
        >>> printable("warm\x1b[2Jup"), printable("a\nb", as_line=True)
        ('warm\\x1b[2Jup', 'a\\nb')
    """
    obeyed = f"[{_OBEYED}\t\n]" if as_line else f"[{_OBEYED}]"
    return re.sub(obeyed, lambda match: ascii(match[0])[1:-1], text)


_LOOK_ALIKES = {
    **dict(zip("▁▂▃▄▅▆▇█", "_.-~=+*#", strict=True)),
    **dict(zip("│─└┤┬", "|-++|", strict=True)),
    **dict(zip("×·–—−“”‘’µ", "x----\"\"''u", strict=True)),
    "\u2800": " ",
    "…": "...",
    "±": "+-",
    "→": "->",
}
_NAME_OF_HANDLER = "warmdown-look-alikes"


def use_look_alikes(stream: TextIO) -> None:
    """Let a stream write in ASCII what its encoding lacks: curves and marks, else an escape."""
    codecs.register_error(_NAME_OF_HANDLER, _look_alikes)
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors=_NAME_OF_HANDLER)


def encodable(text: str, stream: TextIO | None) -> str:
    """Return a text as a stream can write it, with look-alikes for what its encoding lacks."""
    codecs.register_error(_NAME_OF_HANDLER, _look_alikes)
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, _NAME_OF_HANDLER).decode(encoding)


def _look_alikes(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    characters = error.object[error.start : error.end]
    return "".join(map(_look_alike, characters)), error.end


def _look_alike(character: str) -> str:
    if "\u2800" < character <= "\u28ff":
        return _stroke(ord(character) - 0x2800)
    return _LOOK_ALIKES.get(character) or ascii(character)[1:-1]


def _stroke(dots: int) -> str:
    """Return the stroke that two columns of four braille dots are nearest to."""
    left = [row for row, bit in enumerate((0, 1, 2, 6)) if dots >> bit & 1]
    right = [row for row, bit in enumerate((3, 4, 5, 7)) if dots >> bit & 1]
    if max(len(left), len(right)) > 2:
        return "|"
    if left and right:
        slope = sum(left) / len(left) - sum(right) / len(right)
        if abs(slope) >= 1:
            return "/" if slope > 0 else "\\"
    rows = left + right
    return "'--."[round(sum(rows) / len(rows))]


class WarmdownError(Exception):
    """The root of every error that warmdown raises on purpose; safe to print in a terminal."""

    def __str__(self) -> str:
        return printable(super().__str__())


class ScheduleError(WarmdownError, ValueError):
    """A schedule was given values it cannot have, or was asked before its lengths were known."""


class RunError(WarmdownError, ValueError):
    """A duration cannot be measured on this run, or the run contradicts itself."""


class SpecError(WarmdownError, ValueError):
    """A text is no plan.

    Args:
        mistakes: Every mistake found, each as ``path: what is wrong. The way out.``; or the one.
    """

    def __init__(self, mistakes: str | Sequence[str]) -> None:
        every = [mistakes] if isinstance(mistakes, str) else mistakes
        self.mistakes = tuple(map(printable, every))
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


class WarmdownWarning(UserWarning):
    """The root of every warning: a use that goes wrong silently.

    ``code`` names it in the message, and is the anchor of its section in ``docs/misuse.md``.
    """

    code = "misuse"

    def __str__(self) -> str:
        return printable(super().__str__())


class StepBeforeUpdate(WarmdownWarning):
    """``scheduler.step()`` was called before the optimizer's first update."""

    code = "step-before-update"


class StepTwice(WarmdownWarning):
    """``scheduler.step()`` is called twice for each update."""

    code = "step-twice"


class StepForgotten(WarmdownWarning):
    """Many updates were made, and ``scheduler.step()`` was not called."""

    code = "step-forgotten"


class StepPerEpoch(WarmdownWarning):
    """``scheduler.step()`` is called once for many updates, while the plan counts updates."""

    code = "step-per-epoch"


class StepPerUpdate(WarmdownWarning):
    """Far more updates were made than the plan has: its steps seem to mean epochs."""

    code = "step-per-update"


class SchedulerLost(WarmdownWarning):
    """A scheduler that was to count by itself is gone, because nothing refers to it."""

    code = "scheduler-lost"


class OptimizerUnused(WarmdownWarning):
    """Parameters change, but not by the optimizer that the scheduler is bound to."""

    code = "optimizer-unused"


class UpdatesUnseen(WarmdownWarning):
    """Parameters change, and the optimizer runs no hooks that show its updates."""

    code = "updates-unseen"


class BaseDiffers(WarmdownWarning):
    """A group has neither its base value nor what a schedule wrote there last."""

    code = "base-differs"


class ForeignWrite(WarmdownWarning):
    """A driven field was written from outside."""

    code = "foreign-write"


class ZeroBase(WarmdownWarning):
    """A schedule scales a base value of 0."""

    code = "zero-base"


class ZeroOverwritten(WarmdownWarning):
    """A value that is set for all groups reaches groups that had 0."""

    code = "zero-overwritten"


class FarBelowBase(WarmdownWarning):
    """A factor stays so small that it was probably meant as the value itself."""

    code = "far-below-base"


class FactorsAsValues(WarmdownWarning):
    """A rate that is set peaks at exactly 1, as factors do."""

    code = "factors-as-values"


class NegativeValue(WarmdownWarning):
    """A rate, weight decay, momentum or beta falls below zero."""

    code = "negative"


class OutOfRange(WarmdownWarning):
    """A momentum or beta reaches 1."""

    code = "out-of-range"


class MetricForgotten(WarmdownWarning):
    """A schedule waits for a metric that is never observed."""

    code = "metric-forgotten"


class MetricUnused(WarmdownWarning):
    """A metric was observed that no schedule waits for."""

    code = "metric-unused"


class MetricUnusable(WarmdownWarning):
    """A metric that a schedule waits for was NaN."""

    code = "metric-unusable"


class LengthMismatch(WarmdownWarning):
    """A pass over the data has more or less than its length promised."""

    code = "length-mismatch"


class AmountMismatch(WarmdownWarning):
    """Updates use another amount of data than the run gives."""

    code = "amount-mismatch"


class PastEnd(WarmdownWarning):
    """An update was made past the planned end."""

    code = "past-end"


class StoppedEarly(WarmdownWarning):
    """The run ended before its planned end."""

    code = "stopped-early"


def warn_renamed(old: str, new: str) -> None:
    """Warn that a public name has another one now; the old one goes in 0.2.

    Args:
        old: The name that was used, as the caller writes it.
        new: The name to use instead.
    """
    warnings.warn(
        f"{old} is now {new}; the old name goes in 0.2.", DeprecationWarning, stacklevel=3
    )


def nearest(word: str, known: Iterable[str]) -> str:
    """Return what exists instead of ``word``: the nearest name, or all of them when none is near.

    Example:
        >>> nearest("cosin", ["cosine", "linear"])
        "Did you mean 'cosine'?"
    """
    import difflib  # takes 2 ms, and is needed for mistakes alone

    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1)
    return f"Did you mean {close[0]!r}?" if close else f"Known: {', '.join(names)}."
