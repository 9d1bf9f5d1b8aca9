"""The trainer: ten lines for a run, every step overridable, the schedule measured on the run."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.devices import WithoutDoubles
from tests.training import small
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import warmdown as wd
from warmdown import TrainingError
from warmdown.placeholders import TrainerPlaceholderValues
from warmdown.training import RecordCallback, Trainer, TrainerCallback, digest_of_weights
from warmdown.training.history import LossTracker


def rates(trainer: Trainer) -> list[float]:
    (recorder,) = (one for one in trainer.callback_handler if isinstance(one, RecordCallback))
    return recorder.record.curve("lr/0")[1]


def run(plan: Any = None, **told: Any) -> Trainer:
    trainer = small.make(callbacks=[RecordCallback()], model=small.linear)
    small.train(trainer, plan=plan, **told)
    return trainer


def test_a_schedule_knows_the_real_length_and_every_update_uses_its_value() -> None:
    schedule = wd.warmup_cosine(warmup="20%", end=0.1)
    trainer = run(schedule, gradient_accumulation_steps=2)
    total = 3 * 7  # 13 batches of 4 in an epoch, two make an update, the last is alone
    expected = schedule.over(wd.Run(total_steps=total))
    assert trainer.progress.updates == total
    assert rates(trainer) == pytest.approx(
        [0.02 * expected(step) for step in range(total)], rel=1e-15
    )


def test_losses_are_summed_in_the_widest_numbers_that_the_device_has() -> None:
    losses, loss = LossTracker(), torch.ones((), device="meta")
    with WithoutDoubles():
        losses.update(loss, 4)
        assert isinstance(losses.total, torch.Tensor)
        assert losses.total.dtype == torch.float32
    losses.reset()
    losses.update(loss, 4)
    assert isinstance(losses.window_loss, torch.Tensor)
    assert losses.window_loss.dtype == torch.float64


def test_durations_in_epochs_and_percent_fit_the_run() -> None:
    trainer = run(wd.Linear(start=0.0, end=1.0, steps="1ep") >> wd.Constant(value=1.0))
    assert rates(trainer)[:14] == pytest.approx([0.02 * step / 13 for step in range(14)])


def test_a_plan_may_be_the_path_of_a_file_with_the_trainers_placeholders(tmp_path: Path) -> None:
    (tmp_path / "plan.yaml").write_text(
        "lr: {kind: linear, start: 1.0, end: 0.0, steps: '%NUM_EPOCHS% * 10'}\n"
    )
    trainer = run(tmp_path / "plan.yaml")
    assert rates(trainer)[:31] == pytest.approx([0.02 * (1 - step / 30) for step in range(31)])


def test_a_plan_may_be_plain_data_or_stand_where_a_factory_does() -> None:
    data = {"lr": {"kind": "linear", "start": 1.0, "end": 0.0, "steps": "rest"}}
    assert rates(run(data)) == rates(
        run(None, create_scheduler_fn=wd.Linear(start=1.0, end=0.0, steps="rest"))
    )


def test_a_factory_gets_the_numbers_behind_its_placeholders() -> None:
    names = TrainerPlaceholderValues
    factory = partial(
        torch.optim.lr_scheduler.OneCycleLR,
        max_lr=0.1,
        total_steps=names.NUM_EPOCHS * names.NUM_UPDATE_STEPS_PER_EPOCH,
    )
    trainer = run(None, create_scheduler_fn=factory)
    assert trainer.scheduler.total_steps == 39
    assert len(rates(trainer)) == 39
    assert max(rates(trainer)) == pytest.approx(0.1, rel=1e-3)


@pytest.mark.parametrize("name", [each.name for each in TrainerPlaceholderValues])
@pytest.mark.parametrize(
    "told", [{}, {"max_num_train_steps": 20}, {"max_num_train_steps": 5}], ids=str
)
def test_a_placeholder_is_the_same_number_in_a_file_and_in_a_factory(
    name: str, told: dict[str, Any], tmp_path: Path
) -> None:
    found = []

    def factory(optimizer: torch.optim.Optimizer, number: Any) -> wd.Scheduler:
        found.append(number)
        return wd.Scheduler(optimizer, lr=wd.Constant(value=number))

    told = {**told, "gradient_accumulation_steps": 2}
    run(None, create_scheduler_fn=partial(factory, number=TrainerPlaceholderValues[name]), **told)
    (tmp_path / "plan.yaml").write_text(f"lr: {{kind: constant, value: '%{name}%'}}\n")
    assert rates(run(tmp_path / "plan.yaml", **told))[0] == 0.02 * found[0]
    assert isinstance(found[0], int)


def test_a_plan_and_a_factory_together_are_refused() -> None:
    with pytest.raises(TrainingError, match="both say what is scheduled"):
        run(wd.Constant(), create_scheduler_fn=wd.Constant())


def test_without_a_schedule_the_rate_stays() -> None:
    assert set(rates(run())) == {0.02}


def test_what_is_no_schedule_is_refused() -> None:
    with pytest.raises(
        TrainingError, match="a plan, a schedule, the path of a plan, or a function"
    ):
        run(3.5)


@pytest.mark.parametrize(
    "told", [{"num_epochs": 0}, {"max_num_train_steps": 0}, {"gradient_accumulation_steps": 1.5}]
)
def test_a_run_that_cannot_be_is_refused_before_it_starts(told: dict[str, Any]) -> None:
    with pytest.raises(TrainingError, match=f"{next(iter(told))}=.*at least 1"):
        run(**told)


def test_so_many_updates_override_the_epochs() -> None:
    trainer = run(max_num_train_steps=30)
    assert trainer.progress.updates == 30
    assert trainer.run_config.num_epochs == 3
    assert trainer.progress.epoch == 2
    assert len(trainer.run_history.get_metric_values("eval_loss_epoch")) == 3


def test_accumulated_gradients_are_those_of_the_whole_batch() -> None:
    def weights(size: int, accumulation: int) -> torch.Tensor:
        trainer = small.make(model=small.linear)
        told: dict[str, Any] = {"train_dataset": small.Plain(48), "per_device_batch_size": size}
        small.train(trainer, **told, gradient_accumulation_steps=accumulation, plan=None)
        return torch.cat([weight.detach().flatten() for weight in trainer.model.parameters()])

    torch.testing.assert_close(weights(4, 4), weights(16, 1))


def test_the_last_update_of_an_epoch_weighs_what_it_has() -> None:
    """Five batches, three make an update: the second gradient is the mean of two, not of three."""
    gradients: list[torch.Tensor] = []

    class Watch(Trainer):
        def optimizer_step(self) -> None:
            gradients.append(self.model.weight.grad.clone())  # type: ignore[union-attr,operator]

    told: dict[str, Any] = {"train_dataloader_kwargs": {"shuffle": False}, "num_epochs": 1}
    data = small.Plain(20)
    trainer = small.make(model=small.linear, kind=Watch)
    small.train(trainer, **told, train_dataset=data, gradient_accumulation_steps=3, plan=None)
    loss = nn.functional.mse_loss(trainer.model(data.inputs[12:]), data.targets[12:])
    (expected,) = torch.autograd.grad(loss, list(trainer.model.parameters())[:1])
    torch.testing.assert_close(gradients[1], expected)


class Ported(Trainer):
    """A subclass as users of the ecosystem write them."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.calls: list[str] = []
        super().__init__(*args, **kwargs)

    def create_train_dataloader(
        self, batch_size: int, train_dl_kwargs: Any = None
    ) -> DataLoader[Any]:
        self.calls.append("create_train_dataloader")
        return DataLoader(
            self.train_dataset, batch_size=batch_size, shuffle=True, collate_fn=self.collate_fn
        )

    def training_run_start(self) -> None:
        self.calls.append("training_run_start")

    def train_epoch_start(self) -> None:
        super().train_epoch_start()
        self.calls.append("train_epoch_start")

    def calculate_train_batch_loss(self, batch: Any) -> dict[str, Any]:
        outputs = self.model(batch[0])
        return {
            "loss": (outputs - batch[1]).abs().mean(),
            "model_outputs": outputs,
            "batch_size": batch[0].size(0),
        }

    def backward_step(self, loss: torch.Tensor) -> None:
        self._accelerator.backward(loss)
        self.calls.append("backward_step")

    def optimizer_step(self) -> None:
        self.optimizer.step()
        self.calls.append("optimizer_step")

    def scheduler_step(self) -> None:
        super().scheduler_step()
        self.calls.append("scheduler_step")

    def calculate_eval_batch_loss(self, batch: Any) -> dict[str, Any]:
        outputs = self.model(batch[0])
        worst = self.gather((outputs - batch[1]).abs().max().reshape(1)).max()
        self.run_history.update_metric("worst", worst)
        return {
            "loss": nn.functional.l1_loss(outputs, batch[1]),
            "model_outputs": outputs,
            "batch_size": len(outputs),
        }

    def eval_epoch_end(self) -> None:
        super().eval_epoch_end()
        self.calls.append("eval_epoch_end")


