"""What every schedule is: a frozen value that turns a step into a number."""

from __future__ import annotations

__all__ = [
    "Phase",
    "Schedule",
    "Steps",
    "Values",
    "is_endless",
    "kinds",
    "duration_in_updates",
    "namespace",
    "schedule_class",
]

import dataclasses
import re
import sys
from abc import ABCMeta, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import Field, dataclass, fields, replace
from functools import cached_property
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Self,
    TypeAlias,
    TypeVar,
    dataclass_transform,
    overload,
)

import numpy as np

from warmdown.errors import (
    ClearArguments,
    RunError,
    ScheduleError,
    nearest,
    unknown_attribute,
    warn_renamed,
)
from warmdown.registry import Modelled, Pictured
from warmdown.run import Duration, Length, Run, RunLike, run_of
from warmdown.schedules.parameters import require, validate_fields
from warmdown.shown import changed_fields, code_of, cut

Steps: TypeAlias = Any
"""An array of step numbers, of any library that follows the array API standard."""
Values: TypeAlias = Any
"""An array of the same kind, shape and device as the steps it was made from."""
PartSteps: TypeAlias = tuple[float | None, ...]
"""For each part the step on its own clock; ``None`` where it is not active."""
PartStarts: TypeAlias = tuple[int | None, ...]
"""For each part the step at which its clock begins; ``None`` where that is no one step."""
PlainData: TypeAlias = dict[str, Any]
"""What JSON and YAML can hold, by name."""
Namespace: TypeAlias = Any
"""The functions of that library: ``numpy``, ``array_api_compat.torch``, ``jax.numpy``."""

_Kind = TypeVar("_Kind")

_OPERATORS = (">>", "+", "*", "")
"""From the loosest to the closest."""
_LONGEST_FACT = 60
"""Characters of one argument in a text for people."""
_BLOCK = 16_384
"""Elements evaluated at once, so that the intermediate arrays of a formula stay in the cache."""


@dataclass(frozen=True)
class Phase:
    """A named stretch of a schedule.

    Args:
        name: ``warmup``, ``stable``, ``decay``, ``cooldown``, ``cycle 3`` …
        start: First step of the stretch.
        stop: First step after it, or ``None`` when it never ends.
    """

    name: str
    start: int
    stop: int | None

    def moved(self, by: int) -> Phase:
        """Return the phase, ``by`` steps later."""
        return Phase(self.name, self.start + by, None if self.stop is None else self.stop + by)

    def until(self, limit: int) -> int:
        """Return the first step after the stretch, or ``limit`` where it goes on beyond that."""
        return limit if self.stop is None else min(self.stop, limit)

    def contains(self, step: float) -> bool:
        """Whether a step lies in the stretch."""
        return self.start <= step and (self.stop is None or step < self.stop)


Phases: TypeAlias = tuple[Phase, ...]
"""Named stretches, in order."""


@dataclass_transform(
    kw_only_default=True, frozen_default=True, field_specifiers=(dataclasses.field,)
)
def schedule_class(kind: type[_Kind]) -> type[_Kind]:
    """Make a class a frozen, keyword-only dataclass.

    ``repr``, ``==`` and ``hash`` are the base's: to generate them for each class would take a third
    of the time that it takes to import them all.
    """
    return dataclass(frozen=True, kw_only=True, repr=False, eq=False)(kind)


class _ScheduleMeta(ClearArguments, ABCMeta):
    """Of abstract classes, whose calls are checked."""


