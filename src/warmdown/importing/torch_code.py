"""A plan in plain torch: a function for each schedule, and the scheduler that gives its values."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple, final

import numpy as np

from warmdown.errors import WarmdownError
from warmdown.plan import EVERY_GROUP, Plan, Target
from warmdown.schedules import (
    Chain,
    Chebyshev,
    Clipped,
    Constant,
    Delayed,
    Grafted,
    Greedy,
    Named,
    Plateau,
    Product,
    Repeat,
    Rule,
    Scale,
    Schedule,
    Skipped,
    Stretched,
    Sum,
    Truncated,
)
from warmdown.schedules.base import kind_of
from warmdown.schedules.feedback import Feedback, feedbacks
from warmdown.schedules.sampling import values_at

_SHARES = {
    "linear": "(1 - {p})",
    "cosine": "(1 + math.cos(math.pi * {p})) / 2",
    "polynomial": "(1 - {p}) ** {power!r}",
    "sqrt": "(1 - math.sqrt({p}))",
    "rex": "(1 - {p}) / (1 - {d!r} * {p})",
    "log": "(1 - math.log1p({p} * {steps}) / math.log1p({steps}))",
    "tanh": "(math.tanh({upper!r}) - math.tanh({lower!r} + {p} * ({upper!r} - {lower!r})))"
    " / (math.tanh({upper!r}) - math.tanh({lower!r}))",
}
"""The share of the way from the end to the start, by the kind of the schedule; p is progress."""
_DROP = "(math.sqrt((2 - 1 / {upper!r}) / {upper!r})" \
        " - math.sqrt((1 - {p}) / {upper!r} * (2 - (1 + {p}) / {upper!r})))"  # fmt: skip
_FORMULAS = {
    "constant": "{value!r}",
    "exponential": "{start!r} * ({end!r} / {start!r}) ** {p}",
    "inverse_proportional": "1 / ((1 - {p}) / {start!r} + {p} / {end!r})",
    "exponential_decay": "{start!r} * {gamma!r} ** ({t} / {every})",
    "inverse_time": "{start!r} / (1 + {rate!r} * {t} / {every})",
    "inverse_sqrt": "{start!r} * math.sqrt({timescale} / ({timescale} + {t}))",
    "power": "{start!r} * ({timescale} / ({timescale} + {t})) ** {exponent!r}",
    "staircase": "{start!r} * {gamma!r} ** ({t} // {every})",
    "milestones": "{start!r} * {gamma!r} ** sum({t} >= mark for mark in {at!r})",
    "hyperbolic": f"{{start!r}} - ({{start!r}} - {{infimum!r}}) * {_DROP}",
    "exp_hyperbolic": f"{{start!r}} * ({{infimum!r}} / {{start!r}}) ** {_DROP}",
    "triangle": "{low!r} + ({high!r} - {low!r})"
    " * ({t} / {up} if {t} < {up} else max(1 - ({t} - {up}) / max({down}, 1), not {down}))",
}
"""The value at a step t, by the kind of the schedule, with its fields in braces."""
_LONGEST_FORMULA = 2_000
_MOST_CYCLES = 30
_MOST_BITS = 6
_DRIVEN = (
    "lr", "weight_decay", "momentum", "betas", "dampening", "eps", "alpha", "rho", "lambd",
    "lr_decay", "momentum_decay",
)  # fmt: skip
"""Values of torch's own optimizers."""
_OF_PLATEAU = ("mode", "factor", "patience", "threshold", "threshold_mode", "cooldown")
"""What torch's own has by the same names."""
_FACTOR_IS = "Factor on each group's base learning rate; step counts optimizer updates from 0."
_LONGEST_TABLE = 20_000
"""Values of a table in the code."""
_MOST_EVALUATED = 2_000_000
"""Updates of which the changes are looked for."""
_FIELD = re.compile(rf"(?:{'|'.join(_DRIVEN)})(?:\[\d\])?")
_RULE_OF_ALL = """
def rule_of(field, index, group):
    return RULES[field]["*"]
"""
_RULE_OF = """
def fits(key, index, group):
    name = str(group.get("name", index))
    return key in (name, str(index)) or fnmatchcase(name, key)


def rule_of(field, index, group):
    # the first key that fits a group's name, or its index, counts
    return next((rule for key, rule in RULES[field].items() if fits(key, index, group)), None)


for field, key in [(field, key) for field in RULES for key in RULES[field]]:
    if not any(fits(key, *one) for one in enumerate(optimizer.param_groups)):
        raise KeyError(f"{field}: the optimizer has no group {key!r}")
"""
_SET_ENTRY = """
def set_value(group, field, rule, step):
    group[field] = rule(step, group.setdefault(f"initial_{field}", group[field]))
"""
_SET_ELEMENT = """
def set_value(group, field, rule, step):
    key, _, element = field.rstrip("]").partition("[")
    if key == "momentum" and key not in group:  # Adam's is the first of its betas
        key, element = "betas", "0"
    values, at = list(group[key]) if element else [group[key]], int(element or 0)
    values[at] = rule(step, group.setdefault(f"initial_{field}", values[at]))
    group[key] = tuple(values) if element else values[0]
"""
_CLASS = """
class PlanScheduler(LRScheduler):
    # call step() after each optimizer.step()
    def get_lr(self):
"""
_RATE_NOW = """return [group["lr"] for group in self.optimizer.param_groups]
"""
_RATE_OF_RULE = """        groups = enumerate(self.optimizer.param_groups)
        rules = [rule_of("lr", index, group) for index, group in groups]
        pairs = zip(rules, self.base_lrs)
        return [rule(self.last_epoch, base) if rule else base for rule, base in pairs]
"""
_STEP = """
    def step(self, epoch=None):
        super().step(epoch)
        for index, group in enumerate(self.optimizer.param_groups):
            for field in RULES.keys() - {"lr"}:
                if rule := rule_of(field, index, group):
                    set_value(group, field, rule, self.last_epoch)
"""
_FACTORS = """scheduler = LambdaLR(optimizer, [
    rule_of("lr", index, group) or (lambda step: 1.0)
    for index, group in enumerate(optimizer.param_groups)
])
"""


