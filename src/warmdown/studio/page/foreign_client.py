"""Questions of a tab to the process for foreign classes, and which classes need a person's yes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from warmdown.importing.fence import LONGEST_LOOK
from warmdown.importing.fence_worker import LONGEST_START
from warmdown.studio.draft.fields import Shape
from warmdown.studio.preview.foreign import shape_from
from warmdown.studio.preview.preview import Bases, Preview, Summary, view_from_plain
from warmdown.studio.security.worker import Ended, Worker

NEEDS_YES = "this class is not of a known library: it runs only when you say yes."
"""The message at a class path until a person has decided."""


async def describe_foreign(worker: Worker, path: str, allow: Sequence[str]) -> Shape | str:
    """Return the parameters of a class, or what is wrong with its path."""
    question = {"task": "describe", "path": path, "allow": list(allow)}
    try:
        answer = await worker.ask(question, seconds=LONGEST_START)
    except Ended as error:
        return f"{path}: {error}"
    return shape_from(answer["shape"]) if "shape" in answer else _mistakes_in(answer)[0]


async def preview_foreign(
    worker: Worker, data: Mapping[str, Any], bases: Bases, allow: Sequence[str]
) -> tuple[Preview, Summary]:
    """Return the preview and the summary of a plan with foreign classes in it."""
    question = {"task": "look", "data": data, "bases": bases, "allow": list(allow)}
    try:
        answer = await worker.ask(question, seconds=LONGEST_LOOK)
    except Ended as error:
        return Preview(mistakes=(f"The class was stopped: {error}",)), Summary()
    if "view" not in answer:
        return Preview(mistakes=_mistakes_in(answer)), Summary()
    return Preview(view_from_plain(answer["view"])), Summary.from_plain(answer["summary"])


def _mistakes_in(answer: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(map(str, answer.get("mistakes", ()))) or ("it gave no answer.",)
