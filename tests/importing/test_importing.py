"""Another library's scheduler becomes a plan with its numbers, bug for bug or corrected."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.compat.loops import rates, sgd
from tests.compat.timm_parts import timm_scheduler
from tests.lazily import Lazily
from torch.optim import lr_scheduler as torchs
from torch.optim.swa_utils import SWALR

import warmdown as wd
from warmdown.cli.main import main
from warmdown.compat import lr_scheduler as names
from warmdown.compat import schedulers as ours
from warmdown.errors import ScheduleError
from warmdown.importing import differences, from_settings, from_torch
from warmdown.planfile import plan_from_dict

theirs: Any = Lazily("pytorch_accelerated.schedulers")
transformers: Any = Lazily("transformers.optimization")

quiet = partial(from_torch, report=None)
MODES: tuple[Any, ...] = ("faithful", "corrected")
few = settings(max_examples=15)  # each walks a scheduler of another library


def used(scheduler: Any, updates: int, field: str = "lr") -> np.ndarray[Any, Any]:
    """Return what each update of a plain loop uses, one column a group."""
    optimizer, rows = scheduler.optimizer, []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for update in range(updates):
            rows.append([float(group[field]) for group in optimizer.param_groups])
            optimizer.step()
            if hasattr(scheduler, "t_in_epochs"):
                scheduler.step(update + 1)
                scheduler.step_update(update + 1)
            else:
                scheduler.step()
    return np.array(rows)


def planned(
    plan: wd.Plan, updates: int, bases: list[float], target: str = "lr"
) -> np.ndarray[Any, Any]:
    """Return what the plan gives each update, one column a group."""
    columns = []
    for index, base in enumerate(bases):
        mine = [t for t in plan.targets if t.name == target and t.groups in ("*", str(index))]
        columns.append(np.asarray(mine[0].rule.value(np.arange(updates), base)) * np.ones(updates))
    return np.array(columns).T


def assert_same(scheduler: Any, updates: int, bases: list[float], **told: Any) -> wd.Plan:
    """Check a plan against the original, update for update, through its text and back."""
    plan = quiet(scheduler, **told)
    again = plan_from_dict(plan.to_dict()) if not told.pop("code", False) else plan
    np.testing.assert_allclose(
        planned(plan, updates, bases), used(scheduler, updates), rtol=1e-8, atol=1e-10
    )
    assert again == plan
    return plan


bases = st.lists(st.floats(0.1, 10.0), min_size=1, max_size=3)
lengths = st.integers(1, 40)
shares = st.floats(0.05, 1.0)
TORCH: dict[str, tuple[Any, st.SearchStrategy[dict[str, Any]]]] = {
    "StepLR": (torchs.StepLR, st.fixed_dictionaries({"step_size": lengths, "gamma": shares})),
    "MultiStepLR": (
        torchs.MultiStepLR,
        st.fixed_dictionaries(
            {"milestones": st.lists(lengths, max_size=4).map(sorted), "gamma": shares}
        ),
    ),
    "ConstantLR": (
        torchs.ConstantLR,
        st.fixed_dictionaries({"factor": shares, "total_iters": lengths}),
    ),
    "LinearLR": (
        torchs.LinearLR,
        st.fixed_dictionaries(
            {"start_factor": shares, "end_factor": shares, "total_iters": lengths}
        ),
    ),
    "ExponentialLR": (torchs.ExponentialLR, st.fixed_dictionaries({"gamma": shares})),
    "PolynomialLR": (
        torchs.PolynomialLR,
        st.fixed_dictionaries({"total_iters": lengths, "power": st.floats(0.5, 3.0)}),
    ),
    "CosineAnnealingLR": (
        torchs.CosineAnnealingLR,
        st.fixed_dictionaries({"T_max": lengths, "eta_min": st.floats(0.0, 0.05)}),
    ),
    "CosineAnnealingWarmRestarts": (
        torchs.CosineAnnealingWarmRestarts,
        st.fixed_dictionaries(
            {"T_0": lengths, "T_mult": st.integers(1, 3), "eta_min": st.floats(0.0, 0.05)}
        ),
    ),
    "SWALR": (
        SWALR,
        st.fixed_dictionaries(
            {
                "swa_lr": st.floats(0.01, 0.5),
                "anneal_epochs": lengths,
                "anneal_strategy": st.sampled_from(["cos", "linear"]),
            }
        ),
    ),
    "CyclicLR": (
        torchs.CyclicLR,
        st.fixed_dictionaries(
            {
                "base_lr": st.floats(0.01, 0.1),
                "max_lr": st.floats(0.2, 1.0),
                "step_size_up": lengths,
                "step_size_down": st.none() | lengths,
                "mode": st.sampled_from(["triangular", "triangular2", "exp_range"]),
                "gamma": st.floats(0.9, 1.0),
            }
        ),
    ),
}


@pytest.mark.parametrize("name", TORCH)
@few
@given(data=st.data(), groups=bases)
def test_a_scheduler_of_torch_becomes_its_numbers(
    name: str, data: st.DataObject, groups: list[float]
) -> None:
    kind, arguments = TORCH[name]
    assert_same(kind(sgd(*groups, momentum=0.9), **data.draw(arguments)), 100, groups)


@few
@given(
    total=st.integers(4, 120),
    share=st.floats(0.3, 0.45),
    shape=st.sampled_from(["cos", "linear"]),
    three=st.booleans(),
    peaks=st.lists(st.floats(0.1, 1.0), min_size=1, max_size=3),
)
def test_one_cycle_becomes_its_numbers_with_the_step_past_the_end(
    total: int, share: float, shape: str, three: bool, peaks: list[float]
) -> None:
    optimizer = sgd(*peaks, momentum=0.9)
    arguments: dict[str, Any] = {"pct_start": share, "anneal_strategy": shape, "three_phase": three}
    scheduler = torchs.OneCycleLR(optimizer, max_lr=peaks, total_steps=total, **arguments)
    plan = quiet(scheduler)
    momentum = planned(plan, total + 1, peaks, "momentum")
    twin = torchs.OneCycleLR(
        sgd(*peaks, momentum=0.9), max_lr=peaks, total_steps=total, **arguments
    )
    rows = [*used(scheduler, total).tolist(), rates(optimizer)]
    np.testing.assert_allclose(planned(plan, total + 1, peaks), rows, rtol=1e-7, atol=1e-10)
    np.testing.assert_allclose(momentum[:total], used(twin, total, "momentum"), rtol=1e-7)


@pytest.mark.parametrize(("up", "down"), [(1, 48), (27, 71)])
def test_cycles_whose_length_torch_keeps_as_a_rounded_quotient_are_read(up: int, down: int) -> None:
    scheduler = torchs.CyclicLR(sgd(0.1), 0.1, 1.0, step_size_up=up, step_size_down=down)
    assert quiet(scheduler).targets[0].rule == wd.Set(
        wd.Triangle(low=0.1, high=1.0, up=up, down=down).repeat()
    )


def test_the_momentum_of_cycles_is_driven_too() -> None:
    scheduler = torchs.CyclicLR(
        sgd(0.1, momentum=0.9), 0.1, 1.0, step_size_up=4, mode="triangular2"
    )
    plan = quiet(scheduler)
    np.testing.assert_allclose(
        planned(plan, 30, [0.1], "momentum"), used(scheduler, 30, "momentum"), rtol=1e-9
    )


def test_adams_first_beta_is_the_momentum() -> None:
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.ones(1))], lr=0.1)
    plan = quiet(torchs.OneCycleLR(optimizer, max_lr=0.1, total_steps=10))
    assert {target.name for target in plan.targets} == {"lr", "momentum"}
    assert planned(plan, 1, [0.1], "momentum")[0, 0] == 0.95


@few
@given(first=lengths, seams=st.lists(st.integers(1, 30), min_size=1, max_size=2), groups=bases)
def test_schedulers_in_turn_become_their_numbers(
    first: int, seams: list[int], groups: list[float]
) -> None:
    optimizer = sgd(*groups)
    parts = [
        torchs.LinearLR(optimizer, start_factor=0.1, total_iters=first),
        torchs.CosineAnnealingLR(optimizer, T_max=20, eta_min=0.01),
        torchs.ExponentialLR(optimizer, gamma=0.9),
    ]
    marks = list(np.cumsum(seams))
    scheduler = torchs.SequentialLR(
        optimizer, parts[: len(marks) + 1], milestones=[int(mark) for mark in marks]
    )
    assert_same(scheduler, marks[-1] + 20, groups)


@few
@given(groups=bases, gamma=shares, power=st.floats(0.5, 2.0))
def test_schedulers_at_once_become_their_numbers(
    groups: list[float], gamma: float, power: float
) -> None:
    optimizer = sgd(*groups)
    parts = [
        torchs.StepLR(optimizer, 7, gamma),
        torchs.ConstantLR(optimizer, 0.5, 5),
        torchs.PolynomialLR(optimizer, 30, power),
    ]
    assert_same(torchs.ChainedScheduler(parts, optimizer), 40, groups)


def test_a_function_is_told_as_a_table_for_as_long_as_the_run() -> None:
    scheduler = torchs.LambdaLR(
        sgd(1.0, 0.1), [lambda step: 0.9**step, lambda step: 1 / (1 + step)]
    )
    assert_same(scheduler, 31, [1.0, 0.1], total_steps=30)
    with pytest.raises(ScheduleError, match="Give total_steps"):
        quiet(torchs.LambdaLR(sgd(1.0), lambda step: 0.9**step))


def test_products_of_functions_are_told_as_a_table() -> None:
    assert_same(
        torchs.MultiplicativeLR(sgd(1.0, 0.1), lambda step: 0.95), 31, [1.0, 0.1], total_steps=30
    )


def test_a_schedule_of_ours_inside_a_lambda_comes_back_itself() -> None:
    cosine = wd.Cosine(steps=10)
    plan = quiet(torchs.LambdaLR(sgd(1.0), cosine))
    assert plan.targets[0].rule == wd.Scale(cosine)


def test_a_table_that_nobody_could_read_is_refused_with_the_way_out() -> None:
    with pytest.raises(ScheduleError, match="Give a smaller total_steps"):
        quiet(torchs.LambdaLR(sgd(1.0), lambda step: 1 / (1 + step)), total_steps=20_000)


class Halving(torchs.LRScheduler):
    """A class of one's own."""

    def get_lr(self) -> list[float]:  # type: ignore[override]
        return [base / 2 ** (self.last_epoch // 5) for base in self.base_lrs]


def test_a_class_of_ones_own_is_walked_from_its_beginning() -> None:
    scheduler = Halving(sgd(1.0, 0.1))
    plan = assert_same(scheduler, 31, [1.0, 0.1], total_steps=30)
    assert (
        plan.targets[0].rule == quiet(scheduler, total_steps=30).targets[0].rule
    )  # though it was stepped


@pytest.mark.parametrize("stepped", [0, 7])
@pytest.mark.parametrize(
    "make",
    [
        lambda o: torchs.CosineAnnealingLR(o, 20, eta_min=0.1),
        lambda o: torchs.OneCycleLR(o, 1.0, total_steps=30),
        lambda o: torchs.SequentialLR(
            o,
            [torchs.LinearLR(o, 0.1, total_iters=5), torchs.CosineAnnealingLR(o, 20)],
            milestones=[5],
        ),
    ],
)
def test_a_scheduler_under_way_is_read_whole_and_left_alone(
    make: Callable[[Any], Any], stepped: int
) -> None:
    fresh, live = make(sgd(1.0, momentum=0.9)), make(sgd(1.0, momentum=0.9))
    used(live, stepped)
    before = (live.last_epoch, rates(live.optimizer), repr(live.state_dict()))
    assert quiet(live) == quiet(fresh)
    assert (live.last_epoch, rates(live.optimizer), repr(live.state_dict())) == before


# -- transformers, timm, pytorch-accelerated

TRANSFORMERS: dict[str, dict[str, Any]] = {
    "linear": {},
    "cosine": {},
    "cosine_with_restarts": {"num_cycles": 3},
    "polynomial": {"power": 2.0, "lr_end": 0.05},
    "constant": {},
    "constant_with_warmup": {},
    "inverse_sqrt": {},
    "cosine_with_min_lr": {"min_lr_rate": 0.1},
    "cosine_warmup_with_min_lr": {"min_lr": 0.1},
    "warmup_stable_decay": {"num_decay_steps": 10, "decay_type": "1-sqrt", "min_lr_ratio": 0.1},
}


@pytest.mark.parametrize("name", TRANSFORMERS)
@few
@given(warmup=st.integers(0, 12), decay=st.integers(11, 50), groups=bases)
def test_a_schedule_of_transformers_becomes_its_numbers_past_its_end_too(
    name: str, warmup: int, decay: int, groups: list[float]
) -> None:
    optimizer = sgd(*groups)
    optimizer.defaults["lr"] = groups[0]
    scheduler = transformers.get_scheduler(
        name, optimizer, warmup, warmup + decay, TRANSFORMERS[name]
    )
    assert_same(scheduler, warmup + 2 * decay, groups, total_steps=warmup + 2 * decay)


def test_a_group_that_transformers_leaves_too_high_is_told() -> None:
    optimizer = torch.optim.SGD(
        [{"params": [torch.nn.Parameter(torch.ones(1))], "lr": 0.01}], lr=1.0
    )
    scheduler = transformers.get_scheduler("polynomial", optimizer, 0, 10, {"lr_end": 0.005})
    (difference,) = [d for d in differences(scheduler) if d.last >= 10]
    assert difference.reason.startswith(
        "transformers divides lr_end by the optimizer's default rate"
    )
    assert planned(quiet(scheduler, mode="corrected"), 11, [0.01])[10] == pytest.approx([0.005])


TIMM: dict[str, dict[str, Any]] = {
    "cosine": {"k_decay": 1.5, "cycle_limit": 2, "cycle_decay": 0.5},
    "tanh": {},
    "step": {"decay_epochs": 7},
    "multistep": {"decay_milestones": [10, 20]},
    "poly": {"decay_rate": 2.0},
    "wsd": {"decay_fn": "power"},
    "rsqrt": {"stable_timescale": 5},
    "constant": {},
}


@pytest.mark.parametrize("name", TIMM)
@pytest.mark.parametrize("prefix", [True, False])
@pytest.mark.parametrize("in_epochs", [True, False])
def test_a_scheduler_of_timm_becomes_its_numbers(name: str, prefix: bool, in_epochs: bool) -> None:
    scheduler, total = timm_scheduler().create_scheduler_v2(
        sgd(1.0, 0.1), sched=name, num_epochs=30, warmup_epochs=4, warmup_lr=0.01,
        min_lr=0.001, warmup_prefix=prefix,
        step_on_epochs=in_epochs, updates_per_epoch=1, **TIMM[name],
    )  # fmt: skip
    assert_same(scheduler, total + 5, [1.0, 0.1])


def test_timms_noise_comes_along_as_data_and_layer_scales_with_the_groups() -> None:
    scheduler, _ = timm_scheduler().create_scheduler_v2(sgd(1.0), num_epochs=30, noise=0.5)
    assert_same(scheduler, 31, [1.0], total_steps=30)
    optimizer = sgd(1.0, 1.0)
    for group, scale in zip(optimizer.param_groups, (1.0, 0.5), strict=True):
        group["lr_scale"] = scale
    scheduler, _ = timm_scheduler().create_scheduler_v2(optimizer, num_epochs=30, min_lr=0.01)
    plan, expected = quiet(scheduler), used(scheduler, 31)[1:]
    np.testing.assert_allclose(planned(plan, 31, [1.0, 1.0])[1:] * [1.0, 0.5], expected, rtol=1e-9)
    optimizer = sgd(1.0, 1.0)
    optimizer.param_groups[1]["lr_scale"] = 0.5
    bound = wd.Scheduler(optimizer, plan)
    for index in (0, 1):
        values = np.array([bound.value(step, group=index) for step in range(1, 31)])
        np.testing.assert_allclose(values, expected[:, index], rtol=1e-9)


accelerated = st.fixed_dictionaries(
    {
        "total_num_epochs": st.integers(4, 8),
        "num_update_steps_per_epoch": st.integers(2, 10),
        "num_warmup_epochs": st.integers(0, 2),
        "num_cooldown_epochs": st.integers(0, 2),
        "min_lr_ratio": st.none() | st.floats(0.01, 0.5),
        "warmup_starting_lr_ratio": st.none() | st.floats(0.01, 0.5),
    }
)


@few
@given(arguments=accelerated, groups=bases)
def test_the_accelerated_cosine_becomes_its_numbers_bug_for_bug(
    arguments: Any, groups: list[float]
) -> None:
    assert_same(theirs.CosineLrScheduler(sgd(*groups), **arguments), 100, groups)


@few
@given(
    total=st.integers(40, 120),
    warmup=st.integers(0, 8),
    sqrt=st.booleans(),
    checkpoints=st.integers(1, 3),
    groups=bases,
)
def test_the_accelerated_wsd_becomes_its_numbers_bug_for_bug(
    total: int, warmup: int, sqrt: bool, checkpoints: int, groups: list[float]
) -> None:
    scheduler = theirs.WSDLrScheduler(
        sgd(*groups), total_steps=total, num_warmup_steps=warmup, decay_phase_ratio=0.3, lr_min=0.1,
        use_inverse_sqrt_decay=sqrt, num_checkpoints=checkpoints,
    )  # fmt: skip
    assert_same(scheduler, total + 10, groups)


def test_corrected_the_accelerated_schedulers_are_as_documented_from_the_first_update_on() -> None:
    cosine = theirs.CosineLrScheduler(sgd(1.0), 10, 10, num_warmup_epochs=2, min_lr_ratio=0.1)
    right = ours.CosineLrScheduler(sgd(1.0), 10, 10, num_warmup_epochs=2, min_lr_ratio=0.1)
    values = planned(quiet(cosine, mode="corrected"), 110, [1.0])
    assert values.tolist() == pytest.approx(
        np.array([right.get_updated_values(step) for step in range(110)])
    )


@pytest.mark.parametrize(
    "make",
    [
        lambda o: ours.CosineLrScheduler(o, 5, 10, num_warmup_epochs=1),
        lambda o: ours.WSDLrScheduler(o, total_steps=50, num_warmup_steps=5, num_checkpoints=2),
    ],
)
def test_our_own_drop_ins_become_their_numbers(make: Callable[[Any], Any]) -> None:
    assert_same(make(sgd(1.0, 0.1)), 60, [1.0, 0.1])


@pytest.mark.parametrize("three_phase", [False, True])
def test_our_own_one_cycle_becomes_its_numbers_with_the_momentum(three_phase: bool) -> None:
    bases = [0.1, 0.2]

    def make() -> Any:
        optimizer = sgd(*bases, momentum=0.9)
        return names.OneCycleLR(optimizer, bases, total_steps=20, three_phase=three_phase)

    plan = assert_same(make(), 20, bases)
    momenta = planned(plan, 20, bases, "momentum")
    np.testing.assert_allclose(momenta, used(make(), 20, "momentum"))


# -- what it is given, what it says


def test_a_configuration_a_factory_and_a_class_are_as_good_as_a_live_one() -> None:
    live = quiet(torchs.StepLR(sgd(1.0), step_size=3, gamma=0.5))
    config = {
        "class_path": "torch.optim.lr_scheduler.StepLR",
        "init_args": {"step_size": 3, "gamma": 0.5},
    }
    assert quiet(config) == live
    assert quiet(partial(torchs.StepLR, step_size=3, gamma=0.5)) == live
    assert quiet(lambda optimizer: torchs.StepLR(optimizer, 3, 0.5)) == live


def test_a_configuration_may_hold_others() -> None:
    config = {
        "class_path": "torch.optim.lr_scheduler.SequentialLR",
        "init_args": {
            "schedulers": [
                {
                    "class_path": "torch.optim.lr_scheduler.LinearLR",
                    "init_args": {"total_iters": 4},
                },
                {
                    "class_path": "torch.optim.lr_scheduler.CosineAnnealingLR",
                    "init_args": {"T_max": 6},
                },
            ],
            "milestones": [4],
        },
    }
    assert planned(quiet(config, mode="corrected"), 11, [1.0])[[0, 4, 10], 0] == pytest.approx(
        [1 / 3, 1.0, 0.0]
    )


def test_the_learning_rate_of_a_configuration_is_the_base() -> None:
    path = "pytorch_accelerated.schedulers.CosineLrScheduler"
    config = {
        "class_path": path,
        "init_args": {"total_num_epochs": 1, "num_update_steps_per_epoch": 10},
    }
    assert planned(quiet(config, lr=0.5), 1, [0.5])[0] == pytest.approx([0.5])


@pytest.mark.parametrize(
    ("given_", "says"),
    [
        (42, "not a scheduler with an optimizer"),
        ({"init_args": {}}, "a class_path and init_args"),
        ({"class_path": "os.system"}, "not imported"),
        ({"class_path": "torch.optim.lr_scheduler.StepLR"}, "needs 'step_size'"),
        (
            {"class_path": "torch.optim.lr_scheduler.StepLR", "init_args": {"step_siz": 3}},
            "Did you mean 'step_size'",
        ),
        (
            {"class_path": "torch.optim.lr_scheduler.LinearLR", "init_args": {"start_factor": 7}},
            "Correct its arguments",
        ),
    ],
)
def test_what_is_no_scheduler_is_refused_with_the_way_out(given_: Any, says: str) -> None:
    with pytest.raises(ScheduleError, match=says):
        quiet(given_)


@pytest.mark.parametrize(
    "make",
    [
        lambda optimizer: torchs.LinearLR(optimizer, total_iters=0),
        lambda optimizer: torchs.LinearLR(optimizer, total_iters=2.5),  # type: ignore[arg-type]
        lambda optimizer: torchs.MultiStepLR(optimizer, [0, 3], gamma=0.5),
        lambda optimizer: torchs.CosineAnnealingLR(optimizer, 2.5),  # type: ignore[arg-type]
        lambda optimizer: torchs.CyclicLR(
            optimizer, 0.1, 1.0, 2.5, 2.5, cycle_momentum=False  # type: ignore[arg-type]
        ),
        lambda optimizer: torchs.CyclicLR(
            optimizer, 0.1, 1.0, 2, scale_fn=lambda x: 1 / (1 + x), cycle_momentum=False
        ),
        lambda optimizer: torchs.OneCycleLR(
            optimizer, 1.0, 20, pct_start=0.6, three_phase=True, cycle_momentum=False
        ),
        lambda optimizer: torchs.SequentialLR(
            optimizer, [torchs.ConstantLR(optimizer), torchs.ExponentialLR(optimizer, 0.9),
                        torchs.ExponentialLR(optimizer, 0.5)], [5, 3]
        ),
        lambda optimizer: Late(optimizer),
    ],
    ids=["no length", "half a step", "milestone 0", "half a wave", "half a rise",
         "a scale of one's own", "phases that cross", "milestones that fall", "by its number"],
)  # fmt: skip
def test_arguments_that_no_curve_has_are_walked_for_as_long_as_the_run(make: Any) -> None:
    assert_same(make(sgd(1.0, 0.3)), 20, [1.0, 0.3], total_steps=20)


def test_what_can_only_be_walked_asks_for_the_end_of_the_run() -> None:
    with pytest.raises(ScheduleError, match=r"2\.5 steps: it can only be walked\. Give total_"):
        quiet(torchs.CosineAnnealingLR(sgd(1.0), 2.5))  # type: ignore[arg-type]


def test_an_averaging_with_an_anneal_of_ones_own_is_walked() -> None:
    scheduler = SWALR(sgd(1.0), swa_lr=0.1, anneal_epochs=4)
    scheduler.anneal_func = abs
    assert_same(scheduler, 9, [1.0], total_steps=9)


class Late:
    """A scheduler of somebody's that takes the step and has no ``step_update``."""

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self.optimizer = optimizer
        self.bases = [group["lr"] for group in optimizer.param_groups]
        self.made = 0
        optimizer.register_step_post_hook(lambda *_: None)

    def step(self, epoch: int | None = None) -> None:
        self.made += 1
        for base, group in zip(self.bases, self.optimizer.param_groups, strict=True):
            group["lr"] = base / (1 + self.made)

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """It has none."""


class Uncopied(torchs.StepLR):
    def __deepcopy__(self, memo: object) -> None:
        raise TypeError("a socket")


class Asking(Late):
    def step(self, loss: float, weight: float) -> None:  # type: ignore[override]
        """Only a run has these."""


def test_what_only_the_run_has_is_told_with_what_can_be_given() -> None:
    with pytest.raises(ScheduleError, match=r"cannot be copied: a socket\. Give its class and arg"):
        quiet(Uncopied(sgd(1.0), 3))
    with pytest.raises(ScheduleError, match=r"^Asking: its step needs loss, weight, which only"):
        quiet(Asking(sgd(1.0)), total_steps=5)
    with pytest.raises(ScheduleError, match="1000000000 steps are too many to walk"):
        quiet(Late(sgd(1.0)), total_steps=10**9)
    stepped = Late(sgd(1.0))
    stepped.last_epoch = 3  # type: ignore[attr-defined]
    with pytest.raises(ScheduleError, match=r"Late has been stepped, .*Make it afresh"):
        quiet(stepped, total_steps=9)


def test_torch_s_arguments_that_make_no_schedule_are_told_as_its_class_s() -> None:
    with pytest.raises(ScheduleError, match=r"from_torch\(CosineAnnealingLR\): its arguments make"):
        quiet(torchs.CosineAnnealingLR(sgd(1.0), [3]))  # type: ignore[arg-type]
    with pytest.raises(ScheduleError, match=r"from_torch\(ReduceLROnPlateau\): .*patience=-1"):
        quiet(torchs.ReduceLROnPlateau(sgd(1.0), patience=-1))


def test_a_difference_that_all_groups_share_is_told_once() -> None:
    lines: list[str] = []
    from_torch(
        torchs.CosineAnnealingLR(sgd(1.0, 2.0), 5, eta_min=0.1), total_steps=9, report=lines.append
    )
    assert len(lines) == 1
    assert lines[0].startswith("lr, updates 6 to 9: 0.914058 where 0.1 is meant (at 9): torch's co")


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(ScheduleError, match="use one of faithful, corrected"):
        quiet(torchs.StepLR(sgd(1.0), 3), mode="exact")  # type: ignore[arg-type]


def test_where_the_two_part_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    from_torch(torchs.CosineAnnealingLR(sgd(0.1), T_max=10))
    assert capsys.readouterr().out == (
        "lr, updates 11 to 20: 0.1 where 0 is meant (at 20): torch's cosine climbs back after "
        "T_max.\n"
    )
    from_torch(torchs.StepLR(sgd(0.1), 3))
    assert capsys.readouterr().out == ""


def test_every_known_fault_is_found_and_told() -> None:
    faults = {
        "climbs back": torchs.CosineAnnealingLR(sgd(1.0), 10),
        "raises at the next": torchs.OneCycleLR(sgd(1.0, momentum=0.9), 1.0, total_steps=20),
        "early as its warmup": theirs.CosineLrScheduler(sgd(1.0), 5, 10, num_warmup_epochs=1),
        "not where it documents": theirs.WSDLrScheduler(
            sgd(1.0), total_steps=100, num_checkpoints=2
        ),
        "cosine climbs back": transformers.get_scheduler("cosine", sgd(1.0), 2, 12),
    }
    for fault, scheduler in faults.items():
        assert any(fault in str(difference) for difference in differences(scheduler)), fault


def test_a_scheduler_under_way_says_where_to_seek() -> None:
    said: list[str] = []
    scheduler = torchs.StepLR(sgd(0.1), 3)
    used(scheduler, 7)
    from_torch(scheduler, report=said.append)
    assert said == ["StepLR: it stands at update 7. Go there with scheduler.seek(7)."]


def test_a_plan_of_ours_comes_back() -> None:
    scheduler = wd.Scheduler(sgd(0.1), lr=wd.Cosine(steps=10))
    assert quiet(scheduler) == scheduler.plan


def test_the_plan_drives_an_optimizer_as_the_original_does() -> None:
    original = torchs.OneCycleLR(sgd(0.1, 0.2, momentum=0.9), [0.1, 0.2], total_steps=20)
    optimizer = sgd(0.1, 0.2, momentum=0.9)
    scheduler = wd.Scheduler(optimizer, quiet(original))
    np.testing.assert_allclose(used(scheduler, 20), used(original, 20), rtol=1e-9)


# -- settings of other trainers, and the shell


def test_transformers_arguments_become_the_schedule_they_name() -> None:
    settings = {
        "lr_scheduler_type": "linear",
        "warmup_ratio": 0.1,
        "max_steps": 100,
        "learning_rate": 0.5,
    }
    values = planned(from_settings(settings, report=None), 101, [1.0])[:, 0]
    assert values[[0, 5, 10, 55, 100]] == pytest.approx([0.0, 0.5, 1.0, 0.5, 0.0])


def test_onetrainers_settings_become_the_schedule_they_name() -> None:
    settings = {
        "learning_rate_scheduler": "REX",
        "learning_rate_warmup_steps": 10,
        "learning_rate_min_factor": 0.1,
    }
    values = planned(from_settings(settings, total_steps=100, report=None), 101, [1.0])[:, 0]
    assert values[[0, 10, 100]] == pytest.approx([0.0, 1.0, 0.1])


def custom(name: str, warmup: float = 0, **parameters: str) -> dict[str, Any]:
    """Return OneTrainer's settings of a class by its path, as its window saves them."""
    return {
        "learning_rate_scheduler": "CUSTOM",
        "custom_learning_rate_scheduler": name,
        "scheduler_params": [
            {"key": key, "value": value} for key, value in {**parameters, "": ""}.items()
        ],
        "learning_rate": 0.1,
        "learning_rate_warmup_steps": warmup,
        "epochs": 10,
    }


TORCHS = "torch.optim.lr_scheduler."
CUSTOM: list[tuple[dict[str, Any], Callable[[Any], Any]]] = [
    (
        custom(TORCHS + "MultiStepLR", milestones="[5, 10, 15]", gamma=".5"),
        lambda opt: torchs.MultiStepLR(opt, [5, 10, 15], 0.5),
    ),
    (
        custom(TORCHS + "MultiStepLR", 4, milestones="[5, 10, 15]", gamma=".5"),
        lambda opt: warmed(opt, torchs.MultiStepLR(opt, [5, 10, 15], 0.5), 4),
    ),
    (
        custom(
            TORCHS + "OneCycleLR",
            max_lr="%LR%",
            total_steps="%TOTAL_STEPS%",
            anneal_strategy="'linear'",
        ),
        lambda opt: torchs.OneCycleLR(opt, 0.1, 40, anneal_strategy="linear"),
    ),
    (
        custom(TORCHS + "OneCycleLR", 0.1, max_lr="%LR% * 2", total_steps="%SCHEDULER_STEPS%"),
        lambda opt: warmed(opt, torchs.OneCycleLR(opt, 0.2, 36), 4),
    ),
    (
        custom(TORCHS + "StepLR", step_size="%STEPS_PER_EPOCH%", gamma="1 / %EPOCHS%"),
        lambda opt: torchs.StepLR(opt, 4, 0.1),
    ),
]


def warmed(optimizer: Any, scheduler: Any, updates: int) -> Any:
    """Return a scheduler behind the warmup that OneTrainer puts before it."""
    rise = torchs.LambdaLR(optimizer, lambda step: step / updates if step < updates else 1.0)
    return torchs.SequentialLR(optimizer, [rise, scheduler], [updates])


@pytest.mark.parametrize(("settings", "original"), CUSTOM)
def test_a_class_of_onetrainers_window_becomes_its_numbers(
    settings: dict[str, Any], original: Callable[[Any], Any]
) -> None:
    plan = from_settings(settings, total_steps=40, report=None)
    fresh = sgd(0.1, momentum=0.9)
    expected = used(original(sgd(0.1, momentum=0.9)), 40)
    np.testing.assert_allclose(used(wd.Scheduler(fresh, plan), 40), expected, rtol=1e-9)


def test_onetrainers_lengths_count_updates_where_they_can_be_told_so() -> None:
    said: list[str] = []
    told = {
        **custom(TORCHS + "StepLR", step_size="%STEPS_PER_EPOCH%"),
        "gradient_accumulation_steps": 2,
    }
    steps = {
        mode: from_settings(told, mode=mode, total_steps=40, report=said.append) for mode in MODES
    }
    found = [getattr(steps[mode].targets[0].rule, "of", None) for mode in MODES]
    assert found == [wd.Staircase(gamma=0.1, every=8), wd.Staircase(gamma=0.1, every=4)]
    assert "counts micro-batches" in said[0]
    plan = from_settings(
        {
            "learning_rate_scheduler": "LINEAR",
            "learning_rate_warmup_steps": 20,
            "gradient_accumulation_steps": 2,
        },
        total_steps=40,
    )
    assert planned(plan, 11, [1.0])[:, 0][[5, 10]] == pytest.approx([0.5, 1.0])


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (custom("StepLR", step_size="3"), r"as <module>\.<class>"),
        (custom("os.system", command="'ls'"), "not imported"),
        (custom(TORCHS + "StepLR", step_siz="3"), "Did you mean 'step_size'"),
        (
            custom(TORCHS + "StepLR", step_size="open('x')"),
            r"step_size=\"open\('x'\)\"\): a number, a list, a placeholder",
        ),
        (custom(TORCHS + "StepLR", step_size="%STEPS%"), r"scheduler_params\(step_size\)"),
        (
            {**custom(TORCHS + "StepLR"), "scheduler_params": [3]},
            "a list of {key: …, value: …} is needed",
        ),
    ],
)
def test_a_class_of_onetrainers_window_that_is_none_is_refused(
    settings: dict[str, Any], says: str
) -> None:
    with pytest.raises(ScheduleError, match=says):
        from_settings(settings, total_steps=40, report=None)


