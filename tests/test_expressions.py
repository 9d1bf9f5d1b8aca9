"""Numbers as text: parsed and walked, never run."""

from __future__ import annotations

import math
from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import warmdown as wd
from warmdown.errors import RunError
from warmdown.expressions import PLACEHOLDERS, evaluate, run_facts
from warmdown.placeholders import TrainerPlaceholderValues

FACTS = run_facts(wd.Run(epochs=20, steps_per_epoch=500, lr=1e-3))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        (" 5 ", 5),
        ("-.5", -0.5),
        ("+2.", 2),
        ("1_000", 1000),
        ("%TOTAL_STEPS%", 10_000),
        ("%total_steps% * 0.1", 1000),
        ("%LR% / 10", 1e-4),
        ("%EPOCHS% * %STEPS_PER_EPOCH%", 10_000),
        ("%NUM_EPOCHS% * %NUM_UPDATE_STEPS_PER_EPOCH%", 10_000),
        ("(%TOTAL_STEPS% - 100) // 3", 3300),
        ("-%LR%", -1e-3),
        ("+%LR%", 1e-3),
        ("2 ** 10 + 1", 1025),
        ("1/3", 1 / 3),
        ("((1 + 2) * 3) - -4", 13),
        ("2**-1", 0.5),
    ],
)
def test_numbers_placeholders_and_their_arithmetic_have_a_value(text: str, value: float) -> None:
    assert evaluate(text, FACTS) == pytest.approx(value, rel=1e-15)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not a number"),
        ("abc", "not a number"),
        ("__import__('os')", "not a number"),
        ("%TOTAL_STEPS%.real", "not a number"),
        ("[1][0]", "not a number"),
        ("1 if 1 else 2", "not a number"),
        ("1e", "not arithmetic"),
        ("1 +", "not arithmetic"),
        ("(1", "not arithmetic"),
        ("%LR%%LR%", "not arithmetic"),
        ("2%LR%", "not arithmetic"),
        ("%LR%2", "not arithmetic"),
        ("0777 + 1", "not arithmetic"),
        ("1e18 ** 64", "larger than 1e\\+18 on the way"),
        ("_ + 1", "not arithmetic"),
        ("(-8) ** (1/3)", "not arithmetic"),
        ("1 / 0", "divides -?[0-9]+ by zero"),
        ("0 ** -1", "divides 0 by zero"),
        ("%TOTAL_STEPS% // (%EPOCHS% - 20)", "divides 10000 by zero in this run"),
        ("1e400", "not a finite number"),
        ("9**9**9", r"larger than 1e\+18 on the way"),
        ("2 ** 65", r"larger than 1e\+18 on the way"),
        ("9" * 100 + " + 1", r"larger than 1e\+18 on the way"),
        ("1+" * 150 + "1", "longer than 200 characters"),
        ("(" * 100 + "1" + ")" * 99, "not arithmetic"),
        ("%TOTAL_STPES%", r"no placeholder %TOTAL_STPES%. Did you mean 'TOTAL_STEPS'"),
        (
            "%TOKENS_PER_STEP%",
            "needs the run's tokens_per_step, which is not known. Give run: {tokens_per_step: …}",
        ),
        ("5%", "not a number"),
    ],
)
def test_what_is_no_arithmetic_or_has_no_end_is_refused(text: str, said: str) -> None:
    with pytest.raises(RunError, match=said):
        evaluate(text, FACTS)


@given(st.text(alphabet="0123456789+-*/() .eE_%TOALSEPR", max_size=60))
@example("-" * 199 + "1")
@example("1" + "e" * 50)
@example("(" * 199)
@example("1_0__0 + 1")
def test_any_text_is_a_finite_number_or_refused_by_our_own_error(text: str) -> None:
    with suppress(RunError):
        assert math.isfinite(evaluate(text, FACTS))


@given(
    st.recursive(
        st.integers(1, 99).map(str),
        lambda part: st.builds("({} {} {})".format, part, st.sampled_from("+-*"), part),
        max_leaves=8,
    )
)
def test_arithmetic_agrees_with_the_language(text: str) -> None:
    assert evaluate(text, {}) == eval(text)  # noqa: S307  # the text is made here


def test_two_facts_tell_the_third() -> None:
    assert run_facts(wd.Run(total_steps=100, steps_per_epoch=20))["EPOCHS"] == 5
    assert run_facts(wd.Run(total_steps=100, epochs=8))["STEPS_PER_EPOCH"] == 12.5
    assert run_facts(wd.Run(total_steps=100))["EPOCHS"] is None


def test_the_trainers_placeholders_are_all_known() -> None:
    assert {each.name for each in TrainerPlaceholderValues} <= PLACEHOLDERS.keys()


def test_the_trainers_counts_are_whole_where_an_epoch_is_cut_short() -> None:
    cut, shared = (
        run_facts(wd.Run(total_steps=101, steps_per_epoch=20)),
        run_facts(wd.Run(total_steps=100, epochs=8)),
    )
    assert (cut["EPOCHS"], cut["NUM_EPOCHS"]) == (5.05, 6)
    assert (shared["STEPS_PER_EPOCH"], shared["NUM_UPDATE_STEPS_PER_EPOCH"]) == (12.5, 13)


def test_what_only_a_trainer_knows_is_said_to_be_so() -> None:
    with pytest.raises(
        RunError, match="only a Trainer knows %TRAIN_DATALOADER_LEN%, once it has its data"
    ):
        evaluate("%TRAIN_DATALOADER_LEN% / 2", FACTS)
    assert (
        evaluate("%TRAIN_DATALOADER_LEN% / 2", run_facts(wd.Run(), {"TRAIN_DATALOADER_LEN": 9}))
        == 4.5
    )
