"""What every schedule is: a frozen value that turns a step into a number."""

from __future__ import annotations

__all__ = [
    "Call",
    "Phase",
    "Schedule",
    "Steps",
    "Values",
    "has_open_length",
    "kinds",
    "measured",
    "namespace",
    "place",
]

import re
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self, TypeAlias, overload

import numpy as np
import numpy.typing as npt

from warmdown.errors import RunError, ScheduleError
from warmdown.run import Duration, Run
from warmdown.schedules.parameters import DOORS

if TYPE_CHECKING:
    from warmdown.schedules.compose import Chain, Product, Sum
    from warmdown.schedules.cycles import Repeat
    from warmdown.schedules.time import Delayed, Grafted, Skipped, Stretched, Taken
    from warmdown.schedules.value import Clipped, Named, Noisy

Steps: TypeAlias = Any
"""An array of step numbers, of any library that follows the array API standard."""
Values: TypeAlias = Any
"""An array of the same kind, shape and device as the steps it was made from."""
Namespace: TypeAlias = Any
"""The functions of that library: ``numpy``, ``array_api_compat.torch``, ``jax.numpy``."""
Call: TypeAlias = Callable[[int], float]

_BLOCK = 16_384
"""Elements evaluated at once, so that what lies between start and end of a formula stays in the cache."""


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


