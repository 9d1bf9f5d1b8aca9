"""The page in a real browser: the document's example is typed and read back; no press is lost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from tests.studio.pages import field, press, text_has

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser


def test_the_documents_example_is_typed_into_an_empty_window_and_its_table_read_back(
    tab: Page,
) -> None:
    press(tab, "pick-class")
    field(tab, "plan.lr.class_path").fill("torch.optim.lr_scheduler.MultiStepLR")
    field(tab, "plan.lr.init_args.milestones").fill(
        "50,100,150", timeout=120_000
    )  # torch is imported meanwhile
    field(tab, "plan.lr.init_args.gamma").fill(".5")
    field(tab, "plan.run.total_steps").fill("200")
    field(tab, "groups[0].name").fill("LoRA Unet")
    field(tab, "groups[0].lr").fill("1e-4")
    press(tab, "add-group")
    field(tab, "groups[1].name").fill("Embedding")
    field(tab, "groups[1].lr").fill("1e-3")
    table = tab.locator('[data-mark="values"]')
    table.locator("tr", has_text="1.25e-4").wait_for()
    assert rows_of(table.inner_text()) == [
        ["0", "1e-4", "1e-3"],
        ["50", "5e-5", "5e-4"],
        ["100", "2.5e-5", "2.5e-4"],
        ["150+", "1.25e-5", "1.25e-4"],
    ]


def rows_of(table: str) -> list[list[str]]:
    """Return the step and the two values of each row, without the column of what happens."""
    return [row.split("\t")[:3] for row in table.splitlines() if row[:1].isdigit()]


def test_a_press_acts_though_the_page_moves_or_is_built_anew_before_the_release(tab: Page) -> None:
    press(tab, "pick-cosine")
    field(tab, "plan.lr.end").fill("0.25")
    with held_down(tab, "add-group"):
        tab.evaluate("document.querySelector('main, .side').style.marginTop = '90px'")
    field(tab, "groups[1].name").wait_for()
    with held_down(tab, "tab-words"):
        tab.evaluate("document.querySelector('.below').style.marginTop = '90px'")
    tab.wait_for_selector(".words p:visible")
    text_has(tab, "end: 0.25")
    with held_down(tab, "add-group"):
        tab.keyboard.press("Control+z")
        field(tab, "groups[1].name").wait_for(state="detached")
    field(tab, "groups[1].name").wait_for()


def test_a_press_that_is_drawn_away_acts_on_nothing_and_a_plain_one_acts_once(tab: Page) -> None:
    press(tab, "pick-cosine")
    with held_down(tab, "add-group"):
        tab.mouse.move(900, 300)
    press(tab, "add-group")
    field(tab, "groups[1].name").wait_for()
    assert field(tab, "groups[2].name").count() == 0


@contextmanager
def held_down(tab: Page, mark: str) -> Iterator[None]:
    """Press what has a mark, and let go at the same place after something has happened."""
    pressed = "mark => document.querySelector(`[data-mark='${mark}']:active`) !== null"
    for _ in range(50):
        tab.hover(f'[data-mark="{mark}"]')
        tab.mouse.down()
        if tab.evaluate(pressed, mark):
            break
        tab.mouse.move(0, 0)  # an answer came between the two: drawn away, it acts on nothing
        tab.mouse.up()
    yield
    tab.mouse.up()
