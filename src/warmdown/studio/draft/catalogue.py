"""Everything that can be chosen, with a small picture of each."""

from __future__ import annotations

__all__ = ["Entry", "catalogue", "example_of", "path_of", "path_of_situation", "searched"]

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, final

import numpy as np

from warmdown.errors import WarmdownError
from warmdown.plan import Plan
from warmdown.planfile.plans import plan_from_dict
from warmdown.run import Run
from warmdown.studio.draft.fields import Shape, shapes
from warmdown.studio.draft.pieces import Piece
from warmdown.studio.draft.presets import Preset
from warmdown.studio.draft.writing import piece_data

_RUN = Run(total_steps=1000, steps_per_epoch=50, lr=1.0)
_POINTS = 60
_EXAMPLES: Mapping[str, tuple[tuple[str, Any], ...]] = {
    "milestones": (("gamma", "0.4"), ("at", "30%, 60%, 80%")),
    "table": (("values", "1, 0.5, 0.8, 0.2"), ("at", "250, 500, 750")),
    "staircase": (("gamma", "0.6"), ("every", "20%")),
    "exponential_decay": (("gamma", "0.9"), ("every", "40")),
    "inverse_time": (("rate", "1"), ("every", "100")),
    "inverse_sqrt": (("timescale", "100"),),
    "warmup_inverse_sqrt": (("warmup", "100"),),
    "power": (("timescale", "100"),),
    "power_law": (("warmup", "50"), ("timescale", "50")),
    "triangle": (("up", "500"), ("down", "500")),
    "repeat": (("of", Piece("cosine", (("steps", "250"),))), ("decay", "0.7")),
    "chebyshev": (("order", "3"),),
    "chain": (
        (
            "members",
            (Piece("linear", (("start", "0"), ("end", "1"), ("steps", "20%"))), Piece("cosine")),
        ),
    ),
    "product": (
        ("factors", (Piece("cosine"), Piece("staircase", (("gamma", "0.7"), ("every", "20%"))))),
    ),
    "sum": (("terms", (Piece("cosine", (("end", "0"),)), Piece("constant", (("value", "0.2"),)))),),
    "clipped": (("of", Piece("cosine")), ("low", "0.3")),
    "stretched": (("of", Piece("linear", (("steps", "10"),))),),
    "delayed": (("of", Piece("cosine")), ("steps", "30%")),
    "skipped": (("of", Piece("cosine")), ("steps", "30%")),
    "taken": (("of", Piece("inverse_time", (("every", "100"),))), ("steps", "50%")),
    "grafted": (
        ("of", Piece("inverse_time", (("every", "300"),))),
        ("tail", Piece("linear", (("steps", "20%"),))),
    ),
    "noisy": (("of", Piece("cosine")), ("spread", "0.2"), ("every", "20")),
    "noam": (("d_model", "512"), ("warmup", "200")),
    "with_warmup": (("schedule", Piece("cosine")), ("warmup", "15%")),
    "triangular": (("up", "150"),),
    "triangular2": (("up", "150"),),
    "exp_range": (("up", "150"), ("gamma", "0.998")),
    "sawtooth": (("period", "200"),),
    "cosine_restarts": (("first", "250"),),
    "cosine_waves": (("cycles", "3"),),
    "piecewise": (("values", "0, 1, 0.3, 0"), ("lengths", "100, 400, 500")),
    "exp_hyperbolic": (("infimum", "0.01"),),
    "wsd_s": (("checkpoints", "3"), ("end", "0.1")),
}
"""What to begin with, in a run of any length, where the defaults alone say too little."""


@final
@dataclass(frozen=True)
class Entry:
    """Something to choose.

    Args:
        shape: What it is.
        example: A piece to begin with.
        path: Its small picture, as the path of an SVG.
    """

    shape: Shape
    example: Piece
    path: str


@cache
def catalogue() -> tuple[Entry, ...]:
    """Return every shape and recipe: recipes first, because they are what people search for."""
    found = [
        Entry(known, example_of(kind), path_of(example_of(kind)))
        for kind, known in shapes().items()
    ]
    return tuple(sorted(found, key=lambda entry: (not entry.shape.is_recipe, entry.shape.label)))


def searched(words: str) -> Sequence[Entry]:
    """Return the entries that have every word in their name or sentence; those that have it in their name first."""
    wanted = words.lower().replace("_", " ").split()
    hits = [entry for entry in catalogue() if all(word in _text(entry) for word in wanted)]
    return sorted(hits, key=lambda entry: not all(word in entry.shape.label for word in wanted))


def example_of(kind: str) -> Piece:
    """Return a piece of a kind that shows what it does."""
    known = shapes()[kind]
    given = tuple((name, value) for name, value in _EXAMPLES.get(kind, ()) if known.field(name))
    return Piece(kind, given)


@cache
def path_of(piece: Piece, width: int = 100, height: int = 32) -> str:
    """Return the small picture of a schedule as an SVG path, or nothing when it cannot be drawn."""
    try:
        plan = _plan(piece)
        target = plan.targets[0]
        values = np.asarray(target.rule.value(np.linspace(0, _RUN.total_steps or 1, _POINTS), 1.0))
    except (WarmdownError, ArithmeticError, ValueError):
        return ""
    low, high = float(np.min(values)), float(np.max(values))
    low = min(low, 0.0) if high > 0 else low
    share = (values - low) / (high - low) if high > low else np.full(values.size, 0.5)
    across = np.linspace(1, width - 1, _POINTS)
    return "M" + " L".join(
        f"{x:.1f} {height - 2 - (height - 4) * y:.1f}" for x, y in zip(across, share, strict=True)
    )


def path_of_situation(preset: Preset) -> str:
    """Return the small picture of a situation: of the first number that its plan drives."""
    track = preset.draft.tracks[0]
    if preset.like is not None or (len(track.phases) == 1 and not track.warmup):
        return path_of(preset.like or track.phases[0])
    warmup = Piece("linear", (("start", "0"), ("end", "1"), ("steps", "5%")))
    return path_of(
        Piece("chain", (("members", (*([warmup] if track.warmup else []), *track.phases)),))
    )


def _plan(piece: Piece) -> Plan:
    data = piece_data(piece)
    try:
        return plan_from_dict({"lr": data}, run=_RUN).over()
    except WarmdownError:
        return plan_from_dict({"targets": data}, run=_RUN).over()


def _text(entry: Entry) -> str:
    return f"{entry.shape.label} {entry.shape.summary}".lower()
