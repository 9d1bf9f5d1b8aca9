"""The one way of a command's words to a person."""

from __future__ import annotations

import codecs
import json
import re
import sys
from typing import Any, TextIO

import click

from warmdown.errors import printable

_COLOUR = re.compile(r"(\x1b\[[0-9;]*m)")


_LOOK_ALIKES = {
    **dict(zip("▁▂▃▄▅▆▇█", "_.-~=+*#", strict=True)),
    **dict(zip("│─└┤┬", "|-++|", strict=True)),
    **dict(zip("×·–—−“”‘’µ", "x----\"\"''u", strict=True)),
    "\u2800": " ",
    "…": "...",
    "±": "+-",
    "→": "->",
}
_NAME_OF_HANDLER = "warmdown-look-alikes"


def use_look_alikes(stream: TextIO) -> None:
    """Let a stream write ASCII for what its encoding lacks: curves and marks; else an escape."""
    codecs.register_error(_NAME_OF_HANDLER, _look_alikes)
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors=_NAME_OF_HANDLER)


def _look_alikes(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    characters = error.object[error.start : error.end]
    return "".join(map(_look_alike, characters)), error.end


def _look_alike(character: str) -> str:
    if "\u2800" < character <= "\u28ff":
        return _stroke(ord(character) - 0x2800)
    return _LOOK_ALIKES.get(character) or ascii(character)[1:-1]


def _stroke(dots: int) -> str:
    """Return the stroke that two columns of four braille dots are nearest to."""
    left = [row for row, bit in enumerate((0, 1, 2, 6)) if dots >> bit & 1]
    right = [row for row, bit in enumerate((3, 4, 5, 7)) if dots >> bit & 1]
    if max(len(left), len(right)) > 2:
        return "|"
    if left and right:
        slope = sum(left) / len(left) - sum(right) / len(right)
        if abs(slope) >= 1:
            return "/" if slope > 0 else "\\"
    rows = left + right
    return "'--."[round(sum(rows) / len(rows))]


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
