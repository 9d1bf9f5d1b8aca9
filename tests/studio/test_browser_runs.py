"""Runs beside each other in a real browser: found by name, ticked, smoothed, over time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tests.studio.pages import field, opened, press, serve, text_has
from torch.utils.tensorboard import SummaryWriter

import warmdown as wd

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser
PLAN = wd.Plan.of(lr=wd.warmup_cosine(end=0.1), run=wd.Run(total_steps=200, lr=3e-4))
OPTION = (
    "warmdown.chart(Number(document.querySelector('[data-mark=plot]')?.id.slice(1)))?.getOption()"
)
SERIES = f"({OPTION}?.series ?? [])"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write two runs of ours and one of TensorBoard's."""
    folder = tmp_path_factory.mktemp("runs")
    for name in ("adam", "muon"):
        (folder / name).mkdir()
        record = wd.Record(folder / name / "record.jsonl")
        for step in range(50):
            record.add(step, "lr/0", 3e-4)
            record.add(step, "loss", 2.0 + step % 2)
        record.flush()
        wd.save(PLAN, folder / name / "plan.yaml")
    with SummaryWriter(str(folder / "theirs")) as writer:
        for step in range(50):
            writer.add_scalar("train/loss", 2.0, step, walltime=1e9 + 60 * step)
    return folder


@pytest.fixture(scope="module")
def page(browser: Browser, folder: Path) -> Iterator[Page]:
    """Open the page of the runs."""
    server = serve(folder, "--watch", str(folder))
    with opened(browser) as context:
        tab = context.new_page()
        tab.goto(server.address)
        tab.wait_for_selector('[data-mark="run-theirs"]', timeout=60_000)
        yield tab
    server.close()


def names_are(page: Page, *names: str) -> None:
    """Wait until these series are drawn, in any order."""
    expected: Any = sorted(names)
    page.wait_for_function(
        f"names => {SERIES}.map((one) => one.name).sort().join() === names.join()", arg=expected
    )


def test_runs_are_found_ticked_smoothed_and_seen_over_time(page: Page) -> None:
    press(page, "tick-none")
    page.wait_for_selector("text=theirs · ", state="detached")
    field(page, "filter").fill("MU")
    page.wait_for_selector("text=1 of 3 runs have a name like that.")
    page.locator('[data-mark="run-adam"]').wait_for(state="hidden")
    press(page, "tick-all")
    names_are(page, "lr/0", "loss", "planned: lr/0")
    field(page, "filter").fill("")
    press(page, "run-theirs")
    names_are(page, "● muon: lr/0", "● muon: loss", "● muon planned: lr/0", "■ theirs: train/loss")
    slider = page.locator('[data-mark="smoothing"]')
    slider.focus()
    page.keyboard.press("End")
    smooth = f"{SERIES}.find((one) => one.name === '● muon: loss').data"
    page.wait_for_function(
        f"(({smooth} ?? []).map((one) => (one.value ?? one)[1])).slice(20)"
        ".every((y) => 2.3 < y && y < 2.7)"
    )
    names_are(
        page, "● muon: lr/0", "● muon: loss", "● muon unsmoothed: loss", "● muon planned: lr/0",
        "■ theirs: train/loss", "■ theirs unsmoothed: train/loss",
    )  # fmt: skip
    assert page.evaluate("document.activeElement.dataset.mark") == "smoothing"
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert slider.input_value() == "0.97"  # it stays where it was put, though the page is drawn
    page.click("text=Time")
    page.wait_for_function(f"{OPTION}?.xAxis?.at(-1).name === 'time, minutes'")
    names_are(page, "■ theirs: train/loss", "■ theirs unsmoothed: train/loss")
    page.wait_for_selector("text=muon: it holds no times.")


def test_the_focus_stays_while_rows_come_and_a_run_leads_to_its_plan(
    page: Page, folder: Path
) -> None:
    bar = page.locator("progress").first
    assert (bar.get_attribute("value"), bar.get_attribute("max")) == ("50", "200")
    page.wait_for_selector("text=50 of 200 updates")
    box = page.locator('[data-mark="run-adam"]')
    box.focus()
    record = wd.Record.resume(folder / "adam" / "record.jsonl", 50)
    record.add(50, "lr/0", 3e-4, "another hand wrote lr")
    record.flush()
    page.wait_for_selector("text=51 of 200 updates")
    assert page.evaluate("document.activeElement.dataset.mark") == "run-adam"
    was_ticked = box.get_attribute("aria-checked")
    page.keyboard.press("Space")
    page.wait_for_function(
        "was => document.activeElement.getAttribute('aria-checked') !== was", arg=was_ticked
    )
    with page.context.expect_page() as opening:
        page.click('[data-mark="plan-adam"]')
    plan = opening.value
    plan.wait_for_selector('[data-mark="phase-0"]')
    text_has(plan, "total_steps", "200")


