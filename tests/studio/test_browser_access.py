"""Access: axe finds nothing in any screen; the keyboard alone and a phone's width suffice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.studio.pages import CONTRAST, Screens, field, open_tab, opened, press, serve, text_has

import warmdown as wd
from warmdown.lock import Output, locked
from warmdown.studio.process import Server

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.browser, pytest.mark.slow]

FOCUSED = "(document.activeElement?.closest('[data-mark]')?.dataset.mark ?? '')"


@pytest.mark.parametrize("width", [375, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_screen_hinders_anyone(
    browser: Browser, server: Server, width: int, scheme: str
) -> None:
    with opened(browser, width, scheme) as context:
        tab = open_tab(context, server)
        screens = Screens(tab)
        screens.look("start")
        press(tab, "preset-2")
        tab.wait_for_selector('[data-mark="values"]')
        screens.look("design")
        press(tab, "tab-words")
        screens.look("words")
        field(tab, "groups[0].lr").fill("fast")
        tab.wait_for_selector("text=One field needs another value")
        screens.look("mistake")
        field(tab, "groups[0].lr").fill("0.4")
        press(tab, "more-0")
        tab.wait_for_selector('[data-mark="other-0"]')
        screens.look("menu")
        tab.keyboard.press("Escape")
        press(tab, "add-phase")
        tab.wait_for_selector(".chooser [data-mark=pick-cosine]")
        screens.look("chooser")
        tab.keyboard.press("Escape")
        tab.wait_for_selector(".chooser", state="detached")
        press(tab, "open")
        tab.wait_for_selector(".ask")
        screens.look("open")
        press(tab, "close")
        press(tab, "save-as")
        field(tab, "save-name").fill("../plan.yaml")
        press(tab, "save-yes")
        tab.wait_for_selector("text=not a name for a plan file")
        screens.look("name", without=CONTRAST)
        assert screens.problems == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_of_runs_hinders_nobody_either(
    browser: Browser, tmp_path: Path, scheme: str
) -> None:
    plan = wd.Plan.of(lr=wd.warmup_cosine(), run=wd.Run(total_steps=100, lr=0.1))
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        record = wd.Record(tmp_path / name / "record.jsonl")
        for step in range(20):
            record.add(step, "lr/0", 1e-3 * step)
            record.add(step, "loss", 2.0 / (step + 1))
        record.flush()
        wd.save(plan, tmp_path / name / "plan.yaml")
    server = serve(tmp_path, "--watch", str(tmp_path))
    try:
        with opened(browser, 375, scheme) as context:
            tab = context.new_page()
            tab.goto(server.address)
            tab.wait_for_selector('[data-mark="run-one"]', timeout=60_000)
            screens = Screens(tab)
            screens.look("runs")
            field(tab, "filter").fill("two")
            tab.wait_for_selector("text=1 of 2 runs have a name like that.")
            press(tab, "smoothing")
            tab.click("text=Time")
            tab.wait_for_selector("text=one: it holds no times.")
            screens.look("filtered")
            with locked([Output("", tmp_path / "two", is_folder=True)]):  # a job is at work there
                press(tab, "tell-two")
                for command in ("Decay now", "Extend", "Stop"):
                    tab.click(f".q-dialog >> text='{command}'")
                    screens.look(command, without=CONTRAST)
            assert screens.problems == []
    finally:
        server.close()


def test_a_class_and_its_question_hinder_nobody(tab: Page, server: Server) -> None:
    screens = Screens(tab)
    press(tab, "pick-class")
    field(tab, "plan.lr.class_path").fill("my.module.Scheduler")
    tab.wait_for_selector('[data-mark="yes"]')
    screens.look("question")
    field(tab, "plan.lr.class_path").fill("torch.optim.lr_scheduler.MultiStepLR")
    tab.wait_for_selector('input[data-mark="plan.lr.init_args.milestones"]', timeout=120_000)
    screens.look("class")
    assert screens.problems == []


def test_the_keyboard_alone_chooses_edits_moves_saves_and_undoes(tab: Page, server: Server) -> None:
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.textContent") == "Skip to the curve"
    reach(tab, "preset-2")
    tab.keyboard.press("Enter")
    tab.wait_for_selector('[data-mark="phase-0"]:visible')
    reach(tab, "down-0")
    tab.keyboard.press("Enter")
    tab.wait_for_function(
        f"['up-1', 'down-1'].includes({FOCUSED})"
    )  # where it can be pressed again
    reach(tab, "groups[0].lr")
    tab.keyboard.press("Control+a")
    tab.keyboard.type("0.7")
    reach(tab, "cursor")
    tab.keyboard.press("ArrowRight")
    tab.wait_for_function("/Update 1:/.test(document.querySelector('.reading').innerText)")
    reach(tab, "tab-words", "ArrowRight")
    text_has(tab, "name: decay", "name: warmup")
    tab.keyboard.press("Control+z")
    tab.keyboard.press("Control+z")
    text_has(tab, "name: warmup", "name: decay")
    tab.keyboard.press("Control+s")
    tab.wait_for_function(f"{FOCUSED} === 'save-name'")
    tab.keyboard.press("Control+a")
    tab.keyboard.type("keys.yaml")
    tab.keyboard.press("Enter")
    tab.wait_for_function("document.querySelector('.top .name').textContent === 'keys.yaml'")
    assert "warmup" in (server.folder / "keys.yaml").read_text()
    tab.keyboard.press("Control+o")
    tab.wait_for_selector('[data-mark="file-keys.yaml"]')
    reach(tab, "file-keys.yaml")
    tab.keyboard.press("Escape")
    tab.wait_for_selector(".ask", state="detached")


def reach(tab: Page, mark: str, *inside: str) -> None:
    """Press Tab, and inside a row of tabs its arrows, until a marked part has the focus."""
    for _ in range(120):
        if tab.evaluate(FOCUSED) == mark:
            return
        tab.keyboard.press("Tab")
        for key in inside if tab.evaluate(FOCUSED).startswith("tab-") else ():
            for _ in range(3):
                if tab.evaluate(FOCUSED) == mark:
                    return
                tab.keyboard.press(key)
    raise AssertionError(f"{mark} is not reached by Tab")


def test_every_stop_of_the_tab_key_can_be_seen(tab: Page) -> None:
    press(tab, "preset-2")
    tab.wait_for_selector('[data-mark="handle-0"]:visible')
    tab.evaluate("document.activeElement.blur()")
    unseen = []
    for _ in range(60):
        tab.keyboard.press("Tab")
        what, ring = tab.evaluate(
            """() => {
              const at = document.activeElement, look = getComputedStyle(at);
              return [at.outerHTML.slice(0, 120), look.boxShadow];
            }"""
        )
        if what.startswith("<body"):
            break
        if "0px 0px 0px 2px" not in ring:
            unseen.append(what)
    assert unseen == []
