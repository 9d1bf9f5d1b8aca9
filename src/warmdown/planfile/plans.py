"""Plain data or text to a plan, with every mistake at once."""

from __future__ import annotations

__all__ = [
    "from_dict",
    "load",
    "loads",
    "merge_run_facts",
    "plan_from_dict",
    "plan_of",
    "run_from_dict",
]

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from types import MappingProxyType
from typing import Any

from warmdown.errors import RunError, ScheduleError, SpecError, shortly
from warmdown.expressions import PLACEHOLDERS, Facts, is_number, run_facts
from warmdown.plan import (
    EVERY_GROUP,
    LONGEST_PATTERN,
    AfterEnd,
    Count,
    Plan,
    RateRule,
    Target,
    instead_of,
)
from warmdown.planfile.of_record import AskedRecipe, asked_recipe
from warmdown.planfile.overrides import with_overrides
from warmdown.planfile.schedules import ScheduleReader
from warmdown.planfile.text import (
    PlainMapping,
    bounded,
    describe,
    from_yaml,
    join_path,
    parse,
    read_text,
)
from warmdown.run import Run
from warmdown.schedules import Rule, Scale, Schedule, Set
from warmdown.schedules.base import PlainData
from warmdown.schedules.parameters import Arguments, type_of

_ENDINGS = (".yaml", ".yml", ".json")
TARGETS = "targets"
"""The key under which a recipe drives several fields at once."""
_OPTIONS: PlainData = {"after_end": AfterEnd, "count": Count, "rate_rule": RateRule}
_OF_A_PLAN = ("run", *_OPTIONS)
_FACTS = {*Run.__dataclass_fields__} - {"lr"}
_NO_FACTS: Facts = MappingProxyType({})


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
        Linear(end=0.1)
    """
    reader = _reader(run, allow)
    found: Schedule = reader.read_schedule("", bounded(data))
    reader.raise_mistakes()
    return found


def plan_from_dict(
    data: Any,
    *,
    run: Run | None = None,
    allow: Sequence[str] = (),
    loaders: Facts = _NO_FACTS,
) -> Plan:
    """Return the plan that plain data describes; the opposite of ``plan.to_dict()``.

    Args:
        data: Targets by name, with ``run`` and ``after_end`` … beside them; a schedule
            alone drives ``lr``.
        run: Facts that go before the data's own.
        allow: Modules from which class paths may be imported, besides the known ones.
        loaders: A Trainer's facts about its data: ``{"TRAIN_DATALOADER_LEN": 100}``.

    Raises:
        SpecError: It describes none; every mistake with its path.

    Example:
        >>> lr = [{"kind": "linear", "steps": "5%"}, "cosine"]
        >>> plan = plan_from_dict({"run": {"total_steps": 100}, "lr": lr})
        >>> plan.run.total_steps, plan.targets[0].label
        (100, 'lr')
    """
    data = _at_the_top(bounded(data))
    reader = _reader(run, allow, loaders)
    _read_run(reader, data.get("run"), run)
    targets: list[Target] = []
    for key in data:
        if key in _FACTS and not isinstance(data[key], Mapping | list):
            reader.error(str(key), f"is a fact of the run. Write it there: run: {{{key}: …}}.")
        elif key not in _OF_A_PLAN:
            targets += _read_targets(reader, str(key), data[key])
    for label, times in Counter(target.label for target in targets).items():
        if times > 1:
            what = f"drives {label}, which stands in the plan by itself too."
            reader.error(TARGETS, f"{what} Leave one of the two out.")
    if not data.keys() - _OF_A_PLAN:
        reader.error("", "nothing is scheduled. Give a target, like lr: {kind: cosine}.")
    options = {
        key: type_of(hint).read(reader, key, data[key])
        for key, hint in _OPTIONS.items()
        if key in data
    }
    reader.raise_mistakes()
    return Plan(targets=tuple(targets), run=reader.run, **options)


def load(
    path: str | Path,
    *,
    run: Run | None = None,
    allow: Sequence[str] = (),
    changes: Arguments = MappingProxyType({}),
    loaders: Facts = _NO_FACTS,
) -> Plan:
    """Return the plan in a file: JSON when it ends in ``.json``, else YAML.

    Args:
        path: The file, of at most 1 MiB; or ``recipe:NAME`` of a recipe of record, which is
            ``stretched:NAME`` for a run of any length.
        run: Facts that go before the file's own: a total that the loader has.
        allow: Modules from which class paths may be imported, besides the known ones.
        changes: Values by path that go before the file's: ``{"lr[1].end": 0.2}``.
        loaders: A Trainer's facts about its data: ``{"TRAIN_DATALOADER_LEN": 100}``.

    Raises:
        SpecError: It cannot be read or is no plan; every mistake with file, line and path.
    """
    if asked := asked_recipe(path):
        return _load_recipe(asked, run, allow=allow, changes=changes, loaders=loaders)
    lines: Mapping[str, int] = {}
    try:
        text = parse(path, read_text(path))
        lines = text.lines
        return plan_from_dict(
            with_overrides(text.data, changes), run=run, allow=allow, loaders=loaders
        )
    except SpecError as error:
        raise SpecError(
            [_located(str(path), mistake, lines) for mistake in error.mistakes]
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
        Scale(of=Linear(end=0.1))
    """
    return plan_from_dict(from_yaml(text).data, run=run, allow=allow)


