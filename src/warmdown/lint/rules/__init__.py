"""Every rule: its code, its name, and the function that checks it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from warmdown.lint.finding import Mistake
from warmdown.lint.rules import call, length, lightning, order, resume
from warmdown.lint.script import ScriptModel


class LintRule(NamedTuple):
    """One kind of mistake.

    Args:
        name: What is wrong, in a few words.
        check: Yields the mistakes in a script.
    """

    name: str
    check: Callable[[ScriptModel], Iterator[Mistake]]


RULES: Mapping[str, LintRule] = {
    "WDL001": LintRule("stepped before the optimizer", order.stepped_early),
    "WDL002": LintRule("a schedule over batches is stepped per epoch", order.stepped_per_epoch),
    "WDL003": LintRule("plateau without its metric", call.missing_metric),
    "WDL004": LintRule("verbose= is gone", call.verbose),
    "WDL005": LintRule("made before its optimizer", call.other_optimizer),
    "WDL006": LintRule("never stepped", order.never_stepped),
    "WDL007": LintRule("shorter than the loop", length.shorter_than_loop),
    "WDL008": LintRule("length and steps count different things", length.other_unit),
    "WDL009": LintRule("stepped once per process", length.stepped_per_process),
    "WDL010": LintRule("an argument that step() does not take", call.unexpected_argument),
    "WDL011": LintRule("stepped in two loops", order.stepped_twice),
    "WDL012": LintRule("get_lr() from outside", call.get_lr),
    "WDL013": LintRule("Lightning steps it per epoch", lightning.default_interval),
    "WDL014": LintRule("resumed without its state", resume.optimizer_alone),
    "WDL015": LintRule("last_epoch without initial_lr", resume.fresh_optimizer),
    "WDL016": LintRule("a whole decay after a warmup", length.full_decay_after_warmup),
    "WDL017": LintRule("made again in each epoch", order.made_in_each_epoch),
    "WDL018": LintRule("lengths in each other's place", call.swapped_lengths),
    "WDL019": LintRule("a milestone between two steps", call.float_milestones),
    "WDL020": LintRule("a decay that ends where it begins", call.constant_decay),
    "WDL021": LintRule("a plateau that watches the wrong way", call.wrong_way),
}
