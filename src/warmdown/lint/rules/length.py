"""Rules about how long a schedule is: shorter than the loop, or counted in something else than its steps."""

from __future__ import annotations

__all__ = ["other_unit", "per_process", "shorter_than_the_loop"]

from collections.abc import Iterator
from math import prod

from warmdown.lint.finding import Finding
from warmdown.lint.scene import Birth, Condition, Event, Length, Loop, Scene
from warmdown.lint.words import EPOCH, LENGTHS

_AFTERWARDS = {
    "CosineAnnealingLR": "the rate rises again after step {length}",
    "OneCycleLR": "step {length} raises ValueError",
    "get_cosine_schedule_with_warmup": "the rate rises again after step {length}",
    "get_linear_schedule_with_warmup": "the rate is 0 from step {length} on",
}
_KNOWS_PROCESSES = {"num_processes", "split_batches", "step_scheduler_with_optimizer", "world_size"}


def shorter_than_the_loop(scene: Scene) -> Iterator[Finding]:
    """WDL007: the loop goes on after the schedule has ended."""
    for event in scene.of("step"):
        birth = _only(event)
        if birth is None or birth.name not in _AFTERWARDS or event.call.args:
            continue
        length, count = _planned(birth), _turns(event, birth)
        if length is not None and count is not None and count - 1 > length:
            after = _AFTERWARDS[birth.name].format(length=f"{length:g}")
            yield Finding.at(
                birth.call,
                "WDL007",
                f"{birth.name} is {length:g} steps long, but line {event.call.lineno} steps it "
                f"{count:g} times: "
                f"{after}. Give it {count:g} steps.",
            )


def _planned(birth: Birth) -> float | None:
    total = birth.lengths.get(LENGTHS[birth.name])
    if total is not None:
        return total.number
    epochs, per_epoch = birth.lengths.get("epochs"), birth.lengths.get("steps_per_epoch")
    if epochs is None or per_epoch is None or epochs.number is None or per_epoch.number is None:
        return None
    return epochs.number * per_epoch.number


def _turns(event: Event, birth: Birth) -> float | None:
    """Return how often a scheduler is stepped, when that is certain."""
    if any(isinstance(around, Condition) for around in _since(event, birth)):
        return None
    loops = [around for around in _since(event, birth) if isinstance(around, Loop)]
    counts = [loop.count for loop in loops]
    if not loops or None in counts or any(loop.may_end_early for loop in loops):
        return None
    return prod(count for count in counts if count is not None)


def _since(event: Event, birth: Birth) -> tuple[Loop | Condition, ...]:
    """Return what stands around the step and not around the birth."""
    return tuple(around for around in event.context if around not in birth.context)


def other_unit(scene: Scene) -> Iterator[Finding]:
    """WDL008: the length counts epochs, batches or updates, and the steps count another of them."""
    for event in scene.of("step"):
        birth = _only(event)
        if birth is None or birth.name not in LENGTHS or event.call.args or not event.loops:
            continue
        length = birth.lengths.get(LENGTHS[birth.name])
        if length is None:
            continue
        if (what := _mismatch(scene, event, birth, length)) is not None:
            yield Finding.at(birth.call, "WDL008", f"{birth.name}: {what}")


def _mismatch(scene: Scene, event: Event, birth: Birth, length: Length) -> str | None:
    line, name = event.call.lineno, LENGTHS[birth.name]
    if length.counts_batches:
        if _is_per_epoch(scene, event, birth) and birth.name != "OneCycleLR":
            return f"{name} counts batches, but line {line} steps it once per epoch. Step it in the batch loop."
        return _accumulated(scene, event, birth, length)
    outer = [loop for loop in event.loops if loop.kind == "epoch"]
    if outer and _counts_turns(length, outer[-1]) and _is_per_batch(event, outer[-1]):
        return f"{name} counts epochs, but line {line} steps it for every batch. Multiply it by the batches per epoch."
    return None


def _accumulated(scene: Scene, event: Event, birth: Birth, length: Length) -> str | None:
    """Tell a length in updates from one in batches, where gradients are accumulated."""
    loop, line = event.loops[-1], event.call.lineno
    updates = [
        update for update in scene.updates_for(birth, opaque=False) if update.loops[-1:] == (loop,)
    ]
    skips = [_skips_batches(update, loop) for update in updates]
    if loop.kind != "batch" or not updates or not all(skips):
        return None
    steps_too = _skips_batches(event, loop)
    if length.is_divided and not steps_too and not event.conditions_in(loop):
        return (
            f"its length counts updates, but line {line} steps it for every batch, also while "
            f"gradients accumulate: it "
            "ends too early. Step it where the optimizer is stepped."
        )
    if not length.is_divided and steps_too and not _may_be_divided(length):
        return (
            f"its length counts batches, but line {line} steps it once per update: it never "
            f"reaches its end. Divide "
            "the length by the accumulated batches."
        )
    return None


def _skips_batches(event: Event, loop: Loop) -> bool:
    return any("accum" in word for branch in event.conditions_in(loop) for word in branch.words)


def _may_be_divided(length: Length) -> bool:
    return any("update" in word or "optim" in word for word in length.words)


def _counts_turns(length: Length, loop: Loop) -> bool:
    """Whether a length is exactly the number of turns of an epoch loop, by name."""
    if loop.bound is None or length.text != loop.bound.text:
        return False
    return any(EPOCH.search(word) for word in length.words)


def _is_per_epoch(scene: Scene, event: Event, birth: Birth) -> bool:
    loop = event.loops[-1]
    if loop.kind != "epoch" or event.conditions_in(loop):
        return False
    return any(loop in update.loops for update in scene.updates_for(birth))


def _is_per_batch(event: Event, epochs: Loop) -> bool:
    loop = event.loops[-1]
    return loop is not epochs and loop.kind == "batch" and not event.conditions_in(epochs)


def per_process(scene: Scene) -> Iterator[Finding]:
    """WDL009: accelerate steps a prepared scheduler once per process, and its length does not allow for that."""
    if scene.words & _KNOWS_PROCESSES:
        return
    for event in scene.of("step"):
        birth = _only(event)
        if birth is None or not birth.is_prepared or not event.loops:
            continue
        if _is_per_epoch(scene, event, birth):
            yield Finding.at(
                event.call,
                "WDL009",
                "a scheduler that accelerate has prepared steps once per process: per epoch, it "
                "runs ahead by the "
                "number of processes. Leave it out of prepare().",
            )
        elif event.loops[-1].kind == "batch" and _is_shared_out(birth):
            yield Finding.at(
                birth.call,
                "WDL009",
                f"{birth.name}: its length counts the batches of one process, but prepared by "
                f"accelerate it steps once "
                "per process. Multiply the length by accelerator.num_processes, or leave it out of "
                "prepare().",
            )


def _is_shared_out(birth: Birth) -> bool:
    return any(loader.is_share for length in birth.lengths.values() for loader in length.loaders)


def _only(event: Event) -> Birth | None:
    """Return the one scheduler that an event is about, when there is no doubt."""
    return next(iter(event.births)) if event.is_sure and len(event.births) == 1 else None
