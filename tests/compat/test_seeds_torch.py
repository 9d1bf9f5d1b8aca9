"""The pages that users of torch's names read: their examples run with only their imports changed.

The pages themselves are not part of this repository; where they are not at hand, the same
situations stand below in our own words."""

from __future__ import annotations

import ast
import math
import re
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.compat.loops import rates, sgd

from warmdown.compat.lr_scheduler import (
    LRScheduler,
    OneCycleLR,
    ReduceLROnPlateau,
    StepLR,
    _LRScheduler,
)

PAGES = Path(__file__).parents[2].parent / "shared" / "seeds"


def page(start: str) -> str:
    """Return the text of the page whose file begins so, or skip the test."""
    found = sorted(PAGES.glob(f"{start}*.txt"))
    if not found:
        pytest.skip("the page is not at hand")
    text = found[0].read_text(encoding="utf-8")
    return text.replace(
        "from torch.optim.lr_scheduler import", "from warmdown.compat.lr_scheduler import"
    ).replace("torch.optim.lr_scheduler.", "warmdown.compat.lr_scheduler.")


def fenced(text: str) -> list[str]:
    """Return the code between fences."""
    return [code.strip("\n") for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL)]


def unfenced(text: str) -> Iterator[str]:
    """Yield the code of a page that does not mark it: paragraphs that parse, and their blocks."""
    code = ""
    for paragraph in [*text.split("\n\n"), "This is no code."]:
        if code and paragraph.startswith((" ", "\t")):
            code += f"\n\n{paragraph}"
            continue
        if code and parses(code):
            yield code
        code = paragraph if looks_like_code(paragraph) else ""


def looks_like_code(paragraph: str) -> bool:
    """Tell code from prose."""
    first = paragraph.lstrip("# ")
    return parses(paragraph) or (
        paragraph.startswith(("def ", "class ", "for ", "import ", "from ")) and bool(first)
    )


def parses(code: str) -> bool:
    """Tell whether this is Python, and more than a word."""
    try:
        body = ast.parse(code).body
    except SyntaxError:
        return False
    words = (
        ast.AnnAssign,
        ast.Name,
        ast.Tuple,
        ast.Constant,
    )  # a title with a colon, a list of terms
    return any(
        not isinstance(node.value if isinstance(node, ast.Expr) else node, words) for node in body
    )


class Batches:
    """A loader of three small batches."""

    def __init__(self, width: int) -> None:
        self.width = width

    def __len__(self) -> int:
        return 3

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for _ in range(3):
            yield torch.ones(2, self.width), torch.zeros(2, dtype=torch.long)


def stand_ins(width: int = 100) -> dict[str, Any]:
    """Return what the examples leave undefined."""

    def compute_loss(model: Any, batch: Any) -> Any:
        return model(batch[0]).pow(2).mean()

    def train(model: Any, optimizer: Any) -> None:
        for parameter in model.parameters():
            parameter.grad = torch.zeros_like(parameter)
        optimizer.step()

    def train_one_epoch(model: Any, loader: Any, optimizer: Any) -> float:
        train(model, optimizer)
        return 1.0

    model = torch.nn.Linear(width, 10)
    return {
        "torch": torch,
        "nn": torch.nn,
        "optim": torch.optim,
        "math": math,
        "model": model,
        "num_epochs": 2,
        "train_loader": Batches(width),
        "val_loader": Batches(width),
        "val_loss": 1.0,
        "compute_loss": compute_loss,
        "train": train,
        "train_one_epoch": train_one_epoch,
        "validate": lambda model, loader: 1.0,
        "optimizer": torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9),
        "StepLR": StepLR,
        "OneCycleLR": OneCycleLR,
        "ReduceLROnPlateau": ReduceLROnPlateau,
    }


def last_lr(names: dict[str, Any]) -> float:
    """Return what the example's optimizer holds in the end."""
    return float(names["optimizer"].param_groups[0]["lr"])


