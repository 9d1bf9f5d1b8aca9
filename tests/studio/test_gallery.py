"""The gallery: what stands in it, in what order, and that each of it is what its name says."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.optim import lr_scheduler as torchs

import warmdown as wd
from warmdown.planfile import plan_from_dict, shapes
from warmdown.studio.draft.catalogue import (
    OF_RECORD,
    SITUATIONS,
    TORCH,
    GalleryEntry,
    catalogue,
    searched,
)
from warmdown.studio.draft.document import class_paths, read
from warmdown.studio.draft.files import opened, saved_text
from warmdown.studio.preview.preview import preview

UPDATES = 1000
STARTS = [entry for entry in catalogue() if entry.text]
TESTS_OWN = {name for name, shape in shapes().items() if shape.__module__[:9] != "warmdown."}
SCHEDULES = [
    entry
    for entry in catalogue()
    if not entry.text and entry.mark.removeprefix("pick-") not in TESTS_OWN
]
CLASSES: dict[str, Callable[[Any, float], Any]] = {
    "LambdaLR": lambda o, lr: torchs.LambdaLR(o, lambda s: min(s / 100, (1000 - s) / 900)),
    "MultiplicativeLR": lambda o, lr: torchs.MultiplicativeLR(o, lambda s: 0.998),
    "StepLR": lambda o, lr: torchs.StepLR(o, 300),
    "MultiStepLR": lambda o, lr: torchs.MultiStepLR(o, [500, 750]),
    "ConstantLR": lambda o, lr: torchs.ConstantLR(o, total_iters=200),
    "LinearLR": lambda o, lr: torchs.LinearLR(o, total_iters=200),
    "ExponentialLR": lambda o, lr: torchs.ExponentialLR(o, 0.997),
    "SequentialLR": lambda o, lr: torchs.SequentialLR(
        o,
        [torchs.LinearLR(o, 0.01, total_iters=100), torchs.CosineAnnealingLR(o, 900)],
        milestones=[100],
    ),
    "PolynomialLR": lambda o, lr: torchs.PolynomialLR(o, 1000, power=2),
    "CosineAnnealingLR": lambda o, lr: torchs.CosineAnnealingLR(o, 1000),
    "ChainedScheduler": lambda o, lr: torchs.ChainedScheduler(
        [torchs.ConstantLR(o, 0.1, total_iters=100), torchs.ExponentialLR(o, 0.997)]
    ),
    "ReduceLROnPlateau": lambda o, lr: torchs.ReduceLROnPlateau(o),
    "CyclicLR": lambda o, lr: torchs.CyclicLR(o, 0.1 * lr, lr, step_size_up=125),
    "OneCycleLR": lambda o, lr: torchs.OneCycleLR(o, lr, total_steps=1000),
    "CosineAnnealingWarmRestarts": lambda o, lr: torchs.CosineAnnealingWarmRestarts(o, 100, 2),
}
"""torch's own, with the arguments that the tiles stand for; in the order of torch's page."""


def sgd(lr: float) -> torch.optim.Optimizer:
    parameter = torch.nn.Parameter(torch.zeros(1))
    parameter.grad = torch.zeros(1)
    return torch.optim.SGD([parameter], lr=lr, momentum=0.9)


def used(optimizer: torch.optim.Optimizer, step: Callable[[int], object]) -> list[list[float]]:
    """Return rate and momentum of each update."""
    rows = []
    with warnings.catch_warnings(action="ignore"):
        for update in range(UPDATES):
            (group,) = optimizer.param_groups
            rows.append([float(group["lr"]), float(group["momentum"])])
            optimizer.step()
            step(update)
    return rows


@pytest.mark.parametrize("name", CLASSES)
def test_a_class_of_torch_s_is_what_torch_s_own_does_over_a_run(name: str) -> None:
    (entry,) = (entry for entry in catalogue() if entry.name == name)
    theirs = sgd(0.3)
    scheduler = CLASSES[name](theirs, 0.3)
    ours = sgd(0.3)
    plan = plan_from_dict(entry.targets, run=wd.Run(total_steps=UPDATES))
    bound = wd.Scheduler(ours, plan)

    def step_theirs(update: int) -> None:
        if not isinstance(scheduler, torchs.ReduceLROnPlateau):
            scheduler.step()
        elif update % 40 == 0:  # as often as a model is evaluated
            scheduler.step(max(1.0, 2.0 - update / 200))

    def step_ours(update: int) -> None:
        if update % 40 == 0 and bound.metrics:
            bound.observe(loss=max(1.0, 2.0 - update / 200))
        bound.step()

    expected = used(theirs, step_theirs)
    np.testing.assert_allclose(used(ours, step_ours), expected, rtol=1e-9, atol=1e-12)
    assert len({tuple(row) for row in expected}) > 1


def test_torch_s_classes_stand_before_all_other_schedules_in_torch_s_own_order() -> None:
    assert [entry.name for entry in SCHEDULES[:15]] == [*CLASSES]
    assert {entry.part for entry in SCHEDULES[:15]} == {TORCH}


@pytest.mark.parametrize("entry", SCHEDULES, ids=lambda entry: entry.mark)
def test_every_schedule_can_be_bound_and_is_drawn(entry: GalleryEntry) -> None:
    assert entry.path.startswith("M")
    assert entry.about
    optimizer = torch.optim.AdamW([torch.zeros(1, requires_grad=True)], lr=1.0)
    wd.Scheduler(optimizer, plan_from_dict(entry.targets, run=wd.Run(total_steps=UPDATES)))


def test_the_picture_of_a_plateau_is_that_of_a_loss_that_stays() -> None:
    (entry,) = searched("ReduceLROnPlateau")
    heights = [float(pair.split()[1]) for pair in entry.path[1:].split(" L")]
    assert len({*heights}) >= 3
    assert heights == sorted(heights)


def test_the_recipes_of_record_are_the_whole_plans_and_what_people_look_for_is_first() -> None:
    assert sorted(entry.text for entry in STARTS) == sorted(
        recipe.text() for recipe in wd.recipes_of_record().values()
    )
    assert [entry.part for entry in STARTS] == [SITUATIONS] * 8 + [OF_RECORD] * (len(STARTS) - 8)
    for entry in STARTS:
        assert entry.source.endswith(tuple(f", {r.date}" for r in wd.recipes_of_record().values()))


@pytest.mark.parametrize("entry", STARTS, ids=lambda entry: entry.mark)
@pytest.mark.parametrize("name", ["plan.yaml", "plan.json"])
def test_a_start_is_a_plan_without_mistakes_and_its_file_opens_as_the_same(
    entry: GalleryEntry, name: str
) -> None:
    again = opened(saved_text(entry.draft, name), name).document
    assert read(again).data == read(entry.draft.document).data
    assert (entry.draft.file, entry.draft.source) == ("", "")
    assert class_paths(again) == {}
    assert entry.path.startswith("M")
    seen = preview(read(again).data, read(again).bases)
    assert seen.mistakes == ()
    assert seen.view.lines


def test_a_lora_and_its_embedding_have_a_rate_each() -> None:
    (entry,) = (entry for entry in STARTS if "LoRA" in entry.name)
    reading = read(entry.draft.document)
    assert reading.bases == {"LoRA": {"lr": 1e-4}, "Embedding": {"lr": 3e-4}}
    rows: Any = [
        {"params": [torch.zeros(1, requires_grad=True)], "name": name, **base}
        for name, base in reading.bases.items()
    ]
    optimizer = torch.optim.AdamW(rows)
    scheduler = wd.Scheduler(optimizer, plan_from_dict(reading.data))
    assert [scheduler.value(499, group=name) for name in reading.bases] == [1e-4, 3e-4]
    assert [scheduler.value(500, group=name) for name in reading.bases] == [1e-4, 0.0]


@pytest.mark.parametrize(
    ("words", "first"),
    [
        ("MultiStepLR", "MultiStepLR"),
        ("multi step", "MultiStepLR"),
        ("one cycle", "OneCycleLR"),
        ("plateau", "ReduceLROnPlateau"),
        ("torch warm restarts", "CosineAnnealingWarmRestarts"),
        ("llama", "llama3-405b"),
        ("fine-tune", "Fine-tune a pretrained model"),
    ],
)
def test_a_search_finds_by_name_part_and_source(words: str, first: str) -> None:
    assert searched(words)[0].name == first


def test_a_search_finds_by_name_before_it_finds_by_sentence() -> None:
    found = [entry.name for entry in searched("cosine")]
    assert found.index("flat cosine") < found.index("swa")
    assert searched("no such thing") == []
    assert len(searched("")) == len(catalogue())
