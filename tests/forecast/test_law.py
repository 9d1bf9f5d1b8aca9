"""Laws of the loss: fitted, kept, refused, and right about what they have not seen."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import warmdown as wd
from warmdown.errors import ForecastError
from warmdown.forecast import Law, LossLog, read_log
from warmdown.forecast.choices import choices
from warmdown.forecast.formulas import FORMULAS, Drops, MultiPower, Unit
from warmdown.forecast.prediction import forecast_table
from warmdown.forecast.rates import RateCurve

PUBLISHED = {"L0": 2.6514477, "A": 0.60115152, "a": 0.45295811, "B": 437.9464276,
             "C": 2.13245612, "b": 0.59785199, "g": 0.65523644}  # fmt: skip
"""The multi-power law's numbers for a model of 100M parameters, by its authors."""
UNIT = Unit(3e-4, 6.0, 3.0)
LOGS = os.environ.get("WARMDOWN_LOSS_CURVES", "")
needs_logs = pytest.mark.skipif(
    not Path(LOGS, "100M").is_dir(), reason="WARMDOWN_LOSS_CURVES names no public logs"
)


@pytest.fixture
def law(tmp_path: Path) -> Law:
    path = tmp_path / "law.json"
    path.write_text(json.dumps(PUBLISHED))
    return wd.load_law(path)


def made_log(schedule: wd.Schedule, steps: int = 4000, noise: float = 0.0) -> LossLog:
    """Return the log of a run that obeys the published law, with a row every 16 updates."""
    curve = RateCurve.of(wd.Plan.of(lr=schedule, run=wd.Run(total_steps=steps, lr=3e-4)))
    rows = np.arange(16.0, steps, 16.0)
    theta = MultiPower().theta(PUBLISHED, UNIT)
    losses = MultiPower().loss(theta, Drops.at(curve, rows).measured(UNIT))[0]
    losses = losses * np.exp(noise * np.random.default_rng(0).normal(size=rows.size))
    rates = np.interp(rows, curve.steps, curve.rates)
    return read_log((rows, rates, losses))


COSINE = made_log(wd.warmup_cosine(warmup=200, end=0.1))
CONSTANT = made_log(wd.warmup_constant(warmup=200))
TWO_LEVELS = made_log(
    (wd.Linear(start=0.0, end=1.0, steps=200) >> wd.Constant(1.0))
    * wd.Milestones((1500,), gamma=0.3)
)


def stepwise(rates: np.ndarray[Any, Any], step: int) -> float:
    """Return the published law's loss, added up update by update as it is written."""
    n = PUBLISHED
    total = rates[: step + 1].sum()
    before, now = np.r_[0.0, rates[:step]], rates[: step + 1]
    since = np.cumsum(now[::-1])[::-1]
    kept = now > 0
    reach = n["C"] * now[kept] ** -n["g"] * since[kept]
    drops = (before - now)[kept] * (1 - (1 + reach) ** -n["b"])
    return float(n["L0"] + n["A"] * total ** -n["a"] - n["B"] * drops.sum())


@pytest.mark.parametrize("schedule", [wd.warmup_cosine(end=0.1), wd.wsd(end=0.1)], ids=str)
def test_the_polygon_gives_the_sum_over_every_update(law: Law, schedule: wd.Schedule) -> None:
    plan = wd.Plan.of(lr=schedule, run=wd.Run(total_steps=20_000, lr=3e-4))
    forecast = law.predict(plan)
    rates = plan.over().targets[0].rule.value(np.arange(20_001.0), 3e-4)
    for at in (50, 200, -1):
        wanted = stepwise(rates, int(forecast.steps[at]))
        assert forecast.loss[at] == pytest.approx(wanted, rel=3e-4)


