"""What two processes do in ``test_distributed.py``: arguments come in, files go out."""

from __future__ import annotations

import json
import os
import signal
import sys
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from tests.training import small
from tests.training.test_averaging import PLAN, averages
from tests.training.test_rollback import Long
from tests.training.test_streams import Shards
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.utils.data import DataLoader

from warmdown import LengthMismatch, Rollback, TrainingError
from warmdown.training import (
    MergedWeightsCallback,
    Trainer,
    TrainerCallback,
    digest_of_weights,
    state,
)


class Die(TrainerCallback):
    """Ends the second process without a word, after so many updates."""

    def __init__(self, after: int) -> None:
        self.after = after

    def on_train_update_end(self, trainer: Trainer, update: int = 0, **kwargs: Any) -> None:
        if trainer.run_state.accelerator.process_index == 1 and update + 1 == self.after:
            os.kill(os.getpid(), signal.SIGKILL)


class Tell(TrainerCallback):
    """Tells the first process alone to stop; the second hears of it from the first."""

    def __init__(self, after: int) -> None:
        self.after = after

    def on_train_update_end(self, trainer: Trainer, update: int = 0, **kwargs: Any) -> None:
        if trainer.run_state.accelerator.process_index == 0 and update + 1 == self.after:
            os.kill(os.getpid(), signal.SIGTERM)


class Sharded(Trainer):
    """Weights in pieces by torch's FSDP 2; accelerate offers it on GPUs only."""

    def _prepare(self) -> None:
        fully_shard(self.model, mesh=init_device_mesh("cpu", (self._accelerator.num_processes,)))
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=0.02)


def main(work: str, folder: Path, after: int) -> None:
    """Train, answer with what this process ended with."""
    torch.set_num_threads(1)
    rank = int(os.environ["RANK"])
    torch.manual_seed(rank)  # the processes begin with different numbers, as careless programs do
    if work.startswith("spike"):
        answer = spiking(folder, "resume" in work)
        (folder / f"answer-{rank}.json").write_text(json.dumps(answer))
        return
    if work == "average":
        both = [averaged(folder / "whole"), averaged(folder / "cut", 17)]
        (folder / f"answer-{rank}.json").write_text(json.dumps(both))
        return
    extra: dict[str, list[TrainerCallback]] = {"die": [Die(after)], "tell": [Tell(after)]}
    kind: type[Trainer] = Trainer
    model = small.network
    if work.startswith("shard"):
        state.is_sharded = lambda trainer: True
        kind, model = Sharded, small.perceptron
    trainer = small.make(folder, [Values(), *extra.get(work, [])], every=5, kind=kind, model=model)
    resumed = {"resume_from": folder / "checkpoints"} if "resume" in work else {}
    data: Any = small.Plain()
    if work.startswith("uneven"):
        warnings.simplefilter("ignore", LengthMismatch)
        data = Shards(40 - 12 * rank, promised=60 - 4 * rank)
    small.train(trainer, train_dataset=data, per_device_batch_size=2, **resumed)
    (values,) = (one for one in trainer.callback_handler if isinstance(one, Values))
    answer = {
        "digest": digest_of_weights(state.model_state(trainer)),
        "updates": trainer.progress.updates,
        "rates": values.rates,
        "metrics": trainer.run_history.get_metric_values("eval_loss_epoch"),
    }
    (folder / f"answer-{rank}.json").write_text(json.dumps(answer))


def spiking(folder: Path, is_resumed: bool) -> dict[str, Any]:
    """Train on data of which one process gets a bad item; return where the run went back."""
    policy = Rollback(to=20, rescale=0.5, over=40, skip=10)
    trainer = small.make(
        folder, [Values()], every=20, model=small.perceptron, on_spike=policy, seed=4
    )
    data = DataLoader(Long(137, draws=True), batch_size=2)
    start = folder / "checkpoints" / "update-00000060" if is_resumed else None
    trainer.train(data, 1, plan=small.plan(), resume_from=start)
    return {
        "digest": digest_of_weights(state.model_state(trainer)),
        "updates": trainer.progress.updates,
        "rollbacks": trainer.rollbacks,
        "events": [str(event) for event in trainer.scheduler.events],
    }


def averaged(folder: Path, after: int | None = None) -> dict[str, Any]:
    """Train with averages and a merge, perhaps in two parts; return what there is at the end."""
    told: dict[str, Any] = {
        "plan": PLAN,
        "train_dataset": small.Plain(),
        "per_device_batch_size": 2,
    }
    if after is not None:
        with suppress(TrainingError):
            small.train(small.make(folder, [*averages(), small.Stop(after)], every=5), **told)
        told["resume_from"] = folder / "checkpoints"
    kept = averages()
    trainer = small.make(folder, [*kept, MergedWeightsCallback("linear 30%")], every=5)
    small.train(trainer, **told)
    metrics = trainer.run_history.latest_metrics()
    (branch,) = trainer.branch_cooldowns(folder / "checkpoints", [10], by="merge")
    digests = [digest_of_weights(one.average.weights()) for one in kept if one.average]
    return {"metrics": metrics, "digests": [*digests, branch.digest], "branch": branch.metrics}


class Values(TrainerCallback):
    """Notes the rate that each update used, on every process."""

    def __init__(self) -> None:
        self.rates: list[float] = []

    def on_train_step_end(
        self, trainer: Trainer, batch: Any, batch_output: Any, **kwargs: Any
    ) -> None:
        self.rates.append(trainer.scheduler.value(trainer.progress.updates - 1))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
    torch.distributed.destroy_process_group()