def test_a_subclass_of_the_ecosystem_ports() -> None:
    trainer = small.make(model=small.linear, kind=Ported)
    assert isinstance(trainer, Ported)
    small.train(trainer, num_epochs=1, gradient_accumulation_steps=2)
    assert trainer.calls[:6] == [
        "create_train_dataloader", "training_run_start", "train_epoch_start", "backward_step",
        "backward_step", "optimizer_step",
    ]  # fmt: skip
    assert trainer.calls.count("backward_step") == 13
    assert trainer.calls.count("scheduler_step") == trainer.calls.count("optimizer_step") == 7
    assert trainer.calls[-1] == "eval_epoch_end"
    assert trainer.run_history.get_latest_metric("worst") > 0


def test_an_update_that_the_scaler_skips_does_not_tick() -> None:
    trainer = small.make(callbacks=[RecordCallback()], model=small.linear, kind=small.Scaled)
    small.train(trainer, num_epochs=1, plan=wd.Linear(start=1.0, end=0.0, steps=13))
    made, skipped = trainer.progress.updates, trainer.progress.skipped
    assert skipped > 0
    assert made + skipped == 13
    assert trainer.scheduler.count == made
    assert rates(trainer) == pytest.approx([0.02 * (1 - step / 13) for step in range(made)])


