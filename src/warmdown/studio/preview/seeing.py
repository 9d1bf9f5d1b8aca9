"""From plain data to what is seen: read the plan, draw it, tell it."""

from __future__ import annotations

__all__ = ["Scene", "see", "tell_of"]

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, final

from warmdown.errors import SpecError
from warmdown.plan import Plan
from warmdown.planfile.plans import plan_from_dict
from warmdown.plot.view import View
from warmdown.studio.preview.look import Look, Told, look, tell

Bases = Mapping[str, Mapping[str, float]]

_NOT_TARGETS = {"run", "after_end", "count"}


@final
@dataclass(frozen=True, eq=False)
class Scene:
    """What is seen of what is typed.

    Args:
        look: The curves, or the mistakes.
        plan: When it is one.
        view: Where the curves are from; none when another process drew them.
    """

    look: Look = field(default_factory=Look)
    plan: Plan | None = None
    view: View | None = None


def see(data: Mapping[str, Any], bases: Bases, allow: Sequence[str] = ()) -> Scene:
    """Return what is seen of a plan in the shape of the file."""
    if not data.keys() - _NOT_TARGETS:
        return Scene()
    try:
        plan = plan_from_dict(data, allow=allow)
    except SpecError as error:
        return Scene(Look(mistakes=error.mistakes))
    found, scene = look(plan, bases)
    return Scene(found, plan, scene)


def tell_of(scene: Scene) -> Told:
    """Return the same in words and numbers."""
    return Told() if scene.plan is None or scene.view is None else tell(scene.plan, scene.view)
