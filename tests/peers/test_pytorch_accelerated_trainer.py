"""pytorch-accelerated's own Trainer with what create_scheduler_fn of our names returns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.utils.data import TensorDataset

from warmdown.compat.schedulers import CosineLrScheduler, WSDLrScheduler
from warmdown.placeholders import TrainerPlaceholderValues

theirs: Any = pytest.importorskip("pytorch_accelerated")

BATCHES, EPOCHS = 5, 4


def trained(create: Callable[[Any], Any]) -> tuple[Any, list[float]]:
    """Return the scheduler of a whole run, and the rates that its updates used."""
    used: list[float] = []

    class Trainer(theirs.Trainer):  # type: ignore[misc]
        def optimizer_step(self) -> None:
            used.append(self.optimizer.param_groups[0]["lr"])
            super().optimizer_step()

    model = torch.nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    trainer = Trainer(model, torch.nn.functional.mse_loss, optimizer, callbacks=())
    data = TensorDataset(torch.ones(2 * BATCHES, 2), torch.ones(2 * BATCHES, 1))
    trainer.train(
        data,
        num_epochs=EPOCHS,
        per_device_batch_size=2,
        create_scheduler_fn=create,
        train_dataloader_kwargs={"num_workers": 0},
    )
    return trainer.scheduler, used


@pytest.mark.parametrize(
    ("create", "made"),
    [
        (
            CosineLrScheduler.create_scheduler_fn(num_warmup_epochs=1.5, num_cooldown_epochs=1),
            lambda opt: CosineLrScheduler(
                opt, EPOCHS, BATCHES, num_warmup_epochs=1.5, num_cooldown_epochs=1
            ),
        ),
        (
            WSDLrScheduler.create_scheduler_fn(num_warmup_epochs=0.4, num_checkpoints=2),
            lambda opt: WSDLrScheduler(opt, EPOCHS, BATCHES, num_warmup_steps=2, num_checkpoints=2),
        ),
        (
            WSDLrScheduler.create_scheduler_fn(lr_min=0.1),
            lambda opt: WSDLrScheduler(opt, EPOCHS, BATCHES, num_warmup_steps=None, lr_min=0.1),
        ),
    ],
)
def test_their_trainer_fills_in_what_our_factories_leave_open(
    create: Callable[[Any], Any], made: Callable[[Any], Any]
) -> None:
    _, used = trained(create)
    optimizer = torch.optim.SGD(torch.nn.Linear(2, 1).parameters(), lr=1e-3)
    alone, expected = made(optimizer), []
    for _ in range(EPOCHS * BATCHES):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        alone.step()
    assert used == expected


def test_their_trainer_computes_with_our_placeholders() -> None:
    half = (
        TrainerPlaceholderValues.TRAIN_DATALOADER_LEN * 3 - 2 // TrainerPlaceholderValues.NUM_EPOCHS
    )
    scheduler, _ = trained(CosineLrScheduler.create_scheduler_fn(half / 2, 1 + half))
    assert scheduler.total_iterations == round(7.5 * 16)


def test_their_trainer_takes_their_placeholders_in_our_factories() -> None:
    epochs = theirs.TrainerPlaceholderValues.NUM_EPOCHS
    scheduler, _ = trained(CosineLrScheduler.create_scheduler_fn(total_num_epochs=epochs * 2))
    assert scheduler.total_iterations == 2 * EPOCHS * BATCHES
