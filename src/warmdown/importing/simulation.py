"""A foreign scheduler run for its values: built on a small optimizer, or copied onto one."""

from __future__ import annotations

import copy
import inspect
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from itertools import chain
from typing import Any, TypeAlias
from warnings import catch_warnings

import torch
from torch.optim.lr_scheduler import LRScheduler

from warmdown.binding.field import Field, proxy_optimizer, unwrap
from warmdown.errors import BindingError, ScheduleError
from warmdown.importing.imported import MAX_STEPS, Imported, NotImportable
from warmdown.importing.numbers import arguments_as_numbers
from warmdown.planfile.classes import argument_errors, find_class
from warmdown.planfile.text import describe

_TARGETS = {
    "lr": "lr",
    "betas[0]": "momentum",
    "momentum": "momentum",
    "weight_decay": "weight_decay",
}
"""What a scheduler may move, and the target that it is for us."""


def live_scheduler(given: Any, lr: float | None = None, allow: Sequence[str] = ()) -> Any:
    """Return a live scheduler.

    Args:
        given: A scheduler, a wrapper of one, a function or class that takes an optimizer, or a
            configuration with a ``class_path``.
        lr: Base rate of the small optimizer that is built where there is none, 1 unless given.
        allow: Modules that a class path may name besides the known ones.

    Raises:
        ScheduleError: It is none of these, or refuses its arguments.
    """
    rate = 1.0 if lr is None else lr
    if isinstance(given, Mapping):
        return build_scheduler(given, small_optimizer(rate), allow)
    if isinstance(given, partial) or inspect.isroutine(given) or inspect.isclass(given):
        make: Any = given
        return _instantiate(
            partial(make, small_optimizer(rate)), getattr(given, "__name__", repr(given))
        )
    inner = getattr(given, "scheduler", None)  # accelerate wraps
    live = given if inner is None or hasattr(given, "last_epoch") else inner
    if not hasattr(live, "optimizer"):
        raise ScheduleError(
            f"from_torch({given!r:.60}): not a scheduler with an optimizer. Give a live one, what "
            "makes one for an optimizer, or {'class_path': …, 'init_args': {…}}."
        )
    return live


def small_optimizer(lr: float) -> Any:
    """Return a real optimizer of one number, with a gradient and a momentum."""
    parameter = torch.nn.Parameter(torch.zeros(1))
    parameter.grad = torch.zeros(1)
    return torch.optim.SGD([parameter], lr=lr, momentum=0.9)


def build_scheduler(config: Any, optimizer: Any, allow: Sequence[str] = ()) -> Any:
    """Return the scheduler of a ``class_path`` with its ``init_args``, and those inside it.

    Args:
        config: The two, as a mapping.
        optimizer: What it is built for.
        allow: Modules that a class path may name besides the known ones.

    Raises:
        ScheduleError: There is no such class, or it refuses its arguments.
    """
    if not isinstance(path := config.get("class_path"), str):
        raise ScheduleError(
            f"from_torch({dict(config)!r:.60}): a configuration has a class_path and init_args."
        )
    found = find_class(path, allow)
    given = config.get("init_args") or {}
    if not isinstance(given, Mapping):
        raise ScheduleError(
            f"{path}(init_args={describe(given)}): a mapping from name to value is needed. Write "
            "it so."
        )
    for name, why in argument_errors(found, path, given):
        raise ScheduleError(f"{path}({name}): {why}" if name else why)
    arguments = arguments_as_numbers(found, given)

    def built(value: Any) -> Any:
        if isinstance(value, Mapping) and "class_path" in value:
            return build_scheduler(value, optimizer, allow)
        return list(map(built, value)) if isinstance(value, list | tuple) else value

    ready = {name: built(value) for name, value in arguments.items()}
    return _instantiate(partial(found, optimizer=optimizer, **ready), path)


def _instantiate(make: partial[Any], who: str) -> Any:
    try:
        scheduler = make()
    except ScheduleError:
        raise
    except Exception as error:  # whatever a foreign class raises
        raise ScheduleError(
            f"{who}: {type(error).__name__}: {error}. Correct its arguments."
        ) from error
    # timm's factory returns the number of epochs beside the scheduler
    return scheduler[0] if isinstance(scheduler, tuple) else scheduler


