"""What a running job would do: its values before and after, its length, and its loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np

from warmdown.errors import WarmdownError
from warmdown.forecast import Final, Law
from warmdown.plot.view import Line, unit_of

Curves: TypeAlias = Mapping[str, Any]
"""What an :class:`~warmdown.mailbox.Answer` to a trial shows."""


def trial_lines(curves: Curves) -> dict[str, tuple[Line, Line]]:
    """Return each value that changes, before and after, to the end of the run."""
    steps, ends = np.asarray(curves["steps"], dtype=float), curves["ends"]
    found = {}
    for label, values in curves["lines"].items():
        if values["before"] == values["after"] and ends[0] == ends[1]:
            continue
        unit = unit_of(label.partition("/")[0])
        before, after = (
            Line(f"{label} {name}", unit, steps[is_run], np.asarray(values[name], float)[is_run])
            for name, end in zip(("before", "after"), ends, strict=True)
            for is_run in [steps < (np.inf if end is None else end)]
        )
        found[label] = before, after
    return found


def trial_finals(curves: Curves, law: Law) -> dict[str, dict[str, Final]]:
    """Return the predicted loss at the end, before and after, by the rate that it follows.

    Raises:
        ForecastError: The law cannot speak about the rate.
    """
    return {
        label: {name: law.final_of(line.steps, line.values)
                for name, line in zip(("before", "after"), lines, strict=True)}
        for label, lines in trial_lines(curves).items()
        if label.partition("/")[0] == "lr"
    }  # fmt: skip


def trial_sentences(curves: Curves, law: Law | None = None) -> list[str]:
    """Return the run's length and its predicted loss, before and after."""
    before, after = curves["ends"]
    found = [] if trial_lines(curves) else ["No value changes."]
    if before != after:
        now = "has no end" if after is None else f"ends after {after:,} updates"
        was = "it had no end" if before is None else f"it was {before:,}"
        found.append(f"The run {now}; before {was}.")
    try:
        finals = {} if law is None else trial_finals(curves, law)
    except WarmdownError as error:
        return [*found, str(error)]
    for label, final in finals.items():
        found.append(f"Predicted loss at the end by {label}: {final['before']} before, "
                     f"{final['after']} after.")  # fmt: skip
    return found
