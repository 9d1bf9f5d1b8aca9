"""Callbacks: what they show, when they stop, and whose fault it is."""

from __future__ import annotations

import io
import math
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tensorboard.summary.writer.event_file_writer import AtomicCounter
from tests.training import small

import warmdown as wd
from warmdown import Record, TrainingError
from warmdown.errors import WarmdownWarning
from warmdown.training import (
    ConvertSyncBatchNormCallback,
    EarlyStoppingCallback,
    LimitBatchesCallback,
    LimitEvalStepsCallback,
    LogMetricsCallback,
    LRMonitorCallback,
    ModelEmaCallback,
    MoveModulesToDeviceCallback,
    PrintProgressCallback,
    ProgressBarCallback,
    RecordCallback,
    SaveBestModelCallback,
    SaveTrainingStateCallback,
    StepBasedEvaluationCallback,
    StopAfterCallback,
    StopTrainingError,
    TerminateOnNaNCallback,
    TrackerCallback,
    Trainer,
    TrainerCallback,
    digest_of_weights,
)


def run(*callbacks: Any, **told: Any) -> Trainer:
    kind = told.pop("kind", Trainer)
    trainer = small.make(callbacks=callbacks, model=small.linear, kind=kind)
    small.train(trainer, **told)
    return trainer


def test_the_row_of_an_update_holds_what_it_used_though_a_metric_or_an_event_came_before_it() -> (
    None
):
    class Halve(TrainerCallback):
        def on_train_update_end(self, trainer: Trainer, update: int = 0, **kwargs: Any) -> None:
            if update == 4:
                trainer.scheduler.rescale(0.5)

    used: list[float] = []

    class Watched(Trainer):
        def optimizer_step(self) -> None:
            used.append(self.optimizer.param_groups[0]["lr"])
            super().optimizer_step()

    falls = wd.Plateau(
        metric="val_loss", factor=0.1, patience=0, threshold=100.0
    )  # nothing is ever so much better
    for callbacks in ([Halve()], []):
        used.clear()
        recorder = RecordCallback()
        run(recorder, *callbacks, plan=falls, kind=Watched)
        assert recorder.record.curve("lr/0")[1] == used
        assert used[25] == pytest.approx(
            10 * used[26]
        )  # the second evaluation: an epoch has 13 updates


def test_a_failure_says_whose_it_is_and_where_the_state_is(tmp_path: Path) -> None:
    trainer = small.make(tmp_path, [small.Stop(7)])
    with pytest.raises(
        TrainingError,
        match=r"^Stop\.on_train_update_end: ZeroDivisionError: on "
        r"purpose",
    ) as told:
        small.train(trainer)
    assert f"after update 7 is saved in {tmp_path / 'checkpoints' / 'update-00000007'}" in str(
        told.value
    )
    assert isinstance(told.value.__cause__, ZeroDivisionError)


def test_without_checkpoints_a_failure_says_how_to_have_some() -> None:
    with pytest.raises(
        TrainingError, match="No checkpoints were kept; add SaveTrainingStateCallback"
    ):
        run(small.Stop(7))


def test_the_others_see_what_happened_before_a_failure_ends_it() -> None:
    recorder = RecordCallback()
    with pytest.raises(TrainingError):
        run(small.Stop(7), recorder)
    assert recorder.record.curve("lr/0")[0] == list(range(7))


def test_an_error_in_the_model_keeps_its_class_and_names_the_last_checkpoint(
    tmp_path: Path,
) -> None:
    class Failing(Trainer):
        def calculate_train_batch_loss(self, batch: Any) -> dict[str, Any]:
            if self.progress.updates == 15:
                raise KeyError("a bug of the model")
            return super().calculate_train_batch_loss(batch)

    trainer = small.make(tmp_path, every=10, kind=Failing)
    with pytest.raises(KeyError) as told:
        small.train(trainer)
    assert "update-00000010: resume from there" in told.value.__notes__[0]


def test_a_callback_is_given_once() -> None:
    stop = small.Stop(3)
    with pytest.raises(TrainingError, match="this Stop is there twice"):
        small.make(callbacks=[stop, stop])


