"""``warmdown compare``: a task under several plans."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from warmdown.cli.options import read_plan
from warmdown.cli.say import say
from warmdown.cli.signals import add_cwd_to_path, ends_by_ctrl_c, resume_hint
from warmdown.errors import SpecError
from warmdown.files import require_writable_file
from warmdown.plan import Plan
from warmdown.planfile.writing import writing_to
from warmdown.run import Run

if TYPE_CHECKING:
    from warmdown.experiments import Comparison
    from warmdown.experiments.runs import Result

_PICTURES = (".html", ".png", ".svg", ".md", ".json")


def experiment_options(function: Any) -> Any:
    """Add the options that every command has that makes runs."""
    for option in reversed(
        [
            click.option(
                "--task",
                default="digits",
                help="digits, fashion, text, module:function.",
            ),
            click.option("--engine", default="loky", help="serial, loky, dask or ray."),
            click.option("--jobs", type=int, help="Runs at once; one a core when left out."),
            click.option(
                "--silence",
                default=600.0,
                help="Seconds until a run hangs.",
            ),
            click.option("--epochs", type=int, help="Passes over the data."),
            click.option("--max-steps", type=int, help="Updates of a run."),
            click.option("--batch-size", type=int, help="Samples in a batch."),
            click.option("--accumulate", type=int, help="Batches that make an update."),
            click.option(
                "--metric", help="What is compared; the task's own first metric when left out."
            ),
            click.option(
                "--allow", multiple=True, help="A module that plans may take classes from."
            ),
        ]
    ):
        function = option(function)
    return function


@click.command(name="compare")
@click.argument("plans", nargs=-1, required=True)
@experiment_options
@click.option("--seeds", default=8, help="How many seeds.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder of results; a second call makes what is missing.",
)
@click.option("--goal", type=float, help="Value of the metric whose first reaching is timed.")
@click.option("--baseline", help="The plan that others are compared with; the first when left out.")
@click.option(
    "--report",
    type=click.Path(path_type=Path),
    help="Write a report: .html, .png, .svg, .md, .json.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the comparison as JSON.")
def command(
    plans: tuple[str, ...], report: Path | None, as_json: bool, allow: tuple[str, ...], **how: Any
) -> None:
    """Train a task under several plans and seeds, and compare what comes of it.

    PLANS are files, or names of shapes and recipes such as constant or warmup_cosine.
    """
    if report is not None and report.suffix not in _PICTURES:
        raise click.UsageError(f"--report {report}: no kind of report. Use {', '.join(_PICTURES)}.")
    if report is not None:
        require_writable_file(report, f"compare(--report {report})")
    with ends_by_ctrl_c(_interrupt_hint(how["out"])):
        comparison = _run_comparison(plans_of(plans, allow), allow=allow, **how)
    say(json.dumps(comparison.to_dict(), indent=1) if as_json else comparison.summary())
    if report is not None:
        with writing_to(report):
            comparison.save(report)
        say(f"Written to {report}.", err=True)


def _run_comparison(plans: dict[str, Plan], **how: Any) -> Comparison:
    from warmdown.experiments import compare

    add_cwd_to_path()
    return compare(plans, progress=say_progress, **how)


def _interrupt_hint(out: Path | None) -> str:
    if out is None:
        return "Nothing was kept: with --out FOLDER the same command goes on where it was."
    return resume_hint(out)


def plans_of(named: Sequence[str], allow: Sequence[str] = ()) -> dict[str, Plan]:
    """Return plans by name: a file's is its stem, a shape's its own.

    Raises:
        SpecError: One is neither a file nor a shape, or two have one name.
    """
    plans: dict[str, Plan] = {}
    for text in named:
        name = Path(text).stem if Path(text).is_file() else text
        if name in plans:
            raise SpecError(
                [
                    f"compare({text!r}): there is a plan called {name!r} already. Give the file "
                    f"another name."
                ]
            )
        plans[name] = read_plan(text, (), Run(), tuple(allow))
    return plans


def say_progress(name: str, result: Result, done: int, total: int) -> None:
    """Print one result on one line."""
    outcome = f"{result.status}: {result.reason}"
    if result.status == "finished":
        metrics = [
            f"{metric} {value:.4g}"
            for metric, value in result.metrics.items()
            if not metric.startswith("train")
        ]
        outcome = ", ".join(metrics)
    run = f"{name}, seed {result.spec.seed}"
    say(f"[{done}/{total}] {run}: {outcome} ({result.seconds:.1f} s)", err=True)
