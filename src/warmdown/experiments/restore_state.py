"""Restore everything a pass changes: weights, buffers, gradients, optimizer, random numbers."""

from __future__ import annotations

import copy
import inspect
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch.utils.data import DataLoader

from warmdown.binding.field import Field
from warmdown.training.rng import restore, seed_everything, snapshot
from warmdown.training.types import Data


class Snapshot:
    """The content of stateful objects at one moment, to be restored as often as needed.

    Args:
        field: A field of the optimizer; its groups, state and parameters are restored.
        things: Modules, scalers, schedulers, loaders, generators: whatever has a state.
    """

    def __init__(self, field: Field, things: Iterable[Any]) -> None:
        self._generators: list[torch.Generator] = []
        self._undo: list[Callable[[], object]] = []
        # each once, though several names may lead to it
        for thing in {id(thing): thing for thing in things}.values():
            self._add(thing)
        self._add_optimizer(field)
        self._undo.append(partial(restore, snapshot()))

    def restore(self) -> None:
        """Restore everything; a Ctrl-C meanwhile is raised when it is done."""
        with torch.no_grad(), _delayed_sigint():
            for undo in self._undo:
                undo()

    def reseed(self, seed: int) -> None:
        """Seed all that is random, a loader's generator too: another pass sees other batches."""
        seed_everything(seed)
        for generator in self._generators:
            generator.manual_seed(seed)

    def _add(self, thing: Any) -> None:
        generators = _generators_of(thing)
        self._generators += generators
        if isinstance(thing, torch.nn.Module):
            for part in thing.modules():
                self._undo.append(partial(setattr, part, "training", part.training))
            for buffer in thing.buffers():
                self._add_tensor(buffer)
            for parameter in thing.parameters():
                self._add_parameter(parameter)
        elif isinstance(thing, torch.Generator | DataLoader) and not hasattr(thing, "state_dict"):
            self._undo += [
                partial(generator.set_state, generator.get_state()) for generator in generators
            ]
        elif not hasattr(thing, "state_dict"):
            return  # batches that lie there: each pass begins at their start
        else:
            state = copy.deepcopy(thing.state_dict())
            self._undo.append(lambda: thing.load_state_dict(copy.deepcopy(state)))

    def _add_parameter(self, parameter: torch.Tensor) -> None:
        gradient = parameter.grad
        self._add_tensor(parameter)
        # the same tensor object: a fused or captured step has its address
        self._undo.append(partial(setattr, parameter, "grad", gradient))
        if gradient is not None:
            self._add_tensor(gradient)

    def _add_tensor(self, tensor: torch.Tensor) -> None:
        values = tensor.detach().clone()
        self._undo.append(lambda: tensor.detach().copy_(values))

    def _add_optimizer(self, field: Field) -> None:
        optimizer = field.optimizer
        for group in field.groups:
            for parameter in group["params"]:
                self._add_parameter(parameter)
        for mapping in (*field.groups, *optimizer.state.values()):
            for value in mapping.values():
                if isinstance(value, torch.Tensor):
                    self._add_tensor(value)
        groups = list(map(_copied, field.groups))
        states = [
            (parameter, state, _copied(state)) for parameter, state in optimizer.state.items()
        ]

        def undo() -> None:
            # a lazily made state goes, and with it the memory of the test
            optimizer.state.clear()
            for parameter, state, content in states:
                optimizer.state[parameter] = state
                _restore_mapping(state, content)
            # load_state_dict, and so accelerate, makes other dictionaries of the groups
            current = Field(optimizer, field.name).groups
            for group, content in zip(current, groups, strict=False):
                _restore_mapping(group, content)

        self._undo.append(undo)


def stateful_names(function: Callable[..., Any]) -> list[Any]:
    """Return the stateful objects that a function names, so that a person need not list them.

    Example:
        >>> import torch
        >>> model = torch.nn.Linear(1, 1)
        >>> def train_step():
        ...     return model(torch.ones(1))
        >>> stateful_names(train_step) == [model]
        True
    """
    function = inspect.unwrap(getattr(function, "func", function))
    plain = getattr(function, "__func__", function)
    # a method's object, or an object that is called itself
    owner = getattr(function, "__self__", function)
    things = [] if inspect.isfunction(owner) else list(getattr(owner, "__dict__", {}).values())
    if inspect.isfunction(plain):
        names = inspect.getclosurevars(plain)
        things += [*names.nonlocals.values(), *names.globals.values()]
    return list(filter(_has_state, things))


def _has_state(thing: Any) -> bool:
    if isinstance(thing, type | torch.optim.Optimizer):
        return False
    return isinstance(thing, torch.Generator | DataLoader) or (
        hasattr(thing, "state_dict") and hasattr(thing, "load_state_dict")
    )


def _generators_of(thing: Any) -> list[torch.Generator]:
    """Return the generators that a thing is or has: a loader's own, and its sampler's."""
    if isinstance(thing, DataLoader):
        sampler = getattr(thing.batch_sampler, "sampler", None) or thing.sampler
        found = [thing.generator, getattr(sampler, "generator", None)]
        return [generator for generator in found if generator is not None]
    return [thing] if isinstance(thing, torch.Generator) else []


def _copied(mapping: Data) -> Data:
    """Return a copy of a mapping; tensors and parameters stay in their place in memory."""
    return {
        key: value if key == "params" or isinstance(value, torch.Tensor) else copy.deepcopy(value)
        for key, value in mapping.items()
    }


def _restore_mapping(mapping: Data, content: Data) -> None:
    mapping.clear()
    # a copy again: the content is restored in every repeat
    mapping.update(_copied(content))


@contextmanager
def _delayed_sigint() -> Iterator[None]:
    """Delay a Ctrl-C until the block is through."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: received.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if received:
        raise KeyboardInterrupt