def pilot_in(folder: Path, name: str, stop: int, drop_at: int) -> Path:
    """Write the record of a run whose loss answers to a drop of the rate, beside its plan."""
    (folder / name).mkdir(parents=True)
    record = wd.Record(folder / name / "record.jsonl")
    total = 0.0
    for step in range(0, stop, 10):
        rate = 3e-4 if step < drop_at else 1e-4
        total += 10 * rate
        drop = 0.1 * (1 - np.exp(-max(step - drop_at, 0) / 400))
        record.add(step, "lr/0", rate)
        record.add(step, "loss", 2.6 + 0.6 * (total + 0.01) ** -0.45 - drop)
    record.flush()
    steps = wd.Milestones(at=(drop_at,), gamma=1 / 3)
    plan = wd.Plan.of(lr=steps, run=wd.Run(total_steps=4000, lr=3e-4))
    wd.save(plan, folder / name / "plan.yaml")
    return folder / name / "record.jsonl"


LAST = f"name => {SERIES}.find((one) => one.name === name).data.at(-1)[0]"


@pytest.mark.slow
def test_a_law_fitted_to_the_ticked_runs_or_given_predicts_their_losses(
    browser: Browser, tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    whole = pilot_in(runs, "whole", 4000, 2500)
    pilot_in(runs, "going", 2000, 3000)
    with SummaryWriter(str(runs / "theirs")) as writer:
        for step in range(50):
            writer.add_scalar("train/loss", 2.0, step)
    wd.fit_loss([whole]).save(tmp_path / "law.json")

    def predicts(tab: Page, words: str, *names: str) -> None:
        read = "words => document.querySelector('#law-words').textContent === words"
        tab.wait_for_function(read, arg=words)
        tab.wait_for_function(
            f"names => {SERIES}.filter((one) => one.type === 'line' && one.name.includes("
            "'predicted')).map((one) => one.name).sort().join() === names.join()",
            arg=sorted(names),
        )

    with serve(tmp_path, "--watch", str(runs)) as server, opened(browser) as context:
        tab = context.new_page()
        tab.goto(server.address)
        tab.wait_for_selector('[data-mark="run-theirs"]', timeout=60_000)
        press(tab, "tick-none")
        press(tab, "law-fit")
        predicts(tab, "Tick a run first.")
        press(tab, "law-save")
        predicts(tab, "There is no law yet. Fit one to ticked runs first.")
        press(tab, "run-theirs")
        press(tab, "law-fit")
        predicts(tab, "theirs: no rate is recorded. Untick it, or record the rate too.")
        press(tab, "run-theirs")
        press(tab, "run-whole")
        press(tab, "law-fit")
        fitted = "A law fitted to whole predicts the loss, with a 90 % interval."
        predicts(tab, fitted, "predicted loss")
        with tab.expect_download() as coming:
            press(tab, "law-save")
        assert coming.value.suggested_filename == "law.json"
        assert coming.value.path().read_text() == (tmp_path / "law.json").read_text()
        assert tab.locator('[data-mark="latest"] th').all_text_contents()[4:6] == [
            "Predicted final loss", "lr/0",
        ]  # fmt: skip
        cells = tab.locator('[data-mark="latest"] td').all_inner_texts()
        predicted, recorded = (float(cells[column].split()[0]) for column in (3, 5))
        assert predicted == pytest.approx(recorded, rel=0.02)
        press(tab, "run-going")
        both = "● whole: predicted loss", "■ going: predicted loss"
        predicts(tab, fitted, *both)
        # the run that goes on is predicted to the end of its plan
        assert tab.evaluate(LAST, both[1]) == 4000
        assert tab.evaluate(LAST, "■ going: loss") == 1990
        press(tab, "run-theirs")
        tab.wait_for_selector("text=theirs: no rate is recorded or planned")
        press(tab, "law-forget")
        predicts(tab, "")
    options = ("--watch", str(runs), "--law", str(tmp_path / "law.json"))
    with serve(tmp_path, *options) as server, opened(browser) as context:
        tab = context.new_page()
        tab.goto(server.address)
        tab.wait_for_selector('[data-mark="run-whole"]', timeout=60_000)
        press(tab, "tick-none")
        tab.wait_for_selector('[data-mark="run-whole"][aria-checked="false"]')
        press(tab, "run-whole")
        given = "The given law predicts the loss, with a 90 % interval."
        predicts(tab, given, "predicted loss")
