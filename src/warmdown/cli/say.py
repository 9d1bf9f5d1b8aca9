"""The one way of a command's words to a person."""

from __future__ import annotations

import re
import sys
from typing import Any

import click

from warmdown.errors import printable
from warmdown.formatting import strict_json

PRINTED = "warmdown.cli.printed"
"""In the ``meta`` of a context: a JSON document is on standard output already."""
_COLOUR = re.compile(r"(\x1b\[[0-9;]*m)")


def say(text: str = "", *, err: bool = False, coloured: bool = False) -> None:
    """Print a line, or several; what a terminal would obey is escaped.

    Args:
        text: What is said, whoever wrote the words in it.
        err: Whether it goes to standard error.
        coloured: Whether the text was coloured by us and its words are escaped already: then
            colours stay.
    """
    parts = _COLOUR.split(text) if coloured else [text]
    # by its name: click would write UTF-8 to a stream whose encoding is ASCII
    click.echo(
        "".join(part if place % 2 else printable(part) for place, part in enumerate(parts)),
        file=sys.stderr if err else sys.stdout,
    )


def say_result(result: Any, as_json: bool) -> None:
    """Print a result as JSON, or its summary."""
    if as_json:
        say_json(result.to_dict())
    else:
        say(result.summary())


def say_json(data: Any, *, err: bool = False) -> None:
    """Print the one JSON document of a command; ``warmdown schema`` has the schema of each."""
    say(strict_json(data, indent=1), err=err)
    if not err:
        click.get_current_context().meta[PRINTED] = True