@final
class NoTorchCode(WarmdownError):
    """torch's own schedulers have no equivalent."""


class _Clock(NamedTuple):
    """What a schedule is a function of.

    Args:
        length: Updates in the run, where these are it, and known.
        line: Code that makes a step of it from updates.
    """

    length: int | None
    line: str = ""


def torch_code(plan: Plan) -> str:
    """Return code that gives an optimizer a plan's values at every update, with torch alone.

    Factors on the rate are a ``LambdaLR``, a rate that follows a metric is a
    ``ReduceLROnPlateau``, and a scheduler of a few lines sets what else the plan drives.

    Raises:
        NoTorchCode: torch has nothing for a part of the plan, or a table would be too long.
    """
    wrong = [target.name for target in plan.targets if not _FIELD.fullmatch(target.name)]
    if wrong:
        raise NoTorchCode(f"{wrong[0][:60]}: torch's optimizers have no such value to be set.")
    clock = _clock_of(plan)
    targets, plateau, until = _without_plateau(plan.over())
    if not targets:
        return _imports(["ReduceLROnPlateau"]) + plateau.replace("plateau", "scheduler")
    is_factor = all(one.name == "lr" and one.rule == Scale(one.rule.of) for one in targets)
    names = {"LRScheduler"} | ({"ReduceLROnPlateau"} if plateau else set())
    if is_factor and not plateau:
        names = {"LambdaLR"}
    if is_factor and not plateau and targets[0].groups == EVERY_GROUP:
        factor = _function("factor", targets[0].rule.of, clock, _FACTOR_IS)
        return f"{_imports(names)}\n{factor}\n\nscheduler = LambdaLR(optimizer, factor)\n"
    by_group = any(target.groups != EVERY_GROUP for target in targets)
    parts, rules = _functions_and_rules(targets, clock, as_factors="LambdaLR" in names)
    parts += [rules, _RULE_OF if by_group else _RULE_OF_ALL]
    if "LambdaLR" in names:
        parts.append(_FACTORS)
    else:
        parts += _class_parts(targets, until)
        parts += ["scheduler = PlanScheduler(optimizer)\n" + plateau]
    head = _imports(names, "\nfrom fnmatch import fnmatchcase" if by_group else "")
    return "\n\n".join([head.rstrip("\n") + "\n", *(part.lstrip("\n") for part in parts)])


def _clock_of(plan: Plan) -> _Clock:
    clock, run = plan.run.clock, plan.run
    if clock == "updates":
        return _Clock(plan.length)
    each = {"samples": run.samples_per_step, "tokens": run.tokens_per_step}.get(clock)
    is_metric = any(True for one in plan.targets for _ in _feedbacks_in(one))
    if each is None or is_metric:
        raise NoTorchCode(
            f"torch counts updates, not {clock}, and how many an update takes is not known. Use "
            "the Python of warmdown."
        )
    return _Clock(None, f"    step *= {each:.15g}  # {clock} in an update\n")


