"""Rates, base rates, positions and arguments set by hand: the next step is the original's."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from tests.compat.loops import rates
from tests.compat.parity import OURS, TORCH
from tests.compat.torch_names import momentum, steps

ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "StepLR": (3, 0.5),
    "MultiStepLR": ([2, 4, 4, 9], 0.5),
    "ConstantLR": (0.5, 4),
    "LinearLR": (0.25, 1.0, 8),
    "ExponentialLR": (0.9,),
    "PolynomialLR": (30, 2.0),
    "CosineAnnealingLR": (30, 0.01),
    "CosineAnnealingWarmRestarts": (4, 2),
    "CyclicLR": (0.1, 0.4, 2, 3),
    "OneCycleLR": (0.5, 40),
    "SWALR": (0.05, 5),
    "LambdaLR": (lambda step: 0.9**step,),
    "MultiplicativeLR": (lambda step: 0.9,),
}
every = pytest.mark.parametrize("name", ARGUMENTS)


def both(name: str, *arguments: Any) -> list[Any]:
    """Return ours and the original of one name."""
    given = arguments or ARGUMENTS[name]
    return [getattr(names, name)(momentum(), *given) for names in (OURS, TORCH)]


def asked(scheduler: Any) -> list[float]:
    """Return what ``get_lr()`` says outside of a step."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the original advises get_last_lr
        return [float(rate) for rate in scheduler.get_lr()]


def after(scheduler: Any, count: int, edit: Callable[[Any], object]) -> list[list[float]]:
    """Return the rates of an edited scheduler from so many steps on, and what it says of them."""
    steps(scheduler, count)
    edit(scheduler)
    return [asked(scheduler), *steps(scheduler, 14), scheduler.get_last_lr()]


def same(pair: list[list[list[float]]]) -> bool:
    """Tell whether two runs have the same values."""
    return pair[0] == [pytest.approx(row, rel=1e-9, abs=1e-15) for row in pair[1]]


def double(scheduler: Any) -> None:
    """Double rates and base rates, as a warmup does that hands over to another scheduler."""
    scheduler.base_lrs = [2 * rate for rate in scheduler.base_lrs]
    for group in scheduler.optimizer.param_groups:
        group["lr"] *= 2


def set_one(scheduler: Any) -> None:
    """Set one group's rate alone."""
    scheduler.optimizer.param_groups[1]["lr"] = 0.7


def set_bases(scheduler: Any) -> None:
    """Set the base rates alone."""
    scheduler.base_lrs = [0.2, 0.7]


@every
@pytest.mark.parametrize("edit", [double, set_one, set_bases])
@pytest.mark.parametrize("count", [0, 1, 4])
def test_rates_set_by_hand_are_followed_in_the_same_update(
    name: str, edit: Callable[[Any], object], count: int
) -> None:
    assert same([after(scheduler, count, edit) for scheduler in both(name)])


@pytest.mark.parametrize("position", [-1, 2, 5])
@pytest.mark.parametrize(
    "name", [name for name in ARGUMENTS if name not in ("CosineAnnealingWarmRestarts", "SWALR")]
)
def test_a_position_set_by_hand_is_where_the_next_step_begins(name: str, position: int) -> None:
    is_older = not hasattr(TORCH.LRScheduler, "_is_initial")
    if (name, position, is_older) == ("MultiplicativeLR", -1, True):
        pytest.skip("an older torch leaves out this step's factor")

    def edit(scheduler: Any) -> None:
        scheduler.last_epoch = position

    # what is said before the step is the rate of this step: the original multiplies it again
    assert same([after(scheduler, 4, edit)[1:] for scheduler in both(name)])


