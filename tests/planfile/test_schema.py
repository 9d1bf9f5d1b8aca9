"""The schema that editors read, held to what reading takes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from tests.strategies import plans

import warmdown as wd
from warmdown.planfile import from_yaml, shapes
from warmdown.planfile.schema import PATH, as_text, plan_schema

VALIDATOR = Draft202012Validator(plan_schema())


def test_the_shipped_schema_is_current() -> None:
    assert PATH.read_text(encoding="utf-8") == as_text(), (
        "write it anew: python -m warmdown.planfile.schema"
    )


def test_it_is_a_schema() -> None:
    Draft202012Validator.check_schema(plan_schema())


def test_every_shape_and_parameter_is_told() -> None:
    definitions = plan_schema()["$defs"]
    ours = {
        f"kind.{word}"
        for word, shape in shapes().items()
        if shape.__module__.startswith("warmdown.")
    }
    assert ours <= definitions.keys()
    assert definitions["kind.cosine"]["properties"]["k"]["description"].startswith(
        "Order of the decay"
    )


@settings(max_examples=15)
@given(plans())
def test_every_plan_that_is_written_fits(plan: wd.Plan) -> None:
    VALIDATOR.validate(plan.to_dict())


GOOD = [
    "lr: cosine",
    "lr: [linear, {kind: cosine, end: '1e-4', name: decay}]",
    "lr: {set: 3e-4}",
    "lr: {scale: cosine, offset: 1e-5, low: 1e-6}",
    "lr: {groups: {head: cosine, '*': {set: 1}}}",
    "lr: {kind: linear, steps: '%TOTAL_STEPS% * 0.1', end: '%LR% / 10'}",
    "run: {total_steps: 1e4, lr: 1e-3, clock: tokens, budget: 2e9tok}\nlr: cosine",
    "targets: {kind: one_cycle, max_lr: 0.1, three_phase: true}",
    "lr: {class_path: torch.optim.lr_scheduler.StepLR, init_args: {step_size: 3}}",
    "temperature: {kind: wsd, shape: 1-sqrt}",
]
BAD = [
    "lr: cosin",
    "lr: {kind: cosin}",
    "lr: {kind: cosine, stps: 3}",
    "lr: {kind: noam}",
    "lr: []",
    "lr: {kind: cosine, end: ten}",
    "lr: {kind: cosine, end: [1]}",
    "lr: {kind: wsd, shape: linaer}",
    "lr: {set: 1, low: 2}",
    "lr: {low: 2}",
    "run: {total_step: 3}\nlr: cosine",
    "lr: cosine\nafter_end: stop",
    "lr: {class_path: torch.optim.lr_scheduler.StepLR, args: {}}",
    "lr: {kind: one_cycle}",
]  # fmt: skip


@pytest.mark.parametrize("text", GOOD)
def test_what_is_read_fits_the_schema(text: str) -> None:
    wd.loads(text, run=wd.Run(total_steps=100, lr=1.0))
    VALIDATOR.validate(from_yaml(text).data)


@pytest.mark.parametrize("text", BAD)
def test_what_is_refused_does_not_fit_the_schema(text: str) -> None:
    data: Any = from_yaml(text).data
    with pytest.raises(wd.SpecError):
        wd.loads(text)
    assert not VALIDATOR.is_valid(data)
