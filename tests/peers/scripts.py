"""Training scripts in a few lines each, as their authors write them: a name is all that changes.

Each takes the names of a module of schedulers and returns the rates of its updates. Run as a file
it is one of two processes of torchrun: the scripts that are made for accelerate.
"""

from __future__ import annotations

import ast
import json
import os
import sys
import warnings
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

UPDATES, EPOCHS, BATCHES = 24, 6, 4
Script = Callable[..., list[list[float]]]


class Loop:
    """A model, an optimizer, and the rates that its updates used.

    Args:
        optimizer: The class.
        groups: How many groups; each has half the rate of the one before.
        settings: Of the optimizer.
    """

    def __init__(self, optimizer: Any = torch.optim.SGD, groups: int = 1, **settings: Any) -> None:
        torch.manual_seed(0)
        lr = settings.pop("lr", 0.1)
        weights = [torch.nn.Parameter(torch.ones(2)) for _ in range(groups)]
        rows = [{"params": [one], "lr": lr * 0.5**at} for at, one in enumerate(weights)]
        self.optimizer = optimizer(rows, **settings)
        self.used: list[list[float]] = []

    def update(self, optimizer: Any = None) -> None:
        """Make an update, and note its rates."""
        optimizer = optimizer or self.optimizer
        self.used.append([float(group["lr"]) for group in self.optimizer.param_groups])
        for group in self.optimizer.param_groups:
            for one in group["params"]:
                one.grad = torch.ones_like(one)
        optimizer.step()
        optimizer.zero_grad()


def run_epochs(make: Callable[[Any], Any], resume_at: int | None, **settings: Any) -> Any:
    """Step once for each epoch; break off after some epochs, and go on in a new process."""
    loop = Loop(**settings)
    scheduler, used = make(loop.optimizer), []
    for epoch in range(EPOCHS):
        if epoch == resume_at:  # imagenet's and torchvision's checkpoint
            used, saved = loop.used, (loop.optimizer.state_dict(), scheduler.state_dict())
            loop = Loop(**settings)
            scheduler = make(loop.optimizer)
            loop.optimizer.load_state_dict(saved[0])
            scheduler.load_state_dict(saved[1])
        for _ in range(BATCHES):
            loop.update()
        scheduler.step()
    return used + loop.used


def mnist(names: Any, resume_at: int | None = None) -> Any:
    return run_epochs(
        lambda o: names.StepLR(o, step_size=1, gamma=0.7),
        resume_at,
        optimizer=torch.optim.Adadelta,
        lr=1.0,
    )


def imagenet(names: Any, resume_at: int | None = None) -> Any:
    return run_epochs(
        lambda o: names.StepLR(o, step_size=2, gamma=0.1), resume_at, momentum=0.9, groups=2
    )


def torchvision_reference(names: Any, resume_at: int | None = None) -> Any:
    def make(optimizer: Any) -> Any:
        main = names.CosineAnnealingLR(optimizer, T_max=EPOCHS - 2, eta_min=1e-4)
        warmup = names.LinearLR(optimizer, start_factor=0.01, total_iters=2)
        return names.SequentialLR(optimizer, schedulers=[warmup, main], milestones=[2])

    return run_epochs(make, resume_at, momentum=0.9, groups=3)


def torchvision_multi_step(names: Any, resume_at: int | None = None) -> Any:
    def make(optimizer: Any) -> Any:
        main = names.MultiStepLR(optimizer, milestones=[1, 3], gamma=0.1)
        warmup = names.ConstantLR(optimizer, factor=0.3, total_iters=1)
        return names.SequentialLR(optimizer, [warmup, main], [1])

    return run_epochs(make, resume_at, momentum=0.9)


def one_cycle(names: Any, resume_at: int | None = None) -> Any:
    """Step once for each batch, as fast trainings of small images do."""
    loop = Loop(momentum=0.9, groups=2)
    scheduler = names.OneCycleLR(loop.optimizer, [0.4, 0.2], epochs=EPOCHS, steps_per_epoch=BATCHES)
    for _ in range(UPDATES):
        loop.update()
        scheduler.step()
    return loop.used


