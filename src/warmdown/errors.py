"""Everything that can go wrong, in one tree.

::

    WarmdownError
    ├── ScheduleError   (ValueError)    a schedule that cannot be, or is not ready to be asked
    ├── RunError        (ValueError)    a duration the run cannot measure
    ├── SpecError       (ValueError)    text that is no plan; holds every mistake with its path
    ├── BindingError    (ValueError)    a target that the live object does not have
    ├── StateError      (ValueError)    a state that is damaged, or of another plan
    ├── ForecastError   (ValueError)    logs that no law can be read off, or a plan beyond all laws
    ├── TrainingError   (RuntimeError)  a run that cannot start, go on or resume
    ├── UnknownName     (AttributeError) warmdown has nothing of this name
    ├── UnknownImport   (ImportError)   … and none to import
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
    ├── FarFromBase         a rate peaks at over 100 times, or under a hundredth of, the optimizer's
    ├── FactorsAsValues     a rate peaks at exactly 1: factors were probably set as values
    ├── NegativeValue       a rate or another number falls below zero
    ├── OutOfRange          a momentum or beta reaches 1
    ├── MetricForgotten     a schedule waits for a metric that is never observed
    ├── MetricUnused        a metric was observed that no schedule waits for
    ├── MetricUnusable      a metric was NaN
    ├── LengthMismatch      data has more or less than its length promised
    ├── AmountMismatch      updates use another amount of data than the run gives
    ├── PastEnd             the run goes on past its planned end
    ├── StoppedEarly        the run ended before its planned end
    └── WorkersMissing      a cluster has no worker yet, or one that cannot make the runs

Every message reads ``who(field=value): what is wrong. The way out.``
"""

from __future__ import annotations

__all__ = [
    "AmountMismatch",
    "BaseDiffers",
    "BindingError",
    "FactorsAsValues",
    "FarBelowBase",
    "FarFromBase",
    "ForecastError",
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
    "UnknownImport",
    "UnknownName",
    "UpdatesUnseen",
    "WarmdownError",
    "WarmdownWarning",
    "WorkersMissing",
    "ZeroBase",
    "ZeroOverwritten",
    "nearest",
]

import codecs
import re
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

if TYPE_CHECKING:
    import inspect

_Made = TypeVar("_Made")
_LONGEST = 60
"""Characters of a value that an error shows."""
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


class ForecastError(WarmdownError, ValueError):
    """Logs from which no law can be read, or a plan that no law can say anything about."""


class TrainingError(WarmdownError, RuntimeError):
    """A training run cannot start, go on or resume."""


class UnknownName(WarmdownError, AttributeError):
    """The package has nothing of this name; the message leads to what there is."""


class UnknownImport(WarmdownError, ImportError):
    """A name was to be imported that the package does not have."""


class MissingExtra(WarmdownError, ImportError):
    """A feature needs an optional library.

    Args:
        feature: What was asked for, as a noun: ``plot``.
        library: The library that is missing, as it is imported.
        extra: The extra that installs it.
        package: The package that has it, where no extra does.
    """

    def __init__(self, feature: str, library: str, extra: str = "", *, package: str = "") -> None:
        wanted = f"'warmdown[{extra}]'" if extra else package or library
        super().__init__(f"{feature} needs {library}: pip install {wanted}")


def import_extra(module: str, feature: str, library: str, extra: str) -> Any:
    """Return a module of an optional library.

    Args:
        module: The module.
        feature: What was asked for, as a noun: ``plot``.
        library: The library, as it is imported.
        extra: The extra that installs it.

    Raises:
        MissingExtra: It is not installed.
    """
    try:
        return import_module(module)
    except ImportError:
        raise MissingExtra(feature, library, extra) from None


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


class FarFromBase(WarmdownWarning):
    """A rate peaks at over 100 times the optimizer's, or under a hundredth of it."""

    code = "far-from-base"


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


class WorkersMissing(WarmdownWarning):
    """A cluster has no worker yet, or one that joined lacks what the runs need."""

    code = "workers-missing"


OLD_NAMES_GO_IN = "0.2"
"""The first version without the names that warn today; a test holds it above the present one."""


def warn_renamed(old: str, new: str, *, level: int = 3) -> None:
    """Warn that a public name has another one now, and when the old one goes.

    Args:
        old: The name that was used, as the caller writes it.
        new: The name to use instead.
        level: Frames from here to the caller who wrote the old name.
    """
    warnings.warn(
        f"{old} is now {new}; the old name goes in {OLD_NAMES_GO_IN}.",
        DeprecationWarning,
        stacklevel=level,
    )


