"""Configurations of other programs and a class, in a real browser: opened, dropped, turned."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from tests.importing.driven import rates_driven
from tests.studio.pages import CONTRAST, Screens, field, press, text_has

import warmdown as wd
from warmdown.studio.preview.outlook import read_law
from warmdown.studio.process import Server

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.slow]

TITAN = """[optimizer]
lr = 8e-4
[lr_scheduler]
warmup_steps = 200
decay_ratio = 0.8
[training]
steps = 1000
"""
DROP = """([name, text]) => {
  const data = new DataTransfer();
  data.items.add(new File([text], name));
  document.body.dispatchEvent(new DragEvent("drop", {dataTransfer: data, bubbles: true}));
}"""
PASTE = """text => {
  const data = new DataTransfer();
  data.setData("text/plain", text);
  document.body.dispatchEvent(new ClipboardEvent("paste", {clipboardData: data, bubbles: true}));
}"""


def test_a_configuration_is_opened_dropped_and_pasted(tab: Page, server: Server) -> None:
    path = server.folder / "llm.toml"
    path.write_text(TITAN)
    press(tab, "open")
    tab.wait_for_selector("text=torchtitan")
    press(tab, "file-llm.toml")
    text_has(tab, "# From llm.toml.", "lr: 8e-4")
    tab.wait_for_selector('[data-mark="report"] >> text=From llm.toml.')
    press(tab, "save")
    field(tab, "save-name").fill("brought.yaml")
    press(tab, "save-yes")
    tab.wait_for_function("document.querySelector('.top .name').textContent === 'brought.yaml'")
    assert path.read_text() == TITAN
    saved = server.folder / "brought.yaml"
    assert wd.load(saved) == wd.import_config(path, report=None)
    tab.evaluate(
        DROP, ["args.yaml", "lr_scheduler_type: cosine\nlearning_rate: 2e-5\nnum_train_epochs: 3"]
    )
    field(tab, "fact-steps_per_epoch").fill("100")
    press(tab, "facts-yes")
    text_has(tab, "# From args.yaml.", "total_steps: 300")
    tab.evaluate(PASTE, "python train.py --learning_rate 2e-5 --max_steps 70 --warmup_steps 10")
    press(tab, "leave-lose")
    text_has(tab, "# From pasted.yaml.", "total_steps: 70")
    tab.evaluate(DROP, ["config.py", "from mmengine import Config\nlr = 0.1\n"])
    tab.wait_for_selector("text=not executed")
    # under 1 MB, but not as a message; a connection that was ended for it would answer no more
    tab.evaluate(DROP, ["log.csv", "step,loss\n" + "1,2\n" * 200_000])
    tab.wait_for_selector("text=log.csv: empty, or too large to be dropped")
    press(tab, "open")
    tab.wait_for_selector(".q-notification.bg-negative", state="detached")
    press(tab, "close")
    for left in (path, saved):
        left.unlink()


def trainer_state(schedule: wd.Schedule) -> str:
    """Return what transformers leaves of a run of 2,000 updates."""
    steps, rates = np.arange(10, 2_001, 10), 1e-3 * schedule(np.arange(2_000.0))
    losses = 2.0 + 0.5 * (np.cumsum(rates) + 0.01) ** -0.4 + 300 * rates
    rows = zip(steps.tolist(), rates[steps - 1].tolist(), losses[steps - 1].tolist(), strict=True)
    log = [{"step": step, "learning_rate": rate, "loss": loss} for step, rate, loss in rows]
    return json.dumps({"max_steps": 2_000, "log_history": log})


def test_a_training_state_is_a_schedule_or_a_log_as_is_asked_and_its_law_is_a_file(
    tab: Page, tmp_path: Path
) -> None:
    warmup, path = wd.Linear(start=0.0, end=1.0, steps=100), tmp_path / "trainer_state.json"
    path.write_text(trainer_state(warmup >> wd.Cosine(steps=1_900)))
    screens = Screens(tab)
    tab.evaluate(DROP, [path.name, path.read_text()])
    tab.wait_for_selector('[data-mark="take-log"]')
    screens.look("plan or log", without=CONTRAST)
    press(tab, "take-plan")
    text_has(tab, "# From trainer_state.json.", "total_steps: 2000")
    falling = trainer_state(warmup >> wd.Cosine(steps=950).repeat(times=2))
    tab.evaluate(DROP, [path.name, falling])
    press(tab, "take-log")
    tab.wait_for_selector('[data-mark="law-says"] >> text=Predicted final loss')
    press(tab, "law")
    tab.wait_for_selector('[data-mark="law-save"]')
    screens.look("law", without=CONTRAST)
    with tab.expect_download() as coming:
        press(tab, "law-save")
    assert coming.value.suggested_filename == "law.json"
    coming.value.save_as(tmp_path / "law.json")
    law = read_law({"law.json": (tmp_path / "law.json").read_text()})
    assert law.pilots == read_law({path.name: falling}).pilots
    final = str(law.predict(wd.import_config(path, report=None)).final)
    assert final in (tab.locator('[data-mark="law-says"]').text_content() or "")
    assert screens.problems == []


def test_a_class_is_turned_into_a_schedule_that_trains(tab: Page, server: Server) -> None:
    plan = (
        "# groups: {LoRA: {lr: 1e-4}, embedding: {lr: 1e-3}}\nrun: {total_steps: 60}\n"
        "lr: {class_path: torch.optim.lr_scheduler.OneCycleLR, "
        'init_args: {max_lr: [1e-4, 1e-3], total_steps: "%TOTAL_STEPS%"}}\n'
    )
    tab.evaluate(DROP, ["plan.yaml", plan])
    tab.wait_for_selector('[data-mark="native"]')
    press(tab, "native")
    tab.wait_for_selector('[data-mark="report"] >> text=the same at every update')
    text_has(tab, "LoRA:", "embedding:")
    press(tab, "save")
    field(tab, "save-name").fill("cycle.yaml")
    press(tab, "save-yes")
    tab.wait_for_function("document.querySelector('.top .name').textContent === 'cycle.yaml'")
    rates = []
    for make in (
        lambda optimizer: torch.optim.lr_scheduler.OneCycleLR(optimizer, [1e-4, 1e-3], 60),
        lambda optimizer: wd.Scheduler(optimizer, wd.load(server.folder / "cycle.yaml")),
    ):
        groups = [
            {"params": [torch.nn.Parameter(torch.zeros(1))], "lr": lr, "name": name}
            for name, lr in (("LoRA", 1e-4), ("embedding", 1e-3))
        ]
        optimizer = torch.optim.SGD(groups, momentum=0.9)
        rates.append(rates_driven(optimizer, make(optimizer), 60))
    assert rates[0] == pytest.approx(rates[1], rel=1e-9)
    (server.folder / "cycle.yaml").unlink()
