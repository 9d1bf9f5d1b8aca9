"""What a law says of the plan on the page: beside ``law.predict``, in words, and on the page."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tests.studio.pages import Simulated, shown, until
from tests.studio.test_page import WARMED, errors, field, marks, texts
from tests.studio.test_page_edit import happen

import warmdown as wd
from warmdown.errors import SpecError
from warmdown.forecast import Law
from warmdown.plot.view import View
from warmdown.studio.draft.document import read
from warmdown.studio.draft.files import document_from
from warmdown.studio.preview.chart import Layer, options
from warmdown.studio.preview.outlook import Outlook, foresee, law_or_log, read_law, with_loss
from warmdown.studio.preview.preview import Preview, preview, row_texts, summarize

if TYPE_CHECKING:
    from nicegui.testing import User

PUBLISHED = (
    '{"L0": 2.6514477, "A": 0.60115152, "a": 0.45295811, "B": 437.9464276,'
    ' "C": 2.13245612, "b": 0.59785199, "g": 0.65523644}'
)
PLANS: list[dict[str, Any]] = [
    {"run": {"total_steps": 24_000, "lr": 3e-4}, "lr": {"kind": "wsd", "warmup": "9%"}},
    {"run": {"total_steps": 600, "lr": 3e-4}, "lr": "cosine"},
    {"run": {"total_steps": 10**9, "lr": 3e-4}, "lr": {"kind": "warmup_cosine", "end": 0.1}},
    {"run": {"total_steps": 9000}, "lr": {"set": [{"kind": "linear", "start": 3e-4, "end": 1e-5}]}},
]


@pytest.fixture(scope="module")
def law() -> Law:
    """Return a published law."""
    return read_law({"law.json": PUBLISHED})


@pytest.mark.parametrize("data", PLANS, ids=["wsd", "short", "long", "set"])
def test_the_page_predicts_what_the_law_predicts(law: Law, data: dict[str, Any]) -> None:
    seen = preview(data, {})
    assert seen.plan is not None
    outlook, whole = foresee(law, seen, {}), law.predict(seen.plan)
    assert outlook.forecast is not None
    np.testing.assert_allclose(outlook.forecast.final, whole.final, rtol=2e-6)
    between = np.interp(outlook.forecast.steps, whole.steps, whole.loss)
    settled = outlook.forecast.steps > 0.1 * whole.steps[-1]
    np.testing.assert_allclose(outlook.forecast.loss[settled], between[settled], rtol=2e-3)
    assert str(whole.final) in outlook.text
    assert outlook.forecast.steps.size < whole.steps.size


def test_a_run_with_many_restarts_is_looked_at_at_few_steps(law: Law) -> None:
    restarts = {"kind": "repeat", "of": {"kind": "cosine", "steps": 100}}
    seen = preview({"run": {"total_steps": 20_000, "lr": 3e-4}, "lr": restarts}, {})
    forecast = foresee(law, seen, {}).forecast
    assert forecast is not None
    assert 8 < forecast.steps.size < 70
    assert forecast.steps[-1] == 20_000


def test_a_window_is_looked_at_closely(law: Law) -> None:
    seen = preview(PLANS[0], {})
    outlook = foresee(law, seen, {}, (20_000, 20_100))
    assert outlook.forecast is not None
    steps = outlook.forecast.steps
    assert np.count_nonzero((steps >= 20_000) & (steps <= 20_100)) > 90
    (line,) = outlook.lines((20_000, 20_100))
    assert line.steps[0] < outlook.lines(None)[0].steps[0]


def test_the_law_follows_the_first_group_and_says_so(law: Law) -> None:
    data = {"run": {"total_steps": 1000, "lr": 3e-4}, "lr": "cosine"}
    seen = preview(data, {"a": {"lr": 1e-4}, "b": {"lr": 9e-4}})
    outlook = foresee(law, seen, {"a": {"lr": 1e-4}, "b": {"lr": 9e-4}})
    assert outlook.forecast is not None
    assert outlook.forecast.rates.max() < 1.001e-4
    assert outlook.text.endswith("Of several rates the law follows lr/a.")


SILENT = [
    ({"run": {"total_steps": 1000}, "lr": "cosine"}, "a base rate that is not known. Type it"),
    ({"run": {"total_steps": 1000}, "momentum": "cosine"}, "it drives no learning rate."),
    ({"run": {"lr": 1e-3}, "lr": {"kind": "inverse_sqrt", "timescale": 10}}, "length is not known"),
    ({"run": {"total_steps": 100, "lr": 1.0}, "lr": {"kind": "constant", "value": 0}}, "rate is 0"),
]


@pytest.mark.parametrize(("data", "why"), SILENT)
def test_where_the_law_cannot_speak_it_says_why(law: Law, data: Any, why: str) -> None:
    seen = preview(data, {})
    assert seen.mistakes == ()
    outlook = foresee(law, seen, {})
    assert outlook.forecast is None
    assert outlook.text.startswith("The law cannot speak about this plan: ")
    assert why in outlook.text
    assert "Run(" not in outlook.text
    assert outlook.lines(None) == ()


def test_a_plan_beyond_the_pilots_is_marked_as_extrapolated(law: Law) -> None:
    beside = Law(law.members, (wd.forecast.law.Pilot("a", 1000, 0.3, 3e-4, 0.0),))
    data = {"run": {"total_steps": 5000, "lr": 3e-3}, "lr": {"kind": "wsd"}}
    text = foresee(beside, preview(data, {}), {}).text
    assert "Extrapolated: 5.0 times the longest pilot." in text
    assert "Extrapolated: a peak 10.0 times that of the pilots." in text


def test_curves_that_another_process_drew_are_predicted_by_their_points(law: Law) -> None:
    seen = preview(PLANS[1], {})
    drawn, known = foresee(law, Preview(seen.view), {}), foresee(law, seen, {})
    assert drawn.forecast is not None
    assert known.forecast is not None
    np.testing.assert_allclose(drawn.forecast.final, known.forecast.final, rtol=1e-3)


def test_words_and_table_have_the_loss_of_each_row(law: Law) -> None:
    seen = preview(PLANS[0], {})
    assert seen.plan is not None
    told = with_loss(summarize(seen.view, seen.plan), foresee(law, seen, {}))
    assert "Predicted final loss 2.92" in told.text
    assert told.labels == ("lr", "predicted loss")
    curve = wd.forecast.RateCurve.of(seen.plan)
    for step, _, (_, loss) in told.rows[1:]:
        assert loss == pytest.approx(law.along(curve, np.array([float(step)])).loss[0], rel=1e-5)
    assert row_texts(told)[0][1:3] == ("0", "–")
    assert with_loss(told, Outlook()) == told


def test_the_loss_stands_under_the_rate_with_its_band_and_never_on_a_logarithmic_axis(
    law: Law,
) -> None:
    seen = preview(PLANS[0], {})
    lines = (*seen.view.lines, *foresee(law, seen, {}).lines(None))
    option = options([Layer(lines)], 24_000, log=True, dark=False)
    assert [axis["name"] for axis in option["yAxis"]] == ["learning rate", "predicted loss"]
    assert [axis["type"] for axis in option["yAxis"]] == ["log", "value"]
    _, loss, band = option["series"]
    assert (band["type"], band["yAxisIndex"], loss["yAxisIndex"]) == ("custom", 1, 1)
    assert band["name"] == loss["name"]
    points = zip(*loss["points"].values(), strict=True)
    for (step, low, high), (at, value) in zip(band["data"], points, strict=True):
        assert step == at
        assert low < value < high


LAWS = [
    ("law.json", PUBLISHED, "law"), ("a.json", '{"warmdown_law": 1, "laws": []}', "law"),
    ("trainer_state.json", '{"log_history": []}', "log"), ("run.jsonl", "", "log"),
    ("plan.json", '{"lr": "cosine"}', ""), ("plan.yaml", "L0: 1", ""), ("x.json", "[1]", ""),
    ("x.json", "{", ""),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text", "kind"), LAWS)
def test_laws_logs_and_plans_are_told_apart(name: str, text: str, kind: str) -> None:
    assert law_or_log(name, text) == kind


def test_a_log_that_tells_nothing_is_refused_by_its_own_name_and_no_path() -> None:
    with pytest.raises(SpecError, match="no column is the rate") as caught:
        read_law({"my runs/a b.csv": "step,loss\n" + "1,2\n" * 20})
    assert "/" not in str(caught.value)
    with pytest.raises(SpecError, match=r"^law\.json: no law of version"):
        read_law({"law.json": '{"warmdown_law": 7}'})


def test_a_law_that_was_fitted_or_published_comes_back_from_its_text() -> None:
    plan = wd.Plan.of(lr=wd.warmup_cosine(warmup="5%"), run=wd.Run(6000, lr=3e-4))
    for files in ({"pilot.csv": log_text()}, {"law.json": PUBLISHED}):
        law = read_law(files)
        again = read_law({"law.json": law.to_json()})
        assert (again.name, again.pilots, again.notes) == (law.name, law.pilots, law.notes)
        np.testing.assert_allclose(
            again.predict(plan).loss, law.predict(plan).loss, rtol=1e-12, atol=0
        )


def log_text() -> str:
    """Return the log of a run whose rate falls, as CSV."""
    steps = np.arange(100, 8000, 40)
    rates = np.where(steps < 5000, 3e-4, 1e-4)
    fall = 0.6 * (np.cumsum(rates) * 40) ** -0.45
    losses = 2.6 + fall - 0.1 * (1 - np.exp(-np.maximum(steps - 5000, 0) / 400))
    rows = zip(steps, rates, losses, strict=True)
    return "step,lr,loss\n" + "".join(f"{s},{r},{loss}\n" for s, r, loss in rows)


def test_a_law_is_chosen_fitted_and_dropped_on_the_page_and_follows_what_is_typed(
    page_of: Callable[..., Simulated], tmp_path: Path
) -> None:
    (tmp_path / "law.json").write_text(PUBLISHED)
    (tmp_path / "plan.json").write_text(json.dumps({"lr": "cosine"}))
    (tmp_path / "pilot.csv").write_text(log_text())
    (tmp_path / "long.json").write_text(json.dumps({"log_history": [{"step": 1}] * 100_000}))
    simulated = page_of(WARMED)

    async def act(user: User) -> None:
        user.find(marker="law").click()
        await until(lambda: bool(field(user, "law-law.json") and field(user, "log-pilot.csv")))
        assert field(user, "log-long.json")  # 1.3 MB, more than a plan may have
        with pytest.raises(AssertionError):
            user.find(marker="law-plan.json")
        user.find(marker="law-law.json").click()
        await until(lambda: "Predicted final loss" in texts(user, "law-says"))
        before = texts(user, "law-says")
        user.find(marker="keep").click()
        await until(lambda: "loss " in texts(user, "loss-0"))
        assert texts(user, "loss-0").removeprefix("loss ") in before
        user.find(marker="plan.run.total_steps").clear().type("9000")
        await until(lambda: texts(user, "law-says") not in ("", before))
        seen = preview(read(typed(9000)).data, {})
        assert seen.plan is not None
        said = str(read_law({"law.json": PUBLISHED}).predict(seen.plan).final)
        await until(lambda: said in texts(user, "law-says"))
        user.find(marker="log-pilot.csv").click()
        user.find(marker="law-fit").click()
        await until(lambda: bool(simulated.app.law and simulated.app.law.pilots))
        user.find(marker="law").click()
        await until(lambda: bool(field(user, "law-drop")))
        user.find(marker="law-drop").click()
        await until(lambda: texts(user, "law-says") == "" and simulated.app.law is None)

    simulated.visit(act)


def typed(steps: int) -> Any:
    """Return the document with another length."""
    rise = {"kind": "linear", "start": 0.01, "end": 1, "steps": "10%"}
    return document_from(
        {"run": {"total_steps": steps, "lr": "1e-3"}, "lr": [rise, {"kind": "cosine"}]}
    )


@pytest.mark.usefixtures("answered_here")
def test_a_training_state_that_is_dropped_is_a_plan_or_a_log_as_is_asked(
    page_of: Callable[..., Simulated],
) -> None:
    rows = [line.split(",") for line in log_text().splitlines()[1:]]
    history = [
        {"step": int(step), "learning_rate": float(rate), "loss": float(loss)}
        for step, rate, loss in rows
    ]
    state = json.dumps({"log_history": history, "max_steps": 8000, "global_step": 7980})
    simulated = page_of(WARMED)

    async def act(user: User) -> None:
        user.find(marker="law").click()
        await until(lambda: "No law and no log lies in" in shown(user))
        for mark in ("take-plan", "take-log"):
            happen(user, "dropped", {"name": "trainer_state.json", "text": state})
            await until(lambda: mark in marks(user))  # noqa: B023
            user.find(marker=mark).click()
            if mark == "take-plan":
                await until(lambda: "trainer_state.json leaves something open" in shown(user))
                assert "those of no schedule that can be told from the log alone" in shown(user)
                assert simulated.app.law is None
        await until(lambda: simulated.app.law is not None)
        user.find(marker="law").click()
        await until(lambda: "law-save" in marks(user))
        user.find(marker="law-save").click()
        assert simulated.app.law is not None
        assert (await user.download.next()).text == simulated.app.law.to_json()
        happen(user, "dropped", {"name": "empty.csv", "text": "step,loss\n"})
        await until(lambda: any("empty.csv" in error for error in errors(user)))

    simulated.visit(act)


def test_what_has_no_number_or_no_rate_is_said_instead(law: Law) -> None:
    seen = preview(PLANS[0], {})
    none = Preview(View(lines=tuple(replace(one, unit="momentum") for one in seen.view.lines)))
    assert "drives no rate whose base rate is known" in foresee(law, none, {}).text
    assert seen.plan is not None
    words = summarize(seen.view, seen.plan)
    told = with_loss(words, foresee(law, none, {}))
    assert told.text == f"{words.text}\n\n{foresee(law, none, {}).text}"
    assert told.rows == words.rows
