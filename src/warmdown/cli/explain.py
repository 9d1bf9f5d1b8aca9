"""``warmdown explain``: what a warning, a finding or a rule means, and the way out."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

import click

from warmdown.cli.options import json_option
from warmdown.cli.say import say, say_json
from warmdown.errors import WarmdownError, nearest

_PAGES = ("misuse.md", "checks.md", "lint.md")
"""Pages of the documentation whose sections are codes; an installed package has them beside it."""
_SECTION = re.compile(r"^##+ (?:<a id=\"(?P<code>[^\"]+)\"></a>)?(?P<title>[^\n]+)\n", re.MULTILINE)
_LINK = re.compile(r"\[([^\]]+)\]\([^)]+\)")


@click.command("explain")
@click.argument("code", required=False)
@json_option
def command(code: str | None, as_json: bool) -> None:
    """Explain the code of a warning, of a finding of check, or of a rule of lint; list all without.

    A warning ends with its code: [warmdown explain step-twice].
    """
    sections = _sections()
    if code is not None and code.lower() not in sections:
        raise WarmdownError(f"explain({code!r}): no such code. {nearest(code.lower(), sections)}")
    if as_json:
        names = sorted(sections) if code is None else [code.lower()]
        texts = [(name, *text.split("\n\n", 1)) for name in names for text in sections[name]]
        say_json([dict(zip(("code", "title", "text"), one, strict=True)) for one in texts])
    elif code is None:
        say("\n".join(sorted(sections)))
    else:
        say("\n\n".join(sections[code.lower()]))


def _sections() -> dict[str, list[str]]:
    """Return the texts of every code: of a warning, and of a finding or rule."""
    found: dict[str, list[str]] = {}
    for page in _PAGES:
        text = _LINK.sub(r"\1", _read(page))
        heads = [*_SECTION.finditer(text)]
        ends = [*(head.start() for head in heads[1:]), len(text)]
        for head, end in zip(heads, ends, strict=True):
            code = head["code"] or head["title"]
            if re.fullmatch(r"[a-z0-9-]+", code):
                body = text[head.end() : end].strip()
                found.setdefault(code, []).append(f"{head['title']}\n\n{body}")
    return found


def _read(page: str) -> str:
    installed = files("warmdown") / "docs" / page
    source = Path(__file__).parents[3] / "docs" / page  # of a checkout
    return (installed if installed.is_file() else source).read_text(encoding="utf-8")
