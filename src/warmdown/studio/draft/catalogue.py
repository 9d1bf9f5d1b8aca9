"""The gallery: every shape and recipe, with an example and a small picture of each."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import final

import numpy as np

from warmdown import planfile
from warmdown.errors import WarmdownError
from warmdown.run import Run
from warmdown.schedules import Schedule
from warmdown.schedules.base import PlainData
from warmdown.studio.draft.document import read
from warmdown.studio.draft.fields import Shape, known_shapes
from warmdown.studio.draft.presets import Preset

EXAMPLE_RUN = Run(total_steps=1000, steps_per_epoch=50, lr=1.0)
"""The run that every example is resolved for."""
_POINTS = 60
_WIDTH, _HEIGHT = 100, 32
"""Of a small picture, in its own unit."""
_EXAMPLES = """
chain: {members: [{kind: linear, start: 0, end: 1, steps: 20%}, cosine]}
chebyshev: {order: 3}
clipped: {of: cosine, low: 0.3}
cosine_restarts: {first: 250}
cosine_waves: {cycles: 3}
delayed: {of: cosine, steps: 30%}
exp_hyperbolic: {infimum: 0.01}
exp_range: {up: 150, gamma: 0.998}
exponential_decay: {gamma: 0.9, every: 40}
grafted: {of: {kind: inverse_time, every: 300}, tail: {kind: linear, steps: 20%}}
inverse_sqrt: {timescale: 100}
inverse_time: {rate: 1, every: 100}
milestones: {gamma: 0.4, at: [30%, 60%, 80%]}
named: {kind: linear, name: cooldown}
noam: {d_model: 512, warmup: 200}
noisy: {of: cosine, spread: 0.2, every: 20}
piecewise: {values: [0, 1, 0.3, 0], lengths: [100, 400, 500]}
power: {timescale: 100}
power_law: {warmup: 50, timescale: 50}
product: {factors: [cosine, {kind: staircase, gamma: 0.7, every: 20%}]}
repeat: {of: {kind: cosine, steps: 250}, decay: 0.7}
sawtooth: {period: 200}
skipped: {of: cosine, steps: 30%}
staircase: {gamma: 0.6, every: 20%}
stretched: {of: {kind: linear, steps: 10}}
sum: {terms: [cosine, {kind: constant, value: 0.2}]}
table: {values: [1, 0.5, 0.8, 0.2], at: [250, 500, 750]}
taken: {of: {kind: inverse_time, every: 100}, steps: 50%}
triangle: {up: 500, down: 500}
triangular: {up: 150}
triangular2: {up: 150}
warmup_inverse_sqrt: {warmup: 100}
with_warmup: {schedule: cosine, warmup: 15%}
wsd_s: {checkpoints: 3, end: 0.1}
"""
"""Arguments to begin with, in a run of any length, where the defaults alone say too little."""


@final
@dataclass(frozen=True)
class GalleryEntry:
    """Something to choose.

    Args:
        shape: What it is.
        example: A schedule to begin with.
        path: Its small picture, as the path of an SVG.
    """

    shape: Shape
    example: PlainData
    path: str


@cache
def catalogue() -> tuple[GalleryEntry, ...]:
    """Return every shape and recipe: recipes first, because they are what people search for."""
    entries = [
        GalleryEntry(shape, example := example_data(kind), path_of(example))
        for kind, shape in known_shapes().items()
        if kind != "named"  # a phase has its name as a field
    ]
    return tuple(sorted(entries, key=lambda entry: (not entry.shape.is_recipe, entry.shape.label)))


def searched(words: str) -> Sequence[GalleryEntry]:
    """Return the entries with every word in name or sentence; those with it in the name first."""
    wanted = words.lower().replace("_", " ").split()
    hits = [
        entry
        for entry in catalogue()
        if all(word in f"{entry.shape.label} {entry.shape.summary}".lower() for word in wanted)
    ]
    return sorted(hits, key=lambda entry: not all(word in entry.shape.label for word in wanted))


def example_data(kind: str) -> PlainData:
    """Return a schedule of a kind that shows what it does, as plain data."""
    return {"kind": kind, **_examples().get(kind, {})}


@cache
def _examples() -> dict[str, PlainData]:
    examples: dict[str, PlainData] = planfile.from_yaml(_EXAMPLES).data
    return examples


def example_schedule(data: PlainData) -> Schedule:
    """Return the schedule of plain data, resolved for 1,000 updates.

    Raises:
        WarmdownError: It is none.
    """
    known = planfile.shapes().get(data.get("kind", ""))
    name = "targets" if known and planfile.drives_several(known) else "lr"
    plan = planfile.plan_from_dict({name: data}, run=EXAMPLE_RUN).over()
    return plan.targets[0].rule.schedules()[0]


def path_of(schedule: PlainData) -> str:
    """Return the small picture of a schedule as an SVG path, or nothing when it cannot be drawn."""
    return _path_of_text(json.dumps(schedule))


@lru_cache(maxsize=2_000)
def _path_of_text(text: str) -> str:
    try:
        return _svg_path(example_schedule(json.loads(text)), EXAMPLE_RUN.total_steps)
    except (WarmdownError, ArithmeticError, ValueError):
        return ""


def path_of_situation(preset: Preset) -> str:
    """Return the small picture of a situation: of the first number that its plan drives."""
    plan = planfile.plan_from_dict(read(preset.draft.document).data).over()
    return _svg_path(plan.targets[0].rule.schedules()[0], plan.length)


def _svg_path(schedule: Schedule, stop: int | None) -> str:
    values = np.asarray(schedule(np.linspace(0, stop or 1, _POINTS)))
    low, high = float(np.min(values)), float(np.max(values))
    low = min(low, 0.0) if high > 0 else low
    share = (values - low) / (high - low) if high > low else np.full(values.size, 0.5)
    # one unit from the edges, so that the stroke is not cut
    across = np.linspace(1, _WIDTH - 1, _POINTS)
    up = _HEIGHT - 2 - (_HEIGHT - 4) * share
    return "M" + " L".join(f"{x:.1f} {y:.1f}" for x, y in zip(across, up, strict=True))
