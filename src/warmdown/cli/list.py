"""``warmdown list``: every shape and recipe, one line each."""

from __future__ import annotations

import inspect
import re
import shutil
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from warmdown.cli.options import Texts, json_option
from warmdown.cli.say import say, say_json

if TYPE_CHECKING:
    from warmdown.planfile import RecipeOfRecord
    from warmdown.schedules import Schedule

_WIDTH = 16
"""Characters of a sparkline."""


@click.command("list")
@json_option
@click.option("--recipes", "of_record", is_flag=True, help="Published runs' plans instead.")
@click.argument("words", nargs=-1)
def command(as_json: bool, of_record: bool, words: Texts) -> None:
    """List every shape and recipe, or those with WORDS: its name, a sparkline, what it is.

    With --recipes: the recipes of record, plans of published runs, each with its source.
    """
    from warmdown import planfile

    if of_record:
        _say_recipes(as_json, words)
        return
    found = [
        shape
        for name, known in planfile.shapes().items()
        if known.__module__.startswith("warmdown.")
        for shape in [_listed_shape(name, known)]
        if all(word.lower() in f"{shape.name} {shape.about}".lower() for word in words)
    ]
    found.sort(key=lambda shape: (shape.is_recipe, shape.name))
    if as_json:
        say_json([_shape_data(shape) for shape in found])
    elif found:
        say(_as_lines(found))
    else:
        say(f"nothing has {' and '.join(words)} in its name or description.")


def _say_recipes(as_json: bool, words: Texts) -> None:
    from warmdown.planfile import recipes_of_record
    from warmdown.plot import sparkline

    found = {
        recipe: _shares_of_peak(recipe)
        for recipe in recipes_of_record().values()
        if all(word.lower() in f"{recipe.name} {recipe.purpose} {recipe.source}".lower()
               for word in words)
    }  # fmt: skip
    if as_json:
        data = [
            {
                **{name: fact for name, fact in vars(recipe).items() if name != "path"},
                "values": [round(value, 6) for value in values],
            }
            for recipe, values in found.items()
        ]
        say_json(data)
    elif found:
        wide = max(len(recipe.name) for recipe in found)
        rows = [
            f"  {recipe.name:<{wide}}  {sparkline(values, width=_WIDTH)}  {recipe.purpose}"
            for recipe, values in found.items()
        ]
        say("\n".join(["recipes of record: 'warmdown show NAME' has the source", *rows]))
    else:
        say(f"no recipe of record has {' and '.join(words)} in its name, purpose or source.")


def _shares_of_peak(recipe: RecipeOfRecord) -> list[float]:
    """Return values of its first target along the run, as shares of the highest."""
    from warmdown.planfile import load

    plan = load(f"recipe:{recipe.name}").over()
    steps = [(plan.length or 0) * place // (_WIDTH - 1) for place in range(_WIDTH)]
    values = [plan.targets[0].rule.of(step) for step in steps]
    return [value / max(values) for value in values]


class ListedShape(NamedTuple):
    """A shape or recipe.

    Args:
        name: Its word.
        known: Its class or function.
        about: One line.
        example: A schedule of it, resolved.
    """

    name: str
    known: Any
    about: str
    example: Schedule

    @property
    def is_recipe(self) -> bool:
        """Whether it is an expression of other shapes."""
        return not isinstance(self.known, type)


def _listed_shape(name: str, known: Any) -> ListedShape:
    from warmdown.studio.draft.catalogue import example_data, example_schedule

    # not the studio's reading of docstrings, whose parser takes longer to import than all of this
    first = (inspect.getdoc(known) or "").split("\n", 1)[0].removeprefix("Return ")
    about = re.sub(r":\w+:`([^`]*)`|`+", r"\1", first[:1].upper() + first[1:].removesuffix("."))
    return ListedShape(name, known, about, example_schedule(example_data(name)))


def _as_lines(found: list[ListedShape]) -> str:
    from warmdown.plot import sparkline

    wide = max(len(shape.name) for shape in found)
    columns = max(shutil.get_terminal_size().columns, 60)
    lines: dict[str, list[str]] = {"shapes": [], "recipes": []}
    for shape in found:
        values = [shape.example(999 * place / (_WIDTH - 1)) for place in range(_WIDTH)]
        line = f"  {shape.name:<{wide}}  {sparkline(values, width=_WIDTH)}  {shape.about}"
        if len(line) > columns:
            line = f"{line[: columns - 1].rstrip()}…"
        lines["recipes" if shape.is_recipe else "shapes"].append(line)
    return "\n\n".join("\n".join([title, *rows]) for title, rows in lines.items() if rows)


def _shape_data(shape: ListedShape) -> dict[str, Any]:
    from warmdown.schedules.parameters import parameters_of

    parameters: dict[str, str | None] = {}
    for name, parameter in parameters_of(shape.known).items():
        default = parameter.default
        text = default if isinstance(default, str) else repr(default)
        parameters[name] = None if parameter.is_required else "none" if default is None else text
    return {
        "name": shape.name,
        "type": "recipe" if shape.is_recipe else "shape",
        "about": shape.about,
        "parameters": parameters,
        "values": [round(shape.example(step), 6) for step in range(0, 1001, 50)],
    }