def plan_of(given: Any, *, who: str = "plan", run: Run | None = None, **reading: Any) -> Plan:
    """Return the plan that is meant; ``run`` is what the plan is read and measured for.

    Args:
        given: A plan; a schedule, ``Scale`` or ``Set`` for the rate; targets by name; the path of a
            plan file; data as in one, or the name of a shape.
        who: Named first in an error, up to its opening bracket.
        run: Facts about the run, in place of the plan's own.
        reading: For a file or data: what :func:`load` takes besides.

    Raises:
        ScheduleError: It is none of these.
        SpecError: The file or data describe no plan.

    Example:
        >>> from warmdown import Cosine
        >>> plan_of(Cosine()) == plan_of({"lr": Cosine()}) == plan_of("cosine")
        True
    """
    if isinstance(given, Plan):
        return given if run is None else replace(given, run=run)
    if isinstance(given, Schedule | Scale | Set):
        return Plan.of(lr=given, run=run)
    if isinstance(given, PathLike) or (isinstance(given, str) and _is_path(given)):
        return load(given if isinstance(given, str) else Path(given), run=run, **reading)
    if isinstance(given, str) and given.isidentifier():
        return plan_from_dict(given, run=run, **reading)
    if isinstance(given, Mapping):
        return _of_mapping(given, run, reading)
    is_list = isinstance(given, Sequence) and not isinstance(given, str | bytes)
    if is_list and given and not _is_live(given):
        return plan_from_dict(given, run=run, **reading)
    raise ScheduleError(f"{who}({shortly(given)}): no plan. {instead_of(given)}")


def run_from_dict(data: Any, *, run: Run | None = None) -> Run:
    """Return the run that plain data describes; numbers may be texts: ``{"total_steps": "1e4"}``.

    Args:
        data: Facts by name.
        run: Facts that go before them.

    Raises:
        SpecError: It describes none; every mistake with its path.
    """
    reader = _reader(run, ())
    _read_run(reader, data, run)
    reader.raise_mistakes()
    return reader.run


def merge_run_facts(own: Arguments, given: Arguments) -> PlainData:
    """Return facts of a run: those ``given``, and of its ``own`` what does not contradict them.

    Example:
        >>> merge_run_facts({"epochs": 20, "steps_per_epoch": 500}, {"total_steps": 100})
        {'steps_per_epoch': 500, 'total_steps': 100}
    """
    replaced: set[str] = set()
    length = {"total_steps", "epochs", "budget"}
    if given.keys() & length:  # a given length replaces all of it
        replaced = length
    elif "steps_per_epoch" in given and "epochs" in own:
        replaced = {"total_steps"}
    return {**{name: own[name] for name in own if name not in replaced}, **given}