@schedule_class
class Schedule(Pictured, Modelled, metaclass=_ScheduleMeta):
    """A pure function from step to number that is compared, composed and written down.

    A subclass is a frozen, keyword-only dataclass. It states one formula in :meth:`evaluate`, and
    has no other state than its fields. In one that wraps others, the methods below state how its
    time and its value come from theirs: ``docs/own-schedule.md`` builds a curve, a wrapper and a
    feedback schedule.
    """

    kind: ClassVar[str] = ""
    """The word for the class in data; empty for its name in lower case: ``inverse_sqrt``."""
    keeps_time: ClassVar[bool] = False
    """Whether the value at a step comes from the parts' values at that step alone."""
    is_constant: ClassVar[bool] = False
    """Whether it is one number: its length does not count beside a part that moves."""
    is_stepwise: ClassVar[bool] = False
    """Whether it is constant between leaps that are meant."""
    is_cyclic: ClassVar[bool] = False
    """Whether it is meant to rise again after a fall."""
    positive: ClassVar[tuple[str, ...]] = ()
    """The fields that have to be above zero."""
    is_preview: ClassVar[bool] = False
    """Whether it can only be looked at, and drives no run."""
    symbol: ClassVar[str] = ""
    """The operator that makes it from its parts."""
    verb: ClassVar[str] = ""
    """The method of its first part that makes it."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for old, new in _FORMER_METHODS.items():
            if old in vars(cls) and new not in vars(cls):
                warn_renamed(f"{cls.__name__}.{old}", new)
                setattr(cls, new, vars(cls)[old])

    @abstractmethod
    def evaluate(self, step: Steps, xp: Namespace) -> Values:
        """Return the values, elementwise; ``step`` is a float array of the library ``xp``."""

    @overload
    def __call__(self, step: float) -> float: ...
    @overload
    def __call__(self, step: Steps) -> Values: ...
    def __call__(self, step: float | Steps) -> float | Values:
        """Return the value that update ``step`` uses, ``step = 0, 1, 2 …``.

        Args:
            step: A number gives a float. An array of NumPy, torch or JAX gives its own kind back.
                Before step 0 the value of step 0 holds, past the end the end value.

        Raises:
            ScheduleError: A length such as ``"5%"`` is still open: call ``over(run)`` first.
        """
        if not self._is_ready:
            raise ScheduleError(
                f"{self!r}: its lengths are still open. Call .over(Run(total_steps=…)) first."
            )
        if isinstance(step, int | float):
            return float(self.evaluate(np.float64(step), np))
        steps, xp = namespace(step)
        if xp is not np:
            return self._in_doubles(step, xp, steps.dtype)
        return self._in_blocks(steps) if steps.size > _BLOCK else self.evaluate(steps, np)

    if not TYPE_CHECKING:  # a checker is to miss what is not there

        def __getattr__(self, name: str) -> Any:
            raise unknown_attribute(self, name, _OTHER_ATTRIBUTES)

    def __repr__(self) -> str:
        return code_of(self)

    def __str__(self) -> str:
        return cut(self.spoken())

    def spoken(self) -> str:
        """Return the formula as one writes it on paper, with every value that is no default.

        Example:
            >>> from warmdown import Cosine, Linear
            >>> print(Linear(start=0.0, end=1.0, steps="5%") >> Cosine(end=0.1, k=2))
            Linear(0 -> 1, '5%') >> Cosine(1 -> 0.1, k=2)
        """
        facts = _spoken_arguments(self)
        if not self.verb:
            return f"{type(self).__name__}({facts})"
        (inner, *_) = self.parts()
        return f"{inner.spoken_within('')}.{self.verb}({facts})"

    def spoken_within(self, symbol: str) -> str:
        """Return :meth:`spoken`, in brackets where it is looser than the operator beside it."""
        is_looser = _OPERATORS.index(self.symbol) < _OPERATORS.index(symbol)
        return f"({self.spoken()})" if is_looser else self.spoken()

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self._compared() == other._compared()

    def __hash__(self) -> int:
        return hash(self._compared())

    def _compared(self) -> tuple[Any, ...]:
        return tuple(getattr(self, field.name) for field in fields(self) if field.compare)

    @property
    def length(self) -> Length:
        """Updates until the value rests for good; ``None`` without an end or a known length."""
        if self.keeps_time:
            return _longest(part.length for part in self.moving_parts())
        steps = getattr(self, "steps", None)
        return steps if isinstance(steps, int) else None

    @property
    def open_length(self) -> str | None:
        """The duration that is the whole length and is not measured yet, or ``None``."""
        if self.keeps_time:
            moving = self.moving_parts()
            return moving[0].open_length if len(moving) == 1 else None
        steps = getattr(self, "steps", None)
        return steps if isinstance(steps, str) else None

    @property
    def is_resolved(self) -> bool:
        """Whether every length is a number, so that the schedule can be called."""
        return not isinstance(getattr(self, "steps", 0), str) and all(
            part.is_resolved for part in self.parts()
        )

    @property
    def is_settled(self) -> bool:
        """The former name of :attr:`is_resolved`."""
        warn_renamed("Schedule.is_settled", "is_resolved")
        return self.is_resolved

    @property
    def is_predictable(self) -> bool:
        """Whether a value may be computed before its step; a person's own function is not."""
        return all(part.is_predictable for part in self.parts())

    @property
    def holds_end(self) -> bool:
        """Whether no value changes from the end on; noise goes on."""
        return all(part.holds_end for part in self.parts())

    @property
    def is_stretched_by_parts(self) -> bool:
        """Whether this schedule is stretched by stretching each of its parts in its place."""
        return self.keeps_time

    def is_flat(self, first: float, last: float) -> bool:
        """Whether the value is one number from step ``first`` to ``last``, by its form alone.

        No value is computed; ``False`` where the form does not show it.
        """
        return self.keeps_time and all(part.is_flat(first, last) for part in self.parts())

    def part_steps(self, step: float) -> PartSteps:
        """Return for each of :meth:`parts` the step on its own clock at ``step`` of this one.

        ``None`` stands for a part that is not active then.
        """
        return (step,) * len(self.parts())

    def part_starts(self) -> PartStarts:
        """Return the step at which the clock of each of :meth:`parts` begins.

        ``None`` stands for a part whose clock has no one beginning, or runs faster or slower.
        """
        return (0,) * len(self.parts())

    def marks(self) -> tuple[int, ...]:
        """Return the steps at which the value leaps because a person named them."""
        return ()

    def over(self, run: RunLike | None = None, **facts: Any) -> Self:
        """Return the same schedule with every open length measured on a run.

        Args:
            run: A run, its number of updates, or its facts by name.
            facts: Facts of it by name, such as ``total_steps``.

        Raises:
            ScheduleError: The phases do not fit into the run; the message shows the numbers.
            RunError: The run lacks a fact that a unit needs.

        Example:
            >>> from warmdown import Linear, Run
            >>> Linear(start=0.0, end=1.0, steps="5%").over(Run(total_steps=200))
            Linear(start=0.0, end=1.0, steps=10)
        """
        run = run_of(run, f"{type(self).__name__}.over", **facts)
        return self.resolve(run, run.length)

    def phases(self) -> Phases:
        """Return the named stretches, in order; a stretch without a name has its direction's."""
        if self.keeps_time:
            moving = self.moving_parts() or self.parts()
            return max((part.phases() for part in moving), key=len)
        return (Phase(self._direction(), 0, self.length),)

    def parts(self) -> Schedules:
        """Return the schedules that this one is made of."""
        values = (getattr(self, field.name) for field in fields(self))
        return tuple(part for value in values for part in _schedules_in(value))

    def moving_parts(self) -> Schedules:
        """Return the parts whose length counts; a constant's counts where nothing else moves."""
        parts = self.parts()
        moving = tuple(part for part in parts if not part.is_constant)
        return moving or tuple(part for part in parts if getattr(part, "steps", None) != "rest")

    def with_parts(self, change: Callable[[Schedule], Schedule]) -> Self:
        """Return a copy in which each of :meth:`parts` went through ``change``."""
        changed: PlainData = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if parts := tuple(map(change, _schedules_in(value))):
                changed[field.name] = parts if isinstance(value, tuple) else parts[0]
        return replace(self, **changed) if changed else self

    def to_dict(self) -> PlainData:
        """Return plain data that :meth:`from_dict` turns back into an equal schedule.

        A field that ``repr`` leaves out is no data.
        """
        data: PlainData = {"kind": kind_of(type(self))}
        for field in _data_fields(type(self)):
            value = getattr(self, field.name)
            if value != field.default:
                data[field.name] = _plain(value)
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return the schedule that :meth:`to_dict` wrote.

        Unlike a plan file, the data are taken as they are: no arithmetic, no text that is a number,
        and nothing is imported. A kind is that of any class that is loaded, a person's own too.

        Raises:
            ScheduleError: The data are no schedule, or one of another class than this.

        Example:
            >>> Schedule.from_dict({"kind": "linear", "start": 0.5, "steps": 10})
            Linear(start=0.5, steps=10)
        """
        schedule = _from_data(data)
        if not isinstance(schedule, cls):
            raise ScheduleError(
                f"{cls.__name__}.from_dict(kind={data['kind']!r}): another kind of schedule. Use "
                "Schedule.from_dict."
            )
        return schedule

    def __rshift__(self, after: Schedule) -> Schedule:
        """Return ``a >> b``: b runs after a, and b's clock starts where a ends."""
        return _composed("Chain", self, after)

    def __mul__(self, other: Schedule | float) -> Schedule:
        return _composed("Product", self, other)

    def __add__(self, other: Schedule | float) -> Schedule:
        return _composed("Sum", self, other)

    __rmul__, __radd__ = __mul__, __add__

    def scale(self, factor: float) -> Schedule:
        """Return this schedule times ``factor``."""
        return self * factor

    def multiplied(self, factor: float) -> Schedule:
        """Return this schedule times ``factor``; a product's own last constant takes it in."""
        return self * factor

    def clip(self, low: float | None = None, high: float | None = None) -> Schedule:
        """Return this schedule, kept between ``low`` and ``high``."""
        return _composed("Clipped", of=self, low=low, high=high)

    def stretch(self, steps: Duration) -> Schedule:
        """Return this schedule, slowed or hastened to last ``steps``."""
        return _composed("Stretched", of=self, steps=steps)

    def delay(self, steps: Duration) -> Schedule:
        """Return this schedule, begun ``steps`` later; until then its first value holds."""
        return _composed("Delayed", of=self, steps=steps)

    def take(self, steps: Duration) -> Schedule:
        """Return the first ``steps`` of this schedule; then the value reached holds."""
        return _composed("Truncated", of=self, steps=steps)

    def skip(self, steps: Duration) -> Schedule:
        """Return this schedule without its first ``steps``."""
        return _composed("Skipped", of=self, steps=steps)

    def graft(self, tail: Schedule, at: Duration) -> Schedule:
        """Return this schedule up to ``at``; from there ``tail`` scales the value reached."""
        return _composed("Grafted", of=self, tail=tail, at=at)

    def named(self, name: str) -> Schedule:
        """Return this schedule as one phase called ``name``."""
        return _composed("Named", of=self, name=name)

    def noisy(self, spread: float = 0.1, *, seed: int = 0, every: int = 1) -> Schedule:
        """Return this schedule with seeded noise of up to ``spread`` times the value.

        The noise is new every ``every`` steps.
        """
        return _composed("Noisy", of=self, spread=spread, seed=seed, every=every)

    def repeat(
        self, times: int | None = None, *, decay: float | Schedule = 1.0, grow: float = 1.0
    ) -> Schedule:
        """Return this schedule again and again, ``times`` or without end.

        Args:
            times: Number of cycles, or ``None`` for no end.
            decay: Factor on the height of each further cycle, or a schedule over the cycle's
                number.
            grow: Factor on the length of each further cycle.
        """
        return _composed("Repeat", of=self, times=times, decay=decay, grow=grow)

    @cached_property
    def _is_ready(self) -> bool:
        """``is_resolved``, worked out once: a value does not change."""
        return self.is_resolved

    def requested_length(self, run: Run) -> Length:
        """Return the length that this schedule asks for, or ``None`` when it takes what is left."""
        if self.keeps_time:
            return _longest(part.requested_length(run) for part in self.moving_parts())
        steps = getattr(self, "steps", None)
        return self.length if steps is None else duration_in_updates(self, steps, run)

    def resolve(self, run: Run, available: Length) -> Self:
        """Return a copy whose lengths are numbers; ``available`` clock units are left for it."""
        resolved = self.with_parts(lambda part: part.resolve(run, available))
        if not hasattr(self, "steps"):
            return resolved
        steps = self._fit(self.requested_length(run), available)
        if not isinstance(self.steps, str):
            return resolved
        return replace(resolved, steps=steps)  # type: ignore[call-arg]

    def _fit(self, claim: Length, available: Length) -> int:
        if claim is None and available is None:
            raise ScheduleError(
                f"{self!r}: 'rest' of what? Give the run a length: Run(total_steps=…)."
            )
        if claim is not None and available is not None and claim > available:
            raise ScheduleError(
                f"{self!r}: {claim} steps do not fit into the {available} that are "
                f"left. Shorten it."
            )
        return available if claim is None else claim  # type: ignore[return-value]

    def _direction(self) -> str:
        if self.is_constant:
            return "stable"
        if not self.is_resolved or self.length is None:
            return kind_of(type(self)).replace("_", " ")
        first, last = self(0), self(self.length)
        return "stable" if first == last else "warmup" if first < last else "decay"

    def _in_blocks(self, steps: Steps) -> Values:
        blocks = np.split(steps.reshape(-1), range(_BLOCK, steps.size, _BLOCK))
        values = np.concatenate([self.evaluate(block, np) for block in blocks])
        return values.reshape(steps.shape)

    def _in_doubles(self, step: Steps, xp: Namespace, kind: Any) -> Values:
        """Return the values, computed in doubles where the device has them, and rounded once.

        A single has no whole steps beyond 2**24 that are all apart, and JAX takes no Python int
        from 2**31 on: one formula serves every library, if all compute it like NumPy.
        """
        with _numbers_of_64_bits(xp):
            values = self.evaluate(xp.astype(step, _widest_of(step, xp, kind)), xp)
            return xp.astype(xp.asarray(values), kind, copy=False)

    def __post_init__(self) -> None:
        """Refuse what cannot be a schedule, and give every number its own type."""
        validate_fields(self)
        for name in self.positive:
            require(self, getattr(self, name) > 0, "a number above 0 is needed.", name)
        self.check_fields()

    def check_fields(self) -> None:
        """Refuse fields that are each of their type, and together no schedule."""


