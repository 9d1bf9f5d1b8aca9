"""What is scheduled: which number of which groups follows which schedule, over which run."""

from __future__ import annotations

__all__ = [
    "AFTER_END",
    "COUNTS",
    "RATE_RULES",
    "AfterEnd",
    "Count",
    "Plan",
    "RateRule",
    "Target",
]

import hashlib
import inspect
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from itertools import combinations, groupby
from typing import Any, Literal, Self, TypeAlias, final, get_args

from warmdown.batches import (
    ACCUMULATION,
    BATCH,
    LOADER_TARGETS,
    MeasuredRun,
    measured,
    rate_ratio,
)
from warmdown.errors import ClearArguments, RunError, ScheduleError, shortly
from warmdown.registry import Modelled, Pictured
from warmdown.run import Length, Run, RunLike, run_of
from warmdown.schedules import Phase, Rule, Scale, Schedule, Set
from warmdown.schedules.base import Phases, PlainData
from warmdown.schedules.rule import rule_from_dict
from warmdown.shown import changed_fields, code_of, cut

AfterEnd: TypeAlias = Literal["hold", "raise"]
Count: TypeAlias = Literal["updates", "attempts"]
AFTER_END: tuple[str, ...] = get_args(AfterEnd)
COUNTS: tuple[str, ...] = get_args(Count)
RateRule: TypeAlias = Literal["none", "linear", "sqrt"]
RATE_RULES: Mapping[RateRule, float] = {"none": 0.0, "linear": 1.0, "sqrt": 0.5}
"""The power of the batch that the rate follows, by the name of the rule."""
OPTIONS = ("after_end", "count", "rate_rule")
"""What a plan has beside its run and its targets."""
Given: TypeAlias = "Schedule | Scale | Set | Mapping[Any, Schedule | Scale | Set]"
"""A mapping is from names, patterns or indices of groups."""

_OF_THE_RATE = ("warmup", "decay", "up", "down", "cooldown", "rewarm")
"""Names of phases that say which way a rate goes."""
EVERY_GROUP = "*"
_IN_DATA = r"[\d.]+(e[+-]?\d+)?\s*(samples?|tok|tokens?)"
LONGEST_PATTERN = 200
"""Characters of a pattern for groups: matching takes time with their square."""


@final
@dataclass(frozen=True)
class Target:
    """One number that is driven.

    Args:
        name: The field: ``lr``, ``weight_decay``, ``momentum``, ``betas[0]``, or a name bound by
            the caller.
        groups: Which parameter groups: a name, an index as text, or a pattern such as
            ``decoder.*``; at most 200 characters.
        rule: ``Scale`` or ``Set``.

    Raises:
        ScheduleError: The pattern is too long.
    """

    name: str
    groups: str
    rule: Rule

    def __post_init__(self) -> None:
        if len(self.groups) > LONGEST_PATTERN:
            raise ScheduleError(
                f"Target(groups={self.groups[:40]!r}…): longer than {LONGEST_PATTERN} characters. "
                f"Shorten it with a *."
            )

    @property
    def label(self) -> str:
        """The name in records and pictures: ``lr``, or ``lr/decoder.*``."""
        return self.name if self.groups == EVERY_GROUP else f"{self.name}/{self.groups}"

    def phases(self) -> Phases:
        """Return the named stretches; only the rate has a warmup and a decay.

        A stretch of another field is named for what its own value does.

        Example:
            >>> from warmdown import Linear
            >>> Target("weight_decay", "*", Set(Linear(start=0.0, end=0.1, steps=10))).phases()
            (Phase(name='rising', start=0, stop=10),)
        """
        return field_phases(self.name, self.rule)

    def fits(self, group: str, place: int | None = None) -> bool:
        """Tell whether a group is meant, by its name or by its place among the groups, from 0."""
        return fits_pattern(self.groups, group, place)


