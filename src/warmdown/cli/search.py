"""``warmdown search``: the numbers of a plan, by trials."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click import option

from warmdown.cli.compare import experiment_options
from warmdown.cli.options import PATH, json_option
from warmdown.cli.say import say, say_result
from warmdown.cli.signals import add_cwd_to_path, ends_by_ctrl_c, resume_hint
from warmdown.files import require_writable_file

if TYPE_CHECKING:
    from warmdown.experiments import Trial


@click.command(name="search")
@click.argument("space", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@experiment_options
@option("--trials", default=20, help="Trials in all, with those of earlier calls.")
@option("--seeds", default=1, help="Seeds of each trial; their mean counts.")
@option("--seed", default=0, help="Seeds the proposals.")
@option("--prune/--no-prune", "prunes", default=True, help="End trials that fall behind.")
@option("--storage", help="URL of optuna's database, for workers that do not see the folder.")
@option("--out", type=PATH, default=Path("search"), help="Its folder.")
@option("--best", type=PATH, help="Where the plan that won goes; OUT/best.yaml by default.")
@json_option
def command(space: Path, best: Path | None, as_json: bool, out: Path, **how: Any) -> None:
    """Search the numbers of a plan in which ranges stand: {low: 1e-4, high: 1e-1, log: true}."""
    from warmdown.experiments import search

    if best is not None:
        require_writable_file(best, f"search(--best {best})")
    with ends_by_ctrl_c(resume_hint(out)):
        add_cwd_to_path()
        found = search(space, out=out, progress=_print_trial, **how)
    written = found.save(best or out / "best.yaml")
    say_result(found, as_json)
    say(f"The plan that won is in {written}, the evidence in {out / 'search.json'}.", err=True)


def _print_trial(trial: Trial, done: int, total: int) -> None:
    outcome = f"{trial.metric:.4g}" if trial.state == "finished" else trial.state
    where = f" on {', '.join(trial.workers)}" if trial.workers else ""
    say(f"[{done}/{total}]{where} {outcome}: {trial}", err=True)
