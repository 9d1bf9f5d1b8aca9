"""Numbers in a script: their values, and what they are made of."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from dataclasses import replace

from warmdown.lint.names import Names
from warmdown.lint.patterns import ACCUMULATION, matches
from warmdown.lint.script import Length, Loader, dotted, last_name, loaders_in

_DEEPEST = 40
"""Expressions that are nested more deeply are not measured."""
_LONGEST_TEXT = 400
TRANSPARENT = {"int", "float", "ceil", "floor", "round", "max", "min"}
"""Functions that leave a number what it counts."""
_OPERATORS: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
}


def measure(node: ast.expr, names: Names, depth: int = 0) -> Length:
    """Return what is known about a number, given what the names may be at that moment."""
    if depth > _DEEPEST:
        return Length("…")
    match node:
        case ast.Constant(value=value):
            number = value if isinstance(value, int | float) else None
            # `True` is no number here, though Python counts with it
            return Length(repr(value)[:80], None if isinstance(value, bool) else number)
        case ast.Name() | ast.Attribute():
            return _measure_name(node, names)
    children = node.args if isinstance(node, ast.Call) else ast.iter_child_nodes(node)
    parts = [measure(part, names, depth + 1) for part in children if isinstance(part, ast.expr)]
    if isinstance(node, ast.Call):
        return _measure_call(node, parts, names)
    if isinstance(node, ast.BinOp):
        return _measure_operation(node.op, *parts)
    return _combine(f"{type(node).__name__}({_texts_of(parts)})", parts)


def _measure_name(node: ast.Name | ast.Attribute, names: Names) -> Length:
    name = dotted(node)
    if not name:
        return Length(ast.dump(node)[:200])
    values = names[name]
    known = [value for value in values if isinstance(value, Length)]
    words = frozenset({last_name(node)})
    if len(known) == len(values) == 1:
        # the text of the value, so that two names of one number are equal
        return replace(known[0], words=known[0].words | words)
    return _combine(name, known, words)


def _measure_call(node: ast.Call, parts: list[Length], names: Names) -> Length:
    name = last_name(node.func) or "?"
    length = _combine(f"{name}({_texts_of(parts)})", parts)
    if len(parts) != 1:
        return length
    if name == "len":
        loaders = loaders_in(names[dotted(node.args[0])])
        return replace(length, loaders=length.loaders | loaders)
    return parts[0] if name in TRANSPARENT else length


def _measure_operation(sign: ast.operator, left: Length, right: Length) -> Length:
    length = _combine(f"({left.text} {type(sign).__name__} {right.text})", [left, right])
    if isinstance(sign, ast.Div | ast.FloorDiv) and matches(ACCUMULATION, right.words):
        length = replace(length, is_divided=True)
    if left.number is None or right.number is None or type(sign) not in _OPERATORS:
        return length
    # division by zero, or a power that is too large
    try:
        return replace(length, number=_OPERATORS[type(sign)](left.number, right.number))
    except (ArithmeticError, ValueError):
        return length


def _combine(text: str, parts: list[Length], words: frozenset[str] = frozenset()) -> Length:
    return Length(
        text[:_LONGEST_TEXT],
        words=words.union(*(part.words for part in parts)),
        loaders=frozenset[Loader]().union(*(part.loaders for part in parts)),
        is_divided=any(part.is_divided for part in parts),
    )


def _texts_of(parts: list[Length]) -> str:
    return ", ".join(part.text for part in parts)
