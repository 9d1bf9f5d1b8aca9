"""A running loop is spoken to from the page: seen first, then sent, acknowledged, and done."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from tests.studio.pages import CONTRAST, Screens, field, opened, press, serve
from tests.studio.test_outlook import PUBLISHED
from torch.nn.parameter import Parameter

import warmdown as wd

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.browser, pytest.mark.slow]
PICTURE = (
    "warmdown.chart(Number(document.querySelector('[data-mark=tell-plot]')?.id.slice(1)))"
    "?.getOption()?.series?.map((one) => one.name)"
)


class RunningLoop(threading.Thread):
    """A small loop of two groups that records its rates, and ends when it is asked to.

    Args:
        folder: Of the run.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(daemon=True)
        self.is_over = threading.Event()
        groups: Any = [{"params": [Parameter(torch.ones(1))], "name": name}
                       for name in ("body", "head")]  # fmt: skip
        self.optimizer = torch.optim.SGD(groups, lr=3e-4)
        plan = wd.Plan.of(lr=wd.Constant(), run=wd.Run(total_steps=100_000))
        self.scheduler = wd.Scheduler(
            self.optimizer, plan, commands=wd.Commands(folder, every=16, seconds=0.05)
        )
        wd.save(plan, folder / "plan.yaml")
        self.record = wd.Record(folder / "record.jsonl")

    def run(self) -> None:
        """Train, some hundred updates a second."""
        for update in range(100_000):
            for group in self.optimizer.param_groups:
                self.record.add(update, f"lr/{group['name']}", group["lr"])
            self.optimizer.step()
            self.scheduler.step()
            self.record.flush()
            if "stop" in self.scheduler.requests or self.is_over.wait(0.005):
                break
        self.scheduler.close()

    def rates(self) -> list[float]:
        """Return the rate of each group."""
        return [group["lr"] for group in self.optimizer.param_groups]


def answer_has(tab: Page, *parts: str) -> str:
    """Wait until the answer has the parts, and return it."""
    tab.wait_for_function(
        "parts => parts.every((part) => "
        "document.querySelector('[data-mark=tell-answer]').textContent.includes(part))",
        arg=list(parts),
    )
    return tab.locator('[data-mark="tell-answer"]').text_content() or ""


def choose(tab: Page, name: str, option: str) -> None:
    """Choose of what a field offers."""
    press(tab, f"tell-{name}")
    tab.locator(".q-menu .q-item", has_text=option).click()


def test_a_loop_is_spoken_to_by_hand_and_by_what_was_seen_before(
    browser: Browser, loop: RunningLoop, tmp_path: Path
) -> None:
    (tmp_path / "law.json").write_text(PUBLISHED)
    options = ("--watch", str(tmp_path / "runs"), "--law", str(tmp_path / "law.json"))
    with serve(tmp_path, *options) as server, opened(browser) as context:
        tab = context.new_page()
        tab.goto(server.address)
        press(tab, "tell-job")
        tab.click("text=Rescale")
        field(tab, "tell-factor").fill("much")
        press(tab, "tell-send")
        answer_has(tab, "factor='much'", "not a value of it")
        field(tab, "tell-factor").fill("0.5")
        choose(tab, "target", "lr/head")
        press(tab, "tell-send")  # what was not seen is shown first
        answer_has(tab, "this would come of it", "Predicted loss at the end by lr/head", "Send it")
        tab.wait_for_function(f"({PICTURE} ?? []).join() === 'lr/head before,lr/head after'")
        assert loop.rates() == [3e-4, 3e-4]
        screens = Screens(tab)
        screens.look("seen before", without=CONTRAST)
        assert screens.problems == []
        press(tab, "tell-send")
        answer = answer_has(tab, "rescale factor=0.5 target=lr/head: from update")
        tab.wait_for_selector(f'.run >> text="{answer}"')
        assert loop.rates() == [3e-4, 1.5e-4]
        tab.click(".q-dialog >> text=Extend")
        field(tab, "tell-total_steps").fill("200000")
        press(tab, "tell-preview")
        answer_has(tab, "The run ends after 200,000 updates; before it was 100,000.")
        press(tab, "tell-send")
        answer_has(tab, "extend total_steps=200000 on_change=given: from update")
        tab.wait_for_selector('progress[max="200000"]', state="attached")
        tab.wait_for_selector("text=of 200,000 updates")
        tab.click(".q-dialog >> text=Stop")
        press(tab, "tell-send")
        answer_has(tab, "stop: from update")
        loop.join(20.0)
        assert not loop.is_alive()


def test_a_page_that_only_reads_speaks_to_no_loop(
    browser: Browser, loop: RunningLoop, tmp_path: Path
) -> None:
    options = ("--watch", str(tmp_path / "runs"), "--read-only")
    with serve(tmp_path, *options) as server, opened(browser) as context:
        tab = context.new_page()
        tab.goto(server.address)
        tab.wait_for_selector('[data-mark="run-job"]')
        assert tab.locator('[data-mark="tell-job"]').count() == 0
    assert loop.rates() == [3e-4, 3e-4]
