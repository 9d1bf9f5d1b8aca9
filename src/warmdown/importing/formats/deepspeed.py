"""DeepSpeed's JSON: ``scheduler``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from warmdown.errors import ScheduleError
from warmdown.importing.formats.rates import Level, Rate, placed
from warmdown.importing.formats.section import KnownRun, Section, Settings, value_table
from warmdown.importing.formats.training_arguments import (
    RATIO_NAMES,
    TRAINER_KEYS,
    WARMUP_NAMES,
    rate_of,
    updates_of_run,
    updates_of_warmup,
)
from warmdown.importing.imported import to_plan
from warmdown.importing.numbers import count_of_setting, number_of_setting, whole
from warmdown.plan import Plan
from warmdown.planfile.text import describe
from warmdown.run import Run
from warmdown.schedules import (
    Constant,
    Cosine,
    InverseTime,
    Linear,
    Log,
    Rule,
    Schedule,
    Set,
)

_KINDS = ("WarmupLR", "WarmupDecayLR", "WarmupCosineLR", "OneCycle", "LRRangeTest")
_BY_GROUP = ("warmup_min_lr", "warmup_max_lr", "cycle_min_lr", "cycle_max_lr", "cycle_min_mom",
             "cycle_max_mom", "lr_range_test_min_lr")  # fmt: skip
"""What may be a list with a number for each group."""
_WITHOUT_BETAS = ("sgd", "rmsprop", "adagrad", "adadelta")
_MEANINGLESS = ("last_batch_iteration",)


def read_deepspeed(settings: Settings, known: KnownRun) -> Plan:
    """Read DeepSpeed's ``scheduler``; that of a file may stand under ``deepspeed``.

    There ``auto`` is what transformers' arguments beside it say.

    Raises:
        ScheduleError: A setting cannot be said by a plan, or is not that of the arguments.
    """
    nested, arguments = settings.get("deepspeed"), {}
    if "scheduler" not in settings and isinstance(nested, Mapping):
        arguments = {name: value for name, value in settings.items() if name != "deepspeed"}
        settings = nested
    scheduler = Section("scheduler", settings["scheduler"])
    kind = scheduler.name("type", _KINDS)
    optimizer = Section("optimizer", settings.get("optimizer") or {})
    has_rate = optimizer.part("params").raw("lr") not in (None, "auto")
    of_optimizer = optimizer.part("params").number("lr") if has_rate else None
    params = dict(scheduler.part("params").entries)
    if {*arguments} & {*TRAINER_KEYS}:
        params, known = _with_arguments(params, arguments, of_optimizer, known)
    own = known.lr or of_optimizer
    params = _filled(params, known, own)
    groups = max((len(value) for value in params.values() if isinstance(value, list)), default=1)
    rules: dict[str, list[Rule]] = {}
    total = 0
    for group in range(groups):
        chosen = {name: _of_group(name, value, group, groups) for name, value in params.items()}
        given = Section("scheduler.params", chosen, _MEANINGLESS)
        of_group, total = _deepspeed_rules(given, kind, optimizer, known)
        given.refuse_rest()
        for target, rule in of_group.items():
            rules.setdefault(target, []).append(rule)
    highest = params.get("warmup_max_lr", params.get("cycle_max_lr"))
    rate = own or (None if isinstance(highest, list) else whole(highest))
    return to_plan(rules, Run(total_steps=total, lr=rate or None))


def _with_arguments(
    params: Settings, arguments: Settings, of_optimizer: float | None, known: KnownRun
) -> tuple[dict[str, Any], KnownRun]:
    """Return the parameters, and what is known of the run, with transformers' arguments.

    Raises:
        ScheduleError: A number is not that of the arguments, which transformers refuses.
    """
    filled = dict(params)
    has_total = params.get("total_num_steps", "auto") != "auto"
    total = known.total_steps or count_of_setting(arguments, "max_steps")
    if total is None and not has_total:
        total = updates_of_run(arguments, known)
    lr = known.lr or number_of_setting(arguments, "learning_rate")
    if lr is None and of_optimizer is None and params.get("warmup_max_lr", "auto") == "auto":
        lr = rate_of(arguments, known)
    has_warmup = any(arguments.get(name) is not None for name in (*WARMUP_NAMES, *RATIO_NAMES))
    length = total or count_of_setting(params, "total_num_steps") or 0
    warmup = updates_of_warmup(arguments, length)
    if params.get("warmup_num_steps") == "auto" and (has_warmup or "base_model" not in arguments):
        filled["warmup_num_steps"] = warmup  # axolotl, with its base_model, has another default
    stated = {
        "total_num_steps": None if known.total_steps else total,
        "warmup_max_lr": None if known.lr else number_of_setting(arguments, "learning_rate"),
        "warmup_num_steps": warmup if has_warmup else None,
    }
    for name, meant in stated.items():
        given = whole(params.get(name, "auto"))
        if meant is not None and isinstance(given, int | float) and given != meant:
            raise ScheduleError(
                f"scheduler.params.{name}={given!r}: the training arguments beside it say "
                f"{meant!r}, so that transformers would stop. Make it 'auto'."
            )
    if arguments.get("lr_scheduler_type") is not None:
        known.tell("lr_scheduler_type: DeepSpeed's scheduler takes its place.")
    return filled, replace(known, lr=lr, total_steps=total)


def _filled(entries: Settings, known: KnownRun, own: float | None) -> dict[str, Any]:
    """Return the parameters with what is known in place of ``auto``."""
    fills = {
        "warmup_min_lr": (0, ""),
        "warmup_max_lr": (own, "--lr"),
        "total_num_steps": (known.total_steps, "--total-steps"),
    }
    filled = dict(entries)
    for name, value in entries.items():
        if value == "auto":
            filled[name], option = fills.get(name, (None, "the number that it stands for"))
            if filled[name] is None:
                raise ScheduleError(f"scheduler.params.{name}='auto': a number is needed. Give "
                                    f"{option}.")  # fmt: skip
    return filled


def _of_group(name: str, value: Any, group: int, groups: int) -> Any:
    if not isinstance(value, list):
        return value
    if name not in _BY_GROUP or len(value) != groups:
        raise ScheduleError(
            f"scheduler.params.{name}={describe(value)}: a number is needed, or a list with one "
            "for each group."
        )
    return value[group]


def _deepspeed_rules(
    given: Section, kind: str, optimizer: Section, known: KnownRun
) -> tuple[dict[str, Rule], int]:
    """Return the rules of one group, and the updates in the run."""
    if kind == "OneCycle":
        return _deepspeed_cycle(given, optimizer, known)
    if kind == "LRRangeTest":
        return _deepspeed_range_test(given, known)
    total = known.total_steps
    if kind != "WarmupLR":
        stop = given.count("total_num_steps", known.total_steps)
        total = total or stop
    else:
        stop, total = 0, known.updates()
    warmup = max(given.count("warmup_num_steps", 1000), 2)
    form = given.name("warmup_type", ("log", "linear"), "log")
    low, high = Level(0.0), Level(1.0)
    if kind == "WarmupCosineLR":
        low = Level(given.number("warmup_min_ratio", 0.0))
        end = Level(given.number("cos_min_ratio", 0.0001))
        # there the cosine begins at its second step
        rest = Rate.move(Cosine, high, end, max(stop - warmup, 1)).skip(1)
        first = Rate.hold(Level(0.0))
    else:
        low = Level(0.0, given.number("warmup_min_lr", 0.0))
        default = None if kind == "WarmupLR" else 0.001
        if given.raw("warmup_max_lr", default) is not None:
            high = Level(0.0, given.number("warmup_max_lr", default))
        rest, first = Rate.hold(high), Rate.hold(low)
        if kind == "WarmupDecayLR":
            rest = Rate.move(Linear, high, low, stop - warmup) if stop > warmup else first
    shape: Callable[..., Schedule] = Log if form == "log" else Linear
    rise = Rate.move(shape, low, high, warmup - 1 if form == "log" else warmup)
    # the scheduler is first stepped after the first update, and then to its step 0
    rate = placed([(0, first), (1, rise), (warmup + 1, rest)])
    rule: Rule = rate.rule
    return {"lr": Set(rate.added) if rate.share == Constant(0.0) else rule}, total


def _deepspeed_range_test(given: Section, known: KnownRun) -> tuple[dict[str, Rule], int]:
    first = given.number("lr_range_test_min_lr", 1e-3)
    size = given.count("lr_range_test_step_size", 2000)
    slope = given.number("lr_range_test_step_rate", 1.0)
    total = known.updates()
    if size < 1:
        raise ScheduleError("scheduler.params.lr_range_test_step_size=0: at least 1 is needed.")
    if given.raw("lr_range_test_staircase", False):
        heights = [first * (1 + slope * step) for step in range(total // size + 1)]
        return {"lr": Set(value_table(heights, every=size))}, total
    last = first * (1 + slope * total / size)
    return {"lr": Set(Linear(start=first, end=last, steps=total))}, total


def _deepspeed_cycle(
    given: Section, optimizer: Section, known: KnownRun
) -> tuple[dict[str, Rule], int]:
    """Return the rate of one cycle and the decay after it, and the momentum against it."""
    total = known.updates()
    low, high = given.number("cycle_min_lr"), given.number("cycle_max_lr")
    up = given.count("cycle_first_step_size", 2000)
    down = given.count("cycle_second_step_size", up)
    stairs = given.count("cycle_first_stair_count", 0)
    stairs_down = given.count("cycle_second_stair_count", stairs)
    every, fall = given.count("decay_step_size", 0), given.number("decay_lr_rate", 0.0)
    if up < 1 or down < 1:
        raise ScheduleError("scheduler.params.cycle_first_step_size=0: at least 1 is needed.")

    def half(start: float, end: float, steps: int, count: int, *, is_up: bool) -> Schedule:
        if not count:
            return Linear(start=start, end=end, steps=steps)
        bottom, top = (start, end) if is_up else (end, start)
        at = range(steps) if is_up else range(steps, 0, -1)
        shares = [step * count // steps / count for step in at]
        return value_table([bottom + (top - bottom) * share for share in shares]).take(steps)

    def cycle(start: float, end: float, after: Schedule) -> Schedule:
        rise = half(start, end, up, stairs, is_up=True)
        return rise >> half(end, start, down, stairs_down, is_up=False) >> after

    after: Schedule = InverseTime(start=low, rate=fall, every=every) if every else Constant(low)
    rules: dict[str, Rule] = {"lr": Set(cycle(low, high, after))}
    is_cycled = bool(given.raw("cycle_momentum", True))
    named = [given.raw(name) for name in ("cycle_min_mom", "cycle_max_mom")]
    slow, fast = given.number("cycle_min_mom", 0.8), given.number("cycle_max_mom", 0.9)
    growth = given.number("decay_mom_rate", 0.0)
    kind = str(optimizer.raw("type", "")).lower()
    has_betas = kind not in _WITHOUT_BETAS if kind else any(one is not None for one in named)
    if is_cycled and has_betas:
        left = max(total - up - down, 1)
        last = fast * (1 + growth * left / every) if every else fast
        end = Linear(start=fast, end=last, steps=left) if last != fast else Constant(fast)
        # before the first step of the scheduler it is the lowest
        first = Constant(slow, steps=1) >> cycle(fast, slow, end).skip(1)
        rules |= {"betas[0]": Set(first), "betas[1]": Set(Constant(0.99))}
    return rules, total
