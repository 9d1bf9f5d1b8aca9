"""ultralytics' YAML: ``lr0``, ``lrf`` and the warmup of every batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import cos, pi

import numpy as np

from warmdown.errors import ScheduleError
from warmdown.importing.formats.section import KnownRun, Section, Settings, rate_plan, value_table
from warmdown.plan import Plan
from warmdown.schedules import Constant, Linear, Scale, Schedule, Set

_WITH_MOMENTUM = ("sgd", "musgd", "rmsprop")
"""Optimizers whose groups have a ``momentum``, which the warmup moves; Adam's beta stays."""
_MOST_WITH_ADAM = 10_000
"""Updates of a run up to which auto takes AdamW, which warms no momentum up."""


def read_ultralytics(settings: Settings, known: KnownRun) -> Plan:
    """Read ultralytics' arguments: a rate of each epoch, and of each batch in the warmup.

    Batches are counted here, ``nbs / batch`` of them for an update: ``steps_per_epoch`` is their
    number in an epoch.
    """
    given = Section("ultralytics", settings)
    name = str(given.raw("optimizer", "SGD")).lower()
    lr, momentum = known.lr or given.number("lr0", 0.01), given.number("momentum", 0.937)
    first_bias = given.number("warmup_bias_lr", 0.1)
    if name == "auto":
        if known.lr is None:
            raise ScheduleError(
                "ultralytics.optimizer='auto': it does not use lr0, but 0.01 with SGD where there "
                "are more than 10,000 updates, else 0.002 * 5 / (4 + classes) with AdamW. Give "
                "--lr, or the optimizer's name."
            )
        momentum, first_bias = 0.9, 0.0
        known.tell("ultralytics.optimizer: auto takes the given rate, and has its own momentum.")
    if given.raw("time") is not None:
        raise ScheduleError("ultralytics.time: hours cannot be imported. Take it out.")
    epochs, last = known.epochs or given.count("epochs", 100), given.number("lrf", 0.01)
    each = known.updates(1)
    warmup = round(min(given.number("warmup_epochs", 3.0), max(epochs - 1, 0)) * each)

    def of_epoch(epoch: int) -> float:
        if given.raw("cos_lr", False):
            return max((1 - cos(epoch * pi / epochs)) / 2, 0) * (last - 1) + 1
        return max(1 - epoch / epochs, 0) * (1 - last) + last

    first_momentum = given.number("warmup_momentum", 0.8)
    curves = _curves_of(given, epochs, each, warmup, of_epoch)
    if name == "auto" and curves.updates > _MOST_WITH_ADAM:
        name = "sgd"
    rule = Scale(curves.factor)
    plan = rate_plan(rule, curves.updates, lr)
    bias: dict[str, Schedule | Scale] = {}
    if warmup and first_bias:
        bias["bias"] = Scale(curves.factor, offset=(curves.rise * -1 + 1) * first_bias)
    targets = Plan.of(run=plan.run, lr={**bias, "*": plan.targets[0].rule}).targets
    if warmup and first_momentum != momentum and name in _WITH_MOMENTUM:
        rising = Set(curves.rise * (momentum - first_momentum) + first_momentum)
        targets += Plan.of(run=plan.run, momentum=rising).targets
    return Plan(targets=targets, run=plan.run)


@dataclass(frozen=True)
class _Curves:
    """What happens at each update.

    Args:
        factor: Of the rate.
        rise: From 0 to 1 in the warmup.
        updates: In the run.
    """

    factor: Schedule
    rise: Schedule
    updates: int


def _curves_of(
    given: Section, epochs: int, each: int, warmup: int, of_epoch: Callable[[int], float]
) -> _Curves:
    nominal = given.count("nbs", 64)
    batch = given.raw("batch")
    many = 1
    if batch is not None:
        size = given.number("batch")
        if size < 1 or size != int(size):
            raise ScheduleError(
                f"ultralytics.batch={size:g}: the size is chosen on the machine. Give the number."
            )
        many = min(max(round(nominal / size), 1), each * epochs)
    if many == 1:
        stairs = value_table([of_epoch(epoch) for epoch in range(epochs)], every=each)
        rise: Schedule = Linear(start=0.0, end=1.0, steps=warmup) if warmup else Constant(1.0)
        return _Curves(stairs * rise if warmup else stairs, rise, each * epochs)
    # batches of an update grow in the warmup, too
    factors, rises, done = [], [], -1
    for at in range(each * epochs):
        is_warm = warmup and at <= warmup
        share = at / warmup if is_warm else 1.0
        group = max(1, int(np.interp(at, [0, warmup], [1, many]).round())) if is_warm else many
        if at - done >= group:
            done = at
            factors.append(of_epoch(at // each) * share)
            rises.append(share)
    return _Curves(value_table(factors), value_table(rises), len(factors))
