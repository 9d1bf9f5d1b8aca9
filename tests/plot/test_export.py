"""Values as rows."""

from __future__ import annotations

import csv
import io
import json

import pytest

import warmdown as wd
from warmdown.plot.export import ValueRow, as_csv, as_json, as_table, rows, stride_of

PLAN = wd.Plan.of(
    lr={"head": wd.Linear(), 'a,"b': wd.Cosine()},
    weight_decay=wd.Set(wd.Constant(value=0.05)),
    run=wd.Run(total_steps=4, lr=0.1),
)


def test_there_is_one_row_for_each_update_of_each_target() -> None:
    found = list(
        rows(
            wd.Plan.of(
                lr=wd.Linear(), momentum=wd.Set(wd.Linear()), run=wd.Run(total_steps=3, lr=0.3)
            )
        )
    )
    assert [(row.step, row.target) for row in found] == [
        (s, t) for t in ("lr", "momentum") for s in range(3)
    ]
    assert [row.value for row in found] == pytest.approx([0.3, 0.2, 0.1, 1, 2 / 3, 1 / 3])


@pytest.mark.parametrize("total", [1, 2, 99, 100, 101, 12_345, 10**12])
def test_a_long_run_has_a_row_for_every_nth_update_and_the_last(total: int) -> None:
    found = list(
        rows(wd.Plan.of(lr=wd.Linear(), run=wd.Run(total_steps=total, lr=1.0)), points=100)
    )
    assert min(total, 50) <= len(found) <= 100
    assert (found[0].step, found[-1].step) == (0, total - 1)
    stride = stride_of(total, 100)
    assert [row.step for row in found[:-1]] == [stride * at for at in range(len(found) - 1)]
    assert 0 <= found[-1].step - found[-2 if len(found) > 1 else -1].step <= stride


def test_csv_is_read_by_any_reader_to_the_last_digit() -> None:
    found = list(rows(PLAN))
    read = list(csv.DictReader(io.StringIO(as_csv(found))))
    assert list(read[0]) == ["step", "target", "value"]
    assert [(int(row["step"]), row["target"], float(row["value"])) for row in read] == found


def test_json_is_a_list_of_the_same() -> None:
    found = list(rows(PLAN))
    assert [tuple(row.values()) for row in json.loads(as_json(found))] == found
    assert list(json.loads(as_json(found))[0]) == ["step", "target", "value"]
    assert json.loads(as_json([])) == []


def test_a_table_has_its_columns_under_each_other() -> None:
    lines = as_table(
        rows(wd.Plan.of(lr=wd.Linear(), run=wd.Run(total_steps=1000, lr=3e-4)), points=3)
    ).splitlines()
    assert lines == [
        "step  target  value",
        "   0  lr      3e-4",
        " 500  lr      1.5e-4",
        " 999  lr      3e-7",
    ]


def test_a_spreadsheet_takes_no_target_for_a_formula() -> None:
    found = [ValueRow(0, "=HYPERLINK(1)", 0.5), ValueRow(0, "lr/-1", -0.5)]
    assert as_csv(found) == "step,target,value\n0,'=HYPERLINK(1),0.5\n0,lr/-1,-0.5\n"
