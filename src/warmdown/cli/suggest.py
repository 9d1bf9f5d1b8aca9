"""``warmdown suggest``: a plan to start from, with its evidence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from click import option

from warmdown.cli.options import PATH, json_option, law_of, law_option
from warmdown.cli.say import say, say_result


@click.command(name="suggest")
@option("--task", help="fashion, digits or text: tells the kind of data.")
@option("--kind", help="images or text.")
@option("--updates", type=int, help="Updates of the run.")
@option("--budget", help="Length in time instead, like 2h; with --seconds-per-update.")
@option("--seconds-per-update", type=float, help="How long an update takes.")
@law_option
@option("--out", type=PATH, help="Write the plan to this file.")
@json_option
def command(out: Path | None, as_json: bool, law_file: Path | None, **situation: Any) -> None:
    """Suggest a plan for a situation, with its reasons and evidence; refuse without evidence."""
    from warmdown import planfile
    from warmdown.experiments.suggest import suggest

    law = law_of(law_file)
    found = suggest(**situation)
    say_result(found, as_json)
    if law is not None:
        say(f"Predicted final loss {law.predict(found.plan).final}.", err=as_json)
    if out is not None:
        say(f"Written to {planfile.save(found.plan, out)}.", err=True)
