"""accelerate: a plan that is right on several processes, with accumulation and mixed precision."""

from __future__ import annotations

__all__ = ["bind_plan"]

import math
from typing import Any

from warmdown.binding import Scheduler
from warmdown.binding.joining import OnChange
from warmdown.errors import BindingError, MissingExtra

try:
    from accelerate import Accelerator  # type: ignore[import-untyped]
    from accelerate.data_loader import DataLoaderStateMixin  # type: ignore[import-untyped]
except ModuleNotFoundError:
    raise MissingExtra("warmdown.integrations.accelerate", "accelerate", "train") from None


def bind_plan(
    accelerator: Accelerator,
    optimizer: Any,
    plan: Any,
    loader: Any = None,
    *,
    epochs: int = 1,
    total_steps: int | None = None,
    on_change: OnChange = "error",
) -> Scheduler:
    """Return a scheduler whose run is the accelerator's, and whose state its checkpoints have.

    Call ``step()`` after ``optimizer.step()``, and do not prepare it. It counts updates: neither
    processes, ``split_batches`` nor micro-batches multiply them, and one that fp16 left out is not
    counted.

    Args:
        accelerator: The accelerator.
        optimizer: What ``accelerator.prepare`` returned for the optimizer.
        plan: What ``Scheduler`` takes as a plan; lengths are measured on the run.
        loader: What it returned for the loader, whose length gives that of the run.
        epochs: Passes over the loader.
        total_steps: Updates in the run, instead of the loader's.
        on_change: What happens when a checkpoint is of another plan.

    Raises:
        BindingError: The loader is not prepared, so that its length is not that of one process.

    Example:
        >>> import accelerate, torch
        >>> from warmdown import warmup_cosine
        >>> from warmdown.integrations.accelerate import bind_plan
        >>> accelerator = accelerate.Accelerator(cpu=True)
        >>> model = torch.nn.Linear(2, 1)
        >>> model, optimizer = accelerator.prepare(model, torch.optim.SGD(model.parameters(), 0.1))
        >>> bind_plan(accelerator, optimizer, warmup_cosine(), total_steps=200).run
        Run(total_steps=200)
    """
    per_epoch = None
    if loader is not None and hasattr(loader, "__len__"):
        if not isinstance(loader, DataLoaderStateMixin):
            raise BindingError(
                "bind_plan(loader=…): it is not prepared, and one process sees another number of "
                "its batches. Give what accelerator.prepare(loader) returned."
            )
        per_epoch, total = _count_updates(accelerator, len(loader), epochs)
        total_steps = total_steps or total
    scheduler = Scheduler(
        optimizer, plan, on_change=on_change, total_steps=total_steps, steps_per_epoch=per_epoch
    )
    accelerator.register_for_checkpointing(scheduler)
    return scheduler


def _count_updates(accelerator: Accelerator, batches: int, epochs: int) -> tuple[int | None, int]:
    """Return the updates in an epoch, where they are as many in each, and in the run."""
    micro = accelerator.gradient_accumulation_steps
    if accelerator.gradient_state.sync_with_dataloader:  # the last batch of an epoch ends an update
        per_epoch = math.ceil(batches / micro)
        return per_epoch, per_epoch * epochs
    return (None if batches % micro else batches // micro), max(1, batches * epochs // micro)
