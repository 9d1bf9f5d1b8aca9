"""How long a length is where the batch changes, and a rate that follows the batch."""

from __future__ import annotations

import copy
import pickle
from fractions import Fraction
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import warmdown as wd
from warmdown.batches import Batches, Cut, Loading, MeasuredRun, epoch_windows, measured

RAMP = wd.PiecewiseConstant(values=(32.0, 64.0, 128.0), at=("40%", "80%"))
RUN = wd.Run(epochs=3, samples_per_epoch=1000)


def batches_of(plan: wd.Plan) -> Batches:
    run = plan.over().run
    assert isinstance(run, MeasuredRun)
    assert run.batches is not None
    return run.batches


@given(
    items=st.integers(4, 200),
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=30),
    parts=st.integers(1, 4),
    world=st.integers(1, 4),
    drop_last=st.booleans(),
)
def test_the_windows_of_an_epoch_are_whole_parts_in_order_and_lose_nothing(
    items: int, sizes: list[int], parts: int, world: int, drop_last: bool
) -> None:
    loading = Loading(items=items, world=world, drop_last=drop_last)
    cuts = (Cut(world * size * parts, world * size) for size in sizes * 200)
    ends = [end for _, some in epoch_windows(0, cuts, loading) for end in some]
    assert ends == sorted(set(ends))
    lengths = np.diff([0, *ends])
    assert (lengths >= world).all()  # each process has a share
    if ends and not drop_last:
        assert ends[-1] == items
    assert all(end <= items for end in ends)


def test_a_warmup_in_samples_is_as_many_samples_and_the_decay_ends_with_the_data() -> None:
    lr = (
        wd.Linear(start=0.0, end=1.0, steps="320samples")
        >> wd.Constant()
        >> wd.Linear(start=1.0, end=0.0, steps="1ep")
    )
    plan = wd.Plan.of(lr=lr, batch_size=wd.Set(RAMP), run=RUN)
    batches, (rate, _) = batches_of(plan), plan.over().targets
    _, warmup_end, decay_start = rate.rule.of.part_starts()
    total = plan.over().run.total_steps
    assert warmup_end is not None
    assert decay_start is not None
    assert total is not None
    assert batches.total("samples", warmup_end) == 320
    assert batches.total("samples", decay_start) == 2000
    assert batches.total("samples", total) == 3000


def test_the_same_lengths_are_what_they_are_where_the_batch_stays() -> None:
    lr = wd.warmup_cosine(warmup="320samples")
    constant = wd.Plan.of(lr=lr, batch_size=wd.Set(32.0), run=wd.Run(total_steps=100))
    plain = wd.Plan.of(lr=lr, run=wd.Run(total_steps=100, samples_per_step=32))
    assert constant.over().targets[0] == plain.over().targets[0]


def test_a_batch_may_change_after_so_much_data() -> None:
    sizes = wd.Set(wd.PiecewiseConstant(values=(32.0, 64.0, 16.0), at=("640samples", "1ep")))
    plan = wd.Plan.of(lr=wd.Cosine(), batch_size=sizes, run=RUN)
    batches = batches_of(plan)
    found = plan.over().targets[1].rule.of.marks()
    assert [batches.total("samples", mark) for mark in found] == [640, 1000]


@given(
    values=st.lists(st.integers(1, 90), min_size=1, max_size=5),
    samples=st.integers(1, 5000),
    data=st.data(),
)
def test_updates_of_samples_and_samples_of_updates_are_each_other_s_opposite(
    values: list[int], samples: int, data: Any
) -> None:
    marks = sorted(data.draw(st.lists(
        st.integers(1, 60), min_size=len(values) - 1, max_size=len(values) - 1)))  # fmt: skip
    ramp = wd.PiecewiseConstant(values=tuple(map(float, values)), at=tuple(marks))
    batches = batches_of(wd.Plan.of(batch_size=wd.Set(ramp), run=wd.Run(total_steps=100)))
    at = batches.update_at("samples", Fraction(samples))
    assert batches.total("samples", at) == samples
    sums = [0, *accumulate(int(ramp(step)) for step in range(80))]
    assert [batches.total("samples", update) for update in range(81)] == sums


