"""RLlib's configurations: ``lr`` as pairs of environment steps and rates."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from math import ceil
from typing import Any

from warmdown.errors import ScheduleError
from warmdown.importing.formats.rates import on_ticks
from warmdown.importing.formats.section import (
    KnownRun,
    Section,
    Settings,
    in_turn,
    rate_plan,
    stairs_of,
)
from warmdown.importing.numbers import whole
from warmdown.plan import Plan
from warmdown.planfile.text import describe
from warmdown.schedules import Constant, Linear, Scale, Set

_ENDS = ("timesteps_total", "num_env_steps_sampled_lifetime", "total_timesteps",
         "env_runners/num_env_steps_sampled_lifetime")  # fmt: skip
_OTHER_RATES = ("actor_lr", "critic_lr", "alpha_lr", "optimization", "lr_vf_schedule")


def read_rllib(settings: Settings, known: KnownRun) -> Plan:
    """Read RLlib's ``lr``, or the older ``lr_schedule``: straight lines over environment steps.

    A rate is taken after each batch of samples, of which several updates may be made.
    """
    top = settings
    if "config" not in top and "lr" not in top and "lr_schedule" not in top:
        top = next(iter(settings.values()))  # a tuned example has a name above
    entries = top["config"] if isinstance(top.get("config"), Mapping) else top
    config = Section("rllib", entries)
    for name, value in entries.items():
        is_rate = name in ("lr", "lr_schedule")
        if (not is_rate and _pairs_of(value)) or (name in _OTHER_RATES and value is not None):
            raise ScheduleError(
                f"rllib.{name}={describe(value)}: only lr can be imported. Take it out, or write "
                "this target by hand."
            )
    given = config.raw("lr_schedule") or config.raw("lr", 5e-5)
    pairs = _pairs_of(given)
    batch, many = _batch_of(config), _updates_of_batch(config)
    total = known.total_steps or _updates_to_end(top, batch, many, pairs)
    if not pairs:
        lr = known.lr or config.number("lr", 5e-5)
        return rate_plan(Scale(Constant(1.0)), total, lr)
    if pairs[0][0] != 0 or any(later[0] < before[0] for before, later in pairwise(pairs)):
        raise ScheduleError(f"rllib.lr={describe(given)}: steps that rise from 0 are needed.")
    lines = [Linear(start=first, end=last, steps=stop - start)
             for (start, first), (stop, last) in pairwise(pairs)]  # fmt: skip
    rates = in_turn(*lines, Constant(pairs[-1][1]))
    iterations = ceil(total / many)
    ticks = on_ticks(rates, batch, iterations)
    rule = stairs_of(Set(ticks), iterations, many)
    return rate_plan(rule, total, known.lr or max(rate for _, rate in pairs))


def _pairs_of(value: Any) -> list[tuple[int, float]]:
    """Return the pairs of a schedule; none where a value is no schedule."""
    if not isinstance(value, list | tuple) or len(value) < 2:
        return []
    pairs = []
    for pair in value:
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            return []
        at, rate = whole(pair[0]), whole(pair[1])
        if not isinstance(at, int | float) or not isinstance(rate, int | float):
            return []
        pairs.append((int(at), float(rate)))
    return pairs


def _batch_of(config: Section) -> int:
    """Return the environment steps of a batch, of all learners together."""
    if config.raw("train_batch_size_per_learner") is not None:
        each = config.count("train_batch_size_per_learner")
        return each * max(config.count("num_learners", 1), 1)
    return config.count("train_batch_size", 4000)


def _updates_of_batch(config: Section) -> int:
    """Return the updates that are made of a batch: PPO goes over it in several passes."""
    learners = max(config.count("num_learners", 1), 1)
    passes = config.count("num_epochs", config.count("num_sgd_iter", 1))
    size = config.count("minibatch_size", config.count("sgd_minibatch_size", 0))
    batch = _batch_of(config) // (learners if config.raw("train_batch_size_per_learner") else 1)
    return passes * (ceil(batch / size) if size else 1)


def _updates_to_end(top: Settings, batch: int, many: int, pairs: list[tuple[int, float]]) -> int:
    """Return the updates in the run: up to where it stops, else to the last pair."""
    stop = Section("rllib.stop", top.get("stop") or {})
    if stop.raw("training_iteration") is not None:
        return stop.count("training_iteration") * many
    end = next((stop.count(name) for name in _ENDS if stop.raw(name) is not None), None)
    if end is None and not pairs:
        raise ScheduleError("rllib.stop: the run has no end. Give --total-steps.")
    return ceil((pairs[-1][0] if end is None else end) / batch) * many
