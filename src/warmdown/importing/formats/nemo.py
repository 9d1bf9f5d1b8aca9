"""NeMo's YAML: ``optim.sched``."""

from __future__ import annotations

from collections.abc import Callable

from warmdown.errors import ScheduleError
from warmdown.importing.formats.rates import Level, Rate, placed
from warmdown.importing.formats.section import KnownRun, Section, Settings, in_turn, rate_plan
from warmdown.plan import Plan
from warmdown.planfile.text import describe
from warmdown.schedules import (
    Constant,
    Cosine,
    InverseSqrt,
    Linear,
    Polynomial,
    Power,
    Rule,
    Scale,
    Schedule,
    Set,
    Sqrt,
    Staircase,
)

_KINDS = ("WarmupPolicy", "WarmupHoldPolicy", "SquareAnnealing", "SquareRootAnnealing",
          "CosineAnnealing", "NoamAnnealing", "NoamHoldAnnealing",
          "WarmupHoldAnnealOneMinusSquareRoot", "WarmupHoldAnnealLinear", "WarmupAnnealing",
          "InverseSquareRootAnnealing", "T5InverseSquareRootAnnealing",
          "PolynomialDecayAnnealing", "PolynomialHoldDecayAnnealing", "StepLR",
          "ExponentialLR")  # fmt: skip
_HOLDS = ("WarmupHoldPolicy", "NoamHoldAnnealing", "WarmupHoldAnnealOneMinusSquareRoot",
          "WarmupHoldAnnealLinear", "PolynomialHoldDecayAnnealing")  # fmt: skip
_CLIPPED = ("SquareAnnealing", "SquareRootAnnealing", "NoamAnnealing", "NoamHoldAnnealing",
            "WarmupHoldAnnealOneMinusSquareRoot")  # fmt: skip
_MEANINGLESS = ("monitor", "reduce_on_plateau", "last_epoch", "iters_per_batch", "verbose",
                "t_max_epochs", "t_accumulate_grad_batches", "t_limit_train_batches",
                "t_num_workers")  # fmt: skip
_OWN = Level(1.0)


def read_nemo(settings: Settings, known: KnownRun) -> Plan:
    """Read NeMo's ``optim.sched``, whose arguments may stand in ``args.params``."""
    home = settings if "optim" in settings else settings["model"]
    optim = Section("optim", home["optim"])
    entries = dict(optim.part("sched").entries)
    nested = entries.pop("args", None) or {}
    entries |= Section("optim.sched.args", nested).part("params").entries
    given = Section("optim.sched", entries, _MEANINGLESS)
    kind = given.name("name", _KINDS)
    lr = known.lr or optim.number("lr")
    trainer = Section("trainer", settings.get("trainer") or {})
    steps = max(int(given.number("max_steps", 0)), 0)
    total = known.total_steps or steps or max(int(trainer.number("max_steps", 0)), 0)
    if not total:
        epochs = known.epochs or trainer.raw("max_epochs") or entries.get("t_max_epochs")
        if epochs is None or float(epochs) < 1 or known.steps_per_epoch is None:
            raise ScheduleError(
                "optim.sched.max_steps: it is missing. Give --total-steps, or --steps-per-epoch "
                "and --epochs."
            )
        total = known.updates(float(epochs))
    low = given.number("min_lr", 1e-5 if kind == "SquareAnnealing" else 0.0)
    if kind == "StepLR":
        every = given.count("step_size")
        return _nemo_plan(
            given, Staircase(gamma=given.number("gamma", 0.1), every=every), total, lr
        )
    if kind == "ExponentialLR":
        gamma, every = given.number("gamma"), known.updates(1)
        return _nemo_plan(given, Staircase(gamma=gamma, every=every), total, lr)
    if kind == "NoamAnnealing":
        return _nemo_plan(given, _noam_rate(given, steps or total, low, lr), total, lr)
    rate, floor_from = _nemo_rate(given, kind, steps or total, low)
    rule = rate.rule
    if kind in _CLIPPED and low:
        rule = Scale(rule.of, rule.offset, low=Constant(0.0, steps=floor_from) >> Constant(low))
    return _nemo_plan(given, rule, total, lr)


def _nemo_plan(given: Section, rule: Schedule | Rule, total: int, lr: float) -> Plan:
    given.refuse_rest()
    return rate_plan(rule, total, lr)


def _share_or_steps(given: Section, name: str, total: int) -> int:
    """Return a length that is given in steps, or as a share of the run that is rounded down."""
    share = given.raw(f"{name}_ratio")
    if share is None:
        return given.count(f"{name}_steps", 0)
    if given.raw(f"{name}_steps") is not None:
        raise ScheduleError(
            f"optim.sched.{name}_ratio={describe(share)}: {name}_steps is there, too. Take one of "
            "them out."
        )
    return int(given.number(f"{name}_ratio") * total)


