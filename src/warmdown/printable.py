"""Texts of a file on their way to a person: what a terminal would obey is written out instead."""

from __future__ import annotations

__all__ = ["markup", "printable"]

import re

# compiled when first used: an import prints nothing
_OBEYED = "\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff"
"""Control characters, direction of writing, separators of lines, and halves of characters."""


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
    obeyed = f"[{_OBEYED}\t\n]" if as_line else f"[{_OBEYED}]"
    return re.sub(obeyed, lambda match: ascii(match[0])[1:-1], text)


def markup(text: str) -> str:
    r"""Return a text as HTML and SVG show it, whatever is in it.

    Example:
        >>> markup("<b>\x1b[2J")
        '&lt;b&gt;\\x1b[2J'
    """
    from html import escape  # loads a table of every entity

    return escape(printable(text))
