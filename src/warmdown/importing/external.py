"""A scheduler of another library, as a schedule to look at: the real class, built on a small optimizer and stepped."""

from __future__ import annotations

__all__ = ["MAX_STEPS", "TASKS", "External"]

import inspect
import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Self, final

import numpy as np
import numpy.typing as npt

from warmdown.errors import MissingExtra, ScheduleError, WarmdownError
from warmdown.expressions import parse_number
from warmdown.importing.fence import LONGEST_LOOK, ask
from warmdown.importing.fence_worker import LONGEST_START, is_here
from warmdown.planfile.classes import argument_errors, find_class
from warmdown.run import Duration, Run
from warmdown.schedules import Phase, Schedule, Steps, Values
from warmdown.schedules.base import Namespace

MAX_STEPS = 1_000_000
"""A foreign class knows no step but the next one; so many are walked, no more."""
_STEPS_A_SECOND = 5_000
"""A class is given another second for each of these; torch's own take a tenth of it."""


@final
@dataclass(frozen=True, kw_only=True)
class External(Schedule):
    """A preview of another library's scheduler: what the real class does to a real optimizer's rate, over its base.

    One step of ours is one call of its ``step``, whatever that class calls it. The class runs in a
    process of its own, with bounded time and memory. It is for pictures and checks; to train with
    the class itself, use the class itself.

    Args:
        class_path: Where the class is: ``torch.optim.lr_scheduler.StepLR``.
        init_args: What it is made with, besides the optimizer; plain data, where a mapping with a
            ``class_path`` is another scheduler on the same optimizer.
        steps: How many steps are previewed, at most 1,000,000; then the last value holds.
        base: Base learning rate of the optimizer, or ``None`` for the run's own (1 when it has
            none).
        allow: Modules that the caller allows besides the known ones; not part of the data.

    Raises:
        ScheduleError: The class may not be imported, refuses its arguments, or needs what only a
            run can tell.

    Example:
        >>> decay = External(class_path="torch.optim.lr_scheduler.StepLR", init_args={"step_size": 2, "gamma": 0.5})
        >>> decay.over(Run(total_steps=6))([0, 1, 2, 4])
        array([1.  , 1.  , 0.5 , 0.25])
    """

    class_path: str
    init_args: Mapping[str, Any] = field(default_factory=dict)
    steps: Duration = "rest"
    base: float | None = None
    allow: tuple[str, ...] = field(default=(), compare=False, repr=False)

    is_preview = True

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "init_args", _numbers(self.init_args))
        object.__setattr__(self, "allow", tuple(self.allow))
        if isinstance(self.steps, int) and self.steps > MAX_STEPS:
            raise ScheduleError(
                f"External(class_path={self.class_path!r}, steps={self.steps}): walks at most "
                f"{MAX_STEPS:,} steps. "
                "Preview a shorter run, or use a shape of warmdown: it is asked at any step at "
                "once."
            )
        if self.base is not None and self.base <= 0:
            raise ScheduleError(
                f"External(base={self.base}): a base learning rate above 0 is needed."
            )

    def __hash__(self) -> int:
        return hash((self.class_path, _frozen(self.init_args), self.steps, self.base))

    @property
    def is_resolved(self) -> bool:
        """Whether the number of steps and the base rate are known."""
        return isinstance(self.steps, int) and self.base is not None

    def phases(self) -> tuple[Phase, ...]:
        """Return one phase, with the name of the class."""
        return (Phase(self.class_path.rsplit(".", 1)[-1], 0, self.length),)

    def to_dict(self) -> dict[str, Any]:
        """Return the data, as Lightning writes it."""
        data: dict[str, Any] = {"class_path": self.class_path}
        if self.init_args:
            data["init_args"] = _numbers(self.init_args)
        if self.steps != "rest":
            data["steps"] = self.steps
        return data if self.base is None else {**data, "base": self.base}

    def evaluate(self, step: Steps, xp: Namespace) -> Values:
        if xp is not np:
            raise ScheduleError(
                f"{self.class_path}: a preview is not asked with a {type(step).__name__}. Train "
                f"with the class itself."
            )
        return _walked(self)[np.clip(np.floor(step), 0, self.length).astype(np.int64)]

    def resolve(self, run: Run, available: int | None) -> Self:
        settled = super().resolve(run, available)
        return settled if self.base is not None else replace(settled, base=run.lr or 1.0)


@lru_cache(maxsize=16)
def _walked(external: External) -> npt.NDArray[np.float64]:
    """Return the value of every step, each over the base rate; the class itself runs behind the fence."""
    if is_here():
        return _stepped(external)
    who, length = external.class_path, external.length or 0
    question = {**external.to_dict(), "steps": length, "allow": list(external.allow)}
    try:
        json.dumps(question)
    except TypeError as error:
        raise ScheduleError(
            f"{who}(init_args): {error}. Give plain data: numbers, texts, lists, mappings."
        ) from None
    for task, seconds in (
        ("import", LONGEST_START),
        ("walk", LONGEST_LOOK + length / _STEPS_A_SECOND),
    ):
        answer = ask(who, {**question, "task": task}, seconds=seconds)
        if "values" not in answer:
            raise ScheduleError(
                "; ".join(map(str, answer.get("mistakes", ()))) or f"{who}: it gave no answer."
            )
    return np.array(answer["values"], dtype=np.float64)