def test_a_one_cycle_among_others_keeps_its_own_rates_on_another_optimizer() -> None:
    def make(optimizer: Any) -> Any:
        return warmed(optimizer, torchs.OneCycleLR(optimizer, 0.2, 36), 4)

    expected = used(make(sgd(0.1, momentum=0.9)), 40)
    plan = quiet(make(sgd(0.1, momentum=0.9)), total_steps=40)
    np.testing.assert_allclose(
        used(wd.Scheduler(sgd(0.1, momentum=0.9), plan), 40), expected, rtol=1e-9
    )


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"optimizer": "adam"}, "is no scheduler"),
        ({"learning_rate_scheduler": "REX"}, "Give --total-steps"),
        ({"lr_scheduler_type": "cosine", "max_steps": -1}, "Give --total-steps"),
    ],
)
def test_settings_that_tell_too_little_are_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ScheduleError, match=says):
        from_settings(settings, report=None)


def test_the_command_writes_a_plan_and_says_where_the_original_parts(tmp_path: Path) -> None:
    out = tmp_path / "plan.yaml"
    arguments = [
        "import",
        "torch.optim.lr_scheduler.CosineAnnealingLR",
        "-p",
        "T_max=10",
        "--mode",
        "corrected",
    ]
    shell = CliRunner().invoke(main, [*arguments, "--out", str(out)])
    assert shell.exit_code == 0, shell.output
    assert "climbs back" in shell.stderr
    assert wd.load(out).targets[0].rule == wd.Scale(wd.Cosine(steps=10))


