"""One folder, one process: a second start is refused; a kill leaves the folder free."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.training.processes import end, start, wait_until

from warmdown import Record
from warmdown.cli.main import main

TASK = """
import os, pathlib, torch
from tests.training.processes import wait_until

def build():
    made = torch.Generator().manual_seed(0)
    inputs = torch.randn(96, 4, generator=made)
    data = torch.utils.data.TensorDataset(inputs, inputs.sum(1, keepdim=True))
    model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Dropout(0.1), torch.nn.Linear(8, 1))
    used = []

    def loss(outputs, target):
        used.append(1)
        if len(used) == 5 and os.environ.get("PAUSES"):
            pathlib.Path(f"paused-{os.getpid()}").touch()
            wait_until(pathlib.Path("go").exists)
        return torch.nn.functional.mse_loss(outputs, target)

    return model, loss, (data, data)
"""
PLAN = "run: {epochs: 4, lr: 0.05}\nlr: {kind: warmup_cosine, warmup: 25%}\n"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(
        "warmdown.plot.save", lambda drawn, file, **_: file
    )  # drawing takes seconds
    sys.modules.pop("pausing", None)
    (tmp_path / "pausing.py").write_text(TASK)
    (tmp_path / "plan.yaml").write_text(PLAN)
    return tmp_path


def arguments(*more: str, out: str = "a") -> list[str]:
    told = ["train", "plan.yaml", "--task", "pausing:build", "--track", "none", "--out", out]
    return [*told, "--checkpoint-every", "1", *more]


def train(*more: str, out: str = "a", code: int = 0) -> Result:
    result = CliRunner().invoke(main, arguments(*more, out=out))
    assert result.exit_code == code, result.output
    return result


def pausing(*more: str) -> int:
    """Start a process that uses a few batches, and waits for the file ``go``."""
    os.environ["PAUSES"] = "1"
    try:
        return start(lambda: main(arguments(*more)), Path("said"))
    finally:
        del os.environ["PAUSES"]


@contextmanager
def at_work(*more: str) -> Iterator[int]:
    child = pausing(*more)
    try:
        wait_until(Path(f"paused-{child}").exists, child)
        assert Path(f"paused-{child}").exists(), Path("said").read_text()
        yield child
    finally:
        with suppress(ChildProcessError, ProcessLookupError):
            os.kill(child, signal.SIGKILL)
            end(child)


def digest(said: str) -> str:
    found: list[str] = re.findall(r"\b[0-9a-f]{64}\b", said)
    return found[-1]


@pytest.mark.parametrize("more", [(), ("--resume",)])
def test_a_second_start_names_the_first_which_goes_on_unharmed(
    more: tuple[str, ...], here: Path
) -> None:
    whole = digest(train(out="whole").output)
    with at_work() as first:
        result = train(*more, code=2)
        assert re.search(
            rf"train\(--out a\): process {first} on \S+ writes there, since \d{{4}}-", result.output
        )
        assert "give another place" in result.output
        (here / "go").touch()
        assert end(first) == 0, (here / "said").read_text()
    assert digest((here / "said").read_text()) == whole
    assert Record.load(here / "a" / "record.jsonl").curve("loss")[0] == list(range(12))
    assert not (here / "a.1").exists()
    assert not list((here / "a").rglob(".*"))


def test_of_two_that_resume_at_once_one_goes_on_and_no_row_is_doubled(here: Path) -> None:
    train("--max-steps", "2")
    both = {pausing("--resume", "--on-change", "given"): 0 for _ in range(2)}
    wait_until(lambda: any(is_over(child) for child in both))
    (here / "go").touch()
    codes = sorted(end(child) for child in both)
    assert codes == [0, 2], (here / "said").read_text()
    assert Record.load(here / "a" / "record.jsonl").curve("loss")[0] == list(range(12))


def is_over(child: int) -> bool:
    return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def test_a_killed_run_leaves_its_folder_free(here: Path) -> None:
    whole = digest(train(out="whole").output)
    with at_work() as first:
        os.kill(first, signal.SIGKILL)
        assert end(first) == -signal.SIGKILL
    assert (here / "a" / ".lock").exists()
    assert digest(train("--resume").output) == whole
    assert not list((here / "a").rglob(".*"))


def test_a_run_under_a_script_is_not_moved_out_of_the_way(here: Path) -> None:
    """The script locks what it writes, not the folder around it."""
    (here / "a").mkdir()
    (here / "a" / "record.jsonl").touch()
    child = start(_record, here / "said")
    wait_until((here / "holds").exists, child)
    result = train(code=2)
    assert f"process {child} on" in result.output
    assert (here / "a" / "record.jsonl").exists()
    (here / "go").touch()
    assert end(child) == 0, (here / "said").read_text()


def _record() -> None:
    from warmdown.lock import Output, locked

    with locked([Output("script", Path("a/record.jsonl"))]):
        Path("holds").touch()
        wait_until(Path("go").exists)


def test_ctrl_c_saves_and_leaves_with_130(here: Path) -> None:
    with at_work() as first:
        os.kill(first, signal.SIGINT)
        (here / "go").touch()
        assert end(first) == 130, (here / "said").read_text()
    said = (here / "said").read_text()
    assert "SIGINT: stopped after update" in said
    assert said.splitlines()[-1] == "Interrupted."
    assert "Resumed from a/checkpoints/update-" in train("--resume").output


@pytest.mark.parametrize("out", ["/proc/none/a", "plan.yaml/a", "plan.yaml"])
def test_a_folder_that_cannot_be_written_is_found_before_the_data_is_read(
    out: str, here: Path
) -> None:
    (here / "pausing.py").write_text("def build():\n    raise ZeroDivisionError\n")
    result = CliRunner().invoke(main, arguments(out=out))
    assert result.exit_code == 2, result.output
    assert isinstance(result.exception, SystemExit)
    assert "cannot be written" in result.output or "is a file" in result.output


def test_a_full_disk_is_found_before_the_data_is_read(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, content: bytes) -> int:
        raise OSError(28, "No space left on device")

    (here / "pausing.py").write_text("def build():\n    raise ZeroDivisionError\n")
    monkeypatch.setattr(Path, "write_bytes", full)
    assert "cannot be written: No space left on device" in train(code=2).output


@pytest.mark.slow
def test_the_same_from_shells_of_their_own(here: Path) -> None:
    command = [sys.executable, "-m", "warmdown", *arguments()]
    root = str(Path(__file__).parents[2])  # the task that pauses imports a part of the tests
    environment = {**os.environ, "PAUSES": "1", "PYTHONPATH": root}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as first:
        wait_until((here / f"paused-{first.pid}").exists, None)
        second = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert second.returncode == 2
        assert f"process {first.pid} on" in second.stderr
        first.send_signal(signal.SIGINT)
        (here / "go").touch()
        assert first.wait(120) == 130
    assert list((here / "a" / "checkpoints").glob("update-*"))