def _feedbacks_in(target: Target) -> Iterator[Feedback]:
    return (one for part in target.rule.schedules() for one in feedbacks(part))


def _imports(names: Iterable[str], more: str = "") -> str:
    listed = ", ".join(sorted(names))
    return f"import math{more}\n\nfrom torch.optim.lr_scheduler import {listed}\n\n"


def _class_parts(targets: Sequence[Target], until: int | None) -> list[str]:
    """Return the code of the scheduler, and of what sets values that are no rate."""
    others = [target.name for target in targets if target.name != "lr"]
    lines = [_CLASS]
    if until is not None:
        lines += [f"        if self.last_epoch > {until}:  # it follows the metric\n    "]
    if until is not None or len(others) == len(targets):
        lines += [f"        {_RATE_NOW}"]
    if len(others) < len(targets):
        lines.append(_RATE_OF_RULE)
    if not others:
        return ["".join(lines)]
    has_elements = any(name == "momentum" or "[" in name for name in others)
    return [_SET_ELEMENT if has_elements else _SET_ENTRY, "".join([*lines, _STEP])]


def _functions_and_rules(
    targets: Sequence[Target], clock: _Clock, *, as_factors: bool
) -> tuple[list[str], str]:
    """Return the code of each schedule, and of the table of what each value is."""
    functions: list[str] = []
    used: set[str] = set()

    def call(label: str, schedule: Schedule) -> str:
        slug = re.sub(r"\W+", "_", label, flags=re.ASCII).strip("_")
        numbered = (f"{slug}{number}_at" for number in ("", *range(2, len(used) + 3)))
        name = next(name for name in numbered if name not in used)
        used.add(name)
        functions.append(_function(name, schedule, clock))
        return name

    rules: dict[str, dict[str, str]] = {}
    for target in targets:
        rule, label = target.rule, target.label
        code = call(label, rule.of)
        if not as_factors:
            code = f"lambda step, base: {_rule_code(rule, label, f'{code}(step)', call)}"
        rules.setdefault(target.name, {})[target.groups] = code
    rows = (
        f"    {field!r}: {{{', '.join(f'{key!r}: {code}' for key, code in by_group.items())}}},"
        for field, by_group in rules.items()
    )
    return functions, "\n".join(["RULES = {  # value by field and group", *rows, "}", ""])


def _rule_code(rule: Rule, label: str, code: str, call: Callable[[str, Schedule], str]) -> str:
    if not isinstance(rule, Scale):
        return code
    code = f"base * {code}"
    if rule.offset is not None:
        code += f" + {call(f'{label} offset', rule.offset)}(step)"
    if rule.low is None:
        return code
    if isinstance(rule.low, Schedule):
        return f"max({code}, {call(f'{label} low', rule.low)}(step))"
    return f"max({code}, {rule.low!r})"


def _without_plateau(plan: Plan) -> tuple[list[Target], str, int | None]:
    """Return the targets that follow no metric, code for the one that does, and its first update.

    Raises:
        NoTorchCode: ``ReduceLROnPlateau`` cannot do the same.
    """
    targets, code, until = [], "", None
    for target in plan.targets:
        if next(_feedbacks_in(target), None) is None:
            targets.append(target)
            continue
        plateau, before = _plateau_of(target, [one for one in plan.targets if one.name == "lr"])
        code = _plateau_code(plateau, target.rule)
        if before:
            until = sum(member.length or 0 for member in before)
            code = f"# from update {until} on\n{code}"
            ends = Chain.of(*before, Constant(value=1.0))
            targets.append(replace(target, rule=replace(target.rule, of=ends)))
    return targets, code, until


def _plateau_of(target: Target, rates: Sequence[Target]) -> tuple[Plateau, Sequence[Schedule]]:
    """Return what follows the metric, and the phases before it."""
    rule = target.rule
    *before, last = rule.of.parts() if isinstance(rule.of, Chain) else (rule.of,)
    last = last.parts()[0] if kind_of(type(last)) == "named" else last
    is_alone = isinstance(rule, Scale) and not isinstance(rule.low, Schedule) and not rule.offset
    reason = ""
    if target.name != "lr" or target.groups != EVERY_GROUP or len(rates) > 1:
        reason = f"moves the rate of all groups, and not {target.label}"
    elif isinstance(last, Greedy):
        reason = "only lowers the rate, and never raises it while the metric improves"
    elif not isinstance(last, Plateau) or any(True for one in before for _ in feedbacks(one)):
        reason = "follows nothing, multiplies nothing and has nothing after it but earlier phases"
    elif not is_alone:
        reason = "multiplies the optimizer's own rate, and adds nothing and sets none"
    elif last.factor > 1:
        reason = "only lowers the rate"
    elif last.compare != "best":
        reason = "compares with the best measurement so far, and not with the last one"
    elif not isinstance(last.patience, int) or not isinstance(last.cooldown, int):
        reason = "waits for a number of observations: give patience and cooldown without a unit"
    if reason or not isinstance(last, Plateau):
        raise NoTorchCode(
            f"torch has nothing for {target.label}: its ReduceLROnPlateau {reason}. Use the Python "
            "of warmdown."
        )
    return last, before