def test_evaluate_returns_the_metrics_of_the_data_as_a_whole() -> None:
    trainer = small.make(model=small.linear)
    data = small.Plain(10)
    history = trainer.evaluate(data, per_device_batch_size=4)
    expected = nn.functional.mse_loss(trainer.get_model()(data.inputs), data.targets)
    assert history.get_latest_metric("eval_loss_epoch") == pytest.approx(expected.item())
    assert trainer.model.training


def test_a_run_after_another_librarys_scheduler_has_the_base_that_was_given() -> None:
    trainer = small.make(callbacks=[RecordCallback()], model=small.linear)
    one_cycle = partial(torch.optim.lr_scheduler.OneCycleLR, max_lr=0.1, total_steps=60)
    small.train(trainer, plan=None, create_scheduler_fn=one_cycle)
    small.train(trainer, num_epochs=1, plan=wd.Constant())
    assert rates(trainer)[-13:] == [0.02] * 13
    small.train(trainer, plan=None, create_scheduler_fn=one_cycle)
    assert rates(trainer)[-39:] == pytest.approx(rates(trainer)[:39])


def test_a_run_may_add_a_group_and_another_one_follow() -> None:
    class Unfreeze(TrainerCallback):
        def on_train_update_end(self, trainer: Any, update: int = 0, **kwargs: Any) -> None:
            if update == 5 and len(trainer.optimizer.param_groups) == 1:
                group = {"params": [nn.Parameter(torch.zeros(1))], "lr": 0.01}
                trainer.optimizer.optimizer.add_param_group(group)

    trainer = small.make(callbacks=[RecordCallback(), Unfreeze()], model=small.linear)
    small.train(trainer, num_epochs=1, plan=wd.Linear(start=1.0, end=0.5))
    small.train(trainer, num_epochs=1, plan=wd.Constant())
    assert trainer.scheduler.values() == {"lr/0": 0.02, "lr/1": 0.01}


