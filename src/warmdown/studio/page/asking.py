"""Questions of a tab to the process in which foreign classes run, and what is not asked without a person's yes."""

from __future__ import annotations

__all__ = ["NEEDS_YES", "describe", "needs_yes", "see_foreign"]

from collections.abc import Mapping, Sequence
from typing import Any

from warmdown.importing.fence import LONGEST_LOOK
from warmdown.importing.fence_worker import LONGEST_START
from warmdown.planfile.classes import is_known
from warmdown.studio.draft.fields import Shape
from warmdown.studio.preview.foreign import shape_from
from warmdown.studio.preview.look import Look, Told
from warmdown.studio.preview.seeing import Bases, Scene
from warmdown.studio.security.worker import Ended, Worker

NEEDS_YES = "this class is not of a known library: it runs only when you say yes."
"""What stands at a class path until a person has decided."""


def needs_yes(path: str) -> bool:
    """Whether a class may only run after a person's yes on the page."""
    return not is_known(path)


async def describe(worker: Worker, path: str, allow: Sequence[str]) -> Shape | str:
    """Return what a class takes, or what is wrong with its path."""
    try:
        answer = await worker.ask(
            {"task": "describe", "path": path, "allow": list(allow)}, seconds=LONGEST_START
        )
    except Ended as error:
        return f"{path}: {error}"
    return shape_from(answer["shape"]) if "shape" in answer else _mistakes(answer)[0]


async def see_foreign(
    worker: Worker, data: Mapping[str, Any], bases: Bases, allow: Sequence[str]
) -> tuple[Scene, Told]:
    """Return what is seen of a plan with foreign classes in it, and what it tells."""
    question = {"task": "look", "data": data, "bases": bases, "allow": list(allow)}
    try:
        answer = await worker.ask(question, seconds=LONGEST_LOOK)
    except Ended as error:
        return Scene(Look(mistakes=(f"The class was stopped: {error}",))), Told()
    if "look" not in answer:
        return Scene(Look(mistakes=_mistakes(answer))), Told()
    return Scene(Look.from_dict(answer["look"])), Told.from_dict(answer["told"])


def _mistakes(answer: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(mistake) for mistake in answer.get("mistakes", ())) or ("it gave no answer.",)
