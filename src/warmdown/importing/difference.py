"""Where a scheduler does not do what it documents."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from warmdown.importing.imported import Imported
from warmdown.schedules import Rule

_LENGTHS = 2
"""How many lengths of a schedule are searched for differences."""
_MOST_STEPS = 4096


@dataclass(frozen=True)
class Difference:
    """A stretch of updates on which the original does not do what it documents.

    Args:
        target: The field, and the group where groups differ.
        first: First update of the stretch.
        last: Last update of it that was compared.
        step: Where the two are furthest apart.
        original: What the original uses there.
        corrected: What is documented.
        reason: Why.
    """

    target: str
    first: int
    last: int
    step: int
    original: float
    corrected: float
    reason: str

    def __str__(self) -> str:
        is_one = self.first == self.last
        where = f"update {self.first}" if is_one else f"updates {self.first} to {self.last}"
        return (
            f"{self.target}, {where}: {self.original:.6g} where {self.corrected:.6g} is meant (at "
            f"{self.step}): {self.reason}."
        )


def find_differences(
    imported: Imported, bases: Sequence[float], total: int | None
) -> Iterator[Difference]:
    """Yield each stretch on which the faithful and the corrected rules part."""
    end = max(total or 0, (imported.steps or 0) * (1 if total else _LENGTHS), 1)
    steps = np.unique(np.linspace(0, end, min(end + 1, _MOST_STEPS)).astype(int))
    for name, originals in (imported.faithful or {}).items():
        found: set[tuple[int, int]] = set()
        groups = zip(originals, imported.corrected[name], bases, strict=True)
        for group, (original, corrected, base) in enumerate(groups):
            label = name if group == 0 else f"{name}/{group}"
            for one in _of_group(label, original, corrected, base, steps, imported.reason):
                # what all groups share stands there once
                if (one.first, one.last) not in found:
                    found.add((one.first, one.last))
                    yield one


def _of_group(
    label: str, original: Rule, corrected: Rule, base: float, steps: Any, reason: str
) -> Iterator[Difference]:
    actual = np.asarray(original.value(steps, base))
    meant = np.asarray(corrected.value(steps, base))
    apart = np.abs(actual - meant)
    differs = apart > 1e-9 * max(float(np.abs(meant).max()), 1e-300)
    # each stretch of truth begins and ends where the padded array changes
    edges = np.flatnonzero(np.diff(np.pad(differs, 1).astype(int))).tolist()
    for first, after in zip(edges[::2], edges[1::2], strict=True):
        at = first + int(apart[first:after].argmax())
        where = (int(steps[first]), int(steps[after - 1]), int(steps[at]))
        yield Difference(label, *where, float(actual[at]), float(meant[at]), reason)