class SchedulerCopy:
    """A copy of a scheduler, on a small optimizer whose groups have the original's numbers.

    Args:
        scheduler: The original; it is left alone.
        total: Updates in the run, if given.

    Raises:
        NotImportable: It cannot be copied.
    """

    def __init__(self, scheduler: Any, total: int | None) -> None:
        self.total = total
        self.position = position_of(scheduler)
        original = scheduler.optimizer
        self.optimizer = proxy_optimizer(original)
        self.bases = self.read("initial_lr") or self.read("lr")
        memo = {id(original): self.optimizer, id(unwrap(original)): self.optimizer}
        try:
            self.scheduler = copy.deepcopy(scheduler, memo)
        except Exception as error:  # whatever somebody's class contains
            raise NotImportable(f"{type(scheduler).__name__} cannot be copied: {error}") from error

    def read(self, name: str) -> list[float]:
        """Return the value of every group under ``name``; none where some group lacks it."""
        try:
            return Field(self.optimizer, name).read()
        except BindingError:
            return []

    def walk(self, steps: int) -> dict[str, list[list[float]]]:
        """Return what updates 0 to ``steps`` use, for the rate and for whatever else moves.

        A scheduler that has been stepped goes on from where it is; what it has used before is what
        it would use if it began again, as far as that can be known.

        Raises:
            NotImportable: The original has been stepped, and its class is asked by numbers.
            ScheduleError: There are too many steps, or the scheduler itself fails.
        """
        if steps > MAX_STEPS:
            raise ScheduleError(
                f"from_torch: {steps} steps are too many to walk. Give total_steps up to "
                f"{MAX_STEPS}."
            )
        fields = [name for name in _TARGETS if self.read(name)]
        rows: list[list[list[float]]] = []
        with catch_warnings(action="ignore"):  # what the class says concerns a training loop
            if self.position:
                rows.extend(self._past(fields))
            try:
                left = max(steps - self.position, 0)
                rows.extend(walk(self.scheduler, self.optimizer, fields, left))
            except ScheduleError:
                raise
            except Exception as error:  # whatever somebody's class raises
                who, done = type(self.scheduler).__name__, len(rows)
                raise ScheduleError(
                    f"from_torch: {who} fails at step {done}: {error}. Give total_steps={done - 1}."
                ) from error
        columns = dict(zip(fields, zip(*rows, strict=True), strict=True))
        return {
            _TARGETS[name]: list(values)
            for name, values in columns.items()
            if name == "lr" or any(value != values[0] for value in values)
        }

    def _past(self, fields: Sequence[str]) -> list[list[list[float]]]:
        """Return what the updates before this one use when the scheduler begins again."""
        scheduler, optimizer = copy.deepcopy((self.scheduler, self.optimizer))
        if not isinstance(scheduler, LRScheduler) or hasattr(scheduler, "_num_updates"):
            raise NotImportable(
                f"{type(scheduler).__name__} has been stepped, and only it knows what that "
                "changed. Make it afresh"
            )
        now = [Field(optimizer, name).read() for name in fields]
        try:
            Field(optimizer, "lr").write(self.bases)
            _begin_again(scheduler)
            return list(walk(scheduler, optimizer, fields, self.position - 1))
        except Exception:  # whatever a class does that is begun twice; only what is next is asked
            return [now] * self.position


Reader: TypeAlias = Callable[[Any, SchedulerCopy], Imported]
"""Reads a live scheduler by its attributes; the copy has its optimizer's numbers."""


def position_of(scheduler: Any) -> int:
    """Return how many steps a scheduler has made; what chains others counts by the first."""
    parts = getattr(scheduler, "_schedulers", None)
    if not hasattr(scheduler, "last_epoch") and parts:
        return position_of(parts[0])
    counts = getattr(scheduler, "last_epoch", 0), getattr(scheduler, "_num_updates", -1)
    return max(0, *map(int, counts))


def _begin_again(scheduler: Any) -> None:
    """Let a scheduler of torch write what it writes first."""
    parts = getattr(scheduler, "_schedulers", None)
    if parts is None:
        scheduler.last_epoch = -1
        scheduler._initial_step()
    elif hasattr(scheduler, "_milestones"):
        scheduler.last_epoch = 0
        for part in _lone_parts(scheduler):
            part.last_epoch = -1
        _begin_again(parts[bisect_right(scheduler._milestones, 0)])
    else:
        for part in parts:
            _begin_again(part)


def _lone_parts(scheduler: Any) -> list[Any]:
    """Return the schedulers that have no others in them."""
    parts = getattr(scheduler, "_schedulers", None)
    return [scheduler] if parts is None else list(chain.from_iterable(map(_lone_parts, parts)))


def walk(
    scheduler: Any, optimizer: Any, fields: Iterable[str], steps: int
) -> Iterator[list[list[float]]]:
    """Yield what updates 0 to ``steps`` use: for each field, the value of each group."""
    read = [Field(optimizer, name).read for name in fields]
    yield [values() for values in read]
    optimizer.step()  # some classes look whether it ever made one
    # Classes that count updates hook the optimizer; for others its steps would be most of the time.
    is_watched = getattr(optimizer, "_optimizer_step_post_hooks", True)
    for step in range(1, steps + 1):
        if is_watched and step > 1:
            optimizer.step()
        _advance(scheduler, step)
        yield [values() for values in read]


def _advance(scheduler: Any, step: int) -> None:
    """Make one step: torch's classes take no number, timm's that of the step."""
    kind: Any = type(scheduler)
    for method in ("step", "step_update"):
        if not hasattr(scheduler, method):
            continue
        needs = _required_arguments(kind, method)
        if not set(needs) <= {"epoch", "num_updates"}:
            raise ScheduleError(
                f"{kind.__name__}: its {method} needs {', '.join(needs)}, which only a run can "
                "tell. It cannot be previewed."
            )
        getattr(scheduler, method)(*[step] * len(needs))
        if not needs:
            return  # it counts by itself


def follows_metric(scheduler: Any) -> bool:
    """Return whether each step of a scheduler needs a metric."""
    kind: Any = type(scheduler)
    return hasattr(kind, "step") and "metrics" in _required_arguments(kind, "step")


@lru_cache(maxsize=16)
def _required_arguments(kind: Any, method: str) -> tuple[str, ...]:
    parameters = list(inspect.signature(getattr(kind, method)).parameters.values())[1:]
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return tuple(
        parameter.name
        for parameter in parameters
        if parameter.default is parameter.empty and parameter.kind in positional
    )