Schedules: TypeAlias = tuple[Schedule, ...]
"""Parts, in their order."""


def kind_of(schedule: type[Schedule]) -> str:
    """Return the word for a schedule's class in text: ``InverseSqrt`` is ``inverse_sqrt``."""
    return schedule.kind or re.sub(r"(?<!^)(?=[A-Z])", "_", schedule.__name__).lower()


def kinds() -> Mapping[str, type[Schedule]]:
    """Return every schedule class of warmdown by its word."""
    return {word: known for word, known in loaded_kinds().items() if _is_ours(known)}


def loaded_kinds() -> Mapping[str, type[Schedule]]:
    """Return every schedule class that is loaded by its word, a person's own too.

    Of two with one word warmdown's own is returned, else the one that was defined last.
    """
    package = sys.modules["warmdown.schedules"]
    for name in package.NAMES:
        getattr(package, name)  # which loads its file
    found = sorted(schedule_classes(), key=_is_ours)
    # a later one takes the place of an earlier one
    return {kind_of(known): known for known in found}


def schedule_classes(kind: type[Any] = Schedule) -> Iterator[type[Schedule]]:
    """Yield every class of a schedule that is loaded now, in the order of their definitions."""
    for known in kind.__subclasses__():
        if not known.__abstractmethods__:
            yield known
        yield from schedule_classes(known)


