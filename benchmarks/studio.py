"""Measure the page in a real browser: a key to the curve redrawn, and the first tile, cold.

A real browser types into the real page. The clock starts when the key's event is made and stops in
the frame after ECharts has drawn; everything lies between: the browser, the websocket, Python's
computation of every value, the drawing. Cold means a new server and a new browser. On a machine
with other work, give it the processor: ``chrt -r 10 python -m benchmarks.studio`` (as root).
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.harness import Peers, Table

from warmdown.studio.process import start_server

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
KEYS = 40
STARTS = 8
PLANS = {
    "warmup and decay, 1 curve": ("decay.yaml", "groups[0].lr"),
    "3 groups, 2 targets, 6 curves": ("groups.yaml", "groups[0].lr"),
    "40 phases": ("phases.yaml", "groups[0].lr"),
    "50 groups, a base value": ("many.yaml", "groups[7].lr"),
    "50 groups, a number of the schedule": ("many.yaml", "plan.lr.decay"),
    "90 phases, a base value": ("most.yaml", "groups[0].lr"),
    "90 phases, the end of the first": ("most.yaml", "plan.lr[0].end"),
    "the length of a run of 1e12 updates": ("long.yaml", "plan.run.total_steps"),
    "a class of torch, stepped 200 times for 2 groups": ("torch.yaml", "groups[0].lr"),
}
FILES = {
    "decay.yaml": "run: {total_steps: 10000, lr: 3e-4}\nlr: [{kind: linear, start: 0, end: 1, "
    "steps: 5%}, cosine]\n",
    "groups.yaml": (
        "# groups: {unet: {lr: 1e-4}, text: {lr: 5e-5}, embedding: {lr: 1e-3}}\nrun: {total_steps: "
        "10000}\n"
        "lr: {kind: wsd}\nweight_decay: {set: {kind: cosine, start: 0.04, end: 0.4}}\n"
    ),
    "phases.yaml": "run: {total_steps: 40000}\nlr:\n"
    + "- {kind: cosine, end: 0.1, steps: 1000}\n" * 40,
    "many.yaml": (
        f"# groups: {{{', '.join(f'layer {n}: {{lr: {n + 1}e-5}}' for n in range(50))}}}\n"
        "run: {total_steps: 10000}\nlr: {kind: wsd, decay: 25%}\n"
    ),
    "most.yaml": "run: {total_steps: 90000}\nlr:\n"
    + "- {kind: cosine, end: 0.15, steps: 1000}\n" * 90,
    "long.yaml": "run: {total_steps: 1000000000000}\nlr: {kind: warmup_cosine}\n",
    "torch.yaml": (
        "# groups: {LoRA Unet: {lr: 1e-4}, Embedding: {lr: 1e-3}}\nrun: {total_steps: 200}\n"
        "lr: {class_path: torch.optim.lr_scheduler.MultiStepLR, init_args: {milestones: [50, 100, "
        "150], gamma: 0.5}}\n"
    ),
}
WATCH = """() => {
  const isWatching = window.took !== undefined;
  window.took = [];
  if (isWatching) return;
  const place = document.querySelector('[data-mark="plot"]');
  const drawn = getElement(Number(place.id.slice(1))).chart;
  let since = null;
  document.addEventListener("input", (event) => { since = since ?? event.timeStamp; }, true);
  drawn.on("rendered", () => {
    if (since === null) return;
    const begun = since;
    since = null;
    requestAnimationFrame(() => setTimeout(() => window.took.push(performance.now() - begun), 0));
  });
}"""


def main() -> None:
    """Measure and publish."""
    peers = Peers()
    table = Table(
        "studio",
        "From a key to the redrawn curve, measured in the browser",
        ("plan", "median ms", "p95 ms", "bytes"),
    )
    try:
        with tempfile.TemporaryDirectory() as folder, _tab(Path(folder)) as (tab, received):
            for name, (file, field) in PLANS.items():
                took, sizes = typed(tab, received, file, field)
                worst = statistics.quantiles(took, n=20)[-1]
                table.add(name, statistics.median(took), worst, f"{statistics.median(sizes):,.0f}")
                table.figures[name] = statistics.median(took)
    except ImportError as missing:
        peers.skip("the page", str(missing))
    table.publish(peers.skipped)
    if peers.skipped:
        return
    took = [first_tile() for _ in range(STARTS)]
    cold = Table(
        "studio_cold",
        "The first tile of the gallery, cold: a new server and a new browser",
        ("from", "median s", "longest s"),
    )
    for name, seconds in zip(("the command", "the address"), zip(*took, strict=True), strict=True):
        cold.add(name, statistics.median(seconds), max(seconds))
        cold.figures[name] = statistics.median(seconds)
    cold.publish()


def first_tile() -> tuple[float, float]:
    """Return seconds to the first tile: from the start of the server, and from asking the page."""
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = _chromium(playwright)
        begun = time.perf_counter()
        with start_server(Path(folder)) as server:
            asked = time.perf_counter()
            tab = browser.new_page(viewport={"width": 1280, "height": 900})
            tab.goto(server.address, wait_until="commit")
            tab.wait_for_selector('[data-mark="preset-0"] svg')
            drawn = time.perf_counter()
        browser.close()
    return drawn - begun, drawn - asked


def typed(tab: Any, received: list[int], file: str, field: str) -> tuple[list[float], list[int]]:
    """Open a plan, type into a field; return milliseconds and bytes until each key's curve."""
    tab.click('[data-mark="open"]')
    tab.click(f'[data-mark="file-{file}"]')
    tab.wait_for_function(f"document.querySelector('.top .name').textContent === '{file}'")
    tab.wait_for_function("document.querySelector('[data-mark=values]') !== null", timeout=120_000)
    tab.wait_for_timeout(2000)  # what follows a new plan is over: tables, words, and texts
    tab.evaluate(WATCH)
    tab.focus(f'input[data-mark="{field}"]')
    tab.keyboard.press("End")
    sizes = []
    for key in range(KEYS):
        before = tab.evaluate("window.took.length")
        received.clear()
        tab.keyboard.press("Backspace" if key % 2 else "5")
        tab.wait_for_function(f"window.took.length > {before}", timeout=20_000)
        sizes.append(sum(received))
        tab.wait_for_timeout(60 + 10 * (key % 7))  # people do not type in step with a clock
    took: list[float] = tab.evaluate("window.took")
    return took[4:], sizes[4:]  # the first ones warm caches


def _chromium(playwright: Any) -> Any:
    return playwright.chromium.launch(
        executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
    )


@contextmanager
def _tab(folder: Path) -> Iterator[tuple[Any, list[int]]]:
    """Open the page; the list gets the size of each message that it receives."""
    from playwright.sync_api import sync_playwright

    for name, text in FILES.items():
        (folder / name).write_text(text, encoding="utf-8")
    with start_server(folder) as server, sync_playwright() as playwright:
        browser = _chromium(playwright)
        tab = browser.new_page(viewport={"width": 1280, "height": 900})
        received: list[int] = []
        tab.on(
            "websocket",
            lambda socket: socket.on("framereceived", lambda text: received.append(len(text))),
        )
        tab.goto(server.address)
        tab.wait_for_selector('[data-mark="preset-0"]', timeout=60_000)
        yield tab, received
        browser.close()


if __name__ == "__main__":
    main()
