"""Texts that a reader may be given by somebody who means it harm, and the time that reading them
takes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from time import process_time

from warmdown.errors import WarmdownError

EVIL = "\x1b]0;evil\x07\x1b[2J\x9b31m\u202e<b>&\"'\ud800"
"""What a terminal would obey, and what a page would."""

TEXTS: Mapping[str, Callable[[int], str]] = {
    "digits": lambda n: "9" * n,
    "digits and a letter": lambda n: "9" * n + "x",
    "digits and underscores": lambda n: "1_" * (n // 2),
    "digits and hours": lambda n: "9" * n + "h",
    "decimal points": lambda n: "1." * (n // 2),
    "exponents": lambda n: "1e" * (n // 2),
    "a large exponent": lambda n: "1e" + "9" * n,
    "powers": lambda n: "9**" * (n // 3) + "9",
    "sums": lambda n: "1+" * (n // 2) + "1",
    "signs": lambda n: "-" * n + "1",
    "negations": lambda n: "not " * (n // 4) + "x",
    "unclosed placeholders": lambda n: "%A" * (n // 2),
    "an endless placeholder": lambda n: "%" + "A" * n,
    "parentheses": lambda n: "(" * n,
    "brackets": lambda n: "[" * n,
    "braces": lambda n: "{a: " * (n // 4),
    "flat list": lambda n: "[" + "1, " * (n // 3) + "1]",
    "JSON in JSON": lambda n: '{"a":' * (n // 5),
    "stars": lambda n: "*a" * (n // 2) + "b",
    "question marks": lambda n: "? " * (n // 2),
    "dashes": lambda n: "- " * (n // 2),
    "dots": lambda n: "a." * (n // 2),
    "indices": lambda n: "[0]" * (n // 3),
    "spaces": lambda n: "1" + " " * n + "!",
    "one long word": lambda n: "a" * n,
    "many words": lambda n: "a " * (n // 2),
    "quotes": lambda n: '"' * n,
    "anchors": lambda n: "&a " * (n // 3),
    "tags": lambda n: "!" * n,
    "colons": lambda n: ": " * (n // 2),
    "silencing comments": lambda n: "#noqa: A1," * (n // 10),
    "NULs": lambda n: "\0" * n,
    "halves of characters": lambda n: "\ud800" * n,
    "byte order marks": lambda n: "\ufeff" * n,
    "line ends": lambda n: "\r\n" * (n // 2),
    "digits of another script": lambda n: "٣" * n,
    "many keys": lambda n: "".join(f"k{index}: 1\n" for index in range(n // 8)),
    "many phases": lambda n: f"lr: [{'{kind: cosine}, ' * (n // 16)}]",
    "controls": lambda n: EVIL * (n // len(EVIL)),
}


def seconds_to_read(read: Callable[[str], object], text: str) -> float:
    """Return the CPU time until a reader has an answer: a value, or an error of ours."""
    begin = process_time()
    with suppress(WarmdownError):
        read(text)
    return process_time() - begin