def _plateau_code(plateau: Plateau, rule: Rule) -> str:
    low = rule.low if isinstance(rule, Scale) and not isinstance(rule.low, Schedule) else None
    base = 'group.get("initial_lr", group["lr"])'
    floors = [f"{plateau.low!r} * {base}"] if plateau.low else []
    floors += [repr(low)] if low is not None else []
    floor = f"max({', '.join(floors)})" if len(floors) > 1 else "".join(floors)
    lines = [f"{name}={getattr(plateau, name)!r}" for name in _OF_PLATEAU]
    if floor:
        lines.append(f"min_lr=[{floor} for group in optimizer.param_groups]")
    arguments = "".join(f"    {line},\n" for line in ["optimizer", *lines, "eps=0.0"])
    head = f"# after each measurement: plateau.step({_in_one_line(plateau.metric)})\n"
    return f"{head}plateau = ReduceLROnPlateau(\n{arguments})\n"


def _function(name: str, schedule: Schedule, clock: _Clock, what: str = "") -> str:
    about = f'    """{what}"""\n' if what else ""
    return f"def {name}(step):\n{about}{clock.line}{_body_of(schedule, clock.length)}\n"


def _body_of(schedule: Schedule, length: int | None) -> str:
    """Return the function's lines: for each phase a short formula, or a table."""
    members = schedule.parts() if kind_of(type(schedule)) == "chain" else (schedule,)
    lines: list[str] = []
    for member in members[:-1]:
        steps = member.length
        lines += [f"    if step < {steps}:", _lines_of(member, steps, " " * 8)]
        lines.append(f"    step -= {steps}")
        length = length and length - (steps or 0)
    return "\n".join([*lines, _lines_of(members[-1], length, " " * 4)])


def _lines_of(member: Schedule, length: int | None, indent: str) -> str:
    code = _formula_of(member, "step", length)
    if code and len(code) <= _LONGEST_FORMULA:
        # a phase may be called anything: in a comment it must stay one line
        lines = [f"return {code}  # {_in_one_line(member.phases()[0].name)}"]
    else:
        lines = _table_lines(member, length)
    return "\n".join(f"{indent}{line}" for line in lines)


