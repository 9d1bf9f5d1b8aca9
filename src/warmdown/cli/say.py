"""The one way of a command's words to a person."""

from __future__ import annotations

import json
import re
import sys
from typing import Any

import click

from warmdown.errors import printable

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
    say(json.dumps(result.to_dict(), indent=1) if as_json else result.summary())
