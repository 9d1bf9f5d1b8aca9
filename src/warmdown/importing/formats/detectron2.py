"""detectron2's YAML: ``SOLVER``."""

from __future__ import annotations

from math import ceil

from warmdown.errors import ScheduleError
from warmdown.importing.formats.section import KnownRun, Section, Settings, rate_plan
from warmdown.plan import Plan
from warmdown.planfile.text import describe
from warmdown.schedules import Constant, Cosine, Linear, Milestones, Schedule

_KINDS = ("WarmupMultiStepLR", "WarmupCosineLR", "WarmupStepWithFixedGammaLR")
_NEEDED = ("BASE_LR", "MAX_ITER", "WARMUP_ITERS", "WARMUP_FACTOR", "WARMUP_METHOD",
           "LR_SCHEDULER_NAME")  # fmt: skip
_OF_KIND = {
    "WarmupMultiStepLR": ("STEPS", "GAMMA"),
    "WarmupCosineLR": ("BASE_LR_END",),
    "WarmupStepWithFixedGammaLR": ("NUM_DECAYS", "GAMMA"),
}
_EPSILON = 1e-6
"""fvcore adds it to the share of the run that is over, before it looks which part that is in."""


def read_detectron2(settings: Settings, known: KnownRun) -> Plan:
    """Read detectron2's ``SOLVER``; what it does not have is detectron2's default."""
    given = Section("SOLVER", settings.get("SOLVER") or {})
    kind = given.name("LR_SCHEDULER_NAME", _KINDS, "WarmupMultiStepLR")
    _tell_missing(settings, given, kind, known)
    if workers := given.count("REFERENCE_WORLD_SIZE", 0):
        raise ScheduleError(
            f"SOLVER.REFERENCE_WORLD_SIZE={workers}: the rate depends on how many workers there "
            "are. Write 0 to import that of so many."
        )
    total = known.total_steps or given.count("MAX_ITER", 40_000)
    lr = known.lr or given.number("BASE_LR", 0.001)
    warmup, first = given.count("WARMUP_ITERS", 1000), given.number("WARMUP_FACTOR", 0.001)
    form = given.name("WARMUP_METHOD", ("linear", "constant"), "linear")
    warmup, is_rescaled = min(warmup, total), bool(given.raw("RESCALE_INTERVAL", False))
    if is_rescaled and warmup == total:
        raise ScheduleError("SOLVER.WARMUP_ITERS: it is the whole run. Shorten it.")
    begin = warmup if is_rescaled else 0
    rest = _after_warmup(given, kind, total, begin, lr)
    if not warmup:
        return rate_plan(rest, total, lr)
    start, end = first * rest(0), rest(0) if is_rescaled else rest(warmup)
    rise: Schedule = Constant(start)
    if form == "linear":
        rise = Linear(start=start, end=end, steps=warmup)
    # the last updates of the warmup of a long run belong to what follows
    stop = next(k for k in range(warmup, -1, -1) if k == 0 or _is_within(k - 1, warmup, total))
    whole_curve = rise.take(stop) if stop < warmup else rise
    if isinstance(rise, Constant):
        whole_curve = Constant(start, steps=stop)
    after = rest.skip(stop - begin) if stop >= begin else rest.delay(begin - stop)
    return rate_plan(whole_curve >> after if stop else after, total, lr)


def _is_within(step: int, warmup: int, total: int) -> bool:
    return step / total + _EPSILON <= warmup / total


def _tell_missing(settings: Settings, given: Section, kind: str, known: KnownRun) -> None:
    """Report which defaults are taken, where a base file is not there that may have others."""
    base = settings.get("_BASE_")
    is_known = {"BASE_LR": known.lr is not None, "MAX_ITER": known.total_steps is not None}
    names = (*_NEEDED, *_OF_KIND[kind])
    missing = [f"SOLVER.{name}" for name in names
               if given.raw(name) is None and not is_known.get(name, False)]  # fmt: skip
    if base is not None and missing:
        known.tell(
            f"_BASE_={describe(base)} is not there: detectron2's own defaults are taken for "
            f"{', '.join(missing)}. Put that file beside this one if it has others."
        )


def _after_warmup(given: Section, kind: str, total: int, begin: int, lr: float) -> Schedule:
    """Return the factor without the warmup, from update 0 on, or from ``begin`` if rescaled."""
    length = total - begin
    if kind == "WarmupCosineLR":
        return Cosine(start=1.0, end=given.number("BASE_LR_END", 0.0) / lr, steps=length)
    gamma = given.number("GAMMA", 0.1)
    if kind == "WarmupMultiStepLR":
        shares = [mark / total for mark in given.numbers("STEPS", [30_000]) if mark <= total]
    else:
        parts = given.count("NUM_DECAYS", 3) + 1
        shares = [place / parts for place in range(1, parts)]
    marks = (ceil(round((share - _EPSILON) * length, 6)) for share in shares)
    return Milestones(tuple(max(mark, 1) for mark in marks), gamma=gamma)
