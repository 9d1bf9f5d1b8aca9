"""Answers of the process for foreign classes: the parameters of a class, the view of a plan."""

from __future__ import annotations

import inspect
from dataclasses import MISSING, asdict, replace

from warmdown.errors import SpecError, WarmdownError
from warmdown.planfile.plans import plan_from_dict
from warmdown.plot.view import view
from warmdown.schedules.base import PlainData
from warmdown.studio.draft.fields import FormField, Shape, field_of, parsed_docstring
from warmdown.studio.preview.bring import of_group
from warmdown.studio.preview.preview import POINTS, mistakes_of, summarize, view_to_plain
from warmdown.studio.security.limits import MOST_FOREIGN_STEPS

_MOST_FIELDS = 60
_LAST_EPOCH = (
    "Update to go on from; -1 begins at the start. One step of the class is one update here."
)
"""What torch calls an epoch is one call of ``step()``."""
_NOT_NAMED = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
_PLAIN = (str, bool, int, float, list, tuple, type(None))


def describe_class(question: PlainData) -> PlainData:
    """Return the parameters of the class at ``path``, from its signature and docstring."""
    from warmdown.planfile.classes import find_class

    path = str(question["path"])
    described = find_class(path, tuple(question.get("allow", ())))
    summary, documented = parsed_docstring(described)
    helps = {**documented, "last_epoch": _LAST_EPOCH}
    parameters = list(inspect.signature(described).parameters.values())[:_MOST_FIELDS]
    fields = [
        _field_of_class(parameter, helps.get(parameter.name, ""))
        for parameter in parameters
        if parameter.name != "optimizer" and parameter.kind not in _NOT_NAMED
    ]
    takes_more = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters)
    return {"shape": asdict(Shape(path, summary, tuple(fields), takes_more=takes_more))}


def look_at(question: PlainData) -> PlainData:
    """Return the view and the summary of the plan in ``data``, for groups with the ``bases``."""
    try:
        allow = tuple(question.get("allow", ()))
        bases = question.get("bases") or {"": {}}
        by_group = [
            plan_from_dict(of_group(question["data"], at, len(bases)), allow=allow)
            for at in range(len(bases))
        ]
        plan = by_group[0]
        if (length := plan.length or 0) > MOST_FOREIGN_STEPS:
            raise SpecError(
                f"run.total_steps: a class of another library is stepped one update at a time, "
                f"at most {MOST_FOREIGN_STEPS:,} here, and the run has {length:,}. Give a "
                f"shorter run to look at it."
            )
        views, plans = [], []
        # a foreign class need not scale with the base rate, so each group is stepped by itself
        for plan, (name, base) in zip(by_group, bases.items(), strict=True):
            plans.append(replace(plan, run=replace(plan.run, lr=base.get("lr", plan.run.lr))))
            groups = {name: base} if base else None
            views.append(view(plans[-1], groups=groups, points=POINTS))
    except WarmdownError as error:
        return {"mistakes": mistakes_of(error)}
    lines = tuple(line for seen in views for line in seen.lines)
    notes = dict.fromkeys(note for seen in views for note in seen.notes)
    joined = replace(views[0], lines=lines, notes=tuple(notes))
    return {"view": view_to_plain(joined), "summary": asdict(summarize(joined, *plans))}


def _field_of_class(parameter: inspect.Parameter, help: str) -> FormField:
    annotation = "" if parameter.annotation is parameter.empty else parameter.annotation
    default = parameter.default
    if default is parameter.empty:
        default = MISSING
    elif not isinstance(default, _PLAIN):
        default = str(default)[:80]
    return field_of(parameter.name, annotation, default, help)
