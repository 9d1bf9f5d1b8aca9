"""What a schedule leaves in the weights, and the mean of checkpoints that stands for a decay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from warmdown.errors import ForecastError
from warmdown.formatting import count
from warmdown.plan import Plan
from warmdown.schedules import Scale
from warmdown.schedules.feedback import feedbacks
from warmdown.schedules.sampling import Array

_MOST = 4_000_000
"""Updates that are looked at one by one; of a longer run each row stands for two, three … updates
of the same rate."""


@dataclass(frozen=True, eq=False)
class Contributions:
    r"""How much of each update is left in the final weights.

    .. math:: \theta_T = \theta_0 \prod_j (1 - \eta_j w_j)
        - \sum_i \eta_i \prod_{j > i} (1 - \eta_j w_j)\, u_i

    The u_i are the optimizer's own updates, such as AdamW's; with a weight decay they are averaged
    with the weights ``c_i = eta_i w_i prod_{j > i} (1 - eta_j w_j)``, which sum, with the share of
    the start, to 1.

    Args:
        steps: Updates, ``(n,)``; of a run of millions the first update of each row.
        coefficients: What multiplies each update, ``(n,)``; the sum over the updates of a row.
        weights: The ``c_i``, ``(n,)``, summed alike; 0 without weight decay.
        initial: Share of the initial weights that is left.
        timescale: Updates over which the last ones are averaged, 1 / (eta w) at the highest rate;
            infinite without weight decay.

    Reference: Wang & Aitchison 2024; Bergsma et al. 2025, https://arxiv.org/abs/2502.15938.
    """

    steps: Array
    coefficients: Array
    weights: Array
    initial: float
    timescale: float

    @property
    def half_life(self) -> int:
        """The last updates that make half of what all updates left in the weights."""
        left = self.coefficients[::-1].cumsum()
        if left[-1] <= 0:
            return 0
        stride = self.steps[1] - self.steps[0] if self.steps.size > 1 else 1.0
        return int(stride * (1 + np.searchsorted(left, left[-1] / 2)))

    def __str__(self) -> str:
        scale = "" if np.isinf(self.timescale) else f", timescale {count(round(self.timescale))}"
        return (
            f"weights: {self.initial:.2g} of the initial ones are left; half of the rest comes "
            f"from the last {count(self.half_life)} updates{scale}."
        )


def contributions_of(plan: Plan, *, weight_decay: float | None = None) -> Contributions:
    """Return what each update leaves in the weights, from the plan alone.

    Args:
        plan: A plan whose run has a length and a base rate; its ``weight_decay`` may be scheduled.
        weight_decay: The base weight decay, or all of it where the plan has none.

    Raises:
        ForecastError: The plan has no rate, its length or a base value is not known, a metric
            decides a value, or rate times weight decay is not between 0 and 1.

    Example:
        >>> from warmdown import Constant, Plan, Run, Set
        >>> plan = Plan.of(lr=Set(Constant(0.1)), weight_decay=Set(Constant(0.5)),
        ...                run=Run(total_steps=2))
        >>> contributions_of(plan).coefficients.round(4).tolist()
        [0.095, 0.1]
    """
    plan = plan.over()
    if not (stop := int(plan.length or 0)):
        raise ForecastError("contributions(plan): its length is not known. Give Run(total_steps).")
    stride = max(1, -(-stop // _MOST))
    steps = np.arange(0.0, stop, stride)
    rates = _values(plan, "lr", steps, plan.run.lr)
    if rates is None:
        raise ForecastError("contributions(plan): the plan has no lr. Give one with a rate.")
    decays = _values(plan, "weight_decay", steps, weight_decay)
    if decays is None:
        decays = np.full_like(steps, weight_decay or 0.0)
    shrink = rates * decays
    if not ((rates >= 0) & (shrink >= 0) & (shrink <= 1)).all():
        raise ForecastError(
            "contributions(plan): rate times weight decay leaves 0 to 1, at "
            f"{shrink[np.abs(shrink - 0.5).argmax()]:.3g}. Give a lower rate or weight decay."
        )
    lengths = np.diff(np.r_[steps, stop])
    with np.errstate(divide="ignore"):  # a product that is 0 forgets all before it
        kept = lengths * np.log1p(-shrink)
    after = np.r_[kept[::-1].cumsum()[::-1][1:], 0.0]
    # the updates of a row make a geometric series
    inside = np.divide(-np.expm1(kept), shrink, out=lengths, where=shrink * lengths > shrink)
    coefficients = rates * inside * np.exp(after)
    fastest = float(shrink.max())
    return Contributions(steps, coefficients, coefficients * decays, float(np.exp(kept.sum())),
                         1 / fastest if fastest > 0 else float("inf"))  # fmt: skip


def _values(plan: Plan, name: str, steps: Array, base: float | None) -> Array | None:
    target = next((target for target in plan.targets if target.name == name), None)
    if target is None:
        return None
    if isinstance(target.rule, Scale) and base is None:
        given = "Run(lr=…)" if name == "lr" else f"{name}=…"
        raise ForecastError(
            f"contributions(plan): it scales a base {name} that is not known. Give {given}."
        )
    if any(any(feedbacks(part)) for part in target.rule.schedules()):
        raise ForecastError(
            f"contributions(plan): its {name} waits for a metric of the run, and is not known "
            "before. Give a schedule that needs none."
        )
    return np.asarray(target.rule.value(steps, base or 0.0), dtype=np.float64)


@dataclass(frozen=True, eq=False)
class CheckpointShares:
    r"""Shares of checkpoints, so that their mean stands for a decay of the rate.

    .. math:: \sum_i s_i \theta_{u_i} = \theta_T - \sum_j d_j\, u_j

    A checkpoint after n updates holds each update before it whole. So the mean holds an update by
    the sum of the shares behind it, which falls from 1 as the decay does.

    Args:
        steps: Updates that were made at each checkpoint, in order; the last ends the decay.
        shares: Share of each, which sum to 1; a curve that rises gives negative ones.
        error: Root mean square, over the decay, of the difference between the curve and the stairs
            that the shares stand for; 0 with a checkpoint after each update.

    Reference: Tian et al. 2025, https://arxiv.org/abs/2507.17634.
    """

    steps: tuple[int, ...]
    shares: Array
    error: float


def shares_of_checkpoints(factors: Array, steps: Sequence[int]) -> CheckpointShares | None:
    """Return the shares that come nearest to a decay; ``None`` where checkpoints do not reach back.

    Args:
        factors: What multiplies the rate of each of the last updates, ``(n,)``.
        steps: Updates that were made at each checkpoint, in order; the decay ends with the last.

    Example:
        >>> found = shares_of_checkpoints(np.array([1.0, 0.75, 0.5, 0.25]), [10, 12, 14])
        >>> found.shares.tolist(), found.error
        ([0.125, 0.5, 0.375], 0.125)
    """
    stop = steps[-1]
    start = stop - factors.size
    falls = np.flatnonzero(factors != 1.0)
    first_fall = start + int(falls[0]) if falls.size else stop
    before = [step for step in steps if step <= first_fall]
    if not before:
        return None
    used = [before[-1], *(step for step in steps if step > before[-1])]
    if len(used) == 1:
        return CheckpointShares((stop,), np.ones(1), 0.0)
    curve = np.r_[np.ones(max(start - used[0], 0)), factors[max(used[0] - start, 0) :]]
    lengths = np.diff(used)
    # the mean is the nearest constant, by least squares
    levels = np.add.reduceat(curve, np.r_[0, lengths[:-1]].cumsum()) / lengths
    distance = np.square(np.repeat(levels, lengths) - curve).sum()
    shares = -np.diff(np.r_[1.0, levels, 0.0])
    return CheckpointShares(tuple(used), shares, float(np.sqrt(distance / factors.size)))
