"""What a loop runs over: epochs, batches, or something else."""

from __future__ import annotations

import ast
import re
from typing import Literal

from warmdown.lint.lengths import measure
from warmdown.lint.names import Names, names_in
from warmdown.lint.patterns import BATCH_SIZE, EPOCH, LOADER, matches
from warmdown.lint.script import Loop, dotted, last_name, loaders_in, union

_BATCHWISE = re.compile(
    r"batch|^(data|inputs?|images?|imgs?|targets?|labels?|xb?|yb?|src|tgt|samples?|i?steps?)$"
)
_RANGES = {"range", "trange"}


def loop_of(node: ast.For | ast.AsyncFor | ast.While, names: Names) -> Loop:
    """Return what is known about a loop before it runs."""
    if isinstance(node, ast.While):
        return Loop(node, "epoch" if _names_epochs(names_in(node.test)) else "other")
    parts = list(ast.walk(node.iter))
    loaders = loaders_in(union(names[dotted(part)] for part in parts))
    loop = Loop(node, _kind_of_loop(node, has_loader=bool(loaders)), loaders=loaders)
    for part in parts:
        match part:
            case ast.Call(func=func, args=[_, *_]) if last_name(func) in _RANGES:
                _measure_range(loop, part.args, names)
                break
    return loop


def _kind_of_loop(
    node: ast.For | ast.AsyncFor, *, has_loader: bool
) -> Literal["epoch", "batch", "other"]:
    target, iterated = names_in(node.target), names_in(node.iter)
    # `range(epochs)`; but `range(len(loader) * epochs)` counts batches
    counts_epochs = iterated & _RANGES and _names_epochs(iterated) and not has_loader
    if _names_epochs(target) or counts_epochs:
        return "epoch"
    is_sliced = bool(iterated & _RANGES) and matches(BATCH_SIZE, iterated)
    if is_sliced or has_loader or matches(LOADER, iterated) or matches(_BATCHWISE, target):
        return "batch"
    return "other"


def _names_epochs(words: frozenset[str]) -> bool:
    return any(EPOCH.search(word) and "per_epoch" not in word for word in words)


def _measure_range(loop: Loop, arguments: list[ast.expr], names: Names) -> None:
    """Set the stop of a range, and its number of turns; ``range(1, n + 1)`` stops at n."""
    ends = [ast.Constant(0), *arguments] if len(arguments) == 1 else arguments[:2]
    start, stop = (measure(end, names) for end in ends)
    loop.start, loop.bound = start, stop
    if len(arguments) < 3:
        loop.count = stop.number - start.number
    match ends:
        case [_, ast.BinOp(left=inner, op=ast.Add(), right=ast.Constant(value=1))]:
            if start.number == 1:
                loop.bound = measure(inner, names)
