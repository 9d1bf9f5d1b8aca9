"""torch's own schedulers, read by their attributes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from warmdown.compat import lr_scheduler as ours
from warmdown.compat.lr_scheduler.cycles import ONE_CYCLE_CORNERS, curve_through
from warmdown.compat.names.shapes import lowered
from warmdown.importing.imported import Imported, NotImportable, uniform
from warmdown.importing.numbers import whole
from warmdown.importing.simulation import Reader, SchedulerCopy
from warmdown.schedules import (
    Constant,
    Cosine,
    Linear,
    Milestones,
    Plateau,
    Scale,
    Schedule,
    Set,
    exp_range,
    triangular,
    triangular2,
)

_FINEST = 10**15


def _factor(kind: Any) -> Reader:
    """Return the reader of a scheduler that multiplies every group's rate by our name's curve."""

    def read(scheduler: Any, copy: SchedulerCopy) -> Imported:
        curve, ticks = kind.unit_curve(scheduler)
        if ticks > 1 or getattr(scheduler, "total_iters", 1) == 0:
            raise NotImportable("a length that is no whole number of steps")
        return uniform(len(copy.bases), Scale(curve))

    return read


def _milestones(scheduler: Any, copy: SchedulerCopy) -> Imported:
    marks = sorted(map(whole, scheduler.milestones.elements()))
    if marks and marks[0] <= 0:
        raise NotImportable("a milestone before the first step")
    return uniform(len(copy.bases), Scale(Milestones(gamma=scheduler.gamma, at=tuple(marks))))


def _annealed_cosine(scheduler: Any, copy: SchedulerCopy) -> Imported:
    steps = _whole_steps(scheduler.T_max)
    fall, low = Cosine(steps=steps), scheduler.eta_min
    wave = (fall >> Cosine(start=0.0, end=1.0, steps=steps)).repeat()
    reason = "torch's cosine climbs back after T_max"
    return uniform(len(copy.bases), lowered(fall, low), lowered(wave, low), reason=reason)


def _warm_restarts(scheduler: Any, copy: SchedulerCopy) -> Imported:
    cycles = Cosine(steps=scheduler.T_0).repeat(grow=scheduler.T_mult)
    return uniform(len(copy.bases), lowered(cycles, scheduler.eta_min), steps=scheduler.T_0)


def _swa(scheduler: Any, copy: SchedulerCopy) -> Imported:
    kind = {"_cosine_anneal": Cosine, "_linear_anneal": Linear}.get(scheduler.anneal_func.__name__)
    if kind is None:
        raise NotImportable("an anneal of another shape")
    fall: Cosine | Linear = kind(steps=_whole_steps(scheduler.anneal_epochs))
    left = fall(copy.position)
    rules = []
    for base, now, end in zip(copy.bases, copy.read("lr"), copy.read("swa_lr"), strict=True):
        # it moves from the rate that there was, which may be another than the base rate
        first = (now - end * (1 - left)) / left if left else base
        is_base = not base or math.isclose(first, base, rel_tol=1e-9)
        curve = fall if is_base else fall * (first / base)
        rules.append(Scale(curve, offset=(fall * -end + end) if end else None))
    return Imported({"lr": rules}, steps=fall.length)


def _plateau(scheduler: Any, copy: SchedulerCopy) -> Imported:
    names = ("mode", "factor", "patience", "threshold", "threshold_mode", "cooldown")
    plateau = Plateau(metric="loss", **{name: getattr(scheduler, name) for name in names})
    remark = (
        "it follows a metric, not the step: give it by scheduler.observe(loss=…), under the name "
        "of the plateau's metric"
    )
    rules = [Scale(plateau, low=low or None) for low in scheduler.min_lrs]
    return Imported({"lr": rules}, remarks=(remark,))


def _cyclic(scheduler: Any, copy: SchedulerCopy) -> Imported:
    if getattr(scheduler, "_scale_fn_custom", None) is not None:
        raise NotImportable("a scale of one's own")
    total = _whole_steps(scheduler.total_size)
    # torch keeps only the quotient up / total, so that the product may miss the integer by a
    # rounding: the integer is the one whose quotient it is.
    up = round(total * scheduler.step_ratio)
    if not 0 < up < total or up / total != scheduler.step_ratio:
        raise NotImportable(f"{total * scheduler.step_ratio} steps")
    form: dict[str, Any] = {"up": up, "down": total - up}
    if scheduler.mode == "exp_range":
        form["gamma"] = scheduler.gamma
    shape = {"triangular": triangular, "triangular2": triangular2, "exp_range": exp_range}
    cycles: Any = shape[scheduler.mode]

    rates = zip(copy.bases, scheduler.max_lrs, strict=True)
    targets = {"lr": [Set(cycles(low=low, high=high, **form)) for low, high in rates]}
    if scheduler.cycle_momentum:
        ends = zip(scheduler.base_momentums, scheduler.max_momentums, strict=True)
        targets["momentum"] = [
            Set(cycles(low=0.0, high=high - low, **form) * -1 + high) for low, high in ends
        ]
    return Imported(targets, steps=total)


def _one_cycle(scheduler: Any, copy: SchedulerCopy) -> Imported:
    total = scheduler.total_steps
    names = ["lr", "momentum"] if scheduler.cycle_momentum else ["lr"]
    curves = {name: _arcs(scheduler, copy, name) for name in names}
    lasts = zip(names, _past_the_end(scheduler, copy, total), strict=False)
    return Imported(
        {name: list(map(Set, arcs)) for name, arcs in curves.items()},
        {name: list(map(_then, curves[name], last)) for name, last in lasts},
        reason=f"torch leaves the value of a step past the end after step() {total}, and raises at "
        "the next",
        total=total,
        steps=total - 1,
    )


def _arcs(scheduler: Any, copy: SchedulerCopy, what: str) -> list[Schedule]:
    """Return one-cycle's phases for each group; they may join between two updates."""
    if isinstance(scheduler, ours.OneCycleLR):
        ends = scheduler.phase_ends()
    else:
        steps = [phase["end_step"] for phase in scheduler._schedule_phases]
        ends = [Fraction(step).limit_denominator(1_000_000) for step in steps]
    if sorted(ends) != ends:
        raise NotImportable("phases that do not follow each other")
    corners = list(ONE_CYCLE_CORNERS[len(ends)])
    if what == "momentum":  # it moves against the rate
        corners = ["base_momentum" if name == "max_lr" else "max_momentum" for name in corners]
    arcs = []
    for heights in zip(*map(copy.read, corners), strict=True):
        curve, ticks = curve_through(heights, ends, scheduler._anneal_func_type)
        if ticks * ends[-1] > _FINEST:
            raise NotImportable("phases that no common measure has")
        arcs.append(curve if ticks == 1 else curve.stretch(int(ends[-1])))
    return arcs


