"""Runs are watched as they go: read on, started anew, damaged, too many, linked from elsewhere."""

from __future__ import annotations

import json
import os
from pathlib import Path
from time import time
from typing import Any

import numpy as np
import pytest
from torch.utils.tensorboard import SummaryWriter

import warmdown as wd
from warmdown import Record
from warmdown.errors import MissingExtra, TrainingError
from warmdown.forecast.events import ScalarEvents
from warmdown.lock import Output, locked
from warmdown.mailbox import Answer, Mailbox, Request
from warmdown.studio.draft.links import from_link
from warmdown.studio.preview.compared import Look, compare_runs, smoothed
from warmdown.studio.preview.watch import RunFolder, WatchedRun

PLAN = wd.Plan.of(lr=wd.warmup_cosine(end=0.1), run=wd.Run(total_steps=200))


def run_in(folder: Path, updates: int, name: str = "one") -> Record:
    """Write the record of a run that followed the plan."""
    (folder / name).mkdir(exist_ok=True)
    record = Record(folder / name / "record.jsonl")
    write(record, 0, updates)
    return record


def write(record: Record, start: int, stop: int) -> None:
    """Write what the updates used, and their loss."""
    meaning = PLAN.over().targets[0].rule
    for step in range(start, stop):
        if step in (0, 10):
            record.add(step, "phase", step, "warmup" if step == 0 else "decay")
        record.add(step, "lr/0", float(meaning.value(step, 3e-4)))
        record.add(step, "loss", 2.0 / (step + 1))
    record.flush()


def looked(folder: Path) -> tuple[RunFolder, WatchedRun]:
    """Look once; return the only run."""
    runs = RunFolder(folder)
    runs.read_on()
    (run,) = runs.runs.values()
    return runs, run


def test_a_run_is_read_on_from_where_it_was_read_before(tmp_path: Path) -> None:
    record = run_in(tmp_path, 50)
    runs, run = looked(tmp_path)
    assert (run.name, run.step, run.phase) == ("one", 49, "decay")
    assert not runs.read_on()
    write(record, 50, 60)
    assert runs.read_on()
    assert run.step == 59
    assert list(run.points) == ["lr/0", "loss"]


def test_half_a_line_waits_for_its_end(tmp_path: Path) -> None:
    path = tmp_path / "half.jsonl"
    path.write_text('{"step": 0, "target": "loss", "value": 1.0}\n{"step": 1, "target": "lo')
    runs, run = looked(tmp_path)
    assert (run.step, run.unread) == (0, 0)
    with path.open("a") as file:
        file.write('ss", "value": 0.5}\n')
    assert runs.read_on()
    assert run.last["loss"] == (1, 0.5)


def test_a_run_that_went_back_to_a_checkpoint_is_read_anew(tmp_path: Path) -> None:
    record = run_in(tmp_path, 100)
    runs, run = looked(tmp_path)
    record.rewind(40)
    runs.read_on()
    assert run.step == 39


def test_damaged_lines_are_counted_and_left_out(tmp_path: Path) -> None:
    lines = [
        "not json",
        "[1]",
        '{"step": "x"}',
        '{"step": 1, "target": "loss", "value": "nan"}',
        "x" * 50_000,
    ]
    (tmp_path / "bad.jsonl").write_text(
        "\n".join([*lines, '{"step": 2, "target": "loss", "value": 1}', ""])
    )
    _, run = looked(tmp_path)
    assert (run.unread, run.last["loss"]) == (4, (2, 1.0))


def test_a_long_run_is_held_in_bounded_memory_with_its_extremes(tmp_path: Path) -> None:
    with (tmp_path / "long.jsonl").open("w") as file:
        for step in range(60_000):
            file.write(
                json.dumps(
                    {"step": step, "target": "loss", "value": 100.0 if step == 31_234 else 1.0}
                )
                + "\n"
            )
    _, run = looked(tmp_path)
    steps, values = run.points["loss"].fewer(700)
    assert len(steps) <= 1000
    assert (31_234.0, 100.0) in list(zip(steps, values, strict=True))
    assert len(run.points["loss"]) <= 10_000


def test_the_plan_beside_the_record_is_drawn_at_the_base_that_fits(tmp_path: Path) -> None:
    run_in(tmp_path, 100)
    wd.save(PLAN, tmp_path / "one" / "plan.yaml")
    _, run = looked(tmp_path)
    (planned,) = run.planned_lines(None)
    assert planned.label == "lr/0"
    assert max(planned.values) == pytest.approx(3e-4)
    assert planned.stop == 200


