"""What happens in a script, as far as a reader can tell: what is made, what is stepped, inside which loops."""

from __future__ import annotations

__all__ = [
    "NOTHING",
    "Birth",
    "Condition",
    "Event",
    "Length",
    "Loader",
    "Loop",
    "Optimizer",
    "Scene",
    "UNKNOWN",
    "What",
]

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from warmdown.lint.words import LOADER

What: TypeAlias = Literal["birth", "step", "update", "train", "touch", "get_lr"]
"""Made; ``scheduler.step()``; ``optimizer.step()``; a call that probably trains; one that is given the optimizer;
``scheduler.get_lr()``."""


@dataclass(frozen=True)
class Length:
    """What can be said about a number in a script without running it.

    Args:
        text: The expression, with the names replaced by what was assigned to them.
        number: Its value, when it is a plain number.
        words: Every name on the way to it.
        loaders: The data loaders whose ``len`` is in it.
        is_divided: Whether it was divided by the number of accumulated batches.
    """

    text: str
    number: float | None = None
    words: frozenset[str] = frozenset()
    loaders: frozenset[Loader] = frozenset()
    is_divided: bool = False

    @property
    def counts_batches(self) -> bool:
        """Whether it was made from the length of a loader, or from steps per epoch."""
        sized = "len(" in self.text and any(map(LOADER.search, self.words))
        return bool(self.loaders) or sized or any("per_epoch" in word for word in self.words)


@dataclass(eq=False)
class Loader:
    """A data loader; ``is_share`` when accelerate has left it one process's share of the batches."""

    is_share: bool = False


@dataclass(eq=False)
class Optimizer:
    """An optimizer."""


@dataclass(eq=False)
class Birth:
    """A scheduler, where it was made.

    Args:
        name: Its class or factory, without the path.
        library: ``torch`` or ``transformers``.
        call: The call that made it.
        arguments: The call's arguments by name, as far as the signature is known.
        lengths: The arguments that are numbers.
        optimizers: What its optimizer may be; empty when it was never seen to be made.
        when: The moment of birth.
        context: Loops and conditions around it.
        root: The function that was being read, when no other calls it.
        has_escaped: Whether it went where it can not be followed.
        is_prepared: Whether accelerate has taken it over.
    """

    name: str
    library: str
    call: ast.Call
    arguments: dict[str, ast.expr]
    lengths: dict[str, Length]
    optimizers: frozenset[object]
    when: int
    context: tuple[Loop | Condition, ...]
    root: int
    has_escaped: bool = False
    is_prepared: bool = False


@dataclass(eq=False)
class Loop:
    """A loop that is being run.

    Args:
        node: The statement.
        kind: ``epoch``, ``batch`` or ``other``.
        bound: The stop of its ``range``.
        count: How often it runs, when that is a plain number.
        loaders: The data loaders that it iterates over.
    """

    node: ast.For | ast.AsyncFor | ast.While
    kind: Literal["epoch", "batch", "other"]
    bound: Length | None = None
    count: float | None = None
    loaders: frozenset[Loader] = frozenset()

    @property
    def may_end_early(self) -> bool:
        """Whether a ``break`` or ``return`` stands in it."""
        return any(isinstance(node, ast.Break | ast.Return) for node in ast.walk(self.node))


@dataclass(eq=False)
class Condition:
    """A branch that is taken or not; ``words`` are the names that decide."""

    node: ast.AST
    words: frozenset[str] = frozenset()


NOTHING = object()
"""The value ``None``."""
UNKNOWN = object()
"""A value that cannot be known."""


@dataclass(eq=False)
class Event:
    """Something that happens, in the order in which a run meets it.

    Args:
        what: What happens.
        to: What it may happen to: births, optimizers, ``UNKNOWN``.
        call: The call.
        context: Loops and conditions around it, the outermost first.
        when: The moment.
        root: The function that was being read, when no other calls it.
    """

    what: What
    to: frozenset[object]
    call: ast.Call
    context: tuple[Loop | Condition, ...]
    when: int
    root: int

    @property
    def loops(self) -> tuple[Loop, ...]:
        """The loops around it, the outermost first."""
        return tuple(around for around in self.context if isinstance(around, Loop))

    @property
    def births(self) -> frozenset[Birth]:
        """The schedulers it may happen to."""
        return frozenset(thing for thing in self.to if isinstance(thing, Birth))

    @property
    def is_sure(self) -> bool:
        """Whether it can happen to nothing but the schedulers in ``births``."""
        return bool(self.births) and UNKNOWN not in self.to

    def conditions_in(self, loop: Loop | None) -> tuple[Condition, ...]:
        """Return the branches between it and ``loop``; those around everything when there is no loop."""
        inside = self.context if loop is None else self.context[self.context.index(loop) + 1 :]
        return tuple(around for around in inside if isinstance(around, Condition))


@dataclass
class Scene:
    """Everything that a reader has seen in one file."""

    tree: ast.Module
    lines: list[str] = field(default_factory=list)
    births: list[Birth] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    words: frozenset[str] = frozenset()
    parents: dict[ast.AST, ast.AST] = field(default_factory=dict)

    def of(self, *what: What) -> Iterator[Event]:
        """Return the events of some kinds, in order."""
        return (event for event in self.events if event.what in what)

    def steps_of(self, birth: Birth) -> list[Event]:
        """Return the steps that a scheduler may take."""
        return [event for event in self.of("step") if birth in event.to]

    def updates_for(self, birth: Birth, *, opaque: bool = True) -> list[Event]:
        """Return the updates of a scheduler's optimizer; ``opaque`` calls that probably train count too."""
        kinds: tuple[What, ...] = ("update", "train") if opaque else ("update",)
        return [event for event in self.of(*kinds) if _may_meet(birth.optimizers, event.to)]

    def statement_of(self, node: ast.AST) -> ast.stmt:
        """Return the statement that ``node`` stands in."""
        while not isinstance(node, ast.stmt):
            node = self.parents[node]
        return node

    def block_of(self, statement: ast.stmt) -> list[ast.stmt]:
        """Return the statements among which ``statement`` stands."""
        for _, held in ast.iter_fields(self.parents[statement]):
            if isinstance(held, list) and statement in held:
                return held
        return [statement]


def _may_meet(mine: frozenset[object], theirs: frozenset[object]) -> bool:
    known = mine - {UNKNOWN, NOTHING}
    others = theirs - {UNKNOWN, NOTHING}
    return not known or not others or bool(known & others)