@pytest.mark.parametrize("name", FORMULAS)
def test_slopes_are_those_of_the_loss(name: str) -> None:
    formula = FORMULAS[name]
    drops = Drops.at(COSINE.curve, COSINE.steps[::40]).measured(UNIT)
    theta, _ = formula.usual(UNIT)
    _, slopes = formula.loss(theta, drops)
    for at in range(theta.size):
        moved = np.eye(theta.size)[at] * 1e-6
        ahead, behind = (formula.loss(theta + side * moved, drops)[0] for side in (1, -1))
        np.testing.assert_allclose((ahead - behind) / 2e-6, slopes[:, at], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", FORMULAS)
def test_numbers_as_the_paper_writes_them_give_the_same_loss(name: str) -> None:
    formula = FORMULAS[name]
    theta, _ = formula.usual(UNIT)
    again = formula.theta(formula.natural(theta, UNIT), UNIT)
    np.testing.assert_allclose(again, theta)


def test_pilots_that_obey_a_law_give_its_forecasts_and_a_law_of_each_name() -> None:
    law = wd.fit_loss([COSINE, CONSTANT, TWO_LEVELS], law="multi-power")
    unseen = made_log(wd.wsd(warmup=200, end=0.1))
    agreement = law.compared(unseen)
    assert agreement.mean_relative_error < 2e-3
    assert agreement.final["low"] < agreement.final["measured"] < agreement.final["high"]
    both = wd.fit_loss([COSINE, CONSTANT, TWO_LEVELS])
    assert [member.fit.formula.name for member in both.members] == list(FORMULAS)
    assert sum(member.weight for member in both.members) == pytest.approx(1.0)
    assert both.name == "multi-power"  # they were made by it, and it says those held out better


def test_a_pilot_s_own_plan_is_forecast_within_its_residuals() -> None:
    noisy = made_log(wd.wsd(warmup=200, end=0.1), noise=0.01)
    law = wd.fit_loss(noisy)
    assert str(law) == law.report()
    agreement = law.compared(noisy)
    assert agreement.mean_relative_error < 0.012
    forecast = law.along(noisy.curve, noisy.steps)
    inside = (forecast.low <= noisy.losses) & (noisy.losses <= forecast.high)
    assert inside.mean() > 0.85


@pytest.mark.parametrize("logs", [[COSINE], [CONSTANT]], ids=["cosine", "constant"])
def test_a_run_that_cannot_tell_annealing_from_progress_is_refused_with_the_pilot_that_can(
    logs: Sequence[LossLog],
) -> None:
    with pytest.raises(ForecastError, match=r"Add a short pilot: 1,992 updates, .*50% of the cost"):
        wd.fit_loss(logs)
    wd.fit_loss([*logs, TWO_LEVELS])


def test_a_law_outlives_its_file_and_a_bare_one_is_read(tmp_path: Path, law: Law) -> None:
    made = wd.fit_loss([COSINE, TWO_LEVELS])
    made.save(tmp_path / "kept.json")
    again = wd.load_law(tmp_path / "kept.json")
    plan = wd.Plan.of(lr=wd.wsd(), run=wd.Run(total_steps=9000, lr=3e-4))
    assert again.predict(plan).final == pytest.approx(made.predict(plan).final)
    assert again.report() == made.report()
    value, low, high = law.parameters["B"]
    assert (value, low, high) == pytest.approx((437.9464276,) * 3)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"L0": 1}', '{"warmdown_law": 9}', '{"laws": [{"law": "x"}]}', "\x00",
     json.dumps({**PUBLISHED, "A": "much"}), json.dumps({**PUBLISHED, "a": -1}),
     json.dumps({"laws": 3})],
)  # fmt: skip
def test_a_file_that_is_no_law_is_refused_in_our_words(tmp_path: Path, text: str) -> None:
    path = tmp_path / "law.json"
    path.write_text(text)
    with pytest.raises(ForecastError, match=r"law\.json|no such law"):
        wd.load_law(path)


def test_what_lies_beyond_the_pilots_is_said_and_is_less_certain() -> None:
    law = wd.fit_loss([COSINE, TWO_LEVELS])
    near, far, high = (
        law.predict(wd.warmup_constant(), run=wd.Run(total_steps=steps, lr=lr))
        for steps, lr in ((4000, 3e-4), (40_000, 3e-4), (4000, 1e-3))
    )
    assert near.notes == ()
    assert "10.0 times the longest pilot" in far.notes[0]
    assert "a peak 3.3 times" in high.notes[0]
    assert far.final.high - far.final.low > near.final.high - near.final.low


