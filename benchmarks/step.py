"""What does one ``scheduler.step()`` cost, over the loop that writes one number in each group?"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from functools import partial
from itertools import count

import torch
from benchmarks.harness import Peers, Table, in_groups, race

import warmdown as wd

TOTAL, WARMUP = 10_000_000, 100_000
SIZES = (1, 10, 100, 1000)
EMPTY, COUNTING = "a method of nothing", "a method that counts to an end"
Contender = Callable[[torch.optim.Optimizer], Callable[[], object]]


def main() -> None:
    """Measure one rate, a constant phase, and several fields at once."""
    warnings.simplefilter("ignore")
    publish_step()
    publish_fields()


def publish_step() -> None:
    """Tell what warmup and cosine cost for one rate in each of 1 to 1000 groups."""
    question = "`step()`, float rate, warmup and cosine, over the bare loop"
    publish_rates("step", question, groups_of, {"bare loop": bare_loop})
    question = (
        "The same, each group with a base rate of its own: over the loop that people write, "
        '`for group, base in zip(groups, bases): group["lr"] = base * factor`, a half cosine'
    )
    loops = {"the loop that people write": own_loop, "bare loop": bare_loop}
    publish_rates("step_own_bases", question, groups_with_bases, loops)
    publish_constant()


def publish_rates(
    name_of_table: str,
    question: str,
    made: Callable[[int], torch.optim.Optimizer],
    loops: dict[str, Contender],
) -> None:
    """Race all contenders at each size; the first loop is what they are measured by."""
    table = Table(name_of_table, question, ("contender", *map(in_groups, SIZES)))
    ratios: dict[str, list[float]] = {}
    reference, peers = next(iter(loops)), Peers()
    for size in SIZES:
        found = Peers({}, peers.skipped)
        for name, build in {**loops, **CONTENDERS}.items():
            found.add(name, partial(build, made(size)))
        times = race(found.found, calls=calls_of(size), rounds=15)
        for name, measured in times.items():
            ratios.setdefault(name, []).append(measured.over(times[reference]))
    for name, row in ratios.items():
        table.add(name, *(f"{ratio:.2f}x" for ratio in row))
        table.figures[name] = row
    table.publish(peers.skipped)


def publish_constant() -> None:
    """Tell what a step costs in a phase that changes nothing."""
    steps = {in_groups(size): constant(groups_with_bases(size)) for size in SIZES}
    times = race({EMPTY: Empty().step, COUNTING: Counting().step, **steps}, calls=20_000, rounds=31)
    table = Table(
        "constant",
        "`step()` in a constant phase: nothing is written",
        ("call", "µs", "over a method of nothing"),
    )
    for name, measured in times.items():
        table.add(name, measured.median * 1e6, f"{measured.over(times[EMPTY]):.2f}x")
        table.figures[name] = measured.median * 1e6
    table.publish()


def publish_fields() -> None:
    """Tell what several fields at once cost, over a bare loop for each."""
    question = "`step()`, several fields at once, over a bare loop for each field"
    table = Table("fields", question, ("contender", *map(in_groups, SIZES)))
    for name, (build, fields) in MANY.items():
        table.figures[name] = [_over_bare_fields(build, fields, size) for size in SIZES]
        table.add(name, *(f"{ratio:.2f}x" for ratio in table.figures[name]))
    table.publish()


def _over_bare_fields(build: Contender, fields: int, size: int) -> float:
    racers = {"bare": bare_fields(groups_of(size), fields), "ours": build(groups_of(size))}
    times = race(racers, calls=calls_of(size), rounds=15)
    return times["ours"].over(times["bare"])


def calls_of(size: int) -> int:
    """Return calls in one measurement: at least two windows, whose making is part of the cost."""
    return min(20_000, 2 * 65_536 // size)


def groups_of(count: int) -> torch.optim.Optimizer:
    """An AdamW of ``count`` groups with one base rate, as weight-decay groups have."""
    return torch.optim.AdamW(
        [{"params": [torch.zeros(1, requires_grad=True)]} for _ in range(count)], lr=1e-3
    )


def groups_with_bases(count: int) -> torch.optim.Optimizer:
    """An AdamW of ``count`` groups, each with a base rate of its own, as layer-wise decay has."""
    return torch.optim.AdamW(
        [
            {"params": [torch.zeros(1, requires_grad=True)], "lr": 1e-3 * (1 + index / count)}
            for index in range(count)
        ]
    )


def bare_loop(optimizer: torch.optim.Optimizer) -> Callable[[], object]:
    """The least that writing takes: the values are there already."""
    groups, values = optimizer.param_groups, [0.1] * len(optimizer.param_groups)

    def write() -> None:
        for group, value in zip(groups, values):  # noqa: B905 as bare as can be
            group["lr"] = value

    return write


def own_loop(optimizer: torch.optim.Optimizer) -> Callable[[], object]:
    """What people write: a factor by the math module, and each group's base times it."""
    groups, steps = optimizer.param_groups, count()
    bases = [group["lr"] for group in groups]

    def half_cosine(step: int) -> float:
        return 0.5 * (1.0 + math.cos(math.pi * step / TOTAL))

    def write() -> None:
        factor = half_cosine(next(steps))
        for group, base in zip(groups, bases):  # noqa: B905 as people write it
            group["lr"] = base * factor

    return write


