"""torch's names in the situations of a training run: resumed, edited, nested, copied, compiled."""

from __future__ import annotations

import copy
import io
import math
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from tests.compat.loops import goes_at_once, rates, sgd
from tests.compat.torch_names import ARGUMENTS, EACH, Made, momentum, steps, torchs, wlr

from warmdown.compat.lr_scheduler import CosineAnnealingLR, _LRScheduler
from warmdown.errors import WarmdownError

every = pytest.mark.parametrize("make", EACH.values(), ids=EACH)


@every
def test_a_saved_state_goes_on_bit_for_bit(make: Made) -> None:
    unbroken = steps(make(momentum()), 12)
    first = make(momentum())
    steps(first, 5)
    file = io.BytesIO()
    torch.save({"optimizer": first.optimizer.state_dict(), "scheduler": first.state_dict()}, file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    resumed = make(momentum())
    resumed.optimizer.load_state_dict(saved["optimizer"])
    resumed.load_state_dict(saved["scheduler"])
    if isinstance(
        resumed, torchs.ChainedScheduler
    ):  # its parts go on from what is held, by their factors
        assert steps(resumed, 7) == [pytest.approx(row, rel=1e-14) for row in unbroken[5:]]
    else:
        assert steps(resumed, 7) == unbroken[5:]


@every
def test_a_state_alone_sets_the_rates_of_an_optimizer_that_was_not_restored(make: Made) -> None:
    unbroken = steps(make(momentum()), 12)
    first = make(momentum())
    steps(first, 5)
    resumed = make(momentum())
    resumed.load_state_dict(first.state_dict())
    assert steps(resumed, 7) == [pytest.approx(row, rel=1e-12) for row in unbroken[5:]]


@every
def test_a_deep_copy_goes_on_alone(make: Made) -> None:
    scheduler = make(momentum())
    steps(scheduler, 4)
    twin = copy.deepcopy(scheduler)
    assert twin.optimizer is not scheduler.optimizer
    assert steps(twin, 5) == steps(scheduler, 5)


@every
def test_a_scheduler_can_be_pickled(make: Made) -> None:
    scheduler = make(momentum())
    steps(scheduler, 4)
    twin = pickle.loads(pickle.dumps(scheduler))
    assert steps(twin, 5) == steps(scheduler, 5)


@every
def test_a_scheduler_goes_when_it_is_let_go(make: Made) -> None:
    scheduler = make(momentum())
    steps(scheduler, 6)
    optimizer = scheduler.optimizer
    with goes_at_once(scheduler):
        del scheduler
    assert "step" not in vars(optimizer)


@every
def test_rates_that_are_tensors_stay_the_objects_they_are(make: Made) -> None:
    expected = steps(make(momentum(0.1)), 8)
    held = torch.tensor(0.1, dtype=torch.float64)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(2))], lr=held, momentum=0.9)
    assert steps(make(optimizer), 8) == [pytest.approx(row, rel=1e-12) for row in expected]
    assert optimizer.param_groups[0]["lr"] is held