def test_a_share_of_the_run_is_of_the_updates_that_its_data_give() -> None:
    plan = wd.Plan.of(lr=wd.Cosine(), batch_size=wd.Set(RAMP), run=RUN).over()
    total = plan.run.total_steps
    assert total is not None
    marks = plan.targets[1].rule.of.marks()
    assert marks == (round(0.4 * total + 1e-9), round(0.8 * total))


@given(
    items=st.integers(5, 400),
    epochs=st.integers(1, 6),
    values=st.lists(st.integers(1, 300), min_size=3, max_size=3),
    shares=st.lists(st.integers(0, 100), min_size=2, max_size=2),
    clock=st.sampled_from(["updates", "samples"]),
    drop_last=st.booleans(),
)
def test_the_length_of_a_run_of_epochs_is_the_updates_that_they_hold(
    items: int, epochs: int, values: list[int], shares: list[int], clock: Any, drop_last: bool
) -> None:
    marks = tuple(f"{share}%" for share in sorted(shares))
    ramp = wd.Set(wd.PiecewiseConstant(values=tuple(map(float, values)), at=marks))
    loading = Loading(items=items, drop_last=drop_last and max(values) <= items)
    run = measured({"batch_size": ramp}, wd.Run(epochs=epochs, clock=clock), loading)
    assert run.batches is not None
    assert run.total_steps == run.batches.updates_in(epochs)
    if not loading.drop_last:
        assert run.batches.total("samples", run.total_steps) == items * epochs
    assert clock == "updates" or run.length == run.batches.total("samples", run.total_steps)


def test_an_epoch_that_is_not_known_is_asked_for() -> None:
    lr = wd.Linear(steps="1ep")
    plan = wd.Plan.of(lr=lr, batch_size=wd.Set(RAMP), run=wd.Run(total_steps=100))
    with pytest.raises(wd.RunError, match=r"samples_per_epoch.*Run\(samples_per_epoch=…\)"):
        plan.over()
    known = wd.Run(total_steps=100, samples_per_step=10, samples_per_epoch=95)
    assert wd.Linear(steps="2ep").over(known).length == 20
    assert wd.Run(epochs=3, samples_per_step=10, samples_per_epoch=95).length == 30


def test_a_factor_on_a_batch_that_is_not_known_is_refused() -> None:
    plan = wd.Plan.of(
        lr=wd.Linear(steps="64samples"), batch_size=wd.Constant(), run=wd.Run(total_steps=9)
    )
    with pytest.raises(wd.RunError, match="a factor on a batch size that is not known"):
        plan.over()


def test_a_measured_run_is_the_run_that_was_given_but_for_its_lengths() -> None:
    plan = wd.Plan.of(batch_size=wd.Set(RAMP), run=wd.Run(total_steps=100)).over()
    assert plan.run == wd.Run(total_steps=100)
    assert wd.Plan.from_dict(plan.to_dict()) == plan
    assert repr(plan.run) == "Run(total_steps=100)"


def test_a_measured_plan_may_be_copied_sent_to_another_process_and_kept_in_a_set() -> None:
    plan = wd.Plan.of(lr=wd.Cosine(), batch_size=wd.Set(RAMP), run=wd.Run(total_steps=100)).over()
    assert len({plan, wd.Plan.from_dict(plan.to_dict())}) == 1
    for again in (copy.deepcopy(plan), pickle.loads(pickle.dumps(plan))):
        assert again == plan
        assert batches_of(again).total("samples", 41) == 40 * 32 + 64


