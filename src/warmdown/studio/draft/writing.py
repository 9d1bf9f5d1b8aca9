"""From what was typed to a plan as plain data, as in the file; each field has a path in it."""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias, final

from warmdown.plan import EVERY_GROUP
from warmdown.schedules.base import PlainData
from warmdown.studio.draft.fields import widget_of
from warmdown.studio.draft.model import Draft, RunTexts, ScheduleDraft, TargetDraft, Typed

ByKey: TypeAlias = dict[str, str]
"""A text about parts of the draft, by their keys."""

_FLAGS = {"yes": True, "true": True, "on": True, "no": False, "false": False, "off": False}
_LONGEST_LITERAL = 500
_LARGEST = 1e15
WARMUP = {"kind": "linear", "start": 0.0, "end": 1.0, "steps": 0, "name": "warmup"}
"""The phase that the field of the warmup stands for, but for its length."""


@final
@dataclass
class Written:
    """A plan as plain data.

    Args:
        data: In the shape of the YAML file.
        keys: Key of a part of the draft by its path in the data: ``{"lr[1]": "t0.p1"}``.
        mistakes: What cannot even be written, by the key of its field.
        bases: Base values of each group that has any, by field.
    """

    data: PlainData = field(default_factory=dict)
    keys: ByKey = field(default_factory=dict)
    mistakes: ByKey = field(default_factory=dict)
    bases: dict[str, dict[str, float]] = field(default_factory=dict)

    def key_of(self, path: str) -> str:
        """Return the key of the field at a path, or of the nearest part around it, or nothing."""
        around = [known for known in self.keys if f"{path}.".startswith((f"{known}.", f"{known}["))]
        if not around:
            return ""
        best = max(around, key=len)
        inside = path[len(best) :].replace(".init_args", "")
        return self.keys[best] + (".@path" if ".class_path" in inside else inside)


def written(draft: Draft) -> Written:
    """Return the draft as plain data; a target without phases is left out.

    Example:
        >>> cosine = ScheduleDraft("cosine", (("end", "1e-1"),))
        >>> written(Draft(targets=(TargetDraft(phases=(cosine,), warmup="5%"),))).data["lr"][1]
        {'kind': 'cosine', 'end': 0.1}
    """
    out = Written()
    run = _run_data(draft.run, out.mistakes)
    _add_bases(out, run, draft)
    if run:
        out.data["run"] = run
        out.keys["run"] = "run"
    fields = [target.field for target in draft.targets if target.phases]
    for number, target in enumerate(draft.targets):
        if target.phases:
            _write_target(out, target, f"t{number}", is_alone=fields.count(target.field) == 1)
    if draft.after_end != "hold":
        out.data["after_end"] = draft.after_end
    if draft.count != "updates":
        out.data["count"] = draft.count
    return out


def chain_data(target: TargetDraft) -> Any:
    """Return the phases of a target as plain data: one schedule, or a list."""
    members = [schedule_data(phase) for phase in target.phases]
    if _has_warmup(target):
        members.insert(0, {**WARMUP, "steps": number_of(target.warmup)})
    return members[0] if len(members) == 1 else members


def schedule_data(schedule: ScheduleDraft) -> PlainData:
    """Return a schedule as plain data."""
    arguments = _given(
        {
            name: _argument_data(widget_of(schedule.kind, name), value)
            for name, value in schedule.arguments
        }
    )
    data = {"kind": schedule.kind, **arguments}
    if schedule.is_foreign:
        steps = number_of(schedule.steps)
        facts = {"class_path": schedule.path.strip(), "init_args": arguments or None}
        data = _given({**facts, "steps": steps})
    if schedule.name.strip():
        data["name"] = schedule.name.strip()
    return data


def value_of(kind: str, text: str) -> Any:
    """Return the value of a text in a field of a kind; ``None`` where it is empty.

    A text that cannot be read stays a text: the reader of plans finds what is wrong with it.

    Example:
        >>> value_of("number", "1e-4"), value_of("durations", "[50, 80%]"), value_of("flag", "yes")
        (0.0001, [50, '80%'], True)
        >>> value_of("number", "%LR% * 2"), value_of("value", "50,100")
        ('%LR% * 2', [50, 100])
    """
    plain = text.strip()
    return _READERS.get(kind, str)(plain) if plain else None


def number_of(text: str) -> Any:
    """Return a number, ``None`` for nothing, and for anything else the text itself."""
    plain = text.strip()
    if re.fullmatch(r"[+-]?\d{1,30}", plain):
        return int(plain)
    try:
        return float(plain) if len(plain) <= 60 and "_" not in plain else plain
    except ValueError:
        return plain or None


