"""Logs are read from what trainers and trackers write, and cleaned aloud."""

from __future__ import annotations

import csv
import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import warmdown as wd
from warmdown.errors import ForecastError
from warmdown.forecast import LossLog, read_log

STEPS = np.arange(0, 400, 10)
RATES = 0.1 * (1 - STEPS / 500)
LOSSES = 1 + 2 / np.sqrt(1 + STEPS)
ROWS = list(zip(STEPS.tolist(), RATES.tolist(), LOSSES.tolist(), strict=True))


def table(path: Path, heads: tuple[str, ...], rows: Any = ROWS, **how: Any) -> Path:
    with path.open("w", newline="", encoding=how.pop("encoding", "utf-8")) as file:
        writer = csv.writer(file, **how)
        writer.writerow(heads)
        writer.writerows(rows)
    return path


def write_trainer_state(path: Path) -> Path:
    history: list[dict[str, Any]] = [
        {"step": step, "learning_rate": rate, "loss": loss, "epoch": 0.1}
        for step, rate, loss in ROWS
    ]
    history.append({"step": 390, "eval_loss": 1.0, "epoch": 1.0})
    (path / "trainer_state.json").write_text(json.dumps({"log_history": history, "epoch": 1.0}))
    return path / "trainer_state.json"


def write_record(path: Path) -> Path:
    record = wd.Record(path / "record.jsonl")
    for step, rate, loss in ROWS:
        record.add(step, "lr/0", rate)
        record.add(step, "loss", loss)
        record.add(step, "phase", 0.0, "decay")
    record.flush()
    return path / "record.jsonl"


def write_events(path: Path) -> Path:
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(path / "events")) as writer:
        for step, rate, loss in ROWS:
            writer.add_scalar("train/learning_rate", rate, step)
            writer.add_scalar("train/loss", loss, step)
            writer.add_scalar("eval/loss", 9.0, step)
    return path / "events"


def write_sparse(path: Path) -> Path:
    rows: list[dict[str, Any]] = [{"_step": step, "optim": {"lr": rate}} for step, rate, _ in ROWS]
    rows += [{"_step": step, "train/loss": loss} for step, _, loss in ROWS]
    (path / "history.jsonl").write_text("\n".join(map(json.dumps, rows)) + '\n{"_st')
    return path / "history.jsonl"


def write_wandb(path: Path) -> Path:
    heads = ("Step", "fine-run - train/lr", "fine-run - train/loss", "fine-run - train/loss__MIN",
             "fine-run - train/loss__MAX")  # fmt: skip
    return table(path / "wandb.csv", heads, [(*row, 0.0, 9.0) for row in ROWS])


