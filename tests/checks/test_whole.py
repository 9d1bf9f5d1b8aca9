"""Checks of a plan as a whole, and what all checks have in common."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from tests.checks.test_curve import codes
from tests.strategies import plans, schedules

import warmdown as wd
from warmdown.checks import CODES
from warmdown.schedules.recipes import recipes
from warmdown.studio.draft.catalogue import example_data, example_schedule

RUN = wd.Run(total_steps=10_000, lr=0.1)
ONE_CYCLE: Any = wd.one_cycle()
THREE_PHASES: Any = wd.one_cycle(max_lr=0.1, three_phase=True, shape="linear")


WITH_LENGTHS_OF_THEIR_OWN = {"piecewise", "triangular", "triangular2", "exp_range", "sawtooth"}
ORDINARY = sorted(recipes().keys() - WITH_LENGTHS_OF_THEIR_OWN - {"one_cycle", "noam"})


@pytest.mark.parametrize("total", [200, 1000, 10_000, 1_000_000])
@pytest.mark.parametrize("name", ORDINARY)
def test_ordinary_plans_are_clean(name: str, total: int) -> None:
    schedule = wd.from_dict(
        {"kind": name, **({"schedule": "cosine"} if name == "with_warmup" else {})}
    )
    assert codes(schedule, wd.Run(total_steps=total, lr=0.1)) == []


@pytest.mark.parametrize(
    "targets",
    [
        ONE_CYCLE,
        THREE_PHASES,
        {"lr": wd.triangular(up=500)},
        {"lr": wd.sawtooth(period=1000)},
        {"lr": wd.Milestones(gamma=0.5, at=(3000, 6000, 8000))},
        {"lr": wd.Staircase(every=3000)},
        {"lr": wd.ExponentialDecay(gamma=0.9999)},
        {"lr": wd.warmup_cosine(), "weight_decay": wd.Set(wd.Constant(value=0.05))},
        {"lr": wd.wsd(), "betas[1]": wd.Set(wd.Constant(value=0.95))},
        {"lr": {"head": wd.warmup_cosine(), "*": wd.wsd()}},
        {"weight_decay": wd.Set(wd.Cosine(start=0.04, end=0.4))},
    ],
)
def test_what_people_really_write_is_clean(targets: Any) -> None:
    assert codes(wd.Plan.of(run=RUN, **targets), RUN) == []


def test_phases_that_do_not_fit_are_an_error_with_the_numbers() -> None:
    (finding,) = wd.check(
        wd.Linear(steps=700) >> wd.Cosine(steps=600), run=wd.Run(total_steps=1000)
    )
    assert (finding.code, finding.severity) == ("does-not-fit", "error")
    assert "need 700 + 600 = 1300 steps, and the run has 1000" in finding.message


def test_a_length_that_cannot_be_measured_is_an_error() -> None:
    (finding,) = wd.check(wd.Linear(steps="2ep"), run=wd.Run(total_steps=1000))
    assert (finding.code, finding.severity) == ("not-measurable", "error")
    assert "needs to know steps_per_epoch" in finding.message


@pytest.mark.parametrize(
    "wild",
    [
        wd.ExponentialDecay(start=1e300, gamma=1e10),
        wd.Constant(value=1e300) * wd.Constant(value=1e300),
        wd.Linear(steps=10) >> wd.Rex(d=-1e308),
    ],
)
def test_a_value_that_is_no_number_is_an_error_and_no_crash(wild: wd.Schedule) -> None:
    (finding,) = wd.check(wild, run=RUN)
    assert (finding.code, finding.severity) == ("not-finite", "error")


def test_a_run_of_unknown_length_is_an_error_unless_the_plan_ends() -> None:
    assert [one.code for one in wd.check(wd.Cosine())] == ["unknown-length"]
    assert [one.code for one in wd.check(wd.InverseSqrt())] == ["unknown-length"]
    assert wd.check(wd.Cosine(steps=1000)) == ()


def test_a_clock_without_an_end_is_found() -> None:
    plan = wd.Plan.of(lr=wd.Cosine(steps="2h"), run=wd.Run(clock="seconds"))
    assert [one.code for one in wd.check(plan)] == ["no-end"]
    timed = wd.Plan.of(lr=wd.Cosine(), run=wd.Run(clock="seconds", budget="2h"))
    assert wd.check(timed) == ()


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("weight_dcay", "weight_decay"),
        ("learning_rate", "lr"),
        ("beta1", "betas[0]"),
        ("momentun", "momentum"),
        ("lr_scheduler", "lr"),
        ("scheduler", "lr"),
        ("lr_scheduler_type", "lr"),
        ("max_lr", "lr"),
    ],
)
def test_a_name_that_is_almost_a_field_is_found(name: str, meant: str) -> None:
    given: Any = {name: wd.Set(wd.Constant(value=0.5))}
    (finding,) = wd.check(wd.Plan.of(run=RUN, **given))
    assert (finding.code, finding.target) == ("unlikely-name", name)
    assert f"Did you mean {meant!r}?" in finding.message


def test_names_of_ones_own_are_no_fault_and_have_to_be_bound() -> None:
    own: Any = {
        name: wd.Set(wd.Constant(value=0.5))
        for name in ("temperature", "dropout", "loss_weight", "tau", "scheduled_sampling")
    }
    found = wd.check(wd.Plan.of(run=RUN, **own))
    assert [finding.target for finding in found] == list(own)
    assert {(finding.code, finding.severity) for finding in found} == {("needs-bind", "note")}


@pytest.mark.parametrize(
    ("name", "way_out"),
    [
        ("batch_size", "bind={'batch_size': BatchSizeSampler(dataset)}"),
        ("gradient_accumulation", "bind={'gradient_accumulation': a function of one number}"),
    ],
)
def test_what_reads_the_data_is_named_for_a_target_that_it_has_to_follow(
    name: str, way_out: str
) -> None:
    given: Any = {name: wd.Set(wd.Constant(value=32.0))}
    (finding,) = wd.check(wd.Plan.of(run=RUN, **given))
    assert (finding.code, finding.target, finding.severity) == ("needs-loader", name, "note")
    assert way_out in finding.message


def test_another_name_of_a_batch_size_is_a_warning_with_the_one_that_a_trainer_follows() -> None:
    given: Any = {"train_batch_size": wd.Set(wd.Constant(value=32.0))}
    (finding,) = wd.check(wd.Plan.of(run=RUN, **given))
    assert (finding.code, finding.severity) == ("needs-bind", "warning")
    assert "What a Trainer cuts its batches by is 'batch_size'." in finding.message


def test_a_batch_that_begins_at_another_size_than_the_run_s_is_found() -> None:
    lr = wd.Linear(start=0.1, end=1.0, steps="640samples") >> wd.Cosine(steps="rest")
    sizes = wd.Set(wd.PiecewiseConstant(values=(32.0, 64.0), at=("50%",)))
    run = wd.Run(total_steps=100, samples_per_step=16, lr=0.1)
    found = wd.check(wd.Plan.of(lr=lr, batch_size=sizes, run=run))
    assert [finding.code for finding in found] == ["other-batch", "needs-loader"]
    assert found[0].numbers == {"first": 32, "expected": 16}


def test_a_pattern_behind_one_that_takes_everything_is_found() -> None:
    plan = wd.Plan.of(lr={"*": wd.wsd(start=0.1), "head": wd.wsd(start=0.1)}, run=RUN)
    (finding,) = wd.check(plan)
    assert (finding.code, finding.target) == ("shadowed", "lr/head")
    turned = wd.Plan.of(lr={"head": wd.wsd(start=0.1), "*": wd.wsd(start=0.1)}, run=RUN)
    assert wd.check(turned) == ()


def test_a_preview_is_a_note() -> None:
    data = {"class_path": "torch.optim.lr_scheduler.ExponentialLR", "init_args": {"gamma": 0.999}}
    (finding,) = wd.check(wd.from_dict(data), run=wd.Run(total_steps=100, lr=0.1))
    assert (finding.code, finding.severity) == ("preview", "note")


def test_the_worst_comes_first() -> None:
    plan = wd.Plan.of(
        lr=wd.warmup_cosine(),
        wd=wd.Set(wd.Constant(value=1.0)),
        momentum=wd.Cosine(steps=10**6),
        run=RUN,
    )
    assert [one.severity for one in wd.check(plan)] == ["error", "warning", "note"]


@pytest.mark.parametrize(
    "name", ["chain", "repeat", "noisy", "chebyshev", "wsd", "cosine_restarts", "triangular2"]
)
def test_a_run_of_a_trillion_updates_is_sampled(name: str) -> None:
    asked = []

    def counted(step: float) -> float:
        asked.append(step)
        return 1.0

    run = wd.Run(total_steps=10**12, lr=0.1)
    wd.check(wd.Function(call=counted) * example_schedule(example_data(name)), run=run)
    assert len(asked) < 500_000


@given(plans() | schedules())
def test_any_plan_gets_findings_with_known_codes_and_no_crash(given: wd.Plan | wd.Schedule) -> None:
    for finding in wd.check(given, run=wd.Run(total_steps=1000, steps_per_epoch=50, lr=0.1)):
        assert finding.code in CODES
        assert finding.message.endswith((".", "?"))
        assert finding.to_dict()["code"] == finding.code
        assert str(finding).startswith(f"{finding.severity}[{finding.code}] ")


def test_equal_findings_have_equal_hashes() -> None:
    first, second = (wd.check(wd.Cosine(steps=500), run=RUN) for _ in range(2))
    assert first == second
    assert hash(first) == hash(second)