def nearest(word: str, known: Iterable[str]) -> str:
    """Return what exists instead of ``word``: the nearest name, or all of them when none is near.

    What another library calls by this word goes first.

    Example:
        >>> nearest("cosin", ["cosine", "linear"])
        "Did you mean 'cosine'?"
    """
    import difflib  # takes 2 ms, and is needed for mistakes alone

    names = sorted(known)
    # the words stand in a room above; the package has filled the registry
    words = sys.modules["warmdown.registry"].provided("other_words")
    if other := words.own_argument(word, names):
        return str(other)
    close = difflib.get_close_matches(word, names, n=1)
    return f"Did you mean {close[0]!r}?" if close else f"Known: {', '.join(names)}."


class ClearArguments(type):
    """The metaclass of what people make by calling it; a call that does not fit gets our error."""

    @property
    def __signature__(cls) -> inspect.Signature:
        """The signature of ``__init__``, as ``inspect`` finds it without this metaclass."""
        return signature_without_self(cls.__init__)  # type: ignore[misc]

    def __call__(cls: type[_Made], *args: Any, **kwargs: Any) -> _Made:
        """Return an instance.

        Raises:
            WarmdownError: An argument has another name, no name or no place here, or is missing.
        """
        try:
            return super().__call__(*args, **kwargs)  # type: ignore[misc, no-any-return]
        except TypeError as error:
            kind = getattr(cls, "of_arguments", ScheduleError)
            found = misfit(cls, args, kwargs, kind)
            if missing := sorted(getattr(cls, "__abstractmethods__", ())):
                text = f"{cls.__name__}(): it is abstract, without {', '.join(missing)}."
                found = kind(f"{text} Use a class that has it, or write one.")
            raise (error if found is None else found) from None


def signature_without_self(method: Callable[..., Any]) -> inspect.Signature:
    """Return the signature of a method as its instance's caller sees it."""
    import inspect  # takes longer than all else here, and is needed for mistakes alone

    signature = inspect.signature(method)
    return signature.replace(parameters=list(signature.parameters.values())[1:])


def misfit(
    call: Callable[..., Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    kind: type[WarmdownError] = ScheduleError,
) -> WarmdownError | None:
    """Return the error of arguments that do not fit what is called, or ``None`` where they do.

    Example:
        >>> from warmdown import Cosine
        >>> print(misfit(Cosine, (), {"stepz": 10}))
        Cosine(stepz=10): there is no such argument. Did you mean 'steps'?
    """
    import inspect

    signature = inspect.signature(call)
    try:
        signature.bind(*args, **kwargs)
    except TypeError:
        pass
    else:
        return None
    who, known = getattr(call, "__name__", str(call)), signature.parameters
    for name in kwargs:
        if name not in known:
            return kind(
                f"{who}({name}={shortly(kwargs[name])}): there is no such argument. "
                f"{nearest(name, known)}"
            )
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    by_place = [name for name, given in known.items() if given.kind in kinds]
    if len(args) > len(by_place):
        late = args[len(by_place)]
        free = [name for name in known if name not in (*by_place[: len(args)], *kwargs)]
        first = f"{len(by_place) or 'no'} argument{'s' * (len(by_place) != 1)} may stand"
        way_out = f"Give a name: {who}({free[0]}=…); known: {', '.join(free)}." if free else ""
        return kind(f"{who}(… {shortly(late)}): {first} without a name. {way_out}".rstrip())
    for name in by_place[: len(args)]:
        if name in kwargs:
            return kind(f"{who}({name}=…): it is given twice. Give it once.")
    needed = [
        name
        for name, given in known.items()
        if given.default is given.empty and name not in (*kwargs, *by_place[: len(args)])
    ]
    return kind(f"{who}({needed[0]}=…): it is missing. Give it.") if needed else None


def unknown_attribute(owner: object, name: str, others: Mapping[str, str]) -> AttributeError:
    """Return the error of an attribute that is not there.

    Args:
        owner: The object that was asked.
        name: What was asked for.
        others: What there is instead of names that people try.
    """
    who = type(owner).__name__
    if name.startswith("_"):  # asked by tools, which expect most of these not to be there
        return AttributeError(f"{who!r} object has no attribute {name!r}")

    def write() -> str:
        public = (known for known in dir(type(owner)) if not known.startswith("_"))
        way_out = others.get(name) or nearest(name, public)
        return f"{who}.{name}: there is no such attribute. {way_out}"

    return UnknownName(_WrittenLater(write))


class _WrittenLater:
    """A text that is written when it is read: most unknown attributes only answer a ``hasattr``."""

    def __init__(self, write: Callable[[], str]) -> None:
        self._write = write

    def __str__(self) -> str:
        return self._write()

    def __repr__(self) -> str:
        return repr(str(self))

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        return str, (str(self),)


def shortly(value: object) -> str:
    """Return what a value looks like, short enough for an error."""
    shown = repr(value)
    return shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]}…"
