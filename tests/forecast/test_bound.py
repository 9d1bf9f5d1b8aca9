"""The last-iterate bound holds for real descents, ranks shapes, and carries rates over."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import warmdown as wd
from warmdown.cli.compare import command
from warmdown.errors import ForecastError
from warmdown.forecast.bound import best_rate, bound_of, theory_table

SHAPES = {
    "constant": wd.Constant(1.0),
    "linear": wd.Linear(start=1.0, end=0.0),
    "cosine": wd.Cosine(),
    "wsd": wd.Constant(1.0) >> wd.Sqrt(start=1.0, end=0.0, steps="20%"),
    "square": wd.Polynomial(start=1.0, end=0.0, power=2.0),
    "exponential": wd.Exponential(end=0.01),
}


def planned(schedule: wd.Schedule, steps: int, lr: float = 1.0) -> wd.Plan:
    return wd.Plan.of(lr=schedule, run=wd.Run(total_steps=steps, lr=lr))


def test_linear_to_zero_has_the_least_bound_of_the_shapes() -> None:
    bounds = {name: bound_of(planned(shape, 2000)).value for name, shape in SHAPES.items()}
    assert min(bounds, key=lambda name: bounds[name]) == "linear"
    assert max(bounds, key=lambda name: bounds[name]) == "constant"


@pytest.mark.parametrize("steps", [1, 2, 60, 90_000])
@pytest.mark.parametrize("name", [*SHAPES, "rising"])
def test_the_bound_is_the_theorem_summed_update_by_update(name: str, steps: int) -> None:
    shape = SHAPES.get(name, wd.Linear(start=0.1, end=1.0))
    plan = planned(shape, steps)
    rates = plan.over().targets[0].rule.value(np.arange(float(steps)), 1.0)
    sums, squares = rates[::-1].cumsum()[::-1], (rates**2)[::-1].cumsum()[::-1]
    distance = 1 / (2 * sums[0])
    noise = squares[0] / (2 * sums[0])
    noise += (rates[:-1] / sums[1:] * squares[:-1] / sums[:-1]).sum() / 2
    # distance / factor + factor * noise is least where both parts are equal
    bound, factor = bound_of(plan), (distance / noise) ** 0.5
    assert bound.value == pytest.approx(distance / factor + factor * noise, rel=1e-4)
    assert bound.best_rate == pytest.approx(factor * rates.max(), rel=1e-4)


@pytest.mark.parametrize("name", SHAPES)
def test_a_descent_on_a_convex_loss_ends_below_the_bound(name: str) -> None:
    plan, steps = planned(SHAPES[name], 400), 400
    bound = bound_of(plan)
    shape = plan.over().targets[0].rule.value(np.arange(float(steps)), 1.0)
    rows = np.random.default_rng(0).normal(size=(30, 5))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)  # subgradients of length 1
    point = np.zeros(5)
    point[0] = 1.0  # the minimum, 0, is at 0: a distance of 1
    for rate in bound.best_rate * shape:
        heights = rows @ point
        worst = int(np.abs(heights).argmax())
        point = point - rate * np.sign(heights[worst]) * rows[worst]
    assert np.abs(rows @ point).max() <= bound.value


@pytest.mark.parametrize("steps", [500, 400_000])
def test_updates_without_a_rate_behind_the_last_one_change_nothing(steps: int) -> None:
    half = wd.Sqrt(start=1.0, end=0.1, steps=steps // 2)
    longer = bound_of(planned(half >> wd.Constant(0.0), steps))
    ending = bound_of(planned(half, steps // 2))
    assert longer.value == pytest.approx(ending.value, rel=1e-3)
    assert longer.best_rate == pytest.approx(ending.best_rate, rel=1e-3)


def test_a_run_that_learns_nothing_has_no_bound() -> None:
    with pytest.raises(ForecastError, match="its rate is 0 all along; it has no bound"):
        bound_of(planned(wd.Constant(0.0), 10))


def test_a_factor_on_all_rates_changes_nothing() -> None:
    one, ten = (bound_of(planned(SHAPES["wsd"], 500, lr)) for lr in (1.0, 10.0))
    assert (one.value, one.best_rate) == pytest.approx((ten.value, ten.best_rate))


@pytest.mark.parametrize("name", SHAPES)
def test_a_run_of_ten_million_updates_is_bounded_as_one_of_its_pieces(name: str) -> None:
    short, long = (bound_of(planned(SHAPES[name], steps)) for steps in (70_000, 90_000))
    assert long.value / short.value == pytest.approx((70_000 / 90_000) ** 0.5, rel=0.02)
    assert long.best_rate / short.best_rate == pytest.approx((70_000 / 90_000) ** 0.5, rel=0.03)
    assert 0 < bound_of(planned(SHAPES[name], 10_000_000)).value < short.value


def test_a_longer_run_wants_a_lower_rate() -> None:
    share = best_rate(planned(wd.wsd(), 4000), planned(wd.wsd(), 1000), 1.0)
    assert 0.45 < share < 0.52


def test_the_command_ranks_plans_without_a_run_and_carries_the_rate() -> None:
    how = [
        "constant",
        "warmup_linear",
        "--theory",
        "--total-steps",
        "1000",
        "--lr",
        "0.1",
        "--json",
    ]
    done = CliRunner().invoke(command, how)
    assert done.exit_code == 0, done.output
    first, second = json.loads(done.output)
    assert (first["plan"], second["plan"], second["best_rate"]) == (
        "warmup_linear",
        "constant",
        0.1,
    )
    assert first["best_rate"] > 0.1


def test_the_command_prints_the_table_and_takes_a_name_once(tmp_path: Path) -> None:
    wd.save(planned(wd.Cosine(), 500), tmp_path / "mine.yaml")
    done = CliRunner().invoke(
        command, [str(tmp_path / "mine.yaml"), "constant", "--theory", "--total-steps", "1000"]
    )
    rows = done.output.splitlines()
    assert [row.split()[:2] for row in rows[1:3]] == [["constant", "1,000"], ["mine", "500"]]
    assert rows[-1].startswith("The bound is of a convex loss in the worst case")
    twice = CliRunner().invoke(command, ["constant", "constant", "--theory"])
    assert "there is a plan called 'constant' already" in str(twice.exception)


def test_a_report_that_is_no_picture_is_refused_before_a_run_is_made() -> None:
    done = CliRunner().invoke(command, ["constant", "--report", "found.docx"])
    assert done.exit_code == 2
    assert "--report found.docx: no kind of report. Use " in done.output


@pytest.mark.parametrize(
    "how", [("--total-steps", "nan"), ("--total-steps", "9.5"), ("--lr", "nan")]
)
def test_the_command_refuses_what_is_no_length_or_rate(how: tuple[str, str]) -> None:
    done = CliRunner().invoke(command, ["constant", "--theory", *how])
    assert isinstance(done.exception, wd.RunError)
    assert how[0].strip("-").replace("-", "_") in str(done.exception)


def test_the_table_has_columns_whatever_the_names_and_lengths() -> None:
    plans = {"a": planned(wd.wsd(), 100), "a long name": planned(wd.Constant(1.0), 123_456_789)}
    text, _ = theory_table(plans, 0.1)
    head, *rows = text.splitlines()[:3]
    for column in ("updates", "bound"):
        assert all(row[head.index(column) + len(column)] == " " for row in rows)
    assert all(
        row[head.index("best rate") - 1] == " " != row[head.index("best rate")] for row in rows
    )
