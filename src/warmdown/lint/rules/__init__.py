"""Every rule: its code, its name, and the function that looks for it."""

from __future__ import annotations

__all__ = ["RULES", "Rule"]

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from warmdown.lint.finding import Finding
from warmdown.lint.rules import call, length, order
from warmdown.lint.scene import Scene


class Rule(NamedTuple):
    """One kind of mistake.

    Args:
        name: What is wrong, in a few words.
        look: Yields the findings of a scene.
    """

    name: str
    look: Callable[[Scene], Iterator[Finding]]


RULES: Mapping[str, Rule] = {
    "WDL001": Rule("stepped before the optimizer", order.too_early),
    "WDL002": Rule("a schedule over batches is stepped per epoch", order.in_the_epoch_loop),
    "WDL003": Rule("plateau without its metric", call.metric_missing),
    "WDL004": Rule("verbose= is gone", call.verbose),
    "WDL005": Rule("made before its optimizer", call.other_optimizer),
    "WDL006": Rule("never stepped", order.never),
    "WDL007": Rule("shorter than the loop", length.shorter_than_the_loop),
    "WDL008": Rule("length and steps count different things", length.other_unit),
    "WDL009": Rule("stepped once per process", length.per_process),
    "WDL010": Rule("an argument that step() does not take", call.argument),
    "WDL011": Rule("stepped in two loops", order.twice),
    "WDL012": Rule("get_lr() from outside", call.get_lr),
}