def _table_lines(schedule: Schedule, length: int | None) -> list[str]:
    """Return a table of every update's value, or of the updates at which it changes."""
    if length and length <= _MOST_EVALUATED:
        values = values_at(schedule, np.arange(length + 1.0))
        starts = np.flatnonzero(np.diff(values, prepend=np.nan) != 0)
        if starts.size <= min(values.size // 4, _LONGEST_TABLE):
            return [
                f"values = {values[starts].tolist()!r}",
                f"starts = {starts.tolist()!r}",
                "return values[sum(step >= start for start in starts) - 1]",
            ]
        if length <= _LONGEST_TABLE:
            return [f"values = {values.tolist()!r}", f"return values[min(step, {length})]"]
    raise NoTorchCode(
        f"{kind_of(type(schedule))} has no short formula, and a table of "
        f"{f'{length:,}' if length else 'endless'} updates is too long to read. Use the Python "
        "of warmdown."
    )


def _formula_of(schedule: Schedule, t: str, length: int | None) -> str:
    """Return the value at ``t`` as one expression; nothing where there is no short one.

    Args:
        schedule: Measured.
        t: Code of the schedule's own step: a name, or in parentheses.
        length: Steps in which it is asked for, if that is known.
    """
    kind, fields = kind_of(type(schedule)), vars(schedule)
    steps = fields.get("steps")
    progress = f"min({t} / {steps}, 1.0)" if steps else "1.0"
    if (k := fields.get("k", 1.0)) != 1:
        progress = f"{progress} ** {k!r}"
    if kind in _FORMULAS:
        return _FORMULAS[kind].format(**fields, t=t, p=progress)
    if kind in _SHARES:
        code = _SHARES[kind].format(**fields, p=progress)
        if (exponent := fields.get("exponent", 1.0)) != 1:
            code = f"({code}) ** {exponent!r}"
        end, fall = fields["end"], fields["start"] - fields["end"]
        code = code if fall == 1 else f"{fall!r} * {code}"
        return f"{end!r} + {code}" if end else code
    if isinstance(schedule, Chebyshev) and schedule.order <= _MOST_BITS:
        cycle = values_at(schedule, np.arange(2.0**schedule.order)).tolist()
        return f"{cycle!r}[int({t}) % {len(cycle)}]"
    if isinstance(schedule, Repeat):
        return _repeated(schedule, t, length)
    inner = [_formula_of(*place, length) for place in _places(schedule, t)]
    if not inner or not all(inner) or sum(map(len, inner)) > _LONGEST_FORMULA:
        return ""
    return _code_of_parts(schedule, t, inner)


def _places(schedule: Schedule, t: str) -> list[tuple[Schedule, str]]:
    """Return the parts of a schedule that is made of others, each with code of its own step."""
    if isinstance(schedule, Chain):
        starts = schedule.part_starts()
        return [
            (part, f"({t} - {start})" if start else t)
            for part, start in zip(schedule.parts(), starts, strict=True)
        ]
    match schedule:
        case Delayed():
            t = f"max({t} - {schedule.steps}, 0)"
        case Skipped():
            t = f"({t} + {schedule.steps})"
        case Truncated():
            t = f"min({t}, {schedule.steps})"
        case Stretched():
            t = f"(min({t}, {schedule.steps}) * {schedule.of.length} / {schedule.steps or 1})"
        case Grafted():
            tail = f"max({t} - {schedule.at}, 0)"
            return [(schedule.of, f"min({t}, {schedule.at})"), (schedule.tail, tail)]
        case Named() | Clipped() | Product() | Sum():
            pass
        case _:
            return []
    return [(part, t) for part in schedule.parts()]


def _code_of_parts(schedule: Schedule, t: str, inner: Sequence[str]) -> str:
    match schedule:
        case Chain():
            stops = [start or 0 for start in schedule.part_starts()[1:]]
            cases = (
                f"{code} if {t} < {stop} else "
                for code, stop in zip(inner[:-1], stops, strict=True)
            )
            return f"({''.join(cases)}{inner[-1]})"
        case Product():
            return " * ".join(f"({code})" for code in inner)
        case Sum():
            return " + ".join(f"({code})" for code in inner)
        case Grafted():
            return f"({inner[0]}) * (({inner[1]}) if {t} >= {schedule.at} else 1.0)"
        case Clipped():
            code = inner[0] if schedule.low is None else f"max({inner[0]}, {schedule.low!r})"
            return code if schedule.high is None else f"min({code}, {schedule.high!r})"
    return inner[0]


def _repeated(schedule: Repeat, t: str, length: int | None) -> str:
    """Return cycles of one length by their number, and such that grow one after the other."""
    first, times, grow = schedule.of.length or 1, schedule.times, schedule.grow
    if grow == 1:
        cycle = f"({t} // {first})" if times is None else f"min({t} // {first}, {times - 1})"
        within = f"({t} % {first})" if times is None else f"({t} - {first} * {cycle})"
        height = _height_of(schedule, cycle)
        code = _formula_of(schedule.of, within, length)
        return code and height and (code if height == "1.0" else f"{height} * ({code})")
    starts = [0.0]
    while starts[-1] < (length or math.inf) and len(starts) < (times or _MOST_CYCLES + 1):
        starts.append(first * (grow ** len(starts) - 1) / (grow - 1))
    if len(starts) > _MOST_CYCLES:
        return ""
    heights = [_height_of(schedule, str(cycle)) for cycle in range(len(starts))]
    places = (f"(({t} - {start!r}) / {grow**cycle!r})" for cycle, start in enumerate(starts))
    codes = [_formula_of(schedule.of, place, length) for place in places]
    if not all([*heights, *codes]):
        return ""
    cases = [f"{height} * ({code})" for height, code in zip(heights, codes, strict=True)]
    whens = (
        f"{case} if {t} < {stop!r} else " for case, stop in zip(cases[:-1], starts[1:], strict=True)
    )
    return f"({''.join(whens)}{cases[-1]})"


def _height_of(schedule: Repeat, cycle: str) -> str:
    if not isinstance(schedule.decay, Schedule):
        return "1.0" if schedule.decay == 1 else f"{schedule.decay!r} ** {cycle}"
    code = _formula_of(schedule.decay, cycle, None)
    return code and f"({code})"


def _in_one_line(text: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in text[:60])
