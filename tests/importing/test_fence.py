"""A preview of another library's class runs in its own process: what it does there stays there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from tests.studio.hostile import HOSTILE

import warmdown as wd
from warmdown.errors import ScheduleError
from warmdown.importing import external, fence, fence_worker

RUN = wd.Run(total_steps=4, lr=1.0)
MORE = """
class Tells:
    def __init__(self, optimizer):
        self.optimizer = optimizer
        Path(__file__).with_name("process").write_text(str(os.getpid()))
    def step(self): ...
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a hostile module of one's own."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "hostile_parts.py").write_text(HOSTILE + MORE)
    return folder


@pytest.fixture(autouse=True)
def _path(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path, str(home)])
    external._walked.cache_clear()


def preview(name: str, **init_args: Any) -> Any:
    """Return what a hostile class is seen to do."""
    allow = ("hostile_parts",)
    one = wd.External(class_path=f"hostile_parts.{name}", init_args=init_args, allow=allow)
    return one.over(RUN)(range(5))


def test_the_class_is_called_in_another_process(home: Path) -> None:
    assert preview("Tells").tolist() == [1, 1, 1, 1, 1]
    assert (home / "process").read_text() not in ("", str(os.getpid()))
    assert preview("Halves").tolist() == [1, 1 / 2, 1 / 4, 1 / 8, 1 / 16]


def test_what_a_class_prints_is_not_taken_for_an_answer() -> None:
    assert preview("Prints")[:3].tolist() == pytest.approx([1.0, 0.9, 0.81])


def test_a_class_that_leaves_by_an_exception_of_the_program_is_told() -> None:
    with pytest.raises(ScheduleError, match="SystemExit: gone"):
        preview("Raises")


@pytest.mark.parametrize("name", ["Hangs", pytest.param("HangsHard", marks=pytest.mark.slow)])
def test_a_class_that_hangs_is_ended_and_the_next_one_is_seen(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert preview("Halves")[1] == 0.5
    began = monotonic()
    with monkeypatch.context() as patch:
        patch.setattr(external, "LONGEST_LOOK", 0.5)
        with pytest.raises(
            ScheduleError,
            match=rf"{name}: it took longer than 0\.5008 seconds, so "
            rf"it was ended",
        ):
            preview(name)
    assert monotonic() - began < 30
    assert wd.External(
        class_path="torch.optim.lr_scheduler.ExponentialLR", init_args={"gamma": 0.25}
    ).over(RUN)(1)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Exits", "exit code 3"),
        pytest.param("Allocates", "MemoryError|exit code 137", marks=pytest.mark.slow),
    ],
)
def test_a_class_that_ends_its_process_takes_nothing_with_it(name: str, said: str) -> None:
    with pytest.raises(ScheduleError, match=said):
        preview(name)


def test_only_plain_data_goes_to_a_class() -> None:
    one = wd.External(
        class_path="torch.optim.lr_scheduler.LambdaLR", init_args={"lr_lambda": lambda step: step}
    )
    with pytest.raises(
        ScheduleError,
        match=r"LambdaLR\(init_args\): Object of type function .* "
        r"Give plain data",
    ):
        one.over(RUN)(1)


@pytest.mark.slow
def test_the_process_ends_with_the_program() -> None:
    code = (
        "import warmdown as wd; from warmdown.importing import fence\n"
        "wd.External(class_path='torch.optim.lr_scheduler.ExponentialLR', init_args={'gamma': "
        "0.5}).over(\n"
        "    wd.Run(total_steps=3))(1)\n"
        "print(fence._fence._process.pid, flush=True)\n"
        "import os; os._exit(0) if HARD else None\n"
    )
    for hard in (False, True):
        given = [sys.executable, "-c", code.replace("HARD", str(hard))]
        done = subprocess.run(given, stdout=subprocess.PIPE, text=True, check=True)
        assert _is_gone(int(done.stdout))


@pytest.mark.slow
def test_a_process_that_was_killed_is_started_again() -> None:
    assert preview("Halves")[1] == 0.5
    assert fence._fence._process is not None
    fence._fence._process.kill()
    fence._fence._process.wait()
    one = wd.External(
        class_path="torch.optim.lr_scheduler.ExponentialLR", init_args={"gamma": 0.125}
    )
    assert one.over(RUN)(1) == 0.125


def _is_gone(pid: int) -> bool:
    ends = monotonic() + 20
    while monotonic() < ends:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        if Path(f"/proc/{pid}/stat").exists() and ") Z " in Path(f"/proc/{pid}/stat").read_text():
            return True
    return False


SERVED = """
import os, sys
sys.modules["torch"] = None
from warmdown.importing.fence_worker import is_here, serve

def add(question):
    print("noise")
    os.write(1, b"noise")
    return {"sum": question["a"] + question["b"], "is_here": is_here()}

def leave(question):
    sys.exit("gone")

serve(lambda: {"add": add, "leave": leave})
"""


def test_a_line_is_answered_with_a_line_and_the_process_ends_with_its_questions() -> None:
    questions = [{"task": "add", "a": 1, "b": 2}, {"task": "leave"}, {"task": "no"}]
    done = subprocess.run(
        [sys.executable, "-c", SERVED],
        input="".join(f"{json.dumps(one)}\n" for one in questions),
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    start, *answers = map(json.loads, done.stdout.splitlines())
    assert list(start) == ["is_limited"]
    assert answers == [
        {"sum": 3, "is_here": True},
        {"mistakes": ["SystemExit: gone"]},
        {"mistakes": ["KeyError: 'no'"]},
    ]
    assert not fence_worker.is_here()


def test_a_process_without_memory_says_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone(BaseException): ...

    def end(code: int) -> None:
        raise Gone(code)

    def fill(_: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr(os, "_exit", end)
    with pytest.raises(Gone, match="137"):
        fence_worker._run_task({"fill": fill}, {"task": "fill"})