def test_an_event_of_ones_own_reaches_those_who_know_it() -> None:
    class Listening(TrainerCallback):
        heard = 0

        def on_moonrise(self, trainer: Trainer, **kwargs: Any) -> None:
            self.heard += 1

    listening = Listening()
    trainer = small.make(callbacks=[listening, RecordCallback()])
    trainer.callback_handler.call_event("on_moonrise", trainer)
    assert listening.heard == 1


def test_early_stopping_waits_for_an_improvement(capsys: pytest.CaptureFixture[str]) -> None:
    class Worse(Trainer):
        def calculate_eval_batch_loss(self, batch: Any) -> dict[str, Any]:
            losses = [5.0, 4.0, 4.0, 3.9999, 4.0]
            return {"loss": torch.tensor(losses[min(self.progress.epoch, 4)]), "batch_size": 1}

    trainer = run(EarlyStoppingCallback(2, 0.01), num_epochs=9, kind=Worse)
    assert trainer.progress.epoch == 4
    assert "eval_loss_epoch was best at 4, 2 epochs ago" in trainer.stopped_by
    assert trainer.stopped_by in capsys.readouterr().out


def test_a_resumed_run_goes_on_comparing_with_the_best_value_that_it_had(tmp_path: Path) -> None:
    class Worse(Trainer):
        def calculate_eval_batch_loss(self, batch: Any) -> dict[str, Any]:
            losses = [5.0, 4.0, 4.5, 4.25]
            return {"loss": torch.tensor(losses[min(self.progress.epoch, 3)]), "batch_size": 1}

    def made(*callbacks: TrainerCallback) -> Trainer:
        best = SaveBestModelCallback(tmp_path / "best.pt", load_saved_checkpoint=False)
        stopping = EarlyStoppingCallback(2)
        return small.make(tmp_path, [best, stopping, *callbacks], model=small.linear, kind=Worse)

    with pytest.raises(TrainingError, match="on purpose"):
        small.train(made(small.Stop(41)), num_epochs=9)  # in the fourth epoch
    trainer = made()
    small.train(trainer, num_epochs=9, resume_from=tmp_path / "checkpoints")
    assert trainer.progress.epoch == 4
    assert "was best at 4, 2 epochs ago" in str(trainer.stopped_by)
    assert torch.load(tmp_path / "best.pt", weights_only=True)["eval_loss_epoch"] == 4.0


def test_modules_of_the_trainer_are_moved_and_batch_norms_of_several_processes_converted() -> None:
    device, teacher = torch.device("meta"), torch.nn.Linear(2, 2)
    accelerator = SimpleNamespace(num_processes=2)
    trainer: Any = SimpleNamespace(
        model=small.network(), teacher=teacher, device=device, name="any",
        run_state=SimpleNamespace(accelerator=accelerator),
    )  # fmt: skip
    MoveModulesToDeviceCallback().on_evaluation_run_start(trainer)
    assert (teacher.weight.device, next(trainer.model.parameters()).device.type) == (device, "cpu")
    ConvertSyncBatchNormCallback().on_init_end(trainer)
    kinds = [type(part).__name__ for part in trainer.model]
    assert kinds == ["Linear", "SyncBatchNorm", "ReLU", "Dropout", "Linear"]


def test_a_metric_that_nobody_measures_is_named_with_what_there_is() -> None:
    with pytest.raises(
        TrainingError,
        match=r"metric='eval_lost_epoch'.*Did you mean "
        r"'eval_loss_epoch'",
    ):
        run(EarlyStoppingCallback(watch_metric="eval_lost_epoch"))


def test_a_loss_that_is_no_number_ends_the_run_and_is_not_saved(tmp_path: Path) -> None:
    class Exploding(Trainer):
        def calculate_train_batch_loss(self, batch: Any) -> dict[str, Any]:
            output = super().calculate_train_batch_loss(batch)
            return {
                **output,
                "loss": output["loss"] * (math.nan if self.progress.updates == 11 else 1.0),
            }

    trainer = small.make(tmp_path, [TerminateOnNaNCallback()], every=5, kind=Exploding)
    small.train(trainer)
    assert "The loss is nan at update 11. A lower peak rate" in trainer.stopped_by
    kept = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert kept == ["update-00000005", "update-00000010"]


