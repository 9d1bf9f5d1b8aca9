"""A finding of the linter: a mistake, its place, and the edits that fix it where that is safe."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import Any, NamedTuple, Self, TypeAlias

Node: TypeAlias = ast.expr | ast.stmt | ast.keyword


class Position(NamedTuple):
    """A position in a text.

    Args:
        line: Line, counted from 1.
        column: UTF-8 bytes before it in its line, as :mod:`ast` counts.
    """

    line: int
    column: int

    @classmethod
    def start(cls, node: Node) -> Self:
        """Return the start of a node."""
        return cls(node.lineno, node.col_offset)

    @classmethod
    def end(cls, node: Node) -> Self:
        """Return the place right after a node."""
        return cls(
            node.end_lineno or node.lineno,
            node.end_col_offset or node.col_offset,
        )


@dataclass(frozen=True)
class Edit:
    """New text in place of old text.

    Args:
        start: Start of the old text.
        end: The place right after the old text.
        text: The new text.
    """

    start: Position
    end: Position
    text: str


Mistake: TypeAlias = tuple[Any, ...]
"""What a rule yields: the node where the mistake is, the message, and the edits that fix it."""


@dataclass(frozen=True)
class Finding:
    """One mistake.

    Args:
        code: The rule: ``WDL001`` …
        line: Line, counted from 1.
        column: Column, counted from 1.
        message: What is wrong, and the way out.
        edits: What fixes it; empty where no edit is safe.
        cell: In a notebook, the cell whose line it is, counted from 1 over all cells.
    """

    code: str
    line: int
    column: int
    message: str
    edits: tuple[Edit, ...] = ()
    cell: int | None = None

    @property
    def place(self) -> str:
        """Its place in a file: ``12:5``, or ``cell 3:12:5`` in a notebook."""
        place = f"{self.line}:{self.column}"
        return place if self.cell is None else f"cell {self.cell}:{place}"

    @property
    def is_fixable(self) -> bool:
        """Whether there is a safe edit."""
        return bool(self.edits)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for scripts."""
        facts = {name: fact for name, fact in vars(self).items() if name != "edits"}
        return {**facts, "fixable": self.is_fixable, "page": page_of(self.code)}


def page_of(code: str) -> str:
    """Return the section of the documentation that explains a rule.

    Example:
        >>> page_of("WDL001")
        'docs/lint.md#wdl001'
    """
    return f"docs/lint.md#{code.lower()}"