@pytest.mark.parametrize("name", ["step", "multi", "linear", "exponential", "polynomial", "swa"])
def test_a_rate_edited_by_hand_is_carried_on_as_torch_does(name: str) -> None:
    ours = EACH[name](momentum())
    kind = type(ours).__name__
    original: Any = torch.optim.swa_utils.SWALR if kind == "SWALR" else getattr(torchs, kind)
    reference = original(momentum(), *ARGUMENTS[name])
    seen: list[list[list[float]]] = []
    for scheduler in (ours, reference):
        before = steps(scheduler, 4)
        scheduler.optimizer.param_groups[1]["lr"] *= 0.5
        seen.append(before + steps(scheduler, 6))
    assert seen[0] == [pytest.approx(row, rel=1e-12) for row in seen[1]]


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("rate", [0.1, torch.tensor(0.1)], ids=["float", "tensor"])
def test_rates_are_computed_ahead_and_not_again_at_each_step(
    groups: int, rate: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    at = CosineAnnealingLR._at

    def counted(self: CosineAnnealingLR, steps: Any) -> Any:
        asked.append(len(steps))
        return at(self, steps)

    monkeypatch.setattr(CosineAnnealingLR, "_at", counted)
    parts = [{"params": [torch.nn.Parameter(torch.zeros(1))]} for _ in range(groups)]
    optimizer = torch.optim.SGD(parts, lr=rate)
    scheduler = CosineAnnealingLR(optimizer, 100)
    steps(scheduler, 3)
    asked.clear()
    steps(scheduler, 20)
    assert len(asked) <= 2


def test_chainable_schedulers_on_one_optimizer_multiply() -> None:
    optimizer = momentum(1.0)
    exponential, step = wlr.ExponentialLR(optimizer, 0.9), wlr.StepLR(optimizer, 3, 0.5)
    for count in range(1, 10):
        optimizer.step()
        exponential.step()
        step.step()
        assert rates(optimizer) == [pytest.approx(0.9**count * 0.5 ** (count // 3), rel=1e-12)]


def test_the_cosine_stays_at_its_minimum_after_its_end() -> None:
    scheduler = wlr.CosineAnnealingLR(momentum(0.1), T_max=4, eta_min=0.01)
    assert steps(scheduler, 9)[4:] == [[0.01]] * 5


def test_one_cycle_holds_its_last_rate_past_its_end_and_never_raises() -> None:
    scheduler = wlr.OneCycleLR(momentum(0.1), max_lr=0.1, total_steps=5)
    assert steps(scheduler, 9)[4:] == [[pytest.approx(4e-7)]] * 5


@pytest.mark.parametrize(
    "name", ["step", "multi", "exponential", "cosine", "polynomial", "linear", "restarts"]
)
def test_last_epoch_gives_the_rate_of_that_step_restored_or_not(name: str) -> None:
    unbroken = steps(EACH[name](momentum(0.1)), 9)
    for held in (0.1, unbroken[5][0]):
        optimizer = momentum(held)
        optimizer.param_groups[0]["initial_lr"] = 0.1
        resumed = type(EACH[name](momentum()))(optimizer, *ARGUMENTS[name], last_epoch=4)
        assert steps(resumed, 4) == [pytest.approx(row, rel=1e-12) for row in unbroken[5:]]


def test_a_state_does_not_bring_the_old_horizon_back_and_says_so() -> None:
    old = wlr.CosineAnnealingLR(momentum(1.0), T_max=10)
    steps(old, 5)
    longer = wlr.CosineAnnealingLR(momentum(1.0), T_max=20)
    with pytest.warns(UserWarning, match=r"T_max=20, not the saved 10"):
        longer.load_state_dict(old.state_dict())
    longer.optimizer.step()
    longer.step()
    assert rates(longer.optimizer) == [pytest.approx((1 + math.cos(math.pi * 6 / 20)) / 2)]
    longer.optimizer.load_state_dict(old.optimizer.state_dict())  # later, and for itself
    assert rates(longer.optimizer) == rates(old.optimizer)


@pytest.mark.parametrize("at", range(9))
def test_a_sequence_resumes_by_number_alone(at: int) -> None:
    unbroken = steps(EACH["sequence"](momentum()), 12)
    optimizer = momentum()
    parts = [wlr.LinearLR(optimizer, 0.5, 1.0, 3), wlr.CosineAnnealingLR(optimizer, 6)]
    resumed = wlr.SequentialLR(optimizer, parts, [3], last_epoch=at - 1)
    assert steps(resumed, 3) == [pytest.approx(row, rel=1e-12) for row in unbroken[at : at + 3]]


def test_a_sequence_whose_first_milestone_is_nought_begins_with_the_second() -> None:
    optimizer = momentum(1.0)
    parts = [wlr.ConstantLR(optimizer, 0.1, 9), wlr.ExponentialLR(optimizer, 0.5)]
    assert steps(wlr.SequentialLR(optimizer, parts, [0]), 3) == [[1.0], [0.5], [0.25]]


def test_averaging_moves_from_the_rate_that_the_part_before_it_left() -> None:
    seen = []
    for names in (torchs, wlr):
        optimizer = momentum(1.0)
        swa = torch.optim.swa_utils.SWALR if names is torchs else wlr.SWALR
        parts = [names.ExponentialLR(optimizer, 0.5), swa(optimizer, 0.01, 2, "linear")]
        seen.append([row[0] for row in steps(names.SequentialLR(optimizer, parts, [4]), 8)])
    assert seen[1] == pytest.approx(seen[0])
    assert seen[1][3:] == pytest.approx([0.125, 0.125, 0.0675, 0.01, 0.01])


def test_sequences_and_chains_nest_in_any_place() -> None:
    optimizer = momentum(1.0)
    chain = wlr.ChainedScheduler(
        [wlr.ConstantLR(optimizer, 0.5, 9), wlr.ExponentialLR(optimizer, 0.5)]
    )
    inner = wlr.SequentialLR(
        optimizer, [wlr.ConstantLR(optimizer, 0.1, 9), wlr.ExponentialLR(optimizer, 0.5)], [1]
    )
    outer = wlr.SequentialLR(optimizer, [chain, inner], [2])
    seen = [row[0] for row in steps(outer, 6)]
    assert seen == pytest.approx([0.5, 0.25, 0.1, 1.0, 0.5, 0.25])


def test_a_plateau_takes_over_after_a_warmup() -> None:
    optimizer = momentum(1.0)
    warmup, plateau = (
        wlr.LinearLR(optimizer, 0.5, 1.0, 2),
        wlr.ReduceLROnPlateau(optimizer, factor=0.5, patience=0),
    )
    scheduler = wlr.SequentialLR(optimizer, [warmup, plateau], [2])
    seen = []
    for loss in (9.0, 9.0, 5.0, 5.0, 5.0):
        seen.append(rates(optimizer)[0])
        optimizer.step()
        scheduler.step(loss)
    assert seen == pytest.approx([0.5, 0.75, 1.0, 1.0, 0.5])


@pytest.mark.parametrize("mode", ["min", "max"])
def test_a_plateau_falls_where_torch_falls(mode: Any) -> None:
    metrics = [1.0, 0.9, 0.95, 0.94, 0.93, 0.92, 0.91, 0.5, 0.6, 0.6, 0.6, 0.6, 0.6]
    pair = [
        kind.ReduceLROnPlateau(momentum(), mode, 0.5, 2, cooldown=1, min_lr=[0.03, 0.01])
        for kind in (wlr, torchs)
    ]
    for metric in metrics:
        for scheduler in pair:
            scheduler.step(metric)
        assert rates(pair[0].optimizer) == rates(pair[1].optimizer)
        assert pair[0].num_bad_epochs == pair[1].num_bad_epochs


def test_a_plateaus_patience_survives_a_state_and_so_does_its_rate() -> None:
    saved = wlr.ReduceLROnPlateau(momentum(), factor=0.5, patience=2)
    unbroken = wlr.ReduceLROnPlateau(momentum(), factor=0.5, patience=2)
    for metric in (1.0, 1.0, 1.0, 1.0, 1.0):
        saved.step(metric)
        unbroken.step(metric)
    resumed = wlr.ReduceLROnPlateau(momentum(), factor=0.5, patience=2)
    resumed.load_state_dict(saved.state_dict())
    for metric in (1.0, 1.0, 1.0):
        assert rates(resumed.optimizer) == resumed.get_last_lr() == rates(unbroken.optimizer)
        resumed.step(metric)
        unbroken.step(metric)
    assert rates(resumed.optimizer) == [0.025, 0.075]


def test_a_plateau_takes_in_a_group_that_joined_and_says_when_it_cannot() -> None:
    lenient, strict = (
        wlr.ReduceLROnPlateau(momentum(), patience=0, min_lr=low) for low in (0.0, [0.0, 0.0])
    )
    for scheduler in (lenient, strict):
        scheduler.optimizer.add_param_group(
            {"params": [torch.nn.Parameter(torch.ones(1))], "lr": 0.5}
        )
        scheduler.step(1.0)
    lenient.step(1.0)
    assert rates(lenient.optimizer) == pytest.approx([0.01, 0.03, 0.05])
    with pytest.raises(RuntimeError, match="3 groups"):
        strict.step(1.0)


def test_a_metric_that_is_no_number_does_not_lower_the_rate() -> None:
    scheduler = wlr.ReduceLROnPlateau(momentum(1.0), patience=0)
    for metric in (1.0, math.nan, math.nan):
        scheduler.step(metric)
    assert rates(scheduler.optimizer) == [1.0]


class Warmed(_LRScheduler):
    """A scheduler as people write it: it overrides get_lr, and keeps what it was given."""

    def __init__(self, optimizer: Any, warmup: int, total: int, last_epoch: int = -1) -> None:
        self.warmup, self.total = warmup, total
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Any]:
        if self.last_epoch < self.warmup:
            return [base * self.last_epoch / self.warmup for base in self.base_lrs]
        return [
            base * (self.total - self.last_epoch) / (self.total - self.warmup)
            for base in self.base_lrs
        ]


def test_a_class_that_overrides_get_lr_works_unchanged() -> None:
    scheduler = Warmed(momentum(1.0), warmup=2, total=6)
    assert [row[0] for row in steps(scheduler, 6)] == [0.0, 0.5, 1.0, 0.75, 0.5, 0.25]
    assert scheduler.state_dict()["warmup"] == 2


def test_a_loop_in_the_wrong_order_is_told_and_a_right_one_never_is() -> None:
    wrong, right, drawing = (wlr.StepLR(momentum(), 3) for _ in range(3))
    steps(right, 5)
    for _ in range(5):
        drawing.step()
    wrong.step()
    with pytest.warns(UserWarning, match="before the first optimizer.step"):
        wrong.optimizer.step()
    wrong.step()


def test_an_update_that_a_scaler_skipped_is_no_wrong_order() -> None:
    scheduler = wlr.StepLR(momentum(1.0), 3)
    for group in scheduler.optimizer.param_groups:
        group["params"][0].grad = torch.ones(2)
    scheduler.step()
    scheduler.optimizer.step()
    scheduler.step()


@pytest.mark.parametrize(
    ("error", "make"),
    [
        (TypeError, lambda: wlr.StepLR("sgd", 3)),
        (KeyError, lambda: wlr.StepLR(sgd(), 3, last_epoch=4)),
        (ValueError, lambda: wlr.ConstantLR(sgd(), factor=2.0)),
        (ValueError, lambda: wlr.LinearLR(sgd(), start_factor=0.0)),
        (ValueError, lambda: wlr.LambdaLR(sgd(1.0, 2.0), [lambda step: 1.0])),
        (TypeError, lambda: wlr.MultiplicativeLR(sgd(), 0.5)),
        (ValueError, lambda: wlr.OneCycleLR(sgd(), 0.1)),
        (ValueError, lambda: wlr.OneCycleLR(sgd(), 0.1, 10, pct_start=1.5)),
        (ValueError, lambda: wlr.CyclicLR(sgd(), 0.1, 0.2, mode="round")),
        (ValueError, lambda: wlr.CosineAnnealingWarmRestarts(sgd(), 0)),
        (ValueError, lambda: wlr.ReduceLROnPlateau(sgd(), factor=1.0)),
        (ValueError, lambda: wlr.SequentialLR(sgd(), [], [])),
        (ValueError, lambda: wlr.SWALR(sgd(), 0.1, anneal_strategy="square")),
    ],
)
def test_a_mistake_raises_what_torch_raises(
    error: type[Exception], make: Callable[[], object]
) -> None:
    with pytest.raises(error):
        make()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: wlr.StepLR(sgd(), 3, last_epoch=4), "^StepLR.*has no 'initial_lr'"),
        (lambda: wlr.StepLR(sgd(), -3), r"step_size=-3\): a length is not negative"),
        (lambda: wlr.LinearLR(sgd(), end_factor=1.5), r"end_factor=1\.5\): a factor from 0 to 1"),
        (lambda: wlr.OneCycleLR(momentum(), 0.1, 9, anneal_strategy="square"), "'cos' or 'linear'"),
        (lambda: wlr.OneCycleLR(momentum(), 0.1, 9, div_factor=0), "neither can be 0"),
        (lambda: wlr.CyclicLR(adagrad(), 0.1, 0.2), r"Adagrad has neither.*cycle_momentum=False"),
        (lambda: restarts(eta_min="0"), r"eta_min='0'\): a number"),
        (lambda: restarts().step(-1), r"step\(-1\): a step from 0 on"),
        (lambda: wlr.ChainedScheduler([]), "at least one scheduler"),
        (lambda: wlr.ChainedScheduler([sgd]), r"\[0\] is a function without an optimizer"),
        (lambda: in_sequence([2, 1], sgd()), r"milestones=\[2, 1\]\): 3 schedulers need 2"),
        (lambda: in_sequence([1], sgd()), r"milestones=\[1\]\): 3 schedulers need 2"),
        (lambda: in_sequence([1, 2], sgd(), sgd()), r"schedulers\[0\] is of another optimizer"),
        (lambda: wlr.LRScheduler(sgd()), "override it to give the rates"),
        (lambda: OneRate(sgd(0.1, 0.2)), "OneRate: 1 rates for 2 parameter groups"),
        (lambda: loaded(EACH["step"](sgd()), {"last_epoch": 3}), "no base_lrs in it"),
        (lambda: loaded(EACH["step"](sgd()), EACH["step"](momentum()).state_dict()),
         "it is of 2 parameter groups, the optimizer has 1"),
        (lambda: loaded(EACH["sequence"](sgd()), {**EACH["sequence"](sgd()).state_dict(),
                                                  "_schedulers": []}),
         "it is of 0 schedulers, here are 2"),
        (lambda: past(EACH["sequence"](sgd())), "last_epoch=7"),
    ],
)  # fmt: skip
def test_a_mistake_names_the_argument_and_the_way_out(
    make: Callable[[], object], words: str
) -> None:
    with pytest.raises((WarmdownError, NotImplementedError), match=words):
        make()


