"""``warmdown list``: every shape and recipe, one line each."""

from __future__ import annotations

__all__ = ["command"]

import json
import shutil
from typing import TYPE_CHECKING, Any

import click

from warmdown.cli.say import say

if TYPE_CHECKING:
    from warmdown.cli.examples import Shape

_WIDTH = 16
"""Characters of a sparkline."""


@click.command("list")
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Names, parameters, and the values of an example, as JSON.",
)
@click.argument("words", nargs=-1)
def command(as_json: bool, words: tuple[str, ...]) -> None:
    """List every shape and recipe, or those that WORDS are found in: its name, a sparkline, what it is."""
    from warmdown.cli.examples import every_shape

    found = [shape for shape in every_shape() if _has(shape, words)]
    if as_json:
        say(json.dumps([_data(shape) for shape in found], indent=2))
    else:
        say(
            _lines(found)
            if found
            else f"nothing has {' and '.join(words)} in its name or description."
        )


def _has(shape: Shape, words: tuple[str, ...]) -> bool:
    text = f"{shape.name} {shape.about}".lower()
    return all(word.lower() in text for word in words)


def _lines(found: list[Shape]) -> str:
    wide = max(len(shape.name) for shape in found)
    columns = max(shutil.get_terminal_size().columns, 60)
    parts = []
    for title, is_recipe in (("shapes", False), ("recipes", True)):
        lines = [_line(shape, wide, columns) for shape in found if shape.is_recipe == is_recipe]
        parts += ["\n".join([title, *lines])] * bool(lines)
    return "\n\n".join(parts)


def _line(shape: Shape, wide: int, columns: int) -> str:
    from warmdown.cli.examples import RUN
    from warmdown.plot import sparkline

    last = (RUN.total_steps or 1) - 1
    values = [shape.example(last * place / (_WIDTH - 1)) for place in range(_WIDTH)]
    line = f"  {shape.name:<{wide}}  {sparkline(values, width=_WIDTH)}  {shape.about}"
    return line if len(line) <= columns else f"{line[: columns - 1].rstrip()}…"


def _data(shape: Shape) -> dict[str, Any]:
    return {
        "name": shape.name,
        "type": "recipe" if shape.is_recipe else "shape",
        "about": shape.about,
        "parameters": dict(shape.parameters),
        "values": [round(shape.example(step), 6) for step in range(0, 1001, 50)],
    }
