"""What does it cost to go on at update 1,000,000, and how large is what must be kept?"""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable

import torch
from benchmarks.harness import Peers, Table, race

import warmdown as wd

TOTAL, AT = 10_000_000, 1_000_000


def main() -> None:
    """Measure the way back, and the state."""
    warnings.simplefilter("ignore")
    publish_way_back()
    publish_state()


def publish_way_back() -> None:
    """Tell how long loading a state takes, near the start and far from it."""
    peers = Peers({"warmdown, update 10": loading(10), f"warmdown, update {AT:,}": loading(AT)})
    times = race(peers.found, calls=20, rounds=15)
    table = Table("resume", "Loading a scheduler's state", ("at", "µs"))
    for name, measured in times.items():
        table.add(name, measured.median * 1e6)
        table.figures[name] = measured.median * 1e6
    table.publish()


def publish_state() -> None:
    """Tell how many bytes a state has, pickled."""
    table = Table(
        "state",
        "Bytes of a pickled state at update 1,000,000",
        ("scheduler", "1 group", "1000 groups"),
    )
    for name, build in STATES.items():
        table.add(name, *(str(len(pickle.dumps(build(count)))) for count in (1, 1000)))
    table.publish()


def loading(count: int) -> Callable[[], object]:
    """Load the state of a scheduler at an update."""
    scheduler = ours(1)
    scheduler.seek(count)
    state, fresh = scheduler.state_dict(), ours(1)
    return lambda: fresh.load_state_dict(state)


def ours(groups: int) -> wd.Scheduler:
    """Warmup and cosine."""
    return wd.Scheduler(
        optimizer(groups), lr=wd.warmup_cosine(), run=wd.Run(total_steps=TOTAL), count_by="attempts"
    )


def our_state(groups: int) -> object:
    """What warmdown keeps besides the plan."""
    scheduler = ours(groups)
    scheduler.seek(AT)
    return scheduler.state_dict(plan=False)


def torch_state(groups: int) -> object:
    """What torch keeps."""
    return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer(groups), TOTAL).state_dict()


def optimizer(groups: int) -> torch.optim.Optimizer:
    """An SGD of so many groups."""
    return torch.optim.SGD(
        [{"params": [torch.zeros(1, requires_grad=True)]} for _ in range(groups)], lr=0.1
    )


STATES: dict[str, Callable[[int], object]] = {
    "warmdown, plan kept elsewhere": our_state,
    "torch CosineAnnealingLR": torch_state,
}

if __name__ == "__main__":
    main()
