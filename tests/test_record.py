"""The record of a run: rows in memory, whole lines in a file, and what a crash leaves of them."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

import warmdown as wd
from warmdown import Record, StateError
from warmdown.record import Row


def test_rows_come_back_in_the_order_in_which_they_were_added() -> None:
    record = Record()
    record.add(0, "lr", 0.1)
    record.add(0, "loss", 2.5)
    record.add(1, "lr", 0.2, reason="decay_now")
    assert record.rows == [Row(0, "lr", 0.1), Row(0, "loss", 2.5), Row(1, "lr", 0.2, "decay_now")]
    assert record.targets() == ["lr", "loss"]
    assert record.curve("lr") == ([0, 1], [0.1, 0.2])
    assert record.curve("no such target") == ([], [])
    assert len(record) == 3


def test_a_file_holds_every_row_after_a_flush(tmp_path: Path) -> None:
    record = Record(tmp_path / "run.jsonl")
    for step in range(100):
        record.add(step, "lr", 1 / (step + 3))
    record.flush()
    assert Record.load(tmp_path / "run.jsonl").rows == record.rows


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 0.1 + 0.2, 5e-324])
def test_every_float_survives_the_file(tmp_path: Path, value: float) -> None:
    record = Record(tmp_path / "run.jsonl")
    record.add(7, 'a "quoted" näme', value)
    record.flush()
    (row,) = Record.load(tmp_path / "run.jsonl").rows
    assert row.target == 'a "quoted" näme'
    assert row.value == value or (math.isnan(value) and math.isnan(row.value))


def test_a_last_line_cut_short_is_left_out_and_mended_before_the_next(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    path.write_text('{"step": 0, "target": "lr", "value": 0.1}\n{"step": 1, "targ')
    assert Record.load(path).rows == [Row(0, "lr", 0.1)]
    record = Record(path)
    record.add(1, "lr", 0.2)
    record.flush()
    assert Record.load(path).rows == [Row(0, "lr", 0.1), Row(1, "lr", 0.2)]


def test_a_line_in_the_middle_that_is_no_row_is_named(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    path.write_text(
        '{"step": 0, "target": "lr", "value": 0.1}\nnonsense\n'
        '{"step": 1, "target": "lr", "value": 0.1}\n'
    )
    with pytest.raises(StateError, match=r"line 2: not a row.*Remove the line"):
        Record.load(path)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(StateError, match="not UTF-8"):
        Record.load(path)


def test_a_resumed_run_goes_on_where_it_was_saved(tmp_path: Path) -> None:
    first = Record(tmp_path / "run.jsonl")
    for step in range(10):
        first.add(step, "lr", float(step))
    first.flush()
    again = Record.resume(tmp_path / "run.jsonl", 4)
    for step in range(4, 6):
        again.add(step, "lr", -float(step))
    again.flush()
    assert Record.load(tmp_path / "run.jsonl").curve("lr") == (
        [0, 1, 2, 3, 4, 5],
        [0, 1, 2, 3, -4, -5],
    )


def test_a_record_of_a_run_that_never_wrote_can_be_resumed(tmp_path: Path) -> None:
    record = Record.resume(tmp_path / "run.jsonl", 4)
    record.add(4, "lr", 0.1)
    record.flush()
    assert len(Record.load(tmp_path / "run.jsonl")) == 1


def test_lines_are_whole_whenever_another_process_looks(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    record = Record(path)
    for step in range(10_000):
        record.add(step, "loss", 0.5)
        if step % 1000 == 999:
            assert path.read_text().endswith("}\n")
    record.flush()
    assert len(Record.load(path)) == 10_000


@pytest.mark.parametrize("step", ["1" + "0" * 30, "1e999", "[" * 100_000])
def test_a_line_that_no_run_writes_is_named_and_as_the_last_one_leaves_no_trace(
    tmp_path: Path, step: str
) -> None:
    path, good = tmp_path / "record.jsonl", '{"step": 1, "target": "lr", "value": 1.0}\n'
    hostile = f'{{"step": {step}, "target": "evil", "value": 1.0, "reason": "evil"}}'
    path.write_text(f"{good}{hostile}\n{good}")
    with pytest.raises(StateError, match=r"line 2: not a row of a record"):
        Record.load(path)
    path.write_text(f"{good}{hostile}")
    record = Record.load(path)
    record.add(2, "lr", 0.5)
    assert [(row.step, row.target, row.reason) for row in record] == [(1, "lr", ""), (2, "lr", "")]


def test_a_record_is_drawn_over_the_plan_that_it_followed() -> None:
    record = Record()
    for step in range(10):
        record.add(step, "lr", 0.1)
    plan = wd.Plan.of(lr=wd.Set(0.1), run=wd.Run(total_steps=10))
    alone, over_plan = record.plot(), record.plot(plan)
    assert len(over_plan.axes[0].lines) > len(alone.axes[0].lines)
