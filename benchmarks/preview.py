"""How long does it take to see a schedule: a whole curve, a preview, one value far away?"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from benchmarks.harness import Peers, Table, race

import warmdown as wd

TOTAL, WARMUP = 1_000_000, 50_000
PLAN = (wd.Linear(start=0.0, end=1.0, steps=WARMUP) >> wd.Cosine(start=1.0, end=0.0)).over(
    wd.Run(total_steps=TOTAL)
)
STEPS = np.arange(TOTAL)
SHOWN = np.linspace(0, TOTAL, 2000)


def main() -> None:
    """Measure and publish the three questions."""
    warnings.simplefilter("ignore")
    publish_curve()
    publish_preview()
    publish_far()


def publish_curve() -> None:
    """Tell how long a curve of a million steps takes, over NumPy in place."""
    peers = Peers({"in-place numpy": in_place, "warmdown": lambda: PLAN(STEPS)})
    peers.add("lrsched", lambda: each_step(lrsched_curve(), TOTAL // 50))
    peers.add("transformers", lambda: each_step(transformers_curve(), TOTAL // 50))
    peers.add("torch (simulated)", lambda: simulated(TOTAL // 100))
    shares = {"lrsched": 50, "transformers": 50, "torch (simulated)": 100}
    times = race(peers.found, rounds=9)
    table = Table(
        "curve",
        "Warmup and cosine over 1,000,000 steps",
        ("contender", "ms", "over in-place numpy"),
    )
    for name, measured in times.items():
        scale = shares.get(name, 1)
        table.add(
            name,
            measured.median * scale * 1e3,
            f"{measured.over(times['in-place numpy']) * scale:.3g}x",
        )
        table.figures[name] = measured.over(times["in-place numpy"]) * scale
    table.publish(peers.skipped)


def publish_preview() -> None:
    """Tell how long 2000 points of a run of a million steps take."""
    peers = Peers({"warmdown": lambda: PLAN(SHOWN)})
    peers.add("lrsched", lambda: each_of(lrsched_curve(), SHOWN))
    peers.add("transformers", lambda: each_of(transformers_curve(), SHOWN))
    times = race(peers.found, calls=20, rounds=15)
    table = Table(
        "preview", "2000 points of a run of 1,000,000 steps", ("contender", "µs", "over warmdown")
    )
    for name, measured in times.items():
        table.add(name, measured.median * 1e6, f"{measured.over(times['warmdown']):.3g}x")
        table.figures[name] = measured.median * 1e6
    table.publish(peers.skipped)


def publish_far() -> None:
    """Tell how long one value takes, near and far."""
    run = wd.Run(total_steps=20_000_000)
    far = wd.warmup_cosine().over(run)
    times = race(
        {"step 10": lambda: far(10), "step 10,000,000": lambda: far(10_000_000)},
        calls=200,
        rounds=15,
    )
    table = Table("far", "One value of a run of 20,000,000 steps", ("step", "µs"))
    for name, measured in times.items():
        table.add(name, measured.median * 1e6)
        table.figures[name] = measured.median * 1e6
    table.publish()


def in_place() -> Any:
    """The same curve as one would write it by hand, every operation in place."""
    values = np.arange(TOTAL, dtype=np.float64)
    rising, falling = values[:WARMUP], values[WARMUP:]
    rising /= WARMUP
    falling -= WARMUP
    falling *= np.pi / (TOTAL - WARMUP)
    np.cos(falling, out=falling)
    falling += 1
    falling *= 0.5
    return values


def each_step(curve: Callable[[int], float], count: int) -> Callable[[], object]:
    """Ask a scalar function for many steps."""
    return lambda: [curve(step) for step in range(count)]


def each_of(curve: Callable[[int], float], steps: Any) -> Callable[[], object]:
    """Ask a scalar function for given steps."""
    whole = [int(step) for step in steps]
    return lambda: [curve(step) for step in whole]


def lrsched_curve() -> Callable[[int], float]:
    """The curve as lrsched says it."""
    import lrsched

    cosine = lrsched.cosine(base_lr=1.0, min_lr=0.0, total_steps=TOTAL - WARMUP)
    return lrsched.with_warmup(cosine, warmup_steps=WARMUP, start_lr=0.0)  # type: ignore[no-any-return]


def transformers_curve() -> Callable[[int], float]:
    """The curve as transformers says it."""
    import torch
    from transformers import get_cosine_schedule_with_warmup

    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = get_cosine_schedule_with_warmup(optimizer, WARMUP, TOTAL)
    return scheduler.lr_lambdas[0]  # type: ignore[no-any-return]


def simulated(count: int) -> Callable[[], object]:
    """Step torch's chain of two schedulers, the only way to see it."""
    import torch
    from torch.optim import lr_scheduler

    def simulate() -> list[float]:
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
        warmup = lr_scheduler.LinearLR(optimizer, 1e-9, 1.0, WARMUP)
        cosine = lr_scheduler.CosineAnnealingLR(optimizer, TOTAL - WARMUP)
        scheduler = lr_scheduler.SequentialLR(optimizer, [warmup, cosine], [WARMUP])
        seen = []
        for _ in range(count):
            seen.append(scheduler.get_last_lr()[0])
            optimizer.step()
            scheduler.step()
        return seen

    return simulate


if __name__ == "__main__":
    main()
