"""``warmdown search``: the numbers of a plan, by trials."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from warmdown.cli.compare import experiment_options
from warmdown.cli.say import say
from warmdown.cli.signals import add_cwd_to_path, ends_by_ctrl_c, resume_hint
from warmdown.files import require_writable_file

if TYPE_CHECKING:
    from warmdown.experiments import Search, Trial


@click.command(name="search")
@click.argument("space", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@experiment_options
@click.option(
    "--trials",
    default=20,
    help="Trials in all, with those of earlier calls.",
)
@click.option(
    "--seeds",
    default=1,
    help="Seeds of each trial; their mean counts.",
)
@click.option("--seed", default=0, help="Seeds the proposals.")
@click.option(
    "--prune/--no-prune",
    "prunes",
    default=True,
    help="End trials that fall behind.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("search"),
    help="Its folder.",
)
@click.option(
    "--best",
    type=click.Path(path_type=Path),
    help="Where the plan that won goes; OUT/best.yaml by default.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the evidence as JSON.")
def command(
    space: Path, best: Path | None, as_json: bool, jobs: int | None, out: Path, **how: Any
) -> None:
    """Search the numbers of a plan in which ranges stand: {low: 1e-4, high: 1e-1, log: true}."""
    if best is not None:
        require_writable_file(best, f"search(--best {best})")
    with ends_by_ctrl_c(resume_hint(out)):
        found = _searched(space, out=out, jobs=jobs or 1, **how)
    written = found.save(best or out / "best.yaml")
    say(json.dumps(found.to_dict(), indent=1) if as_json else found.summary())
    say(f"The plan that won is in {written}, the evidence in {out / 'search.json'}.", err=True)


def _searched(space: Path, **how: Any) -> Search:
    from warmdown.experiments import search

    add_cwd_to_path()
    return search(space, progress=_print_trial, **how)


def _print_trial(trial: Trial, done: int, total: int) -> None:
    outcome = f"{trial.metric:.4g}" if trial.state == "finished" else trial.state
    values = ", ".join(f"{path} {value}" for path, value in trial.values.items())
    say(f"[{done}/{total}] {outcome}: {values}", err=True)