def _is_ours(kind: type[Schedule]) -> bool:
    return kind.__module__.startswith("warmdown.")


def _from_data(data: Any) -> Schedule:
    if not isinstance(data, Mapping) or not isinstance(data.get("kind"), str):
        raise ScheduleError(
            f"Schedule.from_dict({str(data)[:60]}): no schedule's data. A mapping with a 'kind' is "
            "needed, as to_dict() returns it."
        )
    known = loaded_kinds()
    given = dict(data)
    word = given.pop("kind")
    word = KIND_SYNONYMS.get(word, word)
    if word not in known or known[word].is_preview:
        raise ScheduleError(
            f"Schedule.from_dict(kind={data['kind'][:60]!r}): no such class is loaded. Import the "
            f"module that defines it first. {nearest(word[:60], known)}"
        )
    names = [field.name for field in _data_fields(known[word])]
    phase = given.pop("name", None) if "name" not in names else None
    for name in given:
        if name not in names:
            raise ScheduleError(
                f"Schedule.from_dict(kind={word!r}): it has no {str(name)[:60]!r}. "
                f"{nearest(str(name)[:60], names)}"
            )
    try:
        made = known[word](**{name: _value(value) for name, value in given.items()})
    except TypeError as error:  # a field without a default is missing
        raise ScheduleError(f"Schedule.from_dict(kind={word!r}): {error}.") from None
    return made if phase is None else made.named(phase)