def _nemo_rate(given: Section, kind: str, stop: int, low: float) -> tuple[Rate, int]:
    """Return the rate of a kind, and the step from which its lowest rate holds."""
    lowest = Level(0.0, low)
    after = (stop + 1, Rate.hold(lowest))
    if kind == "T5InverseSquareRootAnnealing":
        flat = given.count("constant_steps")
        if flat < 1:
            raise ScheduleError("optim.sched.constant_steps=0: at least 1 step is needed.")
        falling = InverseSqrt(start=flat**-0.5, timescale=flat)
        root = Rate(Constant(0.0), falling.delay(flat))
        return placed([(0, root), after]), 0
    warmup = _share_or_steps(given, "warmup", stop)
    if kind == "CosineAnnealing":
        flat = _share_or_steps(given, "constant", stop)
        fall = stop - warmup - flat
        rise = Rate.move(Linear, Level(1 / (warmup + 1)), _OWN, max(warmup, 1))
        parts = [(0, rise)] if warmup else []
        if fall > 0:
            parts.append((warmup, Rate.move(Cosine, _OWN, lowest, fall)))
        parts.append((max(warmup + fall, warmup + 1), Rate.hold(lowest)))
        return placed(parts), 0
    rise = Rate.move(Linear, Level(1 / (warmup + 1)), _OWN, max(warmup, 1))
    hold = _share_or_steps(given, "hold", stop) if kind in _HOLDS else 0
    has_hold = any(given.raw(f"hold_{unit}") is not None for unit in ("steps", "ratio"))
    top = hold + warmup if has_hold and kind in _HOLDS else 0
    begin, curve = _nemo_curve(given, kind, stop, warmup, top, lowest)
    start = max(warmup + 1 if warmup else 0, top)
    parts = [(0, rise)] if warmup else []
    if top > warmup:
        parts.append((warmup, Rate.hold(_OWN)))
    elif warmup and begin == warmup:
        start = warmup  # where the curve begins, the warmup has ended at the same rate
    parts.append((start, curve.skip(start - begin)))
    return placed([*parts, after]), start


def _nemo_curve(
    given: Section, kind: str, stop: int, warmup: int, top: int, lowest: Level
) -> tuple[int, Rate]:
    """Return the step at which a curve has its highest rate, and the curve from there."""
    left = max(stop - warmup, 1)
    power = given.number("power", 1.0) if kind.startswith("Polynomial") else 1.0
    if kind.startswith("Polynomial"):
        given.raw("cycle")  # a cycle is as long as the run
    if kind == "NoamHoldAnnealing":
        if not warmup:
            raise ScheduleError("optim.sched.warmup_steps: this kind needs them. Give them.")
        curve: Schedule = Power(
            start=1.0, timescale=warmup, exponent=given.number("decay_rate", 0.5)
        )
        return max(top, warmup), Rate(curve, Constant(0.0))
    if kind == "InverseSquareRootAnnealing":
        return warmup, Rate(InverseSqrt(start=1.0, timescale=warmup + 1), Constant(0.0))
    zero = Level(0.0)
    made: dict[str, Callable[[], tuple[int, Rate]]] = {
        "SquareAnnealing": lambda: (
            warmup, Rate.move(Polynomial, _OWN, zero, left, power=2.0)),
        "SquareRootAnnealing": lambda: (
            0, Rate.move(Polynomial, _OWN, zero, stop, power=0.5)),
        "WarmupHoldAnnealOneMinusSquareRoot": lambda: (
            top, Rate.move(Sqrt, _OWN, zero, max(stop - top, 1))),
        "WarmupHoldAnnealLinear": lambda: (
            top, Rate.move(Linear, _OWN, lowest, max(stop - top, 1))),
        "WarmupAnnealing": lambda: (warmup, Rate.move(Linear, _OWN, lowest, left)),
        "PolynomialDecayAnnealing": lambda: (
            warmup, Rate.move(Polynomial, _OWN, lowest, left, power=power)),
        "PolynomialHoldDecayAnnealing": lambda: (
            top,
            Rate.move(Polynomial, _OWN, lowest, max(stop - max(warmup, top), 1), power=power)),
    }  # fmt: skip
    return made[kind]() if kind in made else (warmup, Rate.hold(_OWN))


def _noam_rate(given: Section, total: int, low: float, lr: float) -> Set:
    """Return the rate that is scaled by the width of the model; its first update uses step 1."""
    height = lr * given.number("d_model") ** -0.5
    warmup = _share_or_steps(given, "warmup", total)
    timescale = max(warmup, 1)
    top = height * timescale**-0.5
    falling = InverseSqrt(start=top, timescale=timescale).clip(low=low)
    if not warmup:
        return Set(Constant(falling(0), steps=1) >> falling)
    line = Linear(start=0.0, end=top, steps=warmup)
    # the lowest rate holds after the warmup, whose last rate is at its step
    parts = [Constant(line(1), steps=1), line.skip(1), Constant(top, steps=1), falling.skip(1)]
    return Set(in_turn(*(part for part in parts if part.length != 0)))
