"""Numbers in a script: their values, and what they are made of."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Sequence
from dataclasses import replace
from math import nan

from warmdown.lint.names import Names
from warmdown.lint.patterns import ACCUMULATION, SHARE, matches
from warmdown.lint.script import Length, Loader, dotted, last_name, loaders_in

_DEEPEST = 40
"""Expressions that are nested more deeply are not measured."""
_LONGEST_TEXT = 400
TRANSPARENT = {"int", "float", "ceil", "floor", "round", "max", "min"}
"""Functions that leave a number what it counts."""
_ROUNDING: dict[str, Callable[[float], float]] = {
    "int": lambda number: float(number // 1),
    "floor": lambda number: float(number // 1),
    "ceil": lambda number: float(-(-number // 1)),
    "round": lambda number: round(number, 0),
}
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
    if name := dotted(node):
        return _measure_name(name, names)
    children, kind = ast.iter_child_nodes(node), type(node).__name__
    match node:
        case ast.Constant(value=value):
            number = value if isinstance(value, int | float) else nan
            # `True` is no number here, though Python counts with it
            return Length(repr(value)[:80], nan if isinstance(value, bool) else number)
        case ast.Call(func=func, args=args):
            children, kind = iter(args), last_name(func)
        case ast.BinOp(op=sign):
            kind = type(sign).__name__
    parts = [measure(part, names, depth + 1) for part in children if isinstance(part, ast.expr)]
    if kind in TRANSPARENT and len(parts) == 1:
        return replace(parts[0], number=_ROUNDING.get(kind, float)(parts[0].number))
    length = _combine(f"{kind}({', '.join(part.text for part in parts)})", parts)
    match node:
        case ast.Call(args=[counted]) if kind == "len":
            loaders = loaders_in(names[dotted(counted)])
            return replace(length, loaders=length.loaders | loaders)
        case ast.BinOp(op=sign):
            return _calculate(length, sign, *parts)
        case ast.UnaryOp(op=ast.USub()):
            return replace(length, number=-parts[0].number)
    return length


def _measure_name(name: str, names: Names) -> Length:
    values, last = names[name], name.rpartition(".")[-1]
    known = [value for value in values if isinstance(value, Length)]
    length = _combine(name, known)
    # the default of an option is its number, but the option stays the text: it may be changed
    if not values and "." in name:
        length = replace(length, number=names.settings.get(last, nan))
    if len(known) == len(values) == 1:
        # the text of the value, so that two names of one number are equal
        length = known[0]
    return replace(length, words=length.words | {last})


def _calculate(length: Length, sign: ast.operator, left: Length, right: Length) -> Length:
    """Return the length of an operation with its number: NaN where a side has none."""
    if isinstance(sign, ast.Div | ast.FloorDiv):
        change = left.accumulated - matches(ACCUMULATION, right.words)
        length = replace(
            length, divisors=length.divisors | right.words, accumulated=max(-1, change)
        )
    elif isinstance(sign, ast.Mult):
        length = _multiply(length, left, right)
    # another operator, division by zero, or a product that is too large
    try:
        return replace(length, number=_OPERATORS[type(sign)](left.number, right.number))
    except (ArithmeticError, KeyError):
        return length


def _multiply(length: Length, left: Length, right: Length) -> Length:
    for one, other in ((left, right), (right, left)):
        if one.number == 1:
            return other
        if one.words and all(map(ACCUMULATION.search, one.words)):
            return replace(length, accumulated=min(1, other.accumulated + 1))
    if left.words and right.words and not matches(SHARE, left.words | right.words):
        length = replace(length, is_product=True)
    return length


def _combine(text: str, parts: Sequence[Length]) -> Length:
    return Length(
        text[:_LONGEST_TEXT],
        words=frozenset[str]().union(*(part.words for part in parts)),
        loaders=frozenset[Loader]().union(*(part.loaders for part in parts)),
        accumulated=min((part.accumulated for part in parts if part.accumulated), default=0),
        is_product=any(part.is_product for part in parts),
        divisors=frozenset[str]().union(*(part.divisors for part in parts)),
    )
