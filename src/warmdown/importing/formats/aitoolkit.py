"""ai-toolkit's YAML: ``config.process[0].train``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from warmdown.compat.names import transformers_schedule
from warmdown.errors import ScheduleError
from warmdown.importing.formats.section import KnownRun, Section, Settings, part_plan
from warmdown.plan import Plan

_CLASSES: Mapping[str, tuple[str, str | None]] = {
    "cosine": ("CosineAnnealingLR", "T_max"),
    "cosine_with_restarts": ("CosineAnnealingWarmRestarts", "T_0"),
    "step": ("StepLR", None),
    "constant": ("ConstantLR", "total_iters"),
    "linear": ("LinearLR", "total_iters"),
}
"""Its names: the class of torch, and the argument that the length of the run goes to."""
_PARTS = {
    "unet_lr": "train_unet",
    "text_encoder_lr": "train_text_encoder",
    "refiner_lr": "train_refiner",
    "embedding_lr": "",
    "adapter_lr": "",
}
"""Rates of parts, and whether a part is trained."""


def read_aitoolkit(settings: Settings, known: KnownRun) -> Plan:
    """Read ai-toolkit's ``train`` of the one process that has one."""
    processes = settings["config"]["process"]
    listed = processes if isinstance(processes, list) else [processes]
    found = [
        (at, one["train"])
        for at, one in enumerate(listed)
        if isinstance(one, Mapping) and "train" in one
    ]
    if len(found) != 1:
        raise ScheduleError("config.process: one process with a train section is needed.")
    ((at, entries),) = found
    train = Section(f"config.process[{at}].train", entries)
    lr = known.lr or train.number("lr", 1e-6)
    total = known.total_steps or train.count("steps", 1000)
    if train.count("gradient_accumulation_steps", 1) > 1:
        raise ScheduleError(
            f"{train.who}.gradient_accumulation_steps: it counts batches, of which several make an "
            "update. Take gradient_accumulation, or take it out."
        )
    arguments: dict[str, Any] = dict(train.part("lr_scheduler_params").entries)
    name = train.name("lr_scheduler", (*_CLASSES, "constant_with_warmup"), "constant")
    parts = {
        key.removesuffix("_lr"): train.number(key)
        for key, is_trained in _PARTS.items()
        if train.raw(key) is not None and train.raw(is_trained, True)
    }
    if name == "constant_with_warmup":
        warmup = Section(f"{train.who}.lr_scheduler_params", arguments, ("total_iters",))
        steps = warmup.count("num_warmup_steps", 1000)
        warmup.refuse_rest()
        return part_plan(transformers_schedule(name, num_warmup_steps=steps), total, lr, parts)
    kind, length = _CLASSES[name]
    iterations = arguments.pop("total_iters", None)
    if length and "max_iterations" not in arguments:
        arguments.setdefault(length, total if iterations is None else iterations)
    if name == "constant":
        arguments.setdefault("factor", 1.0)
    config = {"class_path": f"torch.optim.lr_scheduler.{kind}", "init_args": arguments}
    plan = known.read_class(config, total_steps=total, lr=lr)
    return part_plan(plan.targets[0].rule, total, lr, parts)
