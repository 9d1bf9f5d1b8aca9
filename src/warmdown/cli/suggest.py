"""``warmdown suggest``: a plan to start from, with its evidence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from warmdown.cli.say import say


@click.command(name="suggest")
@click.option("--task", help="fashion, digits or text: tells the kind of data.")
@click.option("--kind", help="images or text.")
@click.option("--updates", type=int, help="Updates of the run.")
@click.option("--budget", help="Length in time instead, like 2h; with --seconds-per-update.")
@click.option("--seconds-per-update", type=float, help="How long an update takes.")
@click.option("--out", type=click.Path(path_type=Path), help="Write the plan to this file.")
@click.option("--json", "as_json", is_flag=True, help="Print plan, reasons and evidence as JSON.")
def command(out: Path | None, as_json: bool, **situation: Any) -> None:
    """Suggest a plan for a situation, with its reasons and evidence; refuse without evidence."""
    from warmdown import planfile
    from warmdown.experiments.suggest import suggest

    found = suggest(**situation)
    say(json.dumps(found.to_dict(), indent=1) if as_json else found.summary())
    if out is not None:
        say(f"Written to {planfile.save(found.plan, out)}.", err=True)
