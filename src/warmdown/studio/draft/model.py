"""The draft: what is typed so far, right or wrong. It is frozen, so that old ones can return."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias, final

from warmdown.plan import EVERY_GROUP

FOREIGN = "class"
"""The kind of a schedule that is a class of another library."""
Typed: TypeAlias = "str | ScheduleDraft | tuple[ScheduleDraft, ...]"
"""A parameter as typed: a text, a schedule, or several schedules."""


@final
@dataclass(frozen=True)
class ScheduleDraft:
    """A schedule as typed.

    Args:
        kind: The word of a shape or recipe, or ``FOREIGN``.
        arguments: The parameters that were typed, by name; the others keep their defaults.
        name: Of the phase; empty for the name that its direction gives.
        path: The dotted path of a foreign class.
        steps: Length of a foreign class as a phase; empty for the rest of the run.
    """

    kind: str
    arguments: tuple[tuple[str, Typed], ...] = field(default=(), metadata={"stored": "given"})
    name: str = ""
    path: str = ""
    steps: str = ""

    @property
    def is_foreign(self) -> bool:
        """Whether it is a class of another library."""
        return self.kind == FOREIGN

    def get(self, parameter: str) -> Typed | None:
        """Return what was typed for a parameter, or ``None``."""
        return dict(self.arguments).get(parameter)

    def with_argument(self, parameter: str, value: Typed) -> ScheduleDraft:
        """Return the schedule with one argument in its place; an empty text takes it out."""
        arguments = {**dict(self.arguments), parameter: value}
        if value == "":
            del arguments[parameter]
        return replace(self, arguments=tuple(arguments.items()))

    def inner(self) -> Iterator[ScheduleDraft]:
        """Yield the schedule, and every schedule inside it."""
        yield self
        for _, value in self.arguments:
            for part in value if isinstance(value, tuple) else (value,):
                if isinstance(part, ScheduleDraft):
                    yield from part.inner()


@final
@dataclass(frozen=True)
class TargetDraft:
    """One number that is driven, as a row of phases.

    Args:
        field: ``lr``, ``weight_decay``, ``momentum``, ``betas[0]`` …
        groups: Name or pattern of the groups it is for.
        meaning: Whether the value multiplies the base value (``"scale"``) or replaces it
            (``"set"``).
        warmup: Length of a warmup before the phases; empty for none.
        phases: In order; empty while nothing is chosen.
        low: Absolute lower bound of a scaled value; empty for none.
        offset: Added to a scaled value, in the field's unit.
    """

    field: str = "lr"
    groups: str = EVERY_GROUP
    meaning: Literal["scale", "set"] = "scale"
    warmup: str = ""
    phases: tuple[ScheduleDraft, ...] = ()
    low: str = ""
    offset: ScheduleDraft | None = None

    @property
    def label(self) -> str:
        """The name in pictures and lists: ``lr``, or ``lr/decoder.*``."""
        return self.field if self.groups == EVERY_GROUP else f"{self.field}/{self.groups}"


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
    """The length of the run, as typed.

    Args:
        total_steps: Optimizer updates; empty where epochs and batches give them.
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


@final
@dataclass(frozen=True)
class Draft:
    """Everything on the page that belongs to the plan.

    Args:
        run: Its length.
        groups: The rows of parameter groups.
        targets: The numbers that are driven.
        after_end: ``"hold"`` or ``"raise"``.
        count: ``"updates"`` or ``"attempts"``.
    """

    run: RunTexts = RunTexts()
    groups: tuple[Group, ...] = (Group(),)
    targets: tuple[TargetDraft, ...] = field(
        default=(TargetDraft(),), metadata={"stored": "tracks"}
    )
    after_end: str = "hold"
    count: str = "updates"

    @property
    def is_empty(self) -> bool:
        """Whether no schedule was chosen yet."""
        return not any(target.phases for target in self.targets)

    def schedules(self) -> Iterator[ScheduleDraft]:
        """Yield every schedule in it, at any depth."""
        for target in self.targets:
            for phase in (*target.phases, target.offset):
                if phase is not None:
                    yield from phase.inner()

    def class_paths(self) -> tuple[str, ...]:
        """Return the paths of the foreign classes in it, each once."""
        return tuple(dict.fromkeys(one.path for one in self.schedules() if one.is_foreign))
