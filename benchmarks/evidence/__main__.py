"""Make the evidence: ``python -m benchmarks.evidence tune``, ``judge``, ``merge``, ``report``.

Every run is stored the moment it is done; the same command again goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import torch
from benchmarks.evidence.merging import TRUNKS, merge, merged_table
from benchmarks.evidence.methods import Setting, settings
from benchmarks.evidence.pipeline import RESULTS, judge, tune
from benchmarks.evidence.report import facts, report

from warmdown.experiments.files import write_json
from warmdown.experiments.suggest import EVIDENCE

_PAGE = Path(__file__).parents[2] / "docs" / "evidence.md"
_BEGIN, _END = "<!-- made by: python -m benchmarks.evidence report -->", "<!-- end -->"
_BEGIN_MERGED, _END_MERGED = "<!-- merged: made by the same -->", "<!-- end of merged -->"


@click.group()
def main() -> None:
    """Tune, judge, merge and report, for fashion, text or large."""


def _options(function: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.argument("names", nargs=-1, type=click.Choice(list(settings)), required=True),
        click.option(
            "--work",
            type=click.Path(path_type=Path),
            default=Path("build/evidence"),
            show_default=True,
        ),
        click.option(
            "--results", type=click.Path(path_type=Path), default=RESULTS, show_default=True
        ),
        click.option("--engine", default="loky", show_default=True),
        click.option("--jobs", type=int, default=2, show_default=True),
        click.option("--trials", type=int, help="Trials of each method, instead of the setting's."),
        click.option("--seeds", type=int, help="Seeds of each method, instead of the setting's."),
        click.option("--epochs", type=int, help="Full length of a run, instead of the setting's."),
        click.option("--method", "methods", multiple=True, help="These methods only."),
    ):
        function = option(function)
    return function


def _chosen(names: tuple[str, ...], methods: tuple[str, ...], **given: int | None) -> list[Setting]:
    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if methods:
        changes["methods"] = methods
    return [replace(settings[name], **changes) for name in names]


@main.command(name="tune")
@_options
def tune_command(
    names: Any, work: Path, results: Path, engine: Any, jobs: int, methods: Any, **given: Any
) -> None:
    """Search every method's base rate, with the same number of trials."""
    for setting in _chosen(names, methods, **given):
        tune(setting, work, results, engine=engine, jobs=jobs, say=click.echo)


@main.command(name="judge")
@_options
def judge_command(
    names: Any, work: Path, results: Path, engine: Any, jobs: int, methods: Any, **given: Any
) -> None:
    """Make the runs of the tuned methods over the seeds, and keep them."""
    for setting in _chosen(names, methods, **given):
        judge(setting, work, results, engine=engine, jobs=jobs, say=click.echo)


@main.command(name="merge")
@click.argument("names", nargs=-1, type=click.Choice(list(TRUNKS)), required=True)
@click.option("--seeds", type=int, default=8, show_default=True)
def merge_command(names: tuple[str, ...], seeds: int) -> None:
    """Train trunks, cool and merge each, and keep what came out: two minutes on one core."""
    torch.set_num_threads(1)
    for name in names:
        merge(name, seeds, click.echo)


@main.command(name="report")
@click.option("--results", type=click.Path(path_type=Path), default=RESULTS, show_default=True)
@click.option("--page", type=click.Path(path_type=Path), default=_PAGE, show_default=True)
def report_command(results: Path, page: Path) -> None:
    """Write the tables of every setting that has runs into the page."""
    text = page.read_text(encoding="utf-8")
    text = _filled(text, _BEGIN, tables(results), _END)
    if results == RESULTS:
        text = _filled(text, _BEGIN_MERGED, f"{merged_table()}\n", _END_MERGED)
    page.write_text(text, encoding="utf-8")
    write_json(EVIDENCE, stored(results))


def _filled(text: str, begin: str, content: str, end: str) -> str:
    head, mark, rest = text.partition(begin)
    return f"{head}{begin}\n\n{content}\n{end}{rest.partition(end)[2]}" if mark else text


def tables(results: Path = RESULTS) -> str:
    """Return the tables of every setting that has runs."""
    return (
        "\n".join(report(name, results) for name in _stored_settings(results))
        or "No runs are stored yet.\n"
    )


def stored(results: Path = RESULTS) -> dict[str, Any]:
    """Return what ``warmdown suggest`` goes by: the facts of every setting that has runs."""
    return {"settings": [facts(settings[name], results) for name in _stored_settings(results)]}


def _stored_settings(results: Path) -> list[str]:
    return [name for name in settings if (results / name / "index.json").exists()]


if __name__ == "__main__":
    main()