def test_without_a_plan_beside_it_the_one_that_is_designed_is_drawn(tmp_path: Path) -> None:
    run_in(tmp_path, 100)
    _, run = looked(tmp_path)
    assert run.planned_lines(None) == ()
    assert len(run.planned_lines(PLAN)) == 1


def test_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    run_in(tmp_path / "outside", 5)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "link").symlink_to(tmp_path / "outside")
    (tmp_path / "runs" / "link.jsonl").symlink_to(tmp_path / "outside" / "one" / "record.jsonl")
    os.mkfifo(tmp_path / "runs" / "pipe.jsonl")
    runs = RunFolder(tmp_path / "runs")
    runs.read_on()
    assert runs.runs == {}


def test_a_run_that_is_gone_is_gone(tmp_path: Path) -> None:
    record = run_in(tmp_path, 5)
    runs, _ = looked(tmp_path)
    assert record.path is not None
    record.path.unlink()
    assert runs.read_on()
    assert runs.runs == {}


@pytest.mark.parametrize("step", [10**400, 10**30, 2**53 + 1, -1])
def test_a_step_that_no_run_makes_is_a_line_that_cannot_be_read(tmp_path: Path, step: int) -> None:
    record = run_in(tmp_path, 5)
    with record.path.open("a") as file:  # type: ignore[union-attr]
        file.write(f'{{"step": {step}, "target": "lr/0", "value": 1}}\n')
    _, run = looked(tmp_path)
    assert (run.step, run.unread) == (4, 1)
    assert run.planned_lines(PLAN)


def aged(folder: Path, seconds: float) -> None:
    """Let everything in a run's folder have been written so long ago."""
    then = time() - seconds
    for path in folder.iterdir():
        os.utime(path, (then, then))


def condition_in(folder: Path) -> tuple[str, str]:
    """Return the state of the only run, and why it is so."""
    return looked(folder)[1].condition


def test_a_run_is_running_stalled_finished_crashed_or_stopped_and_says_why(tmp_path: Path) -> None:
    run_in(tmp_path, 100)
    folder = tmp_path / "one"
    assert condition_in(tmp_path) == ("running", "")
    aged(folder, 7_500)
    assert condition_in(tmp_path) == ("stopped", "nothing written for 2 h")
    output = Output("run", folder, is_folder=True)
    with locked([output]):
        assert condition_in(tmp_path) == ("stalled", "nothing written for 2 h")
        aged(folder, 5)
        assert condition_in(tmp_path) == ("running", "")
    record = Output("record", folder / "record.jsonl")
    with pytest.raises(RuntimeError), locked([output, record]):
        raise RuntimeError("out of memory")
    assert condition_in(tmp_path) == ("crashed", "RuntimeError: out of memory")
    with pytest.raises(KeyboardInterrupt), locked([output, record]):
        raise KeyboardInterrupt
    assert condition_in(tmp_path) == ("stopped", "it was interrupted")
    (folder / ".lock").touch()  # as a kill leaves it
    assert condition_in(tmp_path)[0] == "stopped"
    (folder / ".record.jsonl.lock.json").unlink()
    assert condition_in(tmp_path) == ("crashed", "its process was killed")
    (folder / ".lock").unlink()
    (folder / "result.json").write_text('{"stopped": "the loss is not a number"}')
    assert condition_in(tmp_path) == ("finished", "the loss is not a number")


def test_a_run_that_reached_the_length_of_its_plan_is_finished(tmp_path: Path) -> None:
    run_in(tmp_path, 199)
    wd.save(PLAN, tmp_path / "one" / "plan.yaml")
    _, run = looked(tmp_path)
    assert (run.condition.state, run.updates, run.length) == ("running", 199, 200)
    run_in(tmp_path, 200)
    _, run = looked(tmp_path)
    assert (run.condition.state, run.seconds_left) == ("finished", None)


