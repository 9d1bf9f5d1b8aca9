"""Texts of a file on their way to a person: what a terminal would obey is written out instead."""

from __future__ import annotations

__all__ = ["markup", "printable"]

import re
from html import escape

_OBEYED = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""Control characters, what turns the direction of writing, separators of lines, and halves of characters."""
_OF_A_LINE = re.compile(f"{_OBEYED.pattern[:-1]}\t\n]")


def printable(text: str, *, as_line: bool = False) -> str:
    r"""Return a text with every character escaped that a terminal obeys and does not show.

    Args:
        text: Any text; line ends and tabs stay.
        as_line: Whether line ends and tabs are escaped too: a name cannot then forge a line of its
            own.

    Example:
        >>> printable("warm\x1b[2Jup"), printable("a\nb", as_line=True)
        ('warm\\x1b[2Jup', 'a\\nb')
    """
    return (_OF_A_LINE if as_line else _OBEYED).sub(lambda match: ascii(match[0])[1:-1], text)


def markup(text: str) -> str:
    r"""Return a text as HTML and SVG show it, whatever is in it.

    Example:
        >>> markup("<b>\x1b[2J")
        '&lt;b&gt;\\x1b[2J'
    """
    return escape(printable(text))
