"""Classes of other libraries, hostile ones too, run in a process that is ended; the page stays."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Awaitable, Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from tests.studio.hostile import HOSTILE

from warmdown.planfile.classes import is_known
from warmdown.studio.draft.document import Reading
from warmdown.studio.page.state import describe_foreign, preview_foreign
from warmdown.studio.preview.preview import Preview, Summary, row_texts
from warmdown.studio.security.worker import Ended, Worker

pytestmark = pytest.mark.slow

MULTISTEP = {
    "class_path": "torch.optim.lr_scheduler.MultiStepLR",
    "init_args": {"milestones": [50, 100, 150], "gamma": 0.5},
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a hostile module of one's own."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "hostile_parts.py").write_text(HOSTILE)
    (folder / "json.py").write_text(
        "raise SystemExit('a file of the folder was taken for a library')"
    )
    return folder


class Lasting:
    """A worker that outlives a test, because its process takes seconds to import torch."""

    def __init__(self, home: Path) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        self.worker = Worker(home)

    def ask(self, act: Awaitable[Any]) -> Any:
        """Return what comes of a question."""
        return asyncio.run_coroutine_threadsafe(act, self.loop).result(timeout=120)  # type: ignore[arg-type]

    def describe(self, path: str, *allow: str) -> Any:
        """Return what a class takes, or what is wrong."""
        return self.ask(describe_foreign(self.worker, path, allow))

    def see(self, data: dict[str, Any], bases: Any = None, *allow: str) -> tuple[Preview, Summary]:
        """Return what is seen of a plan."""
        seen: tuple[Preview, Summary] = self.ask(
            preview_foreign(self.worker, Reading(data, bases=bases or {}), allow)
        )
        return seen

    def close(self) -> None:
        """End the process and the thread."""
        self.ask(self.worker.close())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


@pytest.fixture(scope="module")
def lasting(home: Path) -> Iterator[Lasting]:
    """Return one worker for all tests."""
    made = Lasting(home)
    yield made
    made.close()


def plan_with(name: str, **init_args: Any) -> dict[str, Any]:
    """Return a plan with a hostile class."""
    return {
        "run": {"total_steps": 10},
        "lr": {"class_path": f"hostile_parts.{name}", "init_args": init_args},
    }


def test_the_documents_table_comes_out_of_the_real_class(lasting: Lasting) -> None:
    bases = {"LoRA Unet": {"lr": 1e-4}, "Embedding": {"lr": 1e-3}}
    scene, told = lasting.see({"run": {"total_steps": 200}, "lr": MULTISTEP}, bases)
    assert scene.mistakes == ()
    assert told.labels == ("lr/LoRA Unet", "lr/Embedding")
    assert [row[:3] for row in row_texts(told)] == [
        ("0", "1e-4", "1e-3"),
        ("50", "5e-5", "5e-4"),
        ("100", "2.5e-5", "2.5e-4"),
        ("150+", "1.25e-5", "1.25e-4"),
    ]


def test_each_group_is_looked_at_from_its_own_base_because_a_class_may_not_scale(
    lasting: Lasting,
) -> None:
    init_args = {"max_lr": 0.1, "total_steps": 102}
    one_cycle = {"class_path": "torch.optim.lr_scheduler.OneCycleLR", "init_args": init_args}
    scene, _ = lasting.see(
        {"run": {"total_steps": 100}, "lr": one_cycle}, {"a": {"lr": 1e-4}, "b": {"lr": 1e-3}}
    )
    assert scene.mistakes == ()
    peaks = [max(line.values) for line in scene.view.lines]
    assert peaks == pytest.approx([0.1, 0.1], rel=1e-3)


def test_a_class_is_described_by_its_signature_and_docstring(lasting: Lasting) -> None:
    found = lasting.describe("hostile_parts.Takes", "hostile_parts.Takes")
    fields = [(field.name, field.kind, field.default) for field in found.fields]
    assert fields == [("rate", "number", "0.5"), ("mode", "choice", "a")]
    assert found.takes_more
    assert found.fields[0].help == 'How fast, "<b>bold</b>".'


def test_an_argument_that_the_class_does_not_take_is_refused_by_name(lasting: Lasting) -> None:
    step = {
        "class_path": "torch.optim.lr_scheduler.StepLR",
        "init_args": {"step_size": 3, "gama": 0.5},
    }
    scene, _ = lasting.see({"run": {"total_steps": 10}, "lr": step})
    assert any("lr.init_args.gama" in mistake and "gamma" in mistake for mistake in scene.mistakes)


@pytest.mark.parametrize(
    "path",
    ["hostile_parts.Prints", "os.system", "subprocess.Popen", "builtins.eval", "torch.hub.load"],
)
def test_a_class_outside_the_list_is_not_even_imported_without_a_yes(
    lasting: Lasting, path: str
) -> None:
    assert not is_known(path)
    assert "not imported" in lasting.describe(path)
    assert lasting.see({"lr": {"class_path": path}})[0].view.lines == ()


def test_classes_of_known_libraries_need_no_yes() -> None:
    assert is_known("torch.optim.lr_scheduler.StepLR")
    assert is_known("transformers.get_cosine_schedule_with_warmup")
    assert not is_known("torch.optimx.Thing")
    assert not is_known("warmdownx.Thing")


def test_what_a_class_prints_is_not_taken_for_an_answer(lasting: Lasting) -> None:
    scene, _ = lasting.see(plan_with("Prints"), {"": {"lr": 1.0}}, "hostile_parts")
    assert scene.view.lines[0].values[:3].tolist() == pytest.approx([1.0, 0.9, 0.81])


def test_a_run_that_is_too_long_to_step_through_is_refused_at_once(lasting: Lasting) -> None:
    scene, _ = lasting.see({"run": {"total_steps": 10**12}, "lr": MULTISTEP})
    assert "Give a shorter run" in scene.mistakes[0]


def test_a_constructor_that_leaves_by_an_exception_is_told(lasting: Lasting) -> None:
    scene, _ = lasting.see(plan_with("Raises"), {}, "hostile_parts")
    assert any("gone" in mistake for mistake in scene.mistakes)


def test_a_constructor_that_hangs_is_ended_and_the_next_question_is_answered(
    lasting: Lasting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("warmdown.studio.page.state.LONGEST_LOOK", 1.0)
    lasting.ask(lasting.worker.start())
    (process,), began = lasting.worker.processes, monotonic()
    scene, _ = lasting.see(plan_with("HangsHard"), {}, "hostile_parts")
    assert "took longer than 1 seconds" in scene.mistakes[0]
    assert monotonic() - began < 10
    assert not Path(f"/proc/{process}").exists()
    assert not isinstance(lasting.describe("torch.optim.lr_scheduler.StepLR"), str)


@pytest.mark.parametrize(
    ("name", "told"),
    [("Hangs", "took longer"), ("Allocates", "MemoryError"), ("Exits", "exit code 3")],
)
def test_a_constructor_that_sleeps_allocates_or_exits_takes_only_its_process_with_it(
    lasting: Lasting, name: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lasting.ask(lasting.worker.start())
    # a busy machine takes its time to hand out memory
    monkeypatch.setattr("warmdown.studio.page.state.LONGEST_LOOK", 1.0 if name == "Hangs" else 60.0)
    scene, _ = lasting.see(plan_with(name), {}, "hostile_parts")
    assert any(told in mistake for mistake in scene.mistakes), scene.mistakes
    assert not isinstance(lasting.describe("torch.optim.lr_scheduler.StepLR"), str)


def test_an_answer_that_is_too_long_ends_the_process_not_the_page(
    home: Path, lasting: Lasting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("warmdown.importing.fence._LONGEST_ANSWER", 2_000)
    other = Worker(home)
    question = {"task": "look", "data": {"run": {"total_steps": 200}, "lr": MULTISTEP}}
    with pytest.raises(Ended):
        lasting.ask(other.ask(question, seconds=60))
    lasting.ask(other.close())


def test_the_process_ends_with_the_page(lasting: Lasting) -> None:
    lasting.ask(lasting.worker.start())
    pids = lasting.worker.processes
    assert pids
    lasting.ask(lasting.worker.close())
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_slow_class_holds_up_nobody_else_and_what_rests_is_ended(
    home: Path, lasting: Lasting, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = Worker(home)
    data = {"run": {"total_steps": 9}, "lr": {"class_path": "hostile_parts.HangsHard"}}
    slow = {"task": "look", "data": data, "allow": ["hostile_parts"]}
    quick = {"task": "describe", "path": MULTISTEP["class_path"]}

    async def ask_both() -> None:
        await worker.start()
        hanging = asyncio.create_task(worker.ask(slow, seconds=600))
        await asyncio.sleep(0)
        assert "shape" in await worker.ask(quick, seconds=60)
        assert not hanging.done()
        assert len(worker.processes) == 2
        hanging.cancel()
        with pytest.raises(asyncio.CancelledError):
            await hanging
        (pid,) = worker.processes
        monkeypatch.setattr("warmdown.studio.security.worker._REST", 0.0)
        await worker.ask(quick, seconds=60)
        while Path(f"/proc/{pid}").exists():
            await asyncio.sleep(0)

    lasting.ask(ask_both())
    lasting.ask(worker.close())
