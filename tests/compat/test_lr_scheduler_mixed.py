"""torch's names among others: torch's states and composites, own classes, compilers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.compat.loops import rates
from tests.compat.torch_names import ARGUMENTS, EACH, momentum, steps, torchs, wlr

from warmdown.compat.lr_scheduler import _LRScheduler
from warmdown.errors import BindingError, ScheduleError


@pytest.mark.parametrize("name", ARGUMENTS)
def test_a_state_of_torchs_loads_and_ours_loads_into_torchs(name: str) -> None:
    ours = EACH[name](momentum())
    kind, arguments = type(ours).__name__, ARGUMENTS[name]
    original: Any = torch.optim.swa_utils.SWALR if kind == "SWALR" else getattr(torchs, kind)
    theirs_first = original(momentum(), *arguments)
    steps(ours, 4)
    steps(theirs_first, 4)
    resumed, given_back = EACH[name](momentum()), original(momentum(), *arguments)
    for scheduler, saved in ((resumed, theirs_first), (given_back, ours)):
        scheduler.optimizer.load_state_dict(saved.optimizer.state_dict())
        scheduler.load_state_dict(saved.state_dict())
    unbroken = steps(ours, 6)
    assert steps(resumed, 6) == [pytest.approx(row, rel=1e-12) for row in unbroken]
    assert steps(given_back, 6) == [pytest.approx(row, rel=1e-12, abs=1e-15) for row in unbroken]


def test_an_argument_given_anew_bends_the_curve_from_what_is_held() -> None:
    pair = [kind(momentum(1.0), 0.9) for kind in (wlr.ExponentialLR, torchs.ExponentialLR)]
    for scheduler in pair:
        steps(scheduler, 5)
        scheduler.gamma = 0.5
    assert steps(pair[0], 5) == [pytest.approx(row, rel=1e-12) for row in steps(pair[1], 5)]


def test_base_rates_set_anew_are_followed_where_torch_follows_them() -> None:
    pair = [kind(momentum(1.0), lambda step: 0.9**step) for kind in (wlr.LambdaLR, torchs.LambdaLR)]
    for scheduler in pair:
        steps(scheduler, 5)
        scheduler.base_lrs[0] = 4.0
        scheduler.step()
    assert steps(pair[0], 5) == steps(pair[1], 5)


def test_a_function_is_never_asked_ahead_of_its_step() -> None:
    asked: list[int] = []

    def ask(step: int) -> float:
        asked.append(step)
        return 1.0

    scheduler = wlr.LambdaLR(momentum(), ask)
    steps(scheduler, 5)
    assert asked == [0, 1, 2, 3, 4, 5]
    cyclic = wlr.CyclicLR(momentum(), 0.1, 0.2, 2, scale_fn=ask, scale_mode="iterations")
    steps(cyclic, 9)
    assert max(asked) == 9


def test_step_with_a_number_goes_there_and_on_from_there() -> None:
    for make in EACH.values():
        scheduler = make(momentum())
        if isinstance(scheduler, torchs.SequentialLR | torchs.ChainedScheduler):
            continue
        unbroken = steps(make(momentum()), 9)
        scheduler.step(4)
        assert scheduler.last_epoch == 4
        assert steps(scheduler, 5) == [pytest.approx(row, rel=1e-12) for row in unbroken[4:]]


def test_a_group_that_joins_later_is_scheduled_too() -> None:
    scheduler = wlr.CosineAnnealingWarmRestarts(momentum(1.0), 4)
    steps(scheduler, 4)
    scheduler.optimizer.add_param_group({"params": [torch.nn.Parameter(torch.ones(1))], "lr": 2.0})
    assert [row[1] for row in steps(scheduler, 4)][1:] == pytest.approx(
        [1.707107, 1.0, 0.292893], rel=1e-5
    )


def test_a_warmup_that_hands_over_to_another_scheduler_works_as_people_write_it() -> None:
    class Gradual(_LRScheduler):
        def __init__(self, optimizer: Any, warmup: int, after: Any) -> None:
            self.warmup, self.after = warmup, after
            super().__init__(optimizer)

        def get_lr(self) -> list[Any]:
            return [base * self.last_epoch / self.warmup for base in self.base_lrs]

        def step(self, epoch: int | None = None) -> None:
            if self.last_epoch >= self.warmup:
                self.after.step()
                self._last_lr = self.after.get_last_lr()
            else:
                super().step(epoch)

    seen = []
    for names in (wlr, torchs):
        optimizer = momentum(1.0)
        scheduler = Gradual(optimizer, 4, names.ExponentialLR(optimizer, 0.5))
        seen.append(steps(scheduler, 9))
        assert scheduler.get_last_lr() == rates(optimizer)
    assert seen[0] == seen[1]


def test_torchs_sequence_drives_our_parts_and_ours_drives_torchs() -> None:
    seen = []
    for outer, inner in ((wlr, wlr), (torchs, wlr), (wlr, torchs), (torchs, torchs)):
        optimizer = momentum()
        parts = [inner.LinearLR(optimizer, 0.25, 1.0, 3), inner.CosineAnnealingLR(optimizer, 20)]
        seen.append(steps(outer.SequentialLR(optimizer, parts, [3]), 12))
    for other in seen[1:]:
        assert other == [pytest.approx(row, rel=1e-12) for row in seen[0]]


@pytest.mark.parametrize(("outer", "inner"), [(wlr, wlr), (torchs, wlr), (wlr, torchs)])
@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize("kind", ["chain", "sequence"])
def test_what_is_composed_is_a_part_like_any_other_and_begins_with_its_turn(
    outer: Any, inner: Any, is_first: bool, kind: str
) -> None:
    """Within torch's own, torch's begins its chain too late, or ends in an error."""
    optimizer = momentum(1.0)
    parts = [inner.ConstantLR(optimizer, 0.5, 3), inner.ExponentialLR(optimizer, 0.9)]
    if kind == "chain":
        composed, alone = inner.ChainedScheduler(parts), [0.5, 0.45, 0.405, 0.729, 0.6561]
    else:
        composed, alone = inner.SequentialLR(optimizer, parts, [2]), [0.5, 0.5, 1.0, 0.9, 0.81]
    falling = inner.ExponentialLR(optimizer, 0.8)
    order = [composed, falling] if is_first else [falling, composed]
    seen = [row[0] for row in steps(outer.SequentialLR(optimizer, order, [3]), 7)]
    falls = [0.8**step for step in range(4)]
    assert seen == pytest.approx([*alone[:3], *falls] if is_first else [*falls[:3], *alone[:4]])


class Halved(_LRScheduler):
    def get_lr(self) -> list[Any]:
        return [base * 0.5**self.last_epoch for base in self.base_lrs]


class Closed(Halved):
    def _get_closed_form_lr(self) -> list[Any]:
        return [base * 0.25**self.last_epoch for base in self.base_lrs]


class Edited(wlr.StepLR):  # type: ignore[misc]
    def get_lr(self) -> list[Any]:
        return [base / (1 + self.last_epoch) for base in self.base_lrs]


class Squared(wlr.LambdaLR):  # type: ignore[misc]
    def get_lr(self) -> list[Any]:
        return [rate * rate for rate in super().get_lr()]


@pytest.mark.parametrize(
    "make",
    [
        Halved,
        Closed,
        lambda opt: Edited(opt, 3),
        lambda opt: Squared(opt, lambda step: 0.5**step),
    ],
)
def test_a_class_of_ones_own_goes_to_a_step_by_its_number_as_torch_lets_it(make: Any) -> None:
    scheduler = make(momentum(1.0))
    steps(scheduler, 3)
    scheduler.step(5)
    asked = {"Halved": 0.5**5, "Closed": 0.25**5, "Edited": 0.1, "Squared": 0.25**5}
    assert rates(scheduler.optimizer) == [asked[type(scheduler).__name__]]
    scheduler.step()
    asked = {"Halved": 0.5**6, "Closed": 0.5**6, "Edited": 1 / 7, "Squared": 0.25**6}
    assert rates(scheduler.optimizer) == [pytest.approx(asked[type(scheduler).__name__])]


PARTS: dict[str, Any] = {
    "factors": lambda opt: wlr.MultiplicativeLR(opt, lambda step: 0.9),
    "functions": lambda opt: wlr.LambdaLR(opt, lambda step: 0.9**step),
    "cyclic": lambda opt: wlr.CyclicLR(opt, 0.1, 0.4, 2, 3),
    "own": Halved,
    "torch's sequence": lambda opt: torchs.SequentialLR(
        opt, [torchs.ConstantLR(opt, 0.5, 3), torchs.ExponentialLR(opt, 0.9)], [2]
    ),
    "chain": EACH["chain"],
}


@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize("name", PARTS)
def test_a_sequence_of_any_parts_is_entered_by_its_number(name: str, is_first: bool) -> None:
    def sequence(last_epoch: int) -> Any:
        optimizer = momentum(1.0)
        parts = [PARTS[name](optimizer), wlr.ExponentialLR(optimizer, 0.5)]
        return wlr.SequentialLR(
            optimizer, parts if is_first else parts[::-1], [3], last_epoch=last_epoch
        )

    unbroken = steps(sequence(-1), 9)
    for at in (2, 3, 5):
        entered = sequence(at - 1)
        for one in (entered, entered._schedulers[at >= 3]):
            assert one.get_last_lr() == pytest.approx(unbroken[at], rel=1e-12)
        assert steps(entered, 4) == [pytest.approx(row, rel=1e-12) for row in unbroken[at : at + 4]]


def test_a_metric_comes_to_a_plateau_within_what_is_composed_and_is_missed_there() -> None:
    optimizer = momentum(1.0)
    plateau = wlr.ReduceLROnPlateau(optimizer, factor=0.1, patience=0)
    chain = wlr.ChainedScheduler([wlr.ExponentialLR(optimizer, 0.5), plateau])
    scheduler = wlr.SequentialLR(optimizer, [wlr.LinearLR(optimizer, 0.5, 1.0, 2), chain], [2])
    seen = []
    for loss in (1.0, 1.0, 1.0, 0.5, 0.5):
        seen += rates(optimizer)
        optimizer.step()
        scheduler.step(loss)
    assert seen == [0.5, 0.75, 1.0, 0.5, 0.25]
    assert rates(optimizer) == pytest.approx([0.0125])
    assert plateau.get_lr() == rates(optimizer)
    with pytest.raises(ScheduleError, match=r"ReduceLROnPlateau's turn.*step\(val_loss\)"):
        scheduler.step()


@pytest.mark.parametrize("name", ["sequence", "chain"])
def test_what_is_composed_gives_its_rates_and_refuses_a_count_by_hand(name: str) -> None:
    scheduler = EACH[name](momentum())
    for _ in range(6):
        assert scheduler.get_lr() == rates(scheduler.optimizer)
        scheduler.optimizer.step()
        scheduler.step()

    def move() -> None:
        scheduler.last_epoch += 1
        scheduler.get_lr()

    with pytest.raises(BindingError, match=r"last_epoch=7\): each of its schedulers counts"):
        move()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, while it compiles
@pytest.mark.parametrize("name", ["cosine", "one cycle", "sequence"])
def test_a_compiled_step_whose_rate_is_a_tensor_is_compiled_once(name: str) -> None:
    from torch._dynamo.utils import counters

    torch._dynamo.reset()
    counters.clear()
    parameter = torch.nn.Parameter(torch.ones(4))
    betas: Any = (torch.tensor(0.9), torch.tensor(0.99))
    optimizer = torch.optim.Adam([parameter], lr=torch.tensor(0.1), betas=betas, capturable=True)
    scheduler = EACH[name](optimizer)
    compiled = torch.compile(optimizer.step, backend="eager")
    for _ in range(15):
        parameter.grad = torch.ones(4)
        compiled()
        scheduler.step()
    assert counters["stats"]["unique_graphs"] == 1
