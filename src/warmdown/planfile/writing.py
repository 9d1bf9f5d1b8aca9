"""A plan to text: YAML as a person would write it, or JSON; files are whole or not there."""

from __future__ import annotations

__all__ = ["dumps", "save", "write_text", "writing_to", "to_yaml"]

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from warmdown.errors import SpecError
from warmdown.files import write_whole
from warmdown.plan import Plan
from warmdown.planfile.text import is_json

_WIDTH = 110


def dumps(plan: Plan) -> str:
    """Return a plan as YAML that :func:`loads` turns back into an equal plan.

    Raises:
        ScheduleError: Something in it is code, and no data.

    Example:
        >>> from warmdown import Cosine, Plan, Run
        >>> print(dumps(Plan.of(lr=Cosine(end=0.1), run=Run(total_steps=100))))
        run: {total_steps: 100}
        lr: {kind: cosine, end: 0.1}
        <BLANKLINE>
    """
    return to_yaml(plan.to_dict())


def to_yaml(data: Any, *, in_one_line: bool = False) -> str:
    """Return plain data as YAML that a person would write."""
    text: str = yaml.safe_dump(
        data,
        sort_keys=False,
        default_flow_style=in_one_line or None,
        allow_unicode=True,
        width=10**6 if in_one_line else _WIDTH,
    )
    return text


def to_json(data: Any) -> str:
    """Return plain data as JSON that a person would write."""
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"


def save(plan: Plan, path: str | Path) -> Path:
    """Write a plan to a file: JSON when it ends in ``.json``, else YAML.

    Args:
        plan: The plan.
        path: The file; one that stands there is replaced, in one move.

    Returns:
        The path.

    Raises:
        ScheduleError: Something in the plan is code, and no data.
        SpecError: The file cannot be written.
    """
    path = Path(path)
    write_text(path, json.dumps(plan.to_dict(), indent=2) + "\n" if is_json(path) else dumps(plan))
    return path


def write_text(path: Path, content: str) -> None:
    """Write a text beside its place, and move it there when it is on the disk.

    Raises:
        SpecError: The file cannot be written.
    """
    with writing_to(path):
        write_whole(path, content)


@contextmanager
def writing_to(path: Path) -> Iterator[None]:
    """Say which file the disk refuses to write, and what to look at.

    Raises:
        SpecError: The file cannot be written.
    """
    try:
        yield
    except OSError as error:
        raise SpecError(
            f"{path}: cannot be written: {error.strerror or error}. Check the folder."
        ) from None