def torchtitan(names: Any, resume_at: int | None = None) -> Any:
    """Keep the schedulers of several optimizers in one container, whose state is one number."""
    loops = [Loop(torch.optim.AdamW, lr=0.1), Loop(torch.optim.SGD, lr=0.02, groups=2)]

    def factor(step: int) -> float:
        return (step + 1) / 5 if step < 5 else 1 - (step - 4) / (UPDATES - 4)

    def contain() -> list[Any]:
        return [names.LambdaLR(loop.optimizer, factor) for loop in loops]

    container, used = contain(), []
    for update in range(UPDATES):
        if update == resume_at:
            states = [loop.optimizer.state_dict() for loop in loops]
            last = container[0].last_epoch
            loops = [Loop(torch.optim.AdamW, lr=0.1), Loop(torch.optim.SGD, lr=0.02, groups=2)]
            container = contain()
            for loop, state in zip(loops, states, strict=True):
                loop.optimizer.load_state_dict(state)
            for scheduler in container:
                scheduler.last_epoch = last
                scheduler._step_count = last + 1
                scheduler._last_lr = scheduler.get_lr()
        for loop in loops:
            loop.update()
        for scheduler in container:
            scheduler.step()
        used.append([rate for loop in loops for rate in loop.used[-1]])
    return used


def by_path(names: Any, resume_at: int | None = None, *, warmup: int = 0) -> Any:
    """Make a class by its path and literals, as OneTrainer and kohya do; go on by a number."""
    parameters = {"T_max": "%SCHEDULER_STEPS%", "eta_min": "1e-3"}
    known = {"%SCHEDULER_STEPS%": UPDATES - warmup}

    def make(optimizer: Any, last: int = -1) -> Any:
        given = {
            key: known[text] if text in known else ast.literal_eval(text)
            for key, text in parameters.items()
        }
        module = import_module(names.__name__)
        made = module.CosineAnnealingLR(optimizer=optimizer, last_epoch=last, **given)
        if not warmup:
            return made
        rise = names.LambdaLR(optimizer, lambda step: min(1.0, step / warmup), last_epoch=last)
        return names.SequentialLR(optimizer, [rise, made], [warmup], last_epoch=last)

    loop, used = Loop(torch.optim.AdamW, groups=2), []
    scheduler = make(loop.optimizer)
    for update in range(UPDATES):
        if update == resume_at:
            used, saved = loop.used, loop.optimizer.state_dict()
            loop = Loop(torch.optim.AdamW, groups=2)
            loop.optimizer.load_state_dict(saved)
            scheduler = make(loop.optimizer, update - 1)
        loop.update()
        scheduler.step()
    return used + loop.used


def by_path_after_a_warmup(names: Any, resume_at: int | None = None) -> Any:
    return by_path(names, warmup=5)


SCRIPTS: dict[str, Script] = {
    "mnist": mnist,
    "imagenet": imagenet,
    "torchvision": torchvision_reference,
    "torchvision, steps": torchvision_multi_step,
    "one cycle": one_cycle,
    "torchtitan": torchtitan,
    "OneTrainer": by_path,
    "OneTrainer, warmup": by_path_after_a_warmup,
}
RESUMED = {"mnist": 2, "imagenet": 3, "torchvision": 3, "torchvision, steps": 2,
           "torchtitan": 9, "OneTrainer": 9}  # fmt: skip


def with_accelerate(home: str, kind: str, *, accumulation: int = 1) -> Any:
    """Train as diffusers' and transformers' own examples.

    Theirs are stepped once for each process, and the examples multiply the lengths by that; ours
    count an update once, whatever the number of processes.
    """
    from accelerate import Accelerator  # type: ignore[import-untyped]

    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=accumulation)
    loop = Loop(torch.optim.AdamW, groups=2)
    times = 1 if home == OURS else accelerator.num_processes
    scheduler = import_module(home).get_scheduler(
        kind,
        optimizer=loop.optimizer,
        num_warmup_steps=4 * times,
        num_training_steps=UPDATES * times,
    )
    model = torch.nn.Linear(2, 1)
    model, optimizer, scheduler = accelerator.prepare(model, loop.optimizer, scheduler)
    for _ in range(UPDATES * accumulation):
        with accelerator.accumulate(model):
            accelerator.backward(model(torch.ones(1, 2)).sum())
            if accelerator.sync_gradients:
                loop.update(optimizer)
            else:
                optimizer.step()
            scheduler.step()
    accelerator.free_memory()
    return loop.used


FACTORIES = {
    "diffusers": ("diffusers.optimization", "cosine", 1),
    "transformers": ("transformers", "linear", 4),
}
OURS = "warmdown.compat.optimization"


def accelerated() -> dict[str, Any]:
    """Return the rates and the warnings of each script for accelerate, theirs and ours."""
    found: dict[str, Any] = {}
    for name, (home, kind, accumulation) in FACTORIES.items():
        for module in (home, OURS):
            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always")
                used = with_accelerate(module, kind, accumulation=accumulation)
            texts = [str(one.message) for one in said if "sched" in str(one.message).lower()]
            found[f"{name}, {'ours' if module == OURS else 'theirs'}"] = [used, texts]
    return found


if __name__ == "__main__":
    torch.set_num_threads(1)
    result = json.dumps(accelerated())
    Path(sys.argv[1], f"{os.environ['RANK']}.json").write_text(result)
