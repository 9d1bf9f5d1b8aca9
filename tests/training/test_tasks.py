"""Tasks: a run is a function of plan, task and seed; what is missing says how to have it."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.training import small

import warmdown as wd
from warmdown import Record, TrainingError, training
from warmdown.training import curves, run_task, task_of
from warmdown.training.tasks.text import documentation, passages


def test_digits_are_what_they_should_be() -> None:
    torch.manual_seed(0)
    task = task_of("digits")
    assert (len(task.train), len(task.test)) == (1437, 360)
    image, label = task.train[0]
    assert (image.shape, label.dtype) == (torch.Size([1, 8, 8]), torch.int64)
    assert task.model(image.unsqueeze(0)).shape == (1, 10)


def test_the_same_seed_gives_the_same_run_and_another_another() -> None:
    runs = [run_task("digits", wd.Cosine(), max_steps=8, seed=seed) for seed in (0, 0, 1)]
    assert runs[0].digest == runs[1].digest != runs[2].digest
    assert runs[0].record.curve("loss") == runs[1].record.curve("loss")
    assert runs[0].metrics == runs[1].metrics


def test_every_seed_is_tested_on_the_same_digits() -> None:
    tests = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        tests.append(task_of("digits").test.tensors[0])
    assert torch.equal(*tests)


def test_the_plans_own_facts_count_where_nothing_else_is_said() -> None:
    plan = wd.Plan.of(lr=wd.Constant(), run=wd.Run(total_steps=5, lr=0.03))
    outcome = run_task("digits", plan)
    assert outcome.updates == 5
    assert set(outcome.record.curve("lr/0")[1]) == {0.03}
    assert run_task("digits", plan, max_steps=3, lr=0.02).record.curve("lr/0")[1] == [0.02] * 3


def test_a_run_that_loses_its_loss_says_so() -> None:
    outcome = run_task("digits", wd.Constant(), lr=1e6, max_steps=30)
    assert "The loss is nan" in outcome.stopped
    assert outcome.updates < 30


def test_metrics_are_means_over_all_samples() -> None:
    outcome = run_task("digits", wd.Constant(), max_steps=4)
    assert (outcome.metrics["accuracy"] * 360) == pytest.approx(
        round(outcome.metrics["accuracy"] * 360)
    )


def test_text_is_guessed_better_after_some_updates() -> None:
    outcome = run_task("text", wd.Constant(), max_steps=25, batch_size=8)
    assert outcome.metrics["bits_per_byte"] < 6.5
    assert outcome.metrics["bits_per_byte"] == pytest.approx(
        outcome.metrics["eval_loss"] / np.log(2)
    )


def test_passages_lie_side_by_side_and_the_target_is_one_byte_on() -> None:
    pairs = passages(b"abcdefghij", context=3)
    assert len(pairs) == 3
    assert [bytes(part.tolist()) for part in pairs[1]] == [b"def", b"efg"]


def test_text_comes_from_where_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("b", "a"):
        (tmp_path / f"{name}.txt").write_text(name * 10_000)
    monkeypatch.setenv("WARMDOWN_TEXT", str(tmp_path))
    assert documentation() == b"a" * 10_000 + b"\n" + b"b" * 10_000
    monkeypatch.setenv("WARMDOWN_TEXT", str(tmp_path / "lost"))
    with pytest.raises(TrainingError, match=r"lost.*cannot be read: No such file.*Name a file"):
        documentation()
    (tmp_path / "short.txt").write_text("too short")
    monkeypatch.setenv("WARMDOWN_TEXT", str(tmp_path / "short.txt"))
    with pytest.raises(TrainingError, match=r"holds 9 bytes\. Name more text"):
        documentation()


def test_fashion_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WARMDOWN_FASHION_MNIST", str(tmp_path))
    with pytest.raises(
        TrainingError,
        match=r"is not there. On Debian: apt-get install "
        r"dataset-fashion-mnist",
    ):
        task_of("fashion")
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(b"no gzip")
    with pytest.raises(TrainingError, match="cannot be read"):
        task_of("fashion")


def test_fashion_is_read_from_its_four_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WARMDOWN_FASHION_MNIST", str(tmp_path))
    for part, count in (("train", 6), ("t10k", 2)):
        images, labels = bytes(16) + bytes(range(count)) * 784, bytes(8) + bytes(range(count))
        (tmp_path / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(images))
        (tmp_path / f"{part}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(labels))
    task = task_of("fashion")
    assert (len(task.train), len(task.test)) == (6, 2)
    assert task.model(task.train[0][0].unsqueeze(0)).shape == (1, 10)


def test_a_task_may_be_a_tuple_without_data_to_be_tested_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "least.py").write_text("def build():\n    return 'a model', max, range(4)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    task = task_of("least:build")
    built: tuple[object, ...] = (task.model, task.loss, task.train, task.test)
    assert built == ("a model", max, range(4), None)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("digit", "no such task. Did you mean 'digits'"),
        (".beside:build", "no such task"),
        (r"C:\runs\mine.py:build", r"no module 'C:.*mine.py'. Run it from the folder"),
        ("nowhere:build", "no module 'nowhere'. Run it from the folder"),
        ("math:build", "math has no 'build'"),
        ("os:getcwd", r"returned str. A task returns"),
    ],
)
def test_what_is_no_task_says_what_one_is(name: str, says: str) -> None:
    with pytest.raises(TrainingError, match=says):
        task_of(name)


def test_curves_are_what_is_worth_a_picture() -> None:
    record = Record()
    for step in range(100):
        record.add(step, "lr/0", 0.1)
        record.add(step, "loss", float(step % 2))
        record.add(step, "samples_per_second", 1e4)
    shown = curves(record)
    assert shown.targets() == ["lr", "training loss"]
    assert shown.curve("training loss")[1][-1] == pytest.approx(0.5, abs=0.05)


def test_old_names_are_read_and_warn_of_the_new_one() -> None:
    with pytest.warns(DeprecationWarning, match=r"LatePlan is now .*DeferredPlan"):
        assert training.LatePlan is training.DeferredPlan
    fields: dict[str, Any] = {"model": small.linear(), "loss": abs, "train": [], "says": "a line"}
    with pytest.warns(DeprecationWarning, match=r"Task\(says=…\) is now Task\(description=…\)"):
        task = training.Task(**fields)
    assert task.description == "a line"