def write_tensor_events(path: Path) -> Path:
    """Write events as TensorFlow 2 does, each number a tensor, with some that are no numbers."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter
    from tensorboard.util.tensor_util import make_tensor_proto

    writer = EventFileWriter(str(path / "events"))
    for step, rate, loss in ROWS:
        tensors = {"lr": np.float64(rate), "loss": np.float32(loss), "note": "a text",
                   "weights": np.zeros(3, np.float32)}  # fmt: skip
        values = [Summary.Value(tag=tag, tensor=make_tensor_proto(it)) for tag, it in
                  tensors.items()]  # fmt: skip
        values.append(Summary.Value(tag="a picture", image=Summary.Image(height=1)))
        writer.add_event(Event(step=step, summary=Summary(value=values)))
    writer.close()
    return path / "events"


def write_columns(path: Path) -> Path:
    columns = {"step": STEPS.tolist(), "lr": RATES.tolist(), "loss": LOSSES.tolist(), "seed": 1}
    (path / "log.json").write_text(json.dumps(columns))
    return path / "log.json"


def write_spaced_lines(path: Path) -> Path:
    lines = [
        json.dumps({"step": step, "lr/AdamW": rate, "loss": loss}) for step, rate, loss in ROWS
    ]
    (path / "log.jsonl").write_text("\n\n".join(lines))
    return path / "log.jsonl"


SOURCES: dict[str, Any] = {
    "csv": lambda path: table(path / "log.csv", ("step", "lr", "loss")),
    "other names": lambda path: table(
        path / "log.csv", ("Iteration", "Learning_Rate", "Train_Loss")
    ),
    "tsv": lambda path: table(path / "log.tsv", ("step", "lr", "loss"), delimiter="\t"),
    "a mark and CRLF": lambda path: table(
        path / "log.csv", ("step", "lr", "loss"), encoding="utf-8-sig", lineterminator="\r\n"
    ),
    "trainer state": write_trainer_state,
    "record": write_record,
    "events": write_events,
    "events of tensors": write_tensor_events,
    "columns in a file": write_columns,
    "lines apart, and a rate by its optimizer": write_spaced_lines,
    "rows apart": write_sparse,
    "W&B": write_wandb,
    "arrays": lambda path: (STEPS, RATES, LOSSES),
    "columns": lambda path: {"step": STEPS, "lr": RATES, "train/loss": LOSSES},
    "a record": lambda path: wd.Record.load(write_record(path)),
}


@pytest.mark.parametrize("kind", SOURCES)
def test_every_kind_of_log_gives_the_same_rows(kind: str, tmp_path: Path) -> None:
    log = read_log(SOURCES[kind](tmp_path))
    np.testing.assert_array_equal(log.steps, STEPS)
    np.testing.assert_allclose(log.rates, RATES, rtol=1e-6)
    np.testing.assert_allclose(log.losses, LOSSES, rtol=1e-6)
    assert log.notes == ()


def test_columns_of_other_names_are_named_and_two_that_fit_are_asked_about(tmp_path: Path) -> None:
    path = table(tmp_path / "log.csv", ("step", "lr", "a - loss", "b - loss"),
                 [(*row, 5.0) for row in ROWS])  # fmt: skip
    with pytest.raises(ForecastError, match=r"2 columns could be the loss: a - loss, b - loss"):
        read_log(path)
    assert read_log(path, loss="b - loss").losses[0] == 5.0
    with pytest.raises(ForecastError, match=r"no column 'c - loss'\. Did you mean"):
        read_log(path, loss="c - loss")


def test_a_plan_s_rate_counts_where_the_plan_is_known(tmp_path: Path) -> None:
    path = table(tmp_path / "log.csv", ("step", "loss"), [(row[0], row[2]) for row in ROWS])
    plan = wd.Plan.of(lr=wd.warmup_cosine(), run=wd.Run(total_steps=400, lr=0.2))
    log = read_log(path, plan=plan)
    assert log.curve.peak == pytest.approx(0.2)
    assert log.warmup is None
    with pytest.raises(ForecastError, match=r"no column is the rate\. There are step, loss"):
        read_log(path)


def test_a_warmup_before_the_first_row_is_assumed_aloud_or_told() -> None:
    late = STEPS + 200.0, np.full(STEPS.size, 0.1), LOSSES
    assumed = read_log(late)
    assert "begins at update 200: a linear warmup" in assumed.notes[0]
    assert np.interp(100, assumed.curve.steps, assumed.curve.rates) == pytest.approx(0.05)
    told = read_log(late, warmup=150)
    assert told.notes == ()
    assert np.interp([75, 160], told.curve.steps, told.curve.rates) == pytest.approx([0.05, 0.1])


def test_spikes_and_what_came_after_a_divergence_are_left_out_aloud() -> None:
    spiked = LOSSES.copy()
    spiked[[20, 30]] += 1.0
    log = read_log((STEPS, RATES, spiked))
    assert log.steps.size == STEPS.size - 2
    assert "2 spikes" in log.notes[0]
    burst = LOSSES.copy()
    burst[25:] = np.linspace(1.5, 8.0, burst.size - 25)
    log = read_log((STEPS, RATES, burst))
    assert log.steps[-1] <= 250
    assert re.search("diverged after update 2[0-4]0", log.notes[0])


def test_the_noise_of_a_small_loss_is_neither_spike_nor_divergence() -> None:
    steps = np.arange(900.0)
    noise = np.random.default_rng(0).normal(size=steps.size)
    losses = (2.3 * np.exp(-steps / 120) + 1e-3) * np.exp(1.2 * noise)
    log = read_log((steps, np.full(steps.size, 0.1), losses))
    assert log.notes == ()
    assert log.steps.size == steps.size


def test_after_a_restart_the_later_rows_count() -> None:
    steps = np.r_[STEPS[:25], STEPS[15:]]
    losses = np.r_[LOSSES[:25] + 0.01, LOSSES[15:]]
    log = read_log((steps, np.r_[RATES[:25], RATES[15:]], losses))
    np.testing.assert_array_equal(log.steps, STEPS)
    np.testing.assert_array_equal(log.losses[15:], LOSSES[15:])
    assert "restarted" in log.notes[0]


def test_cells_that_are_no_numbers_are_passed_over() -> None:
    losses: list[Any] = LOSSES.tolist()
    losses[3], losses[4], losses[5], losses[6] = "NaN", "", None, "inf"
    log = read_log({"step": STEPS, "lr": list(map(str, RATES)), "loss": losses})
    assert log.steps.size == STEPS.size - 4


def test_many_rows_are_averaged_and_keep_their_rate() -> None:
    steps = np.arange(20_000.0)
    noisy = 2 + 0.1 * np.random.default_rng(0).normal(size=steps.size)
    log = read_log((steps, np.full(steps.size, 0.1), noisy)).thinned()
    assert log.steps.size == 256
    assert np.std(log.losses) < 0.02
    assert log.curve.total == pytest.approx(0.1 * 19_999)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no rows"),
        (b"step,lr,loss\n", "no rows"),
        (b"\x80\x81\xff", "cannot be read as text"),
        (b"{", "no JSON"),
        (b'{"a": 1}', "no column is the"),
        (b"[1, 2]", "no column is the"),
        (b"loss\n1\n2\n", "no column is the step. There are loss;"),
        (b"step,lr,loss\n" + b"".join(b"%d,x,2\n" % n for n in range(12)), "no row has a rate"),
        (b"step,lr,loss\n" + b"".join(b"%d,0.1,%d\n" % (n, 9**n) for n in range(12)),
         "it diverged at once"),
        (b"step,lr,loss\n1,0.1,2\n2,0.1,2\n", "2 rows have a step and a loss"),
        (b"step,lr,loss\n" + b"1,0.1,-2\n" * 3 + b"".join(b"%d,0.1,-2\n" % n for n in range(9)),
         "above 0"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_log_is_refused_with_who_and_why(
    content: bytes, words: str, tmp_path: Path
) -> None:
    path = tmp_path / "log.csv"
    path.write_bytes(content)
    with pytest.raises(ForecastError, match=words):
        read_log(path)


@pytest.mark.parametrize("given", [3, None, ([1], [2]), ([1], [2], ["x"]), ([1, 2], [1], [1])])
def test_what_is_no_log_at_all_is_refused(given: Any) -> None:
    with pytest.raises(ForecastError):
        read_log(given)


def test_a_folder_without_numbers_of_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ForecastError, match="no TensorBoard events with numbers are there"):
        read_log(tmp_path)


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(ForecastError, match=r"nowhere\.csv: there is no such file"):
        read_log("nowhere.csv")


@pytest.mark.skipif(
    not Path(os.environ.get("WARMDOWN_LOSS_CURVES", ""), "100M").is_dir(),
    reason="WARMDOWN_LOSS_CURVES names no public logs",
)
def test_public_logs_are_read_without_a_false_alarm() -> None:
    logs: list[LossLog] = [
        read_log(path, warmup=2160)
        for path in sorted(Path(os.environ["WARMDOWN_LOSS_CURVES"]).glob("*/*.csv"))
    ]
    assert len(logs) == 13
    assert [log.notes for log in logs] == [()] * 13
    assert all(log.curve.peak == pytest.approx(3e-4) for log in logs)