def _value(data: Any) -> Any:
    if isinstance(data, Mapping) and "kind" in data:
        return _from_data(data)
    return tuple(map(_value, data)) if isinstance(data, list | tuple) else data


def namespace(step: Steps) -> tuple[Steps, Namespace]:
    """Return ``step`` as a float array, and the functions of the library it belongs to."""
    if isinstance(step, np.ndarray | np.generic | list | tuple | range):
        return np.asarray(step, dtype=np.float64), np
    from array_api_compat import array_namespace

    xp = array_namespace(step)
    if xp.isdtype(step.dtype, "real floating"):
        return step, xp
    # torch's default is a single; steps above 2**24 need a double
    kind = widest_float(xp, step.device) if _is("torch", xp) else xp.asarray(0.0).dtype
    return xp.astype(step, kind), xp


def _is(library: str, xp: Namespace) -> bool:
    return library in xp.__name__.split(".")


def _widest_of(step: Steps, xp: Namespace, kind: Any) -> Any:
    if _is("torch", xp):
        return widest_float(xp, step.device)
    if not _is("jax", xp):
        return xp.float64
    import jax

    # a TPU splits a double in two singles, and not for every function
    has_doubles = _mixes_widths() and jax.default_backend() in ("cpu", "gpu")
    return xp.float64 if has_doubles else kind


