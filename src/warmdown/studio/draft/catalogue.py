"""The gallery: whole plans, torch's classes, and every shape and recipe, each with a picture."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import final

import numpy as np

from warmdown import planfile
from warmdown.errors import WarmdownError
from warmdown.plan import Plan
from warmdown.planfile.plans import TARGETS
from warmdown.run import Run
from warmdown.schedules import Schedule
from warmdown.schedules.base import PlainData
from warmdown.schedules.feedback import feedbacks, observed
from warmdown.studio.draft.document import Draft
from warmdown.studio.draft.fields import known_shapes
from warmdown.studio.draft.files import document_from, opened

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


_SITUATIONS = {
    "alpaca": "Fine-tune a pretrained model",
    "nanogpt": "Train a language model from scratch",
    "fastai-one-cycle": "Train an image classifier in little time",
    "autoresearch": "Train as long as there is time",
    "smollm3": "Go on training, end unknown",
    "cog-sdxl": "Diffusion LoRA with its own embedding rate",
    "dino": "Self-supervised vision transformer",
    "fastai-lr-find": "Find a good rate",
}
"""What people look for, and the recipe of record that stands for it."""
_CLASSES = """
LambdaLR:
  about: A factor of your own for each update, here a warmup and a straight way down.
  lr:
  - {kind: linear, start: 0, end: 1, steps: 10%, name: warmup}
  - {kind: linear, name: decay}
MultiplicativeLR:
  about: The rate times a factor at each update, here always the same one.
  lr: {kind: exponential_decay, gamma: 0.998}
StepLR:
  about: A factor gamma at every so many updates.
  lr: {kind: staircase, gamma: 0.1, every: 30%}
MultiStepLR:
  about: A factor gamma at each milestone.
  lr: {kind: milestones, gamma: 0.1, at: [50%, 75%]}
ConstantLR:
  about: A fixed share of the rate at first, then the rate itself.
  lr:
  - {kind: constant, value: 0.3333333333333333, steps: 20%, name: share}
  - {kind: constant, value: 1}
LinearLR:
  about: A straight way up from a share of the rate, a warmup.
  lr:
  - {kind: linear, start: 0.3333333333333333, end: 1, steps: 20%, name: warmup}
  - {kind: constant, value: 1}
ExponentialLR:
  about: A factor gamma at every update.
  lr: {kind: exponential_decay, gamma: 0.997}
SequentialLR:
  about: Schedules one after the other, here a warmup and half a cosine.
  lr:
  - {kind: linear, start: 0.01, end: 1, steps: 10%, name: warmup}
  - {kind: cosine, name: decay}
PolynomialLR:
  about: A power of the way still to go.
  lr: {kind: polynomial, power: 2}
CosineAnnealingLR:
  about: Half a cosine wave down to eta_min.
  lr: {kind: cosine, end: 0}
ChainedScheduler:
  about: Schedules multiplied, here a share of the rate at first and an exponential decay.
  lr:
    kind: product
    factors:
    - [{kind: constant, value: 0.1, steps: 10%, name: share}, {kind: constant, value: 1}]
    - {kind: exponential_decay, gamma: 0.997}
ReduceLROnPlateau:
  about: A factor when a metric stops improving; drawn for a loss that falls, then stays.
  lr: {kind: plateau, factor: 0.1, patience: 10}
CyclicLR:
  about: Up and down between two rates, while the momentum goes the other way.
  lr: {kind: triangular, low: 0.1, high: 1, up: 125}
  momentum: {set: {kind: triangular, low: 0.9, high: 0.8, up: 125}}
OneCycleLR:
  about: One cycle up to max_lr and down to almost nothing, while the momentum goes the other way.
  lr:
  - {kind: cosine, start: 0.04, end: 1, steps: 0.3 * %TOTAL_STEPS% - 1, name: warmup}
  - {kind: cosine, start: 1, end: 4e-6, steps: 0.7 * %TOTAL_STEPS%, name: decay}
  momentum:
    set:
    - {kind: cosine, start: 0.95, end: 0.85, steps: 0.3 * %TOTAL_STEPS% - 1, name: lower}
    - {kind: cosine, start: 0.85, end: 0.95, steps: 0.7 * %TOTAL_STEPS%, name: back}
CosineAnnealingWarmRestarts:
  about: Half a cosine again and again, each T_mult times as long.
  lr: {kind: cosine_restarts, first: 10%, grow: 2}
