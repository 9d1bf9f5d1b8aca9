"""ignite drives a plan by a handler: every update has its values, after resumes too."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.integrations.digits import (
    BATCHES,
    EPOCHS,
    PLAN,
    loader,
    loss_of,
    noting,
    planned,
    planned_rates,
    sgd,
    small_model,
    weights,
)
from tests.lazily import Lazily

import warmdown as wd

engines: Any = Lazily("ignite.engine")
handlers: Any = Lazily("ignite.handlers")
ours: Any = Lazily("warmdown.integrations.ignite")


class Job:
    """A trainer of ignite, and all that its checkpoints have."""

    def __init__(self, plan: Any = PLAN, *, accumulation: int = 1, **options: Any) -> None:
        self.model = small_model()
        self.optimizer = sgd(self.model)
        self.used = noting(self.optimizer)
        self.trainer = engines.create_supervised_trainer(
            self.model,
            self.optimizer,
            torch.nn.functional.cross_entropy,
            gradient_accumulation_steps=accumulation,
        )
        self.handler = ours.PlanHandler(self.optimizer, plan, accumulation=accumulation, **options)

    @property
    def objects(self) -> dict[str, Any]:
        return {
            "trainer": self.trainer,
            "model": self.model,
            "optimizer": self.optimizer,
            "plan": self.handler,
        }


@pytest.mark.peers
def test_each_update_has_the_values_of_the_plan() -> None:
    job = Job()
    job.handler.attach(job.trainer)
    job.trainer.run(loader(), max_epochs=2)
    assert job.used == planned(24)


@pytest.mark.parametrize("length", [{"max_epochs": 2}, {"max_iters": 20}])
def test_accumulation_does_not_multiply_the_clock(length: dict[str, int]) -> None:
    job = Job(accumulation=5)
    job.handler.attach(job.trainer)
    job.trainer.run(loader(), **length)
    assert job.used == planned(4)


def test_data_of_unknown_length_take_a_number_of_updates() -> None:
    job = Job(total_steps=12)
    job.handler.attach(job.trainer)
    job.trainer.run(batch for batch in loader())
    assert job.used == planned(12)


@pytest.mark.peers
def test_an_epoch_has_the_updates_that_accumulation_leaves() -> None:
    job = Job(EPOCHS, accumulation=4)
    job.handler.attach(job.trainer)
    job.trainer.run(loader(), max_epochs=2)
    assert [rate for rate, _ in job.used] == planned_rates(2, 3)


def test_a_run_that_stops_at_any_update_goes_on_with_the_same_values_and_weights(
    tmp_path: Path,
) -> None:
    at = random.randint(1, 23)
    batches = [next(iter(loader()))] * BATCHES  # ignite begins an epoch's data again
    whole = Job()
    saving = handlers.Checkpoint(whole.objects, str(tmp_path), filename_pattern="some.pt")
    whole.handler.attach(whole.trainer)
    whole.trainer.add_event_handler(engines.Events.ITERATION_COMPLETED(once=at), saving)
    whole.trainer.run(batches, max_epochs=2)

    again = Job()
    handlers.Checkpoint.load_objects(again.objects, tmp_path / "some.pt")
    again.handler.attach(again.trainer)
    again.trainer.run(batches, max_epochs=2)
    assert again.used == planned(24)[at:], at
    assert weights(again.model) == weights(whole.model), at


def test_a_state_is_kept_until_the_run_begins() -> None:
    job = Job()
    job.handler.attach(job.trainer)
    job.trainer.run(loader(), max_epochs=1)
    again = Job()
    again.handler.load_state_dict(job.handler.state_dict())
    assert again.handler.state_dict() == job.handler.state_dict()
    job.handler.scheduler.seek(3)
    job.handler.load_state_dict(again.handler.state_dict())
    job.handler.load_state_dict({})  # of a checkpoint that was written before a run
    assert job.handler.scheduler.count == 12
    assert Job().handler.state_dict() == {}


@pytest.mark.parametrize("by_evaluator", [True, False])
def test_a_plateau_follows_the_metrics_of_the_evaluator_or_of_the_trainer(
    by_evaluator: bool,
) -> None:
    losses = iter([1.0, 1.0, 0.5, 0.6, 0.4])
    job = Job(wd.Plateau(metric="loss", factor=0.5, patience=0))
    evaluator = engines.Engine(lambda engine, batch: None)
    measuring = evaluator if by_evaluator else job.trainer

    @measuring.on(engines.Events.EPOCH_COMPLETED)  # type: ignore[untyped-decorator]
    def measure(engine: Any) -> None:
        engine.state.metrics["loss"] = next(losses)

    if by_evaluator:
        job.trainer.add_event_handler(engines.Events.EPOCH_COMPLETED, lambda _: evaluator.run([0]))
    job.handler.attach(job.trainer, evaluator if by_evaluator else None)
    job.trainer.run(loader(), max_epochs=5)
    assert [rate for rate, _ in job.used[::BATCHES]] == [0.3, 0.3, 0.15, 0.15, 0.075]


def test_the_same_engine_goes_on_in_a_second_run_with_what_was_observed() -> None:
    job = Job(wd.Plateau(metric="loss", factor=0.5, patience=0), total_steps=48)

    @job.trainer.on(engines.Events.EPOCH_COMPLETED)  # type: ignore[untyped-decorator]
    def measure(engine: Any) -> None:
        engine.state.metrics["loss"] = 1.0

    job.handler.attach(job.trainer)
    job.trainer.run(loader(), max_epochs=2)
    job.trainer.run(loader(), max_epochs=4)
    assert [rate for rate, _ in job.used[::BATCHES]] == [0.3, 0.3, 0.15, 0.075]


def test_an_engine_without_a_state_of_the_plan_gives_the_count_of_updates() -> None:
    job = Job()
    job.trainer.run(loader(), max_epochs=1)
    job.handler.attach(job.trainer)
    job.trainer.run(loader(), max_epochs=2)
    assert job.used[12:] == planned(24)[12:]


@pytest.mark.peers
def test_two_optimizers_follow_one_plan() -> None:
    models = small_model(), small_model()
    optimizers = [sgd(model) for model in models]
    used = [noting(optimizer) for optimizer in optimizers]

    def update(engine: Any, batch: Any) -> None:
        for model, optimizer in zip(models, optimizers, strict=True):
            optimizer.zero_grad()
            loss_of(model, batch).backward()  # type: ignore[no-untyped-call]
            optimizer.step()

    trainer = engines.Engine(update)
    ours.PlanHandler(optimizers, PLAN).attach(trainer)
    trainer.run(loader(), max_epochs=2)
    assert used == [planned(24), planned(24)]


@pytest.mark.peers
def test_another_handler_that_writes_the_same_rate_is_found() -> None:
    job = Job()
    job.handler.attach(job.trainer)
    other = handlers.CosineAnnealingScheduler(job.optimizer, "lr", 1.0, 0.0, 24)
    job.trainer.add_event_handler(engines.Events.ITERATION_STARTED, other)
    with pytest.warns(wd.errors.ForeignWrite, match="lr/0 was set"):
        job.trainer.run(loader(), max_epochs=1)
