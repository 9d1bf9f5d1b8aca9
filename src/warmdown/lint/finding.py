"""What the linter says: one mistake, where it stands, and how it is mended where that is safe."""

from __future__ import annotations

__all__ = ["Edit", "Finding", "Place", "page_of"]

import ast
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, Self


class Place(NamedTuple):
    """A position in a text.

    Args:
        line: Line, counted from 1.
        column: UTF-8 bytes before it in its line, as :mod:`ast` counts.
    """

    line: int
    column: int

    @classmethod
    def start(cls, node: ast.expr | ast.stmt | ast.keyword) -> Self:
        """Return where ``node`` begins."""
        return cls(node.lineno, node.col_offset)

    @classmethod
    def end(cls, node: ast.expr | ast.stmt | ast.keyword) -> Self:
        """Return the place right after ``node``."""
        return cls(node.end_lineno or node.lineno, node.end_col_offset or node.col_offset)


@dataclass(frozen=True)
class Edit:
    """Text that takes the place of other text.

    Args:
        start: Where the old text begins.
        end: The place right after the old text.
        text: The new text.
    """

    start: Place
    end: Place
    text: str


@dataclass(frozen=True)
class Finding:
    """One mistake.

    Args:
        code: The rule: ``WDL001`` …
        line: Line, counted from 1.
        column: Column, counted from 1.
        message: What is wrong, and the way out.
        edits: What mends it; empty where no edit is safe.
    """

    code: str
    line: int
    column: int
    message: str
    edits: tuple[Edit, ...] = ()

    @classmethod
    def at(
        cls, node: ast.expr | ast.stmt | ast.keyword, code: str, message: str, *edits: Edit
    ) -> Self:
        """Return the finding that stands where ``node`` begins."""
        return cls(code, node.lineno, node.col_offset + 1, message, edits)

    @property
    def is_fixable(self) -> bool:
        """Whether there is a safe edit."""
        return bool(self.edits)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for scripts."""
        facts = {name: fact for name, fact in asdict(self).items() if name != "edits"}
        return {**facts, "fixable": self.is_fixable, "page": page_of(self.code)}


def page_of(code: str) -> str:
    """Return the section of the documentation that explains a rule.

    Example:
        >>> page_of("WDL001")
        'docs/lint.md#wdl001'
    """
    return f"docs/lint.md#{code.lower()}"