def _load_recipe(asked: AskedRecipe, run: Run | None, **reading: Any) -> Plan:
    """Return the plan of a recipe; one whose lengths are numbers takes no other run's length."""
    recipe = asked.recipe
    if asked.is_stretched:
        own = load(recipe.path, **reading).over()
        targets = (replace(t, rule=_stretch_rule(t.rule, own.length)) for t in own.targets)
        run = run or Run()
        lr = own.run.lr if run.lr is None else run.lr
        return replace(own, targets=tuple(targets), run=replace(run, lr=lr))
    plan = load(recipe.path, run=run, **reading)
    if recipe.fixed and run and plan.run.length != load(recipe.path, **reading).run.length:
        raise SpecError(
            f"recipe:{recipe.name}: its source states lengths as numbers ({recipe.fixed}), which "
            f"fit no other run. In proportion it is stretched:{recipe.name}."
        )
    return plan


def _stretch_rule(rule: Rule, length: int | None) -> Rule:
    """Return the rule as far as its own run goes, for whatever run it is used in."""
    return rule.with_schedules(lambda part: part.take(length or "rest").stretch("rest"))


def _reader(run: Run | None, allow: Sequence[str], loaders: Facts = _NO_FACTS) -> ScheduleReader:
    run = run or Run()
    allowed = (allow,) if isinstance(allow, str) else tuple(allow)
    return ScheduleReader(run=run, facts=run_facts(run, loaders), allow=allowed)


def _at_the_top(data: Any) -> PlainMapping:
    """Return the mapping of a plan; a schedule that stands alone drives ``lr``."""
    if isinstance(data, Mapping):
        if not data.keys() & {"kind", "class_path"}:
            return data
        beside = {key: data[key] for key in _OF_A_PLAN if key in data}
        schedule = {key: value for key, value in data.items() if key not in beside}
        return {**beside, "lr": schedule}
    if isinstance(data, list | tuple) or (isinstance(data, str) and data.isidentifier()):
        return {"lr": data}
    raise SpecError(f"a plan is a mapping, like lr: {{kind: cosine}}; this is {describe(data)}.")


def _read_run(reader: ScheduleReader, data: Any, given: Run | None) -> None:
    facts: PlainData | None = {}
    if isinstance(data, Mapping):
        facts = reader.read_arguments("run", "a run", Run, data)
    elif data is not None:
        reason = f"facts are needed, like {{total_steps: 10000}}, not {describe(data)}."
        facts = reader.error("run", reason)
    if facts is not None:
        try:
            reader.run = Run(**merge_run_facts(facts, given.to_dict() if given else {}))
            reader.facts = run_facts(reader.run, reader.facts)
            return
        except RunError as error:
            reader.error("run", str(error))
    # any number will do: the rest is still read for its mistakes
    reader.facts = dict.fromkeys(PLACEHOLDERS, 1)


def _read_targets(reader: ScheduleReader, name: str, data: Any) -> Iterator[Target]:
    if isinstance(data, Mapping) and "groups" in data and "kind" not in data:
        yield from _group_targets(reader, name, data)
    elif name != TARGETS:
        if rule := _read_rule(reader, name, data):
            yield Target(name, EVERY_GROUP, rule)
    elif several := reader.read_whole(name, data):
        if isinstance(several, Schedule):
            several = Scale(several)
        rules = several if isinstance(several, Mapping) else {name: several}
        for field, rule in rules.items():
            yield Target(field, EVERY_GROUP, rule)


def _group_targets(reader: ScheduleReader, name: str, data: PlainMapping) -> Iterator[Target]:
    what = "stands beside groups. For all other groups, write it as groups: {'*': …}."
    for key in data:
        if key != "groups":
            reader.error(join_path(name, key), what)
    groups, where = data["groups"], join_path(name, "groups")
    if not isinstance(groups, Mapping) or not groups:
        reader.error(where, f"patterns are needed, like {{head: …}}, not {describe(groups)}.")
        return
    for key, entry in groups.items():
        path, pattern = join_path(where, key), str(key)
        if len(pattern) > LONGEST_PATTERN:
            reader.error(path, f"longer than {LONGEST_PATTERN} characters. Shorten it with a *.")
        elif rule := _read_rule(reader, path, entry):
            yield Target(name, pattern, rule)