def test_a_run_that_was_asked_for_more_has_the_length_that_it_answered(tmp_path: Path) -> None:
    run_in(tmp_path, 200)
    wd.save(PLAN, tmp_path / "one" / "plan.yaml")
    runs, run = looked(tmp_path)
    assert (run.condition.state, run.length) == ("finished", 200)
    mailbox = Mailbox(tmp_path / "one")
    request = Request(command="extend", arguments={"total_steps": 300})
    mailbox.send(request)
    runs.read_on()
    assert run.length == 200  # asked, and not done yet
    mailbox.answer(f"{request.id}.json", Answer(outcome="done", text="", update=150, end=300))
    assert runs.read_on()
    assert (run.condition.state, run.length) == ("running", 300)


def test_a_job_is_spoken_to_in_the_folder_that_is_watched_and_nowhere_else(
    tmp_path: Path,
) -> None:
    (tmp_path / "runs").mkdir()
    run_in(tmp_path / "runs", 20)
    runs, run = looked(tmp_path / "runs")
    assert runs.job_of(run) == tmp_path / "runs" / "one"
    (tmp_path / "runs" / "one").rename(tmp_path / "moved")
    (tmp_path / "runs" / "one").symlink_to(tmp_path / "moved")
    with pytest.raises(TrainingError, match="no run of this folder any more"):
        runs.job_of(run)
    runs.read_on()
    with pytest.raises(TrainingError, match="no run of this folder any more"):
        runs.job_of(run)


def test_what_is_left_follows_from_the_pace(tmp_path: Path) -> None:
    record = run_in(tmp_path, 100)
    wd.save(PLAN, tmp_path / "one" / "plan.yaml")
    now = time()
    os.utime(record.path, (now - 10, now - 10))  # type: ignore[arg-type]
    runs, run = looked(tmp_path)
    assert run.seconds_left is None
    write(record, 100, 110)
    os.utime(record.path, (now, now))  # type: ignore[arg-type]
    runs.read_on()
    assert run.seconds_left == pytest.approx(90.0)


def test_smoothing_weighs_what_came_before_as_tensorboard_does() -> None:
    values = np.random.default_rng(0).normal(size=50)
    last, expected = 0.0, []
    for count, value in enumerate(values, start=1):
        last = 0.9 * last + 0.1 * value
        expected.append(last / (1 - 0.9**count))
    np.testing.assert_allclose(smoothed(values, 0.9), expected)
    np.testing.assert_array_equal(smoothed(values, 0.0), values)


def test_a_loss_is_smoothed_before_its_own_points_and_a_rate_is_not(tmp_path: Path) -> None:
    record = run_in(tmp_path, 100)
    record.add(100, "loss", float("nan"))
    record.flush()
    _, run = looked(tmp_path)
    plain, _, _ = compare_runs({0: run}, Look()).layers
    smooth, behind, _ = compare_runs({0: run}, Look(smoothing=0.9)).layers
    assert [line.label for line in smooth.lines] == ["lr/0", "loss"]
    np.testing.assert_array_equal(smooth.lines[0].values, plain.lines[0].values)
    assert smooth.lines[1].values[-1] > plain.lines[1].values[-2]
    assert np.isfinite(smooth.lines[1].values).all()
    (raw,) = behind.lines
    assert raw.is_background
    np.testing.assert_array_equal(raw.values, plain.lines[1].values)


def write_events(folder: Path, updates: int = 40, **how: Any) -> None:
    """Write a run of someone else's, an update every two minutes."""
    with SummaryWriter(str(folder), **how) as writer:
        for step in range(updates):
            now = 1.7e9 + 120 * step
            writer.add_scalar("train/learning_rate", 1e-3, step, walltime=now)
            writer.add_scalar("Loss/train", 2.0 / (step + 1), step, walltime=now)
            writer.add_scalar("val/accuracy", 0.5, step, walltime=now)


def test_a_folder_of_tensorboard_runs_is_shown_and_read_on(tmp_path: Path) -> None:
    write_events(tmp_path / "theirs" / "first")
    write_events(tmp_path / "theirs" / "second", 5)
    runs = RunFolder(tmp_path)
    runs.read_on()
    assert [run.name for run in runs.runs.values()] == ["theirs/first", "theirs/second"]
    first, second = runs.runs.values()
    assert (first.step, second.step) == (39, 4)
    assert not runs.read_on()
    layer, _, _ = compare_runs({0: first}, Look()).layers
    assert [(line.label, line.unit) for line in layer.lines] == [
        ("train/learning_rate", "learning rate"),
        ("Loss/train", "loss"),
        ("val/accuracy", "accuracy"),
    ]
    write_events(tmp_path / "theirs" / "second", 6, filename_suffix=".next")
    assert runs.read_on()
    assert second.step == 5


