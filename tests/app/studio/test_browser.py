"""The page in a real browser: typed on, read, measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser


def test_the_documents_example_is_typed_into_an_empty_window_and_its_table_read_back(tab: Page) -> None:
    tab.click('[data-mark="pick-class"]')
    tab.locator('[data-mark="t0.p0.@path"]').fill("torch.optim.lr_scheduler.MultiStepLR")
    tab.locator('[data-mark="t0.p0.milestones"]').fill("50,100,150")
    tab.locator('[data-mark="t0.p0.gamma"]').fill(".5")
    tab.locator('[data-mark="run.total_steps"]').fill("200")
    tab.locator('[data-mark="g0.name"]').fill("LoRA Unet")
    tab.locator('[data-mark="g0.lr"]').fill("1e-4")
    tab.click('[data-mark="add-group"]')
    tab.locator('[data-mark="g1.name"]').fill("Embedding")
    tab.locator('[data-mark="g1.lr"]').fill("1e-3")
    table = tab.locator('[data-mark="values"]')
    table.locator("tr", has_text="150+").wait_for()
    rows = [row.split("\t")[:3] for row in table.inner_text().splitlines() if row[:1].isdigit()]
    assert rows == [
        ["0", "1e-4", "1e-3"],
        ["50", "5e-5", "5e-4"],
        ["100", "2.5e-5", "2.5e-4"],
        ["150+", "1.25e-5", "1.25e-4"],
    ]