class OneRate(_LRScheduler):
    """A scheduler that forgets that there are several groups."""

    def get_lr(self) -> list[Any]:
        return [1.0]


def adagrad() -> torch.optim.Optimizer:
    return torch.optim.Adagrad([torch.nn.Parameter(torch.ones(1))])


def restarts(**arguments: Any) -> Any:
    return wlr.CosineAnnealingWarmRestarts(sgd(), 4, **arguments)


def in_sequence(milestones: list[int], optimizer: Any, other: Any = None) -> Any:
    parts = [wlr.ConstantLR(other or optimizer) for _ in range(3)]
    return wlr.SequentialLR(optimizer, parts, milestones)


def loaded(scheduler: Any, state: dict[str, Any]) -> None:
    scheduler.load_state_dict(state)


def past(scheduler: Any) -> None:
    scheduler.last_epoch = 7
    scheduler.get_lr()


@every
def test_its_representation_has_step_and_rates_also_while_it_is_made(make: Made) -> None:
    scheduler = make(sgd(0.5, momentum=0.9))
    steps(scheduler, 2)
    held = rates(scheduler.optimizer)
    assert repr(scheduler) == f"<{type(scheduler).__name__} at step 2, lr {held}>"
    half = object.__new__(type(scheduler))
    assert repr(half) == f"<{type(scheduler).__name__}, not yet made>"


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("StepLR", {"step_size": 2, "gamma": 0.0}),
        ("PolynomialLR", {"total_iters": 4, "power": 0.0}),
        ("LinearLR", {"start_factor": 1.0, "end_factor": 0.0, "total_iters": 3}),
        ("CyclicLR", {"base_lr": 0.1, "max_lr": 0.4, "step_size_up": 2, "base_momentum": 0.5,
                      "max_momentum": 0.5}),
    ],
)  # fmt: skip
def test_what_falls_to_nothing_or_never_moves_has_torchs_rates(
    name: str, arguments: dict[str, Any]
) -> None:
    ours, theirs = (getattr(names, name)(momentum(1.0), **arguments) for names in (wlr, torchs))
    assert steps(ours, 9) == [pytest.approx(row, rel=1e-12) for row in steps(theirs, 9)]
    held = [one.optimizer.param_groups[0]["momentum"] for one in (ours, theirs)]
    assert held[0] == held[1]


