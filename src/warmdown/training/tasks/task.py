"""What a task is: a model, a loss and data, built by a function."""

from __future__ import annotations

__all__ = ["TASKS", "Task", "task_of"]

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import wraps
from importlib import import_module
from pathlib import Path
from traceback import FrameSummary, extract_tb
from typing import Any

import torch
from torch.utils.data import DataLoader

from warmdown.errors import TrainingError, WarmdownError, nearest, warn_renamed
from warmdown.shown import brief

Metric = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Takes the model's output and the target of a batch, returns the mean over its samples."""


def momentum_sgd(model: torch.nn.Module, lr: float) -> torch.optim.Optimizer:
    """Return the optimizer of a task that names none: SGD with momentum 0.9."""
    return torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)


@dataclass(frozen=True, kw_only=True)
class Task:
    """Something to train on.

    Args:
        model: The model, freshly made.
        loss: Takes the model's output and the target, returns the mean over the batch.
        train: Data of pairs (input, target).
        test: The same, to evaluate on, or ``None``.
        metrics: More to measure in each evaluation, by name.
        bind: What a plan may drive beside the optimizer, by target name, as for
            :meth:`Trainer.train`.
        optimizer: Makes the optimizer of the model and a learning rate.
        lr: Base learning rate.
        epochs: Passes over the data.
        batch_size: Samples in a batch of one process.
        description: One line about it for a person.
    """

    model: torch.nn.Module
    loss: Callable[..., torch.Tensor]
    train: Any
    test: Any = None
    metrics: Mapping[str, Metric] = field(default_factory=dict)
    bind: Mapping[str, Any] = field(default_factory=dict)
    optimizer: Callable[[torch.nn.Module, float], torch.optim.Optimizer] = momentum_sgd
    lr: float = 0.1
    epochs: int = 10
    batch_size: int = 32
    description: str = ""

    __repr__ = brief

    def size_of_batch(self, given: int | None) -> int | None:
        """Return how many samples a batch has, ``None`` where a loader decides."""
        return given or (None if isinstance(self.train, DataLoader) else self.batch_size)


def _with_old_name(init: Callable[..., None]) -> Callable[..., None]:
    @wraps(init)
    def read_old_name(self: Task, **fields: Any) -> None:
        if "says" in fields:
            warn_renamed("Task(says=…)", "Task(description=…)")
            fields["description"] = fields.pop("says")
        init(self, **fields)

    return read_old_name


Task.__init__ = _with_old_name(Task.__init__)  # type: ignore[method-assign]

TASKS: Mapping[str, str] = {
    "digits": "warmdown.training.tasks.digits:digits_task",
    "fashion": "warmdown.training.tasks.fashion:fashion_task",
    "text": "warmdown.training.tasks.text:text_task",
}
"""Where each task is built, by its name."""


def task_of(name: str) -> Task:
    """Build a task; random numbers are those of the caller.

    Args:
        name: ``digits``, ``fashion``, ``text``, or ``module:function`` of your own. The function
            returns a :class:`Task`, or ``(model, loss, train)`` or ``(model, loss, (train,
            test))``.

    Raises:
        TrainingError: There is no such task, or the function raises, or returns something else.
    """
    try:
        built = _builder(name)()
    except WarmdownError:
        raise
    except Exception as error:  # whatever a module of one's own does
        at = _own_line(error)
        raise TrainingError(
            f"task({name!r}): it raised {type(error).__name__}: {error} ({at.filename}, line "
            f"{at.lineno}). Correct it there."
        ) from error
    if isinstance(built, Task):
        return built
    if not isinstance(built, tuple) or len(built) != 3:
        raise TrainingError(
            f"task({name!r}): returned {type(built).__name__}. A task returns "
            "warmdown.training.Task(…), or a tuple (model, loss, train) or (model, loss, (train, "
            "test))."
        )
    model, loss, data = built
    train, test = data if isinstance(data, Sequence) and len(data) == 2 else (data, None)
    return Task(model=model, loss=loss, train=train, test=test)


def _own_line(error: Exception) -> FrameSummary:
    """Return the innermost line below the working folder that is no library's, else the last."""
    lines = extract_tb(error.__traceback__)
    here = Path.cwd()
    own = [
        line
        for line in lines
        if Path(line.filename).is_relative_to(here) and "site-packages" not in line.filename
    ]
    return (own or lines)[-1]


def _builder(name: str) -> Callable[[], Any]:
    path = TASKS.get(name, name)
    module, colon, function = path.rpartition(":")
    if not colon or not function or not module or module.startswith("."):
        raise TrainingError(
            f"task({name!r}): no such task. {nearest(name, TASKS)} Your own is 'module:function'."
        )
    try:
        found: Callable[[], Any] = getattr(import_module(module), function)
    except ModuleNotFoundError as error:
        if error.name is None or not module.startswith(error.name):
            raise
        raise TrainingError(
            f"task({name!r}): there is no module {module!r}. Run it from the folder it lies in."
        ) from None
    except AttributeError:
        raise TrainingError(
            f"task({name!r}): {module} has no {function!r}. Name a function that is there."
        ) from None
    return found