def _read_rule(reader: ScheduleReader, path: str, data: Any) -> Any:
    """Return the rule, or nothing after a mistake."""
    if isinstance(data, Mapping) and "set" in data:
        what = "stands beside set, which says everything. Leave it out."
        for key in data:
            if key != "set":
                reader.error(join_path(path, key), what)
        value = reader.read_schedule(join_path(path, "set"), data["set"])
        return value and Set(value)
    if (
        isinstance(data, Mapping)
        and "kind" not in data
        and data.keys() & {"scale", "offset", "low"}
    ):
        return _read_scale(reader, path, data)
    if isinstance(data, int | float | str) and is_number(str(data)):
        text = f"{data!s:.40}"
        return reader.error(
            path,
            f"{text} alone could mean two things. {{set: {text}}} is the value itself, {{scale: "
            f"{text}}} a factor on the base value; the base learning rate is run: {{lr: …}}.",
        )
    result = reader.read_whole(path, data)
    if isinstance(result, Set):  # of a recipe with a peak
        return result
    if isinstance(result, Mapping):
        drives = " and ".join(result)
        what = f"this drives {drives}. Write it at the top of the plan, as targets: {{…}}."
        return reader.error(path, what)
    return result and Scale(result)


def _read_scale(reader: ScheduleReader, path: str, data: PlainMapping) -> Any:
    if "scale" not in data:
        what = "has no scale. Give the factor: scale: {kind: cosine}, or scale: 1."
        reader.error(path, what)
        data = {"scale": 1, **data}  # the rest is still read for its mistakes
    read = reader.read_arguments(path, "a scale", _scale, data)
    return read and _scale(**read)


def _scale(
    scale: Schedule, offset: Schedule | None = None, low: float | Schedule | None = None
) -> Scale:
    """Return the rule; a file's word for its first part is another than Python's."""
    return Scale(scale, offset, low)


def _located(file: str, mistake: str, lines: Mapping[str, int]) -> str:
    """Return a mistake with file and line before it; what is missing has its owner's line."""
    where = mistake.split(": ", 1)[0]
    while where and where not in lines:
        where = where[: max(where.rfind("."), where.rfind("["), 0)]
    return f"{file}:{lines[where]}: {mistake}" if where else f"{file}: {mistake}"


def _of_mapping(given: Mapping[Any, Any], run: Run | None, reading: Mapping[str, Any]) -> Plan:
    """Return the plan of targets; those that are plain data are read as in a file."""
    options = {name: given[name] for name in _OF_A_PLAN if name in given}
    live = {name for name, value in given.items() if name not in options and _is_live(value)}
    if not live or given.keys() & {"kind", "class_path"}:
        return plan_from_dict(given, run=run, **reading)
    if run is not None:
        options["run"] = run
    parts: dict[str, Plan] = {}
    for name, value in given.items():
        if name in live:
            parts[name] = Plan.of(**{str(name): value})
        elif name not in options:
            parts[name] = plan_from_dict({name: value}, run=run, **reading)
    targets = tuple(target for part in parts.values() for target in part.targets)
    return replace(Plan.of(**options), targets=targets)


def _is_live(value: Any) -> bool:
    """Whether a target's value is no data of a file; a number is refused in Python's words."""
    if isinstance(value, Mapping):
        parts = value.values()
        return any(isinstance(part, Schedule | Scale | Set) or callable(part) for part in parts)
    if isinstance(value, str) or value is None:
        return False
    if isinstance(value, Sequence):  # of any class, such as Hydra's
        return any(map(_is_live, value))
    return True


def _is_path(text: str) -> bool:
    is_name = text.endswith(_ENDINGS) or "/" in text or "\\" in text
    return "\n" not in text and bool(is_name or asked_recipe(text) or Path(text).is_file())