def bare_fields(optimizer: torch.optim.Optimizer, count: int) -> Callable[[], object]:
    """One bare loop for each field; a beta is a tuple made anew."""
    groups, values = optimizer.param_groups, [0.1] * len(optimizer.param_groups)

    def write() -> None:
        for group, value in zip(groups, values):  # noqa: B905
            group["lr"] = value
        for group, value in zip(groups, values):  # noqa: B905
            group["betas"] = (value, 0.999)
        if count == 3:
            for group, value in zip(groups, values):  # noqa: B905
                group["weight_decay"] = value

    return write


def ours(optimizer: torch.optim.Optimizer) -> Callable[[], object]:
    """warmdown, trusting its caller, because no optimizer runs here."""
    plan = wd.warmup_cosine(warmup=WARMUP)
    return wd.Scheduler(optimizer, lr=plan, run=wd.Run(total_steps=TOTAL), count_by="attempts").step


class Empty:
    """What calling a method costs that does nothing."""

    def step(self, epoch: None = None, samples: None = None, tokens: None = None) -> None:
        """Do nothing."""


class Counting:
    """What counting costs beside that, where an update has to be seen and there is an end."""

    def __init__(self) -> None:
        self.update_seen, self.index, self.last = True, 0, 2**62

    def step(self, epoch: None = None, samples: None = None, tokens: None = None) -> None:
        """Count, if an update was seen and this is not the last one."""
        if self.update_seen and epoch is None:
            index = self.index + 1
            if index <= self.last:
                self.index = index


def constant(optimizer: torch.optim.Optimizer) -> Callable[[], object]:
    """Warmdown on the trunk of a WSD plan."""
    scheduler = wd.Scheduler(
        optimizer, lr=wd.wsd(warmup=10), run=wd.Run(total_steps=TOTAL), count_by="attempts"
    )
    scheduler.seek(1000)
    return scheduler.step


def torch_sequential(optimizer: torch.optim.Optimizer) -> Callable[[], object]:
    """Torch's LinearLR and CosineAnnealingLR in a SequentialLR."""
    from torch.optim import lr_scheduler

    warmup = lr_scheduler.LinearLR(optimizer, 1e-3, 1.0, 100)
    cosine = lr_scheduler.CosineAnnealingLR(optimizer, TOTAL)
    return lr_scheduler.SequentialLR(optimizer, [warmup, cosine], [100]).step


def torch_cosine(optimizer: torch.optim.Optimizer) -> Callable[[], object]:
    """Torch's CosineAnnealingLR alone."""
    return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, TOTAL).step


def transformers(optimizer: torch.optim.Optimizer) -> Callable[[], object]:
    """The cosine with warmup of transformers."""
    from transformers import get_cosine_schedule_with_warmup

    return get_cosine_schedule_with_warmup(optimizer, 100, TOTAL).step  # type: ignore[no-any-return]


def pytorch_accelerated(optimizer: torch.optim.Optimizer) -> Callable[[], object]:
    """The cosine of pytorch-accelerated."""
    from tests.compat.timm_parts import timm_scheduler

    timm_scheduler()
    from pytorch_accelerated.schedulers import CosineLrScheduler

    return CosineLrScheduler(optimizer, total_num_epochs=1000, num_update_steps_per_epoch=1000).step  # type: ignore[no-any-return]


def ignite(optimizer: torch.optim.Optimizer) -> Callable[[], object]:
    """The cosine of ignite, which drives one value for all groups."""
    from ignite.handlers import CosineAnnealingScheduler

    scheduler = CosineAnnealingScheduler(optimizer, "lr", 0.1, 0.0, TOTAL)
    return lambda: scheduler(None)


def ours_one_cycle(optimizer: torch.optim.Optimizer) -> Callable[[], object]:
    """One-cycle with rate and first beta."""
    return wd.Scheduler(
        optimizer, **wd.one_cycle(), run=wd.Run(total_steps=TOTAL), count_by="attempts"
    ).step


def ours_three(optimizer: torch.optim.Optimizer) -> Callable[[], object]:
    """One-cycle, and weight decay beside it."""
    decay = wd.Set(wd.Cosine(start=0.04, end=0.4))
    run = wd.Run(total_steps=TOTAL)
    return wd.Scheduler(
        optimizer, **wd.one_cycle(), weight_decay=decay, run=run, count_by="attempts"
    ).step


def torch_one_cycle(optimizer: torch.optim.Optimizer) -> Callable[[], object]:
    """Torch's OneCycleLR."""
    return torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=TOTAL).step


CONTENDERS: dict[str, Contender] = {
    "warmdown": ours,
    "torch SequentialLR": torch_sequential,
    "torch CosineAnnealingLR": torch_cosine,
    "transformers": transformers,
    "pytorch-accelerated": pytorch_accelerated,
    "ignite (one value)": ignite,
}
MANY: dict[str, tuple[Contender, int]] = {
    "warmdown: lr, beta1": (ours_one_cycle, 2),
    "torch OneCycleLR: lr, beta1": (torch_one_cycle, 2),
    "warmdown: lr, beta1, weight decay": (ours_three, 3),
}


if __name__ == "__main__":
    main()
