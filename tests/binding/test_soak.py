"""A long life of random events, saves, loads and groups, against a slow reference."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

import warmdown as wd

TOTAL = 200_000
WARM = 500
SHAPES: dict[str, wd.Schedule] = {
    "warmup-cosine": wd.warmup_cosine(warmup="1%", end=0.1),
    "wsd": wd.wsd(warmup=100, decay="10%"),
    "stairs": wd.Staircase(gamma=0.9, every=1000),
    "restarts": wd.Cosine(start=1.0, end=0.1, steps=997).repeat(),
    "constant": wd.Constant(),
}
PLATEAU = wd.Plateau(metric="loss", factor=0.5, patience=1, threshold=0.0, low=0.001)
RATES = st.lists(st.floats(0.01, 1.0), min_size=1, max_size=3)
Curve = Callable[[int], float]


@dataclass
class Reference:
    """What a scheduler should do, as plainly as possible: every value is computed again."""

    shape: str
    count: int = 0
    bases: dict[str, float] = field(default_factory=dict)
    happened: list[tuple[int, str, float]] = field(default_factory=list)
    lengths: list[tuple[int, int]] = field(default_factory=lambda: [(0, TOTAL)])
    losses: list[tuple[int, float]] = field(default_factory=list)
    observed: int = -1
    """Where the last loss was given."""

    def observe(self, loss: float) -> None:
        """Keep a loss; a decay scales the value that it began from, whatever is measured after."""
        self.observed = self.count
        if not any(what == "decay" and at <= self.count for at, what, _ in self.happened):
            self.losses.append((self.count, loss))

    def value(self, name: str, step: int) -> float:
        total = [total for at, total in self.lengths if at <= step][-1]
        curve: Curve = SHAPES[self.shape].over(wd.Run(total_steps=total))
        for at, what, number in sorted(self.happened, key=lambda event: event[0]):
            curve = (
                self.scaled(curve, at, number)
                if what == "rescale"
                else self.decayed(curve, at, int(number))
            )
        return self.bases[name] * curve(step) * self.level(step)

    def scaled(self, curve: Curve, at: int, factor: float) -> Curve:
        return lambda step: curve(step) * (factor if step >= at else 1.0)

    def decayed(self, curve: Curve, at: int, steps: int) -> Curve:
        return lambda step: (
            curve(step) if step < at else curve(at) * max(0.0, 1.0 - (step - at) / steps)
        )

    def level(self, step: int) -> float:
        """Follow the plateau's rule from the first loss on."""
        level, best, bad = 1.0, float("inf"), 0
        for at, loss in self.losses:
            if at > step or at < WARM:
                continue
            best, bad = (loss, 0) if loss < best else (best, bad + 1)
            if bad > 1:
                level, bad = max(level / 2, 0.001), 0
        return level


