"""transformers beside our ``get_scheduler``: its rates, its ways to read it, its Trainer."""

from __future__ import annotations

import copy
import io
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

import warmdown as wd
from warmdown.compat.names import get_scheduler

STEPS = 10
NAMES: dict[str, dict[str, Any]] = {
    "constant": {},
    "constant_with_warmup": {},
    "linear": {},
    "cosine": {},
    "cosine_with_restarts": {"num_cycles": 2},
    "polynomial": {"power": 2.0, "lr_end": 1e-7},
    "inverse_sqrt": {},
    "cosine_with_min_lr": {"min_lr_rate": 0.1},
    "warmup_stable_decay": {"num_decay_steps": 2},
}


def drawn(scheduler: Any, meanwhile: Callable[[Any], None] = lambda _: None) -> list[float]:
    """Return the rates of a run without updates, as transformers' own checks read them."""
    rates = []
    for step in range(STEPS):
        rates.append(float(scheduler.get_lr()[0]))
        scheduler.step()
        if step == STEPS // 2:
            meanwhile(scheduler)
    return rates


def reload(scheduler: Any) -> None:
    file = io.BytesIO()
    torch.save(scheduler.state_dict(), file)
    file.seek(0)
    scheduler.load_state_dict(torch.load(file))


class Wrapped:
    """Stands for a factor, as those do who pickle a scheduler's lambdas."""

    def __init__(self, function: Callable[[int], float]) -> None:
        self.function = function

    def __call__(self, step: int) -> float:
        return self.function(step)


@pytest.fixture(scope="module")
def optimizer() -> torch.optim.Optimizer:
    """Return the one optimizer that all schedulers drive in turn."""
    return torch.optim.AdamW(torch.nn.Linear(5, 5).parameters(), lr=10.0)


@pytest.mark.parametrize("name", NAMES)
def test_each_name_has_their_rates_drawn_reloaded_and_wrapped(
    name: str, optimizer: torch.optim.Optimizer
) -> None:
    alone = torch.optim.AdamW(torch.nn.Linear(5, 5).parameters(), lr=10.0)
    arguments = (2, STEPS, NAMES[name])
    theirs = transformers.get_scheduler(name, alone, 2, STEPS, NAMES[name])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of theirs: get_lr(), no update was made
        expected = drawn(theirs)
    rates = drawn(get_scheduler(name, optimizer, *arguments))
    assert rates == pytest.approx(expected, rel=1e-9, abs=1e-12)

    scheduler: Any = get_scheduler(name, optimizer, *arguments)
    for ours, factor in zip(scheduler.lr_lambdas, theirs.lr_lambdas, strict=True):
        factors = [factor(step) for step in range(STEPS)]
        assert [ours(step) for step in range(STEPS)] == pytest.approx(factors, abs=1e-12)
    scheduler.lr_lambdas = wrapped = list(map(Wrapped, scheduler.lr_lambdas))
    assert pickle.loads(pickle.dumps(scheduler.lr_lambdas))[0](3) == wrapped[0](3)
    assert drawn(scheduler, reload) == rates


def test_lambdas_of_another_curve_are_refused_with_the_way_out(
    optimizer: torch.optim.Optimizer,
) -> None:
    scheduler: Any = get_scheduler("linear", optimizer, 2, STEPS)
    with pytest.raises(wd.BindingError, match=r"lr_lambdas=.*LambdaLR"):
        scheduler.lr_lambdas = [lambda step: 0.5**step]
    with pytest.raises(wd.BindingError, match=r"lr_lambdas=.*one for each group"):
        scheduler.lr_lambdas = []
    assert drawn(scheduler)[2] == 10.0


@pytest.mark.parametrize("name", ["linear", "polynomial"])
def test_a_pickled_scheduler_goes_on(name: str) -> None:
    optimizer = torch.optim.SGD(torch.nn.Linear(5, 5).parameters(), lr=10.0)
    scheduler: Any = get_scheduler(name, optimizer, 2, STEPS, NAMES[name])
    for _ in range(4):
        scheduler.step()
    twin = pickle.loads(pickle.dumps(scheduler))
    assert type(twin) is type(scheduler)
    assert drawn(twin) == drawn(copy.deepcopy(scheduler)) == drawn(scheduler)


class Regression(torch.nn.Module):
    """A model as the Trainer calls one."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)

    def forward(self, x: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"loss": (self.layer(x).squeeze(-1) - labels).square().mean()}


def trained(
    folder: Path, rate: float, schedule: Any, resume: Path | None = None
) -> dict[int, float]:
    """Return the rate that the Trainer logged at each step of a run to step 10."""

    class Trainer(transformers.Trainer):  # type: ignore[misc]
        def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
            self._created_lr_scheduler = True
            self.lr_scheduler = schedule(optimizer or self.optimizer, num_training_steps)
            return self.lr_scheduler

    arguments = transformers.TrainingArguments(
        str(folder),
        learning_rate=rate,
        max_steps=STEPS,
        save_steps=5,
        logging_steps=1,
        per_device_train_batch_size=4,
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
    )
    data = [{"x": torch.ones(2), "labels": torch.tensor(1.0)}] * 20
    trainer = Trainer(Regression(), arguments, train_dataset=data)
    trainer.train(resume_from_checkpoint=resume and str(resume))
    history = trainer.state.log_history
    return {row["step"]: row["learning_rate"] for row in history if "learning_rate" in row}


def ours(on_change: str) -> Callable[[Any, int], Any]:
    def schedule(optimizer: Any, steps: int) -> Any:
        scheduler: Any = get_scheduler("linear", optimizer, 2, steps)
        scheduler.on_change = on_change
        return scheduler

    return schedule


def theirs(optimizer: Any, steps: int) -> Any:
    return transformers.get_scheduler("linear", optimizer, 2, steps)


@pytest.mark.filterwarnings("ignore")
def test_a_trainer_resumes_with_the_same_rate_or_says_how_to_go_on_with_another(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = trained(tmp_path, 0.1, ours("error"))
    assert whole == pytest.approx(trained(tmp_path / "theirs", 0.1, theirs))
    later = {step: whole[step] for step in range(6, STEPS + 1)}
    checkpoint = tmp_path / "checkpoint-5"

    def resumed(rate: float, on_change: str) -> dict[int, float]:
        rates = trained(tmp_path / on_change, rate, ours(on_change), checkpoint)
        return {step: rates[step] for step in later}

    assert resumed(0.1, "error") == later
    with pytest.raises(wd.StateError, match=r"0.1 \(saved\), 0.2 \(given\)[^$]*on_change=…"):
        resumed(0.2, "error")
    assert resumed(0.2, "saved") == pytest.approx(later)
    assert resumed(0.2, "given") == pytest.approx({step: 2 * later[step] for step in later})
    capsys.readouterr()
