"""``warmdown search``: the numbers of a plan, by trials."""

from __future__ import annotations

__all__ = ["command"]

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from warmdown.cli.compare import run_options
from warmdown.cli.say import say
from warmdown.cli.signals import ends_by_ctrl_c, goes_on_from, look_here
from warmdown.files import require_writable_file

if TYPE_CHECKING:
    from warmdown.experiments import Search, Trial


@click.command(name="search")
@click.argument("space", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@run_options
@click.option(
    "--trials",
    type=int,
    default=20,
    show_default=True,
    help="Trials in all, with those of earlier calls.",
)
@click.option(
    "--seeds",
    type=int,
    default=1,
    show_default=True,
    help="Seeds of each trial; their mean counts.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Seeds the proposals.")
@click.option(
    "--prune/--no-prune",
    "prunes",
    default=True,
    show_default=True,
    help="End trials that fall behind.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("search"),
    show_default=True,
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
    with ends_by_ctrl_c(goes_on_from(out)):
        found = _searched(space, out=out, jobs=jobs or 1, **how)
    written = found.save(best or out / "best.yaml")
    say(json.dumps(found.to_dict(), indent=1) if as_json else found.summary())
    say(f"The plan that won is in {written}, the evidence in {out / 'search.json'}.", err=True)


def _searched(space: Path, **how: Any) -> Search:
    from warmdown.experiments import search

    look_here()
    return search(space, progress=_say, **how)


def _say(trial: Trial, done: int, total: int) -> None:
    told = f"{trial.metric:.4g}" if trial.state == "finished" else trial.state
    values = ", ".join(f"{path} {value}" for path, value in trial.values.items())
    say(f"[{done}/{total}] {told}: {values}", err=True)
