"""Plain data or text to a plan, with every mistake at once."""

from __future__ import annotations

__all__ = ["from_dict", "load", "loads", "merge_run_facts", "plan_from_dict", "run_from_dict"]

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from warmdown.errors import RunError, SpecError, nearest
from warmdown.expressions import PLACEHOLDERS, Facts, is_number, run_facts
from warmdown.plan import EVERY_GROUP, LONGEST_PATTERN, AfterEnd, Count, Plan, Target
from warmdown.planfile.fields import ParseContext, number, parameters_of, reader_of
from warmdown.planfile.overrides import with_overrides
from warmdown.planfile.schedules import made, schedule, what_drives
from warmdown.planfile.text import Text, bounded, describe, from_yaml, join_path, parse, read_text
from warmdown.run import Run
from warmdown.schedules import Rule, Scale, Schedule, Set

TARGETS = "targets"
"""The key under which a recipe drives several fields at once."""
_CHOICES: Mapping[str, Any] = {"after_end": AfterEnd, "count": Count}
_OF_A_PLAN = ("run", *_CHOICES)
_OF_A_SCALE = ("scale", "offset", "low")


def from_dict(data: Any, *, run: Run | None = None, allow: Sequence[str] = ()) -> Schedule:
    """Return the schedule that plain data describes; the opposite of ``schedule.to_dict()``.

    Args:
        data: A mapping with a ``kind`` or ``class_path``, a list (a chain), a number (a constant),
            a shape's name.
        run: What placeholders such as ``%TOTAL_STEPS%`` stand for.
        allow: Modules from which class paths may be imported, besides the known ones.

    Raises:
        SpecError: It describes none; every mistake with its path.

    Example:
        >>> from_dict({"kind": "linear", "end": "1e-1"})
        Linear(start=1.0, end=0.1, steps='rest')
    """
    context = _reading(run or Run(), allow)
    found = schedule(context, "", bounded(data))
    _raise_if_wrong(context)
    assert found is not None  # or a mistake would say why
    return found


def plan_from_dict(
    data: Any,
    *,
    run: Run | None = None,
    allow: Sequence[str] = (),
    loaders: Facts = MappingProxyType({}),
) -> Plan:
    """Return the plan that plain data describes; the opposite of ``plan.to_dict()``.

    Args:
        data: Targets by name, with ``run``, ``after_end`` and ``count`` beside them; a schedule
            alone drives ``lr``.
        run: Facts that go before the data's own.
        allow: Modules from which class paths may be imported, besides the known ones.
        loaders: What a Trainer knows of its data: ``{"TRAIN_DATALOADER_LEN": 100}``.

    Raises:
        SpecError: It describes none; every mistake with its path.

    Example:
        >>> plan = plan_from_dict({"run": {"total_steps": 100}, "lr": [{"kind": "linear", "steps": "5%"}, "cosine"]})
        >>> plan.run.total_steps, plan.targets[0].label
        (100, 'lr')
    """
    data = _at_the_top(bounded(data))
    context = _reading(run or Run(), allow, loaders)
    _read_run(context, data.get("run"), run)
    targets = [
        target
        for key in data
        if key not in _OF_A_PLAN
        for target in _targets(context, str(key), data[key])
    ]
    for label, times in Counter(target.label for target in targets).items():
        if times > 1:
            context.error(
                TARGETS,
                f"drives {label}, which stands in the plan by itself too. Leave "
                f"one of the two out.",
            )
    if not data.keys() - _OF_A_PLAN:
        context.error("", "nothing is scheduled. Give a target, like lr: {kind: cosine}.")
    words = {
        key: reader_of(hint)(context, key, data[key])
        for key, hint in _CHOICES.items()
        if key in data
    }
    _raise_if_wrong(context)
    return Plan(targets=tuple(targets), run=context.run, **words)


