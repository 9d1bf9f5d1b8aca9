"""Recipes of record: each against its source's formula, at every update that is looked at."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from html import unescape
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from docs import make_recipes

import warmdown as wd
from warmdown import plot
from warmdown.cli.main import main
from warmdown.errors import SpecError

Source = Callable[[int, int], float]
"""The rate or another number at an update of a run of so many."""
RECIPES = wd.recipes_of_record()
TOKENS = 12_582_912
"""Of deepseek-v3's first batch."""


def nanochat(step: int, total: int) -> float:
    warmdown = round(0.65 * total)
    if step < 40:
        return (step + 1) / 40
    if step <= total - warmdown:
        return 1.0
    share = (total - step) / warmdown
    return share + (1 - share) * 0.05


def nanochat_momentum(step: int, total: int) -> float:
    warmdown = round(0.65 * total)
    if step < 400:
        return (1 - step / 400) * 0.85 + step / 400 * 0.97
    share = max(0.0, (step - (total - warmdown)) / warmdown)
    return 0.97 * (1 - share) + 0.90 * share


def modded_rate(step: int, total: int) -> float:
    scheduled = total - 15
    ends = [round(scheduled / 3), round(2 * scheduled / 3), scheduled]
    stage = next((rate for rate, end in zip((1, 1.52, 1.73), ends, strict=True) if step < end), 1.0)
    start = int(scheduled * (1 - 0.6))
    if step < start:
        return stage
    share = min(1.0, (step - start) / (scheduled - start))
    return stage * (1 - share) + 0.15 * share


def modded_momentum(step: int, total: int) -> float:
    if step < 300:
        return 0.85 + step / 300 * 0.1
    return 0.95 - max(0.0, (step - (total - 50)) / 50) * 0.1


def power(step: int, _: int) -> float:
    low, top = 1e-5, 0.03
    if step < 100:
        return low + (top - low) * step / 99
    if step <= 199:
        return top
    if step > 3200:
        return low
    return low + (top - low) * float(1 - ((step - 199) / 3001) ** 0.4)


def fast_slow(step: int, _: int) -> float:
    if step < 200:
        return 0.03 * min(step + 1, 100) / 100
    if step < 1750:
        return 0.03 + (0.006 - 0.03) * float(((step - 200) / 1550) ** 0.6)
    return 0.006 * (1 - (step - 1750) / 1375)


def olmo(step: int, total: int) -> float:
    now = step + 1  # the count is raised before the rate is asked for
    if now < 2000:
        return now / 2000
    share = (now - 2000) / (total - 2000)
    return 0.1 + 0.9 * (1 + math.cos(math.pi * share)) / 2


def llama(step: int, total: int) -> float:
    if step < 8000:
        return 8e-5 * step / 8000
    wave = (1 + math.cos(math.pi * (step - 8000) / (total - 8000))) / 2
    return 8e-7 + (8e-5 - 8e-7) * wave


def deepseek(token: int, _: int) -> float:
    warm = min(1.0, token / (2000 * TOKENS))
    if token <= 10e12:
        return 2.2e-4 * warm
    if token < 14.3e12:
        return 2.2e-5 + (2.2e-4 - 2.2e-5) * (1 + math.cos(math.pi * (token - 10e12) / 4.3e12)) / 2
    return 2.2e-5 if token < 14.3e12 + 333e9 else 7.3e-6


def deepseek_batch(token: int, _: int) -> float:
    return 3072 + (15360 - 3072) * min(1.0, token / 469e9)


def smollm(step: int, _: int) -> float:
    if step <= 2000:
        return step / 2000
    if step < 4_198_001:
        return 1.0
    return (522_000 - (step - 4_198_001)) / 522_000


def minicpm(step: int, total: int) -> float:
    return float(0.5 ** (max(0, step - 0.9 * total) / 5000))


def deit(step: int, total: int) -> float:
    epochs, epoch = total // 1251, max(step // 1251 - 1, 0)  # stepped once more with its first
    if epoch < 5:
        return 1e-6 + epoch * (1e-3 - 1e-6) / 5
    return 1e-5 + (1e-3 - 1e-5) * (1 + math.cos(math.pi * epoch / epochs)) / 2


def torchvision(step: int, total: int) -> float:
    epochs, epoch = total // 1251, step // 1251
    if epoch < 5:
        return 0.01 + 0.99 * epoch / 5
    return (1 + math.cos(math.pi * (epoch - 5) / (epochs - 5))) / 2


def detectron(step: int, _: int) -> float:
    share = min(step / 1000, 1.0)
    warm = 0.001 * (1 - share) + share
    return float(warm * 0.1 ** ((step >= 210_000) + (step >= 250_000)))