@dataclass(frozen=True, kw_only=True)
class Plan(Pictured, Modelled, metaclass=ClearArguments):
    """What is scheduled, as plain data; the YAML file is one.

    Args:
        targets: Every number that is driven. For one group, the first target that fits it counts.
        run: Facts about the run.
        after_end: ``"hold"`` the last value past the planned end, or ``"raise"``.
        count: Whether the clock counts real ``"updates"`` or every ``"attempts"``, skipped ones
            too.
        rate_rule: How the rate follows a batch that the plan changes: ``"linear"`` in proportion to
            it, ``"sqrt"`` with its square root, or ``"none"``. What ``lr`` follows is multiplied.

    Example:
        >>> from warmdown import Constant, Cosine, Run
        >>> decay = Set(Constant(value=0.05))
        >>> plan = Plan.of(lr=Cosine(), weight_decay=decay, run=Run(total_steps=100))
        >>> [target.label for target in plan.targets]
        ['lr', 'weight_decay']
    """

    targets: tuple[Target, ...]
    run: Run = field(default_factory=Run)
    after_end: AfterEnd = "hold"
    count: Count = "updates"
    rate_rule: RateRule = "none"

    def __post_init__(self) -> None:
        if self.after_end not in AFTER_END:
            raise ScheduleError(
                f"Plan(after_end={self.after_end!r}): use one of {', '.join(AFTER_END)}."
            )
        if self.count not in COUNTS:
            raise ScheduleError(f"Plan(count={self.count!r}): use one of {', '.join(COUNTS)}.")
        if self.rate_rule not in RATE_RULES:
            raise ScheduleError(
                f"Plan(rate_rule={self.rate_rule!r}): use one of {', '.join(RATE_RULES)}. The "
                "exchange of Seesaw makes another plan: warmdown.seesaw(plan)."
            )

    @classmethod
    def of(
        cls,
        *,
        run: RunLike | None = None,
        after_end: AfterEnd = "hold",
        count: Count = "updates",
        rate_rule: RateRule = "none",
        **targets: Given,
    ) -> Self:
        """Return the plan that drives each keyword's field by its schedule.

        Args:
            run: Facts about the run.
            after_end: What happens past the planned end.
            count: What the clock counts.
            rate_rule: How the rate follows a batch that the plan changes.
            targets: A schedule (it scales), ``Scale``, ``Set``, or a mapping from group to one of
                them.

        Raises:
            ScheduleError: A target is none of these.
        """
        flat: list[Target] = []
        for name, given in targets.items():
            by_group = given if isinstance(given, Mapping) else {EVERY_GROUP: given}
            flat.extend(
                _planned_target(name, str(groups), rule) for groups, rule in by_group.items()
            )
        return cls(
            targets=tuple(flat),
            run=run_of(run, "Plan.of"),
            after_end=after_end,
            count=count,
            rate_rule=rate_rule,
        )

    def __repr__(self) -> str:
        """Return the call of :meth:`of`, or that of the class where the targets' order needs it."""
        names = [name for name, _ in groupby(target.name for target in self.targets)]
        places = {(target.name, target.groups) for target in self.targets}
        is_plain = len(names) == len(set(names)) and len(places) == len(self.targets)
        if not is_plain or {"run", *OPTIONS}.intersection(names):
            return code_of(self)
        rules: dict[str, dict[str, Any]] = {name: {} for name in names}
        for target in self.targets:
            rules[target.name][target.groups] = _short_rule(target.rule)
        given = {
            name: by_group[EVERY_GROUP] if by_group.keys() == {EVERY_GROUP} else by_group
            for name, by_group in rules.items()
        }
        facts = {name: fact for name, fact in changed_fields(self) if name != "targets"}
        are_words = all(map(str.isidentifier, given))
        shown = (
            [f"{name}={rule!r}" for name, rule in given.items()] if are_words else [f"**{given}"]
        )
        shown += [f"{name}={fact!r}" for name, fact in facts.items()]
        return cut(f"Plan.of({', '.join(shown)})")

    def __str__(self) -> str:
        lines = [f"{target.label}: {target.rule}" for target in self.targets]
        over = "" if self.length is None else f"over {self.length:,} {self.run.clock}"
        return cut("\n".join(filter(None, [*lines, over])))

    @property
    def length(self) -> Length:
        """Length of the run in clock units, or the longest target's; ``None`` when nothing ends."""
        if self.run.length is not None:
            return self.run.length
        parts = (part for target in self.targets for part in target.rule.schedules())
        return max((part.length for part in parts if part.length is not None), default=None)

    def over(self, run: RunLike | None = None, **facts: Any) -> Plan:
        """Return the plan with every open length measured on a run (default: its own).

        Args:
            run: A run, its number of updates, or its facts by name.
            facts: Facts of it by name, such as ``total_steps``.

        Raises:
            ScheduleError: Phases do not fit.
            RunError: The run lacks a fact.
        """
        run = run_of(run, "Plan.over", **facts) if run is not None or facts else self.run
        run, known = self.measured_on(run)
        settled = (self.settled(target, run, known) for target in self.targets)
        return replace(self, targets=tuple(settled), run=run, rate_rule="none")

    def settled(self, target: Target, run: Run, known: Mapping[str, Rule]) -> Target:
        """Return a target with every length measured, a rate multiplied as the batch asks for.

        Args:
            target: One of the plan's targets.
            run: The run, as :meth:`measured_on` returns it.
            known: What the loader's targets are on it.

        Raises:
            ScheduleError: Phases do not fit, or the plan changes no batch that a rate could follow.
            RunError: The run lacks a fact.
        """
        rule = known.get(target.name) or target.rule.over(run)
        if target.name == "lr" and self.rate_rule != "none":
            if not isinstance(run, MeasuredRun) or not {BATCH, ACCUMULATION} & known.keys():
                raise ScheduleError(
                    f"Plan(rate_rule={self.rate_rule!r}): the plan changes no batch. Give "
                    "batch_size a schedule, or leave the rule out."
                )
            rule = replace(rule, of=rule.of * rate_ratio(run, RATE_RULES[self.rate_rule]))
        return replace(target, rule=rule)

    def measured_on(self, run: Run) -> tuple[Run, Mapping[str, Rule]]:
        """Return the run for the plan's lengths, and what the loader's targets are on it.

        Raises:
            ScheduleError: Phases do not fit.
            RunError: The run lacks a fact.
        """
        rules = self.loader_rules
        if not rules:
            return run, {}
        uneven = measured(rules, run)
        return uneven, uneven.batches.rules if uneven.batches else {}

    @property
    def loader_rules(self) -> dict[str, Rule]:
        """What the targets that change how much data an update uses follow, by name."""
        return {
            target.name: target.rule
            for target in self.targets
            if target.name in LOADER_TARGETS and target.groups == EVERY_GROUP
        }

    def lengths_in_data(self) -> list[str]:
        """Return the lengths in samples or tokens that the targets have, as they were given."""
        texts: list[str] = []
        pending: list[Any] = [target.rule.to_dict() for target in self.targets]
        while pending:
            value = pending.pop()
            if isinstance(value, Mapping | list | tuple):
                pending += value.values() if isinstance(value, Mapping) else value
            elif isinstance(value, str) and re.fullmatch(_IN_DATA, value.strip().lower()):
                texts.append(value)
        return texts

    @property
    def patterns(self) -> dict[str, list[str]]:
        """The patterns for groups by field, in their order: for a group the first counts."""
        patterns: dict[str, list[str]] = {}
        for target in self.targets:
            patterns.setdefault(target.name, []).append(target.groups)
        return patterns

    def to_dict(self) -> PlainData:
        """Return the plan as plain data, in the shape of the YAML file."""
        data: PlainData = {}
        by_group: dict[str, PlainData] = {}
        if facts := self.run.to_dict():
            data["run"] = facts
        for target in self.targets:
            by_group.setdefault(target.name, {})[target.groups] = target.rule.to_dict()
        for name, rules in by_group.items():
            data[name] = rules[EVERY_GROUP] if rules.keys() == {EVERY_GROUP} else {"groups": rules}
        chosen = dict(changed_fields(self))
        return data | {name: chosen[name] for name in OPTIONS if name in chosen}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return the plan that :meth:`to_dict` wrote.

        The data are taken as they are, as by :meth:`Schedule.from_dict`; :func:`warmdown.loads`
        reads what a person wrote.

        Raises:
            ScheduleError: The data are no plan.

        Example:
            >>> plan = Plan.from_dict({"run": {"total_steps": 10}, "lr": {"kind": "cosine"}})
            >>> plan == Plan.from_dict(plan.to_dict())
            True
        """
        if not isinstance(data, Mapping):
            raise ScheduleError(f"Plan.from_dict({str(data)[:60]}): a mapping is needed.")
        try:
            run = Run(**data.get("run", {}))
        except (TypeError, RunError) as error:
            raise ScheduleError(f"Plan.from_dict(run={str(data['run'])[:60]}): {error}") from None
        words = {key: data[key] for key in OPTIONS if key in data}
        targets = [
            Target(str(name), str(groups), rule_from_dict(rule))
            for name, entry in data.items()
            if name not in ("run", *words)
            for groups, rule in _by_group(entry).items()
        ]
        return cls(targets=tuple(targets), run=run, **words)

    @property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that differ when the plan does."""
        return fingerprint_of_data(self.to_dict())


