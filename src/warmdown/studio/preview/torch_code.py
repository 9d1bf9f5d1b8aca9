"""The rate in plain torch, where it can be said there: one function of the step for ``LambdaLR``."""

from __future__ import annotations

__all__ = ["CannotSay", "as_torch"]

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, final

from warmdown.errors import WarmdownError
from warmdown.plan import Plan
from warmdown.schedules import Chain, Named, Scale, Schedule
from warmdown.schedules.base import kind_of
from warmdown.studio.draft.pieces import EVERY, Draft, Piece
from warmdown.studio.draft.writing import piece_data


@final
class CannotSay(WarmdownError):
    """Something that torch's own schedulers cannot say."""


def as_torch(draft: Draft, plan: Plan | None) -> str:
    """Return code that uses torch alone.

    Raises:
        CannotSay: It needs more than a factor on the learning rate, or a shape whose formula is too
            long for it.
    """
    track = draft.tracks[0]
    if len(draft.tracks) > 1 or track.field != "lr" or track.groups != EVERY:
        raise CannotSay(
            "torch drives one number by one scheduler. Use the Python of warmdown for "
            "several targets."
        )
    if len(track.phases) == 1 and track.phases[0].is_foreign and not track.warmup.strip():
        return _own_class(track.phases[0])
    if plan is None or any(piece.is_foreign for piece in track.pieces()):
        raise CannotSay(
            "a class of another library after a warmup takes torch's SequentialLR, which loses its "
            "place on resume."
        )
    return _function(plan)


def _own_class(piece: Piece) -> str:
    data = piece_data(piece)
    arguments = data.get("init_args", {})
    if not all(word.isidentifier() for word in (*data["class_path"].split("."), *arguments)):
        raise CannotSay("a path or a parameter is no name, so there is no code for it.")
    module, _, name = data["class_path"].rpartition(".")
    given = "".join(f", {key}={value!r}" for key, value in arguments.items())
    return f"from {module} import {name}\n\nscheduler = {name}(optimizer{given})\n"


def _function(plan: Plan) -> str:
    settled = plan.over()
    meaning = settled.targets[0].rule
    if not isinstance(meaning, Scale) or meaning.offset is not None or meaning.low is not None:
        raise CannotSay(
            "LambdaLR multiplies the base rate and does nothing else. Use the Python of warmdown."
        )
    if plan.run.clock != "updates":
        raise CannotSay(f"torch counts updates, not {plan.run.clock}. Use the Python of warmdown.")
    members = meaning.of.members if isinstance(meaning.of, Chain) else (meaning.of,)
    body: list[str] = []
    for number, member in enumerate(members):
        is_last = number + 1 == len(members)
        body += _phase(member, is_last=is_last)
    head = [
        "import math",
        "",
        "from torch.optim.lr_scheduler import LambdaLR",
        "",
        "",
        "def factor(step):",
    ]
    about = '    """Factor on each group\'s base learning rate; step counts optimizer updates from 0."""'
    return "\n".join([*head, about, *body, "", "", "scheduler = LambdaLR(optimizer, factor)", ""])


def _phase(member: Schedule, *, is_last: bool) -> list[str]:
    inner = member.of if isinstance(member, Named) else member
    formula = _FORMULAS.get(kind_of(type(inner)))
    name = member.phases()[0].name
    if formula is None:
        raise CannotSay(
            f"{kind_of(type(inner))} has no short formula in plain Python. Use the "
            f"Python of warmdown."
        )
    values = {field.name: getattr(inner, field.name) for field in fields(inner)}
    text = formula(values)
    if is_last:
        return [f"    return {text}  # {_plain(name)}"]
    return [
        f"    if step < {member.length}:",
        f"        return {text}  # {_plain(name)}",
        f"    step -= {member.length}",
    ]


def _plain(name: str) -> str:
    """Return a phase's name as it may stand in a comment."""
    return "".join(letter if letter.isprintable() else " " for letter in name)[:60]


def _way(v: Mapping[str, Any], left: str) -> str:
    return f"{v['end']!r} + {v['start'] - v['end']!r} * {left}"


def _done(v: Mapping[str, Any]) -> str:
    return f"min(step / {v['steps']}, 1.0)" if v["steps"] else "1.0"


def _simple(v: Mapping[str, Any], left: str, **usual: float) -> str:
    if any(v[name] != value for name, value in usual.items()):
        raise CannotSay(
            f"{', '.join(usual)} other than {', '.join(map(str, usual.values()))} is longer than "
            f"it is worth."
        )
    return _way(v, left)


_FORMULAS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "constant": lambda v: repr(v["value"]),
    "linear": lambda v: _way(v, f"(1 - {_done(v)})"),
    "cosine": lambda v: _simple(
        v, f"(1 + math.cos(math.pi * {_done(v)})) / 2", k=1.0, exponent=1.0
    ),
    "polynomial": lambda v: _simple(v, f"(1 - {_done(v)}) ** {v['power']!r}", k=1.0),
    "sqrt": lambda v: _way(v, f"(1 - math.sqrt({_done(v)}))"),
    "exponential": lambda v: f"{v['start']!r} * ({v['end'] / v['start']!r}) ** {_done(v)}",
    "rex": lambda v: _way(v, f"(1 - {_done(v)}) / (1 - {v['d']!r} * {_done(v)})"),
    "exponential_decay": lambda v: f"{v['start']!r} * {v['gamma']!r} ** (step / {v['every']})",
    "inverse_time": lambda v: f"{v['start']!r} / (1 + {v['rate']!r} * step / {v['every']})",
    "inverse_sqrt": lambda v: (
        f"{v['start']!r} * math.sqrt({v['timescale']} / ({v['timescale']} + step))"
    ),
    "power": lambda v: (
        f"{v['start']!r} * ({v['timescale']} / ({v['timescale']} + step)) ** {v['exponent']!r}"
    ),
    "staircase": lambda v: f"{v['start']!r} * {v['gamma']!r} ** (step // {v['every']})",
    "milestones": lambda v: (
        f"{v['start']!r} * {v['gamma']!r} ** sum(step >= mark for mark in {list(v['at'])!r})"
    ),
}