def test_a_chain_that_came_to_nothing_stays_there() -> None:
    seen = []
    for names in (wlr, torchs):
        optimizer = momentum(1.0)
        parts = [names.LinearLR(optimizer, 1.0, 0.0, 3), names.ExponentialLR(optimizer, 0.9)]
        seen.append(steps(names.ChainedScheduler(parts), 7))
    assert seen[0] == [pytest.approx(row, rel=1e-12) for row in seen[1]]
    assert seen[0][3:] == [[0.0]] * 4


@pytest.mark.parametrize("mode", ["triangular", "triangular2", "exp_range"])
def test_the_height_of_a_cycle_is_torchs(mode: str) -> None:
    ours, theirs = (names.CyclicLR(momentum(), 0.1, 0.4, 2, mode=mode, gamma=0.9)
                    for names in (wlr, torchs))  # fmt: skip
    for x in (1, 2, 3):
        assert ours.scale_fn(x) == pytest.approx(theirs.scale_fn(x))
    given = wlr.CyclicLR(momentum(), 0.1, 0.4, 2, scale_fn=lambda x: 2.0 * x)
    assert given.scale_fn(3) == 6.0


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("CyclicLR", {"base_lr": 0.1, "max_lr": 0.4, "step_size_up": 2, "step_size_down": 3}),
     ("OneCycleLR", {"max_lr": 0.5, "total_steps": 12})],
)  # fmt: skip
def test_a_cycle_goes_on_at_a_step_of_an_optimizer_that_was_restored(
    name: str, arguments: dict[str, Any]
) -> None:
    seen = []
    for names in (wlr, torchs):
        first = getattr(names, name)(momentum(1.0), **arguments)
        steps(first, 4)
        optimizer = momentum(1.0)
        optimizer.load_state_dict(first.optimizer.state_dict())
        resumed = getattr(names, name)(optimizer, **arguments, last_epoch=4)
        seen.append([steps(resumed, 4), optimizer.param_groups[0]["momentum"]])
    assert seen[0][0] == [pytest.approx(row, rel=1e-12) for row in seen[1][0]]
    assert seen[0][1] == pytest.approx(seen[1][1])


