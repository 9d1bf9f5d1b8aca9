"""Whatever a person has of a scheduler, made a live one: itself, what makes it, or its configuration."""

from __future__ import annotations

__all__ = ["built", "instantiate"]

import inspect
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch

from warmdown.errors import ScheduleError
from warmdown.planfile.classes import argument_errors, find_class


def instantiate(given: Any, lr: float | None = None, allow: Sequence[str] = ()) -> Any:
    """Return a live scheduler.

    Args:
        given: A scheduler, a wrapper of one, a function or class that takes an optimizer, or a
            configuration with a ``class_path``.
        lr: Base rate of the small optimizer that is made where there is none, 1 unless given.
        allow: Modules that a class path may name besides the known ones.

    Raises:
        ScheduleError: It is none of these, or refuses its arguments.
    """
    if isinstance(given, Mapping):
        return built(given, _optimizer(lr), allow)
    if isinstance(given, partial) or inspect.isroutine(given) or inspect.isclass(given):
        return _called(given, _optimizer(lr), {}, getattr(given, "__name__", repr(given)))
    inner = getattr(given, "scheduler", None)  # accelerate wraps
    live = given if inner is None or hasattr(given, "last_epoch") else inner
    if not hasattr(live, "optimizer"):
        raise ScheduleError(
            f"from_torch({given!r:.60}): not a scheduler with an optimizer. Give a live one, what "
            f"makes one for an "
            "optimizer, or {'class_path': …, 'init_args': {…}}."
        )
    return live


def built(config: Mapping[str, Any], optimizer: Any, allow: Sequence[str] = ()) -> Any:
    """Return the scheduler of a ``class_path`` with its ``init_args``.

    Args:
        config: The two.
        optimizer: What it is made for.
        allow: Modules that a class path may name besides the known ones.

    Raises:
        ScheduleError: There is no such class, or it refuses its arguments.
    """
    if not isinstance(path := config.get("class_path"), str):
        raise ScheduleError(
            f"from_torch({dict(config)!r:.60}): a configuration has a class_path and init_args."
        )
    arguments = dict(config.get("init_args") or {})
    found = find_class(path, allow)
    for name, why in argument_errors(found, path, arguments):
        raise ScheduleError(f"{path}({name}): {why}" if name else f"{path}: {why}")
    return _called(
        found,
        optimizer,
        {name: _value(value, optimizer, allow) for name, value in arguments.items()},
        path,
    )


def _value(value: Any, optimizer: Any, allow: Sequence[str]) -> Any:
    if isinstance(value, Mapping) and "class_path" in value:
        return built(value, optimizer, allow)
    return (
        [_value(one, optimizer, allow) for one in value]
        if isinstance(value, list | tuple)
        else value
    )


def _called(make: Any, optimizer: Any, arguments: Mapping[str, Any], who: str) -> Any:
    try:
        scheduler = make(optimizer=optimizer, **arguments) if arguments else make(optimizer)
    except ScheduleError:
        raise
    except Exception as error:  # whatever a foreign class raises
        raise ScheduleError(
            f"from_torch({who}): {type(error).__name__}: {error}. Mend its arguments."
        ) from error
    return (
        scheduler[0] if isinstance(scheduler, tuple) else scheduler
    )  # timm's factory tells the epochs beside it


def _optimizer(lr: float | None) -> Any:
    return torch.optim.SGD(
        [torch.nn.Parameter(torch.zeros(1))], lr=1.0 if lr is None else lr, momentum=0.9
    )
