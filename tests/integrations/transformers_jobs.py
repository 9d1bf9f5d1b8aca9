"""Small runs of transformers' Trainer; who uses them imports this file late: it takes seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tests.integrations.digits import digits, loss_of, noting, sgd, small_model

transformers: Any = pytest.importorskip("transformers")
from warmdown.integrations.transformers import PlanTrainerCallback  # noqa: E402


class Digits(torch.nn.Module):
    """A model as the Trainer calls one."""

    def __init__(self) -> None:
        super().__init__()
        self.model = small_model()

    def forward(self, images: Any, labels: Any) -> dict[str, Any]:
        return {"loss": loss_of(self.model, (images, labels))}


ROWS = [
    {"images": images, "labels": labels} for images, labels in zip(*digits().tensors, strict=True)
]


class Trainer(transformers.Trainer):  # type: ignore[misc]
    """The Trainer, with an optimizer whose updates are noted and losses as if measured."""

    losses: tuple[float, ...] = ()
    optimizer: Any

    def create_optimizer(self, model: Any = None) -> Any:
        if self.optimizer is None:
            self.optimizer = sgd(model or self.model)
            self.used = noting(self.optimizer)
        return self.optimizer

    def evaluation_loop(self, *arguments: Any, **named: Any) -> Any:
        output = super().evaluation_loop(*arguments, **named)
        if self.losses:
            output.metrics["eval_loss"] = self.losses[round(self.state.epoch or 0) - 1]
        return output


class Following(Trainer):
    losses = (1.0, 1.0, 0.5, 0.6, 0.4)


def arguments(folder: Path, **options: Any) -> Any:
    return transformers.TrainingArguments(
        **{
            "output_dir": str(folder),
            "num_train_epochs": 2,
            "per_device_train_batch_size": 32,
            "save_strategy": "no",
            "logging_steps": 1,
            "report_to": [],
            "use_cpu": True,
            "disable_tqdm": True,
            **options,
        }
    )


def trained(folder: Path, plan: Any, resume: Path | None = None, **options: Any) -> Trainer:
    how = options.pop("how", {})
    trainer = Trainer(
        Digits(),
        arguments(folder, **options),
        train_dataset=ROWS,
        callbacks=[PlanTrainerCallback(plan, **how)],
    )
    trainer.train(resume_from_checkpoint=resume and str(resume))
    return trainer