def test_the_first_updates_of_a_long_plan_are_tried_out_under_it() -> None:
    recorder = RecordCallback()
    rise = wd.Linear(start=0.0, end=1.0, steps=8_000) >> wd.Cosine()
    trainer = run(
        recorder, StopAfterCallback(10), plan=rise, num_epochs=None, max_num_train_steps=10_000
    )
    assert trainer.progress.updates == 10
    assert trainer.stopped_by == "Stopped after 10 updates, as asked."
    assert recorder.record.curve("lr/0")[1] == pytest.approx(
        [0.02 * step / 8_000 for step in range(10)]
    )


def test_a_limit_of_batches_is_known_to_the_schedule() -> None:
    recorder = RecordCallback()
    trainer = run(
        LimitBatchesCallback(4), recorder, plan=wd.Linear(start=1.0, end=0.0, steps="rest")
    )
    assert trainer.progress.updates == 12
    assert recorder.record.curve("lr/0")[1] == pytest.approx(
        [0.02 * (1 - step / 12) for step in range(12)]
    )


def test_evaluations_in_between_come_every_so_many_updates() -> None:
    trainer = run(StepBasedEvaluationCallback(5), num_epochs=1)
    assert len(trainer.run_history.get_metric_values("eval_loss_epoch")) == 3
    assert trainer.model.training


def test_evaluations_in_between_may_be_shorter() -> None:
    class Count(TrainerCallback):
        def __init__(self) -> None:
            self.steps: list[int] = []

        def on_eval_epoch_start(self, trainer: Trainer, **kwargs: Any) -> None:
            self.steps.append(0)

        def on_eval_step_end(
            self, trainer: Trainer, batch: Any, batch_output: Any, **kwargs: Any
        ) -> None:
            self.steps[-1] += 1

    count = Count()
    run(StepBasedEvaluationCallback(8), LimitEvalStepsCallback(1), count, num_epochs=1)
    assert count.steps == [1, 4]


def test_the_best_weights_are_kept_and_put_back(tmp_path: Path) -> None:
    class BestSecond(Trainer):
        def eval_epoch_end(self) -> None:
            super().eval_epoch_end()
            self.run_history.update_metric("score", [1.0, 9.0, 3.0][self.progress.epoch])
            if self.progress.epoch == 1:
                self.best = digest_of_weights(self.model)

    callback = SaveBestModelCallback(tmp_path / "best.pt", "score", greater_is_better=True)
    trainer = run(callback, kind=BestSecond)
    assert isinstance(trainer, BestSecond)
    assert digest_of_weights(trainer.model) == trainer.best
    assert torch.load(tmp_path / "best.pt", weights_only=True)["score"] == 9.0


def test_an_average_follows_the_weights_and_is_evaluated() -> None:
    class Follow(TrainerCallback):
        def on_training_run_start(self, trainer: Trainer, **kwargs: Any) -> None:
            self.expected = trainer.model.weight.detach().clone()  # type: ignore[operator]

        def on_train_update_end(self, trainer: Trainer, **kwargs: Any) -> None:
            self.expected = 0.8 * self.expected + 0.2 * trainer.model.weight.detach()  # type: ignore[operator]

    follow, ema = Follow(), ModelEmaCallback(0.8)
    trainer = run(follow, ema)
    torch.testing.assert_close(ema.model.weight, follow.expected)  # type: ignore[union-attr]
    assert len(trainer.run_history.get_metric_values("ema_model_eval_loss_epoch")) == 3
    assert len(trainer.run_history.get_metric_values("eval_loss_epoch")) == 3


def test_the_record_holds_what_every_update_used(tmp_path: Path) -> None:
    trainer = run(RecordCallback(tmp_path / "sub" / "record.jsonl"), plan=small.plan())
    record = Record.load(tmp_path / "sub" / "record.jsonl")
    steps, values = record.curve("lr/0")
    assert steps == list(range(39))
    assert values == [trainer.scheduler.value(step) for step in range(39)]
    assert len(record.curve("betas[0]/0")[0] or record.curve("momentum/0")[0]) == 39
    assert len(record.curve("loss")[0]) == 39
    assert record.curve("eval_loss_epoch")[0] == [12, 25, 38]
    assert [(row.step, row.reason) for row in record if row.target == "phase"] == [
        (0, "warmup"),
        (8, "decay"),
    ]
    assert all(value > 0 for value in record.curve("samples_per_second")[1])


def test_every_so_many_updates_may_be_enough_for_a_record() -> None:
    recorder = RecordCallback(every=10)
    run(recorder)
    assert recorder.record.curve("lr/0")[0] == [0, 10, 20, 30]


