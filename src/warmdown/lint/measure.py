"""Numbers in a script: what they are, and what they were made of."""

from __future__ import annotations

__all__ = ["dotted", "measure"]

import ast
import operator
from collections.abc import Callable, Mapping

from warmdown.lint.scene import Length, Loader
from warmdown.lint.words import ACCUMULATION

Values = Mapping[str, frozenset[object]]

_REACH = 40
"""Nested expressions deeper than this say nothing."""
_TRANSPARENT = {"int", "float", "ceil", "floor", "round", "max", "min"}
_REDUCES = (ast.Div, ast.FloorDiv)
_OPERATORS: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
}


def dotted(node: ast.AST) -> str | None:
    """Return ``a.b.c`` for a chain of attributes, else ``None``."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return None
    return ".".join([node.id, *reversed(names)])


def measure(node: ast.expr, values: Values, depth: int = 0) -> Length:
    """Say what is known about a number, given what the names hold at that moment."""
    if depth > _REACH:
        return Length(text="…")
    if isinstance(node, ast.Constant):
        return _constant(node)
    if isinstance(node, ast.Name | ast.Attribute):
        return _named(node, values)
    if isinstance(node, ast.BinOp):
        return _reckoned(
            node, measure(node.left, values, depth + 1), measure(node.right, values, depth + 1)
        )
    if isinstance(node, ast.Call):
        return _called(node, values, depth)
    parts = [
        measure(part, values, depth + 1)
        for part in ast.iter_child_nodes(node)
        if isinstance(part, ast.expr)
    ]
    return _gathered(f"{type(node).__name__}({', '.join(part.text for part in parts)})", parts)


def _constant(node: ast.Constant) -> Length:
    is_number = isinstance(node.value, int | float) and not isinstance(node.value, bool)
    return Length(text=repr(node.value)[:80], number=node.value if is_number else None)  # type: ignore[arg-type]


def _named(node: ast.Name | ast.Attribute, values: Values) -> Length:
    name = dotted(node)
    if name is None:
        return Length(text=ast.dump(node)[:200])
    held = values.get(name, frozenset())
    known = [value for value in held if isinstance(value, Length)]
    words = frozenset({name.rsplit(".", 1)[-1]})
    if len(known) == 1 and len(held) == 1:
        one = known[0]
        return Length(one.text, one.number, one.words | words, one.loaders, one.is_divided)
    return _gathered(name, known, words)


def _reckoned(node: ast.BinOp, left: Length, right: Length) -> Length:
    sign = type(node.op).__name__
    divided = isinstance(node.op, _REDUCES) and any(map(ACCUMULATION.search, right.words))
    both = _gathered(f"({left.text} {sign} {right.text})", [left, right])
    number = _number(node.op, left.number, right.number)
    return Length(both.text, number, both.words, both.loaders, both.is_divided or divided)


def _number(sign: ast.operator, left: float | None, right: float | None) -> float | None:
    if left is None or right is None or type(sign) not in _OPERATORS:
        return None
    try:
        return _OPERATORS[type(sign)](left, right)
    except (ArithmeticError, ValueError):
        return None


def _called(node: ast.Call, values: Values, depth: int) -> Length:
    name = (dotted(node.func) or "?").rsplit(".", 1)[-1]
    parts = [measure(part, values, depth + 1) for part in node.args]
    whole = _gathered(f"{name}({', '.join(part.text for part in parts)})", parts)
    if name == "len" and len(node.args) == 1:
        loaders = frozenset(
            v for v in values.get(dotted(node.args[0]) or "", ()) if isinstance(v, Loader)
        )
        return Length(whole.text, None, whole.words, whole.loaders | loaders)
    if name in _TRANSPARENT and len(parts) == 1:
        return Length(parts[0].text, parts[0].number, whole.words, whole.loaders, whole.is_divided)
    return whole


def _gathered(text: str, parts: list[Length], words: frozenset[str] = frozenset()) -> Length:
    return Length(
        text=text if len(text) < 400 else text[:400],
        words=words.union(*(part.words for part in parts)),
        loaders=frozenset[Loader]().union(*(part.loaders for part in parts)),
        is_divided=any(part.is_divided for part in parts),
    )
