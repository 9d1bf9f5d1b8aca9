"""``warmdown compare``: a task under several plans."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click import option

from warmdown.cli.options import (
    PATH,
    Texts,
    address_option,
    json_option,
    law_of,
    law_option,
    option_group,
    plan_name,
    read_plan,
    task_option,
)
from warmdown.cli.say import say, say_json, say_result
from warmdown.cli.signals import add_cwd_to_path, ends_by_ctrl_c, resume_hint
from warmdown.errors import SpecError
from warmdown.files import require_writable_file
from warmdown.plan import Plan
from warmdown.planfile.writing import writing_to
from warmdown.run import Run

if TYPE_CHECKING:
    from warmdown.experiments.runs import Result

_PICTURES = (".html", ".png", ".svg", ".md", ".json")


experiment_options = option_group(
    task_option,
    option("--engine", default="loky", help="serial, loky, dask or ray."),
    address_option,
    option("--jobs", type=int, help="Runs at once; else one a core, or all that a cluster takes."),
    option("--silence", default=600.0, help="Seconds until a run hangs."),
    option("--epochs", type=int, help="Passes over the data."),
    option("--max-steps", type=int, help="Updates of a run."),
    option("--batch-size", type=int, help="Samples in a batch."),
    option("--accumulate", type=int, help="Batches that make an update."),
    option("--metric", help="What is compared; the task's own first metric when left out."),
    option("--allow", multiple=True, help="A module that plans may take classes from."),
)
"""What every command takes that makes runs."""


@click.command(name="compare")
@click.argument("plans", nargs=-1, required=True)
@experiment_options
@option("--seeds", default=8, help="How many seeds.")
@option("--out", type=PATH, help="Folder of results; a second call makes what is missing.")
@option("--goal", type=float, help="Value of the metric whose first reaching is timed.")
@option("--baseline", help="The plan that others are compared with; the first when left out.")
@option("--theory", is_flag=True, help="No run: rank the rates by their last-iterate bounds.")
@option("--lr", type=float, help="With --theory: the best rate of the first plan.")
@option("--total-steps", type=float, help="With --theory: updates of plans that have no length.")
@law_option
@option("--report", type=PATH, help="Write a report: .html, .png, .svg, .md, .json.")
@json_option
def command(
    plans: Texts,
    report: Path | None,
    as_json: bool,
    allow: Texts,
    theory: bool,
    lr: float | None,
    total_steps: float | None,
    law_file: Path | None,
    **how: Any,
) -> None:
    """Train a task under several plans and seeds, and compare what comes of it.

    PLANS are files, or names of shapes and recipes such as constant or warmup_cosine.
    """
    if theory:
        say_theory(plans, allow, lr, total_steps, as_json)
        return
    from warmdown.experiments import compare

    if report is not None:
        if report.suffix not in _PICTURES:
            kinds = ", ".join(_PICTURES)
            raise click.UsageError(f"--report {report}: no kind of report. Use {kinds}.")
        require_writable_file(report, f"compare(--report {report})")
    hint = "Nothing was kept: with --out FOLDER the same command goes on where it was."
    if how["out"] is not None:
        hint = resume_hint(how["out"])
    with ends_by_ctrl_c(hint):
        add_cwd_to_path()
        how["law"] = law_of(law_file)
        comparison = compare(plans_of(plans, allow), progress=say_progress, allow=allow, **how)
    say_result(comparison, as_json)
    write_report(comparison, report)


def say_theory(
    plans: Texts, allow: Texts, lr: float | None, total_steps: float | None, as_json: bool
) -> None:
    """Print the bound of each plan, which ranks their shapes, and its best rate."""
    from warmdown.forecast.bound import theory_table

    Run(lr=lr)  # refuses what is no rate
    named = {}
    for name, plan in plans_of(plans, allow).items():
        # the bound is of the shape: any base will do where none is known
        run = replace(plan.run, lr=plan.run.lr or 1.0)
        if total_steps is not None and not plan.length:
            run = replace(run, total_steps=total_steps)  # type: ignore[arg-type]
        named[name] = replace(plan, run=run)
    text, rows = theory_table(named, lr)
    if as_json:
        say_json(rows)
    else:
        say(text)


def write_report(result: Any, path: Path | None) -> None:
    """Write a result to a file, where one was named."""
    if path is not None:
        with writing_to(path):
            result.save(path)
        say(f"Written to {path}.", err=True)


def plans_of(named: Iterable[str], allow: Texts = ()) -> dict[str, Plan]:
    """Return plans by name: a file's is its stem, a shape's its own.

    Raises:
        SpecError: One is neither a file nor a shape, or two have one name.
    """
    plans: dict[str, Plan] = {}
    for text in named:
        name = plan_name(text)
        if name in plans:
            raise SpecError(
                f"compare({text!r}): there is a plan called {name!r} already. Give the file "
                f"another name."
            )
        plans[name] = read_plan(text, (), allow, Run())
    return plans


def say_progress(name: str, result: Result, done: int, total: int) -> None:
    """Print one result on one line."""
    outcome = f"{result.status}: {result.reason}"
    if result.status == "finished":
        outcome = ", ".join(
            f"{metric} {value:.4g}"
            for metric, value in result.metrics.items()
            if not metric.startswith("train")
        )
    where = f" on {result.worker}" if result.worker else ""
    run = f"{name}, seed {result.spec.seed}{where}"
    say(f"[{done}/{total}] {run}: {outcome} ({result.seconds:.1f} s)", err=True)
