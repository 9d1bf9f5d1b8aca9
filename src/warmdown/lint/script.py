"""The model of a script: the schedulers that it creates, and what happens to them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from math import nan
from typing import Literal, TypeAlias

from warmdown.lint.patterns import (
    ACCUMULATION,
    BATCH_SIZE,
    EPOCH,
    LENGTHS,
    LOADER,
    PART_OF_EPOCH,
    SHARE,
    matches,
)

Values: TypeAlias = frozenset[object]
"""What an expression may be: schedulers, optimizers, loaders, lengths, ``UNKNOWN`` …"""
Kind: TypeAlias = Literal["step", "update", "train", "passed_to", "get_lr", "load", "foreign_step"]
"""``scheduler.step()``; ``optimizer.step()``; a call that probably trains; a call that is
given the optimizer; ``scheduler.get_lr()``; ``load_state_dict()`` of one of them; ``step()`` of
what is known as a scheduler by its name alone."""
Around: TypeAlias = "tuple[Loop | Condition | Accumulation, ...]"

NOTHING = object()
"""The value ``None``."""
UNKNOWN = object()
"""A value that cannot be known."""

_SIGNS = ast.expr_context | ast.operator | ast.cmpop | ast.unaryop | ast.boolop
_CALLS = re.compile(r"(\w+)\(")
_ARITHMETIC = {"Add", "Sub", "Mult", "Div", "FloorDiv", "UnaryOp", "max", "min"}
_UPDATES = re.compile(r"update|optim", re.IGNORECASE)


def union(values: Iterable[Values]) -> Values:
    """Return what any of the expressions may be."""
    return frozenset[object]().union(*values)


def dotted(node: ast.AST) -> str:
    """Return ``a.b.c`` for a chain of attributes and of text keys; an empty text for no chain."""
    names: list[str] = []
    while True:
        match node:
            case ast.Attribute(value=owner, attr=name):
                pass
            case ast.Subscript(value=owner, slice=ast.Constant(value=str(name))):
                pass
            case _:
                break
        names.insert(0, name)
        node = owner
    return ".".join([node.id, *names]) if isinstance(node, ast.Name) else ""


def last_name(node: ast.AST) -> str:
    """Return ``c`` for ``a.b.c``, and an empty text for what is no chain of names."""
    return dotted(node).rpartition(".")[-1]


def loaders_in(values: Iterable[object]) -> frozenset[Loader]:
    """Return the data loaders among what an expression may be."""
    return frozenset(value for value in values if isinstance(value, Loader))


def arguments_of(call: ast.Call) -> list[ast.expr]:
    """Return the arguments of a call, those with a keyword last."""
    return [*call.args, *(keyword.value for keyword in call.keywords)]


@dataclass(eq=False)
class Loader:
    """A data loader.

    Args:
        is_share: Whether accelerate has left it one process's share of the batches.
        data: The name of what it takes its batches of several samples from.
    """

    is_share: bool = False
    data: str = ""


@dataclass(eq=False)
class Optimizer:
    """An optimizer.

    Args:
        call: The call that creates it, if that was read.
        context: Loops and conditions around that call.
        name: The name that it was given.
        lr: Its rate.
    """

    call: ast.Call | None = None
    context: Around = ()
    name: str = ""
    lr: Length | None = None


@dataclass(frozen=True)
class Length:
    """What is known about a number in a script without running it.

    Args:
        text: The expression, with the names replaced by what was assigned to them.
        number: Its value, when it is a plain number; NaN, which no comparison finds, when not.
        words: Every name on the way to it.
        loaders: The data loaders whose ``len`` is in it.
        accumulated: -1 where it was divided by the number of accumulated batches, 1 where it was
            multiplied by it, else 0.
        divisors: Every name of what it was divided by.
        is_product: Whether two numbers with names were multiplied: it may count parts of parts.
    """

    text: str
    number: float = field(default=nan, compare=False)
    words: frozenset[str] = frozenset()
    loaders: frozenset[Loader] = frozenset()
    accumulated: int = 0
    divisors: frozenset[str] = frozenset()
    is_product: bool = False

    @property
    def is_divided(self) -> bool:
        """Whether it was divided by the number of accumulated batches."""
        return self.accumulated < 0

    @property
    def counts_batches(self) -> bool:
        """Whether it was made from the length of a loader, or from steps per epoch."""
        is_sized = "len(" in self.text and (
            matches(LOADER, self.words) or matches(BATCH_SIZE, self.divisors)
        )
        return bool(self.loaders) or is_sized or any("per_epoch" in word for word in self.words)

    @property
    def counts_epochs(self) -> bool:
        """Whether it was made from a number of epochs, and from nothing that may count batches."""
        parts = {word for word in self.words if not matches(SHARE, [word])}
        is_plain = set(_CALLS.findall(self.text)) <= _ARITHMETIC
        is_of_epochs = matches(EPOCH, parts) and not matches(PART_OF_EPOCH, parts)
        return is_plain and is_of_epochs and not self.is_product and not self.counts_batches

    @property
    def is_multiplied_back(self) -> bool:
        """Whether it was divided by the number of accumulated batches, and multiplied again."""
        return self.accumulated == 0 and matches(ACCUMULATION, self.divisors)

    @property
    def may_count_updates(self) -> bool:
        """Whether it was divided by the accumulated batches, or its names speak of updates."""
        return self.is_divided or matches(_UPDATES, self.words)

    def is_made_of(self, other: Length) -> bool:
        """Whether another number is a part of it, by the text."""
        part = re.escape(other.text)
        return bool(part) and bool(re.search(rf"(?<![\w.]){part}(?![\w.])", self.text))


@dataclass(eq=False)
class Loop:
    """A loop that is being run.

    Args:
        node: The statement.
        kind: ``epoch``, ``batch`` or ``other``.
        bound: The stop of its ``range``.
        start: The start of its ``range``.
        count: How often it runs, when that is a plain number, or NaN.
        loaders: The data loaders that it iterates over.
    """

    node: ast.For | ast.AsyncFor | ast.While
    kind: Literal["epoch", "batch", "other"]
    bound: Length = Length("")
    start: Length = Length("")
    count: float = nan
    loaders: frozenset[Loader] = frozenset()

    @property
    def may_end_early(self) -> bool:
        """Whether a ``break`` or ``return`` is in it."""
        return any(isinstance(node, ast.Break | ast.Return) for node in ast.walk(self.node))

    def runs_for(self, length: Length | None) -> bool:
        """Whether a length is the number of its turns, by the text."""
        return length is not None and length.text == self.bound.text


@dataclass(eq=False)
class Condition:
    """A branch that may not be taken; ``words`` are the names that decide."""

    words: frozenset[str] = frozenset()


@dataclass(eq=False)
class Accumulation:
    """A ``with accelerator.accumulate(…)``: what is prepared steps once in several batches."""


@dataclass(eq=False)
class SchedulerCreated:
    """A scheduler, with the place of its creation.

    Args:
        name: Its class or factory, without the path.
        library: ``torch``, ``transformers``, ``warmdown`` for the drop-in names, or ``native``.
        call: The call that creates it.
        arguments: The call's arguments by name, as far as the signature is known.
        lengths: The arguments that are numbers.
        parts: The schedulers that follow one another in it.
        milestones: The numbers of its ``milestones``.
        optimizers: What its optimizer may be; empty when it was never seen to be created.
        when: The number of events before it.
        context: Loops and conditions around it.
        root: The function that was being read, when no other calls it.
        within: The functions that were being read.
        given_to: The calls of other code that it was given to.
        has_escaped: Whether it went where it cannot be followed.
        is_prepared: Whether accelerate has taken it over.
    """

    name: str
    library: str
    call: ast.Call
    arguments: dict[str, ast.expr]
    lengths: dict[str, Length]
    optimizers: Values
    when: int
    context: Around
    root: int
    parts: tuple[Values, ...] = ()
    milestones: tuple[Length, ...] = ()
    within: tuple[ast.AST, ...] = ()
    given_to: list[str] = field(default_factory=list)
    has_escaped: bool = False
    is_prepared: bool = False

    @property
    def total(self) -> Length | None:
        """The length of the schedule, where an argument gives it."""
        return self.lengths.get(LENGTHS.get(self.name, ""))


@dataclass(eq=False)
class ScriptEvent:
    """One thing that happens; events are in the order in which a run meets them.

    Args:
        kind: What happens.
        things: What it may happen to: schedulers, optimizers, ``UNKNOWN``.
        call: The call.
        context: Loops and conditions around it, the outermost first.
        when: The moment.
        root: The function that was being read, when no other calls it.
    """

    kind: Kind
    things: Values
    call: ast.Call
    context: Around
    when: int
    root: int

    @property
    def loops(self) -> tuple[Loop, ...]:
        """The loops around it, the outermost first."""
        return tuple(around for around in self.context if isinstance(around, Loop))

    @property
    def loop(self) -> Loop | None:
        """The innermost loop around it."""
        return self.loops[-1] if self.loops else None

    @property
    def is_per_epoch(self) -> bool:
        """Whether it happens exactly once in each turn of an epoch loop."""
        loop = self.loop
        return loop is not None and loop.kind == "epoch" and not self.conditions_in(loop)

    @property
    def is_accumulated(self) -> bool:
        """Whether accelerate leaves it out while gradients accumulate, if it is prepared."""
        return any(isinstance(around, Accumulation) for around in self.context)

    @property
    def is_per_batch(self) -> bool:
        """Whether the innermost loop around it runs over batches."""
        return self.loop is not None and self.loop.kind == "batch"

    @property
    def schedulers(self) -> frozenset[SchedulerCreated]:
        """The schedulers it may happen to."""
        return frozenset(thing for thing in self.things if isinstance(thing, SchedulerCreated))

    @property
    def is_sure(self) -> bool:
        """Whether it can happen to nothing but ``schedulers``."""
        return bool(self.schedulers) and UNKNOWN not in self.things

    @property
    def scheduler(self) -> SchedulerCreated | None:
        """The one scheduler it happens to, when there is no doubt."""
        return next(iter(self.schedulers)) if self.is_sure and len(self.schedulers) == 1 else None

    @property
    def arguments(self) -> list[ast.expr]:
        """The arguments of the call."""
        return arguments_of(self.call)

    def conditions_in(self, loop: Loop | None) -> tuple[Condition, ...]:
        """Return the branches between it and a loop around it; all of them without a loop."""
        inside = self.context if loop is None else self.context[self.context.index(loop) + 1 :]
        return tuple(around for around in inside if isinstance(around, Condition))

    def is_deeper_than(self, loop: Loop | None) -> bool:
        """Whether it is in a loop inside ``loop``."""
        return loop in self.loops and self.loop is not loop


@dataclass
class ScriptModel:
    """Everything that was read in one file.

    Args:
        tree: The file.
        lines: Its lines.
        words: Every name in it.
        accumulated: The batches that its accelerator accumulates, if any.
        schedulers: The schedulers that it creates.
        events: What happens, in order.
    """

    tree: ast.Module
    lines: list[str]
    words: frozenset[str]
    accumulated: Length | None = None
    schedulers: list[SchedulerCreated] = field(default_factory=list)
    events: list[ScriptEvent] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.parents: dict[ast.AST, ast.AST] = {}
        waiting: list[ast.AST] = [self.tree]
        for node in waiting:
            # `ctx` and signs, a third of all nodes, have nothing in them
            children = ast.iter_child_nodes(node)
            parts = [part for part in children if not isinstance(part, _SIGNS)]
            self.parents.update(dict.fromkeys(parts, node))
            waiting += parts

    def of(self, *kinds: Kind) -> Iterator[ScriptEvent]:
        """Return the events of some kinds, in order."""
        return (event for event in self.events if event.kind in kinds)

    def steps_of(self, scheduler: SchedulerCreated) -> list[ScriptEvent]:
        """Return the steps that a scheduler may take."""
        return [event for event in self.of("step") if scheduler in event.things]

    def updates_for(self, *schedulers: SchedulerCreated, opaque: bool = True) -> list[ScriptEvent]:
        """Return the updates of the schedulers' optimizers; ``opaque``: probable ones too."""
        kinds: tuple[Kind, ...] = ("update", "train") if opaque else ("update",)
        return [
            event
            for scheduler in schedulers
            for event in self.of(*kinds)
            if _may_be_same(scheduler.optimizers, event.things)
        ]

    def statement_of(self, node: ast.AST) -> ast.stmt:
        """Return the statement that a node is in."""
        while not isinstance(node, ast.stmt):
            node = self.parents[node]
        return node

    def block_of(self, statement: ast.stmt) -> list[ast.stmt]:
        """Return the list of statements that a statement is in."""
        for _, block in ast.iter_fields(self.parents[statement]):
            if isinstance(block, list) and statement in block:
                return block
        return [statement]


def _may_be_same(values: Values, others: Values) -> bool:
    # an unknown optimizer may be any: no rule fires for lack of knowledge alone
    known = values - {UNKNOWN, NOTHING}
    others -= {UNKNOWN, NOTHING}
    return not known or not others or bool(known & others)
