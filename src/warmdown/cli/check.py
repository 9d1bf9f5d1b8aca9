"""``warmdown check``: what is wrong with a plan, before it runs."""

from __future__ import annotations

import sys
from typing import Any

import click

from warmdown.cli.options import json_option, read_plan_for_run, run_options
from warmdown.cli.say import say, say_json

_COLOURS = {"error": "red", "warning": "yellow", "note": "cyan"}


@click.command("check")
@run_options
@json_option
@click.option("--explain", is_flag=True, help="What each code means, beside the finding.")
def command(as_json: bool, explain: bool, **asked: Any) -> None:
    """Check a plan file, a shape or a recipe; each finding has a code, the numbers and the way out.

    The exit code is 0 when it is clean, 1 when there are warnings, 2 when it cannot be used. Notes
    are no faults.
    """
    from warmdown.checks import CODES, check

    findings = check(read_plan_for_run(**asked))
    severities = {finding.severity for finding in findings}
    code = 2 if "error" in severities else 1 if "warning" in severities else 0
    if as_json:
        say_json([finding.to_dict() for finding in findings])
        sys.exit(code)
    for finding in findings:
        head, rest = str(finding).split(" ", 1)
        say(f"{click.style(head, fg=_COLOURS[finding.severity])} {rest}", coloured=True)
        if explain:
            say(f"  {CODES[finding.code]}")
    if code == 0:
        say(click.style("clean", fg="green") + ": nothing is wrong with it.", coloured=True)
    sys.exit(code)