def _imported(question: Mapping[str, Any]) -> dict[str, Any]:
    """Import what a preview needs, which may take its time."""
    try:
        find_class(question["class_path"], question["allow"])
    except WarmdownError as error:
        return {"mistakes": [str(error)]}
    return {"values": []}


def _previewed(question: Mapping[str, Any]) -> dict[str, Any]:
    """Step the class of a preview."""
    try:
        told = ("class_path", "init_args", "steps", "base", "allow")
        return {
            "values": _stepped(
                External(**{key: question[key] for key in told if key in question})
            ).tolist()
        }
    except WarmdownError as error:
        return {"mistakes": [str(error)]}


TASKS = {"import": _imported, "walk": _previewed}
"""What the process behind the fence is asked."""


def _stepped(external: External) -> npt.NDArray[np.float64]:
    optimizer, rate = _small_optimizer(external)
    base: float = external.base or 1.0
    values = np.empty((external.length or 0) + 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what the class says of its use concerns a training loop
        try:
            scheduler = _built(external.class_path, external.init_args, optimizer, external.allow)
            values[0] = rate.read()[0]
            optimizer.step()  # some classes look whether it ever made one
            watched = getattr(optimizer, "_optimizer_step_post_hooks", True)
            for step in range(1, values.size):
                if watched and step > 1:
                    # others count each one; for the rest it would be most of the time
                    optimizer.step()
                _advance(scheduler, step)
                values[step] = rate.read()[0]
        except ScheduleError:
            raise
        except Exception as error:  # whatever a foreign class raises
            raise ScheduleError(
                f"{external.class_path}: {type(error).__name__}: {error}."
            ) from error
    return values / base


def _small_optimizer(external: External) -> tuple[Any, Any]:
    """Return a real optimizer of one number, and the field that reads its rate."""
    try:
        import torch
    except ImportError:
        raise MissingExtra(f"a preview of {external.class_path}", "torch", "torch") from None
    from warmdown.binding.field import Field

    parameter = torch.nn.Parameter(torch.zeros(1))
    parameter.grad = torch.zeros(1)
    optimizer = torch.optim.SGD([parameter], lr=external.base or 1.0, momentum=0.9)
    return optimizer, Field(optimizer, "lr")


def _built(
    class_path: str, init_args: Mapping[str, Any], optimizer: Any, allow: tuple[str, ...]
) -> Any:
    found = find_class(class_path, allow)
    for name, why in argument_errors(found, class_path, init_args):
        raise ScheduleError(f"{class_path}({name}): {why}" if name else why)

    def value(data: Any) -> Any:
        if isinstance(data, Mapping) and "class_path" in data:
            return _built(str(data["class_path"]), data.get("init_args") or {}, optimizer, allow)
        return [value(one) for one in data] if isinstance(data, list | tuple) else data

    return found(optimizer=optimizer, **{name: value(data) for name, data in init_args.items()})


def _advance(scheduler: Any, step: int) -> None:
    """Make one step, as the class wants to be called: torch's is told nothing, timm's the number of the step."""
    kind: Any = type(scheduler)
    verbs = [verb for verb in ("step", "step_update") if hasattr(scheduler, verb)]
    for verb in verbs:
        needs = _needs(kind, verb)
        if not set(needs) <= {"epoch", "num_updates"}:
            raise ScheduleError(
                f"{kind.__name__}: its {verb} needs {', '.join(needs)}, which only a run can tell. "
                "It cannot be previewed."
            )
        getattr(scheduler, verb)(*[step] * len(needs))
        if not needs:
            return  # it counts by itself


@lru_cache(maxsize=16)
def _needs(kind: Any, verb: str) -> tuple[str, ...]:
    parameters = list(inspect.signature(getattr(kind, verb)).parameters.values())[1:]
    return tuple(
        each.name for each in parameters if each.default is each.empty and each.kind in _GIVEN
    )


_GIVEN = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def _numbers(data: Any) -> Any:
    """Return a copy as plain data, in which a text that is a number is one: a file may write ``"1e-4"``."""
    if isinstance(data, Mapping):
        return {str(key): _numbers(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_numbers(one) for one in data]
    if isinstance(data, str) and (number := parse_number(data)) is not None:
        return number
    return data


def _frozen(data: Any) -> Any:
    if isinstance(data, Mapping):
        return tuple(sorted((key, _frozen(value)) for key, value in data.items()))
    return tuple(map(_frozen, data)) if isinstance(data, list) else data
