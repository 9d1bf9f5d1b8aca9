"""Edits: each takes a draft and the key of a place in it, and returns the next draft.

Keys: ``run.epochs``, ``g0.name``, ``g0.lr``, ``t0.warmup``, ``t0.p1.k``, ``t0.p1.of.steps``,
``t0.p1.terms[2].k``. ``t0.p1.@name``, ``@path`` and ``@steps`` are the schedule's own, because a
parameter may be called ``name``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from warmdown.plan import EVERY_GROUP
from warmdown.studio.draft.model import Draft, Group, ScheduleDraft, TargetDraft

_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")


def get(draft: Draft, key: str) -> Any:
    """Return what stands at a key, or ``None``."""
    node: Any = draft
    for step in _way_to(key):
        if node is None:
            return None
        node = _member(node, step)
    return node


def put(draft: Draft, key: str, value: Any) -> Draft:
    """Return the draft with a value at a key.

    Example:
        >>> put(Draft(), "g0.lr", "1e-4").groups[0].base("lr")
        '1e-4'
    """
    edited: Draft = _edited(draft, _way_to(key), lambda _: value)
    return edited


def insert(draft: Draft, key: str, value: Any) -> Draft:
    """Return the draft with one more row, before the one at a key."""
    *place, at = _way_to(key)
    edited: Draft = _edited(draft, place, lambda rows: (*rows[:at], value, *rows[at:]))
    return edited


def remove(draft: Draft, key: str) -> Draft:
    """Return the draft without the row at a key; one group and one target always stay."""
    *place, at = _way_to(key)
    left: Draft = _edited(draft, place, lambda rows: (*rows[:at], *rows[at + 1 :]))
    return replace(left, groups=left.groups or (Group(),), targets=left.targets or (TargetDraft(),))


def move(draft: Draft, key: str, to: int) -> Draft:
    """Return the draft with a phase at another place; past an end it stays at the end."""
    before, _, _ = key.rpartition(".")
    return insert(remove(draft, key), f"{before}.p{max(to, 0)}", get(draft, key))


def add_group(draft: Draft, name: str = "") -> Draft:
    """Return the draft with one more group, which has the fields of the last one."""
    fields = tuple((field, "") for field, _ in draft.groups[-1].bases)
    return replace(draft, groups=(*draft.groups, Group(name, fields)))


def add_target(draft: Draft, target: TargetDraft) -> Draft:
    """Return the draft with one more target, before one that drives the same field of all groups.

    The first target that fits a group counts.
    """
    places = (
        at
        for at, other in enumerate(draft.targets)
        if target.groups != EVERY_GROUP
        and (other.field, other.groups) == (target.field, EVERY_GROUP)
    )
    return insert(draft, f"t{next(places, len(draft.targets))}", target)


def _way_to(key: str) -> list[Any]:
    """Return the way to a key: names of members, and numbers of rows."""
    if group := re.fullmatch(r"g(\d+)\.?(.*)", key):  # its field may be called betas[1]
        return ["groups", int(group[1]), *filter(None, [group[2]])]
    key = re.sub(r"^t(\d+)", r"targets[\1]", key)
    key = re.sub(r"^(targets\[\d+\])\.p(\d+)", r"\1.phases[\2]", key)
    return [int(number) if number else name for name, number in _STEP.findall(key)]


def _member(node: Any, name: Any) -> Any:
    if isinstance(name, int):
        return node[name] if name < len(node) else None
    if isinstance(node, ScheduleDraft) and not name.startswith("@"):
        return node.get(name)
    if isinstance(node, Group) and name != "name":
        return node.base(name)
    return getattr(node, name.removeprefix("@"), None)


def _edited(node: Any, steps: Sequence[Any], change: Callable[[Any], Any]) -> Any:
    if not steps:
        return change(node)
    step, *rest = steps
    value = _edited(_member(node, step), rest, change)
    if isinstance(step, int):
        return (*node[:step], value, *node[step + 1 :])
    if isinstance(node, ScheduleDraft) and not step.startswith("@"):
        return node.with_argument(step, value)
    if isinstance(node, Group) and step != "name":
        return replace(node, bases=tuple({**dict(node.bases), step: value}.items()))
    return replace(node, **{step.removeprefix("@"): value})
