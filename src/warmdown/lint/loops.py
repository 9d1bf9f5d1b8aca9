"""What a loop runs over: epochs, batches, or something else."""

from __future__ import annotations

__all__ = ["loop_of"]

import ast
import re
from typing import Literal

from warmdown.lint.measure import dotted, measure
from warmdown.lint.names import Names, names_in
from warmdown.lint.scene import Length, Loader, Loop
from warmdown.lint.words import EPOCH, LOADER

_BATCHWISE = re.compile(
    r"batch|^(data|inputs?|images?|imgs?|targets?|labels?|xb?|yb?|src|tgt|samples?|i?steps?)$"
)
_RANGES = {"range", "trange"}


def loop_of(node: ast.For | ast.AsyncFor | ast.While, names: Names) -> Loop:
    """Return what is known about a loop before it runs."""
    if isinstance(node, ast.While):
        return Loop(node, "epoch" if _speaks_of_epochs(names_in(node.test)) else "other")
    loaders = frozenset(
        value
        for part in ast.walk(node.iter)
        for value in names.get(dotted(part) or "", ())
        if isinstance(value, Loader)
    )
    loop = Loop(node, _kind(node, bool(loaders)), loaders=loaders)
    if (call := _range_in(node.iter)) is not None:
        loop.bound, loop.count = _bound(call, names)
    return loop


def _kind(node: ast.For | ast.AsyncFor, has_loader: bool) -> Literal["epoch", "batch", "other"]:
    target, iterated = names_in(node.target), names_in(node.iter)
    if _speaks_of_epochs(target) or (
        iterated & _RANGES and _speaks_of_epochs(iterated) and not has_loader
    ):
        return "epoch"
    if has_loader or any(map(LOADER.search, iterated)) or any(map(_BATCHWISE.search, target)):
        return "batch"
    return "other"


def _speaks_of_epochs(words: frozenset[str]) -> bool:
    return any(EPOCH.search(word) and "per_epoch" not in word for word in words)


def _range_in(node: ast.expr) -> ast.Call | None:
    for part in ast.walk(node):
        if (
            isinstance(part, ast.Call)
            and (dotted(part.func) or "").rsplit(".", 1)[-1] in _RANGES
            and part.args
        ):
            return part
    return None


def _bound(call: ast.Call, names: Names) -> tuple[Length, float | None]:
    """Return the stop of a range, and its number of turns; ``range(1, n + 1)`` stops at n."""
    if len(call.args) == 1:
        stop = measure(call.args[0], names)
        return stop, stop.number
    start, stop = measure(call.args[0], names), measure(call.args[1], names)
    count = (
        None
        if start.number is None or stop.number is None or len(call.args) > 2
        else stop.number - start.number
    )
    match call.args[1]:
        case ast.BinOp(left=ast.expr() as inner, op=ast.Add(), right=ast.Constant(value=1)) if (
            start.number == 1
        ):
            return measure(inner, names), count
    return stop, count
