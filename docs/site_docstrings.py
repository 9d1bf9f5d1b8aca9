"""What gives the builder of the API reference every docstring as Markdown."""

from __future__ import annotations

from typing import Any

import griffe
from docs.site_pages import as_markdown


class MarkdownDocstrings(griffe.Extension):
    """Read reST's formulas and references, which the docstrings have, as Markdown."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite the docstring of an object that was read.

        Args:
            obj: A module, a class, a function or an attribute.
        """
        if obj.docstring:
            obj.docstring.value = as_markdown(obj.docstring.value)

    def on_class_instance(self, *, cls: griffe.Class, **_: Any) -> None:
        """Let a class that is a dataclass by another name have a signature.

        Args:
            cls: A class that was read.
        """
        known = {"frozen": "True", "kw_only": "True"}
        for decorator in cls.decorators:
            if str(decorator.value) == "schedule_class":
                decorator.value = griffe.ExprCall(
                    griffe.ExprName("dataclasses.dataclass"),
                    [griffe.ExprKeyword(name, value) for name, value in known.items()],
                )