def test_a_damaged_event_file_harms_no_other_run(tmp_path: Path) -> None:
    write_events(tmp_path / "good", 5)
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "events.out.tfevents.1").write_bytes(b"\x05" * 5_000)
    runs = RunFolder(tmp_path)
    runs.read_on()
    runs.read_on()
    assert [run.name for run in runs.runs.values()] == ["good"]


def test_the_axis_is_updates_epochs_or_time_and_says_where_a_run_lacks_it(tmp_path: Path) -> None:
    write_events(tmp_path / "theirs")
    run_in(tmp_path, 100, "ours")
    run = wd.Run(epochs=4, steps_per_epoch=50)
    wd.save(wd.Plan.of(lr=wd.warmup_cosine(end=0.1), run=run), tmp_path / "ours" / "plan.yaml")
    runs = RunFolder(tmp_path)
    runs.read_on()
    ours, theirs = runs.runs.values()
    both = {0: ours, 1: theirs}
    by_time = compare_runs(both, Look("time"))
    assert by_time.unit == "time, minutes"
    assert by_time.stop == pytest.approx(2 * 39)
    assert by_time.notes[0].startswith("ours: it holds no times.")
    by_epoch = compare_runs(both, Look("epochs"))
    assert (by_epoch.unit, by_epoch.stop) == ("epochs", 4.0)  # the plan goes on to its end
    assert by_epoch.layers[0].lines[0].steps[-1] == pytest.approx(99 / 50)
    assert by_epoch.notes[0].startswith("theirs: how many updates an epoch has")
    write_events(tmp_path / "ours" / "events", 100)
    runs.read_on()
    by_time = compare_runs({0: ours}, Look("time"))
    assert by_time.layers[0].lines[0].steps[-1] == pytest.approx(2 * 99 / 60)
    assert by_time.unit == "time, hours"
    assert len(runs.runs) == 2


def test_several_runs_differ_in_mark_and_name_and_each_has_one_number(tmp_path: Path) -> None:
    for name in ("one", "two"):
        run_in(tmp_path, 50, name)
        wd.save(PLAN, tmp_path / name / "plan.yaml")
    runs = RunFolder(tmp_path)
    runs.read_on()
    layers = compare_runs(dict(enumerate(runs.runs.values())), Look()).layers
    recorded, planned = [layers[0], layers[3]], [layers[2], layers[5]]
    assert [layer.name for layer in recorded] == ["● one", "■ two"]
    assert [layer.mark for layer in recorded] == ["circle", "rect"]
    assert [layer.number for layer in recorded] == [layer.number for layer in planned] == [0, 1]
    assert all(layer.is_faint and layer.lines for layer in planned)


def test_the_link_of_a_run_carries_its_plan(tmp_path: Path) -> None:
    run_in(tmp_path, 10)
    _, run = looked(tmp_path)
    assert run.plan_link == ""
    wd.save(PLAN, tmp_path / "one" / "plan.yaml")
    _, run = looked(tmp_path)
    assert from_link(run.plan_link)["plan"]["run"] == {"total_steps": 200}