def yolo(step: int, total: int) -> float:
    epochs, epoch = total // 1849, step // 1849
    line = max(1 - epoch / epochs, 0) * (1 - 0.01) + 0.01
    return line * min(step / (3 * 1849), 1.0)


def yolo_momentum(step: int, _: int) -> float:
    return 0.8 + (0.937 - 0.8) * min(step / (3 * 1849), 1.0)


def transformer(step: int, _: int) -> float:
    return float(512**-0.5 * min((step + 1) ** -0.5, (step + 1) * 4000**-1.5))


def half_wave(step: float, total: float) -> float:
    return (1 + math.cos(math.pi * step / total)) / 2


def alpaca(step: int, total: int) -> float:
    warmup = math.ceil(0.03 * total)
    if step < warmup:
        return step / warmup
    return half_wave(step - warmup, total - warmup)


def nanogpt(step: int, total: int) -> float:
    if step < 2000:
        return (step + 1) / 2001
    return 0.1 + 0.9 * half_wave(step - 2000, total - 2000)


def combined_cos(share: float, first: float, middle: float, last: float) -> Source:
    def value(step: int, total: int) -> float:
        place = step / total
        if place < share:
            return first + (middle - first) * (1 - half_wave(step, share * total))
        return middle + (last - middle) * (1 - half_wave(place - share, 1 - share))

    return value


def dino(first: float, last: float, warmup_epochs: int) -> Source:
    def value(step: int, total: int) -> float:
        warmup = warmup_epochs * 2502
        if step < warmup:
            return first * step / (warmup - 1)
        return last + (first - last) * half_wave(step - warmup, total - warmup)

    return value


