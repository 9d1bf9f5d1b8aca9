"""Answers of the process for foreign classes: a configuration, or a class, as warmdown's own."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from warmdown.checks.subject import pieces
from warmdown.errors import ScheduleError, WarmdownError
from warmdown.plan import EVERY_GROUP, Plan
from warmdown.planfile.plans import plan_from_dict
from warmdown.schedules import Chain, Clipped, Constant, Rule, Schedule, Set
from warmdown.schedules.base import PlainData
from warmdown.studio.draft.document import (
    NOT_TARGETS,
    Path,
    TargetRow,
    get,
    is_schedule,
    phases_of,
    put,
    schedules_in,
    targets_in,
    with_target,
)

_BY_GROUP = ("max_lr", "base_lr", "min_lr", "swa_lr", "max_momentum", "base_momentum")
"""Arguments of which torch takes a list with a value for each group."""
_VALUES = ("start", "end", "value", "values", "low", "high")
"""Parameters of shapes that are values, and not lengths or ratios."""
_MOST_COMPARED = 100_000
"""Steps at which a simpler schedule is compared."""


def import_configuration(question: PlainData) -> PlainData:
    """Return the plan of the configuration in ``text``, and what its reader tells."""
    from warmdown.importing import from_settings
    from warmdown.importing.configs import Find, parse_settings, with_named_files

    def find(name: str) -> tuple[str, Find] | None:
        return (question["files"][name], find) if name in question["files"] else None

    notes: list[str] = []
    settings = with_named_files(parse_settings(question["name"], question["text"]), find)
    settings = {**settings, **question["beside"]}
    if isinstance(named := settings.get("deepspeed"), str):
        notes.append(f"{named} was not read: where it has a scheduler, that one holds.")
    plan = from_settings(settings, report=notes.append, **question["known"])
    return {"plan": plan.to_dict(), "report": notes}


def turn_classes(question: PlainData) -> PlainData:
    """Return the data of a plan with warmdown's own schedules in place of classes.

    Where the classes set rates of their own that differ by group, each group gets its own.
    """
    allow, notes = tuple(question.get("allow", ())), dict[str, None]()
    bases: Mapping[str, Mapping[str, float]] = question.get("bases") or {"": {}}
    made = []
    for at, base in enumerate(bases.values()):
        data = of_group(question["data"], at, len(bases))
        made.append(_natively(data, base.get("lr"), allow, notes))
    data = {name: rule for name, rule in made[0].items() if name not in NOT_TARGETS}
    for name in data:
        if all(one[name] == data[name] for one in made):
            continue
        if "groups" in question["data"].get(name, {}):
            raise ScheduleError(
                f"{name}: its groups have classes that set rates of their own, for several base "
                "values. Name one group's base value, and turn its class by itself."
            )
        data[name] = {
            "groups": {
                str(at) if group == f"group {at}" else group: one[name]
                for at, (group, one) in enumerate(zip(bases, made, strict=True))
            }
        }
    return {"plan": data, "report": list(notes)}


def of_group(data: Any, at: int, count: int) -> Any:
    """Return a plan's data for one of several groups: of a list for all of them, its own value.

    Example:
        >>> lr = {"class_path": "x.OneCycleLR", "init_args": {"max_lr": [1, 2], "total_steps": 9}}
        >>> of_group({"lr": lr}, 1, 2)["lr"]["init_args"]
        {'max_lr': 2, 'total_steps': 9}
    """
    for path, schedule in schedules_in(data):
        for name, value in (schedule.get("init_args") or {}).items():
            if name in _BY_GROUP and isinstance(value, list) and len(value) == count:
                data = put(data, (*path, "init_args", name), value[at])
    return data


def _natively(
    data: PlainData, base: float | None, allow: Sequence[str], notes: dict[str, None]
) -> PlainData:
    plan = plan_from_dict(data, allow=tuple(allow))  # where %LR% is the run's rate
    plan = replace(plan, run=replace(plan.run, lr=base or plan.run.lr)).over()
    document: PlainData = {"plan": data, "groups": [{}], "loader": {}}
    for row in targets_in(document):
        paths = [
            path
            for path, schedule in schedules_in(get(document, row.path), row.path)
            if "class_path" in schedule and "init_args" not in path
        ]
        classes = _classes_of(plan, row)
        if len(paths) != len(classes):
            raise ScheduleError(f"{row.label}: a class inside another schedule stays one.")
        for path, external in zip(paths, classes, strict=True):
            document = _turned(document, row, path, external, notes)
    changed: PlainData = document["plan"]
    return changed


def _classes_of(plan: Plan, row: TargetRow) -> list[Any]:
    return [
        part
        for target in plan.targets
        if (target.name, target.groups) == (row.field, row.groups)
        for whole in target.rule.schedules()
        for part, _ in pieces(whole)
        if part.is_preview
    ]


def _turned(
    document: PlainData, row: TargetRow, path: Path, external: Any, notes: dict[str, None]
) -> PlainData:
    """Return the document with a class replaced; as the whole rule, with all that it drives."""
    given, phases = get(document, path), phases_of(document, row)
    rules: dict[str, Any] = _rules_of(external, notes)
    is_whole = phases == (path,) and is_schedule(get(document, row.path))
    if is_whole and (row.field, row.groups) == ("lr", EVERY_GROUP):
        for name, rule in Plan.of(**rules).to_dict().items():
            if name == "lr":
                document = put(document, row.path, rule)
            elif name not in document["plan"]:
                document = with_target(document, name, EVERY_GROUP, rule)
        return document
    for name in rules.keys() - {"lr"}:
        notes[f"{external.class_path} moves the {name} too; among other phases it does not."] = None
    schedule = as_factor(rules["lr"], external.base, external.steps)
    if path != phases[-1] or "steps" in given:
        schedule = _fit_to(schedule, external.steps)
    named = {"name": given["name"]} if "name" in given else {}
    return put(document, path, {**schedule.to_dict(), **named})  # type: ignore[no-any-return]


def _rules_of(external: Any, notes: dict[str, None]) -> dict[str, Rule]:
    """Return what a class does over its steps, by target."""
    from warmdown.importing import from_torch

    config = {"class_path": external.class_path, "init_args": dict(external.init_args)}

    def read(steps: int) -> tuple[Plan, list[str]]:
        lines: list[str] = []
        how: Any = {"total_steps": steps, "lr": external.base, "allow": external.allow}
        return from_torch(config, report=lines.append, **how), lines

    plan, lines = read(external.steps)
    if lines and external.steps > 1:
        # what a class does after the last update is no difference that a run would see
        with contextlib.suppress(WarmdownError):
            shorter = read(external.steps - 1)
            plan, lines = (plan, lines) if shorter[1] else shorter
    notes.update(dict.fromkeys(lines))
    return {target.name: target.rule for target in plan.targets}


def as_factor(rule: Rule, base: float, steps: int) -> Schedule:
    """Return a rule's value over the base rate, for so many steps.

    Raises:
        ScheduleError: It has a floor that moves.

    Example:
        >>> from warmdown import Cosine, Scale
        >>> as_factor(Scale(Cosine(), offset=Cosine(start=0.0, end=1e-4)), base=1e-3, steps=100)
        Cosine(end=0.1)
    """
    if isinstance(rule, Set):
        return _simplified(rule.of * (1 / base), rule.of, steps)
    factor = rule.of
    if rule.offset is not None:
        factor = _simplified(factor + rule.offset * (1 / base), factor, steps)
    if isinstance(rule.low, Schedule):
        raise ScheduleError("a floor that moves is no factor on the rate.")
    return factor if rule.low is None else Clipped(of=factor, low=rule.low / base)


def _simplified(schedule: Schedule, shape: Schedule, steps: int) -> Schedule:
    """Return the shape itself with other values, where ``a * shape + c`` is the schedule."""
    at = np.unique(np.linspace(0, steps, min(steps, _MOST_COMPARED) + 1).round())
    values, shares = schedule.over(steps)(at), shape.over(steps)(at)
    low, high = int(np.argmin(shares)), int(np.argmax(shares))
    if shares[low] == shares[high]:
        return schedule
    slope = (values[high] - values[low]) / (shares[high] - shares[low])

    def move(value: float) -> float:
        return float(f"{values[low] + slope * (value - shares[low]):.12g}")

    def with_values(part: Schedule) -> Schedule:
        if part.parts():
            return part.with_parts(with_values)
        moved: PlainData = {
            name: move(value) if isinstance(value, float) else tuple(map(move, value))
            for name, value in vars(part).items()
            if name in _VALUES
        }
        return replace(part, **moved)

    with contextlib.suppress(ScheduleError):
        simple = with_values(shape)
        if np.allclose(simple.over(steps)(at), values, rtol=1e-9, atol=1e-12):
            return simple
    return schedule


def _fit_to(schedule: Schedule, steps: int) -> Schedule:
    """Return a schedule that takes so many steps; what is shorter holds its last value."""
    settled = schedule.over(steps)
    length = settled.length
    if length is None or length > steps:
        return settled.take(steps)
    if length == steps:
        return settled
    rest = Constant(value=float(settled(length)), steps=steps - length)
    return Chain.of(settled, rest)
