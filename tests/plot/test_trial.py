"""What a running job would do is drawn and put in words: values, length and predicted loss."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.studio.test_outlook import PUBLISHED

from warmdown.forecast import Law
from warmdown.plot.trial import trial_finals, trial_lines, trial_sentences
from warmdown.studio.preview.outlook import read_law

STEPS = np.linspace(0, 29_999, 400).round()


def curves(factor: float = 0.5, ends: tuple[int | None, int | None] = (20_000, 30_000)) -> Any:
    """Return the answer to a trial of a run with two groups, of which one is scaled."""
    rates = np.full(STEPS.size, 3e-4)
    lines = {
        "lr/body": {"before": rates.tolist(), "after": (factor * rates).tolist()},
        "lr/head": {"before": rates.tolist(), "after": rates.tolist()},
    }
    return {"steps": STEPS.tolist(), "lines": lines, "ends": list(ends)}


@pytest.fixture(scope="module")
def law() -> Law:
    return read_law({"law.json": PUBLISHED})


def test_only_what_changes_is_drawn_each_to_the_end_of_its_run() -> None:
    before, after = trial_lines(curves())["lr/body"]
    assert (before.label, after.label) == ("lr/body before", "lr/body after")
    assert before.steps[-1] < 20_000 < after.steps[-1]
    assert (after.values == 1.5e-4).all()
    assert list(trial_lines(curves(ends=(None, None)))) == ["lr/body"]
    assert trial_lines(curves(1.0, (9, 9))) == {}


def test_the_length_is_put_in_words_and_nothing_is_said_to_change_where_nothing_does() -> None:
    longer = "The run ends after 30,000 updates; before it was 20,000."
    assert trial_sentences(curves()) == [longer]
    assert trial_sentences(curves(1.0, (9, 9))) == ["No value changes."]
    assert "has no end" in trial_sentences(curves(ends=(9, None)))[0]


def test_the_loss_is_predicted_to_the_end_of_each_run_and_not_beyond(law: Law) -> None:
    final = trial_finals(curves(1.0), law)["lr/body"]
    assert final["after"].predicted < final["before"].predicted  # it trains for longer
    alone = law.final_of(STEPS[STEPS < 20_000], np.full((STEPS < 20_000).sum(), 3e-4))
    assert final["before"] == alone
    assert f"{alone} before" in trial_sentences(curves(1.0), law)[1]


def test_a_rate_that_the_law_cannot_speak_about_is_a_sentence(law: Law) -> None:
    assert "its rate is 0 all along" in trial_sentences(curves(0.0), law)[-1]
