"""A plan's rate in plain torch: a function for LambdaLR, by a short formula or a table."""

from __future__ import annotations

import math
from typing import final

import numpy as np

from warmdown.errors import WarmdownError
from warmdown.plan import EVERY_GROUP, Plan
from warmdown.schedules import Scale, Schedule
from warmdown.schedules.base import PlainData, kind_of
from warmdown.schedules.sampling import values_at

_FORMULAS = {
    "constant": "{value!r}",
    "linear": "{end!r} + {fall!r} * (1 - {progress})",
    "cosine": "{end!r} + {fall!r} * (1 + math.cos(math.pi * {progress})) / 2",
    "polynomial": "{end!r} + {fall!r} * (1 - {progress}) ** {power!r}",
    "sqrt": "{end!r} + {fall!r} * (1 - math.sqrt({progress}))",
    "exponential": "{start!r} * ({ratio!r}) ** {progress}",
    "rex": "{end!r} + {fall!r} * (1 - {progress}) / (1 - {d!r} * {progress})",
    "exponential_decay": "{start!r} * {gamma!r} ** (step / {every})",
    "inverse_time": "{start!r} / (1 + {rate!r} * step / {every})",
    "inverse_sqrt": "{start!r} * math.sqrt({timescale} / ({timescale} + step))",
    "power": "{start!r} * ({timescale} / ({timescale} + step)) ** {exponent!r}",
    "staircase": "{start!r} * {gamma!r} ** (step // {every})",
    "milestones": "{start!r} * {gamma!r} ** sum(step >= mark for mark in {at!r})",
}
"""The value at a step, by the kind of the schedule, with its fields in braces."""
_USUAL = {"cosine": {"k": 1.0, "exponent": 1.0}, "polynomial": {"k": 1.0}}
"""Fields that a formula leaves out: it is right where they have these values."""
_LONGEST_TABLE = 20_000
"""Values of a table in the code."""
_MOST_EVALUATED = 2_000_000
"""Updates of which the changes are looked for."""
_HEAD = """import math

from torch.optim.lr_scheduler import LambdaLR


def factor(step):
    \"\"\"Factor on each group's base learning rate; step counts optimizer updates from 0.\"\"\"
"""


@final
class NoTorchCode(WarmdownError):
    """torch's own schedulers have no equivalent."""


def lambda_code(plan: Plan) -> str:
    """Return code that makes a ``LambdaLR`` of a plan's only target, the rate.

    Raises:
        NoTorchCode: It needs more than a factor on the rate, or too long a table.
    """
    target, *others = plan.targets
    if others or target.name != "lr" or target.groups != EVERY_GROUP:
        raise NoTorchCode(
            "torch drives one number by one scheduler. Use the Python of warmdown for "
            "several targets."
        )
    rule = target.rule
    if rule != Scale(rule.of):
        raise NoTorchCode(
            "LambdaLR multiplies the base rate and does nothing else. Use the Python of warmdown."
        )
    if plan.run.clock != "updates":
        raise NoTorchCode(
            f"torch counts updates, not {plan.run.clock}. Use the Python of warmdown."
        )
    schedule = plan.over().targets[0].rule.of
    return (
        f"{_HEAD}{_body_of(schedule, plan.length)}\n\n\nscheduler = LambdaLR(optimizer, factor)\n"
    )


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
    try:
        lines = [_return(member)]
    except NoTorchCode:
        lines = _table_lines(member, length)
    return "\n".join(f"{indent}{line}" for line in lines)


def _table_lines(schedule: Schedule, length: int | None) -> list[str]:
    """Return a table of every update's factor, or of the updates at which it changes."""
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
        f"no short formula, and a table of {length or 'endless'} updates is too long to read. "
        "Use the Python of warmdown."
    )


def _return(member: Schedule) -> str:
    inner = member.parts()[0] if kind_of(type(member)) == "named" else member
    kind = kind_of(type(inner))
    formula = _FORMULAS.get(kind)
    if formula is None:
        raise NoTorchCode(
            f"{kind} has no short formula in plain Python. Use the Python of warmdown."
        )
    fields = vars(inner)
    usual = _USUAL.get(kind, {})
    if any(fields[name] != value for name, value in usual.items()):
        names, values = ", ".join(usual), ", ".join(map(str, usual.values()))
        raise NoTorchCode(f"{names} other than {values} is longer than it is worth.")
    # a phase may be called anything: in a comment it must stay one line
    phase = member.phases()[0].name[:60]
    name = "".join(letter if letter.isprintable() else " " for letter in phase)
    return f"return {formula.format(**fields, **_derived(fields))}  # {name}"


def _derived(fields: PlainData) -> PlainData:
    """Return what formulas use besides the fields, as far as the schedule has an end."""
    if "end" not in fields:
        return {}
    start, end, steps = fields["start"], fields["end"], fields["steps"]
    return {
        "progress": f"min(step / {steps}, 1.0)" if steps else "1.0",
        "fall": start - end,
        "ratio": end / start if start else math.inf,
    }