def test_a_law_fitted_to_a_run_predicts_its_loss_with_a_band(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    record = Record(tmp_path / "one" / "record.jsonl")
    total = 0.0
    for step in range(0, 4000, 10):
        rate = 3e-4 if step < 2500 else 1e-4
        total += 10 * rate
        record.add(step, "lr/0", rate)
        drop = 0.1 * (1 - np.exp(-max(step - 2500, 0) / 400))
        record.add(step, "loss", 2.6 + 0.6 * (total + 0.01) ** -0.45 - drop)
    record.flush()
    _, run = looked(tmp_path)
    assert not run.predict(None, None) or run.outlook.forecast is None
    law = wd.fit_loss([run.path])
    assert run.predict(law, None)
    assert not run.predict(law, None)
    assert run.outlook.forecast is not None
    assert run.outlook.forecast.final.predicted == pytest.approx(run.last["loss"][1], rel=0.02)
    recorded, _, _ = compare_runs({0: run}, Look()).layers
    (line,) = [line for line in recorded.lines if line.label == "predicted loss"]
    assert line.unit == "loss"
    assert line.low is not None
    assert line.high is not None
    assert (line.low < line.values).all()
    assert (line.values < line.high).all()
    assert run.predict(None, None)
    assert run.outlook.forecast is None


@pytest.mark.parametrize(("tokens", "ends"), [(1000, [200.0]), (None, [])])
def test_a_plan_over_tokens_is_drawn_over_updates_where_their_number_is_known(
    tokens: int | None, ends: list[float], tmp_path: Path
) -> None:
    run_in(tmp_path, 50)
    facts = wd.Run(budget="200000tok", clock="tokens", tokens_per_step=tokens)
    plan = wd.Plan.of(lr=wd.warmup_cosine(end=0.1), run=facts)
    _, run = looked(tmp_path)
    assert [line.steps[-1] for line in run.planned_lines(plan)] == ends


def test_a_plan_that_fits_no_run_is_not_drawn(tmp_path: Path) -> None:
    run_in(tmp_path, 50)
    long = wd.Linear(steps=300) >> wd.Cosine()
    _, run = looked(tmp_path)
    assert run.planned_lines(wd.Plan.of(lr=long, run=wd.Run(total_steps=200))) == ()


def test_a_record_that_vanishes_between_two_looks_is_nothing_new(tmp_path: Path) -> None:
    record = run_in(tmp_path, 5)
    _, run = looked(tmp_path)
    assert record.path is not None
    record.path.unlink()
    run.read_on()
    assert (run.step, len(run.points["loss"])) == (4, 5)


@pytest.mark.parametrize(
    ("error", "unread"),
    [(ValueError("damaged"), 1), (MissingExtra("tensorboard", "tensorboard", "events"), 0)],
)
def test_events_that_cannot_be_read_are_counted_once_and_none_without_their_reader(
    error: Exception, unread: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object, path: Path) -> None:
        raise error

    record = run_in(tmp_path, 5)
    monkeypatch.setattr(ScalarEvents, "__init__", fail)
    assert record.path is not None
    (record.path.parent / "events.out.tfevents.1").touch()
    runs, run = looked(tmp_path)
    runs.read_on()
    assert (run.unread, run.step) == (unread, 4)


def test_more_targets_than_are_kept_are_passed_over_and_a_deep_folder_is_not_searched(
    tmp_path: Path,
) -> None:
    deep = tmp_path / "a" / "b" / "c" / "d"
    for folder in (deep, deep / "e"):
        folder.mkdir(parents=True)
        record = Record(folder / "record.jsonl")
        for target in range(203):
            record.add(0, f"target {target}", 1.0)
        record.add(1, "target 0", 2.0)
        record.flush()
    _, run = looked(tmp_path)
    assert run.name == "a/b/c/d"
    assert len(run.points) == 200
    assert "target 200" not in run.last
    assert run.last["target 0"] == (1, 2.0)


def test_a_plan_that_is_too_large_or_none_leads_nowhere(tmp_path: Path) -> None:
    run_in(tmp_path, 5)
    path = tmp_path / "one" / "plan.yaml"
    path.write_text("# " + "x" * 1_000_000 + "\nlr: cosine\n")
    runs, run = looked(tmp_path)
    assert (run.plan_link, run.length) == ("", None)
    path.write_text("lr: [\n")
    runs.read_on()
    assert (run.plan_link, run.length) == ("", None)
    wd.save(PLAN, path)
    assert runs.read_on()
    assert (run.plan, run.length) == (PLAN, 200)


@pytest.mark.parametrize("text", ["[1]", "{", "x" * 1_100_000])
def test_a_result_that_is_none_says_nothing(text: str, tmp_path: Path) -> None:
    run_in(tmp_path, 5)
    (tmp_path / "one" / "result.json").write_text(text)
    aged(tmp_path / "one", 600)
    assert condition_in(tmp_path)[0] == "stopped"


def test_a_run_of_weeks_is_drawn_over_days(tmp_path: Path) -> None:
    with SummaryWriter(str(tmp_path / "long")) as writer:
        for day in range(30):
            writer.add_scalar("loss", 1.0, day, walltime=1.7e9 + 86_400 * day)
    _, run = looked(tmp_path)
    by_time = compare_runs({0: run}, Look("time", smoothing=0.5))
    assert by_time.unit == "time, days"
    assert by_time.stop == pytest.approx(29.0)
