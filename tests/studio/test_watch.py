"""Runs are watched as they go: read on, started anew, damaged, too many, linked from elsewhere."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.studio.pages import shown, until

import warmdown as wd
from warmdown import Record
from warmdown.studio.page.state import AppContext
from warmdown.studio.preview.watch import RunFolder, WatchedRun
from warmdown.studio.security.folder import Folder
from warmdown.studio.security.worker import Worker

if TYPE_CHECKING:
    from nicegui.testing import User

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
    assert [curve.label for curve in run.lines()] == ["lr/0", "loss"]


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
    (line,) = run.lines()
    assert len(line.steps) <= 1000
    assert (31_234.0, 100.0) in list(zip(line.steps, line.values, strict=True))
    assert len(run._values["loss"]) <= 20_000


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


@pytest.mark.slow
def test_the_page_shows_runs_as_they_come(tmp_path: Path) -> None:
    import asyncio
    import re

    from nicegui import ui
    from nicegui.testing import user_simulation

    from warmdown.studio.page.watching import build_runs

    del ui
    folder = Folder(tmp_path)
    app = AppContext(folder, Worker(tmp_path), watch=tmp_path)

    async def act(user: User) -> None:
        await until(lambda: "No record yet" in shown(user))
        record = run_in(tmp_path, 50)
        await until(lambda: "update 49 · decay · running" in shown(user))
        record.add(50, "lr/0", 1.0, "another hand wrote lr")
        record.flush()
        await until(lambda: "another hand wrote lr" in shown(user))
        run_in(tmp_path, 20, "two")
        await until(lambda: "run-two" in marks(user))

    def marks(user: User) -> set[str]:
        assert user.client is not None
        return {mark for element in user.client.elements.values() for mark in element._markers}

    async def run() -> None:
        async def root() -> None:
            await build_runs(app)

        async with user_simulation(root) as user:
            found: Any = {"dark": False}
            user.javascript_rules = {re.compile(r"warmdown\.found\(\)"): lambda _: found}
            await user.open("/")
            await act(user)

    asyncio.run(run())
    folder.close()


@pytest.mark.parametrize("step", [10**400, 10**30, 2**53 + 1, -1])
def test_a_step_that_no_run_makes_is_a_line_that_cannot_be_read(tmp_path: Path, step: int) -> None:
    record = run_in(tmp_path, 5)
    with record.path.open("a") as file:  # type: ignore[union-attr]
        file.write(f'{{"step": {step}, "target": "lr/0", "value": 1}}\n')
    _, run = looked(tmp_path)
    assert (run.step, run.unread) == (4, 1)
    assert run.lines()
    assert run.planned_lines(PLAN)
