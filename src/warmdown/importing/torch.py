"""torch's own schedulers, read by their attributes."""

from __future__ import annotations

__all__ = ["READERS"]

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from math import lcm
from typing import Any

from warmdown.compat.names.shapes import lowered
from warmdown.importing.imported import Imported, NotImportable, pure
from warmdown.importing.simulation import SchedulerCopy
from warmdown.schedules import (
    Chain,
    Constant,
    Cosine,
    ExponentialDecay,
    Linear,
    Milestones,
    Plateau,
    Polynomial,
    Scale,
    Schedule,
    Set,
    Staircase,
)
from warmdown.schedules.recipes import exp_range, triangular, triangular2

Reader = Callable[[Any, SchedulerCopy], Imported]

_FINEST = 10**15
_NO_STEP_BACK = "torch's cosine climbs back after T_max"


def _step(scheduler: Any, copy: SchedulerCopy) -> Imported:
    stairs = Staircase(gamma=scheduler.gamma, every=_whole(scheduler.step_size))
    return pure(len(copy.bases), Scale(stairs))


def _multi_step(scheduler: Any, copy: SchedulerCopy) -> Imported:
    marks = sorted(scheduler.milestones.elements())
    if any(mark <= 0 for mark in marks):
        raise NotImportable("a milestone before the first step")
    return pure(len(copy.bases), Scale(Milestones(gamma=scheduler.gamma, at=tuple(marks))))


def _constant(scheduler: Any, copy: SchedulerCopy) -> Imported:
    steps = _whole(scheduler.total_iters, least=1)
    return pure(
        len(copy.bases), Scale(Constant(value=scheduler.factor, steps=steps) >> Constant(value=1.0))
    )


def _linear(scheduler: Any, copy: SchedulerCopy) -> Imported:
    steps = _whole(scheduler.total_iters, least=1)
    line = Linear(start=scheduler.start_factor, end=scheduler.end_factor, steps=steps)
    return pure(len(copy.bases), Scale(line), steps=steps)


def _exponential(scheduler: Any, copy: SchedulerCopy) -> Imported:
    return pure(len(copy.bases), Scale(ExponentialDecay(start=1.0, gamma=scheduler.gamma)))


def _polynomial(scheduler: Any, copy: SchedulerCopy) -> Imported:
    steps = _whole(scheduler.total_iters, least=1)
    return pure(len(copy.bases), Scale(Polynomial(steps=steps, power=scheduler.power)), steps=steps)


def _cosine(scheduler: Any, copy: SchedulerCopy) -> Imported:
    steps = _whole(scheduler.T_max, least=1)
    fall = Cosine(steps=steps)
    wave = (fall >> Cosine(start=0.0, end=1.0, steps=steps)).repeat()
    low = scheduler.eta_min
    return pure(
        len(copy.bases), lowered(fall, low), lowered(wave, low), reason=_NO_STEP_BACK, steps=steps
    )


def _warm_restarts(scheduler: Any, copy: SchedulerCopy) -> Imported:
    cycles = Cosine(steps=scheduler.T_0).repeat(grow=scheduler.T_mult)
    return pure(len(copy.bases), lowered(cycles, scheduler.eta_min), steps=scheduler.T_0)


def _swa(scheduler: Any, copy: SchedulerCopy) -> Imported:
    curve = {"_cosine_anneal": Cosine, "_linear_anneal": Linear}.get(scheduler.anneal_func.__name__)
    if curve is None or scheduler.last_epoch > 0:
        raise NotImportable("an anneal of another shape, or one that is under way")
    steps, ends = _whole(scheduler.anneal_epochs, least=1), copy.read("swa_lr")
    fall = curve(steps=steps)
    return Imported({"lr": [lowered(fall, end) for end in ends]}, steps=steps)


def _plateau(scheduler: Any, copy: SchedulerCopy) -> Imported:
    names = ("mode", "factor", "patience", "threshold", "threshold_mode", "cooldown")
    plateau = Plateau(metric="loss", **{name: getattr(scheduler, name) for name in names})
    remark = (
        "it follows a metric, not the step: tell it by scheduler.observe(loss=…), under the name "
        "you give the plateau"
    )
    rules = [Scale(plateau, low=low or None) for low in scheduler.min_lrs]
    return Imported({"lr": rules}, remarks=(remark,))


def _cyclic(scheduler: Any, copy: SchedulerCopy) -> Imported:
    if getattr(scheduler, "_scale_fn_custom", None) is not None:
        raise NotImportable("a scale of one's own")
    up = _whole(scheduler.total_size * scheduler.step_ratio, least=1)
    sides = {"up": up, "down": _whole(scheduler.total_size - up, least=1)}
    shape = _cycles(scheduler, sides)
    targets = {
        "lr": [
            Set(shape(low, high)) for low, high in zip(copy.bases, scheduler.max_lrs, strict=True)
        ]
    }
    if scheduler.cycle_momentum:
        ends = zip(scheduler.base_momentums, scheduler.max_momentums, strict=True)
        targets["momentum"] = [Set(shape(0.0, high - low) * -1 + high) for low, high in ends]
    return Imported(targets, steps=int(scheduler.total_size))