@dataclass(frozen=True, kw_only=True)
class Schedule(ABC):
    """A pure function from step to number, with a length, that can be compared, composed and written down.

    A subclass is final, states one formula in ``evaluate`` and has no other state than its fields.
    """

    @abstractmethod
    def evaluate(self, step: Steps, xp: Namespace) -> Values:
        """State the formula, elementwise; ``step`` is a float array of the library ``xp``."""

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
        if xp is np and steps.size > _BLOCK:
            return self._in_blocks(steps)
        return self.evaluate(steps, xp)

    @property
    def length(self) -> int | None:
        """Updates until the value rests for good, or ``None``: it never does, or its lengths are still open."""
        steps = getattr(self, "steps", None)
        return steps if isinstance(steps, int) else None

    @property
    def is_resolved(self) -> bool:
        """Whether every length is a number, so that the schedule can be called."""
        return not isinstance(getattr(self, "steps", 0), str) and all(
            part.is_resolved for part in self.parts()
        )

    def over(self, run: Run) -> Self:
        """Return the same schedule with every open length measured on ``run``.

        Raises:
            ScheduleError: The phases do not fit into the run; the message shows the numbers.
            RunError: The run lacks a fact that a unit needs.

        Example:
            >>> from warmdown import Linear, Run
            >>> Linear(start=0.0, end=1.0, steps="5%").over(Run(total_steps=200))
            Linear(start=0.0, end=1.0, steps=10)
        """
        return self._resolve(run, run.length)

    def phases(self) -> tuple[Phase, ...]:
        """Return the named stretches, in order; a name that was not given is read off the direction."""
        return (Phase(self._direction(), 0, self.length),)

    def parts(self) -> tuple[Schedule, ...]:
        """Return the schedules that this one is made of."""
        found: list[Schedule] = []
        for field in fields(self):
            value = getattr(self, field.name)
            candidates = value if isinstance(value, tuple) else (value,)
            found.extend(part for part in candidates if isinstance(part, Schedule))
        return tuple(found)

    def with_parts(self, change: Callable[[Schedule], Schedule]) -> Self:
        """Return a copy in which every schedule that this one is made of went through ``change``."""
        changed: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Schedule):
                changed[field.name] = change(value)
            elif isinstance(value, tuple) and any(isinstance(part, Schedule) for part in value):
                changed[field.name] = tuple(change(part) for part in value)
        return replace(self, **changed) if changed else self

    def to_dict(self) -> dict[str, Any]:
        """Return plain data that :func:`warmdown.from_dict` turns back into an equal schedule."""
        data: dict[str, Any] = {"kind": kind_of(type(self))}
        for field in fields(self):
            value = getattr(self, field.name)
            if value != _default(field):
                data[field.name] = _plain(value)
        return data

    def _repr_html_(self) -> str | None:
        """Return the picture that a notebook shows; ``None`` shows the text."""
        from warmdown import (
            plot,
        )  # through the door: pictures are of a higher floor, and only notebooks ask

        return plot.notebook(self)

    def __rshift__(self, after: Schedule) -> Chain:
        """Return ``a >> b``: b runs after a, and b's clock starts at the seam."""
        from warmdown.schedules.compose import Chain

        return Chain.of(self, after)

    def __mul__(self, other: Schedule | float) -> Product:
        from warmdown.schedules.compose import Product

        return Product.of(self, other)

    def __rmul__(self, other: float) -> Product:
        from warmdown.schedules.compose import Product

        return Product.of(self, other)

    def __add__(self, other: Schedule | float) -> Sum:
        from warmdown.schedules.compose import Sum

        return Sum.of(self, other)

    def __radd__(self, other: float) -> Sum:
        from warmdown.schedules.compose import Sum

        return Sum.of(self, other)

    def scale(self, factor: float) -> Product:
        """Return this schedule times ``factor``."""
        from warmdown.schedules.compose import Product

        return Product.of(self, factor)

    def clip(self, low: float | None = None, high: float | None = None) -> Clipped:
        """Return this schedule, kept between ``low`` and ``high``."""
        from warmdown.schedules.value import Clipped

        return Clipped(of=self, low=low, high=high)

    def stretch(self, steps: Duration) -> Stretched:
        """Return this schedule, slowed or hastened to last ``steps``."""
        from warmdown.schedules.time import Stretched

        return Stretched(of=self, steps=steps)

    def delay(self, steps: Duration) -> Delayed:
        """Return this schedule, begun ``steps`` later; until then its first value holds."""
        from warmdown.schedules.time import Delayed

        return Delayed(of=self, steps=steps)

    def take(self, steps: Duration) -> Taken:
        """Return the first ``steps`` of this schedule; then the value reached holds."""
        from warmdown.schedules.time import Taken

        return Taken(of=self, steps=steps)

    def skip(self, steps: Duration) -> Skipped:
        """Return this schedule without its first ``steps``."""
        from warmdown.schedules.time import Skipped

        return Skipped(of=self, steps=steps)

    def graft(self, tail: Schedule, at: Duration) -> Grafted:
        """Return this schedule up to ``at``; from there ``tail`` scales the value reached."""
        from warmdown.schedules.time import Grafted

        return Grafted(of=self, tail=tail, at=at)

    def named(self, name: str) -> Named:
        """Return this schedule as one phase called ``name``."""
        from warmdown.schedules.value import Named

        return Named(of=self, name=name)

    def noisy(self, spread: float = 0.1, *, seed: int = 0, every: int = 1) -> Noisy:
        """Return this schedule with seeded noise of up to ``spread`` times the value, new ``every`` so many steps."""
        from warmdown.schedules.value import Noisy

        return Noisy(of=self, spread=spread, seed=seed, every=every)

    def repeat(
        self, times: int | None = None, *, decay: float | Schedule = 1.0, grow: float = 1.0
    ) -> Repeat:
        """Return this schedule again and again, ``times`` or without end.

        Args:
            times: Number of cycles, or ``None`` for no end.
            decay: Factor on the height of each further cycle, or a schedule over the cycle's
                number.
            grow: Factor on the length of each further cycle.
        """
        from warmdown.schedules.cycles import Repeat

        return Repeat(of=self, times=times, decay=decay, grow=grow)

    @cached_property
    def _is_ready(self) -> bool:
        """``is_resolved``, worked out once: a value does not change."""
        return self.is_resolved

    def _requested_length(self, run: Run) -> int | None:
        """Return the length this schedule asks for, or ``None`` when it takes what is left."""
        if not hasattr(self, "steps"):
            return self.length
        try:
            return run.measure(self.steps) if isinstance(self.steps, str) else int(self.steps)
        except RunError as error:
            raise type(error)(f"{self!r}: {error}") from None

    def _resolve(self, run: Run, available: int | None) -> Self:
        """Return a copy whose lengths are numbers; ``available`` is what there is left, in clock units."""
        settled = self.with_parts(lambda part: part._resolve(run, available))
        if not hasattr(self, "steps"):
            return settled
        steps = self._fit(self._requested_length(run), available)
        return replace(settled, steps=steps) if isinstance(self.steps, str) else settled  # type: ignore[call-arg]

    def _fit(self, claim: int | None, available: int | None) -> int:
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
        if not self.is_resolved or self.length is None:
            return re.sub(r"_", " ", kind_of(type(self)))
        first, last = self(0), self(self.length)
        return "stable" if first == last else "warmup" if first < last else "decay"

    def _in_blocks(self, steps: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        flat = steps.reshape(-1)
        values = np.empty_like(flat)
        for start in range(0, flat.size, _BLOCK):
            block = slice(start, start + _BLOCK)
            values[block] = self.evaluate(flat[block], np)
        return values.reshape(steps.shape)

    def __post_init__(self) -> None:
        """Refuse at the door what cannot be a schedule; give every number its own type."""
        for field in fields(self):
            if check := DOORS.get(str(field.type)):
                object.__setattr__(
                    self, field.name, check(self, field.name, getattr(self, field.name))
                )


def kind_of(schedule: type[Schedule]) -> str:
    """Return the word for a schedule's class in text: ``InverseSqrt`` is ``inverse_sqrt``."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", schedule.__name__).lower()


def kinds() -> Mapping[str, type[Schedule]]:
    """Return every schedule class of warmdown by its word."""
    return {
        kind_of(known): known
        for known in Schedule.__subclasses__()
        if known.__module__.startswith("warmdown.")
    }


def namespace(step: Steps) -> tuple[Steps, Namespace]:
    """Return ``step`` as a float array, and the functions of the library it belongs to."""
    if isinstance(step, np.ndarray | np.generic | list | tuple | range):
        return np.asarray(step, dtype=np.float64), np
    from array_api_compat import array_namespace

    xp = array_namespace(step)
    if xp.isdtype(step.dtype, "real floating"):
        return step, xp
    wide = (
        "torch" in sys.modules
        and isinstance(step, sys.modules["torch"].Tensor)
        and step.device.type != "mps"
    )
    return xp.astype(step, xp.float64 if wide else xp.asarray(0.0).dtype), xp


def place(where: Steps, which: Values, otherwise: Values, xp: Namespace) -> Values:
    """Choose elementwise; a plain number is as good as an array on either side."""
    return xp.where(where, which, otherwise)


def has_open_length(schedule: Schedule) -> bool:
    """Whether a length in it is a text; a constant can be asked all the same."""
    return isinstance(getattr(schedule, "steps", None), str) or any(
        map(has_open_length, schedule.parts())
    )


def measured(owner: Schedule, duration: Duration, run: Run) -> int | None:
    """Return a length in the run's own clock, ``None`` for the rest; an int is one already: none is measured twice."""
    return duration if isinstance(duration, int) else run.measure(duration, who=repr(owner))


def _default(field: Field[Any]) -> Any:
    return field.default if field.default is not MISSING else _NOTHING


_NOTHING = object()


def _plain(value: Any) -> Any:
    if isinstance(value, Schedule):
        return value.to_dict()
    return [_plain(element) for element in value] if isinstance(value, tuple) else value
