"""A range test reads rates off real updates and leaves everything as it was."""

from __future__ import annotations

import asyncio
import copy
import json
import math
import random
import re
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

import warmdown as wd
from warmdown.binding.field import Field
from warmdown.cli.find import command
from warmdown.errors import BindingError, ScheduleError, TrainingError
from warmdown.experiments import RangeTest, find_rate
from warmdown.training import Trainer


class Setting:
    """A model with buffers and dropout, two groups of different rates, and shuffled data."""

    def __init__(
        self, optimizer: Callable[..., torch.optim.Optimizer] = torch.optim.AdamW, **how: Any
    ) -> None:
        torch.manual_seed(3)
        self.model = torch.nn.Sequential(
            torch.nn.Linear(4, 16),
            torch.nn.BatchNorm1d(16),
            torch.nn.Dropout(0.1),
            torch.nn.Linear(16, 1),
        )
        first, *_, last = self.model
        groups = [
            {"params": first.parameters(), "lr": 0.01},
            {"params": last.parameters(), "lr": 0.1},
        ]
        self.optimizer = optimizer(groups, **how)
        inputs = torch.randn(64, 4)
        data = torch.utils.data.TensorDataset(inputs, inputs.sum(1, keepdim=True))
        self.loader = torch.utils.data.DataLoader(
            data, batch_size=16, shuffle=True, generator=torch.Generator().manual_seed(5)
        )
        self.rates: list[list[float]] = []

    def loss(self, batch: Any) -> torch.Tensor:
        inputs, target = batch
        return torch.nn.functional.mse_loss(self.model(inputs), target)

    def train_step(self, batch: Any) -> torch.Tensor:
        self.optimizer.zero_grad()
        loss = self.loss(batch)
        loss.backward()  # type: ignore[no-untyped-call]
        self.rates.append(Field(self.optimizer, "lr").read())
        self.optimizer.step()
        return loss

    def warm(self) -> None:
        """Train a little, so that there are moments, gradients and statistics to lose."""
        for batch in self.loader:
            self.train_step(batch)
        self.rates.clear()

    def find(self, **how: Any) -> RangeTest:
        settings: dict[str, Any] = {"start": 1e-4, "end": 1.0, "steps": 30}
        return find_rate(self.train_step, self.optimizer, self.loader, **(settings | how))

    def everything(self) -> dict[str, Any]:
        """Return all there is, in a form that compares bit for bit."""
        numpy: Any = np.random.get_state(legacy=True)  # noqa: NPY002 - the state itself is compared
        grads = [parameter.grad for parameter in self.model.parameters()]
        return {
            "model": self.model.state_dict(),
            "grads": grads,
            "modes": [module.training for module in self.model.modules()],
            "optimizer": self.optimizer.state_dict(),
            "torch": torch.get_rng_state(),
            "order": self.loader.generator.get_state(),
            "python": random.getstate(),
            "numpy": numpy[1],
        }