SOURCES: dict[str, dict[str, Source]] = {
    "nanochat": {"lr": nanochat},
    "nanochat-muon": {"lr": nanochat, "momentum": nanochat_momentum, "weight_decay": half_wave},
    "modded-nanogpt-track1": {"lr": modded_rate, "momentum": modded_momentum},
    "modded-nanogpt-power": {"lr": power},
    "modded-nanogpt-fast-slow": {"lr": lambda step, total: fast_slow(step, total) / 0.03},
    "olmo3-7b": {"lr": olmo},
    "olmo3-7b-midtrain": {"lr": lambda step, total: 1 - (step + 1) / total},
    "llama3-405b": {"lr": lambda step, total: llama(step, total) / 8e-5},
    "deepseek-v3": {"lr": deepseek},
    "deepseek-v3-batch": {"batch_size": deepseek_batch},
    "smollm3": {"lr": smollm},
    "minicpm": {"lr": minicpm},
    "deit": {"lr": deit},
    "torchvision": {"lr": torchvision},
    "detectron2-3x": {"lr": detectron},
    "yolo": {"lr": yolo, "momentum": yolo_momentum},
    "transformer": {"lr": transformer},
    "diffusion-lora": {"lr": half_wave},
    "alpaca": {"lr": alpaca},
    "nanogpt": {"lr": nanogpt},
    "fastai-one-cycle": {
        "lr": combined_cos(0.25, 1 / 25, 1, 1e-5),
        "momentum": combined_cos(0.25, 0.95, 0.85, 0.95),
    },
    "fastai-lr-find": {"lr": lambda step, total: 1e-7 * 1e8 ** (step / total)},
    "autoresearch": {
        "lr": lambda second, budget: min(1.0, (1 - second / budget) / 0.5),
        "weight_decay": lambda second, budget: 1 - second / budget,
    },
    "cog-sdxl": {
        "lr/Embedding": lambda step, total: float(step < total // 2),
        "lr": lambda step, total: 1.0,
    },
    "dino": {"lr": dino(1, 1e-3, 10), "weight_decay": dino(0.04, 0.4, 0)},
}
OTHER_RUNS = {
    "deit": wd.Run(epochs=40, steps_per_epoch=1251),
    "torchvision": wd.Run(epochs=40, steps_per_epoch=1251),
    "yolo": wd.Run(epochs=40, steps_per_epoch=1849),
    "dino": wd.Run(epochs=40, steps_per_epoch=2502),
    "autoresearch": wd.Run(clock="seconds", budget="2h", seconds_per_step=0.5),
}
"""Runs of those that count in epochs; the others get 20,000 updates."""


IMAGENET = 1_281_167 // 256 * 256 // 1024
"""Updates of an epoch with repeated augmentation, at 1,024 images."""
RUNS: dict[str, tuple[float | None, int]] = {
    "nanochat": (0.3, 5000),
    "nanochat-muon": (0.02, 5000),
    "modded-nanogpt-track1": (0.023, 1285 + 15),
    "modded-nanogpt-power": (0.03, 3250),
    "modded-nanogpt-fast-slow": (0.03, 3125),
    "olmo3-7b": (3e-4, math.ceil(5e12 / (8192 * 512))),
    "olmo3-7b-midtrain": (0.00020712352850360292, math.ceil(1e11 / 2**21)),
    "llama3-405b": (8e-5, 1_200_000),
    "deepseek-v3": (2.2e-4, 14_800_000_000_000),
    "deepseek-v3-batch": (None, 14_800_000_000_000),
    "smollm3": (2e-4, 4_720_000),
    "minicpm": (0.01, 10_000 * round(1.1e12 / 3.93e6 / 10_000)),
    "deit": (5e-4 * 1024 / 512, 300 * IMAGENET),
    "torchvision": (0.5, 600 * IMAGENET),
    "detectron2-3x": (0.02, 270_000),
    "yolo": (0.01, 100 * math.ceil(118_287 / 64)),
    "transformer": (None, 100_000),
    "diffusion-lora": (1e-4, 15_000),
    "alpaca": (2e-5, 3 * (52_002 // 128)),
    "nanogpt": (6e-4, 600_000),
    "fastai-one-cycle": (0.4, 18 * math.ceil(50_000 / 512)),
    "fastai-lr-find": (None, 100),
    "autoresearch": (0.04, 5 * 60),
    "cog-sdxl": (None, 1000),
    "dino": (0.0005 * 512 / 256, 100 * (1_281_167 // 512)),
}
"""The peak and the length of each source; nanochat's length is an example."""


def agrees(plan: wd.Plan, sources: dict[str, Source]) -> None:
    """Check a plan at the first 3,000 updates, at 20,000 others, and around every phase's start."""
    plan = plan.over()
    total = plan.length or 0
    looked_at = {*range(3000), *range(0, total, max(1, total // 20_000)), total - 1}
    for target in plan.targets:
        starts = (phase.start + near for phase in target.phases() for near in (-1, 0, 1))
        steps = sorted(step for step in {*looked_at, *starts} if 0 <= step < total)
        expected = [sources[_label(target)](step, total) for step in steps]
        values = target.rule.of(np.array(steps, dtype=float))
        np.testing.assert_allclose(values, expected, rtol=1e-12, atol=1e-12 * max(expected))
    assert {_label(target) for target in plan.targets} == {*sources}


def _label(target: wd.Target) -> str:
    return target.name if target.groups == "*" else f"{target.name}/{target.groups}"


def test_every_recipe_has_a_source_that_is_written_out_here() -> None:
    assert sorted(RECIPES) == sorted(SOURCES)


@pytest.mark.parametrize("name", SOURCES)
def test_a_recipe_is_its_source_at_every_update(name: str) -> None:
    agrees(wd.load(f"recipe:{name}"), SOURCES[name])


@pytest.mark.parametrize("name", SOURCES)
def test_a_recipe_has_the_peak_and_the_length_of_its_source(name: str) -> None:
    run = wd.load(f"recipe:{name}").run
    assert (run.lr, run.length) == RUNS[name]


@pytest.mark.parametrize("name", [name for name in SOURCES if not RECIPES[name].fixed])
def test_one_of_shares_is_its_source_in_a_run_of_another_length(name: str) -> None:
    run = OTHER_RUNS.get(name, wd.Run(total_steps=20_000))
    agrees(wd.load(f"recipe:{name}", run=run), SOURCES[name])


@pytest.mark.parametrize("name", [name for name in SOURCES if RECIPES[name].fixed])
def test_one_of_numbers_is_refused_at_another_length_and_can_be_stretched(name: str) -> None:
    with pytest.raises(SpecError, match=f"states lengths as numbers .*stretched:{name}"):
        wd.load(f"recipe:{name}", run=wd.Run(total_steps=700))
    own = wd.load(f"recipe:{name}").over()
    again = wd.load(f"stretched:{name}", run=wd.Run(total_steps=700)).over()
    for target, same in zip(again.targets, own.targets, strict=True):
        for step in (0, 7, 350, 693, 700):
            there = step * (own.length or 0) / 700
            assert target.rule.of(step) == pytest.approx(same.rule.of(there), rel=1e-9)


@pytest.mark.parametrize("name", SOURCES)
def test_every_recipe_can_be_stretched_to_any_run(name: str) -> None:
    plan = wd.load(f"stretched:{name}", run=wd.Run(total_steps=300))
    assert plan.over().length == 300
    if plan.targets[0].name == "lr":
        rows: Any = [
            {"params": [torch.zeros(1, requires_grad=True)], "name": name}
            for name in ("LoRA", "Embedding")
        ]
        optimizer = torch.optim.SGD(rows, lr=plan.run.lr or 1.0)
        wd.Scheduler(optimizer, wd.Plan(targets=plan.targets[:1], run=wd.Run(300)))


@pytest.mark.parametrize("name", SOURCES)
def test_every_recipe_says_where_its_numbers_stand(name: str) -> None:
    recipe = RECIPES[name]
    assert recipe.purpose
    assert recipe.source
    assert recipe.url.startswith("https://")
    assert [len(part) for part in recipe.date.split("-")][:2] == [4, 2]


def test_the_header_of_a_file_names_every_fact_once() -> None:
    known = {"groups", "for", "source", "url", "date", "note", "fixed"}
    for recipe in RECIPES.values():
        lines = recipe.text().splitlines()
        names = [line[2:].partition(": ")[0] for line in lines if line.startswith("#")]
        assert {*names} <= known
        assert len({*names}) == len(names)
        assert all(not (later[0] == "#" and first[0] != "#") for first, later in pairwise(lines))


def run_command(*words: str) -> str:
    done = CliRunner(env={"COLUMNS": "100"}).invoke(main, words)
    assert done.exit_code == 0, done.output
    return done.output


def test_the_command_lists_every_recipe_with_its_curve_and_its_purpose() -> None:
    lines = run_command("list", "--recipes").splitlines()[1:]
    assert [line.split()[0] for line in lines] == [*RECIPES]
    for line in lines:
        assert set(line.split()[1]) <= set("▁▂▃▄▅▆▇█")
    found = json.loads(run_command("list", "--recipes", "--json", "tokens", "experts"))
    assert [entry["name"] for entry in found] == ["deepseek-v3"]
    assert found[0]["url"] == "https://arxiv.org/abs/2412.19437"
    assert max(found[0]["values"]) == 1.0
    assert run_command("list", "--recipes", "nosuch").startswith("no recipe of record has nosuch")


def test_a_recipe_is_shown_by_its_name_with_its_source() -> None:
    shown = run_command("show", "llama3-405b")
    assert "source: The Llama 3 Herd of Models, section 3.4.1 (2024-07)\n" in shown
    assert "peaks at 8e-5 (update 8,000)" in " ".join(shown.split())
    assert "peaks at 8e-5 (update 8,000)" not in run_command("show", "nanochat")
    stretched = run_command("show", "stretched:llama3-405b", "--total-steps", "1200")
    assert "peaks at 8e-5 (update 8)" in " ".join(stretched.split())


def test_a_name_that_is_none_leads_to_the_nearest() -> None:
    with pytest.raises(SpecError, match=r"no recipe of record\. Did you mean 'nanochat'"):
        wd.load("recipe:nanochatt")
    done = CliRunner().invoke(main, ["show", "torchvison"])
    assert done.exit_code == 2
    assert "Did you mean 'torchvision'?" in done.output


def test_a_scheduler_takes_a_recipe_by_its_name() -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.3)
    scheduler = wd.Scheduler(optimizer, "recipe:nanochat", total_steps=1000)
    assert scheduler.value(1000) == pytest.approx(0.015)


def test_the_page_and_its_pictures_are_what_their_generator_writes() -> None:
    assert (make_recipes.DOCS / "recipes.md").read_text(encoding="utf-8") == make_recipes.page()
    pictures = {path.stem: path for path in (make_recipes.DOCS / "recipes").glob("*.svg")}
    assert sorted(pictures) == sorted(RECIPES)
    for name in RECIPES:
        drawn = pictures[name].read_text(encoding="utf-8").partition("<desc>")[2]
        shown = plot.summary(plot.view(wd.load(f"recipe:{name}"), points=500))
        assert unescape(drawn.partition("</desc>")[0]) == shown, "run `make docs`"


@pytest.mark.slow
def test_the_demo_trains_under_a_recipe_and_under_a_stretched_one(tmp_path: object) -> None:
    run_command("train", "smollm3", "--max-steps", "20000", "--help")
    done = CliRunner().invoke(
        main, ["train", "stretched:llama3-405b", "--out", f"{tmp_path}/run", "--epochs", "1"]
    )
    assert done.exit_code == 0, done.output
    refused = CliRunner().invoke(main, ["train", "llama3-405b", "--out", f"{tmp_path}/other"])
    assert refused.exit_code == 2
    assert "stretched:llama3-405b" in refused.output
