"""The first page in a real browser: what is seen at once, found by typing and taken by keyboard."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.studio.pages import press, text_has

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

_OUTLINE = """() => [...document.querySelectorAll('.gallery section')].map(part => [
    part.querySelector('h2').textContent,
    ...[...part.querySelectorAll('h3')].map(head => head.textContent)])"""
_LISTS = """() => [...document.querySelectorAll('.gallery ul')].every(
    list => [...list.children].every(one => one.matches('li') && one.querySelector('button')))"""


def test_the_gallery_is_seen_searched_and_used_by_keyboard(tab: Page) -> None:
    tab.set_viewport_size({"width": 1280, "height": 800})
    for mark in ("preset-0", "pick-class", "pick-LambdaLR"):
        box = tab.locator(f'[data-mark="{mark}"]').bounding_box()
        assert box is not None
        assert box["y"] + box["height"] <= 800, mark
    assert tab.evaluate(_OUTLINE) == [
        ["Start with your situation", "Common situations", "Published runs"],
        [
            "Choose a schedule",
            "Classes of torch.optim.lr_scheduler",
            "Recipes",
            "Shapes",
        ],
    ]
    assert tab.evaluate(_LISTS)
    tab.focus('input[data-mark="search"]')
    tab.keyboard.insert_text("MultiStepLR")  # at once: each key would build the list again
    tab.wait_for_function("document.querySelectorAll('.tile').length === 2")  # and the class's
    for _ in range(6):
        tab.keyboard.press("Tab")
        if tab.evaluate("document.activeElement.dataset.mark") == "pick-MultiStepLR":
            break
    tab.keyboard.press("Enter")
    text_has(tab, "kind: milestones", "50%, 75%")
    press(tab, "new")
    press(tab, "leave-lose")
    press(tab, "recipe-llama3-405b")
    text_has(tab, "total_steps: 1200000", "name: warmup")
