"""The linter as a flake8 plugin."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

from warmdown.lint.files import lint_tree


class Plugin:
    """Reports scheduler mistakes to flake8, which deals with ``noqa`` and selection itself.

    Args:
        tree: The file, parsed by flake8.
    """

    name = "warmdown"
    version = version("warmdown")

    def __init__(self, tree: ast.Module) -> None:
        self.tree = tree

    def run(self) -> Iterator[tuple[int, int, str, type[Any]]]:
        """Yield line, column, text and source of each finding."""
        for found in lint_tree(self.tree):
            yield found.line, found.column - 1, f"{found.code} {found.message}", type(self)