def ran(code: str, names: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Run code that knows ``names``, and return what it knows in the end."""
    script = folder / "example.py"
    script.write_text(code, encoding="utf-8")
    return {**names, **runpy.run_path(str(script), init_globals=names)}


def test_the_first_pages_examples_run_and_end_where_they_say(tmp_path: Path) -> None:
    ends = [last_lr(ran(code, stand_ins(), tmp_path)) for code in fenced(page("002"))]
    # ten factors of 0.1; falls until the next would be below eps; one step short of the line's end
    assert ends == pytest.approx([1e-12, 1e-8, 0.001], rel=1e-9)


def test_the_second_pages_example_runs(tmp_path: Path) -> None:
    line = re.search(r"scheduler = \S*OneCycleLR\(optimizer, .*?epochs=10\)", page("003"))
    assert line is not None
    code = f"import warmdown.compat.lr_scheduler\n{line[0]}\n"
    names = ran(code, {**stand_ins(), "data_loader": Batches(100)}, tmp_path)
    seen = []
    for _ in range(30):
        seen.append(last_lr(names))
        names["optimizer"].step()
        names["scheduler"].step()
    assert (seen[0], max(seen), seen[-1]) == pytest.approx((0.01 / 25, 0.01, 0.01 / 25e4), rel=1e-3)


@pytest.mark.filterwarnings(
    "ignore:.*before the first optimizer.step"
)  # the page shows that mistake
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the event writer's own
def test_the_third_pages_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    pytest.importorskip("tensorboard")
    names = stand_ins()
    examples = list(unfenced(page("004")))
    assert len(examples) >= 12
    for code in examples:
        if "Missing validation loss" in code:
            with pytest.raises(TypeError):
                ran(code, names, tmp_path)
        else:
            names = ran(code, names, tmp_path)
    model, loader = names["model"], names["train_loader"]
    assert names["train_with_scheduler"](model, loader, loader, 2) is model
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    tracked = names["train_and_track_lr"](model, loader, optimizer, StepLR(optimizer, 2, 0.5), 2)
    assert tracked == [1.0, 1.0, 0.5, 0.5, 0.25, 0.25]
    warmed = names["WarmupCosineScheduler"](torch.optim.SGD(model.parameters(), lr=1.0), 5, 100)
    assert isinstance(warmed, LRScheduler)
    assert warmed.get_last_lr() == [0.0]


class RisingThenCosine(_LRScheduler):
    """What people write for a warmup: epochs up in a line, then down along a wave."""

    def __init__(self, optimizer: Any, up: int, total: int, last_epoch: int = -1) -> None:
        self.up, self.total = up, total
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Any]:
        if self.last_epoch < self.up:
            factor = self.last_epoch / self.up
        else:
            factor = 0.5 * (
                1 + math.cos(math.pi * (self.last_epoch - self.up) / (self.total - self.up))
            )
        return [base * factor for base in self.base_lrs]


def test_a_warmup_of_peoples_own_passes_through_the_points_of_its_formula() -> None:
    scheduler = RisingThenCosine(sgd(1.0), 2, 6)
    seen = []
    for _ in range(7):
        seen.append(rates(scheduler.optimizer)[0])
        scheduler.optimizer.step()
        scheduler.step()
    assert seen == pytest.approx([0.0, 0.5, 1.0, 0.853553, 0.5, 0.146447, 0.0], abs=1e-6)


def test_stairs_of_thirty_epochs_stand_where_a_table_says() -> None:
    scheduler = StepLR(sgd(0.1), step_size=30, gamma=0.1)
    table = {}
    for epoch in range(90):
        table[epoch] = rates(scheduler.optimizer)[0]
        scheduler.optimizer.step()
        scheduler.step()
    told = {
        epoch: pytest.approx(rate)
        for epoch, rate in ((0, 0.1), (29, 0.1), (30, 0.01), (59, 0.01), (60, 0.001))
    }
    assert {epoch: table[epoch] for epoch in told} == told


def test_a_plateau_without_its_metric_is_refused() -> None:
    scheduler: Any = ReduceLROnPlateau(sgd(1.0))
    with pytest.raises(TypeError, match="metrics"):
        scheduler.step()


def test_one_cycle_stepped_once_an_epoch_never_leaves_its_rise() -> None:
    scheduler = OneCycleLR(sgd(0.1, momentum=0.9), max_lr=0.1, epochs=100, steps_per_epoch=50)
    for _ in range(100):
        scheduler.optimizer.step()
        scheduler.step()
    assert scheduler.get_last_lr()[0] < 0.006
