"""Configurations of other programs and a class, in a real browser: opened, dropped, turned."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from tests.importing.driven import rates_driven
from tests.studio.pages import field, press, text_has

import warmdown as wd
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
    for left in (path, saved):
        left.unlink()


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
