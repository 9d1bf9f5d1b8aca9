"""A run on data that a person names is another run, with a key of its own."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import warmdown as wd
from warmdown.experiments.perform import perform
from warmdown.experiments.runs import VARIABLES, Result, RunSpec, digest_of_named
from warmdown.experiments.worker import WorkerContext, worker_of_thread
from warmdown.training.tasks.text import documentation

KEYS = {
    "digits": "7dffd8348688be18",
    "text": "d6b1e7ac266abeaf",
    "fashion": "425fe12c6560572a",
    "mine:task": "0e6ee3036f69bfc5",
}
"""Of runs that were made before data could be found apart: what is stored stays what it is."""


def spec(task: str) -> RunSpec:
    return RunSpec.of(wd.Plan.of(lr=wd.Constant(value=1.0)), task, 0, {"epochs": 2})


def keys() -> dict[str, str]:
    return {task: spec(task).key for task in KEYS}


@pytest.fixture(autouse=True)
def _nothing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def test_where_nothing_is_named_a_run_is_called_what_it_ever_was() -> None:
    assert keys() == KEYS
    assert "data" not in spec("text").to_dict()


def test_named_data_give_another_name_to_the_runs_that_may_use_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WARMDOWN_TEXT", str(tmp_path))
    changed = {task for task, key in keys().items() if key != KEYS[task]}
    assert changed == {"text", "mine:task"}
    monkeypatch.delenv("WARMDOWN_TEXT")
    monkeypatch.setenv("WARMDOWN_FASHION_MNIST", str(tmp_path))
    assert {task for task, key in keys().items() if key != KEYS[task]} == {"fashion", "mine:task"}
    stored = Result(spec=spec("fashion"), status="finished")
    monkeypatch.delenv("WARMDOWN_FASHION_MNIST")
    assert Result.from_dict(stored.to_dict()).key == stored.key != spec("fashion").key


def test_texts_differ_by_what_is_in_them_and_not_by_where_they_lie(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: dict[str, tuple[bytes, str]] = {}
    for place, text, beside in (
        ("a", "one", ""),
        ("b", "one", ""),
        ("c", "two", ""),
        ("d", "one", "notes.md"),
    ):
        folder = tmp_path / place / "deeper"
        folder.mkdir(parents=True)
        (folder / "it.txt").write_text(text * 5_000)
        (folder / (beside or "none.md")).touch()
        monkeypatch.setenv("WARMDOWN_TEXT", str(tmp_path / place))
        found[place] = documentation(), digest_of_named("text")
    assert found["a"] == found["b"] == found["d"]
    assert found["a"][0] != found["c"][0]
    assert found["a"][1] != found["c"][1]
    before = digest_of_named("text")
    (tmp_path / "d" / "deeper" / "it.txt").write_text("three" * 5_000)
    assert digest_of_named("text") != before
    file = tmp_path / "other.txt"
    file.write_text("one" * 5_000)
    monkeypatch.setenv("WARMDOWN_TEXT", str(file))
    assert documentation() == found["a"][0]
    assert digest_of_named("text")


def test_a_run_that_finds_other_data_than_it_is_called_by_is_not_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "it.txt").write_text("one" * 5_000)
    monkeypatch.setenv("WARMDOWN_TEXT", str(tmp_path))
    asked = spec("text")
    monkeypatch.delenv("WARMDOWN_TEXT")
    result = perform(asked)
    assert result.status == "failed"
    assert "the data that WARMDOWN_TEXT or WARMDOWN_FASHION_MNIST names differ" in result.reason


def test_a_process_that_works_for_another_is_given_the_others_data(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WARMDOWN_TEXT", "/here")
    here = WorkerContext.here()
    first = worker_of_thread(here)
    monkeypatch.setenv("WARMDOWN_TEXT", "/there")  # of a worker that was started before
    monkeypatch.setenv("WARMDOWN_FASHION_MNIST", "/there")
    code = f"import os; print(*[os.environ.get(name) for name in {list(VARIABLES)}])"
    with here.start("-c", code, stdout=subprocess.PIPE) as process:
        assert process.communicate()[0].split() == [b"/here", b"None"]
    assert worker_of_thread(WorkerContext.here()) is not first