class Life(RuleBasedStateMachine):
    """One scheduler, what may happen to it, and its reference."""

    steps = 0
    """Made in all lives together."""

    @initialize(
        shape=st.sampled_from(sorted(SHAPES)),
        tensors=st.booleans(),
        rates=st.lists(st.floats(0.01, 1.0), min_size=1, max_size=3),
    )
    def begin(self, shape: str, tensors: bool, rates: list[float]) -> None:
        self.reference = Reference(
            shape, bases={f"g{index}": rate for index, rate in enumerate(rates)}
        )
        self.tensors, self.born = tensors, len(rates)
        self.saved: list[tuple[Any, Reference]] = []
        self.optimizer = self.new_optimizer()
        self.scheduler = self.new_scheduler()

    def new_optimizer(self) -> Any:
        return torch.optim.Adam(
            [self.group(name, rate) for name, rate in self.reference.bases.items()]
        )

    def group(self, name: str, rate: float) -> dict[str, Any]:
        values: Any = torch.tensor(rate, dtype=torch.float64) if self.tensors else rate
        return {"params": [torch.nn.Parameter(torch.ones(1))], "lr": values, "name": name}

    def new_scheduler(self) -> wd.Scheduler:
        waits = wd.Delayed(of=PLATEAU, steps=WARM)
        run = wd.Run(total_steps=TOTAL)
        return wd.Scheduler(
            self.optimizer, lr=SHAPES[self.reference.shape] * waits, run=run, count_by="attempts"
        )

    def check(self) -> None:
        """Hold everything to the reference."""
        assert self.scheduler.count == self.reference.count
        values = {group["name"]: float(group["lr"]) for group in self.optimizer.param_groups}
        expected = {
            name: self.reference.value(name, self.reference.count) for name in self.reference.bases
        }
        assert values == pytest.approx(expected, rel=1e-9, abs=1e-15)
        for name in self.reference.bases:
            for step in (self.reference.count // 2, self.reference.count + 777):
                value = self.scheduler.value(step, group=name)
                assert value == pytest.approx(self.reference.value(name, step), rel=1e-9, abs=1e-15)

    @rule(steps=st.integers(1, 500) | st.sampled_from([4096, 8192, 20_000, 50_000]))
    def train(self, steps: int) -> None:
        for _ in range(steps):
            self.scheduler.step()
        Life.steps += steps
        self.reference.count += steps
        self.check()

    @rule(count=st.integers(0, 2 * TOTAL))
    def seek(self, count: int) -> None:
        self.scheduler.seek(count)
        self.reference.count = count
        self.check()

    @rule(factor=st.sampled_from([0.5, 0.9, 2.0]))
    def rescale(self, factor: float) -> None:
        self.scheduler.rescale(factor)
        self.reference.happened.append((self.reference.count, "rescale", factor))
        self.check()

    @rule(steps=st.integers(1, 5000))
    def decay(self, steps: int) -> None:
        self.scheduler.decay_now(steps)
        self.reference.happened.append((self.reference.count, "decay", steps))
        self.check()

    @precondition(lambda self: self.reference.count >= self.reference.lengths[-1][0])
    @rule(more=st.integers(1, TOTAL))
    def extend(self, more: int) -> None:
        total = max(self.reference.lengths[-1][1], self.reference.count) + more
        self.scheduler.extend(total)
        self.reference.lengths.append((self.reference.count, total))
        self.check()

    @precondition(lambda self: self.reference.count > self.reference.observed)
    @rule(loss=st.sampled_from([0.5, 1.0, 2.0]))
    def observe(self, loss: float) -> None:
        self.scheduler.observe(loss=loss)
        self.reference.observe(loss)
        self.check()

    @rule()
    def save(self) -> None:
        self.saved.append(
            (json.loads(json.dumps(self.scheduler.state_dict())), copy.deepcopy(self.reference))
        )

    @precondition(lambda self: self.saved)
    @rule(which=st.integers(0, 99), again=st.booleans())
    def load(self, which: int, again: bool) -> None:
        state, reference = self.saved[which % len(self.saved)]
        present = self.reference.bases
        self.reference = copy.deepcopy(reference)
        if again:
            self.optimizer = self.new_optimizer()
            self.scheduler = self.new_scheduler()
        else:
            self.reference.bases = dict(present)
        self.scheduler.load_state_dict(state)
        self.check()

    @rule(twin=st.sampled_from([copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))]))
    def copy(self, twin: Any) -> None:
        self.optimizer, self.scheduler = twin((self.optimizer, self.scheduler))
        self.check()

    @rule()
    def reload_the_optimizer(self) -> None:
        self.optimizer.load_state_dict(copy.deepcopy(self.optimizer.state_dict()))
        self.check()

    @precondition(lambda self: len(self.reference.bases) < 5)
    @rule(rate=st.floats(0.01, 1.0))
    def add_a_group(self, rate: float) -> None:
        name, self.born = f"g{self.born}", self.born + 1
        self.optimizer.add_param_group(self.group(name, rate))
        self.reference.bases[name] = rate
        self.update()

    @precondition(lambda self: len(self.reference.bases) > 1)
    @rule(which=st.integers(0, 4))
    def remove_a_group(self, which: int) -> None:
        gone = self.optimizer.param_groups.pop(which % len(self.optimizer.param_groups))
        del self.reference.bases[gone["name"]]
        self.update()

    def update(self) -> None:
        """Make a real update, before which the groups are followed; attempts count nothing."""
        self.optimizer.step()
        self.check()


def live(lives: int, rules: int) -> None:
    run_state_machine_as_test(
        Life,
        settings=settings(
            max_examples=lives,
            stateful_step_count=rules,
            deadline=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.filterwarnings("ignore::warmdown.errors.WarmdownWarning")
def test_a_short_life_agrees_with_the_reference() -> None:
    live(lives=25, rules=15)


@pytest.mark.filterwarnings("ignore::warmdown.errors.WarmdownWarning")
@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_long_life_of_a_million_steps_agrees_with_the_reference() -> None:
    before = Life.steps
    live(lives=50, rules=40)
    assert Life.steps - before >= 1_000_000