def test_rates_that_no_step_of_the_curve_has_are_gone_on_from() -> None:
    seen = []
    for names in (wlr, torchs):
        optimizer = momentum(0.77)
        optimizer.param_groups[0]["initial_lr"] = 1.0
        seen.append(steps(names.ExponentialLR(optimizer, 0.9, last_epoch=4), 4))
    assert seen[0] == [pytest.approx(row, rel=1e-12) for row in seen[1]]


def test_a_rate_given_after_the_curve_came_to_nothing_is_followed() -> None:
    seen = []
    for names in (wlr, torchs):
        scheduler = names.LinearLR(momentum(1.0), 1.0, 0.0, 2)
        steps(scheduler, 3)
        scheduler.end_factor, scheduler.total_iters = 0.5, 8
        scheduler.optimizer.param_groups[0]["lr"] = 0.3
        seen.append(steps(scheduler, 6))
    assert seen[0] == [pytest.approx(row, rel=1e-12) for row in seen[1]]


@pytest.mark.parametrize("disturb", ["nothing", "rates", "argument", "part", "state", "number"])
def test_a_chain_goes_on_as_torchs_whatever_happens_to_its_parts(disturb: str) -> None:
    seen = []
    for names in (wlr, torchs):
        optimizer = momentum()
        parts = [names.ConstantLR(optimizer, 0.5, 6), names.ExponentialLR(optimizer, 0.9)]
        scheduler = names.ChainedScheduler(parts)
        before = steps(scheduler, 5)
        if disturb == "rates":
            optimizer.param_groups[1]["lr"] = 0.7
        elif disturb == "argument":
            parts[1].gamma = 0.5
        elif disturb == "part":
            parts[1].step()
        elif disturb == "state":
            scheduler.load_state_dict(copy.deepcopy(scheduler.state_dict()))
        elif disturb == "number":
            parts[0].last_epoch -= 2
        seen.append(
            [
                *before,
                *steps(scheduler, 8),
                scheduler.get_last_lr(),
                [parts[0].last_epoch, parts[1].last_epoch],
            ]
        )
    assert seen[0] == [pytest.approx(row, rel=1e-12) for row in seen[1]]