def test_ten_million_updates_are_forecast_and_a_perplexity_is_the_exponential(law: Law) -> None:
    run = wd.Run(total_steps=10_000_000, lr=3e-4)
    loss, perplexity = (
        law.predict(wd.wsd(), run, quantity=what) for what in ("loss", "perplexity")
    )
    assert loss.final.predicted < 2.75
    assert perplexity.final.predicted == pytest.approx(np.exp(loss.final.predicted))


@pytest.mark.parametrize(("shape", "most"), [("wsd", 2.9252), ("power", 2.925), ("any", 2.925)])
def test_a_design_is_continuous_never_rises_and_beats_the_usual(
    law: Law, shape: Any, most: float
) -> None:
    best = law.design(wd.Run(total_steps=24_000, lr=3e-4), shape, warmup=2160)
    rates = best.plan.over().targets[0].rule.value(np.arange(24_001.0), 3e-4)
    assert law.predict(best.plan).final.predicted == pytest.approx(best.predicted)
    assert stepwise(rates, 24_000) <= most
    assert (np.diff(rates[2160:]) <= 1e-18).all()
    assert np.abs(np.diff(rates)).max() < 3e-4 / 100
    assert min(best.gain.values()) > 0
    assert best.run.total_steps == 24_000


def test_a_design_stands_wherever_a_plan_does(law: Law, tmp_path: Path) -> None:
    best = law.design(wd.Run(total_steps=500, lr=3e-4), "wsd", warmup=10)
    assert isinstance(best, wd.Plan)
    assert wd.load(wd.save(best, tmp_path / "best.yaml")) == best.plan
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=3e-4)
    assert wd.Scheduler(optimizer, best).value(10) == pytest.approx(3e-4)
    assert repr(best).startswith("<Design: stable to update ")
    cold = law.design(wd.Run(total_steps=500, lr=3e-4), "wsd", warmup=0)
    assert cold.plan.over().targets[0].rule.value(0, 3e-4) == pytest.approx(3e-4)
    assert min(cold.gain.values()) > 0


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"run": wd.Run(lr=0.1)}, "length and rate"),
        ({"run": wd.Run(total_steps=10)}, "length and rate"),
        ({"run": wd.Run(total_steps=10, lr=0.1), "shape": "cubic"}, "no such shape"),
        ({"run": wd.Run(total_steps=10, lr=0.1), "warmup": 10}, "all of the 10"),
    ],
)
def test_a_design_that_cannot_be_is_refused(law: Law, how: dict[str, Any], words: str) -> None:
    with pytest.raises(ForecastError, match=words):
        law.design(**how)


def test_a_run_under_way_is_told_what_each_choice_is_worth(law: Law) -> None:
    plan = wd.Plan.of(lr=wd.warmup_constant(warmup=200), run=wd.Run(total_steps=9000, lr=3e-4))
    found = choices(law.along, CONSTANT, "10%", 4000, plan)
    assert list(found) == ["as planned", "decay now", "decay after 4,000 more"]
    finals = [forecast.final.predicted for forecast in found.values()]
    assert finals[2] < finals[0] < finals[1]
    ends = [forecast.steps[-1] for forecast in found.values()]
    assert ends == [9000, 3984 + 398, 7984 + 798]
    short = wd.Plan.of(lr=wd.Constant(1.0), run=wd.Run(total_steps=100, lr=3e-4))
    with pytest.raises(ForecastError, match="the plan of the whole run"):
        choices(law.along, CONSTANT, "10%", plan=short)
    with pytest.raises(ForecastError, match=r"--decay-now 0%\): a length is needed"):
        choices(law.along, CONSTANT, "0%")
    ended = read_log((CONSTANT.steps, np.linspace(3e-4, 0.0, CONSTANT.steps.size), CONSTANT.losses))
    with pytest.raises(ForecastError, match="the rate of the run is 0 already"):
        choices(law.along, ended, "10%")


