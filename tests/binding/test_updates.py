"""What is an update: of optimizers that begin late, that call others, or that cannot be seen."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest
import torch
from tests.binding.loops import backward, curve, model, repeat, sgd, train, warns
from torch.optim.optimizer import _global_optimizer_post_hooks

import warmdown as wd

WARMUP = wd.Linear(start=0.0, end=1.0, steps=500)


def with_gradients_by_hand(optimizer: torch.optim.Optimizer) -> None:
    for group in optimizer.param_groups:
        for one in group["params"]:
            one.grad = torch.ones_like(one)


class Adversaries:
    """A generator that trains from the start, and a critic that begins later.

    Args:
        flows: Whether the generator's gradients go through the critic.
        give: Gives an optimizer its gradients, where autograd does not.
    """

    def __init__(self, *, flows: bool, give: Callable[[Any], None] | None) -> None:
        self.generator, self.critic = torch.nn.Linear(2, 2), torch.nn.Linear(2, 1)
        self.first = torch.optim.SGD(self.generator.parameters(), lr=1e-3)
        self.second = torch.optim.SGD(self.critic.parameters(), lr=1.0)
        self.flows, self.give = flows, give

    def train_generator(self) -> None:
        self.first.zero_grad()
        if self.give:
            self.give(self.first)
        else:
            made = self.generator(torch.ones(3, 2))
            (self.critic(made) if self.flows else made).square().mean().backward()
        self.first.step()

    def train_critic(self) -> float:
        """Make an update, and return the rate that it used."""
        self.second.zero_grad()
        if self.give:
            self.give(self.second)
        else:
            self.critic(torch.ones(3, 2)).mean().backward()
        rate = float(self.second.param_groups[0]["lr"])
        self.second.step()
        return rate


@pytest.mark.parametrize("late", [3, 99, 100, 300])
@pytest.mark.parametrize("flows", [False, True])
@pytest.mark.parametrize("auto", [False, True])
@pytest.mark.filterwarnings("ignore::warmdown.OptimizerUnused")
def test_an_optimizer_that_begins_late_begins_at_its_first_value(
    late: int, flows: bool, auto: bool
) -> None:
    both = Adversaries(flows=flows, give=None)
    scheduler = wd.Scheduler(both.second, lr=WARMUP, after_end="raise", auto=auto)
    used = []
    for iteration in range(late + 4):
        if iteration >= late:
            used.append(both.train_critic())
        both.train_generator()
        scheduler.step()
    assert used == curve(WARMUP, 4)
    assert scheduler.count == 4


def test_one_that_begins_late_begins_at_its_first_value_where_no_gradient_is_by_autograd() -> None:
    both = Adversaries(flows=False, give=with_gradients_by_hand)
    scheduler = wd.Scheduler(both.second, lr=WARMUP)
    used = []
    for iteration in range(34):
        if iteration >= 30:
            used.append(both.train_critic())
        both.train_generator()
        scheduler.step()
    assert used == curve(WARMUP, 4)


def test_one_that_begins_late_after_steps_to_a_place_begins_there() -> None:
    both = Adversaries(flows=False, give=with_gradients_by_hand)
    scheduler = wd.Scheduler(both.second, lr=WARMUP)
    repeat(scheduler.step, 50)
    for _ in range(30):
        both.train_generator()
        scheduler.step()
    assert both.train_critic() == WARMUP(50)
    assert not _global_optimizer_post_hooks


def test_one_that_begins_late_does_not_use_the_data_of_the_others() -> None:
    both = Adversaries(flows=False, give=None)
    run = wd.Run(clock="samples", budget="1000samples")
    scheduler = wd.Scheduler(both.second, lr=wd.Linear(start=0.0, end=1.0, steps=1000), run=run)
    for iteration in range(8):
        if iteration >= 5:
            both.train_critic()
        both.train_generator()
        scheduler.step(samples=10)
    assert (scheduler.count, scheduler.position) == (3, 30)


def test_a_loop_without_training_draws_the_curve_though_gradients_lie_there() -> None:
    optimizer = sgd()
    train(optimizer, wd.Scheduler(optimizer, lr=wd.Constant(value=1.0)), 3)
    scheduler = wd.Scheduler(optimizer, lr=WARMUP)
    drawn = []
    for _ in range(40):
        drawn += scheduler.get_last_lr()
        scheduler.step()
    assert drawn == curve(WARMUP, 40)


@pytest.mark.parametrize("steps", [1, 40])
def test_an_optimizer_that_takes_over_anothers_parameters_begins_at_its_first_value(
    steps: int,
) -> None:
    net = model()
    first, second = (torch.optim.SGD(net.parameters(), lr=1e-3) for _ in range(2))
    scheduler = wd.Scheduler(second, lr=WARMUP)
    with pytest.warns(wd.OptimizerUnused) if steps > 1 else pytest.MonkeyPatch.context():
        for _ in range(steps):
            train(first, scheduler, 1)
    assert train(second, scheduler, 3) == curve(WARMUP, 3, base=1e-3)


@pytest.mark.parametrize("auto", [False, True])
@pytest.mark.parametrize(("begins", "ends"), [(0, 40), (10, 40), (0, 10), (3, 20)])
def test_of_two_optimizers_one_may_begin_late_or_stop_early(
    auto: bool, begins: int, ends: int
) -> None:
    first, second = sgd(), sgd()
    run = wd.Run(total_steps=40)
    scheduler = wd.Scheduler([first, second], lr=wd.Linear(), run=run, auto=auto)
    for iteration in range(40):
        for optimizer in (first, second) if begins <= iteration < ends else (first,):
            backward(optimizer)
            optimizer.step()
        if not auto:
            scheduler.step()
    assert scheduler.state_dict()["count"] == 40
    scheduler.finish()


class Sharpness(torch.optim.Optimizer):
    """Two steps for one update; the second one updates by an inner optimizer."""

    def __init__(self, parameters: Iterable[Any], **more: Any) -> None:
        super().__init__(parameters, more)
        self.base_optimizer = torch.optim.SGD(self.param_groups, **more)
        self.param_groups = self.base_optimizer.param_groups

    @torch.no_grad()
    def first_step(self) -> None:
        for group in self.param_groups:
            for one in group["params"]:
                one.add_(one.grad)
                self.state[one] = one.grad.clone()

    @torch.no_grad()
    def second_step(self) -> None:
        for group in self.param_groups:
            for one in group["params"]:
                one.sub_(self.state[one])
        self.base_optimizer.step()

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        self.first_step()
        closure()
        self.second_step()


class Alone(Sharpness):
    """Two steps for one update, which no hook shows."""

    @torch.no_grad()
    def second_step(self) -> None:
        for group in self.param_groups:
            for one in group["params"]:
                one.sub_(self.state[one])
                one.sub_(one.grad, alpha=group["lr"])


class Ahead(torch.optim.Optimizer):
    """A wrapper that torch does not know: its own ``step()`` runs no hooks."""

    def __init__(self, parameters: Iterable[Any], **more: Any) -> None:
        self.inner = torch.optim.SGD(parameters, **more)
        self.param_groups = self.inner.param_groups

    def step(self, closure: Any = None) -> Any:
        return self.inner.step(closure)

    def zero_grad(self, set_to_none: bool = True) -> None:
        self.inner.zero_grad(set_to_none)


class Same(torch.optim.Adam):
    """A class whose ``step()`` calls that of its base: torch runs the hooks of both."""

    def step(self, closure: Any = None) -> Any:
        return super().step(closure)


def plain(optimizer: Any) -> None:
    backward(optimizer)
    optimizer.step()


def with_closure(optimizer: Any) -> None:
    backward(optimizer)
    optimizer.step(lambda: backward(optimizer))


def in_two_steps(optimizer: Any) -> None:
    backward(optimizer)
    optimizer.first_step()
    optimizer.zero_grad()
    backward(optimizer)
    optimizer.second_step()


WRAPPERS = [
    (Sharpness, in_two_steps),
    (Sharpness, with_closure),
    (Ahead, plain),
    (Same, plain),
]


@pytest.mark.parametrize("auto", [False, True])
@pytest.mark.parametrize(("kind", "update"), WRAPPERS)
def test_an_update_that_one_optimizer_makes_by_another_counts_once(
    kind: Any, update: Callable[[Any], None], auto: bool
) -> None:
    torch.optim.Adam([torch.ones(1)])  # its step() runs hooks once there is an instance
    optimizer = kind([torch.nn.Parameter(torch.ones(2))], lr=0.5)
    scheduler = wd.Scheduler(optimizer, lr=WARMUP, auto=auto)
    used = []
    for _ in range(12):
        optimizer.zero_grad()
        used.append(float(optimizer.param_groups[0]["lr"]))
        update(optimizer)
        if not auto:
            scheduler.step()
    assert used == curve(WARMUP, 12, base=0.5)
    assert scheduler.count == 12


def test_an_update_within_which_an_error_was_raised_does_not_hide_the_next() -> None:
    optimizer = Sharpness([torch.nn.Parameter(torch.ones(2))], lr=1e-3)
    scheduler = wd.Scheduler(optimizer, lr=WARMUP, auto=True)
    for _ in range(3):
        backward(optimizer)
        with pytest.raises(ZeroDivisionError):
            optimizer.step(lambda: 1 / 0)
        in_two_steps(optimizer)
    assert scheduler.count == 3


def test_an_automatic_scheduler_of_an_optimizer_whose_updates_run_no_hooks_is_reported() -> None:
    optimizer = Alone([torch.nn.Parameter(torch.ones(2))], lr=1e-3)
    scheduler = wd.Scheduler(optimizer, lr=WARMUP, auto=True)
    with warns(wd.UpdatesUnseen, "Scheduler(Alone): none of its updates can be seen"):
        repeat(lambda: in_two_steps(optimizer), 10)
    assert scheduler.count == 0


def test_an_automatic_scheduler_of_what_runs_no_hooks_at_all_is_reported_at_once() -> None:
    class Own:
        def __init__(self) -> None:
            self.param_groups = [{"params": [torch.ones(1)], "lr": 1.0}]

    with warns(wd.UpdatesUnseen, "the values stand still"):
        wd.Scheduler(Own(), lr=WARMUP, auto=True)


def test_steps_count_for_what_has_groups_of_numbers_alone() -> None:
    class Own:
        def __init__(self) -> None:
            self.param_groups = [{"lr": 1.0}]

    optimizer = Own()
    scheduler = wd.Scheduler(optimizer, lr=WARMUP)
    repeat(scheduler.step, 3)
    assert optimizer.param_groups == [{"lr": WARMUP(3), "initial_lr": 1.0}]


def test_steps_count_where_updates_run_no_hooks() -> None:
    optimizer = Alone([torch.nn.Parameter(torch.ones(2))], lr=1e-3)
    scheduler = wd.Scheduler(optimizer, lr=WARMUP)
    with warns(wd.UpdatesUnseen, "every step() counts from now on"):
        for _ in range(10):
            optimizer.zero_grad()
            in_two_steps(optimizer)
            scheduler.step()
    assert scheduler.count == 7


def test_an_optimizer_that_another_one_keeps_for_other_parameters_is_none_of_it() -> None:
    optimizer: Any = sgd()
    optimizer.companion = sgd()
    scheduler = wd.Scheduler(optimizer, lr=WARMUP, auto=True)
    for count, one in enumerate([optimizer.companion, optimizer, optimizer.companion]):
        backward(one)
        one.step()
        assert scheduler.count == (count > 0)


@pytest.mark.parametrize("auto", [True, False])
def test_parameters_that_autograd_does_not_train_are_counted_by_their_updates(auto: bool) -> None:
    frozen = torch.nn.Parameter(torch.ones(1), requires_grad=False)
    optimizer = torch.optim.SGD([frozen], lr=1.0)
    scheduler = wd.Scheduler(optimizer, lr=WARMUP, auto=auto)
    used = []
    for micro_batch in range(9):
        frozen.grad = torch.ones(1)
        if micro_batch % 3 == 2:
            used += scheduler.get_last_lr()
            optimizer.step()
        scheduler.step()
    assert used == curve(WARMUP, 3)


@pytest.mark.parametrize("micro_batches", [1, 2, 4])
@pytest.mark.parametrize("by", ["hand", "func", "evolution"])
def test_micro_batches_without_autograd_are_no_second_steps(by: str, micro_batches: int) -> None:
    net = model()
    optimizer = torch.optim.SGD(net.parameters(), lr=1.0)
    scheduler = wd.Scheduler(optimizer, lr=WARMUP)

    def loss(parameters: dict[str, torch.Tensor]) -> torch.Tensor:
        made: torch.Tensor = torch.func.functional_call(net, parameters, (torch.ones(3, 2),))
        return made.square().mean()

    for _ in range(10):
        gathered = {name: torch.zeros_like(one) for name, one in net.named_parameters()}
        for micro_batch in range(micro_batches):
            values = {name: one.detach() for name, one in net.named_parameters()}
            for name, one in net.named_parameters():
                if by == "hand":
                    one.grad = torch.ones_like(one)
                elif by == "func":
                    gathered[name] += torch.func.grad(loss)(values)[name]
                else:
                    gathered[name] += loss(values)
            if micro_batch == micro_batches - 1:
                for name, one in net.named_parameters():
                    one.grad = gathered[name]
                optimizer.step()
            scheduler.step()
    assert scheduler.count == 10
    assert scheduler.get_last_lr() == [WARMUP(10)]
