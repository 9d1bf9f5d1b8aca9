"""``warmdown tell``: something asked of a job that is running."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click import option

from warmdown.cli.options import PATH, json_option, law_of, law_option
from warmdown.cli.say import say, say_json
from warmdown.errors import TrainingError
from warmdown.mailbox import COMMANDS, NEEDED, Answer, tell

if TYPE_CHECKING:
    from warmdown.forecast import Law

_REFUSED = 2


@click.command("tell")
@click.argument("run", type=PATH)
@click.argument("asked", metavar="COMMAND", type=click.Choice(list(COMMANDS)))
@click.argument("value", metavar="[N]", required=False)
@option("--over", metavar="LENGTH", help="Of a decay, a hold or a rescale: 500, or 10%.")
@option("--curve", metavar="SHAPE", help="Of a decay: cosine, 1-sqrt …; linear when left out.")
@option("--target", metavar="FIELD", help="lr, weight_decay, lr/head …")
@option("--group", metavar="GROUP", help="Only this group: a name, an index or a pattern.")
@option("--on-change", metavar="POLICY", help="Of extend: given, stretch, continue, rewarm, fit.")
@option("--dry-run", is_flag=True, help="Only show what would come of it.")
@option("--wait", type=float, default=30.0, help="Seconds to wait for the answer.")
@law_option
@json_option
def command(
    run: Path,
    asked: str,
    value: str | None,
    dry_run: bool,
    wait: float,
    law_file: Path | None,
    as_json: bool,
    **arguments: str | None,
) -> None:
    """Ask the job that trains into RUN, and wait for the update from which it holds.

    decay-now --over 10% is the last decay, from here; rescale 0.5 halves every later rate; hold 500
    keeps the present values for 500 updates more; extend 20000 makes the run so long; checkpoint
    saves at once; stop saves and ends.
    """
    given: dict[str, Any] = {name: one for name, one in arguments.items() if one is not None}
    if value is not None:
        name = "over" if asked == "decay-now" else NEEDED.get(asked)
        if name is None or name in given:
            raise TrainingError(f"tell({asked} {value}): it takes no number here. Leave it out.")
        given[name] = value
    law = law_of(law_file)
    answer = tell(run, asked, wait=wait, is_trial=dry_run, **given)
    if as_json:
        say_json(_with_finals(answer, law))
    else:
        say(answer.text, err=answer.outcome == "refused")
        if answer.curves is not None:
            _draw_trial(answer.curves, law)
    if answer.outcome == "refused":
        sys.exit(_REFUSED)


def _with_finals(answer: Answer, law: Law | None) -> dict[str, Any]:
    data = answer.to_dict()
    if answer.curves is not None and law is not None:
        from warmdown.plot.trial import trial_finals

        finals = trial_finals(answer.curves, law).items()
        data["finals"] = {
            label: {name: final._asdict() for name, final in one.items()} for label, one in finals
        }
    return data


def _draw_trial(curves: Mapping[str, Any], law: Law | None) -> None:
    """Draw each value that changes, before and after."""
    from warmdown import plot
    from warmdown.plot.trial import trial_lines, trial_sentences

    for lines in trial_lines(curves).values():
        say(plot.terminal(plot.View(lines=lines), colour=True), coloured=True)
    for sentence in trial_sentences(curves, law):
        say(sentence)
