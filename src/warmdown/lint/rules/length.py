"""Rules about lengths: shorter than the loop, or counted in something else than the steps."""

from __future__ import annotations

import re
from collections.abc import Iterator
from math import nan, prod

from warmdown.lint.finding import Mistake
from warmdown.lint.names import names_in
from warmdown.lint.patterns import EPOCH, LENGTHS, matches
from warmdown.lint.script import Condition, Length, Loop, SchedulerCreated, ScriptEvent, ScriptModel

_AFTER_END = {
    "CosineAnnealingLR": "the rate rises again after step {length}",
    "OneCycleLR": "step {length} raises ValueError",
    "get_cosine_schedule_with_warmup": "the rate rises again after step {length}",
    "get_linear_schedule_with_warmup": "the rate is 0 from step {length} on",
}
_PROCESS_WORDS = re.compile(r"num_proc|world_?size|n_?gpus?|num_devices|num_gpus|device_count")
_PROCESS_SETTINGS = {"split_batches", "step_scheduler_with_optimizer"}


def shorter_than_loop(model: ScriptModel) -> Iterator[Mistake]:
    """WDL007: the loop goes on after the schedule has ended."""
    for event, scheduler in _plain_steps(model):
        # past its end a drop-in name holds its last rate
        if scheduler.name not in _AFTER_END or scheduler.library == "warmdown":
            continue
        length, count = _planned_length(scheduler), _count_of_steps(event, scheduler)
        # the last step after the last update is never used
        if count - 1 > length:
            after = _AFTER_END[scheduler.name].format(length=f"{length:g}")
            yield (
                scheduler.call,
                f"{scheduler.name} is {length:g} steps long, but line {event.call.lineno} steps "
                f"it {count:g} times: {after}. Give it {count:g} steps.",
            )


def _planned_length(scheduler: SchedulerCreated) -> float:
    total = scheduler.lengths.get(LENGTHS[scheduler.name])
    return total.number if total else nan


def _count_of_steps(event: ScriptEvent, scheduler: SchedulerCreated) -> float:
    """Return how often a scheduler is stepped; NaN when that is not certain."""
    inner = [around for around in event.context if around not in scheduler.context]
    if not inner or any(isinstance(one, Condition) or one.may_end_early for one in inner):
        return nan
    return prod(loop.count for loop in inner if isinstance(loop, Loop))


def other_unit(model: ScriptModel) -> Iterator[Mistake]:
    """WDL008: the length counts epochs, batches or updates, and the steps count another of them."""
    for event, scheduler in _plain_steps(model):
        name = LENGTHS.get(scheduler.name, "")
        length = scheduler.lengths.get(name)
        if not length or not event.loop:
            continue
        what, line = None, event.call.lineno
        if length.counts_batches:
            what = _mismatch_of_updates(model, event, scheduler, length)
            if scheduler.name != "OneCycleLR" and _is_per_epoch_of_updates(model, event, scheduler):
                what = (
                    f"{name} counts batches, but line {line} steps it once per epoch. Step it in "
                    "the batch loop."
                )
        elif _is_per_batch_of_epochs(event, length):
            what = (
                f"{name} counts epochs, but line {line} steps it for every batch. Multiply it by "
                "the batches per epoch."
            )
        if what:
            yield scheduler.call, f"{scheduler.name}: {what}"


def _mismatch_of_updates(
    model: ScriptModel, event: ScriptEvent, scheduler: SchedulerCreated, length: Length
) -> str | None:
    """Return what is wrong where gradients are accumulated: updates are not batches."""
    line = event.call.lineno
    updates = [
        update for update in model.updates_for(scheduler, opaque=False) if update.loop is event.loop
    ]
    if not event.is_per_batch or not updates or not all(map(_skips_batches, updates)):
        return None
    if length.is_divided and not event.conditions_in(event.loop):
        return (
            f"its length counts updates, but line {line} steps it for every batch, also while "
            "gradients accumulate: it ends too early. Step it where the optimizer is stepped."
        )
    names = {word for one in event.conditions_in(event.loop) for word in one.words}
    may_be_divided = length.divisors & names or any(
        "update" in word or "optim" in word for word in length.words
    )
    if not length.is_divided and _skips_batches(event) and not may_be_divided:
        return (
            f"its length counts batches, but line {line} steps it once per update: it never "
            "reaches its end. Divide the length by the accumulated batches."
        )
    return None


def _skips_batches(event: ScriptEvent) -> bool:
    branches = event.conditions_in(event.loop)
    return any("accum" in word for branch in branches for word in branch.words)


def _is_per_batch_of_epochs(event: ScriptEvent, length: Length) -> bool:
    """Return whether a length in turns of the epoch loop is stepped in a batch loop inside it."""
    epochs = [loop for loop in event.loops if loop.kind == "epoch"]
    if not epochs or not event.is_per_batch or not epochs[-1].runs_for(length):
        return False
    return matches(EPOCH, length.words) and not event.conditions_in(epochs[-1])


def _is_per_epoch_of_updates(
    model: ScriptModel, event: ScriptEvent, scheduler: SchedulerCreated
) -> bool:
    updates = model.updates_for(scheduler)
    return event.is_per_epoch and any(event.loop in update.loops for update in updates)


def stepped_per_process(model: ScriptModel) -> Iterator[Mistake]:
    """WDL009: a prepared scheduler steps once per process, and its length does not allow for it."""
    if model.words & _PROCESS_SETTINGS:
        return
    for event in model.of("step"):
        scheduler = event.scheduler
        # a drop-in name takes one step an update, however many processes make it
        if scheduler is None or not scheduler.is_prepared or scheduler.library == "warmdown":
            continue
        # a length that is made from their number allows for them
        words = names_in(scheduler.call).union(*(one.words for one in scheduler.lengths.values()))
        if matches(_PROCESS_WORDS, words):
            continue
        loaders = (loader for length in scheduler.lengths.values() for loader in length.loaders)
        if _is_per_epoch_of_updates(model, event, scheduler):
            yield (
                event.call,
                "a scheduler that accelerate has prepared steps once per process: per epoch, it "
                "runs ahead by the number of processes. Leave it out of prepare().",
            )
        elif event.is_per_batch and any(loader.is_share for loader in loaders):
            yield (
                scheduler.call,
                f"{scheduler.name}: its length counts the batches of one process, but prepared by "
                "accelerate it steps once per process. Multiply the length by "
                "accelerator.num_processes, or leave it out of prepare().",
            )


def _plain_steps(model: ScriptModel) -> Iterator[tuple[ScriptEvent, SchedulerCreated]]:
    """Yield the steps without an argument whose scheduler is certain."""
    for event in model.of("step"):
        scheduler = event.scheduler
        if scheduler is not None and not event.call.args:
            yield event, scheduler
