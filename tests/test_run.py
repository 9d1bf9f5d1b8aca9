"""Durations become clock units on a run."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import warmdown as wd
from warmdown.run import check_duration

FULL = wd.Run(
    total_steps=10_000,
    steps_per_epoch=500,
    samples_per_step=256,
    tokens_per_step=1e6,
    seconds_per_step=0.5,
    lr=3e-4,
)


@pytest.mark.parametrize(
    ("duration", "updates"),
    [
        (500, 500), ("500", 500), ("500 steps", 500), ("5%", 500), ("0.01%", 1), ("2.5 %", 250),
        ("10ep", 5000),
        ("0.5 epochs", 250), ("2e9tok", 2000), ("8192samples", 32), ("1h30m", 10_800), ("45s", 90),
        ("1d", 172_800),
        ("2min", 240), ("0", 0), ("0%", 0), ("rest", None),
    ],
)  # fmt: skip
def test_a_duration_is_measured_in_updates(duration: int | str, updates: int | None) -> None:
    assert FULL.measure(duration) == updates


def test_halves_round_up() -> None:
    assert wd.Run(total_steps=50).measure("5%") == 3
    assert wd.Run(total_steps=50).measure("4.9%") == 2


@given(share=st.decimals(0, 100, places=3), total=st.integers(1, 10**9))
def test_a_share_never_exceeds_the_whole(share: Any, total: int) -> None:
    measured = wd.Run(total_steps=total).measure(f"{share}%")
    assert measured is not None
    assert 0 <= measured <= total


@pytest.mark.parametrize(
    "duration",
    [
        0.5,
        1.0,
        True,
        -1,
        None,
        "",
        "%",
        "5%%",
        "0.5",
        "five",
        "1e400tok",
        "nan",
        "inf",
        "-3ep",
        "9" * 50,
        "1h5",
        10**16,
    ],
)
def test_what_is_no_duration_is_refused_with_the_forms_there_are(duration: Any) -> None:
    with pytest.raises(wd.RunError, match=r"Write an int for updates, or '5%', '10ep'"):
        check_duration(duration)


@pytest.mark.parametrize(
    ("duration", "fact"),
    [
        ("2ep", "steps_per_epoch"),
        ("8samples", "samples_per_step"),
        ("1tok", "tokens_per_step"),
        ("2h", "seconds_per_step"),
    ],
)
def test_a_unit_the_run_cannot_measure_names_the_missing_fact(duration: str, fact: str) -> None:
    with pytest.raises(
        wd.RunError,
        match=rf"'{duration}' needs to know {fact}. Give "
        rf"Run\({fact}=…\)",
    ):
        wd.Run(total_steps=100).measure(duration)


def test_a_length_can_be_known_before_it_is_rounded() -> None:
    run = wd.Run(total_steps=5, steps_per_epoch=5)
    assert [run.exactly(length) for length in ("50%", "0.5ep", 3, "rest")] == [
        Fraction(5, 2),
        Fraction(5, 2),
        3,
        None,
    ]


@pytest.mark.parametrize("total", [0, 10**16, 10**400])
def test_a_count_out_of_range_is_refused_with_the_range_and_not_all_its_digits(total: int) -> None:
    with pytest.raises(
        wd.RunError, match=r"a whole number of at least 1 is needed. At most 1e\+15"
    ) as error:
        wd.Run(total_steps=total)
    assert len(str(error.value)) < 120


def test_a_share_of_an_unknown_whole_is_refused() -> None:
    with pytest.raises(
        wd.RunError,
        match=r"'5%' is a share of the whole run, whose length is not "
        r"known",
    ):
        wd.Run().measure("5%")


def test_epochs_and_their_updates_give_the_total() -> None:
    assert wd.Run(epochs=20, steps_per_epoch=500).total_steps == 10_000


def test_a_run_may_stop_before_its_epochs_end_but_not_after() -> None:
    assert wd.Run(epochs=2, steps_per_epoch=10, total_steps=15).length == 15
    with pytest.raises(wd.RunError, match="2 epochs hold only 20 updates"):
        wd.Run(epochs=2, steps_per_epoch=10, total_steps=21)


@pytest.mark.parametrize(
    "facts",
    [
        {"total_steps": 0}, {"total_steps": 2.5}, {"total_steps": True}, {"steps_per_epoch": -1},
        {"samples_per_step": 0},
        {"tokens_per_step": float("nan")}, {"lr": -1.0}, {"clock": "epochs"}, {"budget": "5%"},
        {"budget": "rest"},
    ],
)  # fmt: skip
def test_a_fact_that_cannot_be_is_refused_at_the_door(facts: dict[str, Any]) -> None:
    with pytest.raises(wd.RunError, match=rf"Run\({next(iter(facts))}="):
        wd.Run(**facts)


def test_a_clock_of_tokens_measures_everything_in_tokens() -> None:
    run = wd.Run(budget="2e9tok", clock="tokens", tokens_per_step=1e6, steps_per_epoch=100)
    assert run.length == 2_000_000_000
    assert run.measure("10%") == 200_000_000
    assert run.measure(3) == 3_000_000
    assert run.measure("1ep") == 100_000_000


def test_a_clock_of_seconds_needs_no_updates_for_shares_and_times() -> None:
    run = wd.Run(budget="2h", clock="seconds")
    assert (run.length, run.measure("10%"), run.measure("90s")) == (7200, 720, 90)
    with pytest.raises(wd.RunError, match="seconds_per_step"):
        run.measure(100)


def test_facts_come_back_as_they_were_given() -> None:
    facts = {"total_steps": 100, "steps_per_epoch": 10, "lr": 0.1}
    assert wd.Run(**facts).to_dict() == facts  # type: ignore[arg-type]
    assert wd.Run(budget="2h", clock="seconds").to_dict() == {"budget": "2h", "clock": "seconds"}
