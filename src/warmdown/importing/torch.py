"""torch's own schedulers, read by their attributes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from itertools import pairwise
from math import lcm
from typing import Any

from warmdown.compat.names.shapes import lowered
from warmdown.importing.imported import Imported, NotImportable, uniform
from warmdown.importing.simulation import Reader, SchedulerCopy
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
    exp_range,
    triangular,
    triangular2,
)

_FINEST = 10**15


def _factor(shape: Callable[[Any], Schedule]) -> Reader:
    """Return the reader of a scheduler that multiplies every group's rate by the same shape."""
    return lambda scheduler, copy: uniform(len(copy.bases), Scale(shape(scheduler)))


def _milestones(scheduler: Any) -> Schedule:
    marks = sorted(scheduler.milestones.elements())
    if marks and marks[0] <= 0:
        raise NotImportable("a milestone before the first step")
    return Milestones(gamma=scheduler.gamma, at=tuple(marks))


def _linear_factor(scheduler: Any) -> Schedule:
    steps = _whole_steps(scheduler.total_iters, least=1)
    return Linear(start=scheduler.start_factor, end=scheduler.end_factor, steps=steps)


def _annealed_cosine(scheduler: Any, copy: SchedulerCopy) -> Imported:
    steps = _whole_steps(scheduler.T_max, least=1)
    fall, low = Cosine(steps=steps), scheduler.eta_min
    wave = (fall >> Cosine(start=0.0, end=1.0, steps=steps)).repeat()
    reason = "torch's cosine climbs back after T_max"
    return uniform(len(copy.bases), lowered(fall, low), lowered(wave, low), reason=reason)


def _warm_restarts(scheduler: Any, copy: SchedulerCopy) -> Imported:
    cycles = Cosine(steps=scheduler.T_0).repeat(grow=scheduler.T_mult)
    return uniform(len(copy.bases), lowered(cycles, scheduler.eta_min), steps=scheduler.T_0)


def _swa(scheduler: Any, copy: SchedulerCopy) -> Imported:
    curve = {"_cosine_anneal": Cosine, "_linear_anneal": Linear}.get(scheduler.anneal_func.__name__)
    if curve is None or scheduler.last_epoch > 0:
        raise NotImportable("an anneal of another shape, or one that is under way")
    fall = curve(steps=_whole_steps(scheduler.anneal_epochs, least=1))
    return Imported({"lr": [lowered(fall, end) for end in copy.read("swa_lr")]}, steps=fall.length)


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
    total = _whole_steps(scheduler.total_size, least=1)
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
    corrected = {name: list(map(Set, arcs)) for name, arcs in curves.items()}
    if type(scheduler).__module__.startswith("warmdown"):
        return Imported(corrected, total=total, steps=total - 1)
    lasts = zip(names, _past_the_end(scheduler, copy, total), strict=False)
    return Imported(
        corrected,
        {name: list(map(_then, curves[name], last)) for name, last in lasts},
        reason=f"torch leaves the value of a step past the end after step() {total}, and raises at "
        "the next",
        total=total,
        steps=total - 1,
    )


def _arcs(scheduler: Any, copy: SchedulerCopy, what: str) -> list[Schedule]:
    """Return one-cycle's phases for each group; they may join between two updates."""
    curve = {"cos": Cosine, "linear": Linear}[scheduler._anneal_func_type]
    phases = scheduler._schedule_phases
    ends = [Fraction(phase["end_step"]).limit_denominator(1_000_000) for phase in phases]
    if sorted(ends) != ends:
        raise NotImportable("phases that do not follow each other")
    fine = lcm(*(end.denominator for end in ends))
    if fine * ends[-1] > _FINEST:
        raise NotImportable("phases that no common measure has")
    # a phase too short to be seen ends before the first step
    begun = max((end for end in ends if end < 0), default=Fraction(0))
    bounds = [max(bound, begun) for bound in (Fraction(0), *ends)]
    lengths = [int((last - first) * fine) for first, last in pairwise(bounds)]

    def arc(group: int) -> Schedule:
        moves = [
            curve(
                start=copy.read(phase[f"start_{what}"])[group],
                end=copy.read(phase[f"end_{what}"])[group],
                steps=length,
            )
            for phase, length, end in zip(phases, lengths, ends, strict=True)
            if end > begun
        ]
        whole = Chain(members=tuple(moves)).skip(int(-begun * fine)) if begun else Chain.of(*moves)
        return whole if fine == 1 else whole.stretch(int(ends[-1]))

    return [arc(group) for group in range(len(copy.bases))]


def _past_the_end(scheduler: Any, copy: SchedulerCopy, step: int) -> Sequence[Sequence[float]]:
    """Return the rates and momentums that the original leaves behind its last step."""
    theirs = copy.scheduler
    theirs.last_epoch, theirs._get_lr_called_within_step = step, True
    rates = [float(rate) for rate in theirs.get_lr()]
    return [rates, copy.read("betas[0]" if getattr(theirs, "use_beta1", False) else "momentum")]


def _then(curve: Schedule, last: float) -> Set:
    return Set(curve.take((curve.length or 0) + 1) >> Constant(value=last))


def _whole_steps(steps: Any, least: int = 0) -> int:
    if isinstance(steps, bool) or steps != int(steps) or steps < least:
        raise NotImportable(f"{steps} steps")
    return int(steps)


READERS: Mapping[str, Reader] = {
    "StepLR": _factor(lambda s: Staircase(gamma=s.gamma, every=_whole_steps(s.step_size))),
    "MultiStepLR": _factor(_milestones),
    "ConstantLR": _factor(
        lambda s: (
            Constant(value=s.factor, steps=_whole_steps(s.total_iters, 1)) >> Constant(value=1.0)
        )
    ),
    "LinearLR": _factor(_linear_factor),
    "ExponentialLR": _factor(lambda s: ExponentialDecay(start=1.0, gamma=s.gamma)),
    "PolynomialLR": _factor(
        lambda s: Polynomial(steps=_whole_steps(s.total_iters, 1), power=s.power)
    ),
    "CosineAnnealingLR": _annealed_cosine,
    "CosineAnnealingWarmRestarts": _warm_restarts,
    "SWALR": _swa,
    "ReduceLROnPlateau": _plateau,
    "CyclicLR": _cyclic,
    "OneCycleLR": _one_cycle,
}
