"""What the process for foreign classes is asked: what a class takes, and what a plan with such classes looks like."""

from __future__ import annotations

__all__ = ["described", "looked", "shape_from"]

import inspect
from collections.abc import Mapping
from dataclasses import MISSING, asdict, replace
from typing import Any

from warmdown.errors import SpecError
from warmdown.plan import Plan
from warmdown.planfile.plans import plan_from_dict
from warmdown.studio.draft.fields import Field, Shape, field_of, told
from warmdown.studio.preview.look import Look, Told, look, tell
from warmdown.studio.security.limits import MOST_FOREIGN_STEPS

_MOST_FIELDS = 60
_HELP = {
    "last_epoch": "Update to go on from; -1 begins at the start. One step of the class is one "
    "update here."
}
"""What torch calls an epoch is one call of ``step()``."""


def described(question: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the class at ``path`` takes: its signature and docstring as fields."""
    from warmdown.planfile.classes import find_class

    path = str(question["path"])
    found = find_class(path, tuple(question.get("allow", ())))
    summary, helps, more = told(found)
    fields, takes_more = [], False
    for parameter in list(inspect.signature(found).parameters.values())[:_MOST_FIELDS]:
        takes_more = takes_more or parameter.kind is inspect.Parameter.VAR_KEYWORD
        if parameter.name != "optimizer" and parameter.kind not in _MANY:
            fields.append(_field(parameter, helps))
    return {
        "shape": asdict(Shape(path, summary, tuple(fields), takes_more=takes_more, more=more[:600]))
    }


def shape_from(data: Mapping[str, Any]) -> Shape:
    """Return the shape of plain data that :func:`described` gave."""
    fields = tuple(
        Field(**{**field, "choices": tuple(field["choices"])}) for field in data["fields"]
    )
    return Shape(**{**data, "fields": fields})


def looked(question: Mapping[str, Any]) -> dict[str, Any]:
    """Return the look of the plan in ``data``, and what it tells, for groups with the ``bases``."""
    try:
        plan = plan_from_dict(question["data"], allow=tuple(question.get("allow", ())))
    except SpecError as error:
        return _answer(Look(mistakes=error.mistakes))
    if (length := plan.length or 0) > MOST_FOREIGN_STEPS:
        return _answer(Look(mistakes=(
            f"run.total_steps: a class of another library is stepped one update at a time, at most "
            f"{MOST_FOREIGN_STEPS:,} here, and the run has {length:,}. Give a shorter run to look "
            f"at it.",
        )))  # fmt: skip
    return _seen(plan, question.get("bases", {}))


def _seen(plan: Plan, bases: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    """Look at the plan once for each base rate: a foreign class may not scale with it."""
    groups = bases or {"": {}}
    looks: list[Look] = []
    tolds: list[Told] = []
    for name, base in groups.items():
        of_group = replace(plan, run=replace(plan.run, lr=base.get("lr", plan.run.lr)))
        found, scene = look(of_group, {name: base} if base else None)
        if scene is None:
            return _answer(found)
        looks.append(found)
        tolds.append(tell(of_group, scene))
    return _answer(_joined_looks(looks), _joined_tolds(tolds))


def _answer(found: Look, words: Told | None = None) -> dict[str, Any]:
    return {"look": found.to_dict(), "told": (words or Told()).to_dict()}


def _joined_looks(looks: list[Look]) -> Look:
    curves = tuple(curve for found in looks for curve in found.curves)
    notes = tuple(dict.fromkeys(note for found in looks for note in found.notes))
    return replace(looks[0], curves=curves, notes=notes)


def _joined_tolds(tolds: list[Told]) -> Told:
    """Put the groups' columns side by side; a step told for one is told for all only when all have it."""
    steps = sorted({step for words in tolds for step, _, _ in words.rows})
    by_step = [{step: (what, values) for step, what, values in words.rows} for words in tolds]
    rows = []
    for step in steps:
        held = [rows_of.get(step) for rows_of in by_step]
        if all(held):
            whats = dict.fromkeys(what for what, _ in held if what)  # type: ignore[misc]  # none is None here
            values = tuple(value for _, found in held for value in found)  # type: ignore[misc]
            rows.append((step, ", ".join(whats), values))
    findings = tuple(dict.fromkeys(finding for words in tolds for finding in words.findings))
    labels = tuple(label for words in tolds for label in words.labels)
    return Told("\n\n".join(words.summary for words in tolds), labels, tuple(rows), findings)


def _field(parameter: inspect.Parameter, helps: Mapping[str, str]) -> Field:
    annotation = parameter.annotation
    words = (
        annotation
        if isinstance(annotation, str)
        else getattr(annotation, "__name__", str(annotation))
    )
    default = MISSING if parameter.default is parameter.empty else parameter.default
    if not isinstance(
        default, str | bool | int | float | list | tuple | type(None) | type(MISSING)
    ):
        default = str(default)[:80]
    help = _HELP.get(parameter.name) or helps.get(parameter.name, "")
    return field_of(parameter.name, "" if annotation is parameter.empty else words, default, help)


_MANY = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