def _mixes_widths() -> bool:
    """Whether JAX, before 0.7.2 it did not, compiles 64 bits in a function that else has 32."""
    import jax

    version: tuple[int, ...] = jax.__version_info__
    return version >= (0, 7, 2)


def _numbers_of_64_bits(xp: Namespace) -> AbstractContextManager[Any]:
    """Return a context in which ``xp`` has them; JAX makes them 32 unless it is asked not to."""
    if not _is("jax", xp) or not _mixes_widths():
        return nullcontext()
    import jax
    import jax.experimental

    home = jax if hasattr(jax, "enable_x64") else jax.experimental  # its place before jax 0.8
    context: AbstractContextManager[Any] = home.enable_x64(True)
    return context


def widest_float(xp: Namespace, device: Any) -> Any:
    """Return torch's doubles, or its singles for a device that has no doubles, such as mps."""
    if device.type in ("cpu", "cuda"):  # what is known is not tried while a step is compiled
        return xp.float64
    try:
        return xp.zeros(1, dtype=xp.float64, device=device).dtype
    except (TypeError, RuntimeError):
        return xp.float32


def is_endless(schedule: Schedule) -> bool:
    """Whether a schedule never ends; one with an open length may."""
    return schedule.is_resolved and schedule.length is None and not _has_open_length(schedule)


def _has_open_length(schedule: Schedule) -> bool:
    # a constant is resolved all the same
    is_open = isinstance(getattr(schedule, "steps", None), str)
    return is_open or any(map(_has_open_length, schedule.parts()))