def test_an_evaluation_between_leaves_the_run_as_it_was(tmp_path: Path) -> None:
    told: dict[str, Any] = {
        "gradient_accumulation_steps": 3,
        "gradient_clip_norm": 0.1,
        "plan": wd.Constant() * wd.Plateau(metric="val_loss", patience=1),
    }
    digests, metrics = [], []
    for is_evaluated in (False, True):
        trainer = small.make(tmp_path / str(is_evaluated))
        small.train(trainer, **told)
        if is_evaluated:
            trainer.evaluate(small.Plain(5), per_device_batch_size=2)
            trainer.evaluate(small.Plain(5), per_device_batch_size=2)
        history = trainer.run_history.get_metric_values("eval_loss_epoch")
        trainer.extend(25)
        digests.append(digest_of_weights(trainer.get_model()))
        metrics.append(trainer.run_history.get_metric_values("eval_loss_epoch")[len(history) :])
    assert digests[0] == digests[1]
    assert metrics[0] == metrics[1]


def test_training_twice_with_one_trainer_starts_the_schedule_anew() -> None:
    trainer = small.make(callbacks=[RecordCallback()], model=small.linear)
    small.train(trainer, num_epochs=1, plan=wd.Linear(start=1.0, end=0.5, steps="rest"))
    first = rates(trainer)
    small.train(trainer, num_epochs=1, plan=wd.Linear(start=1.0, end=0.5, steps="rest"))
    assert rates(trainer) == first
    assert trainer.run_history.get_metric_values("train_loss_epoch")[0] > 0


def test_the_order_of_the_data_follows_the_seed() -> None:
    def order(seed: int) -> str:
        torch.manual_seed(0)
        model = small.linear()
        trainer = Trainer(
            model, nn.functional.mse_loss, torch.optim.SGD(model.parameters(), 0.1), (), seed=seed
        )
        trainer.train(small.Plain(), 1)
        return digest_of_weights(model)

    assert order(1) == order(1)
    assert order(1) != order(2)


def test_data_without_a_length_needs_to_be_told_how_long() -> None:
    class Endless(torch.utils.data.IterableDataset[Any]):
        def __iter__(self) -> Any:
            while True:
                yield torch.ones(6), torch.ones(1)

    with pytest.raises(TrainingError, match="how many batches an epoch holds is not known"):
        run(wd.Constant(), train_dataset=Endless())
    trainer = run(wd.Constant(), train_dataset=Endless(), max_num_train_steps=12)
    assert trainer.progress.updates == 12


def test_portable_weights_are_used_elsewhere(tmp_path: Path) -> None:
    trainer = run(wd.Constant())
    for name in ("weights.safetensors", "weights.pt"):
        trainer.save_checkpoint(tmp_path / name)
        other = small.make(model=small.linear, seed=3)
        assert digest_of_weights(other.model) != digest_of_weights(trainer.model)
        other.load_checkpoint(tmp_path / name, load_scheduler=False)
        assert digest_of_weights(other.model) == digest_of_weights(trainer.model)
    assert not list(tmp_path.glob(".*"))


