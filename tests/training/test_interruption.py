"""A run that a signal stops saves its state, reports it, and is resumed to the same end."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from tests.training import small
from tests.training.processes import end, start, wait_until

from warmdown.training import Trainer, TrainerCallback


class Notify(TrainerCallback):
    """Lets the test know how far it is, and waits there for the signal."""

    def __init__(self, file: Path, at: int) -> None:
        self.file, self.at = file, at

    def on_train_update_end(self, trainer: Trainer, update: int = 0, **kwargs: Any) -> None:
        if update + 1 == self.at:
            self.file.touch()
            wait_until(lambda: trainer.run_state.stop_signal is not None)


@pytest.mark.parametrize(("told", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_run_that_a_signal_stops_saves_and_leaves_clean(
    told: signal.Signals, code: int, tmp_path: Path
) -> None:
    digest = small.train(small.make())
    here, said = tmp_path / "here", tmp_path / "said"
    child = start(lambda: small.train(small.make(tmp_path, [Notify(here, 11)])), said)
    wait_until(here.exists, child)
    os.kill(child, told)
    assert end(child) == code
    assert f"{told.name}: stopped after update 11; everything is saved in" in said.read_text()
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["update-00000011"]
    assert small.train(small.make(tmp_path), resume_from=tmp_path / "checkpoints") == digest


def test_without_checkpoints_signals_are_left_alone(tmp_path: Path) -> None:
    here, said = tmp_path / "here", tmp_path / "said"
    child = start(lambda: small.train(small.make(callbacks=[Notify(here, 3)])), said)
    wait_until(here.exists, child)
    os.kill(child, signal.SIGTERM)
    assert end(child) == -signal.SIGTERM


def test_a_second_interrupt_ends_the_run_at_once(tmp_path: Path) -> None:
    class Insist(TrainerCallback):
        def on_train_step_start(self, trainer: Trainer, **kwargs: Any) -> None:
            if trainer.progress.updates == 5:
                os.kill(os.getpid(), signal.SIGINT)
                os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        small.train(small.make(tmp_path, [Insist()]))
    assert not list((tmp_path / "checkpoints").iterdir())


def test_a_signal_stops_after_the_update_that_is_at_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Ask(TrainerCallback):
        def on_train_step_start(self, trainer: Trainer, **kwargs: Any) -> None:
            if trainer.progress.updates == 5:
                os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(SystemExit, match="143"):
        small.train(small.make(tmp_path, [Ask()]))
    assert "SIGTERM: stopped after update 6; everything is saved in" in capsys.readouterr().out
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["update-00000006"]


def test_afterwards_signals_mean_what_they_meant_before(tmp_path: Path) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    small.train(small.make(tmp_path))
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before
