"""From a plan as plain data to what could have been typed, which is that plan again, or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from warmdown.errors import SpecError, WarmdownError
from warmdown.plan import EVERY_GROUP
from warmdown.planfile.plans import plan_from_dict
from warmdown.planfile.text import parse
from warmdown.run import Run
from warmdown.schedules.base import PlainData
from warmdown.studio.draft.fields import known_shapes, shown, widget_of
from warmdown.studio.draft.model import (
    FOREIGN,
    Draft,
    Group,
    RunTexts,
    ScheduleDraft,
    TargetDraft,
    Typed,
)
from warmdown.studio.draft.writing import WARMUP, schedule_data, written
from warmdown.studio.preview.export import groups_in
from warmdown.studio.security.limits import LONGEST_TEXT, MOST_PHASES, MOST_SCHEDULES

_NOT_TARGETS = ("run", "after_end", "count")


def opened(text: str, name: str | Path = "plan.yaml") -> Draft:
    """Return the draft of a plan file, which its name makes YAML or JSON.

    Raises:
        SpecError: It is no plan, or larger than the page can show.
    """
    if len(text) > LONGEST_TEXT:
        raise _too_large(f"{len(text):,} characters")
    return draft_of(parse(name, text).data, groups_in(text))


def draft_of(data: Any, groups: tuple[Group, ...] = ()) -> Draft:
    """Return the draft of a plan as plain data.

    Example:
        >>> draft = draft_of({"lr": [{"kind": "linear", "start": 0, "steps": "5%"}, "cosine"]})
        >>> [phase.kind for phase in draft.targets[0].phases]
        ['linear', 'cosine']

    Raises:
        SpecError: It is no plan, or larger than the page can show.
    """
    plan = plan_from_dict(_without_classes(data))
    try:
        draft = _draft(data, plan.run, groups)
        again = plan_from_dict(_without_classes(written(draft).data))
        # base rates belong to the groups here
        if replace(again, run=replace(again.run, lr=plan.run.lr)) == plan:
            return draft
    except (ValueError, KeyError, TypeError, AttributeError, WarmdownError):
        pass  # it is written in a way that the page has no field for: then its plain form is shown
    if _without_classes(data) != data:
        raise SpecError("this way of writing cannot be shown on the page. Use 'warmdown show'.")
    return _draft(plan.to_dict(), plan.run, groups)


def with_targets(draft: Draft, recipe: ScheduleDraft) -> Draft:
    """Return the draft with the targets of a recipe, each in the place of its like.

    Example:
        >>> [target.field for target in with_targets(Draft(), ScheduleDraft("one_cycle")).targets]
        ['lr', 'momentum']
    """
    plan = plan_from_dict({"targets": schedule_data(recipe)})
    made = {target.label: target for target in _draft(plan.to_dict(), plan.run).targets}
    kept = {
        target.label: target for target in draft.targets if target.phases or target.label in made
    }
    return replace(draft, targets=tuple({**kept, **made}.values()))


def schedule_draft(data: Any) -> ScheduleDraft:
    """Return the draft of a schedule as plain data."""
    if isinstance(data, str) and data in known_shapes():
        return ScheduleDraft(data)
    if isinstance(data, list | tuple):
        return ScheduleDraft("chain", (("members", tuple(map(schedule_draft, data))),))
    if not isinstance(data, Mapping):
        return ScheduleDraft("constant", (("value", shown(data)),))
    given = {str(key): value for key, value in data.items()}
    name = str(given.pop("name", ""))
    if "class_path" in given:
        return _class_draft(name, **given)
    kind = str(given.pop("kind"))
    if kind == "named":
        return replace(schedule_draft(given["of"]), name=name)
    typed = [(key, _typed(widget_of(kind, key), value)) for key, value in given.items()]
    return ScheduleDraft(kind, tuple(typed), name)


def _class_draft(
    name: str, class_path: str, init_args: PlainData | None = None, steps: Any = None
) -> ScheduleDraft:
    typed = [(str(key), _typed("value", value)) for key, value in (init_args or {}).items()]
    length = "" if steps == "rest" else shown(steps)
    return ScheduleDraft(FOREIGN, tuple(typed), name, str(class_path), length)


def _draft(data: Any, run: Run, groups: tuple[Group, ...] = ()) -> Draft:
    if not isinstance(data, Mapping) or data.keys() & {"kind", "class_path"}:
        data = {"lr": data}
    targets: list[TargetDraft] = []
    for name, target in data.items():
        if name in _NOT_TARGETS:
            continue
        by_group = {EVERY_GROUP: target}
        if isinstance(target, Mapping) and "groups" in target and "kind" not in target:
            by_group = target["groups"]
        targets += [_target(str(name), str(group), rule) for group, rule in by_group.items()]
    if max([len(targets), *(len(target.phases) for target in targets)]) > MOST_PHASES:
        raise _too_large(f"more than {MOST_PHASES} phases")
    draft = Draft(
        run=_run_texts(run),
        groups=groups or (Group("", (("lr", shown(run.lr)),)),),
        targets=tuple(targets),
        **{name: str(data[name]) for name in ("after_end", "count") if name in data},
    )
    if len([*draft.schedules()]) > MOST_SCHEDULES:
        raise _too_large(f"more than {MOST_SCHEDULES:,} schedules")
    return draft


def _run_texts(run: Run) -> RunTexts:
    tokens, samples = run.tokens_per_step, run.samples_per_step
    derived = (run.epochs or 0) * (run.steps_per_epoch or 0)
    numbers = {
        "total_steps": None if run.total_steps == derived else run.total_steps,
        "epochs": run.epochs,
        "batches": run.steps_per_epoch,
        "batch_size": samples,
        "tokens": None if tokens is None else tokens / (samples or 1),
        "seconds_per_step": run.seconds_per_step,
    }
    texts = {
        name: shown(int(number) if number and not number % 1 else number)
        for name, number in numbers.items()
    }
    clock = "" if run.clock == "updates" else run.clock
    return RunTexts(**texts, budget=run.budget or "", clock=clock)


def _target(name: str, groups: str, data: Any) -> TargetDraft:
    is_rule = isinstance(data, Mapping) and not data.keys() & {"kind", "class_path"}
    rule = data if is_rule else {"scale": data}
    if "set" in rule:
        return TargetDraft(name, groups, "set", phases=_phase_drafts(rule["set"]))
    if isinstance(rule.get("low"), Mapping):
        raise SpecError(
            [f"{name}: a lower bound that moves cannot be shown here. Use 'warmdown show'."]
        )
    offset, phases = rule.get("offset"), _phase_drafts(rule["scale"])
    warmup = schedule_draft({**WARMUP, "steps": phases[0].get("steps")})
    has_warmup = len(phases) > 1 and phases[0] == warmup
    return TargetDraft(
        name,
        groups,
        warmup=str(warmup.get("steps")) if has_warmup else "",
        phases=phases[1:] if has_warmup else phases,
        low=shown(rule.get("low")),
        offset=None if offset is None else schedule_draft(offset),
    )


def _phase_drafts(data: Any) -> tuple[ScheduleDraft, ...]:
    """Return the phases of a chain, as a list or by its kind; anything else is one phase."""
    if isinstance(data, Mapping) and data.get("kind") == "chain" and "name" not in data:
        data = data["members"]
    return tuple(map(schedule_draft, data if isinstance(data, list | tuple) else [data]))


def _typed(kind: str, value: Any) -> Typed:
    if kind == "schedules":
        return tuple(map(schedule_draft, value))
    if kind == "schedule":
        return schedule_draft(value)
    if value is None or isinstance(value, Mapping):
        return repr(value)
    if kind == "value" and isinstance(value, list | tuple):
        is_plain = len(value) > 1 and not any(isinstance(one, list | str) for one in value)
        return shown(value) if is_plain else repr(list(value))
    return shown(value)


def _without_classes(data: Any) -> Any:
    """Return the data with a plain shape in place of each foreign class."""
    if isinstance(data, list):
        return [_without_classes(one) for one in data]
    if not isinstance(data, Mapping):
        return data
    if "class_path" in data:
        name = {"name": data["name"]} if "name" in data else {}
        return {"kind": "constant", "steps": data.get("steps", "rest"), **name}
    return {key: _without_classes(value) for key, value in data.items()}


def _too_large(what: str) -> SpecError:
    return SpecError(f"{what}: more than the page shows. Use 'warmdown show'.")