def test_a_portable_file_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.pt").write_bytes(b"nonsense")
    with pytest.raises(wd.StateError, match=r"x\.pt: damaged, or holds more than tensors"):
        small.make().load_checkpoint(tmp_path / "x.pt")
    torch.save({"weights": torch.zeros(1)}, tmp_path / "x.pt")
    with pytest.raises(wd.StateError, match=r"x\.pt: no checkpoint, for it has no 'model_state"):
        small.make().load_checkpoint(tmp_path / "x.pt")


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda trainer: trainer.extend(50), r"extend: .*Call train\(…\) first"),
        (lambda trainer: trainer.evaluate(None), r"evaluate\(dataset=None\): .*Give a dataset"),
        (lambda trainer: trainer.evaluate_now(), r"evaluate_now\(\): .*train\(eval_dataset=…\)"),
    ],
)
def test_what_needs_a_run_or_data_is_refused_without_them(ask: Any, words: str) -> None:
    with pytest.raises(TrainingError, match=words):
        ask(small.make())


def test_processes_that_accelerate_does_not_see_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    small.make()  # from here on accelerate takes this process for the only one
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(TrainingError, match=r"2 processes were started, and accelerate sees 1:"):
        small.make()


def test_a_sampler_of_batches_stands_in_the_place_of_size_and_order() -> None:
    seen: list[list[float]] = []

    class Seeing(TrainerCallback):
        def on_train_step_end(
            self, trainer: Any, batch: Any, batch_output: Any, **kwargs: Any
        ) -> None:
            seen.append(batch[0][:, 0].tolist())

    data = small.Plain(5)
    first = data.inputs[:, 0].tolist()
    trainer = small.make(callbacks=[Seeing()], model=small.linear)
    small.train(
        trainer, train_dataset=data, num_epochs=1, per_device_batch_size=None,
        train_dataloader_kwargs={"batch_sampler": [[4, 0], [3, 2, 1]]},
    )  # fmt: skip
    assert seen == [[first[4], first[0]], [first[3], first[2], first[1]]]


def test_ten_lines_are_enough(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    inputs = torch.randn(64, 4)
    data = TensorDataset(inputs, inputs.sum(1, keepdim=True))
    model = nn.Linear(4, 1)
    trainer = Trainer(model, nn.functional.mse_loss, torch.optim.SGD(model.parameters(), lr=0.1))
    trainer.train(data, num_epochs=5, eval_dataset=data, plan=wd.warmup_cosine(warmup="10%"))
    said = capsys.readouterr().out
    assert "Training: 40 updates in 5 epochs." in said
    assert "epoch 5/5  train_loss" in said
    assert trainer.run_history.get_latest_metric("eval_loss_epoch") < 0.1


def test_a_metric_reaches_torchs_plateau_scheduler() -> None:
    factory = partial(
        torch.optim.lr_scheduler.ReduceLROnPlateau,
        factor=0.1,
        patience=0,
        threshold=10.0,
        threshold_mode="abs",
    )
    trainer = run(None, create_scheduler_fn=factory)
    assert rates(trainer)[-1] == pytest.approx(0.02 * 0.1)


class Events(TrainerCallback):
    def __init__(self) -> None:
        self.seen: list[str] = []

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("on_"):
            return lambda *args, **kwargs: self.seen.append(name)
        return super().__getattribute__(name)


def test_events_come_in_the_order_of_the_run() -> None:
    events = Events()
    small.train(
        small.make(callbacks=[events]),
        num_epochs=1,
        gradient_accumulation_steps=7,
        train_dataset=small.Plain(32),
    )
    assert events.seen == [
        "on_init_end", "on_run_setup", "on_training_run_start", "on_train_epoch_start",
        *["on_train_step_start", "on_train_step_end"] * 7, "on_train_update_end",
        "on_train_step_start", "on_train_step_end", "on_train_update_end", "on_train_epoch_end",
        "on_eval_epoch_start", *["on_eval_step_start", "on_eval_step_end"] * 4, "on_eval_epoch_end",
        "on_training_run_epoch_end", "on_training_run_end", "on_run_left",
    ]  # fmt: skip