def _past_the_end(scheduler: Any, copy: SchedulerCopy, step: int) -> Sequence[Sequence[float]]:
    """Return the rates and momentums that the original leaves behind its last step."""
    theirs = copy.scheduler
    theirs.last_epoch, theirs._get_lr_called_within_step = step, True
    rates = [float(rate) for rate in theirs.get_lr()]
    return [rates, copy.read("betas[0]" if getattr(theirs, "use_beta1", False) else "momentum")]


def _then(curve: Schedule, last: float) -> Set:
    return Set(curve.take((curve.length or 0) + 1) >> Constant(value=last))


def _whole_steps(steps: Any) -> int:
    if isinstance(steps, bool) or steps != int(steps) or steps < 1:
        raise NotImportable(f"{steps} steps")
    return int(steps)


READERS: Mapping[str, Reader] = {
    "StepLR": _factor(ours.StepLR),
    "MultiStepLR": _milestones,
    "ConstantLR": _factor(ours.ConstantLR),
    "LinearLR": _factor(ours.LinearLR),
    "ExponentialLR": _factor(ours.ExponentialLR),
    "PolynomialLR": _factor(ours.PolynomialLR),
    "CosineAnnealingLR": _annealed_cosine,
    "CosineAnnealingWarmRestarts": _warm_restarts,
    "SWALR": _swa,
    "ReduceLROnPlateau": _plateau,
    "CyclicLR": _cyclic,
    "OneCycleLR": _one_cycle,
}