def test_trackers_get_rates_phase_loss_metrics_and_speed(tmp_path: Path) -> None:
    tracker = TrackerCallback("run", {"lr": 0.02, "odd": [1]}, every=1)
    trainer = small.make(
        callbacks=[tracker], model=small.linear, log_with="tensorboard", logging_dir=tmp_path
    )
    small.train(trainer)
    events = _events(tmp_path / "run")
    assert {
        "lr/0",
        "momentum/0",
        "loss",
        "eval_loss_epoch",
        "train_loss_epoch",
        "samples_per_second",
    } <= set(events.Tags()["scalars"])
    rates = [event.value for event in events.Scalars("lr/0")]
    assert rates == pytest.approx([trainer.scheduler.value(step) for step in range(39)], rel=1e-6)
    phases = [
        (event.step, event.tensor_proto.string_val[0])
        for event in events.Tensors("phase/text_summary")
    ]
    assert phases == [(0, b"warmup"), (8, b"decay")]


def test_trackers_finish_where_a_run_fails_and_start_anew_where_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # TensorBoard reads files in the order of their names, which end in second, process and a
    # counter: of one process and within one second, file 10 would be read before file 9
    monkeypatch.setattr(
        "tensorboard.summary.writer.event_file_writer._global_uid", AtomicCounter(100)
    )

    def train(*more: Any, **resumed: Any) -> Trainer:
        trainer = small.make(tmp_path, [TrackerCallback("run", every=1), *more], model=small.linear,
                             log_with="tensorboard", logging_dir=tmp_path)  # fmt: skip
        small.train(trainer, **resumed)
        return trainer

    with pytest.raises(TrainingError):
        train(small.Stop(20))
    assert len(_events(tmp_path / "run").Scalars("loss")) == 20
    train(resume_from=tmp_path / "checkpoints")
    assert [event.step for event in _events(tmp_path / "run").Scalars("loss")] == list(range(39))


def _events(folder: Path) -> Any:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0})
    events.Reload()
    return events


class Meddle(TrainerCallback):
    """Another hand on the rate, from an update on."""

    def on_train_step_start(self, trainer: Trainer, **kwargs: Any) -> None:
        if trainer.progress.updates >= 36:
            trainer.optimizer.param_groups[0]["lr"] = 0.5


def test_a_monitor_draws_what_was_planned_with_what_was_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monitor = LRMonitorCallback(tmp_path / "sub" / "lr.html")
    trainer = run(monitor)
    assert monitor.differences == []
    assert monitor.used.curve("lr/0")[1] == [trainer.scheduler.value(step) for step in range(39)]
    assert len(monitor.used.curve("momentum/0")[0]) == 39
    assert "lr/0 (recorded)" in (tmp_path / "sub" / "lr.html").read_text()
    assert "plan" not in capsys.readouterr().out


def test_a_monitor_tells_of_another_hand_and_of_every_update_that_it_changed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    monitor = LRMonitorCallback()
    with pytest.warns(WarmdownWarning):
        trainer = run(Meddle(), monitor)
    assert [(row.step, row.value) for row in monitor.differences] == [
        (step, trainer.scheduler.value(step)) for step in (36, 37, 38)
    ]
    said = capsys.readouterr().out
    assert said.count("Update 36 uses lr/0 = 0.5, and the plan says") == 1
    assert "Not as planned: 3 updates, from 36 to 38." in said


def test_a_monitor_takes_an_event_for_a_part_of_the_plan() -> None:
    class Decide(TrainerCallback):
        def on_train_update_end(self, trainer: Trainer, update: int = 0, **kwargs: Any) -> None:
            if update == 9:
                trainer.scheduler.rescale(0.5)

    monitor = LRMonitorCallback()
    run(Decide(), monitor, plan=wd.Constant())
    assert monitor.differences == []
    assert monitor.used.curve("lr/0")[1] == [0.02] * 10 + [0.01] * 29


def test_without_a_plan_a_monitor_draws_what_was_used(tmp_path: Path) -> None:
    factory = partial(torch.optim.lr_scheduler.OneCycleLR, max_lr=0.1, total_steps=39)
    monitor = LRMonitorCallback(tmp_path / "lr.html")
    run(monitor, plan=None, create_scheduler_fn=factory)
    assert max(monitor.used.curve("lr/0")[1]) == pytest.approx(0.1, rel=1e-3)
    assert "lr/0" in (tmp_path / "lr.html").read_text()