def test_what_a_law_cannot_say_is_refused(law: Law) -> None:
    with pytest.raises(ForecastError, match=r"predict\(quantity='bits'\): use 'loss' or"):
        law.predict(wd.Cosine(), wd.Run(10, lr=0.1), quantity="bits")  # type: ignore[arg-type]
    with pytest.raises(ForecastError, match="its rate is 0 all along; nothing will be learned"):
        law.predict(wd.Constant(0.0), wd.Run(10, lr=0.1))
    with pytest.raises(ForecastError, match=r"fit_loss\(\[\]\): no logs"):
        wd.fit_loss([])


def public(model: str, *names: str) -> list[LossLog]:
    return [read_log(Path(LOGS) / model / f"{name}.csv", warmup=2160) for name in names]


@needs_logs
def test_three_public_pilots_say_the_six_other_runs_as_well_as_the_law_s_authors() -> None:
    law = wd.fit_loss(public("100M", "cosine_24000", "constant_24000", "wsdcon_9"))
    others = public("100M", "constant_72000", "cosine_72000", "wsd_20000_24000",
                    "wsdld_20000_24000", "wsdcon_3", "wsdcon_18")  # fmt: skip
    means = np.mean([law.compared(log)[1:6] for log in others], axis=0)
    assert means[0] >= 0.9983
    assert (means[1:] <= [0.00435, 0.00592, 0.00142, 0.00583]).all()


@needs_logs
@pytest.mark.parametrize("model", ["100M", "25M"])
def test_one_public_run_with_a_decay_says_the_others(model: str) -> None:
    law = wd.fit_loss(public(model, "wsd_20000_24000"))
    names = [path.stem for path in sorted((Path(LOGS) / model).glob("*.csv"))]
    agreements = [
        law.compared(log) for log in public(model, *names) if log.name != "wsd_20000_24000"
    ]
    assert np.mean([one.mean_relative_error for one in agreements]) <= 0.0025
    if model == "100M":
        four = public(model, "constant_24000", "cosine_24000", "wsd_20000_24000",
                      "wsdld_20000_24000")  # fmt: skip
        finals = [law.compared(log).final for log in four]
        said, measured = ([final[what] for final in finals] for what in ("predicted", "measured"))
        assert np.argsort(said).tolist() == np.argsort(measured).tolist()


@needs_logs
@pytest.mark.slow
@pytest.mark.parametrize("model", ["100M", "25M"])
def test_nine_of_ten_intervals_hold_what_was_held_out(model: str) -> None:
    paths = sorted((Path(LOGS) / model).glob("*.csv"))
    logs = public(model, *(path.stem for path in paths))
    choices = [some for size in (1, 2, 3) for some in combinations(logs, size)]
    held = []
    # a fit to three long logs takes seconds: of the 129 choices of nine logs a third is enough
    for pilots in choices[:: 1 if len(logs) < 9 else 3]:
        try:
            law = wd.fit_loss(pilots)
        except ForecastError:
            continue
        others = (law.compared(log).final for log in logs if all(log is not one for one in pilots))
        held += [final["low"] <= final["measured"] <= final["high"] for final in others]
    assert 0.85 <= np.mean(held) <= 0.95


def test_the_table_has_columns_whatever_the_losses(law: Law) -> None:
    plans = {"a": wd.wsd(), "a long name": wd.warmup_cosine()}
    table = forecast_table(
        {
            name: law.predict(plan, wd.Run(total_steps=10**4, lr=3e-4))
            for name, plan in plans.items()
        }
        | {"huge": law.predict(wd.Constant(1.0), wd.Run(total_steps=10**5, lr=3e-4), "perplexity")}
    )
    head, *rows = table.splitlines()
    for column in ("updates", "final loss", "behind"):
        assert all(row[head.index(column) + len(column) :][:1] in ("", " ") for row in rows)
    assert all(row[head.index("90 %") - 1] == " " != row[head.index("90 %")] for row in rows)


def test_the_drops_of_a_log_are_found_once_in_a_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[int] = []
    at = Drops.at

    def counted(curve: RateCurve, steps: Any) -> Drops:
        found.append(steps.size)
        return at(curve, steps)

    monkeypatch.setattr(Drops, "at", counted)
    made = wd.fit_loss([COSINE, TWO_LEVELS])
    assert len(found) == 2
    log = COSINE.settled()
    np.testing.assert_array_equal(made.values(log.curve, log.steps), made._values_at(log.drops))
