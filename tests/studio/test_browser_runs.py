"""Runs beside each other in a real browser: found by name, ticked, smoothed, over time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
    assert page.locator('[data-mark="run-adam"]').is_hidden()
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
