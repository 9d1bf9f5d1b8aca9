"""The pages that users of these names read: their examples run as printed, their tables come out.

The pages themselves are not part of this repository; where they are not at hand, the same
situations stand below in our own words."""

from __future__ import annotations

import re
import runpy
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.compat.loops import rates, run, sgd

import warmdown as wd
from warmdown.compat.lr_scheduler import MultiStepLR
from warmdown.compat.schedulers import (
    StatefulSchedulerBase,
    WSDLrScheduler,
    estimate_checkpoint_steps,
)
from warmdown.importing import from_settings

PAGES = Path(__file__).parents[2].parent / "shared" / "seeds"


def page(start: str) -> str:
    """Return the text of the page whose file begins so, or skip the test."""
    found = sorted(PAGES.glob(f"{start}*.txt"))
    if not found:
        pytest.skip("the page is not at hand")
    return found[0].read_text(encoding="utf-8")


def example(text: str, name: str, folder: Path) -> type[Any]:
    """Return the class that an example of the page defines; only its import is changed."""
    begin = text.index(
        "from pytorch_accelerated", text.rindex("Example:", 0, text.index(f"class {name}"))
    )
    code = (
        text[begin:]
        .split("\nExample:")[0]
        .replace("pytorch_accelerated.schedulers", "warmdown.compat.schedulers")
    )
    script = folder / "example.py"
    script.write_text(indented(code), encoding="utf-8")
    found: type[Any] = runpy.run_path(str(script))[name]
    return found


def indented(code: str) -> str:
    """Restore the indentation of code: a ``def`` in its class, a block after its colon."""
    lines, depth, open_brackets, inner = [], 0, 0, 0
    for line in filter(str.strip, code.splitlines()):
        if not open_brackets:
            depth = {"class": 0, "from": 0, "import": 0, "def": 1}.get(line.split()[0], inner)
        lines.append("    " * (depth + (open_brackets > 0)) + line)
        open_brackets += sum(map(line.count, "([{")) - sum(map(line.count, ")]}"))
        if not open_brackets:
            inner = depth + line.endswith(":")
    return "\n".join(lines) + "\n"


def test_the_milestone_example_runs_as_printed(tmp_path: Path) -> None:
    scheduler = example(page("001"), "MilestoneLrScheduler", tmp_path)(
        sgd(1.0, 0.1), num_steps_per_epoch=3
    )
    used = run(scheduler, 18)
    assert used[:7] == [[1.0, 0.1]] * 7
    assert used[7:13] == [[0.5, 0.05]] * 6
    assert used[13:16] == [[0.25, 0.025]] * 3
    assert used[16:] == [[0.125, 0.0125]] * 2


def test_the_weight_decay_example_runs_as_printed(tmp_path: Path) -> None:
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.ones(1))], weight_decay=0.1)
    scheduler = example(page("001"), "StepWdScheduler", tmp_path)(optimizer, n=3, gamma=2.0)
    used = []
    for _ in range(8):
        used.append(optimizer.param_groups[0]["weight_decay"])
        optimizer.step()
        scheduler.step()
    assert used == [0.1, 0.1, 0.1, 0.1, 0.2, 0.2, 0.2, 0.4]
    assert scheduler.get_last_lr() == [1e-3]


def test_every_printed_checkpoint_example_comes_out() -> None:
    printed = re.findall(r"(\d) checkpoints for (\d+)K steps: \[([\dK, ]+)\]", page("001"))
    assert len(printed) == 3
    for count, thousands, steps in printed:
        expected = [int(step.rstrip("K")) * 1000 for step in steps.split(", ")]
        assert estimate_checkpoint_steps(int(thousands) * 1000, int(count)) == expected


def test_every_printed_signature_is_ours() -> None:
    import inspect

    from warmdown.compat import schedulers

    text = page("001")
    for name in ("CosineLrScheduler", "WSDLrScheduler"):
        printed = re.search(rf"class pytorch_accelerated\S+{name}\((.*?)\)\[source\]", text)
        assert printed is not None
        names = re.findall(r"(?:^|, )(\w+)(?::[^,=]+)?(?:\s*=\s*[^,]+)?", printed[1])
        assert list(inspect.signature(getattr(schedulers, name)).parameters) == names


def test_the_pivotal_tuning_table_comes_out() -> None:
    rows = re.findall(r"^\| (\d+)\+?\s*\| (\S+)\s*\| (\S+)", page("000"), flags=re.MULTILINE)
    assert len(rows) == 4
    check_pivotal_tuning(
        {int(step): [float(unet), float(embedding)] for step, unet, embedding in rows}
    )


# -- the same in our own words


WINDOW = {
    "learning_rate_scheduler": "CUSTOM",
    "custom_learning_rate_scheduler": "torch.optim.lr_scheduler.MultiStepLR",
    "scheduler_params": [
        {"key": "milestones", "value": "50,100,150"},
        {"key": "gamma", "value": ".5"},
    ],
    "learning_rate": 1e-4,
}
"""What OneTrainer's window holds for it."""
HALVED: list[Callable[[torch.optim.Optimizer], Any]] = [
    lambda optimizer: wd.Scheduler(optimizer, lr=wd.Milestones(gamma=0.5, at=(50, 100, 150))),
    lambda optimizer: MultiStepLR(optimizer, [50, 100, 150], 0.5),
    lambda optimizer: wd.Scheduler(optimizer, from_settings(WINDOW, total_steps=400, report=None)),
]


def check_pivotal_tuning(table: dict[int, list[float]]) -> None:
    for make in HALVED:
        used = run(make(sgd(1e-4, 1e-3)), 400)
        marks = [*sorted(table), 400]
        for begin, end in pairwise(marks):
            assert used[begin:end] == [pytest.approx(table[begin], rel=1e-12)] * (end - begin)


def test_milestones_halve_the_rates_of_a_model_and_of_its_embedding_alike() -> None:
    check_pivotal_tuning(
        {0: [1e-4, 1e-3], 50: [5e-5, 5e-4], 100: [2.5e-5, 2.5e-4], 150: [1.25e-5, 1.25e-4]}
    )


def test_a_users_scheduler_may_scale_what_the_groups_hold_and_leave_them_alone_otherwise() -> None:
    class HalvedNowAndThen(StatefulSchedulerBase):
        def get_updated_values(self, num_updates: int) -> list[float] | None:
            if num_updates in (4, 6):
                return [group[self.param_group_field] / 2 for group in self.optimizer.param_groups]
            return None

    optimizer = sgd(1.0, 0.1)
    used = run(HalvedNowAndThen(optimizer), 9)
    assert [first for first, _ in used] == [1.0] * 5 + [0.5] * 2 + [0.25] * 2
    assert rates(optimizer) == [0.25, 0.025]


def test_the_documented_wsd_run_in_a_loop() -> None:
    used = [
        rate
        for (rate,) in run(
            WSDLrScheduler(sgd(), total_steps=1000, num_warmup_steps=50, lr_min=0.1), 1001
        )
    ]
    assert used[0] == used[1] == 1e-6  # the first step() writes the value for no updates
    assert set(used[51:902]) == {1.0}
    assert all(later < before for before, later in pairwise(used[901:]))
