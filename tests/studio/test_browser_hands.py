"""Hands and eyes in a real browser: joints, touch, the focus, help, sizes and readable messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.studio.pages import field, open_tab, opened, press, text_has

from warmdown.studio.process import Server

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.browser, pytest.mark.slow]

FOCUSED = "(document.activeElement?.closest('[data-mark]')?.dataset.mark ?? '')"


def test_a_new_phase_begins_where_the_last_ends_and_a_joint_is_parted_and_joined_by_keys(
    tab: Page,
) -> None:
    press(tab, "pick-cosine")
    field(tab, "plan.run.total_steps").fill("1000")
    field(tab, "plan.lr.end").fill("0.1")
    press(tab, "add-phase")
    press(tab, "pick-linear")
    text_has(tab, "end: 0.1", "steps: 50%", "kind: linear", "start: 0.1")
    press(tab, "phase-0")
    field(tab, "plan.lr[0].end").fill("0.2")
    text_has(tab, "end: 0.2", "start: 0.2")
    tab.wait_for_selector('[data-mark="handle-2"]:visible')
    tab.focus('[data-mark="handle-1"]')
    tab.keyboard.press("Enter")
    tab.wait_for_selector('[data-mark="handle-3"]:visible')
    tab.keyboard.press("ArrowUp")
    text_has(tab, "end: 0.25", "start: 0.2")
    assert_focus(tab, "handle-1")
    press(tab, "phase-1")
    joins = tab.locator('[data-mark="joined-1"]')
    assert joins.get_attribute("aria-checked") == "false"
    joins.press("Space")
    text_has(tab, "end: 0.25", "start: 0.25")
    tab.wait_for_function(f"{FOCUSED} === 'joined-1'")


def test_a_finger_moves_a_joint(browser: Browser, server: Server) -> None:
    context = browser.new_context(
        viewport={"width": 375, "height": 812}, has_touch=True, is_mobile=True
    )
    tab = open_tab(context, server)
    press(tab, "preset-2")
    tab.wait_for_selector('[data-mark="handle-1"]:visible')
    box = tab.locator('[data-mark="handle-1"]').bounding_box()
    assert box is not None
    assert box["width"] >= 44
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    send = context.new_cdp_session(tab).send
    steps = [(x + 8 * at, y + 4 * at) for at in range(9)]
    for kind, (left, top) in zip(["touchStart"] + ["touchMove"] * 8, steps, strict=True):
        send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": left, "y": top}]})
    send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    ends = "/end: (0[.]\\d+), steps: [^]*start: \\1/"
    tab.wait_for_function(f"{ends}.test(document.querySelector('[data-mark=text]').textContent)")
    context.close()


def test_the_focus_stays_where_a_person_was_after_every_edit(tab: Page) -> None:
    press(tab, "preset-2")
    rate = field(tab, "groups[0].lr")
    rate.fill("0.5")
    text_has(tab, "lr: 0.5")
    tab.keyboard.press("Control+z")
    text_has(tab, "lr: 0.4")
    assert_focus(tab, "groups[0].lr")
    press(tab, "add-group")
    assert_focus(tab, "groups[1].name")
    tab.locator('[aria-label="Remove group 2"]').press("Enter")
    assert_focus(tab, "add-group")
    tab.locator('[data-mark="down-0"]').press("Enter")
    assert_focus(tab, "up-1")
    tab.locator('[data-mark="more-1"]').press("Enter")
    press(tab, "remove-1")
    assert_focus(tab, "phase-0")
    tab.locator('[data-mark="warmup"]').press("Enter")
    assert_focus(tab, "plan.lr[0].steps")
    tab.keyboard.press("Control+z")
    tab.wait_for_function("document.activeElement !== document.body")


def assert_focus(tab: Page, mark: str) -> None:
    """Wait until a marked part has the focus, also when the form was built once more."""
    tab.wait_for_function(f"{FOCUSED} === {mark!r}")
    tab.wait_for_timeout(400)
    assert tab.evaluate(FOCUSED) == mark


def test_help_comes_with_pointer_and_focus_and_moves_nothing(tab: Page) -> None:
    press(tab, "preset-2")
    tab.wait_for_selector('[data-mark="values"]')
    boxes = """() => {
      const first = document.querySelector('.side input').getBoundingClientRect().top;
      return [...document.querySelectorAll('.side input, .side button')]
        .map((one) => Math.round(one.getBoundingClientRect().top - first));
    }"""
    before = tab.evaluate(boxes)
    fields = tab.locator(".side input[data-help]")
    assert fields.count() >= 8
    for at in range(fields.count()):
        one = fields.nth(at)
        if not one.is_visible():
            continue
        words = one.get_attribute("data-help")
        for come in (one.hover, one.focus):
            come()
            assert tab.locator("#help").inner_text() == words
        assert one.get_attribute("aria-describedby") == "help"
        assert tab.evaluate(boxes) == before
        tab.keyboard.press("Escape")
        assert tab.locator("#help").is_hidden()


SIZES = [(1280, 900), (640, 450), (844, 390), (375, 812)]


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_the_curve_stays_in_view_and_covers_no_field(tab: Page, width: int, height: int) -> None:
    tab.set_viewport_size({"width": width, "height": height})
    press(tab, "preset-2")
    tab.wait_for_selector('[data-mark="values"]')
    places = """(input) => {
      input.focus();
      const box = (input.closest('.q-field') ?? input).getBoundingClientRect();
      const curve = document.querySelector('.pinned').getBoundingClientRect();
      const plot = document.querySelector('.plot-box').getBoundingClientRect();
      const apart = box.right <= curve.left || box.left >= curve.right
        || box.bottom <= curve.top || box.top >= curve.bottom;
      return {
        name: input.dataset.mark, isApart: apart,
        isSeen: box.top >= -1 && box.bottom <= innerHeight + 1,
        curve: Math.min(plot.bottom, innerHeight) - Math.max(plot.top, 0),
        tooWide: document.documentElement.scrollWidth - innerWidth,
      };
    }"""
    inputs = tab.locator(".side input:visible")
    found = [inputs.nth(at).evaluate(places) for at in range(inputs.count())]
    assert found
    bad = [
        one for one in found
        if not one["isApart"] or not one["isSeen"] or one["curve"] < 120 or one["tooWide"] > 0
    ]  # fmt: skip
    assert bad == []


CONTRAST = """(part) => {
  const canvas = Object.assign(document.createElement('canvas'), {width: 1, height: 1});
  const pen = canvas.getContext('2d', {willReadFrequently: true});
  const lay = (colours) => {
    pen.clearRect(0, 0, 1, 1);
    for (const one of colours) { pen.fillStyle = one; pen.fillRect(0, 0, 1, 1); }
    return [...pen.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const linear = (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  const light = (rgb) => {
    const [r, g, b] = rgb.map((v) => linear(v / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const grounds = [];
  let seen = 1;
  for (let at = part; at; at = at.parentElement) {
    grounds.unshift(getComputedStyle(at).backgroundColor);
    seen *= Number(getComputedStyle(at).opacity);
  }
  const ground = lay(['white', ...grounds]);
  const ink = lay(['white', ...grounds, getComputedStyle(part).color]);
  const mixed = ink.map((v, at) => v * seen + ground[at] * (1 - seen));
  const [high, low] = [light(mixed), light(ground)].sort((a, b) => b - a);
  return (high + 0.05) / (low + 0.05);
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_message_can_be_read_in_both_themes(
    browser: Browser, server: Server, scheme: str
) -> None:
    with opened(browser, 1280, scheme) as context:
        tab = open_tab(context, server)
        low: dict[str, float] = {}

        def look(what: str, selector: str) -> None:
            tab.wait_for_selector(f"{selector} >> visible=true")
            tab.evaluate(
                "Promise.all(document.getAnimations().map(a => a.finished.catch(() => 0)))"
            )
            for part in tab.locator(selector).all():
                if part.is_visible() and (ratio := part.evaluate(CONTRAST)) < 4.5:
                    low[what] = ratio

        press(tab, "preset-2")
        field(tab, "plan.lr[0].steps").fill("60%")
        look("warning", ".finding.warning span")
        look("warning at a field", ".warned .q-field__messages")
        field(tab, "groups[0].lr").hover()
        look("help", "#help")
        field(tab, "groups[0].lr").fill("fast")
        look(
            "error at a field",
            ".q-field--error .q-field__messages, .q-field--error .q-field__label",
        )
        look("error", ".finding.error span")
        field(tab, "groups[0].lr").fill("0.4")
        tab.locator(".finding.error").wait_for(state="detached")
        tab.evaluate("emitEvent('dropped', {name: 'x.yaml', text: 'lr: {kind: cosin}'})")
        look("refusal", ".q-notification__message, .q-notification .q-btn")
        tab.locator(".q-notification .q-btn").click()
        press(tab, "link")
        look("plain notification", ".q-notification__message")
        press(tab, "close")
        tab.keyboard.press("Control+s")
        field(tab, "save-name").fill(f"{scheme}.yaml")
        press(tab, "save-yes")
        tab.wait_for_selector("text=Saved")
        look("notification", ".q-notification__message")
        look("quiet words", ".quiet")
        assert low == {}
