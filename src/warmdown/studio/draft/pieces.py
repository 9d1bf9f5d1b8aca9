"""What a person has typed so far, right or wrong: frozen, so that every edit is a new draft and old ones can return."""

from __future__ import annotations

__all__ = ["EVERY", "FOREIGN", "Draft", "Given", "Group", "Piece", "RunTexts", "Track"]

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Literal, TypeAlias, final

from warmdown.plan import EVERY_GROUP

EVERY = EVERY_GROUP
FOREIGN = "class"
"""The kind of a piece that is a class of another library."""
Given: TypeAlias = "str | Piece | tuple[Piece, ...]"
"""A parameter as typed: a text, a schedule, or several schedules."""


@final
@dataclass(frozen=True)
class Piece:
    """A schedule as typed.

    Args:
        kind: The word of a shape or recipe, or ``FOREIGN``.
        given: The parameters that were typed, each with its name; the others keep their defaults.
        name: What the phase is called; empty for the name that its direction gives.
        path: The dotted path of a foreign class.
        steps: How long a foreign class is a phase for; empty for the rest of the run.
    """

    kind: str
    given: tuple[tuple[str, Given], ...] = ()
    name: str = ""
    path: str = ""
    steps: str = ""

    @property
    def is_foreign(self) -> bool:
        """Whether it is a class of another library."""
        return self.kind == FOREIGN

    def get(self, parameter: str) -> Given | None:
        """Return what was typed for a parameter, or ``None``."""
        return dict(self.given).get(parameter)

    def inner(self) -> Iterator[Piece]:
        """Yield the piece, and every piece inside it."""
        yield self
        for _, value in self.given:
            for part in value if isinstance(value, tuple) else (value,):
                if isinstance(part, Piece):
                    yield from part.inner()


@final
@dataclass(frozen=True)
class Track:
    """One number that is driven, as a row of phases.

    Args:
        field: ``lr``, ``weight_decay``, ``momentum``, ``betas[0]`` …
        groups: Name or pattern of the groups it is for.
        meaning: Whether the value multiplies the base value (``"scale"``) or is the value
            (``"set"``).
        warmup: Length of a warmup on top of the phases; empty for none.
        phases: The phases, in order; empty while nothing is chosen.
        low: Absolute lower bound of a scaled value; empty for none.
        offset: What is added to a scaled value, in the field's unit.
    """

    field: str = "lr"
    groups: str = EVERY
    meaning: Literal["scale", "set"] = "scale"
    warmup: str = ""
    phases: tuple[Piece, ...] = ()
    low: str = ""
    offset: Piece | None = None

    @property
    def label(self) -> str:
        """The name in pictures and lists: ``lr``, or ``lr/decoder.*``."""
        return self.field if self.groups == EVERY else f"{self.field}/{self.groups}"

    def pieces(self) -> Iterator[Piece]:
        """Yield every schedule in it, at any depth."""
        for phase in (*self.phases, *([self.offset] if self.offset else [])):
            yield from phase.inner()


@final
@dataclass(frozen=True)
class Group:
    """A parameter group and its base values.

    Args:
        name: As in the optimizer.
        bases: Field and base value, as typed: ``(("lr", "1e-4"),)``.
    """

    name: str = ""
    bases: tuple[tuple[str, str], ...] = (("lr", ""),)

    def base(self, field: str) -> str:
        """Return what was typed for a field, or nothing."""
        return dict(self.bases).get(field, "")


@final
@dataclass(frozen=True)
class RunTexts:
    """How long the run is, as typed.

    Args:
        total_steps: Optimizer updates; empty when epochs and batches say it.
        epochs: Passes over the data.
        batches: Batches in an epoch, as one process counts them.
        accumulation: Batches that make one update.
        processes: Processes that train together.
        batch_size: Samples of a batch of one process.
        tokens: Tokens of a sample.
        seconds_per_step: Seconds of an update.
        budget: Length in another clock's unit: ``2h``, ``2e12tok``.
        clock: What schedules are a function of.
    """

    total_steps: str = ""
    epochs: str = ""
    batches: str = ""
    accumulation: str = ""
    processes: str = ""
    batch_size: str = ""
    tokens: str = ""
    seconds_per_step: str = ""
    budget: str = ""
    clock: str = ""

    @property
    def is_empty(self) -> bool:
        """Whether nothing was typed."""
        return not any(getattr(self, field.name) for field in fields(self))


@final
@dataclass(frozen=True)
class Draft:
    """Everything on the page that belongs to the plan.

    Args:
        run: How long it is.
        groups: The rows of parameter groups.
        tracks: The numbers that are driven.
        after_end: ``"hold"`` or ``"raise"``.
        count: ``"updates"`` or ``"attempts"``.
    """

    run: RunTexts = RunTexts()
    groups: tuple[Group, ...] = (Group(),)
    tracks: tuple[Track, ...] = (Track(),)
    after_end: str = "hold"
    count: str = "updates"

    @property
    def is_empty(self) -> bool:
        """Whether no schedule was chosen yet."""
        return not any(track.phases for track in self.tracks)

    def pieces(self) -> Iterator[Piece]:
        """Yield every schedule in it, at any depth."""
        for track in self.tracks:
            yield from track.pieces()

    def foreign(self) -> tuple[str, ...]:
        """Return the class paths in it, each once."""
        return tuple(dict.fromkeys(piece.path for piece in self.pieces() if piece.is_foreign))