def test_no_bar_is_drawn_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    run(ProgressBarCallback())
    assert capsys.readouterr().out == ""


def test_a_bar_shows_how_far_it_is_with_loss_and_rate(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    run(ProgressBarCallback("digits"))
    said = capsys.readouterr().out
    assert "digits" in said
    assert "39/39" in said
    assert "loss 0." in said
    assert "lr 2." in said


def test_a_bar_leaves_the_terminal_as_it_was_when_a_run_fails(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    with pytest.raises(TrainingError):
        run(ProgressBarCallback(), small.Stop(5))
    assert "\x1b[?25h" in capsys.readouterr().out  # the cursor is shown again


def test_a_log_may_be_short(capsys: pytest.CaptureFixture[str]) -> None:
    run(LogMetricsCallback(at_most=3), num_epochs=7)
    assert [line[:9] for line in capsys.readouterr().out.splitlines()] == [
        "epoch 3/7",
        "epoch 6/7",
        "epoch 7/7",
    ]


def test_metrics_are_told_once_an_epoch(capsys: pytest.CaptureFixture[str]) -> None:
    run(PrintProgressCallback(), LogMetricsCallback())
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Training: 39 updates in 3 epochs."
    assert [line[:9] for line in lines[1:4]] == ["epoch 1/3", "epoch 2/3", "epoch 3/3"]
    assert "eval_loss 0." in lines[3]
    assert lines[4] == "Done after 39 updates."


def test_checkpoints_come_every_so_many_epochs(tmp_path: Path) -> None:
    run(SaveTrainingStateCallback(tmp_path, save_every_n_epochs=2, save_at_end=False), num_epochs=5)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "update-00000026",
        "update-00000052",
    ]


def test_a_folder_that_cannot_be_written_is_refused_before_the_first_update(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    recorder = RecordCallback()
    with pytest.raises(TrainingError, match="cannot be written"):
        run(recorder, SaveTrainingStateCallback(tmp_path / "file" / "x"))
    assert len(recorder.record) == 0


def test_a_disk_that_fills_up_ends_the_run_and_names_the_last_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(TrainerCallback):
        def on_train_update_end(self, trainer: Trainer, update: int = 0, **kwargs: Any) -> None:
            if update == 12:
                monkeypatch.setattr(
                    "torch.save", lambda content, path: Path("/dev/full").write_bytes(b"x" * 10)
                )

    with pytest.raises(
        TrainingError,
        match=r"update=20.*No space left.*last good one is "
        r".*update-00000010",
    ):
        small.train(small.make(tmp_path, [Full()], every=10))


@pytest.mark.parametrize(
    "make",
    [
        lambda: RecordCallback(every=0),
        lambda: TrackerCallback(every=0),
        lambda: LRMonitorCallback(every=0),
        lambda: LimitBatchesCallback(0),
        lambda: StopAfterCallback(0),
        lambda: LimitEvalStepsCallback(0),
        lambda: StepBasedEvaluationCallback(0),
        lambda: ModelEmaCallback(1.0),
        lambda: SaveTrainingStateCallback("x", save_every_n_steps=0),
        lambda: small.make(callbacks=[EarlyStoppingCallback(0)]),
    ],
)
def test_a_number_that_makes_no_sense_is_refused(make: Any) -> None:
    with pytest.raises(TrainingError, match=r"\(.*=.*\): "):
        make()


def test_stopping_is_told_to_everybody(tmp_path: Path) -> None:
    class Stopping(TrainerCallback):
        told = ""

        def on_train_update_end(self, trainer: Trainer, update: int = 0, **kwargs: Any) -> None:
            if update == 5:
                raise StopTrainingError("enough")

        def on_stop_training_error(self, trainer: Trainer, **kwargs: Any) -> None:
            self.told = str(kwargs["error"])

    stopping = Stopping()
    trainer = run(stopping)
    assert stopping.told == trainer.stopped_by == "enough"
    assert trainer.progress.updates == 6


def test_what_standard_output_cannot_write_ends_no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="cp1252"))
    small.make().print("état:", "▁█ – 日")
    sys.stdout.flush()
    assert written.getvalue().decode("cp1252").splitlines() == [r"état: _# – \u65e5"]
