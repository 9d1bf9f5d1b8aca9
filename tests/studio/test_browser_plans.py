"""No plan is lost or mixed up in a real browser: questions before a loss, kept plans, links."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.studio.pages import field, open_tab, opened, press, text_has, text_of

from warmdown.studio.draft.document import Draft
from warmdown.studio.draft.files import document_from
from warmdown.studio.draft.links import to_fragment
from warmdown.studio.process import Server

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Dialog, Page

pytestmark = [pytest.mark.browser, pytest.mark.slow]

OTHER = to_fragment(
    Draft(document_from({"run": {"total_steps": 10}, "lr": {"kind": "linear"}})).document
)


def test_a_question_stands_before_the_loss_of_a_plan(tab: Page, server: Server) -> None:
    press(tab, "pick-cosine")
    field(tab, "plan.run.total_steps").fill("77")
    text_has(tab, "total_steps: 77")
    press(tab, "new")
    press(tab, "leave-cancel")
    text_has(tab, "total_steps: 77")
    tab.evaluate("link => (location.hash = link)", OTHER)
    press(tab, "leave-save")
    field(tab, "save-name").fill("asked.yaml")
    press(tab, "save-yes")
    text_has(tab, "kind: linear")
    assert "total_steps: 77" in (server.folder / "asked.yaml").read_text()
    field(tab, "plan.lr.end").fill("0.2")
    drop = """() => {
      const data = new DataTransfer();
      data.items.add(new File(["lr: {kind: rex}"], "mine.yaml"));
      document.body.dispatchEvent(new DragEvent("drop", {dataTransfer: data, bubbles: true}));
    }"""
    tab.evaluate(drop)
    press(tab, "leave-lose")
    text_has(tab, "kind: rex")
    press(tab, "open")  # nothing was typed since: no question
    press(tab, "file-asked.yaml")
    text_has(tab, "total_steps: 77")


def test_a_tab_asks_before_it_closes_with_work_that_no_file_holds(tab: Page) -> None:
    asked: list[str] = []

    def leave(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.accept()

    tab.on("dialog", leave)
    press(tab, "preset-1")
    tab.wait_for_selector('[data-mark="phase-0"]:visible')
    tab.wait_for_function("warmdown.unsaved === false")
    tab.reload()
    tab.wait_for_selector('[data-mark="phase-0"]:visible')
    assert asked == []
    field(tab, "groups[0].lr").fill("7e-4")
    tab.wait_for_function("warmdown.unsaved === true")
    tab.reload()
    tab.wait_for_selector('[data-mark="phase-0"]:visible')
    assert asked == ["beforeunload"]
    text_has(tab, "lr: 7e-4")
    tab.wait_for_function("warmdown.unsaved === true")


def test_kept_plans_outlive_a_reload_and_are_renamed_returned_to_and_removed(tab: Page) -> None:
    press(tab, "preset-1")
    for rate in ("1e-4", "2e-4"):
        field(tab, "groups[0].lr").fill(rate)
        text_has(tab, f"lr: {rate}")
        press(tab, "keep")
    name = tab.locator('[data-mark="kept-1"]')
    name.fill("twice as fast")
    name.press("Enter")
    tab.wait_for_function("(sessionStorage.getItem('warmdown-plans') ?? '').includes('twice')")
    tab.reload()
    tab.wait_for_selector('[data-mark="kept-1"]')
    assert tab.input_value('[data-mark="kept-1"]') == "twice as fast"
    press(tab, "back-0")
    text_has(tab, "lr: 1e-4")
    press(tab, "forget-0")
    tab.wait_for_selector('[data-mark="kept-1"]', state="detached")
    assert tab.input_value('[data-mark="kept-0"]') == "twice as fast"


def test_a_link_opens_in_another_browser_and_carries_no_secret(
    browser: Browser, context: BrowserContext, server: Server
) -> None:
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    one = open_tab(context, server)
    press(one, "preset-0")
    press(one, "link")
    one.wait_for_selector("[data-mark=link-text]")
    link = one.evaluate("navigator.clipboard.readText()")
    assert link == one.input_value('[data-mark="link-text"]')
    assert server.address.partition("token=")[2] not in link
    with opened(browser) as another:
        two = another.new_page()
        two.goto(link)
        two.wait_for_selector("text=Open the address that its terminal shows")
        two.goto(server.address)
        two.wait_for_selector('[data-mark="preset-0"]:visible')
        press(two, "open")
        field(two, "open-link").fill(link)
        press(two, "open-link-yes")
        text_has(two, "warmup: 3%")
        plan = text_of(two)
        three = another.new_page()
        three.goto(link)
        text_has(three, plan)
