"""Plans to text and files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import warmdown as wd
from warmdown.errors import ScheduleError, SpecError

PLAN = wd.Plan.of(
    lr=wd.Linear(start=0.0, end=1.0, steps="5%") >> wd.Cosine(end=0.1),
    weight_decay=wd.Set(wd.Constant(value=1e-5)),
    run=wd.Run(total_steps=10_000),
)


def test_yaml_is_what_a_person_would_write() -> None:
    assert wd.dumps(PLAN) == (
        "run: {total_steps: 10000}\n"
        "lr:\n"
        "  kind: chain\n"
        "  members:\n"
        "  - {kind: linear, start: 0.0, end: 1.0, steps: 5%}\n"
        "  - {kind: cosine, end: 0.1}\n"
        "weight_decay:\n"
        "  set: {kind: constant, value: 1.0e-05}\n"
    )


@pytest.mark.parametrize("name", ["plan.yaml", "plan.json", "plan"])
def test_what_is_saved_is_loaded(tmp_path: Path, name: str) -> None:
    assert wd.load(wd.save(PLAN, tmp_path / name)) == PLAN
    assert os.listdir(tmp_path) == [name]


def test_a_file_is_replaced_and_keeps_its_permissions(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text("old")
    path.chmod(0o640)
    wd.save(PLAN, path)
    assert wd.load(path) == PLAN
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_plan_that_holds_code_leaves_the_old_file_as_it_was(tmp_path: Path) -> None:
    path = wd.save(PLAN, tmp_path / "plan.yaml")
    with pytest.raises(ScheduleError, match="a function cannot be written down"):
        wd.save(wd.Plan.of(lr=wd.Function(call=abs)), path)
    assert wd.load(path) == PLAN
    assert os.listdir(tmp_path) == ["plan.yaml"]


def test_a_crash_on_the_way_leaves_the_old_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = wd.save(PLAN, tmp_path / "plan.yaml")

    def crash(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", crash)
    with pytest.raises(SpecError, match=r"plan\.yaml: cannot be written: No space left on device"):
        wd.save(wd.Plan.of(lr=wd.Linear()), path)
    assert wd.load(path) == PLAN
    assert os.listdir(tmp_path) == ["plan.yaml"]


def test_a_folder_that_is_not_there_is_said_to_be(tmp_path: Path) -> None:
    with pytest.raises(
        SpecError,
        match=r"cannot be written: No such file or directory\. Check the "
        r"folder",
    ):
        wd.save(PLAN, tmp_path / "none" / "plan.yaml")
