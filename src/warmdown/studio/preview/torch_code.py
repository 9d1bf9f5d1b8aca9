"""The rate in plain torch, where a short formula exists: a function of the step for LambdaLR."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, final

from warmdown.errors import WarmdownError
from warmdown.plan import EVERY_GROUP, Plan
from warmdown.schedules import Scale, Schedule
from warmdown.schedules.base import kind_of
from warmdown.studio.draft.model import Draft, ScheduleDraft
from warmdown.studio.draft.writing import schedule_data

Fields: TypeAlias = Mapping[str, Any]
"""The fields of a schedule, by name."""

_HEAD = """import math

from torch.optim.lr_scheduler import LambdaLR


def factor(step):
    \"\"\"Factor on each group's base learning rate; step counts optimizer updates from 0.\"\"\"
"""


@final
class NoTorchCode(WarmdownError):
    """torch's own schedulers have no equivalent."""


def as_torch(draft: Draft, plan: Plan | None) -> str:
    """Return code that uses torch alone.

    Raises:
        NoTorchCode: It needs more than a factor on the learning rate, or a shape without a short
            formula.
    """
    target = draft.targets[0]
    if len(draft.targets) > 1 or target.field != "lr" or target.groups != EVERY_GROUP:
        raise NoTorchCode(
            "torch drives one number by one scheduler. Use the Python of warmdown for "
            "several targets."
        )
    if len(target.phases) == 1 and target.phases[0].is_foreign and not target.warmup.strip():
        return _class_code(target.phases[0])
    if plan is None or draft.class_paths():
        raise NoTorchCode(
            "a class of another library after a warmup takes torch's SequentialLR, which loses its "
            "place on resume."
        )
    rule = plan.over().targets[0].rule
    if not isinstance(rule, Scale) or rule.offset is not None or rule.low is not None:
        raise NoTorchCode(
            "LambdaLR multiplies the base rate and does nothing else. Use the Python of warmdown."
        )
    if plan.run.clock != "updates":
        raise NoTorchCode(
            f"torch counts updates, not {plan.run.clock}. Use the Python of warmdown."
        )
    members = rule.of.parts() if kind_of(type(rule.of)) == "chain" else (rule.of,)
    lines: list[str] = []
    for member in members[:-1]:
        lines += [f"    if step < {member.length}:", f"    {_return(member)}"]
        lines.append(f"    step -= {member.length}")
    body = "\n".join([*lines, _return(members[-1])])
    return f"{_HEAD}{body}\n\n\nscheduler = LambdaLR(optimizer, factor)\n"


def _class_code(schedule: ScheduleDraft) -> str:
    data = schedule_data(schedule)
    arguments = data.get("init_args", {})
    if not all(word.isidentifier() for word in (*data["class_path"].split("."), *arguments)):
        raise NoTorchCode("a path or a parameter is no name, so there is no code for it.")
    module, _, name = data["class_path"].rpartition(".")
    keywords = "".join(f", {key}={value!r}" for key, value in arguments.items())
    return f"from {module} import {name}\n\nscheduler = {name}(optimizer{keywords})\n"


def _return(member: Schedule) -> str:
    inner = member.parts()[0] if kind_of(type(member)) == "named" else member
    kind = kind_of(type(inner))
    formula = _FORMULAS.get(kind)
    if formula is None:
        raise NoTorchCode(
            f"{kind} has no short formula in plain Python. Use the Python of warmdown."
        )
    # a phase may be called anything: in a comment it must stay one line
    phase = member.phases()[0].name[:60]
    name = "".join(letter if letter.isprintable() else " " for letter in phase)
    return f"    return {formula(vars(inner))}  # {name}"


def _from_start(v: Fields, left: str) -> str:
    """Return the interpolation from start to end, with the share of the way that is left."""
    return f"{v['end']!r} + {v['start'] - v['end']!r} * {left}"


def _progress(v: Fields) -> str:
    return f"min(step / {v['steps']}, 1.0)" if v["steps"] else "1.0"


def _usual(v: Fields, left: str, **usual: float) -> str:
    """Return the interpolation, where all other fields have their usual values."""
    if any(v[name] != value for name, value in usual.items()):
        names, values = ", ".join(usual), ", ".join(map(str, usual.values()))
        raise NoTorchCode(f"{names} other than {values} is longer than it is worth.")
    return _from_start(v, left)


def _timescale_share(v: Fields) -> str:
    """Return the share of the timescale in the time since its beginning."""
    return f"({v['timescale']} / ({v['timescale']} + step))"


_FORMULAS: Mapping[str, Callable[[Fields], str]] = {
    "constant": lambda v: repr(v["value"]),
    "linear": lambda v: _from_start(v, f"(1 - {_progress(v)})"),
    "cosine": lambda v: _usual(
        v, f"(1 + math.cos(math.pi * {_progress(v)})) / 2", k=1.0, exponent=1.0
    ),
    "polynomial": lambda v: _usual(v, f"(1 - {_progress(v)}) ** {v['power']!r}", k=1.0),
    "sqrt": lambda v: _from_start(v, f"(1 - math.sqrt({_progress(v)}))"),
    "exponential": lambda v: f"{v['start']!r} * ({v['end'] / v['start']!r}) ** {_progress(v)}",
    "rex": lambda v: _from_start(v, f"(1 - {_progress(v)}) / (1 - {v['d']!r} * {_progress(v)})"),
    "exponential_decay": lambda v: f"{v['start']!r} * {v['gamma']!r} ** (step / {v['every']})",
    "inverse_time": lambda v: f"{v['start']!r} / (1 + {v['rate']!r} * step / {v['every']})",
    "inverse_sqrt": lambda v: f"{v['start']!r} * math.sqrt{_timescale_share(v)}",
    "power": lambda v: f"{v['start']!r} * {_timescale_share(v)} ** {v['exponent']!r}",
    "staircase": lambda v: f"{v['start']!r} * {v['gamma']!r} ** (step // {v['every']})",
    "milestones": lambda v: (
        f"{v['start']!r} * {v['gamma']!r} ** sum(step >= mark for mark in {list(v['at'])!r})"
    ),
}
