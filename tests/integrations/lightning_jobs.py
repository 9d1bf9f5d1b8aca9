"""Small modules of Lightning; who uses them imports this file late, for Lightning takes seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tests.integrations.digits import PLAN, loss_of, noting, sgd, small_model

lightning: Any = pytest.importorskip("lightning.pytorch")
from warmdown.integrations.lightning import configure_plan  # noqa: E402


class Digits(lightning.LightningModule):  # type: ignore[misc]
    """A classifier whose optimizer has no scheduler."""

    def __init__(self, losses: list[float] | None = None) -> None:
        super().__init__()
        self.model, self.losses = small_model(), losses or []
        self.used: list[Any] = []

    def training_step(self, batch: Any) -> Any:
        return loss_of(self.model, batch)

    def validation_step(self, batch: Any) -> None:
        self.log("val_loss", torch.tensor(self.losses[self.current_epoch]))

    def configure_optimizers(self) -> Any:
        optimizer = sgd(self.model)
        self.used = noting(optimizer)
        return optimizer


class Configured(Digits):
    def configure_optimizers(self) -> Any:
        return configure_plan(self, super().configure_optimizers(), PLAN)


class Manual(Digits):
    """Two optimizers, and two updates of the first in each batch."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.other = small_model()
        self.used_by_other: list[Any] = []

    def configure_optimizers(self) -> Any:
        other = sgd(self.other)
        self.used_by_other = noting(other)
        return [super().configure_optimizers(), other]

    def training_step(self, batch: Any) -> None:
        first, second = self.optimizers()
        for model, optimizer in ((self.model, first), (self.model, first), (self.other, second)):
            optimizer.zero_grad()
            self.manual_backward(loss_of(model, batch))
            optimizer.step()


class OnceEach(Manual):
    def training_step(self, batch: Any) -> None:
        pairs = zip((self.model, self.other), self.optimizers(), strict=True)
        for model, optimizer in pairs:
            optimizer.zero_grad()
            self.manual_backward(loss_of(model, batch))
            optimizer.step()


class WithScheduler(Digits):
    def configure_optimizers(self) -> Any:
        optimizer = super().configure_optimizers()
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1)]


class StopAt(lightning.Callback):  # type: ignore[misc]
    """Stops a run of a length that stays the planned one."""

    def __init__(self, updates: int) -> None:
        self.updates = updates

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        trainer.should_stop = trainer.global_step >= self.updates


def trainer(folder: Path, *callbacks: Any, epochs: int = 2, **options: Any) -> Any:
    return lightning.Trainer(
        **{
            "max_epochs": epochs,
            "accelerator": "cpu",
            "logger": False,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "enable_checkpointing": False,
            "default_root_dir": folder,
            "callbacks": list(callbacks),
            **options,
        }
    )
