"""What the updates of an imported plan use, all asked for at once."""

from __future__ import annotations

from typing import Any

import numpy as np

import warmdown as wd


def values_of(scheduler: wd.Scheduler, count: int, field: str = "lr") -> list[float]:
    """Return what each of so many updates uses, by what ``Scheduler.value`` asks for one."""
    driven = scheduler.writer.find(field, 0)
    found: list[float] = driven.values(scheduler.writer.timeline, np.arange(float(count))).tolist()
    assert [scheduler.value(step, field) for step in (0, count - 1)] == [found[0], found[-1]]
    return found


def rates_driven(optimizer: Any, scheduler: Any, count: int) -> np.ndarray[Any, Any]:
    """Return the rates of every group at every update, as a loop of so many updates uses them."""
    rows = []
    for _ in range(count):
        rows.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        scheduler.step()
    return np.array(rows).T