def load(
    path: str | Path,
    *,
    run: Run | None = None,
    allow: Sequence[str] = (),
    changes: Mapping[str, Any] = MappingProxyType({}),
    loaders: Facts = MappingProxyType({}),
) -> Plan:
    """Return the plan in a file: JSON when it ends in ``.json``, else YAML.

    Args:
        path: The file, of at most 1 MiB.
        run: Facts that go before the file's own: a total that the loader tells.
        allow: Modules from which class paths may be imported, besides the known ones.
        changes: Values by path that go before the file's: ``{"lr[1].end": 0.2}``.
        loaders: What a Trainer knows of its data: ``{"TRAIN_DATALOADER_LEN": 100}``.

    Raises:
        SpecError: It cannot be read or is no plan; every mistake with file, line and path.
    """
    lines: Mapping[str, int] = {}
    try:
        text = parse(path, read_text(path))
        lines = text.lines
        return plan_from_dict(
            with_overrides(text.data, changes), run=run, allow=allow, loaders=loaders
        )
    except SpecError as error:
        raise SpecError(
            [_placed(str(path), mistake, lines) for mistake in error.mistakes]
        ) from None


def loads(text: str, *, run: Run | None = None, allow: Sequence[str] = ()) -> Plan:
    """Return the plan in a YAML text (JSON is YAML).

    Args:
        text: At most 1 MiB.
        run: Facts that go before the text's own.
        allow: Modules from which class paths may be imported, besides the known ones.

    Raises:
        SpecError: It is no plan; every mistake with its path.

    Example:
        >>> loads("lr: {kind: linear, end: 0.1}").targets[0].rule
        Scale(of=Linear(start=1.0, end=0.1, steps='rest'), offset=None, low=None)
    """
    parsed: Text = from_yaml(text)
    return plan_from_dict(parsed.data, run=run, allow=allow)


def run_from_dict(data: Any, *, run: Run | None = None) -> Run:
    """Return the run that plain data describes; numbers may be texts: ``{"total_steps": "1e4"}``.

    Args:
        data: Facts by name.
        run: Facts that go before them.

    Raises:
        SpecError: It describes none; every mistake with its path.
    """
    context = _reading(run or Run(), ())
    _read_run(context, data, run)
    _raise_if_wrong(context)
    return context.run