def differences(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    return [name for name in one if not same(one[name], other[name])]


def same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return (
            isinstance(other, torch.Tensor) and one.dtype == other.dtype and torch.equal(one, other)
        )
    if isinstance(one, np.ndarray):
        return np.array_equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


OPTIMIZERS: list[tuple[Callable[..., torch.optim.Optimizer], dict[str, Any]]] = [
    (torch.optim.AdamW, {}),
    (torch.optim.AdamW, {"fused": True}),
    (torch.optim.SGD, {"momentum": 0.9}),
    (torch.optim.Adagrad, {}),
    (torch.optim.RMSprop, {"centered": True}),
]


@pytest.mark.parametrize(
    ("optimizer", "how"), OPTIMIZERS, ids=lambda value: str(getattr(value, "__name__", value))
)
@pytest.mark.parametrize("is_warm", [False, True])
def test_everything_is_left_as_it_was(optimizer: Any, how: dict[str, Any], is_warm: bool) -> None:
    setting = Setting(optimizer, **how)
    if is_warm:
        setting.warm()
    before = copy.deepcopy(setting.everything())
    weights = [parameter.data_ptr() for parameter in setting.model.parameters()]
    setting.find(repeats=2)
    assert differences(setting.everything(), before) == []
    assert [parameter.data_ptr() for parameter in setting.model.parameters()] == weights
    assert len(setting.rates) > 30


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_everything_is_left_as_it_was_when_the_test_is_broken_off(
    error: type[BaseException],
) -> None:
    setting = Setting()
    setting.warm()
    before = copy.deepcopy(setting.everything())

    def train_step(batch: Any) -> torch.Tensor:
        random.random()
        setting.model.eval()
        if len(setting.rates) == 17:
            raise error
        return setting.train_step(batch)

    with pytest.raises(error):
        find_rate(train_step, setting.optimizer, setting.loader, restore=[setting.model], steps=30)
    assert differences(setting.everything(), before) == []


def test_training_goes_on_after_the_test_as_if_it_had_never_been() -> None:
    ends = []
    for is_tested in (False, True):
        setting = Setting()
        setting.warm()
        if is_tested:
            setting.find(repeats=2)
        setting.warm()
        ends.append(setting.everything())
    assert differences(*ends) == []


def test_an_object_that_is_called_as_the_step_is_restored_with_what_it_has() -> None:
    class Step:
        def __init__(self, setting: Setting) -> None:
            self.model, self.train_step = setting.model, setting.train_step

        def __call__(self, batch: Any) -> torch.Tensor:
            return self.train_step(batch)

    setting = Setting()
    before = copy.deepcopy(setting.everything())
    find_rate(Step(setting), setting.optimizer, setting.loader, start=1e-4, end=1.0, steps=12)
    assert differences(setting.everything(), before) == []


def test_groups_keep_their_ratio_and_each_loss_stands_beside_the_rate_that_its_update_used() -> (
    None
):
    setting = Setting()
    found = setting.find()
    used = np.array(setting.rates)
    np.testing.assert_allclose(used[:, 1], found.values[: len(used)], rtol=1e-12)
    np.testing.assert_allclose(used[:, 0], 0.1 * used[:, 1], rtol=1e-12)
    np.testing.assert_allclose(found.values, np.geomspace(1e-4, 1.0, 30), rtol=1e-9)
    assert len(found.losses[0]) == len(used)
    assert found.base == 0.1


def test_a_linear_sweep_rises_by_equal_steps() -> None:
    found = Setting().find(shape="linear", start=0.0, end=0.29)
    np.testing.assert_allclose(found.values, np.arange(30) / 100, atol=1e-12)


def test_any_field_can_be_swept() -> None:
    setting = Setting(torch.optim.AdamW, weight_decay=0.1)
    found = setting.find(target="weight_decay", end=0.5)
    assert found.values[-1] == pytest.approx(0.5)
    assert {tuple(rates) for rates in setting.rates} == {(0.01, 0.1)}
    assert Field(setting.optimizer, "weight_decay").read() == [0.1, 0.1]
    assert len(Setting().find(target="betas[0]", start=0.5, end=0.99).losses[0]) == 30


@pytest.mark.parametrize(
    ("optimizer", "how", "target"),
    [
        (torch.optim.AdamW, {}, "betas[0]"),
        (torch.optim.AdamW, {}, "betas[1]"),
        (torch.optim.AdamW, {}, "momentum"),
        (torch.optim.SGD, {"momentum": 0.9}, "momentum"),
        (torch.optim.RMSprop, {}, "alpha"),
        (torch.optim.Adadelta, {}, "rho"),
    ],
)
def test_a_share_of_the_past_is_not_swept_to_one_or_beyond(
    optimizer: Any, how: dict[str, Any], target: str
) -> None:
    setting = Setting(optimizer, **how)
    before = copy.deepcopy(setting.everything())
    for end in (1.0, 10.0):
        with pytest.raises(
            ScheduleError,
            match=rf"target='{re.escape(target)}', end={end}\): .* below 1. End "
            rf"below it",
        ):
            setting.find(target=target, start=0.5, end=end)
    assert differences(setting.everything(), before) == []
    assert len(setting.find(target=target, start=0.5, end=0.99, stop_at=math.inf).losses[0]) == 30


def test_a_number_that_is_no_share_is_swept_beyond_one() -> None:
    for optimizer, target in (
        (torch.optim.ASGD, "alpha"),
        (torch.optim.AdamW, "eps"),
        (torch.optim.SGD, "weight_decay"),
    ):
        found = Setting(optimizer).find(target=target, start=0.5, end=2.0, stop_at=math.inf)
        assert found.values[-1] == pytest.approx(2.0)


def test_tensor_rates_stay_the_objects_they_are() -> None:
    setting = Setting(torch.optim.SGD)
    rate = torch.tensor(0.1)
    optimizer = torch.optim.AdamW(setting.model.parameters(), lr=rate)
    setting.optimizer = optimizer
    (current,) = Field(optimizer, "lr").raw_values()
    setting.find()
    assert Field(optimizer, "lr").raw_values()[0] is current
    assert float(current) == pytest.approx(0.1)


def test_accumulated_batches_make_one_point_with_their_mean_loss() -> None:
    setting = Setting()
    seen: list[float] = []

    def train_step(batch: Any) -> torch.Tensor:
        loss = setting.loss(batch)
        (loss / 2).backward()  # type: ignore[no-untyped-call]
        seen.append(float(loss.detach()))
        if len(seen) % 2 == 0:
            setting.optimizer.step()
            setting.optimizer.zero_grad()
        return loss

    found = find_rate(
        train_step,
        setting.optimizer,
        setting.loader,
        start=1e-4,
        end=1.0,
        steps=20,
        stop_at=math.inf,
    )
    assert len(seen) == 40
    np.testing.assert_allclose(found.losses[0], np.array(seen).reshape(-1, 2).mean(1), rtol=1e-6)


@pytest.mark.parametrize("fused", [False, True])
def test_an_update_that_a_scaler_skips_does_not_use_up_its_rate(fused: bool) -> None:
    setting = Setting(torch.optim.AdamW, fused=fused)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
    calls = 0

    def train_step(batch: Any) -> torch.Tensor:
        nonlocal calls
        calls += 1
        setting.optimizer.zero_grad()
        loss = setting.loss(batch)
        scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        if calls in (3, 4, 9):
            for parameter in setting.model.parameters():
                parameter.grad = torch.full_like(parameter, math.inf)
        scaler.step(setting.optimizer)
        scaler.update()
        return loss

    before = copy.deepcopy(scaler.state_dict())
    found = find_rate(
        train_step,
        setting.optimizer,
        setting.loader,
        steps=20,
        start=1e-4,
        end=0.1,
        restore=[setting.model, scaler],
    )
    assert (calls, len(found.losses[0])) == (23, 20)
    assert scaler.state_dict() == before


def test_a_sweep_that_diverges_is_ended_early_and_gives_the_reason() -> None:
    setting = Setting(torch.optim.SGD)
    found = setting.find(end=1e4, steps=60)
    assert len(found.losses[0]) < 60
    assert found.ended[0] in ("the loss diverged", "the loss was not finite")
    assert found.ended[0] in found.summary()


def test_a_step_that_makes_no_update_names_what_is_missing() -> None:
    setting = Setting()
    with pytest.raises(
        TrainingError,
        match=r"made no update of this optimizer\. Let train_step call "
        r"optimizer\.step\(\)",
    ):
        find_rate(lambda: setting.loss(next(iter(setting.loader))), setting.optimizer)


def test_a_step_that_makes_two_updates_is_refused() -> None:
    setting = Setting()

    def twice(batch: Any) -> torch.Tensor:
        setting.train_step(batch)
        return setting.train_step(batch)

    with pytest.raises(TrainingError, match="2 updates were made in one call"):
        find_rate(twice, setting.optimizer, setting.loader)


def test_another_writer_of_the_rate_is_named() -> None:
    setting = Setting()

    def train_step(batch: Any) -> torch.Tensor:
        Field(setting.optimizer, "lr").write([0.3, 0.3])
        return setting.train_step(batch)

    with pytest.raises(
        TrainingError,
        match=r"something else writes it\. Leave scheduler\.step\(\) "
        r"out",
    ):
        find_rate(train_step, setting.optimizer, setting.loader)


@pytest.mark.parametrize("auto", [False, True])
@pytest.mark.parametrize("is_stepped", [False, True])
def test_a_scheduler_of_the_optimizer_rests_meanwhile(auto: bool, is_stepped: bool) -> None:
    def scheduler_of(setting: Setting) -> wd.Scheduler:
        rule = wd.Scale(wd.Linear(start=0.1, end=1.0, steps=20))
        return wd.Scheduler(setting.optimizer, lr=rule, run=wd.Run(total_steps=20), auto=auto)

    def go_on(setting: Setting, scheduler: wd.Scheduler) -> list[Any]:
        for batch in islice(setting.loader, 5):
            setting.train_step(batch)
            if not auto:
                scheduler.step()
        return [scheduler.count, setting.optimizer.param_groups[0]["lr"]]

    plain, tested = Setting(), Setting()
    resting = scheduler_of(tested)

    def train_step(batch: Any) -> torch.Tensor:
        loss = tested.train_step(batch)
        if is_stepped:
            resting.step()
        return loss

    swept = find_rate(train_step, tested.optimizer, tested.loader, start=1e-4, end=1, steps=20)
    assert len(swept.losses[0]) == 20
    assert go_on(tested, resting) == go_on(plain, scheduler_of(plain))


@pytest.mark.parametrize(
    ("how", "error", "words"),
    [
        ({"start": 0.0}, ScheduleError, "rises from above 0"),
        ({"start": 2.0, "end": 1.0}, ScheduleError, "rises from above 0"),
        ({"steps": 3}, ScheduleError, "at least 10 updates"),
        ({"repeats": 0}, ScheduleError, "at least 1"),
        ({"smoothing": 0.9}, ScheduleError, "at most 0.5"),
        ({"stop_at": 1.0}, ScheduleError, "above 1"),
        ({"target": "momentun"}, BindingError, "momentun"),
        ({"per_device_batch_size": 3}, TrainingError, "for a trainer only"),
        ({"num_iter": 100}, TrainingError, "no such argument. It is steps here"),
        ({"stepz": 100}, TrainingError, "no such argument. Did you mean 'steps'"),
    ],
)
def test_what_makes_no_sweep_is_refused_before_anything_is_run(
    how: dict[str, Any], error: Any, words: str
) -> None:
    setting = Setting()
    with pytest.raises(error, match=words):
        setting.find(**how)
    assert setting.rates == []


def test_an_iterator_is_refused_because_it_can_not_be_put_back() -> None:
    setting = Setting()
    with pytest.raises(TrainingError, match="can not be put back"):
        find_rate(setting.train_step, setting.optimizer, iter(setting.loader))
    with pytest.raises(BindingError, match="give the optimizer"):
        find_rate(setting.train_step)


def test_repeats_differ_and_the_same_call_gives_the_same_result() -> None:
    one, other = Setting().find(repeats=3), Setting().find(repeats=3)
    assert one.to_dict() == other.to_dict()
    assert not np.array_equal(one.losses[0], one.losses[1])


def test_each_repeat_sees_other_batches_though_the_loader_has_a_generator_of_its_own() -> None:
    setting, seen = Setting(), []

    def train_step(batch: Any) -> torch.Tensor:
        seen.append(batch[0])
        return setting.train_step(batch)

    before = copy.deepcopy(setting.everything())
    find_rate(
        train_step,
        setting.optimizer,
        setting.loader,
        start=1e-4,
        end=1e-2,
        steps=12,
        repeats=2,
        restore=[setting.model],
    )
    assert len(seen) == 24
    assert not torch.equal(seen[0], seen[12])
    assert differences(setting.everything(), before) == []


def test_a_trainer_is_swept_by_its_own_loop_and_left_as_it_was() -> None:
    setting = Setting()
    trainer = Trainer(
        setting.model, torch.nn.functional.mse_loss, setting.optimizer, callbacks=(), seed=1
    )
    before, attributes = copy.deepcopy(setting.everything()), dict(vars(trainer))
    how: dict[str, Any] = {
        "per_device_batch_size": 8,
        "gradient_accumulation_steps": 2,
        "steps": 25,
        "end": 1.0,
    }
    found = find_rate(trainer, data=setting.loader.dataset, start=1e-4, repeats=2, **how)
    assert [len(losses) for losses in found.losses] == [25, 25]
    assert not np.array_equal(found.losses[0], found.losses[1])
    assert differences(setting.everything(), before) == []
    assert vars(trainer) == attributes


def test_the_pictures_show_the_suggestions(tmp_path: Path) -> None:
    found = Setting().find(repeats=2, steps=60)
    assert "learning rate" in found.terminal()
    assert "steepest" in found.terminal()
    for ending, begins in ((".png", b"\x89PNG"), (".html", b"<!doctype html>"), (".svg", b"<?xml")):
        assert found.save(tmp_path / f"test{ending}").read_bytes().startswith(begins)
    page = (tmp_path / "test.html").read_text()
    assert "valley" in page
    assert "<script" not in page
    assert "http" not in page.replace("http://www.w3.org", "").replace(
        "http://purl.org", ""
    ).replace("http://creativecommons.org", "")
    assert json.loads(found.save(tmp_path / "test.json").read_text())["target"] == "lr"
    with pytest.raises(ScheduleError, match="not a kind of picture"):
        found.save(tmp_path / "test.gif")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "test.html",
        "test.json",
        "test.png",
        "test.svg",
    ]