def _run_data(run: RunTexts, mistakes: ByKey) -> PlainData:
    """Return the facts about the run that follow from what was typed."""

    def typed(name: str, *, is_whole: bool = True) -> Any:
        number = number_of(re.sub(r"[,_\s]", "", getattr(run, name)))
        if number is None:
            return None
        if isinstance(number, int | float) and 0 < number <= _LARGEST:
            if not number % 1:
                return int(number)
            if not is_whole:  # an average
                return number
        needed = "A whole number of at least 1" if is_whole else "A number above 0"
        mistakes[f"run.{name}"] = f"{needed} is needed."
        return None

    accumulation = typed("accumulation") or 1
    per_update = accumulation * (typed("processes") or 1)
    batches, batch_size = typed("batches"), typed("batch_size", is_whole=False)
    tokens = typed("tokens", is_whole=False)
    facts = {
        "total_steps": typed("total_steps"),
        "epochs": typed("epochs"),
        "steps_per_epoch": batches and math.ceil(batches / accumulation),
        "samples_per_step": batch_size and batch_size * per_update,
        "tokens_per_step": tokens and tokens * (batch_size or 1) * per_update,
        "seconds_per_step": number_of(run.seconds_per_step),
        "budget": run.budget.strip() or None,
        "clock": run.clock if run.clock not in ("", "updates") else None,
    }
    return _given(facts)


def _given(entries: PlainData) -> PlainData:
    """Return the entries that have a value."""
    return {name: value for name, value in entries.items() if value is not None}


def _add_bases(out: Written, run: PlainData, draft: Draft) -> None:
    """Add each group's base values; the first rate is the run's, which placeholders use."""
    for number, group in enumerate(draft.groups):
        group_name = group.name.strip() or (f"group {number}" if len(draft.groups) > 1 else "")
        for name, text in group.bases:
            value = number_of(text)
            if value is None:
                continue
            if not isinstance(value, int | float) or not 0 <= value < math.inf:
                out.mistakes[f"g{number}.{name}"] = "A number of at least 0 is needed, like 1e-4."
                continue
            out.bases.setdefault(group_name, {})[name] = float(value)
            if name == "lr":
                run.setdefault("lr", float(value))


def _has_warmup(target: TargetDraft) -> bool:
    return bool(target.warmup.strip()) and target.meaning == "scale"


def _write_target(out: Written, target: TargetDraft, key: str, *, is_alone: bool) -> None:
    is_direct = target.groups == EVERY_GROUP and is_alone
    path = target.field if is_direct else f"{target.field}.groups.{target.groups}"
    if path in out.keys:
        out.mistakes[f"{key}.groups"] = (
            "Another target drives the same number of the same groups. Name other groups."
        )
        return
    rule, inside = chain_data(target), ""
    offset = target.offset and schedule_data(target.offset)
    bounds = _given({"offset": offset, "low": number_of(target.low)})
    if target.meaning == "set":
        rule, inside = {"set": rule}, ".set"
    elif bounds:
        rule, inside = {"scale": rule, **bounds}, ".scale"
    if is_direct:
        out.data[target.field] = rule
    else:
        out.data.setdefault(target.field, {"groups": {}})["groups"][target.groups] = rule
    out.keys[path] = key
    members = [f"{key}.p{number}" for number in range(len(target.phases))]
    if _has_warmup(target):
        members.insert(0, f"{key}.warmup")
        out.keys[f"{path}{inside}[0].steps"] = f"{key}.warmup"
    for at, member in enumerate(members):
        place = f"[{at}]" if len(members) > 1 else ""
        out.keys[f"{path}{inside}{place}"] = member


def _argument_data(kind: str, value: Typed) -> Any:
    if isinstance(value, ScheduleDraft):
        return schedule_data(value)
    if isinstance(value, tuple):
        return [schedule_data(one) for one in value]
    return value_of(kind, value)


def _numbers_of(text: str) -> list[Any]:
    return [number_of(part) for part in text.strip("[]()").split(",") if part.strip()]


def _untyped(text: str) -> Any:
    """Return what a person means who types a value for a parameter of unknown type."""
    if text.lower() in _FLAGS:
        return _FLAGS[text.lower()]
    if text[0] in "[({'\"" or text == "None":
        return _literal_or_text(text)
    if "," in text:
        return [_untyped(part.strip()) for part in text.split(",") if part.strip()]
    return number_of(text)


def _literal_or_text(text: str) -> Any:
    try:
        # as in a file: tuples are lists, and names are texts
        value = ast.literal_eval(text) if len(text) <= _LONGEST_LITERAL else text
        return json.loads(json.dumps(value))
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return text


_READERS: Mapping[str, Callable[[str], Any]] = {
    **dict.fromkeys(("number", "count", "duration"), number_of),
    **dict.fromkeys(("numbers", "counts", "durations"), _numbers_of),
    "flag": lambda text: _FLAGS.get(text.lower(), text),
    "value": _untyped,
}