def duration_in_updates(owner: Schedule, duration: Duration, run: Run) -> Length:
    """Return a length in the run's own clock, ``None`` for the rest; an int is one already."""
    return duration if isinstance(duration, int) else run.measure(duration, who=repr(owner))


def _data_fields(kind: type[Schedule]) -> Iterator[Field[Any]]:
    return (field for field in fields(kind) if field.repr)


def _spoken_arguments(schedule: Schedule) -> str:
    """Return ``0 -> 1, '5%', k=2``: the ends, the length or value, and what is no default."""
    facts = {name: _spoken_fact(fact) for name, fact in changed_fields(schedule)}
    ends = [getattr(schedule, name, None) for name in ("start", "end")]
    if schedule.verb:
        facts = {name: fact for name, fact in facts.items() if name != "of"}
    elif None not in ends:
        facts = {"": " -> ".join(map(_spoken_fact, ends))} | facts
    elif hasattr(schedule, "value"):
        facts = {"": _spoken_fact(schedule.value)} | facts
    shown = (
        fact if name in ("", "steps", "name") else f"{name}={fact}"
        for name, fact in facts.items()
        if name not in ("start", "end", "value") or "" not in facts
    )
    return ", ".join(shown)


def _spoken_fact(fact: Any) -> str:
    text = str(fact) if isinstance(fact, Schedule) else repr(fact)
    return cut(f"{fact:g}" if isinstance(fact, float) else text, _LONGEST_FACT)


def _schedules_in(value: Any) -> Iterator[Schedule]:
    candidates = value if isinstance(value, tuple) else (value,)
    return (part for part in candidates if isinstance(part, Schedule))


def _plain(value: Any) -> Any:
    if isinstance(value, Schedule):
        return value.to_dict()
    return [_plain(element) for element in value] if isinstance(value, tuple) else value


def _longest(lengths: Iterable[Length]) -> Length:
    known = list(lengths)
    return None if None in known else max(known, default=None)  # type: ignore[type-var]


def _composed(kind_name: str, /, *parts: object, **fields: object) -> Schedule:
    """Return a composition by its class's name, a lazy name of the package.

    The classes stand in files above this one, which cannot import them.
    """
    kind: Any = getattr(sys.modules["warmdown.schedules"], kind_name)
    make: Callable[..., Schedule] = kind.of if parts else kind
    return make(*parts, **fields)


def constant(value: float) -> Schedule:
    """Return the schedule that is one number."""
    return _composed("Constant", value=value)


_OTHER_ATTRIBUTES: Mapping[str, str] = {
    **dict.fromkeys(
        ("step", "get_lr", "get_last_lr", "state_dict"),
        "A schedule has no state: Scheduler(optimizer, lr=schedule) has; schedule(5) is a value.",
    ),
    **dict.fromkeys(("show", "draw"), "schedule.plot() draws it."),
    **dict.fromkeys(("save", "to_yaml"), "warmdown.save(Plan.of(lr=schedule), path) writes it."),
    "then": "One after the other is first >> second.",
}
"""What people look for at a schedule, and what there is."""
_FORMER_METHODS = {"_values": "evaluate", "is_settled": "is_resolved"}
"""Methods that a person's own class may still have under the name before."""
KIND_SYNONYMS: Mapping[str, str] = {"piecewise_constant": "table", "truncated": "taken"}
"""Words that are read for a kind besides its own."""


def exact_length(owner: Schedule, duration: Duration, run: Run) -> int:
    """Return a length in the run's own clock, and refuse ``"rest"``."""
    steps = duration_in_updates(owner, duration, run)
    if steps is None:
        raise RunError(f"{owner!r}: 'rest' has no meaning here. Give a length.")
    return steps


def resolve_part(schedule: Schedule, run: Run, available: Length) -> Schedule:
    """Return ``schedule`` resolved; one without an open length may be longer than available."""
    return schedule if schedule.is_resolved else schedule.resolve(run, available)
