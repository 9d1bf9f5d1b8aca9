"""The result of a check: a code, where, the numbers, what is wrong and the way out."""

from __future__ import annotations

__all__ = ["CODES", "Finding", "Findings", "Severity"]

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, final

from warmdown.errors import printable

Severity: TypeAlias = Literal["error", "warning", "note"]
"""``error``: it cannot be used; ``warning``: it hardly does what was meant; ``note``: no fault."""

CODES: Mapping[str, str] = {
    "cycle-cut-off": "The run ends in the middle of a cycle.",
    "does-not-fit": "The phases are longer than the run.",
    "empty-phase": "A phase has no update.",
    "factors-as-values": "A rate peaks at exactly 1, as factors do.",
    "far-above-base": "A factor is above ten times the base value.",
    "far-below-base": "A factor stays so small that it was probably meant as the value itself.",
    "holds-early": "The decay ends, and the run goes on at its last value.",
    "jump": "The value leaps where one phase follows another.",
    "long-warmup": "More than half of the run is warmup.",
    "mark-beyond-end": "A milestone lies at or beyond the end of the run.",
    "needs-bind": "Nothing but the caller's own code can change this.",
    "needs-loader": "What reads the data has to follow this.",
    "negative": "A value falls below zero.",
    "never-moves": "The value is the same all along, although a curve was written.",
    "never-reaches-end": "The last update is far from the end value.",
    "no-end": "The clock is not updates, and the run has no end on it.",
    "not-finite": "A value is infinite or undefined.",
    "not-measurable": "A length needs a fact that the run does not have.",
    "other-batch": "The batch begins at another size than the run says.",
    "out-of-range": "A momentum or beta reaches 1.",
    "preview": "Another library's class is only looked at.",
    "rises-again": "The rate rises again after it fell, and nothing repeats.",
    "shadowed": "An earlier pattern takes every group of this one.",
    "unknown-length": "The run has no length.",
    "unlikely-name": "The target's name is close to a known field, but is not one.",
    "zero-base": "A schedule scales a base value of 0.",
    "zero-first-update": "The first update uses zero.",
    "zero-updates": "Several updates use zero.",
}
"""Every code, and what it means in one line."""


@final
@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that a plan should not be run with, or that is good to know before.

    Args:
        code: Which check found it; one of ``CODES``, or that of a warning.
        severity: ``error``, ``warning`` or ``note``.
        message: What is wrong, with the numbers, and the way out.
        target: ``lr``, ``lr/decoder.*``; empty where it is about the whole plan.
        step: The update it happens at, if it has one.
        numbers: The numbers of the message, by name.
    """

    code: str
    severity: Severity
    message: str
    target: str = ""
    step: int | None = None
    numbers: Mapping[str, float] = field(default_factory=dict, hash=False)

    def __str__(self) -> str:
        where = f"{self.target}: " if self.target else ""
        return printable(f"{self.severity}[{self.code}] {where}{self.message}", as_line=True)

    def to_dict(self) -> dict[str, Any]:
        """Return the finding as plain data."""
        return {**vars(self), "numbers": dict(self.numbers)}


Findings: TypeAlias = Iterator[Finding]
"""What one check finds."""