def merge_run_facts(own: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return facts of a run in which ``given`` goes before ``own``; what would contradict it is left out.

    Example:
        >>> merge_run_facts({"epochs": 20, "steps_per_epoch": 500}, {"total_steps": 100})
        {'steps_per_epoch': 500, 'total_steps': 100}
    """
    facts = dict(own)
    if given.keys() & {"total_steps", "epochs", "budget"}:  # who tells the length tells all of it
        for name in ("total_steps", "epochs", "budget"):
            facts.pop(name, None)
    elif "steps_per_epoch" in given and "epochs" in facts:
        facts.pop("total_steps", None)
    return {**facts, **given}


def _reading(run: Run, allow: Sequence[str], loaders: Facts = MappingProxyType({})) -> ParseContext:
    allowed = (allow,) if isinstance(allow, str) else tuple(allow)
    return ParseContext(schedule=schedule, run=run, facts=run_facts(run, loaders), allow=allowed)


def _raise_if_wrong(context: ParseContext) -> None:
    if context.mistakes:
        raise SpecError(context.mistakes)


def _at_the_top(data: Any) -> Mapping[Any, Any]:
    """Return the mapping of a plan; a schedule that stands alone drives ``lr``."""
    if isinstance(data, Mapping) and not data.keys() & {"kind", "class_path"}:
        return data
    if isinstance(data, Mapping):
        beside = {key: data[key] for key in _OF_A_PLAN if key in data}
        return {**beside, "lr": {key: value for key, value in data.items() if key not in beside}}
    if isinstance(data, list | tuple) or (isinstance(data, str) and data.isidentifier()):
        return {"lr": data}
    raise SpecError([f"a plan is a mapping, like lr: {{kind: cosine}}; this is {describe(data)}."])


def _read_run(context: ParseContext, data: Any, given: Run | None) -> None:
    before = len(context.mistakes)
    facts: dict[str, Any] = {}
    if data is not None and not isinstance(data, Mapping):
        context.error(
            "run", f"facts are needed, like {{total_steps: 10000}}, not {describe(data)}."
        )
    elif data:
        facts = context.arguments(
            "run", "a run", parameters_of(Run), {str(key): data[key] for key in data}
        )
    if len(context.mistakes) == before:
        try:
            context.run = Run(**merge_run_facts(facts, {} if given is None else given.to_dict()))
            context.facts = run_facts(context.run, context.facts)
            return
        except RunError as error:
            context.error("run", str(error))
    context.facts = dict.fromkeys(
        PLACEHOLDERS, 1
    )  # any number will do: the rest is still read for mistakes


def _targets(context: ParseContext, name: str, data: Any) -> list[Target]:
    if name == TARGETS and not _has_groups(data):
        several = made(context, name, data)
        if isinstance(several, Mapping):
            return [Target(field, EVERY_GROUP, rule) for field, rule in several.items()]
        return [] if several is None else [Target(name, EVERY_GROUP, Scale(several))]
    if not _has_groups(data):
        rule = _rule(context, name, data)
        return [] if rule is None else [Target(name, EVERY_GROUP, rule)]
    for key in [key for key in data if key != "groups"]:
        context.error(
            join_path(name, key),
            "stands beside groups. For all other groups, write it as groups: {'*': …}.",
        )
    if not isinstance(data["groups"], Mapping) or not data["groups"]:
        context.error(
            join_path(name, "groups"),
            f"patterns are needed, like {{head: …}}, not {describe(data['groups'])}.",
        )
        return []
    for key in [key for key in data["groups"] if len(str(key)) > LONGEST_PATTERN]:
        context.error(
            join_path(f"{name}.groups", key),
            f"longer than {LONGEST_PATTERN} characters. Shorten it with a *.",
        )
    groups = {
        str(key): one for key, one in data["groups"].items() if len(str(key)) <= LONGEST_PATTERN
    }
    found = (
        (key, _rule(context, join_path(f"{name}.groups", key), one)) for key, one in groups.items()
    )
    return [Target(name, pattern, rule) for pattern, rule in found if rule is not None]


def _has_groups(data: Any) -> bool:
    return isinstance(data, Mapping) and "groups" in data and "kind" not in data


def _rule(context: ParseContext, path: str, data: Any) -> Rule | None:
    if isinstance(data, Mapping) and "set" in data:
        return _set(context, path, data)
    if isinstance(data, Mapping) and data.keys() & set(_OF_A_SCALE) and "kind" not in data:
        return _scale(context, path, data)
    if (isinstance(data, int | float) and not isinstance(data, bool)) or (
        isinstance(data, str) and is_number(data)
    ):
        context.error(
            path,
            f"{data!s:.40} alone could mean two things. {{set: {data!s:.40}}} is the value itself, "
            f"{{scale: {data!s:.40}}} a factor on the base value; the base learning rate is run: "
            f"{{lr: …}}.",
        )
        return None
    result = made(context, path, data)
    if isinstance(result, Mapping):
        context.error(
            path,
            f"this drives {what_drives(result)}. Write it at the top of the plan, "
            f"as targets: {{…}}.",
        )
        return None
    return None if result is None else Scale(result)


def _set(context: ParseContext, path: str, data: Mapping[Any, Any]) -> Set | None:
    for key in [key for key in data if key != "set"]:
        context.error(
            join_path(path, key), "stands beside set, which says everything. Leave it out."
        )
    of = schedule(context, join_path(path, "set"), data["set"])
    return None if of is None else Set(of)


def _scale(context: ParseContext, path: str, data: Mapping[Any, Any]) -> Scale | None:
    for key in [key for key in data if key not in _OF_A_SCALE]:
        context.error(
            join_path(path, key),
            f"a scale has no {describe(key)}. {nearest(str(key)[:60], _OF_A_SCALE)}",
        )
    if "scale" not in data:
        context.error(path, "has no scale. Give the factor: scale: {kind: cosine}, or scale: 1.")
        return None
    of = schedule(context, join_path(path, "scale"), data["scale"])
    offset = (
        schedule(context, join_path(path, "offset"), data["offset"])
        if data.get("offset") is not None
        else None
    )
    low = (
        number(context, join_path(path, "low"), data["low"])
        if data.get("low") is not None
        else None
    )
    return None if of is None else Scale(of, offset, low)


def _placed(path: str, mistake: str, lines: Mapping[str, int]) -> str:
    """Return a mistake with file and line before it; the line of what is missing is that of what lacks it."""
    where = mistake.split(": ", 1)[0]
    while where and where not in lines:
        where = where[: max(where.rfind("."), where.rfind("["), 0)]
    line = lines.get(where) if where else None
    return f"{path}: {mistake}" if line is None else f"{path}:{line}: {mistake}"
