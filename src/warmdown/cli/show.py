"""``warmdown show``: a plan as a curve in the terminal, as numbers, or as a file."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click import option

from warmdown.cli.options import (
    Texts,
    bases_of_options,
    json_option,
    law_of,
    law_option,
    read_plan_for_run,
    recipe_of,
    run_options,
)
from warmdown.cli.say import say, say_json
from warmdown.errors import SpecError, WarmdownError

if TYPE_CHECKING:
    from warmdown.plan import Plan
    from warmdown.planfile import RecipeOfRecord
    from warmdown.plot import Groups, Moment, View
    from warmdown.plot.export import ValueRow

_PICTURES = (".png", ".svg", ".html")
_NUMBERS = (".csv", ".json")
_PLANS = (".yaml", ".yml")
_ROWS_OF_A_TABLE = 21


@click.command("show")
@run_options
@option("--log", is_flag=True, help="Draw values on a logarithmic axis.")
@option(
    "--format",
    "form",
    type=click.Choice(("table", "csv", "json")),
    help="Rows of step, target, value; no picture.",
)
@option(
    "--group",
    "groups",
    multiple=True,
    metavar="NAME=LR",
    help="Show a parameter group with its own rate.",
)
@option(
    "--points",
    type=click.IntRange(2, 10_000_000),
    metavar="N",
    help="Rows of each target, at most.",
)
@option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write a file: .png .svg .html (a picture), .csv .json (rows), .yaml (the plan).",
)
@option("--width", type=click.IntRange(40, 500), metavar="N", help="Characters of a line.")
@law_option
@json_option
def command(
    given: str,
    log: bool,
    form: str | None,
    groups: Texts,
    points: int | None,
    out: Path | None,
    width: int | None,
    law_file: Path | None,
    as_json: bool,
    **asked: Any,
) -> None:  # fmt: skip
    """Show a plan file, a shape or a recipe (see 'warmdown list'), or a class by its path.

    \b
    warmdown show olmo3-7b  (a recipe of record, see 'warmdown list --recipes')
    warmdown show plan.yaml --total-steps 10000 --lr 3e-4
    warmdown show warmup_cosine --param warmup=5% --param end=0.1 --total-steps 1000 --format csv
    warmdown show torch.optim.lr_scheduler.MultiStepLR --param milestones=[50,100] --total-steps 200
    """  # noqa: D301  # click reads the backspace
    plan = read_plan_for_run(given, **asked)
    bases = bases_of_options(groups)
    if out is not None:
        _write(plan, out, points=points, log=log, title=given, groups=bases, law_file=law_file)
    if as_json:
        say_json([row._asdict() for row in _rows(plan, points, bases)])
    elif out is None and form is not None:
        say(_as_numbers(plan, form, points, bases).removesuffix("\n"))
    elif out is None:
        text = _picture(plan, log=log, width=width, groups=bases, law_file=law_file)
        say("\n\n".join(filter(None, [_about(recipe_of(given)), text])), coloured=True)


def _about(recipe: RecipeOfRecord | None) -> str:
    """Return what a recipe of record is for, and where its numbers stand."""
    if recipe is None:
        return ""
    facts = {"for": recipe.purpose, "source": f"{recipe.source} ({recipe.date})", "url": recipe.url}
    facts |= {"note": recipe.note, "fixed": recipe.fixed}
    return "\n".join(f"{name}: {fact}" for name, fact in facts.items() if fact)


def _picture(
    plan: Plan, *, log: bool, width: int | None, groups: Groups | None, law_file: Path | None
) -> str:
    """Return the curve, what it shows in words, and the values where something happens."""
    from warmdown.plot import summary, table, terminal

    colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    columns = width or min(shutil.get_terminal_size().columns, 100)
    scene = _scene(plan, groups, law_file)
    curve = terminal(scene, log=log, width=columns, colour=colour)
    paragraphs = [*summary(plan, groups=groups).split("\n\n"), *_left_in_weights(plan)]
    text = [textwrap.fill(paragraph, columns) for paragraph in paragraphs]
    return "\n\n".join([curve, *text, _key_values(table(plan, groups=groups))])


def _scene(plan: Plan, groups: Groups | None, law_file: Path | None) -> View:
    """Return the picture of a plan, with the loss that a law predicts below it."""
    from warmdown.plot import view

    scene = view(plan, groups=groups)
    law = law_of(law_file)
    if law is None:
        return scene
    forecast = law.predict(plan)
    notes = (*scene.notes, f"Predicted final loss {forecast.final}.", *forecast.notes)
    return replace(scene, lines=(*scene.lines, forecast.loss_line()), notes=notes)


def _left_in_weights(plan: Plan) -> list[str]:
    """Return what the rate and the weight decay leave in the weights, where both are known."""
    from warmdown.forecast.weights import contributions_of

    if all(target.name != "weight_decay" for target in plan.targets):
        return []
    try:
        return [str(contributions_of(plan)).capitalize()]
    except WarmdownError:  # a base value or the length is not known
        return []


def _key_values(moments: list[Moment]) -> str:
    """Return columns of step, what happens there, and every target's value."""
    from warmdown.formatting import aligned
    from warmdown.plot import count, number

    labels = list(moments[0].values) if moments else []
    rows = [["step", "", *labels]]
    for at in moments:
        rows.append([count(at.step), at.what, *map(number, at.values.values())])
    return aligned(rows, left=(1,))


def _as_numbers(plan: Plan, form: str, points: int | None, groups: Groups | None) -> str:
    from warmdown.plot import export

    as_text = {"table": export.as_table, "csv": export.as_csv, "json": export.as_json}[form]
    many = points or (_ROWS_OF_A_TABLE if form == "table" else None)
    return as_text(_rows(plan, many, groups))


def _rows(plan: Plan, points: int | None, groups: Groups | None) -> Iterator[ValueRow]:
    from warmdown.plot.export import POINTS, rows, stride_of

    _warn_of_factors(plan, groups)
    stride = stride_of(plan.run.length or 1)
    if stride > 1 and points is None:
        say(f"note: a row every {stride:,} updates. Give --points for more or fewer.", err=True)
    return rows(plan, points=points or POINTS, groups=groups)


def _warn_of_factors(plan: Plan, groups: Groups | None) -> None:
    """Print on standard error which numbers are not in the unit of their field."""
    from warmdown.schedules import Scale

    known = {"lr"} if groups or plan.run.lr is not None else set()
    unknown = [t.name for t in plan.targets if isinstance(t.rule, Scale) and t.name not in known]
    for name in dict.fromkeys(unknown):
        way_out = " Give --lr for rates." if name == "lr" else ""
        say(
            f"note: {name} is a factor on the base value, which is not known here.{way_out}",
            err=True,
        )


def _write(
    plan: Plan,
    out: Path,
    *,
    points: int | None,
    groups: Groups | None,
    law_file: Path | None,
    **how: Any,
) -> None:
    from warmdown import planfile, plot
    from warmdown.planfile.writing import write_text, writing_to

    ending = out.suffix.lower()
    if ending in _PICTURES:
        with writing_to(out):
            plot.save(_scene(plan, groups, law_file), out, **how)
    elif ending in _NUMBERS:
        write_text(out, _as_numbers(plan, ending[1:], points, groups))
    elif ending in _PLANS:
        planfile.save(plan, out)
    else:
        known = ", ".join((*_PICTURES, *_NUMBERS, *_PLANS))
        raise SpecError(
            f"--out {out}: the ending says what is written, and this is none of {known}."
        )
    say(f"wrote {out}", err=True)
