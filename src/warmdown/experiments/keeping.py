"""Leave everything as it was: weights, buffers, gradients, optimizer, random numbers, whatever has a state."""

from __future__ import annotations

__all__ = ["Kept", "kept", "named_by"]

import copy
import inspect
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils.data import DataLoader

from warmdown.binding.field import Field
from warmdown.training.rng import restore, seed_everything, snapshot

Undo = Callable[[], None]


class Kept:
    """What things held at one moment, to be gone back to as often as needed.

    Args:
        field: A field of the optimizer whose groups, state and parameters are kept.
        things: Modules, scalers, schedulers, loaders, generators: whatever has a state.
    """

    def __init__(self, field: Field, things: Iterable[Any]) -> None:
        every = _once(things)
        self._generators = _once(one for thing in every for one in _generators(thing))
        self._undo: list[Undo] = [_thing(thing) for thing in every]
        self._undo += [_optimizer(field), _random()]

    def go_back(self) -> None:
        """Put everything back; a Ctrl-C meanwhile is obeyed when it is done."""
        with torch.no_grad(), _unbroken():
            for undo in self._undo:
                undo()

    def stir(self, seed: int) -> None:
        """Seed all that is random anew: another pass shall see other batches, though a loader has its own generator."""
        seed_everything(seed)
        for generator in self._generators:
            generator.manual_seed(seed)


@contextmanager
def kept(field: Field, things: Iterable[Any]) -> Iterator[Kept]:
    """Run what is inside, and leave everything as it was, whatever happens there."""
    before = Kept(field, things)
    try:
        yield before
    finally:
        before.go_back()


def named_by(function: Callable[..., Any]) -> list[Any]:
    """Return the things with a state that a function names, so that a person need not list them.

    Example:
        >>> import torch
        >>> model = torch.nn.Linear(1, 1)
        >>> def train_step():
        ...     return model(torch.ones(1))
        >>> named_by(train_step) == [model]
        True
    """
    function = inspect.unwrap(getattr(function, "func", function))
    holder = getattr(function, "__self__", None)
    held = list(vars(holder).values()) if hasattr(holder, "__dict__") else []
    plain = getattr(function, "__func__", function)
    if not inspect.isfunction(plain):
        plain, held = (
            None,
            [*held, *vars(function).values()] if hasattr(function, "__dict__") else held,
        )
    if plain is not None:
        names = inspect.getclosurevars(plain)
        held += [*names.nonlocals.values(), *names.globals.values()]
    return [thing for thing in held if _has_state(thing)]


def _has_state(thing: Any) -> bool:
    if isinstance(thing, type | torch.optim.Optimizer):
        return False
    return isinstance(thing, torch.Generator | DataLoader) or (
        hasattr(thing, "state_dict") and hasattr(thing, "load_state_dict")
    )


def _thing(thing: Any) -> Undo:
    if isinstance(thing, torch.nn.Module):
        return _module(thing)
    if isinstance(thing, torch.Generator):
        return _generator(thing)
    if isinstance(thing, DataLoader) and not hasattr(thing, "state_dict"):
        return _all([_generator(one) for one in _generators(thing)])
    state = copy.deepcopy(thing.state_dict())
    return lambda: thing.load_state_dict(copy.deepcopy(state))


def _generators(thing: Any) -> list[torch.Generator]:
    """Return the sources of random numbers that a thing is or has: a loader's own, and its sampler's."""
    if isinstance(thing, torch.Generator):
        return [thing]
    if not isinstance(thing, DataLoader):
        return []
    sampler = getattr(thing.batch_sampler, "sampler", None) or thing.sampler
    return [
        one for one in (thing.generator, getattr(sampler, "generator", None)) if one is not None
    ]


def _module(module: torch.nn.Module) -> Undo:
    modes = [(part, part.training) for part in module.modules()]
    tensors = [_tensor(buffer) for buffer in module.buffers()]
    parameters = [_parameter(parameter) for parameter in module.parameters()]

    def undo() -> None:
        for part, mode in modes:
            part.training = mode

    return _all([undo, *tensors, *parameters])


def _optimizer(field: Field) -> Undo:
    optimizer = field.optimizer
    groups = [_Content(group, leave="params") for group in field.groups]
    parameters = [_parameter(parameter) for group in field.groups for parameter in group["params"]]
    states = [(parameter, state, _Content(state)) for parameter, state in optimizer.state.items()]

    def undo() -> None:
        optimizer.state.clear()
        for parameter, state, content in states:
            content.put_into(state)
            optimizer.state[parameter] = state
        now = Field(
            optimizer, field.name
        ).groups  # load_state_dict, and so accelerate, makes other dictionaries
        for group, content in zip(now, groups, strict=False):
            content.put_into(group)

    return _all([undo, *parameters])


class _Content:
    """What a dictionary holds; its tensors keep their place in memory."""

    def __init__(self, mapping: dict[Any, Any], leave: str = "") -> None:
        self._leave = leave
        self._held = {key: value for key, value in mapping.items() if key != leave}
        self._tensors = [
            _tensor(value) for value in self._held.values() if isinstance(value, torch.Tensor)
        ]
        self._others = {
            key: copy.deepcopy(value)
            for key, value in self._held.items()
            if not isinstance(value, torch.Tensor)
        }

    def put_into(self, mapping: dict[Any, Any]) -> None:
        for undo in self._tensors:
            undo()
        for key in [key for key in mapping if key not in self._held and key != self._leave]:
            del mapping[key]
        mapping.update(self._held)
        mapping.update(copy.deepcopy(self._others))


def _parameter(parameter: torch.Tensor) -> Undo:
    weights, gradient = _tensor(parameter), parameter.grad
    values = None if gradient is None else _tensor(gradient)

    def undo() -> None:
        parameter.grad = gradient
        if values is not None:
            values()

    return _all([weights, undo])


def _tensor(tensor: torch.Tensor) -> Undo:
    values = tensor.detach().clone()

    def undo() -> None:
        tensor.detach().copy_(values)

    return undo


def _generator(generator: torch.Generator) -> Undo:
    state = generator.get_state()

    def undo() -> None:
        generator.set_state(state)

    return undo


def _random() -> Undo:
    state = snapshot()
    return lambda: restore(state)


def _all(undos: Iterable[Undo]) -> Undo:
    every = list(undos)

    def undo() -> None:
        for one in every:
            one()

    return undo


def _once(things: Iterable[Any]) -> list[Any]:
    return list({id(thing): thing for thing in things}.values())


@contextmanager
def _unbroken() -> Iterator[None]:
    """Hold back Ctrl-C until the block is through."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    waiting: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: waiting.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if waiting:
        raise KeyboardInterrupt