"""
"""torch's classes as schedules of ours, in the order of torch's own page; rates are shares."""
SITUATIONS, OF_RECORD = "Common situations", "Published runs"
TORCH, RECIPES, SHAPES = "Classes of torch.optim.lr_scheduler", "Recipes", "Shapes"
"""The parts of the gallery: whole plans, then schedules."""


@final
@dataclass(frozen=True)
class GalleryEntry:
    """Something to choose.

    Args:
        part: The part of the gallery that it stands in.
        mark: Its name on the page.
        name: Its name for people.
        about: What it is, in a sentence.
        path: Its small picture, as the path of an SVG.
        targets: Of a schedule: the rule of each number that it drives.
        text: Of a whole plan: its file.
        source: Of a published one: where its numbers stand, and the date.
    """

    part: str
    mark: str
    name: str
    about: str
    path: str
    targets: PlainData = field(default_factory=dict)
    text: str = ""
    source: str = ""

    @property
    def draft(self) -> Draft:
        """What the page shows when a whole plan is chosen."""
        return Draft(opened(self.text).document)


@cache
def catalogue() -> tuple[GalleryEntry, ...]:
    """Return everything that can be chosen, in the order of the parts."""
    shapes = sorted(_shapes_and_recipes(), key=lambda entry: (entry.part == SHAPES, entry.name))
    return (*_whole_plans(), *_classes_of_torch(), *shapes)


def _whole_plans() -> Iterator[GalleryEntry]:
    recipes = planfile.recipes_of_record()
    others = (name for name in recipes if name not in _SITUATIONS)
    for number, name in enumerate((*_SITUATIONS, *others)):
        recipe, title = recipes[name], _SITUATIONS.get(name)
        note = f"{recipe.note[:1].upper()}{recipe.note[1:]}." if title and recipe.note else ""
        yield GalleryEntry(
            SITUATIONS if title else OF_RECORD,
            f"preset-{number}" if title else f"recipe-{name}",
            title or name,
            f"{recipe.purpose[:1].upper()}{recipe.purpose[1:]}. {note}".strip(),
            _curve_path(planfile.loads(recipe.text())),
            text=recipe.text(),
            source=f"{recipe.source}, {recipe.date}",
        )


def _classes_of_torch() -> Iterator[GalleryEntry]:
    for name, data in planfile.from_yaml(_CLASSES).data.items():
        targets = {field: rule for field, rule in data.items() if field != "about"}
        path = _curve_path(planfile.plan_from_dict(targets, run=EXAMPLE_RUN))
        yield GalleryEntry(TORCH, f"pick-{name}", name, data["about"], path, targets)


def _shapes_and_recipes() -> Iterator[GalleryEntry]:
    for kind, shape in known_shapes().items():
        if kind == "named":  # a phase has its name as a field
            continue
        example = example_data(kind)
        targets = {"lr": example}
        if shape.drives_several:
            targets = document_from({TARGETS: example})["plan"]
        part, path = RECIPES if shape.is_recipe else SHAPES, path_of(example)
        yield GalleryEntry(part, f"pick-{kind}", shape.label, shape.summary, path, targets)


def searched(words: str) -> Sequence[GalleryEntry]:
    """Return the entries with every word in name or sentence; those with it in the name first."""
    wanted = words.lower().replace("_", " ").split()

    def has(text: str) -> bool:
        # OneCycleLR is found by "one cycle", too
        known = f"{text} {re.sub('(?<=[a-z])(?=[A-Z])', ' ', text)}".lower()
        return all(word in known for word in wanted)

    hits = [
        entry
        for entry in catalogue()
        if has(f"{entry.part} {entry.name} {entry.about} {entry.source}")
    ]
    return sorted(hits, key=lambda entry: not has(entry.name))


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


def _curve_path(plan: Plan) -> str:
    """Return the small picture of a plan: of the first number that it drives."""
    plan = plan.over()
    return _svg_path(plan.targets[0].rule.schedules()[0], plan.length)


def _svg_path(schedule: Schedule, stop: int | None) -> str:
    steps = np.linspace(0, stop or 1, _POINTS)
    for metric in {one.metric for one in feedbacks(schedule)}:
        for step in steps:  # what follows a metric is drawn for one that falls, then stays
            value = max(1 - step / (stop or 1), 0.8)
            schedule = observed(schedule, float(step), {metric: value})
    values = np.asarray(schedule(steps))
    low, high = float(np.min(values)), float(np.max(values))
    low = min(low, 0.0) if high > 0 else low
    share = (values - low) / (high - low) if high > low else np.full(values.size, 0.5)
    # one unit from the edges, so that the stroke is not cut
    across = np.linspace(1, _WIDTH - 1, _POINTS)
    up = _HEIGHT - 2 - (_HEIGHT - 4) * share
    return "M" + " L".join(f"{x:.1f} {y:.1f}" for x, y in zip(across, up, strict=True))