@pytest.mark.parametrize(
    ("name", "argument", "value"),
    [
        ("StepLR", "step_size", 2),
        ("StepLR", "gamma", 0.1),
        ("MultiStepLR", "milestones", Counter([3, 8])),
        ("ConstantLR", "total_iters", 7),
        ("LinearLR", "end_factor", 0.9),
        ("ExponentialLR", "gamma", 0.5),
        ("PolynomialLR", "power", 1.0),
        ("CosineAnnealingLR", "T_max", 40),
        ("CosineAnnealingLR", "eta_min", 0.05),
        ("CosineAnnealingWarmRestarts", "T_0", 3),
        ("CosineAnnealingWarmRestarts", "T_mult", 3),
        ("CosineAnnealingWarmRestarts", "T_cur", 1),
        ("CosineAnnealingWarmRestarts", "T_i", 7),
        ("CyclicLR", "max_lrs", [0.5, 0.6]),
        ("CyclicLR", "total_size", 8.0),
        ("CyclicLR", "step_ratio", 0.25),
        ("LambdaLR", "lr_lambdas", [lambda step: 0.8**step] * 2),
        ("MultiplicativeLR", "lr_lambdas", [lambda step: 0.8, lambda step: 0.7]),
        ("SWALR", "anneal_epochs", 8),
    ],
)
@pytest.mark.parametrize("count", [0, 2, 5])
def test_an_argument_set_by_hand_bends_the_curve_as_the_originals(
    name: str, argument: str, value: Any, count: int
) -> None:
    def edit(scheduler: Any) -> None:
        setattr(scheduler, argument, value)

    assert same([after(scheduler, count, edit) for scheduler in both(name)])


@pytest.mark.parametrize("name", ["ExponentialLR", "LinearLR", "OneCycleLR", "CosineAnnealingLR"])
def test_one_that_sets_torchs_mark_and_writes_itself_is_given_torchs_rates_and_saves_no_edit(
    name: str,
) -> None:
    seen = []
    for scheduler in both(name):
        rows = steps(scheduler, 3)
        for _ in range(3):  # as ignite's LRScheduler does
            scheduler.last_epoch += 1
            scheduler._get_lr_called_within_step = True
            rows.append([float(rate) for rate in scheduler.get_lr()])
            scheduler._get_lr_called_within_step = False
            for group, rate in zip(scheduler.optimizer.param_groups, rows[-1], strict=True):
                group["lr"] = rate
        assert "_edited_lr" not in scheduler.state_dict()
        seen.append(rows)
    assert same(seen)


@pytest.mark.parametrize("name", ["LambdaLR", "MultiplicativeLR"])
def test_one_function_replaced_in_its_list_is_followed(name: str) -> None:
    def edit(scheduler: Any) -> None:
        scheduler.lr_lambdas[1] = lambda step: 0.7

    assert same([after(scheduler, 5, edit)[1:] for scheduler in both(name)])


@pytest.mark.parametrize("factor", [1.0, 2.0])
@every
def test_a_warmup_that_asks_the_next_scheduler_for_its_rates_goes_on_at_them(
    name: str, factor: float
) -> None:
    def warmed(names: Any) -> Any:
        class Warmup(names._LRScheduler):  # type: ignore[misc]
            def __init__(self, optimizer: Any, after: Any) -> None:
                self.after, self.is_over = after, False
                super().__init__(optimizer)

            def get_lr(self) -> list[float]:
                if self.last_epoch <= 3:
                    rise = 1 + (factor - 1) * self.last_epoch / 3
                    return [base * rise for base in self.base_lrs]
                if not self.is_over:
                    self.after.base_lrs = [base * factor for base in self.base_lrs]
                    self.is_over = True
                return asked(self.after)

            def step(self, epoch: int | None = None) -> None:
                if not self.is_over:
                    super().step(epoch)
                    return
                self.after.step(epoch)
                self._last_lr = self.after.get_last_lr()

        optimizer = momentum()
        return Warmup(optimizer, getattr(names, name)(optimizer, *ARGUMENTS[name]))

    pair = [warmed(names) for names in (OURS, TORCH)]
    assert same([[*steps(one, 12), one.get_last_lr(), rates(one.optimizer)] for one in pair])


def test_a_cycle_set_by_hand_is_saved_and_left_by_a_number() -> None:
    pair = both("CosineAnnealingWarmRestarts")
    for scheduler in pair:
        steps(scheduler, 3)
        scheduler.T_cur = 1
        steps(scheduler, 1)
    resumed = both("CosineAnnealingWarmRestarts")
    for old, new in zip(pair, resumed, strict=True):
        new.load_state_dict(old.state_dict())
        new.optimizer.load_state_dict(old.optimizer.state_dict())
    runs = [steps(scheduler, 6) for scheduler in (*pair, *resumed)]
    assert [same([run, runs[0]]) for run in runs[1:]] == [True] * 3
    pair[0].step(5)
    assert (pair[0].T_cur, pair[0].T_i) == (1, 8)


def test_composed_names_take_base_rates_as_the_original_does() -> None:
    optimizer = momentum()
    chain = OURS.ChainedScheduler([OURS.StepLR(optimizer, 3)])
    chain.base_lrs = [0.5, 0.6]
    assert chain.base_lrs == [0.5, 0.6]


