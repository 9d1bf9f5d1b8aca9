"""A preview of another library's scheduler: the real class, stepped on a small optimizer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Self, final
from warnings import catch_warnings

import numpy as np

from warmdown.errors import MissingExtra, ScheduleError
from warmdown.importing.fence import LONGEST_LOOK, ask
from warmdown.importing.fence_worker import LONGEST_START, Answer, Question, is_here
from warmdown.importing.imported import MAX_STEPS
from warmdown.planfile.classes import find_class
from warmdown.planfile.text import bounded
from warmdown.run import Duration, Run
from warmdown.schedules import Phase, Schedule, Steps, Values
from warmdown.schedules.base import Namespace

if TYPE_CHECKING:
    import numpy.typing as npt  # 3 ms of an import

_STEPS_A_SECOND = 5_000
"""A class is given another second for each of these; torch's own take a tenth of it."""


@final
@dataclass(frozen=True, kw_only=True)
class External(Schedule):
    """A preview of another library's scheduler: what the class does to a real optimizer's rate.

    The value is the rate over the base rate. One step of ours is one call of its ``step``, whatever
    that class calls it. The class runs in a process of its own, with bounded time and memory. It is
    for pictures and checks; to train with the class itself, use the class itself.

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
        >>> path = "torch.optim.lr_scheduler.StepLR"
        >>> decay = External(class_path=path, init_args={"step_size": 2, "gamma": 0.5})
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
        object.__setattr__(self, "init_args", bounded(self.init_args))
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
        return hash((self.class_path, self.steps, self.base))

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
            data["init_args"] = bounded(self.init_args)
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
        if self.base is None and run.lr is None and (name := _absolute_rate(self.init_args)):
            raise ScheduleError(
                f"{self.class_path}({name}=…): a rate, of which the share is not known without the "
                "base learning rate. Give it: base beside class_path, or Run(lr=…)."
            )
        settled = super().resolve(run, available)
        return settled if self.base is not None else replace(settled, base=run.lr or 1.0)


def _absolute_rate(init_args: Mapping[str, Any]) -> str | None:
    """Return the name of the argument that is a rate and no share of one, where there is one."""
    for name, value in init_args.items():
        if name in ("min_lr", "lr_end") and value:
            return name
        if isinstance(value, Mapping) and (inner := _absolute_rate(value)):
            return inner
    return None


@lru_cache(maxsize=16)
def _walked(external: External) -> npt.NDArray[np.float64]:
    """Return the rate of every step over the base rate; the class runs behind the fence."""
    if is_here():
        return _simulated(external)
    who, length = external.class_path, external.length or 0
    question = {**external.to_dict(), "steps": length, "allow": list(external.allow)}
    try:
        json.dumps(question)
    except TypeError as error:
        raise ScheduleError(
            f"{who}(init_args): {error}. Give plain data: numbers, texts, lists, mappings."
        ) from None
    ask(who, {**question, "task": "import"}, seconds=LONGEST_START)
    seconds = LONGEST_LOOK + length / _STEPS_A_SECOND
    answer = ask(who, {**question, "task": "walk"}, seconds=seconds)
    return np.array(answer["values"], dtype=np.float64)


def _simulated(external: External) -> npt.NDArray[np.float64]:
    try:
        from warmdown.importing.simulation import build_scheduler, small_optimizer, walk
    except ImportError:
        raise MissingExtra(f"a preview of {external.class_path}", "torch", "torch") from None
    base = external.base or 1.0
    optimizer = small_optimizer(base)
    with catch_warnings(action="ignore"):  # what the class says concerns a training loop
        scheduler = build_scheduler(external.to_dict(), optimizer, external.allow)
        try:
            rows = list(walk(scheduler, optimizer, ["lr"], external.length or 0))
        except ScheduleError:
            raise
        except Exception as error:  # whatever a foreign class raises
            raise ScheduleError(
                f"{external.class_path}: {type(error).__name__}: {error}."
            ) from error
    return np.array(rows)[:, 0, 0] / base


def _import_class(question: Question) -> Answer:
    # apart from the walk, because an import may take longer than a class may
    find_class(question["class_path"], question["allow"])
    return {"values": []}


def _walk_class(question: Question) -> Answer:
    fields = ("class_path", "init_args", "steps", "base", "allow")
    external = External(**{name: question[name] for name in fields if name in question})
    return {"values": _simulated(external).tolist()}


TASKS = {"import": _import_class, "walk": _walk_class}
"""What the process behind the fence answers."""