def _cycles(scheduler: Any, sides: Mapping[str, int]) -> Callable[[float, float], Schedule]:
    modes: Mapping[str, Callable[[float, float], Schedule]] = {
        "triangular": lambda low, high: triangular(low=low, high=high, **sides),
        "triangular2": lambda low, high: triangular2(low=low, high=high, **sides),
        "exp_range": lambda low, high: exp_range(
            low=low, high=high, gamma=scheduler.gamma, **sides
        ),
    }
    return modes[scheduler.mode]


def _one_cycle(scheduler: Any, copy: SchedulerCopy) -> Imported:
    total = scheduler.total_steps
    rates = {name: copy.read(name) for name in ("initial_lr", "max_lr", "min_lr")}
    right = {
        "lr": [_arc(scheduler, _of_group(rates, group), "lr") for group in range(len(copy.bases))]
    }
    if scheduler.cycle_momentum:
        ends = {name: copy.read(name) for name in ("base_momentum", "max_momentum")}
        right["momentum"] = [
            _arc(scheduler, _of_group(ends, group), "momentum") for group in range(len(copy.bases))
        ]
    corrected = {name: [Set(curve) for curve in curves] for name, curves in right.items()}
    if type(scheduler).__module__.startswith("warmdown"):
        return Imported(corrected, total=total, steps=total - 1)
    lasts = zip(right.items(), _past_the_end(scheduler, copy, total), strict=False)
    return Imported(
        corrected,
        {name: [Set(curve) for curve in _then(curves, last)] for (name, curves), last in lasts},
        reason=f"torch leaves the value of a step past the end after step() {total}, and raises at "
        f"the next",
        total=total,
        steps=total - 1,
    )


def _arc(scheduler: Any, ends: Mapping[str, float], what: str) -> Schedule:
    """Return one-cycle's phases; their seams may lie between two steps."""
    curve = {"cos": Cosine, "linear": Linear}[scheduler._anneal_func_type]
    phases = [
        (ends[phase[f"start_{what}"]], ends[phase[f"end_{what}"]], _seam(phase["end_step"]))
        for phase in scheduler._schedule_phases
    ]
    seams = [Fraction(0), *(seam for _, _, seam in phases)]
    if sorted(seams[1:]) != seams[1:]:
        raise NotImportable("phases that do not follow each other")
    fine = lcm(*(seam.denominator for seam in seams))
    if fine * seams[-1] > _FINEST:
        raise NotImportable("seams that no common measure has")
    begun = max(
        (seam for seam in seams if seam < 0), default=Fraction(0)
    )  # a phase too short to be seen
    moves = [
        curve(start=start, end=end, steps=int((seam - max(before, begun)) * fine))
        for (start, end, seam), before in zip(phases, seams, strict=False)
        if seam > begun
    ]
    whole = Chain(members=tuple(moves)).skip(int(-begun * fine)) if begun else Chain.of(*moves)
    return whole if fine == 1 else whole.stretch(int(seams[-1]))


def _seam(step: float) -> Fraction:
    return Fraction(step).limit_denominator(1_000_000)


def _past_the_end(scheduler: Any, copy: SchedulerCopy, step: int) -> Sequence[Sequence[float]]:
    """Return the rates and momentums that the original leaves behind its last step."""
    theirs = copy.scheduler
    theirs.last_epoch, theirs._get_lr_called_within_step = step, True
    rates = [float(rate) for rate in theirs.get_lr()]
    held = copy.read("betas[0]" if getattr(theirs, "use_beta1", False) else "momentum")
    return [rates, held or []]


def _then(curves: Sequence[Schedule], last: Sequence[float]) -> list[Schedule]:
    ended = [curve.length or 0 for curve in curves]
    return [
        curve.take(steps + 1) >> Constant(value=value)
        for curve, steps, value in zip(curves, ended, last, strict=True)
    ]


def _of_group(rates: Mapping[str, Sequence[float]], group: int) -> dict[str, float]:
    return {name: held[group] for name, held in rates.items()}


def _whole(steps: Any, least: int = 0) -> int:
    if isinstance(steps, bool) or steps != int(steps) or steps < least:
        raise NotImportable(f"{steps} steps")
    return int(steps)


READERS: Mapping[str, Reader] = {
    "StepLR": _step,
    "MultiStepLR": _multi_step,
    "ConstantLR": _constant,
    "LinearLR": _linear,
    "ExponentialLR": _exponential,
    "PolynomialLR": _polynomial,
    "CosineAnnealingLR": _cosine,
    "CosineAnnealingWarmRestarts": _warm_restarts,
    "SWALR": _swa,
    "ReduceLROnPlateau": _plateau,
    "CyclicLR": _cyclic,
    "OneCycleLR": _one_cycle,
}
