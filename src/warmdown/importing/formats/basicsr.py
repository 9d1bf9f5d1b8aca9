"""BasicSR's YAML: ``train.scheduler``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from warmdown.errors import ScheduleError
from warmdown.importing.formats.rates import Level, Rate, placed
from warmdown.importing.formats.section import KnownRun, Section, Settings, rate_plan
from warmdown.plan import Plan
from warmdown.schedules import Constant, Cosine, Linear, PiecewiseConstant

_KINDS = ("MultiStepLR", "MultiStepRestartLR", "CosineAnnealingRestartLR", "TrueCosineAnnealingLR")
_OWN = Level(1.0)


def read_basicsr(settings: Settings, known: KnownRun) -> Plan:
    """Read BasicSR's ``train.scheduler``, which every optimizer of the file follows.

    The rates are shares of each optimizer's own, ``optim_g.lr`` or ``optim_d.lr``.
    """
    train = Section("train", settings["train"])
    lr = known.lr or _first_optimizer(train).number("lr")
    total = known.total_steps or train.count("total_iter", train.raw("total_iters"))
    given = train.part("scheduler")
    kind = given.name("type", _KINDS)
    warmup = max(int(train.number("warmup_iter", -1)), 0)
    if kind.startswith("MultiStep"):
        rate = _stairs_after_warmup(given, warmup)
    elif kind == "CosineAnnealingRestartLR":
        rate = _cosines_with_restarts(given, total)
    else:
        rate = _true_cosine(given, warmup, total)
    given.refuse_rest()
    if warmup > 1:
        rise = Rate(Linear(start=1 / warmup, end=1.0, steps=warmup - 1), Constant(0.0))
        rate = placed([(0, rise), (warmup - 1, rate.skip(warmup - 1))])
    return rate_plan(rate.rule, total, lr)


def _first_optimizer(train: Section) -> Section:
    """Return the optimizer of the generator, or the first one."""
    names = [name for name, entry in train.entries.items()
             if str(name).startswith("optim_") and isinstance(entry, Mapping)]  # fmt: skip
    return train.part("optim_g" if "optim_g" in names or not names else names[0])


def _stairs_after_warmup(given: Section, warmup: int) -> Rate:
    """Return stairs, which fall from where the warmup has left the rate.

    BasicSR multiplies the rate that is there, so that the last rate of the warmup stays, and what
    falls within the warmup is lost; a restart alone has the rate of the optimizer again.
    """
    marks = Counter(int(mark) for mark in given.numbers("milestones"))
    restarts = [int(mark) for mark in given.numbers("restarts", [0])]
    weights = given.numbers("restart_weights", [1.0])
    gamma = given.number("gamma", 0.1)
    if len(weights) != len(restarts):
        raise ScheduleError("train.scheduler.restart_weights: as many as restarts are needed.")
    height = (warmup - 1) / warmup if warmup > 1 else 1.0
    values, at = [height], []
    for mark in sorted({*marks, *restarts}):
        if mark < warmup - 1:
            continue
        if mark in restarts:
            height = weights[restarts.index(mark)]
        else:
            height *= gamma ** marks[mark]
        if mark <= 0:
            values = [height]
        else:
            values.append(height)
            at.append(mark)
    stairs = PiecewiseConstant(values=tuple(values), at=tuple(at))
    return Rate(stairs if at else Constant(values[0]), Constant(0.0))


def _cosines_with_restarts(given: Section, total: int) -> Rate:
    """Return cosines with restarts, each at the step that its documentation names.

    BasicSR's code takes the lowest rate for that one update more.
    """
    periods = [int(period) for period in given.numbers("periods")]
    weights = given.numbers("restart_weights", [1.0])
    low = Level(0.0, given.number("eta_min", 0.0))
    if len(weights) != len(periods):
        raise ScheduleError("train.scheduler.restart_weights: as many as periods are needed.")
    if min(periods, default=0) < 1 or sum(periods) < total - 1:
        raise ScheduleError(
            f"train.scheduler.periods={periods}: they have to be positive, and to last for the run "
            f"of {total} updates."
        )
    parts, begin = [], 0
    for weight, period in zip(weights, periods, strict=True):
        top = Level(weight, low.added * (1 - weight))
        cosine = Rate.move(Cosine, top, low, period)
        parts.append((begin, cosine))
        begin += period
    return placed(parts)


def _true_cosine(given: Section, warmup: int, total: int) -> Rate:
    """Return torch's cosine, which goes on from where the warmup has left the rate."""
    period, low = given.count("T_max"), Level(0.0, given.number("eta_min", 0.0))
    if period < 1:
        raise ScheduleError("train.scheduler.T_max=0: at least 1 update is needed.")
    top = _OWN
    if warmup > 1:
        share = Cosine(start=1.0, end=0.0, steps=period)(warmup - 2)
        if not share:
            raise ScheduleError("train.scheduler.T_max: the warmup is longer. Lengthen it.")
        # the part above the lowest rate is what the cosine multiplies
        top = Level((warmup - 1) / warmup / share, low.added * (1 - 1 / share))
    parts = [(0, Rate.move(Cosine, top, low, period))]
    for begin in range(period, total, period):
        ends = (low, _OWN) if len(parts) % 2 else (_OWN, low)
        parts.append((begin, Rate.move(Cosine, *ends, period)))
    return placed(parts)
