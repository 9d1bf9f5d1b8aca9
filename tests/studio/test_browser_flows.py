"""The page in a real browser: typing, keyboard, pointer, and a restart of its server."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from tests.studio.pages import delayed, field, open_tab, opened, press, serve, text_has, text_of

import warmdown as wd
from warmdown.studio.process import Server

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_phases_are_dragged_by_the_pointer(tab: Page) -> None:
    press(tab, "preset-2")
    tab.wait_for_selector(".phase .grip")
    text_has(tab, "lr:", "name: warmup", "name: decay", "momentum:")

    def drag() -> None:
        first, second = (tab.locator(".phase .grip").nth(at).bounding_box() for at in (0, 1))
        assert first is not None
        assert second is not None
        tab.mouse.move(first["x"] + 5, first["y"] + 10)
        tab.mouse.down()
        tab.mouse.move(second["x"] + 5, second["y"] + 30, steps=12)
        tab.mouse.up()

    drag()
    text_has(tab, "lr:", "name: decay", "name: warmup", "momentum:")


def test_a_joint_is_dragged_by_the_pointer_and_moved_by_keys_and_stays_joined(tab: Page) -> None:
    press(tab, "preset-2")
    tab.wait_for_selector('[data-mark="handle-1"]:visible')
    box = tab.locator('[data-mark="handle-1"]').bounding_box()
    assert box is not None
    tab.mouse.move(box["x"] + 12, box["y"] + 12)
    tab.mouse.down()
    tab.mouse.move(box["x"] + 112, box["y"] + 62, steps=8)
    tab.mouse.up()
    tab.wait_for_function(
        "document.querySelector('input[data-mark=\"plan.lr[0].steps\"]')?.value !== '25%'"
    )
    text_has(tab, "name: warmup", "name: decay")
    ends = "/end: (0[.]\\d+), steps: [34]\\d.*[^]*start: \\1[,}]/"
    joined = f"{ends}.test(document.querySelector('[data-mark=text]').textContent)"
    tab.wait_for_function(joined)
    before = text_of(tab)
    tab.focus('[data-mark="handle-1"]')
    tab.keyboard.press("ArrowUp")
    tab.wait_for_function(
        "before => document.querySelector('[data-mark=text]').textContent !== before", arg=before
    )
    tab.wait_for_function(joined)
    tab.wait_for_function("/End of phase 1/.test(document.querySelector('.reading').innerText)")
    tab.keyboard.press("Control+z")
    text_has(tab, before.splitlines()[1])


def test_a_file_that_is_dropped_on_the_window_is_opened(tab: Page) -> None:
    drop = """text => {
      const data = new DataTransfer();
      data.items.add(new File([text], "mine.yaml"));
      document.body.dispatchEvent(new DragEvent("drop", {dataTransfer: data, bubbles: true}));
    }"""
    tab.evaluate(drop, "lr: {kind: cosin}")
    tab.wait_for_selector("text=cosine")
    tab.evaluate(drop, "# mine\nlr: {kind: cosine, end: 1e-2}  # down\n")
    text_has(tab, "# mine\nlr: {kind: cosine, end: 1e-2}  # down")


def test_the_slider_reads_the_curve_by_keyboard(tab: Page) -> None:
    press(tab, "preset-1")
    tab.wait_for_selector('[data-mark="cursor"]')
    tab.focus('[data-mark="cursor"]')
    tab.keyboard.press("ArrowRight")
    tab.wait_for_function(
        "/Update 1: lr 5.997e-7/.test(document.querySelector('.reading').innerText)"
    )
    field(tab, "groups[0].lr").fill("1e-3")
    tab.wait_for_function(
        "/Update 1: lr 9.995e-7/.test(document.querySelector('.reading').innerText)"
    )
    tab.focus('[data-mark="cursor"]')
    tab.keyboard.press("ArrowRight")  # on from where it stands, though the page was drawn anew
    tab.wait_for_function("/Update 2: /.test(document.querySelector('.reading').innerText)")


def test_log_zoom_theme_and_kept_candidates_are_drawn(tab: Page) -> None:
    press(tab, "preset-1")
    tab.wait_for_function(f"{OPTION}?.series.length === 1")
    press(tab, "keep")
    tab.wait_for_function(f"{OPTION}.series.length === 2")
    press(tab, "log")
    tab.wait_for_function(f"{OPTION}.yAxis[0].type === 'log'")
    press(tab, "zoom-in")
    tab.wait_for_function(f"{OPTION}.dataZoom[0].end < 60")
    press(tab, "zoom-out")
    tab.wait_for_function(f"{OPTION}.dataZoom[0].end === 100")
    press(tab, "theme")
    tab.wait_for_function("document.body.classList.contains('body--dark')")
    tab.wait_for_function(f"{OPTION}.yAxis[0].axisLabel.color === '#a9b4c0'")


OPTION = (
    "warmdown.chart(Number(document.querySelector('[data-mark=plot]')?.id.slice(1)))?.getOption()"
)


def test_two_tabs_are_two_plans_and_the_file_is_not_overwritten_unasked(
    context: BrowserContext, server: Server
) -> None:
    one, two = open_tab(context, server), open_tab(context, server)
    press(one, "pick-cosine")
    press(two, "pick-linear")
    path = server.folder / "shared.yaml"
    for tab in (one, two):
        tab.wait_for_selector('[data-mark="phase-0"]:visible')
        tab.keyboard.press("Control+s")
        field(tab, "save-name").fill("shared.yaml")
        press(tab, "save-yes")
        if tab is one:
            tab.wait_for_function(
                "document.querySelector('.top .name').textContent === 'shared.yaml'"
            )
    two.wait_for_selector('[data-mark="overwrite"]')
    assert "cosine" in path.read_text()
    press(two, "overwrite")
    two.wait_for_function("document.querySelector('.top .name').textContent === 'shared.yaml'")
    assert "linear" in path.read_text()
    assert [left.name for left in server.folder.iterdir() if "shared" in left.name] == [
        "shared.yaml"
    ]
    one.keyboard.press("Control+s")
    one.wait_for_selector('[data-mark="reopen"]')
    press(one, "reopen")
    text_has(one, "linear")
    path.unlink()


def test_a_link_carries_the_plan_to_another_tab(context: BrowserContext, server: Server) -> None:
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    one = open_tab(context, server)
    press(one, "preset-0")
    one.wait_for_selector('[data-mark="phase-0"]')
    press(one, "link")
    one.wait_for_selector("text=Link copied")
    link = one.evaluate("navigator.clipboard.readText()")
    assert link.startswith(f"{server.origin}/#plan=")
    two = context.new_page()
    two.goto(link)
    two.wait_for_selector('input[data-mark="plan.lr.warmup"]')
    assert two.input_value('input[data-mark="plan.lr.warmup"]') == "3%"
    assert "#" not in two.url


def test_what_is_taken_away_is_the_plan_in_every_form(tab: Page, tmp_path: Path) -> None:
    press(tab, "preset-1")
    text_has(tab, "warmup_cosine")
    got = {}
    for mark in ("form-YAML", "form-JSON", "form-Python", "form-PyTorch"):
        press(tab, mark)
        tab.wait_for_function(
            f"document.querySelector('[data-mark={mark}]').ariaPressed === 'true'"
        )
        got[mark.removeprefix("form-")] = downloaded(tab, "download", tmp_path).read_text()
    assert yaml.safe_load(got["YAML"]) == json.loads(got["JSON"])
    expected = wd.plan_from_dict(json.loads(got["JSON"]))
    made: dict[str, Any] = {"optimizer": None}
    exec(got["Python"].replace("scheduler = wd.Scheduler(optimizer, plan)", ""), made)  # noqa: S102 - our own page's
    assert made["plan"] == expected
    assert "import torch" in got["PyTorch"] or "from torch" in got["PyTorch"]
    assert downloaded(tab, "csv", tmp_path).read_text().startswith("step,target,value\n0,lr,")
    assert downloaded(tab, "png", tmp_path).read_bytes().startswith(b"\x89PNG")
    assert b"<svg" in downloaded(tab, "svg", tmp_path).read_bytes()


def downloaded(tab: Page, mark: str, folder: Path) -> Path:
    """Press a button and return what the browser got."""
    with tab.expect_download() as coming:
        press(tab, mark)
    path = folder / coming.value.suggested_filename
    coming.value.save_as(path)
    return path


def test_a_server_that_is_killed_and_started_again_finds_the_tab_where_it_was(
    browser: Browser, tmp_path: Path
) -> None:
    first = serve(tmp_path)
    with opened(browser) as context:
        try:
            tab = open_tab(context, first)
            press(tab, "preset-1")
            field(tab, "groups[0].lr").fill("7e-4")
            tab.wait_for_function(
                "(sessionStorage.getItem('warmdown-draft') ?? '').includes('7e-4')"
            )
        finally:
            first.close()
        tab.wait_for_selector("#popup[aria-hidden=false]", state="attached")
        second = serve(tmp_path, "--port", first.origin.rpartition(":")[2])
        try:
            open_tab(
                context, second
            )  # what a person sees who starts it again: a new tab, with the new token
            tab.wait_for_function(
                "document.querySelector('input[data-mark=\"groups[0].lr\"]')?.value === '7e-4'",
                timeout=60_000,
            )
        finally:
            second.close()


def test_on_a_slow_link_the_page_says_that_it_waits_and_no_edit_is_lost_or_doubled(
    context: BrowserContext, server: Server
) -> None:
    tab = context.new_page()
    with delayed(server, 0.25) as address:
        tab.goto(address)
        press(tab, "pick-cosine")
        end = field(tab, "plan.lr.end")
        end.fill("")
        end.press_sequentially("0.125")
        tab.wait_for_function("document.querySelector('.waiting').textContent.includes('Waiting')")
        text_has(tab, "end: 0.125")
        tab.wait_for_function("document.querySelector('.waiting').textContent === ''")
        assert end.input_value() == "0.125"
        press(tab, "warmup")
        tab.wait_for_selector('[data-mark="phase-1"]')
        assert tab.locator('[data-mark^="phase-"]').count() == 2
        press(tab, "undo")
        tab.wait_for_selector('[data-mark="phase-1"]', state="detached")
        assert field(tab, "plan.lr.end").input_value() == "0.125"
        tab.close()


def test_a_running_record_is_watched_as_it_grows(browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    record = wd.Record(tmp_path / "one" / "record.jsonl")
    wd.save(
        wd.Plan.of(lr=wd.warmup_cosine(end=0.1), run=wd.Run(total_steps=200)),
        tmp_path / "one" / "plan.yaml",
    )
    for step in range(50):
        record.add(step, "lr/0", 3e-4, "")
    record.flush()
    server = serve(tmp_path, "--watch", str(tmp_path))
    try:
        with opened(browser) as context:
            tab = context.new_page()
            tab.goto(server.address)
            tab.wait_for_selector('[data-mark="run-one"]', timeout=60_000)
            tab.wait_for_selector("text=50 of 200 updates")
            record.add(50, "lr/0", 1e-4, "another hand wrote lr")
            record.flush()
            tab.wait_for_selector("text=another hand wrote lr")
            tab.wait_for_function(f"{OPTION}.series.some((one) => one.name === 'planned: lr/0')")
            tab.wait_for_function(f"{OPTION}.series[0].data.at(-1)[0] === 50")
            tab.click("text=Design a plan")
            tab.wait_for_selector('[data-mark="preset-0"]')
    finally:
        server.close()


def test_nothing_is_asked_of_the_network(context: BrowserContext, server: Server) -> None:
    asked: list[str] = []
    context.on("request", lambda request: asked.append(request.url))
    tab = open_tab(context, server)
    press(tab, "preset-2")
    tab.wait_for_selector("canvas")
    assert [
        url for url in asked if not re.match(rf"{server.origin}/|data:|blob:|ws://127", url)
    ] == []
