"""The number that a field comes to: a share of the run in updates, a placeholder in figures."""

from __future__ import annotations

__all__ = ["PLACEHOLDERS", "resolved"]

from warmdown.errors import WarmdownError
from warmdown.expressions import evaluate, has_placeholder, run_facts
from warmdown.plot.formatting import count, number
from warmdown.run import Run

PLACEHOLDERS = ("%LR%", "%EPOCHS%", "%STEPS_PER_EPOCH%", "%TOTAL_STEPS%", "%SCHEDULER_STEPS%")
"""The numbers of the run that OneTrainer's users know."""


def resolved(text: str, run: Run | None) -> str:
    """Return what a text comes to in this run, as ``= 500``; nothing when it says so itself, or cannot.

    Example:
        >>> run = Run(total_steps=10_000, lr=3e-4)
        >>> resolved("5%", run), resolved("%TOTAL_STEPS% * 0.1", run), resolved("%LR%", run), resolved("500", run)
        ('= 500', '= 1,000', '= 3e-4', '')
    """
    plain = text.strip()
    if run is None or not plain or plain.isdecimal():
        return ""
    try:
        if has_placeholder(plain):
            value = evaluate(plain, run_facts(run))
            return f"= {count(value) if value == int(value) and abs(value) >= 1 else number(value)}"
        if not plain[0].isdigit() or plain[-1].isdigit():
            return ""
        measured = run.measure(plain)
    except WarmdownError:
        return ""
    return "" if measured is None else f"= {count(measured)}"
