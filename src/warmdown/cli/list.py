"""``warmdown list``: every shape and recipe, one line each."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import click

from warmdown.cli.options import Texts, json_option
from warmdown.cli.say import say
from warmdown.schedules.base import PlainData

if TYPE_CHECKING:
    from warmdown.schedules import Schedule
    from warmdown.studio.draft.fields import Shape

_WIDTH = 16
"""Characters of a sparkline."""


@click.command("list")
@json_option
@click.argument("words", nargs=-1)
def command(as_json: bool, words: Texts) -> None:
    """List every shape and recipe, or those with WORDS: its name, a sparkline, what it is."""
    from warmdown import planfile
    from warmdown.studio.draft.fields import known_shapes

    known = planfile.shapes()
    found = [
        shape
        for name, shape in known_shapes().items()
        if known[name].__module__.startswith("warmdown.")
        and all(word.lower() in f"{name} {_about(shape)}".lower() for word in words)
    ]
    found.sort(key=lambda shape: (shape.is_recipe, shape.kind))
    if as_json:
        say(json.dumps([_shape_data(shape) for shape in found], indent=2))
    elif found:
        say(_as_lines(found))
    else:
        say(f"nothing has {' and '.join(words)} in its name or description.")


def _about(shape: Shape) -> str:
    return shape.summary.removesuffix(".")


def _example(shape: Shape) -> Schedule:
    from warmdown.studio.draft.catalogue import example_data, example_schedule

    return example_schedule(example_data(shape.kind))


def _as_lines(found: list[Shape]) -> str:
    from warmdown.plot import sparkline

    wide = max(len(shape.kind) for shape in found)
    columns = max(shutil.get_terminal_size().columns, 60)
    lines: dict[str, list[str]] = {"shapes": [], "recipes": []}
    for shape in found:
        example = _example(shape)
        values = [example(999 * place / (_WIDTH - 1)) for place in range(_WIDTH)]
        line = f"  {shape.kind:<{wide}}  {sparkline(values, width=_WIDTH)}  {_about(shape)}"
        if len(line) > columns:
            line = f"{line[: columns - 1].rstrip()}…"
        lines["recipes" if shape.is_recipe else "shapes"].append(line)
    return "\n\n".join("\n".join([title, *rows]) for title, rows in lines.items() if rows)


def _shape_data(shape: Shape) -> PlainData:
    from warmdown import planfile
    from warmdown.schedules.parameters import parameters_of

    example = _example(shape)
    parameters: dict[str, str | None] = {}
    for name, parameter in parameters_of(planfile.shapes()[shape.kind]).items():
        default = parameter.default
        text = default if isinstance(default, str) else repr(default)
        parameters[name] = None if parameter.is_required else "none" if default is None else text
    return {
        "name": shape.kind,
        "type": "recipe" if shape.is_recipe else "shape",
        "about": _about(shape),
        "parameters": parameters,
        "values": [round(example(step), 6) for step in range(0, 1001, 50)],
    }
