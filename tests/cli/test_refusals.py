"""Refused before a run starts: unwritable output, locked output, another version's files."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from tests.training import small
from tests.training.processes import end, start, wait_until

from warmdown import SpecError, StateError, TrainingError
from warmdown.cli.main import main
from warmdown.experiments.runs import Store
from warmdown.lock import Output, locked
from warmdown.studio.draft.document import Draft
from warmdown.studio.draft.links import from_fragment, from_plain, to_fragment, to_plain
from warmdown.training import Checkpoints, Trainer, TrainerCallback

TASK = """
import torch

def build():
    inputs = torch.randn(24, 1, generator=torch.Generator().manual_seed(0))
    data = torch.utils.data.TensorDataset(inputs, inputs)
    return torch.nn.Linear(1, 1), torch.nn.functional.mse_loss, (data, data)
"""
SPACE = "run: {lr: {low: 1e-3, high: 1.0, log: true}}\nlr: {kind: cosine}\n"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    sys.modules.pop("tiny_task", None)
    (tmp_path / "tiny_task.py").write_text(TASK)
    (tmp_path / "space.yaml").write_text(SPACE)
    return tmp_path


def call(*told: str) -> list[str]:
    return [
        *told,
        "--task",
        "tiny_task:build",
        *(("--engine", "serial") if told[0] != "find" else ()),
    ]


@pytest.mark.parametrize(
    "told",
    [
        ("compare", "constant", "--out", "space.yaml/x"),
        ("compare", "constant", "--report", "space.yaml/x.html"),
        ("search", "space.yaml", "--out", "/proc/none/x"),
        ("search", "space.yaml", "--best", "space.yaml/best.yaml"),
        ("find", "--out", "/proc/none/x.png"),
    ],
)
def test_what_cannot_be_written_is_found_before_the_first_run(
    told: tuple[str, ...], here: Path
) -> None:
    (here / "tiny_task.py").write_text("def build():\n    raise ZeroDivisionError('a run began')\n")
    result = CliRunner().invoke(main, call(*told))
    assert result.exit_code == 2, result.output
    assert "cannot be written" in result.output
    assert "a run began" not in result.output


def test_a_second_search_in_a_folder_names_the_first(here: Path) -> None:
    def work() -> None:
        with locked([Output("search", Path("out"), is_folder=True)]):
            Path("holds").touch()
            wait_until(Path("go").exists)

    first = start(work, here / "said")
    wait_until((here / "holds").exists, first)
    result = CliRunner().invoke(main, call("search", "space.yaml", "--trials", "1", "--out", "out"))
    (here / "go").touch()
    assert end(first) == 0
    assert result.exit_code == 2
    assert f"search(out='out'): process {first} on" in result.output


@pytest.mark.slow
def test_two_comparisons_at_once_keep_every_result_whole(here: Path) -> None:
    told = call("compare", "constant", "cosine", "--seeds", "3", "--epochs", "1", "--out", "out")
    both = [start(lambda: main(told), here / f"said-{number}") for number in range(2)]
    assert [end(child) for child in both] == [0, 0], (here / "said-0").read_text() + (
        here / "said-1"
    ).read_text()
    assert [result.status for result in Store("out")] == ["finished"] * 6
    assert len(list((here / "out").iterdir())) == 12


class Pause(TrainerCallback):
    """Waits in the middle of the run until a file is there."""

    def on_train_update_end(self, trainer: Trainer, update: int = 0, **kwargs: Any) -> None:
        if update == 3:
            Path("holds").touch()
            wait_until(Path("go").exists)


@pytest.mark.parametrize("resumes", [True, False])
def test_a_second_trainer_on_the_same_files_is_refused_and_changes_nothing(
    resumes: bool, here: Path
) -> None:
    small.train(small.make(here / "run"), max_num_train_steps=2)
    first = start(lambda: small.train(small.make(here / "run", [Pause()], every=2)), here / "said")
    wait_until((here / "holds").exists, first)
    before = {path: path.read_bytes() for path in (here / "run").rglob("*") if path.is_file()}
    with pytest.raises(
        TrainingError, match=rf"RecordCallback\('.*record.jsonl'\): process {first} on"
    ):
        small.train(
            small.make(here / "run"), resume_from=here / "run" / "checkpoints" if resumes else None
        )
    assert {
        path: path.read_bytes() for path in (here / "run").rglob("*") if path.is_file()
    } == before
    (here / "go").touch()
    assert end(first) == 0, (here / "said").read_text()
    assert not list((here / "run").rglob(".*"))


def test_a_state_of_another_version_is_refused_by_both_numbers(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("warmdown.training.state._VERSION", 2)
        small.train(small.make(here), max_num_train_steps=2)
    with pytest.raises(
        StateError,
        match=r"training\.json\(version=2\): this warmdown reads "
        r"version 1\. Use the one",
    ):
        small.train(small.make(here), resume_from=here / "checkpoints")


def test_a_checkpoint_of_another_format_is_not_passed_over(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small.train(small.make(here), max_num_train_steps=2)
    with monkeypatch.context() as patch:
        patch.setattr("warmdown.training.checkpoint._FORMAT", 2)
        small.train(small.make(here), max_num_train_steps=4)
    with pytest.raises(StateError, match="format 2, and this version reads 1"):
        Checkpoints(here / "checkpoints").newest_good()


def test_a_link_of_another_version_is_refused_by_both_numbers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("warmdown.studio.draft.links._VERSION", 3)
        link, plain = to_fragment(Draft().document), to_plain(Draft().document)
    with pytest.raises(SpecError, match=r"link\(version=3\): this warmdown reads versions up to 2"):
        from_fragment(link)
    with pytest.raises(SpecError, match=r"link\(version=3\): this warmdown reads versions up to 2"):
        from_plain(plain)


def test_a_schedulers_state_of_another_version_is_not_asked_for_the_entries_of_this_one() -> None:
    import torch

    import warmdown as wd

    scheduler = wd.Scheduler(
        torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1), lr=wd.Cosine(steps=4)
    )
    with pytest.raises(StateError, match=r"version=3\): this warmdown reads version 1 and 2"):
        scheduler.load_state_dict({"version": 3, "fingerprint": "x"})


@pytest.mark.parametrize("told", [["show", "-"], ["check", "-"]])
def test_ctrl_c_ends_any_command_with_130(told: list[str], here: Path) -> None:
    class Waiting:
        """A standard input on which nothing comes."""

        def __init__(self) -> None:
            self.buffer = self

        def read(self, size: int = -1) -> bytes:
            Path("reads").touch()
            signal.pause()
            return b""

    def work() -> None:
        sys.stdin = Waiting()
        main(told)

    child = start(work, here / "said")
    wait_until((here / "reads").exists, child)
    os.kill(child, signal.SIGINT)
    assert end(child) == 130
    assert (here / "said").read_text() == "\nInterrupted.\n"
