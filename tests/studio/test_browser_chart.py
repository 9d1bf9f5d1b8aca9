"""The chart in a real browser: its windows, its reading, and the loss under the rate."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from tests.studio.pages import open_tab, press
from tests.studio.test_outlook import PUBLISHED

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page

    from warmdown.studio.process import Server

pytestmark = [pytest.mark.browser, pytest.mark.slow]

CHART = "warmdown.chart(Number(document.querySelector('[data-mark=plot]')?.id.slice(1)))"
SHOWN = f"""(() => {{
  const chart = {CHART};
  const [low, high] = chart?.getModel().getComponent("dataZoom").getValueRange() ?? [];
  const [line] = chart?.getOption().series ?? [];
  return {{low, high, points: line?.data.filter(([x]) => x >= low && x <= high) ?? []}};
}})()"""
"""The window, and the points of the first line inside it."""


def drop(tab: Page, name: str, text: str) -> None:
    """Drop a file on the window."""
    tab.evaluate(
        """([name, text]) => {
          const data = new DataTransfer();
          data.items.add(new File([text], name));
          document.body.dispatchEvent(new DragEvent("drop", {dataTransfer: data, bubbles: true}));
        }""",
        [name, text],
    )


def test_a_zoom_shows_each_restart_of_a_long_run(context: BrowserContext, server: Server) -> None:
    restarts = {"kind": "repeat", "of": {"kind": "cosine", "steps": 100}}
    plan = {"run": {"total_steps": 10**6, "lr": 1e-3}, "lr": [restarts]}
    tab = open_tab(context, server)
    drop(tab, "plan.json", json.dumps(plan))
    tab.wait_for_function(f"{SHOWN}.points.length > 600")
    for at in range(6):
        press(tab, "zoom-in")
        tab.wait_for_function(f"{SHOWN}.high < {10**6 / 4**at / 3}")
    tab.wait_for_function(f"{SHOWN}.points.length === {SHOWN}.high - {SHOWN}.low + 1")
    shown = tab.evaluate(SHOWN)
    assert (shown["low"], shown["high"]) == (0, 244)
    assert [x for x, _ in shown["points"]] == list(range(245))
    values = dict(shown["points"])
    assert values[100] == values[200] == pytest.approx(1e-3)
    assert 0 < values[99] < 1e-6
    tab.evaluate(f"warmdown.show({CHART}.id, 0)")
    # the slider reaches each step of the window
    assert tab.get_attribute('[data-mark="cursor"]', "max") == "244"
    tab.focus('[data-mark="cursor"]')
    tab.keyboard.press("End")
    tab.wait_for_function("/Update 244: lr 5.9/.test(document.querySelector('.reading').innerText)")
    press(tab, "zoom-out")
    tab.wait_for_function(f"{SHOWN}.high === 1000000")


def test_the_reading_under_the_pointer_is_of_the_step_that_it_names(
    context: BrowserContext, server: Server
) -> None:
    plan = {"run": {"total_steps": 10**6, "lr": 1.0}, "lr": "cosine"}
    tab = open_tab(context, server)
    drop(tab, "plan.json", json.dumps(plan))
    tab.wait_for_function(f"{SHOWN}.points.length > 600")
    told = tab.evaluate(
        """warmdown.reading("updates", [
          {marker: "", seriesName: "one", axisValue: 1234567, value: [1234567, 1e-3]},
          {marker: "", seriesName: "two", axisValue: 1234567, value: [1234000, null]},
        ])"""
    )
    assert told.split("\n") == ["updates: 1,234,567", "one  1e-3", "two  – at 1,234,000"]
    tab.wait_for_selector("th:text-is('What happens')")  # nothing is drawn again after it
    box = tab.locator('[data-mark="plot"]').bounding_box()
    assert box is not None
    tab.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    drawn = (
        f"""{CHART}.getZr().storage.getDisplayList().map(one => one.style?.text ?? '').join(' ')"""
    )
    tab.wait_for_function(f"/updates: [\\d,]+/.test({drawn})")


def test_the_loss_and_its_band_stand_under_the_rate_and_move_with_a_key(
    context: BrowserContext, server: Server
) -> None:
    plan = {"run": {"total_steps": 24_000, "lr": 3e-4}, "lr": {"kind": "wsd", "decay": "40%"}}
    tab = open_tab(context, server)
    drop(tab, "plan.json", json.dumps(plan))
    tab.wait_for_function(f"{SHOWN}.points.length > 600")
    drop(tab, "law.json", PUBLISHED)
    loss = f"{CHART}.getOption().series[1].data"
    tab.wait_for_function(f"{CHART}.getOption().series.length === 3")
    assert tab.evaluate(f"{CHART}.getOption().yAxis.map(axis => axis.name)") == [
        "learning rate",
        "predicted loss",
    ]
    said = "document.querySelector('[data-mark=law-says]').textContent"
    tab.wait_for_function(f"{said}.startsWith('Predicted final loss 2.9')")
    before = tab.evaluate(f"{loss}.at(-1)[1]")
    low, high = tab.evaluate(f"{CHART}.getOption().series[2].data.at(-1).slice(1)")
    assert low < before < high
    # the band is drawn: an area of the loss's colour under its line
    drawn = f"{CHART}.getZr().storage.getDisplayList().filter(one => one.type === 'polygon').length"
    assert tab.evaluate(drawn) >= 1
    press(tab, "keep")
    tab.wait_for_function(f"{CHART}.getOption().series.length === 6")
    tab.locator('input[data-mark="plan.lr.decay"]').fill("10%")
    tab.wait_for_function(f"{CHART}.getOption().series[1].data.at(-1)[1] < {before} - 0.01")
    kept = "document.querySelector('[data-mark=loss-0]').textContent"
    tab.wait_for_function(f"{kept}.startsWith('loss ' + {before}.toPrecision(5).slice(0, 4))")
    assert tab.evaluate(f"{CHART}.getOption().series[4].data.at(-1)[1]") == before
    tab.wait_for_function("/Predicted final loss/.test(document.body.textContent)")
    tab.wait_for_selector("th:text-is('predicted loss')")
    tab.locator('input[data-mark="groups[0].lr"]').fill("")
    tab.wait_for_function(f"{said}.includes('Type it under Groups and base values')")
