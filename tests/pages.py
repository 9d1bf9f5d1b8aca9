"""Reading a page: its blocks of code, and what the page says about testing them.

A comment on a line of its own before a block says what is different about it::

    <!-- test: skip, needs a GPU -->         not run; the reason is needed <!-- test: fragment -->
    Python that must only parse: it speaks of names that stand elsewhere <!-- test: raises
    ScheduleError -->      Python that ends in this error <!-- test: warns PastTheEnd -->
    Python that gives this warning <!-- test: exits 1 -->                   a command with this exit
    code <!-- test: file plan.yaml -->            written to this file, for the blocks that follow
"""

from __future__ import annotations

__all__ = ["Block", "blocks", "commands"]

import re
import shlex
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MARK = re.compile(r"<!-- test: (skip|fragment|raises|warns|exits|file)\b[, ]*(.*?) *-->")
FENCE = re.compile(r"( *)```(\w*)")


@dataclass(frozen=True)
class Block:
    """A block of code on a page.

    Args:
        page: Where it stands.
        line: Line of its opening fence, from 1.
        language: ``python``, ``console``, ``sh``, ``yaml`` …
        text: What stands between the fences.
        mark: What is different about it: ``skip``, ``raises`` …, or nothing.
        detail: The reason, the error's name, the file's name.
    """

    page: Path
    line: int
    language: str
    text: str
    mark: str = ""
    detail: str = ""

    @property
    def place(self) -> str:
        """Page and line, as an editor takes them."""
        return f"{self.page.name}:{self.line}"


def blocks(page: Path) -> Iterator[Block]:
    """Yield the blocks of a page, in order."""
    lines = page.read_text(encoding="utf-8").splitlines()
    mark, detail, number = "", "", 0
    while number < len(lines):
        line = lines[number]
        if told := MARK.fullmatch(line.strip()):
            mark, detail = told[1], told[2]
        elif fence := FENCE.fullmatch(line.rstrip()):
            end = next(at for at in range(number + 1, len(lines)) if lines[at].strip() == "```")
            text = textwrap.dedent("\n".join(lines[number + 1 : end]))
            yield Block(page, number + 1, fence[2], text, mark, detail)
            mark, detail, number = "", "", end
        elif line.strip():
            if line.startswith("<!-- test:"):
                raise ValueError(
                    f"{page.name}:{number + 1}: no such mark: {line.strip()}. See tests/pages.py."
                )
            mark, detail = "", ""
        number += 1


def commands(block: Block) -> Iterator[list[str]]:
    """Yield the words of each command of a shell block; in a console block, commands follow a
    ``$``.
    """
    joined = block.text.replace("\\\n", " ")
    for line in joined.splitlines():
        line = line.strip()
        if block.language == "console":
            if not line.startswith("$ "):
                continue
            line = line.removeprefix("$ ")
        words = shlex.split(line, comments=True)
        if words:
            yield words