def test_the_command_takes_a_class_of_ones_own_when_it_is_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ours_alone.py").write_text(
        "from torch.optim.lr_scheduler import LRScheduler\n"
        "class Halved(LRScheduler):\n"
        "    def get_lr(self):\n"
        "        return [base * 0.5**self.last_epoch for base in self.base_lrs]\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    file = tmp_path / "config.yaml"
    file.write_text(
        "learning_rate_scheduler: CUSTOM\ncustom_learning_rate_scheduler: ours_alone.Halved\n"
    )
    arguments = ["import", str(file), "--total-steps", "2"]
    assert "--allow ours_alone.Halved" in CliRunner().invoke(main, arguments).stderr
    shell = CliRunner().invoke(main, [*arguments, "--allow", "ours_alone"])
    assert planned(wd.loads(shell.stdout), 3, [1.0])[:, 0].tolist() == [1.0, 0.5, 0.25]


def test_the_command_reads_a_file(tmp_path: Path) -> None:
    file = tmp_path / "scheduler.yaml"
    file.write_text(
        "class_path: torch.optim.lr_scheduler.StepLR\ninit_args: {step_size: 3, gamma: 0.5}\n"
    )
    shell = CliRunner().invoke(main, ["import", str(file)])
    assert wd.loads(shell.stdout).targets[0].rule == wd.Scale(wd.Staircase(gamma=0.5, every=3))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["torch.optim.lr_scheduler.StepLR", "-p", "step_siz=3"], "Did you mean 'step_size'"),
        (["torch.optim.lr_scheduler.StepLR", "-p", "step_size"], "a name and a value are needed"),
        (["os.system"], "not imported"),
        (["nowhere.yaml"], "nowhere.yaml: cannot be read"),
        (["torch.optim.lr_scheduler.StepLR", "-p", "step_size=3", "--lr", "-1"], "not negative"),
        (["torch.optim.lr_scheduler.StepLR", "-p", "step_size=3", "--lr", "nan"], "not negative"),
    ],
)
def test_a_mistake_in_the_shell_ends_with_the_way_out_and_code_2(
    arguments: list[str], says: str
) -> None:
    shell = CliRunner().invoke(main, ["import", *arguments])
    assert shell.exit_code == 2
    assert says in shell.stderr