def test_the_command_prints_a_picture_or_json(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    how = [
        "--task",
        "digits",
        "--steps",
        "20",
        "--repeats",
        "1",
        "--out",
        str(tmp_path / "found.html"),
    ]
    result = CliRunner().invoke(command, how)
    assert result.exit_code == 0, result.output
    assert "slide" in result.stdout
    assert (tmp_path / "found.html").exists()
    printed = json.loads(
        CliRunner().invoke(command, ["--steps", "12", "--repeats", "1", "--json"]).stdout
    )
    assert len(printed["values"]) == 12
    assert {one["rule"] for one in printed["suggestions"]} == {
        "steepest",
        "valley",
        "minimum/10",
        "slide",
    }


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def test_batches_in_a_list_are_data_and_what_has_no_state_is_named() -> None:
    setting, begun = Setting(), []
    batches = [torch.randn(8, 4) for _ in range(5)]

    def step(batch: torch.Tensor) -> torch.Tensor:
        begun.append(batch is batches[0])
        setting.optimizer.zero_grad()
        loss: torch.Tensor = setting.model(batch).square().mean()
        loss.backward()  # type: ignore[no-untyped-call]
        setting.optimizer.step()
        return loss

    async def cell() -> RangeTest:  # as in a notebook, where a loop runs
        return find_rate(step, setting.optimizer, batches, steps=12)

    assert asyncio.run(cell()).values.size == 12
    assert begun[0]
    with pytest.raises(TrainingError, match=r"restore=.*no state_dict"):
        find_rate(step, setting.optimizer, batches, steps=12, restore=[object()])


def test_the_table_keeps_its_columns_where_a_rule_has_no_suggestion() -> None:
    found = Setting().find()
    (name, first), *_ = found.suggestions.items()
    nothing = replace(first, value=None, low=None, high=None, reason="no clear fall")
    rows = replace(found, suggestions={**found.suggestions, name: nothing}).summary().splitlines()
    head, *others = rows[1:]
    for row in others:
        assert row[head.index("why") - 2 : head.index("why")] == "  "
    assert others[0].split() == [name, "none", "no", "clear", "fall"]
    assert others[0].index("no clear fall") == head.index("why")
