"""Make the pictures of the studio's pages: the real page, in a real browser."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

import warmdown as wd
from warmdown.studio.process import start_server

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
ROOT = Path(__file__).parent.parent
PICTURES = ROOT / "docs" / "studio"
WIDE, NARROW = {"width": 1280, "height": 860}, {"width": 375, "height": 812}


def main() -> None:
    """Make them all."""
    from playwright.sync_api import sync_playwright

    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        runs = Path(folder) / "runs"
        _write_runs(runs)
        with start_server(Path(folder)) as server:
            for draw in (_start, _design, _class, _mistake, _narrow):
                draw(browser, server.address)
        (runs / "plan" / "record.jsonl").touch()  # as if it were still written
        with start_server(Path(folder), "--watch", str(runs)) as server:
            _runs(browser, server.address)
        job = Path(folder) / "jobs" / "job"
        law = _write_law(Path(folder))
        with _training(job), start_server(
            Path(folder), "--watch", str(job.parent), "--law", str(law)
        ) as server:  # fmt: skip
            _tell(browser, server.address)
        browser.close()


def _start(browser: Any, address: str) -> None:
    tab = _tab(browser, address)
    _keep(tab, "start")


def _design(browser: Any, address: str) -> None:
    for scheme in ("light", "dark"):
        tab = _tab(browser, address, scheme=scheme)
        tab.click('[data-mark="preset-2"]')
        _keep(tab, f"design-{scheme}")


def _class(browser: Any, address: str) -> None:
    """The document's table: LoRA Unet and Embedding under torch's MultiStepLR."""
    tab = _tab(browser, address)
    tab.click('[data-mark="pick-class"]')
    tab.fill('input[data-mark="plan.lr.class_path"]', "torch.optim.lr_scheduler.MultiStepLR")
    texts = {
        "plan.lr.init_args.milestones": "50,100,150",
        "plan.lr.init_args.gamma": ".5",
        "plan.run.total_steps": "200",
    }
    for mark, text in {**texts, "groups[0].name": "LoRA Unet", "groups[0].lr": "1e-4"}.items():
        tab.fill(f'input[data-mark="{mark}"]', text, timeout=120_000)
    tab.click('[data-mark="add-group"]')
    tab.fill('input[data-mark="groups[1].name"]', "Embedding")
    tab.fill('input[data-mark="groups[1].lr"]', "1e-3")
    tab.locator('[data-mark="values"] tr', has_text="1.25e-4").wait_for()
    tab.evaluate("document.activeElement.blur()")
    _keep(tab, "class", height=1150)


def _mistake(browser: Any, address: str) -> None:
    tab = _tab(browser, address, scheme="dark")
    tab.click('[data-mark="preset-6"]')
    tab.fill('input[data-mark="plan.lr[0].steps"]', "40%")
    tab.click('[data-mark="phase-2"]')
    tab.fill('input[data-mark="plan.lr[2].end"]', "-0.1")
    tab.wait_for_selector(".finding")
    _keep(tab, "findings", height=1000)


def _narrow(browser: Any, address: str) -> None:
    tab = _tab(browser, address, size=NARROW)
    tab.click('[data-mark="preset-1"]')
    _keep(tab, "narrow", height=1000)


def _runs(browser: Any, address: str) -> None:
    tab = _tab(browser, address, begun='[data-mark="run-plan"]')
    _keep(tab, "runs")


def _tell(browser: Any, address: str) -> None:
    tab = _tab(browser, address, begun='[data-mark="run-job"]')
    tab.locator(".run .state", has_text="left").wait_for(timeout=60_000)
    tab.click('[data-mark="tell-job"]')
    tab.click('[data-mark="tell-curve"]')
    tab.locator(".q-menu .q-item", has_text="1-sqrt").click()
    tab.click('[data-mark="tell-preview"]')
    tab.locator('[data-mark="tell-answer"]', has_text="Send it").wait_for(timeout=60_000)
    _keep(tab, "tell", height=900)


def _tab(
    browser: Any,
    address: str,
    *,
    scheme: str = "light",
    size: Any = WIDE,
    begun: str = '[data-mark="preset-0"]',
) -> Any:
    tab = browser.new_context(viewport=size, color_scheme=scheme).new_page()
    tab.goto(address)
    tab.wait_for_selector(begun, timeout=60_000)
    return tab


def _keep(tab: Any, name: str, *, height: int | None = None) -> None:
    """Write the picture of what is seen, with no more colours than it needs."""
    from PIL import Image

    if height:
        tab.set_viewport_size({"width": tab.viewport_size["width"], "height": height})
    tab.wait_for_timeout(1500)  # what moves has come to rest
    path = PICTURES / f"{name}.png"
    tab.screenshot(path=str(path))
    with Image.open(path) as whole:
        whole.convert("RGB").quantize(96).save(path, optimize=True)
    tab.context.close()


class _Loop:
    """A linear model that learns from noisy data, so that its loss answers to the rate.

    Args:
        folder: Of the run.
        updates: In the whole run.
        lr: Its schedule.
    """

    def __init__(self, folder: Path, updates: int, lr: wd.Schedule) -> None:
        torch.manual_seed(1)
        self.updates = updates
        self.sizes = torch.arange(1, 257).float() ** -0.75
        self.weight = torch.nn.Parameter(torch.zeros(256))
        self.optimizer = torch.optim.SGD([self.weight], lr=0.2)
        plan = wd.Plan.of(lr=lr, run=wd.Run(total_steps=updates, lr=0.2))
        folder.mkdir(parents=True)
        wd.save(plan, folder / "plan.yaml")
        self.scheduler = wd.Scheduler(self.optimizer, plan, commands=folder)
        self.record = wd.Record(folder / "record.jsonl")

    def train(self, is_over: threading.Event, pause: float = 0.0) -> None:
        for update in range(self.updates):
            data = torch.randn(8, 256) * self.sizes
            wrong = data @ (self.weight - 1) + 0.5 * torch.randn(8)
            wrong.square().mean().backward()  # type: ignore[no-untyped-call]
            if update % 5 == 0:
                loss = ((self.weight.detach() - 1) * self.sizes).square().sum() + 0.25
                self.record.add(update, "lr/0", self.optimizer.param_groups[0]["lr"])
                self.record.add(update, "loss", float(loss))
                self.record.flush()
            self.optimizer.step()
            self.optimizer.zero_grad()
            self.scheduler.step()
            if is_over.wait(pause):
                break


def _write_law(folder: Path) -> Path:
    """Fit the law to a short run of the same model."""
    pilot = folder / "pilot"
    _Loop(pilot, 2_000, wd.wsd(warmup=20, decay="30%")).train(threading.Event())
    return wd.fit_loss([pilot / "record.jsonl"]).save(folder / "law.json")


@contextmanager
def _training(folder: Path) -> Iterator[None]:
    """Train while the block lasts."""
    is_over = threading.Event()
    loop = _Loop(folder, 20_000, wd.warmup_constant(warmup=20))
    thread = threading.Thread(target=loop.train, args=[is_over, 0.003])
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def _write_runs(folder: Path) -> None:
    """Train the demo's two runs, each beside its plan, and show the first half way."""
    plan, constant = (
        str(ROOT / "examples" / "demo" / f"{name}.yaml") for name in ("plan", "constant")
    )
    command = [
        sys.executable,
        "-m",
        "warmdown",
        "train",
        plan,
        "--against",
        constant,
        "--out",
        str(folder),
    ]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    record = folder / "plan" / "record.jsonl"
    rows = record.read_text(encoding="utf-8").splitlines(keepends=True)
    steps = max(json.loads(row)["step"] for row in rows) + 1
    record.write_text(
        "".join(row for row in rows if json.loads(row)["step"] < 0.6 * steps), encoding="utf-8"
    )


if __name__ == "__main__":
    main()