def test_a_length_in_time_and_one_in_data_meet_at_the_same_update() -> None:
    sizes = wd.Set(wd.PiecewiseConstant(values=(32.0, 64.0), at=("10s",)))
    plan = wd.Plan.of(
        lr=wd.Linear(start=0.0, end=1.0, steps="320samples") >> wd.Constant(),
        batch_size=sizes,
        run=wd.Run(budget="100s", clock="seconds", seconds_per_step=2, samples_per_step=32),
    )
    # 5 updates of 32 samples in 10 seconds, then 2.5 of 64
    assert plan.over().targets[0].rule.of.part_starts() == (0, 15)
    run = wd.Run(total_steps=50, seconds_per_step=2, samples_per_step=32)
    counted = wd.Plan.of(lr=wd.Linear(steps="15s") >> wd.Constant(), batch_size=sizes, run=run)
    assert counted.over().targets[0].rule.of.part_starts() == (0, 8)
    assert batches_of(counted).total("samples", Fraction(15, 2)) == 320


@pytest.mark.parametrize(
    ("steps", "run", "words"),
    [
        ("20s", wd.Run(total_steps=99, samples_per_step=8), r"'20s'.*Run\(seconds_per_step=…\)"),
        ("64tok", wd.Run(total_steps=99), "'64tok'.*needs tokens_per_step and samples_per_step"),
        ("900samples", wd.Run(total_steps=9), "'900samples': a length beyond 6 updates"),
    ],
)
def test_a_length_whose_unit_is_not_known_or_that_never_ends_is_refused(
    steps: str, run: wd.Run, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("warmdown.batches._MOST_UPDATES", 6)
    plan = wd.Plan.of(lr=wd.Linear(steps=steps), batch_size=wd.Set(RAMP), run=run)
    with pytest.raises(wd.RunError, match=words):
        plan.over()


def test_an_epoch_without_a_whole_batch_is_refused_with_both_numbers() -> None:
    loading = Loading(items=31, drop_last=True)
    with pytest.raises(wd.RunError, match="an epoch of 31 samples has no whole batch of 32"):
        measured({"batch_size": wd.Set(RAMP)}, wd.Run(epochs=2), loading)


def test_lengths_that_part_by_the_rounding_to_whole_batches_are_taken() -> None:
    parts = [(300.0, "1600samples"), (1000.0, "5100samples"), (300.0, "60samples"), (2.0, "rest")]
    sizes = [wd.Linear(start=size, end=size, steps=steps) for size, steps in parts]
    ramp = wd.Set(sizes[0] >> sizes[1] >> sizes[2] >> sizes[3])
    run = measured({"batch_size": ramp}, wd.Run(total_steps=163))
    assert run.batches is not None
    starts = run.batches.rules["batch_size"].of.part_starts()
    found = [run.batches.total("samples", start or 0) for start in starts]
    assert found == [0, 1500, 6500, 6500]  # asked for: 0, 1600, 6700, 6760
    assert run.length == 163


@pytest.mark.parametrize(
    ("shares", "sizes", "run"),
    [
        ("80%", (300.0, 300.0, 64.0), wd.Run(budget="3000samples")),
        ("20%", (2.0, 8.0, 100.0), wd.Run(total_steps=30, clock="samples")),
    ],
)
def test_shares_of_a_length_that_no_number_of_updates_has_are_refused(
    shares: str, sizes: tuple[float, float, float], run: wd.Run
) -> None:
    first, start, end = sizes
    later = wd.Constant(value=end) if start > end else wd.Linear(start=start, end=end)
    ramp = wd.Constant(value=first, steps=shares) >> later
    with pytest.raises(wd.ScheduleError, match=r"no number of updates agrees.*budget='…samples'"):
        measured({"batch_size": wd.Set(ramp)}, run)


@pytest.mark.parametrize(("rule", "rates"), [("linear", [1.0, 2.0, 4.0]), ("sqrt", [1, 2**0.5, 2])])
def test_a_rate_follows_the_batch_by_a_rule(rule: Any, rates: list[float]) -> None:
    plan = wd.Plan.of(
        lr=wd.Constant(), batch_size=wd.Set(RAMP), run=wd.Run(total_steps=100), rate_rule=rule
    )
    assert wd.loads(wd.dumps(plan)) == plan == wd.Plan.from_dict(plan.to_dict())
    assert eval(repr(plan), {"wd": wd, **vars(wd)}) == plan  # noqa: S307
    found = plan.over()
    assert [found.targets[0].rule.of(step) for step in (0, 40, 80)] == pytest.approx(rates)
    assert found.over() == found
    assert [target.name for target in found.targets] == ["lr", "batch_size"]


def test_a_rate_follows_a_batch_that_moves_all_the_time_by_its_whole_sizes() -> None:
    moving = wd.Set(wd.Linear(start=4.0, end=16.0, steps=100))
    plan = wd.Plan.of(
        lr=wd.Constant(), batch_size=moving, run=wd.Run(total_steps=100), rate_rule="sqrt"
    )
    rate = plan.over().targets[0].rule.of
    sizes = [batches_of(plan).cut(step).size for step in range(100)]
    assert [rate(step) for step in range(100)] == pytest.approx([(s / 4) ** 0.5 for s in sizes])


def test_where_data_are_counted_a_rate_follows_a_moving_batch_in_proportion_alone() -> None:
    run = wd.Run(budget="3200samples", clock="samples", samples_per_step=32)
    moving = wd.Set(wd.Linear(start=4.0, end=16.0))
    plan = wd.Plan.of(lr=wd.Constant(value=0.5), batch_size=moving, run=run, rate_rule="linear")
    rate = plan.over().targets[0].rule.of
    assert [rate(samples) for samples in (0, 1600, 3200)] == [0.5, 1.25, 2.0]
    with pytest.raises(wd.ScheduleError, match=r"the run counts samples.*PiecewiseConstant"):
        wd.Plan.of(lr=wd.Constant(), batch_size=moving, run=run, rate_rule="sqrt").over()


def test_a_rule_without_a_batch_to_follow_is_refused() -> None:
    plan = wd.Plan.of(lr=wd.Cosine(), run=wd.Run(total_steps=9), rate_rule="sqrt")
    with pytest.raises(wd.ScheduleError, match="the plan changes no batch"):
        plan.over()
    assert [finding.code for finding in wd.check(plan)] == ["does-not-fit"]
    with pytest.raises(wd.ScheduleError, match=r"use one of none, linear, sqrt.*seesaw\(plan\)"):
        wd.Plan.of(lr=wd.Cosine(), rate_rule="seesaw")  # type: ignore[arg-type]


def halvings(plan: wd.Plan) -> list[tuple[float, float]]:
    found = plan.over()
    rate, batch = (target.rule.of for target in found.targets)
    marks = [0, *batch.marks()]
    return [(rate(mark) if mark else 1.0, batch(mark)) for mark in marks]


def test_seesaw_trades_each_halving_of_the_rate_for_its_root_and_twice_the_batch() -> None:
    plan = wd.seesaw(wd.warmup_cosine(warmup="10%", end=0.1), total_steps=1000, samples_per_step=32)
    for number, (rate, batch) in enumerate(halvings(plan)):
        assert rate == pytest.approx(2 ** -(number / 2))
        assert batch == 32 * 2**number
    given = wd.warmup_cosine(warmup="10%", end=0.1).over(1000)
    crossings = [next(k for k in range(100, 1000) if given(k) <= 0.5**j) for j in (1, 2, 3)]
    batches = batches_of(plan)
    used = [batches.total("samples", mark) / 32 for mark in plan.over().targets[1].rule.of.marks()]
    assert used == pytest.approx(crossings, abs=4)


@pytest.mark.parametrize("end", [0.0, 0.05, 0.1])
@pytest.mark.parametrize("warmup", ["10%", 77])
def test_seesaw_uses_the_same_data_in_fewer_updates(warmup: Any, end: float) -> None:
    given = wd.warmup_cosine(warmup=warmup, end=end)
    plan = wd.seesaw(given, total_steps=2000, samples_per_step=16)
    total = plan.run.total_steps
    assert total is not None
    assert 0.55 * 2000 < total < 0.8 * 2000
    largest = plan.over().targets[1].rule.of(total)
    assert batches_of(plan).total("samples", total) == pytest.approx(2000 * 16, abs=2 * largest)
    warm = given.over(2000).phases()[0].stop or 0
    assert plan.over().targets[0].rule.of(warm) == pytest.approx(1.0, abs=0.01)


def test_seesaw_fits_a_run_of_any_length_and_a_file(tmp_path: Path) -> None:
    plan = wd.seesaw(wd.warmup_cosine(), total_steps=1000)
    wd.save(plan, tmp_path / "plan.yaml")
    assert wd.load(tmp_path / "plan.yaml") == plan
    for total in (1000, 5000):
        longer = plan.over(total_steps=total, samples_per_step=8)
        last = longer.targets[1].rule.value(total - 1, 8.0)
        assert last == 8 * 2 ** len(longer.targets[1].rule.of.marks())


def test_seesaw_stops_growing_where_it_is_asked_to() -> None:
    plan = wd.seesaw(wd.warmup_cosine(warmup="10%"), total_steps=1000, most=2)
    rate, batch = (target.rule.of for target in plan.over().targets)
    assert max(batch(np.arange(1000))) == 4
    values = list(dict.fromkeys(rate(np.arange(200, 700)).tolist()))
    roots, halves = [1.0, 0.5**0.5, 0.5], [0.25, 0.125, 0.0625, 0.03125]
    assert values == pytest.approx(roots + halves)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (wd.Plan.of(lr={"a": wd.Cosine(), "b": wd.Cosine()}), "2 schedules drive the rate"),
        (wd.Plan.of(lr=wd.Scale(wd.Cosine(), low=0.1)), "a lowest value"),
        (wd.Plan.of(lr=wd.Cosine(), batch_size=wd.Set(RAMP)), "the batch changes already"),
        (wd.Cosine(end=0.2, steps=300) >> wd.Linear(start=0.2, end=0.5), "rises again"),
    ],
)
def test_seesaw_refuses_what_it_cannot_exchange(given: Any, words: str) -> None:
    with pytest.raises(wd.ScheduleError, match=words):
        wd.seesaw(given, total_steps=1000)
    for wrong in ({"factor": 1.0}, {"most": 0}):
        with pytest.raises(wd.ScheduleError, match="seesaw"):
            wd.seesaw(wd.Cosine(), total_steps=1000, **wrong)
    with pytest.raises(wd.ScheduleError, match="rest"):
        wd.seesaw(wd.Cosine())
    with pytest.raises(wd.ScheduleError, match=r"the decay is looked at update by update\. Give"):
        wd.seesaw(wd.Cosine(), total_steps=10**9)


def test_seesaw_keeps_what_leads_to_the_peak_whole_and_a_batch_that_was_given() -> None:
    """A peak within a curve, at its start, and behind two parts."""
    fall = wd.Cosine(steps=80)
    rise = wd.Linear(start=0.0, end=0.5, steps=10) >> wd.Linear(start=0.5, end=1.0, steps=10)
    whole = wd.triangular(low=0.0, high=1.0, up=20, down=80)
    for schedule, peak in ((wd.Cosine(steps=100), 0), (rise >> fall, 20), (whole, 20)):
        given = wd.Plan.of(lr=schedule, batch_size=wd.Set(16.0))
        plan = wd.seesaw(given, total_steps=100).over()
        rate, batch = (target.rule for target in plan.targets)
        assert batch.value(0, 1.0) == 16
        before = np.arange(peak + 1.0)
        np.testing.assert_allclose(rate.of(before) + 0.0 * before, schedule(before), atol=0.06)
        assert rate.of(peak + 1) <= 1.0
