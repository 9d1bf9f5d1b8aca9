"""pytorch-accelerated's own callbacks in a real run of our Trainer: each works, or names ours."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.lazily import Lazily
from tests.training import small

import warmdown as wd
from warmdown.training import Trainer, TrainerCallback, digest_of_weights
from warmdown.training import WSDCheckpointCallback as OurWSDCheckpointCallback

theirs: Any = Lazily("pytorch_accelerated.callbacks")

UPDATES = 39
"""Three epochs of 13 batches."""


def run(*callbacks: Any, kind: type[Trainer] = Trainer, **settings: Any) -> Trainer:
    trainer = small.make(callbacks=callbacks, model=small.perceptron, kind=kind)
    small.train(trainer, **settings)
    return trainer


def weights(*callbacks: Any, **settings: Any) -> str:
    return digest_of_weights(run(*callbacks, **settings).get_model())


def test_metrics_are_logged_also_by_a_logger_that_overrides_the_documented_method(
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Keeping(theirs.LogMetricsCallback):  # type: ignore[misc]
        def __init__(self) -> None:
            self.rows: list[dict[str, float]] = []

        def log_metrics(self, trainer: Any, metrics: dict[str, float]) -> None:
            assert trainer.run_config.num_epochs == 3
            self.rows.append(dict(metrics))
            super().log_metrics(trainer, metrics)

    keeping = Keeping()
    history = run(keeping).run_history
    losses = [row["train_loss_epoch"] for row in keeping.rows if "train_loss_epoch" in row]
    assert losses == history.get_metric_values("train_loss_epoch")
    assert f"eval_loss_epoch: {history.get_latest_metric('eval_loss_epoch')}" in (
        capsys.readouterr().out
    )


def test_progress_is_printed_and_drawn(capsys: pytest.CaptureFixture[str]) -> None:
    run(*theirs.get_default_callbacks())
    printed = capsys.readouterr()
    assert "Starting epoch 3" in printed.out
    assert "Finishing training run" in printed.out
    assert "13/13" in printed.err  # batches of an epoch
    assert "4/4" in printed.err  # of an evaluation


def test_the_best_model_is_saved_and_loaded_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "best.pt"

    class Worse(Trainer):
        def calculate_eval_batch_loss(self, batch: Any) -> dict[str, Any]:
            output = super().calculate_eval_batch_loss(batch)
            output["loss"] = torch.tensor(float(self.run_history.current_epoch != 2))
            return output

    trainer = run(theirs.SaveBestModelCallback(str(path)), kind=Worse)
    saved = torch.load(path, weights_only=True)
    assert saved["loss"] == 0.0
    for name, value in trainer.get_model().state_dict().items():
        torch.testing.assert_close(value, saved["model_state_dict"][name])
    assert weights() != digest_of_weights(trainer.get_model())


def test_a_run_that_gets_no_better_is_stopped() -> None:
    trainer = run(theirs.EarlyStoppingCallback(early_stopping_threshold=1e9))
    assert trainer.stopped_by == "Stopping training due to no improvement after 1 epochs"
    assert trainer.progress.updates == 26


def test_a_loss_that_is_no_number_ends_the_program_as_there() -> None:
    class Lost(Trainer):
        def calculate_train_batch_loss(self, batch: Any) -> dict[str, Any]:
            output = super().calculate_train_batch_loss(batch)
            output["loss"] = output["loss"] * (torch.nan if self.progress.updates == 5 else 1.0)
            return output

    callback = theirs.TerminateOnNaNCallback()
    with pytest.raises(SystemExit, match="NaN loss"):
        run(callback, kind=Lost)
    assert callback.triggered


def test_modules_are_moved_where_the_model_is() -> None:
    class Teaching(Trainer):
        teacher: torch.nn.Module

    moved: list[Any] = []

    class Teacher(torch.nn.Linear):
        def to(self, *args: Any, **kwargs: Any) -> Any:
            moved.append(args)
            return super().to(*args, **kwargs)

    trainer = small.make(callbacks=[theirs.MoveModulesToDeviceCallback], kind=Teaching)
    assert isinstance(trainer, Teaching)
    trainer.teacher = Teacher(2, 2)
    small.train(trainer)
    assert moved == [(trainer.device,)]


def test_batches_are_limited_and_the_plan_is_measured_on_them() -> None:
    trainer = run(theirs.LimitBatchesCallback(2), theirs.ProgressBarCallback)
    assert trainer.progress.updates == 6
    assert trainer.scheduler.plan.length == 6
    trainer = small.make(callbacks=[theirs.LimitBatchesCallback(2)], model=small.perceptron)
    trainer.evaluate(small.Plain(16), per_device_batch_size=4)
    assert trainer.run_state.eval_loss.count == 8


@pytest.mark.parametrize("evaluates", [True, False])
def test_an_average_of_the_weights_is_evaluated_and_saved(tmp_path: Path, evaluates: bool) -> None:
    path = tmp_path / "ema.pt"
    average = theirs.ModelEmaCallback(
        decay=0.5,
        evaluate_during_training=evaluates,
        save_path=str(path),
        callbacks=[theirs.PrintProgressCallback],
    )
    trainer = run(average)
    names = trainer.run_history.get_metric_names()
    assert ("ema_model_eval_loss_epoch" in names) is evaluates
    assert len(trainer.run_history.get_metric_values("eval_loss_epoch")) == 3
    saved = torch.load(path, weights_only=True)["model_state_dict"]
    assert saved.keys() == average.ema_model.module.state_dict().keys()
    assert digest_of_weights(trainer.get_model()) == weights()  # the run itself is another


def test_batch_norms_are_left_alone_on_one_process() -> None:
    trainer = small.make(callbacks=[theirs.ConvertSyncBatchNormCallback])
    small.train(trainer)
    assert any(isinstance(part, torch.nn.BatchNorm1d) for part in trainer.model.modules())


def test_evaluations_between_are_made_and_limited() -> None:
    counts: list[int] = []

    class Counting(TrainerCallback):
        def on_eval_epoch_end(
            self, trainer: Any, is_intermediate: bool = False, **kwargs: Any
        ) -> None:
            counts.append(trainer.run_state.eval_loss.count)

    trainer = run(
        theirs.LimitEvalStepsCallback(1), theirs.StepBasedEvaluationCallback(5), Counting()
    )
    assert counts == [4, 4, 16] * 3  # samples
    assert trainer.progress.updates == UPDATES


def test_states_are_saved_and_a_run_goes_on_from_them(tmp_path: Path) -> None:
    def saving() -> Any:
        return theirs.SaveTrainingStateCallback(
            str(tmp_path), save_every_n_epochs=1, save_every_n_steps=10, max_checkpoints=4
        )

    whole = weights(saving())
    kept = {path.name for path in tmp_path.iterdir()}
    assert kept == {"epoch_2", "step_30", "epoch_3", "final"}
    assert weights(saving(), resume_from=tmp_path / "epoch_2") == whole


def test_facts_that_were_saved_beside_a_state_come_back_with_it(tmp_path: Path) -> None:
    class Noting(theirs.TrainerCallback):  # type: ignore[misc]
        found: Any = None
        own: Any = None

        def state_dict(self) -> dict[str, int]:
            return {"seen": 7}

        def load_state_dict(self, state: dict[str, int]) -> None:
            self.own = state

        def on_train_epoch_end(self, trainer: Any, **kwargs: Any) -> None:
            trainer.save_training_state(tmp_path / "state", checkpoint_kwargs={"note": "last"})

        def on_training_run_end(self, trainer: Any, **kwargs: Any) -> None:
            self.found = trainer.load_training_state(tmp_path / "state")

    noting = Noting()
    run(noting, num_epochs=1)
    assert (noting.found, noting.own) == ({"note": "last"}, {"seen": 7})


def test_what_needs_their_scheduler_is_refused_by_the_name_of_ours(tmp_path: Path) -> None:
    with pytest.raises(wd.TrainingError, match=r"warmdown\.training\.WSDCheckpointCallback"):
        run(theirs.WSDCheckpointCallback(str(tmp_path / "theirs")))
    plan = wd.Plan.of(lr=wd.wsd(warmup=2, decay="50%"))
    run(OurWSDCheckpointCallback(str(tmp_path / "ours")), plan=plan)
    assert list((tmp_path / "ours").glob("*_pre_decay"))


@pytest.mark.parametrize(
    ("reach", "words"),
    [
        (lambda trainer: trainer._run_train_epoch(None), "has no '_run_train_epoch'"),
        (lambda trainer: next(iter(trainer._eval_dataloader)), "cannot read the run's own batches"),
        (
            lambda trainer: setattr(trainer, "_train_dataloader", [1]),
            "list: a callback can limit the run's batches, not replace them",
        ),
    ],
)
def test_a_failure_names_the_callback_and_what_it_may_not_do(
    reach: Callable[[Any], object], words: str
) -> None:
    class Reaching(theirs.TrainerCallback):  # type: ignore[misc]
        def on_train_epoch_start(self, trainer: Any, **kwargs: Any) -> None:
            reach(trainer)

    with pytest.raises(wd.TrainingError, match=rf"Reaching\.on_train_epoch_start.*{words}"):
        run(Reaching)


TESTED = {
    "LogMetrics", "PrintProgress", "ProgressBar", "SaveBestModel", "EarlyStopping", "ModelEma",
    "TerminateOnNaN", "MoveModulesToDevice", "LimitBatches", "ConvertSyncBatchNorm",
    "StepBasedEvaluation", "LimitEvalSteps", "SaveTrainingState", "WSDCheckpoint",
}  # fmt: skip


def test_there_are_no_other_callbacks() -> None:
    is_callback: Callable[[Any], bool] = lambda value: (  # noqa: E731
        inspect.isclass(value) and issubclass(value, theirs.TrainerCallback)
    )
    names = {name.removesuffix("Callback") for name, _ in inspect.getmembers(theirs, is_callback)}
    assert names - {"Trainer"} == TESTED