OTHERS: dict[str, tuple[Any, Any]] = {
    "exponential": (
        lambda opt: OURS.ExponentialLR(opt, 0.9),
        lambda opt: OURS.ExponentialLR(opt, 0.5),
    ),
    "cosine at its end": (
        lambda opt: OURS.CosineAnnealingLR(opt, 5, 0.01),
        lambda opt: OURS.CosineAnnealingLR(opt, 20, 0.02),
    ),
    "restarts": (
        lambda opt: OURS.CosineAnnealingWarmRestarts(opt, 4),
        lambda opt: OURS.CosineAnnealingWarmRestarts(opt, 10),
    ),
    "one cycle": (
        lambda opt: OURS.OneCycleLR(opt, 0.5, 10),
        lambda opt: OURS.OneCycleLR(opt, 0.5, 20),
    ),
    "the momentum alone": (
        lambda opt: OURS.OneCycleLR(opt, 0.5, 10),
        lambda opt: OURS.OneCycleLR(opt, 0.5, 10, base_momentum=0.7),
    ),
    "a function": (
        lambda opt: OURS.LambdaLR(opt, lambda step: 0.9**step),
        lambda opt: OURS.LambdaLR(opt, lambda step: 0.8**step),
    ),
    "a part": (
        lambda opt: OURS.SequentialLR(
            opt, [OURS.LinearLR(opt, 0.2, 1.0, 3), OURS.CosineAnnealingLR(opt, 5)], [3]
        ),
        lambda opt: OURS.SequentialLR(
            opt, [OURS.LinearLR(opt, 0.2, 1.0, 3), OURS.CosineAnnealingLR(opt, 20)], [3]
        ),
    ),
    "a milestone": (
        lambda opt: OURS.SequentialLR(
            opt, [OURS.LinearLR(opt, 0.2, 1.0, 3), OURS.ExponentialLR(opt, 0.5)], [3]
        ),
        lambda opt: OURS.SequentialLR(
            opt, [OURS.LinearLR(opt, 0.2, 1.0, 3), OURS.ExponentialLR(opt, 0.5)], [6]
        ),
    ),
    "a chain": (
        lambda opt: OURS.ChainedScheduler(
            [OURS.ConstantLR(opt, 0.5, 9), OURS.ExponentialLR(opt, 0.9)]
        ),
        lambda opt: OURS.ChainedScheduler(
            [OURS.ConstantLR(opt, 0.25, 9), OURS.ExponentialLR(opt, 0.8)]
        ),
    ),
}
"""What was saved, and what goes on from it with other arguments."""


def used(scheduler: Any, count: int) -> list[list[float]]:
    """Return rates and momenta before each of so many steps."""
    seen = []
    for _ in range(count):
        momenta = [float(group["momentum"]) for group in scheduler.optimizer.param_groups]
        seen.append([*rates(scheduler.optimizer), *momenta])
        scheduler.optimizer.step()
        scheduler.step()
    return seen


@pytest.mark.filterwarnings("ignore:.*it goes on with:UserWarning")
@pytest.mark.parametrize("first", ["optimizer", "scheduler", "the scheduler alone"])
@pytest.mark.parametrize("case", OTHERS)
def test_other_arguments_on_resume_hold_from_the_very_next_update(case: str, first: str) -> None:
    saved, given = (make(momentum()) for make in OTHERS[case])
    expected = used(given, 12)[5:]
    used(saved, 5)
    resumed = OTHERS[case][1](momentum())
    if first == "optimizer":
        resumed.optimizer.load_state_dict(saved.optimizer.state_dict())
    resumed.load_state_dict(saved.state_dict())
    if first == "scheduler":
        resumed.optimizer.load_state_dict(saved.optimizer.state_dict())
    assert used(resumed, 7) == [pytest.approx(row, rel=1e-9, abs=1e-12) for row in expected]


@pytest.mark.filterwarnings("ignore:.*it goes on with:UserWarning")
def test_a_rate_of_its_own_that_was_set_before_the_state_is_loaded_is_left() -> None:
    saved, resumed = OURS.ExponentialLR(momentum(), 0.9), OURS.ExponentialLR(momentum(), 0.5)
    used(saved, 3)
    for group in resumed.optimizer.param_groups:
        group["lr"] = 0.7
    resumed.load_state_dict(saved.state_dict())
    assert used(resumed, 2) == [[0.7, 0.7, 0.9, 0.9], [0.35, 0.35, 0.9, 0.9]]