def field_phases(name: str, rule: Rule) -> Phases:
    """Return the named stretches of a rule, as :meth:`Target.phases` has them."""
    if name == "lr":
        return rule.of.phases()
    return tuple(
        replace(phase, name=_motion(rule.of, phase)) if phase.name in _OF_THE_RATE else phase
        for phase in rule.of.phases()
    )


def _motion(schedule: Schedule, phase: Phase) -> str:
    """Return what a value does over a phase; one without an end is looked at over 1,000 steps."""
    if not schedule.is_resolved:
        return phase.name
    stop = phase.start + 1000 if phase.stop is None else phase.stop
    # the last step of the phase itself: the next one may begin with a leap
    first, last = schedule(phase.start), schedule(max(stop - 1, phase.start))
    return "stable" if first == last else "rising" if first < last else "falling"


def _short_rule(rule: Rule) -> Rule | Schedule:
    """Return the schedule alone where the rule is what a bare schedule means."""
    return rule.of if rule == Scale(rule.of) else rule


def fits_pattern(pattern: str, group: str, place: int | None = None) -> bool:
    """Tell whether a pattern means a group, by its name or by its place among the groups."""
    return pattern in (group, str(place)) or fnmatchcase(group, pattern)


def fingerprint_of_data(data: Any, *, with_order: bool = True) -> str:
    """Return the fingerprint of the plan that ``to_dict`` wrote, without building it.

    Args:
        data: The plan as plain data; a damaged file may hold anything.
        with_order: Whether the order of a field's patterns counts where a group may fit several.
            It did not until 0.2.
    """
    entries = data.items() if isinstance(data, Mapping) else ()
    patterns = {name: list(_by_group(entry)) for name, entry in entries}
    order = unusual_order(patterns) if with_order else {}
    text = json.dumps([data, order] if order else data, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def unusual_order(patterns: Mapping[str, Iterable[str]]) -> dict[str, list[tuple[str, str]]]:
    """Return each field's pairs of patterns in an unusual order that a group may both fit.

    Usual are names, then indices, then patterns, ``"*"`` last, each by the alphabet.

    Example:
        >>> unusual_order({"lr": ["*", "head", "body"]})
        {'lr': [('*', 'body'), ('*', 'head')]}
    """
    order = {
        name: sorted(
            pair
            for pair in combinations(some, 2)
            if _usual_rank(pair[0]) > _usual_rank(pair[1]) and _may_overlap(*pair)
        )
        for name, some in patterns.items()
    }
    return {name: pairs for name, pairs in order.items() if pairs}


def _usual_rank(pattern: str) -> tuple[Any, ...]:
    return pattern == EVERY_GROUP, _fixed_start(pattern) != pattern, pattern.isdigit(), pattern


def _may_overlap(first: str, second: str) -> bool:
    """Whether a group may fit both patterns; one that has a name has an index, too."""
    start, other = _fixed_start(first), _fixed_start(second)
    if first.isdigit() != second.isdigit():
        return True
    if start == first and other == second:
        return first == second
    if start == first or other == second:
        return fnmatchcase(first, second) or fnmatchcase(second, first)
    return start.startswith(other) or other.startswith(start)


def _fixed_start(pattern: str) -> str:
    """Return a pattern's characters up to the first that stands for others."""
    return re.split(r"[*?[]", pattern, maxsplit=1)[0]


def _by_group(entry: Any) -> Mapping[str, Any]:
    groups = entry.get("groups") if isinstance(entry, Mapping) and len(entry) == 1 else None
    return groups if isinstance(groups, Mapping) else {EVERY_GROUP: entry}


def _planned_target(name: str, groups: str, rule: Any) -> Target:
    target = Target(name, groups, Scale(rule) if isinstance(rule, Schedule) else rule)
    if not isinstance(target.rule, Scale | Set):
        raise ScheduleError(
            f"Plan({target.label}={shortly(rule)}): a schedule, Scale(…), Set(…), or a mapping "
            f"from group to one of them is needed. A fixed number is Set(Constant(value=…)). "
            f"{instead_of(rule)}"
        )
    return target


def instead_of(given: Any) -> str:
    """Return what to give instead of what is no schedule and no plan, as sentences."""
    if isinstance(given, type) and issubclass(given, Schedule):
        return f"It is the class: call it, {given.__name__}(…)."
    if inspect.isfunction(given) and (given.__module__ or "").startswith("warmdown."):
        return f"It is the function: call it, {given.__name__}(…)."
    if hasattr(given, "optimizer") and hasattr(given, "step"):
        return "The plan of another library's scheduler is warmdown.from_torch(scheduler)."
    if hasattr(given, "param_groups"):
        return "The optimizer stands first: Scheduler(optimizer, schedule)."
    if isinstance(given, Run):
        return "It says how long a run is: give it as run=…, and a schedule, like Cosine()."
    if callable(given):
        return (
            "Function(f) scales the base value by it, Set(Function(f)) has the values themselves."
        )
    if isinstance(given, list | tuple):
        return (
            "Several could mean two things: one after the other is first >> second, one for each "
            "group is lr={0: first, 1: second}."
        )
    if isinstance(given, str):
        return (
            "Give the path of a file, the name of a shape like 'cosine', or a schedule; the text "
            "of a plan is read by warmdown.loads(text)."
        )
    if isinstance(given, int | float) and not isinstance(given, bool):
        return (
            f"{given!r} could mean two things: Set({given!r}) is the value itself, "
            f"Scale({given!r}) a factor on the optimizer's."
        )
    return (
        "Give a schedule (it drives lr), a Plan, targets like {'lr': Cosine()}, the path of a plan "
        "file, or data as in one: {'lr': {'kind': 'cosine'}}."
    )
