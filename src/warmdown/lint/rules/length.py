"""Rules about lengths: shorter than the loop, or counted in something else than the steps."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from math import nan, prod

from warmdown.lint.finding import Mistake
from warmdown.lint.names import names_in, options_of, settings_of
from warmdown.lint.patterns import EPOCH, LENGTHS, matches
from warmdown.lint.rules.lightning import length_in_epochs
from warmdown.lint.script import Length, Loop, SchedulerCreated, ScriptEvent, ScriptModel

_AFTER_END = {
    "CosineAnnealingLR": "the rate rises again after step {length}",
    "OneCycleLR": "step {length} raises ValueError",
    "get_cosine_schedule_with_warmup": "the rate rises again after step {length}",
    "get_linear_schedule_with_warmup": "the rate is 0 from step {length} on",
}
_PROCESS_WORDS = re.compile(r"num_proc|world_?size|n_?gpus?|num_devices|num_gpus|device_count")
_TO_THE_END = {"CosineAnnealingLR", "PolynomialLR"}
_WHOLE = re.compile(
    r"(^|[._])((total|max|num|n|train|training)_)+(steps|iters|iterations|epochs?|updates)$|"
    r"estimated_stepping_batches$|(^|[._])epochs$"
)
_WARMUP = re.compile(r"warm", re.IGNORECASE)
_PATIENT = 100
"""Steps that are no patience of epochs."""
_IN_BATCHES = {"OneCycleLR", "Scheduler"}
_REPEATED = {"torch", "transformers"}
_PROCESS_SETTINGS = {"split_batches", "step_scheduler_with_optimizer"}


def shorter_than_loop(model: ScriptModel) -> Iterator[Mistake]:
    """WDL007: the loop goes on after the schedule has ended."""
    for event, scheduler in _plain_steps(model):
        total = scheduler.total
        # past its end a drop-in name holds its last rate
        if total is None or scheduler.name not in _AFTER_END or scheduler.library == "warmdown":
            continue
        length, count = total.number, _count_of_steps(event, scheduler)
        if _is_one_epoch(event, scheduler, total):
            after = _AFTER_END[scheduler.name].format(length="T")
            yield (
                scheduler.call,
                f"{scheduler.name} is T = one epoch long, but line {event.call.lineno} steps it in "
                f"several: {after}. Multiply its length by the epochs.",
            )
            continue
        if _is_cut(event, scheduler, total):
            after = _AFTER_END[scheduler.name].format(length="T")
            yield (
                scheduler.call,
                f"{scheduler.name} is T = {ast.unparse(_argument(scheduler))} steps long, but line "
                f"{event.call.lineno} steps it to the end of its loop: {after}. Give it the length "
                "of the loop.",
            )
            continue
        # a loop of many more turns is left when training is good enough
        is_open = any(loop.may_end_early for loop in event.loops) and count > 2 * length
        # the last step after the last update is never used
        if count - 1 > length and not is_open:
            after = _AFTER_END[scheduler.name].format(length=f"{length:g}")
            yield (
                scheduler.call,
                f"{scheduler.name} is {length:g} steps long, but line {event.call.lineno} steps "
                f"it {count:g} times: {after}. Give it {count:g} steps.",
            )


def _argument(scheduler: SchedulerCreated) -> ast.expr:
    return scheduler.arguments.get(LENGTHS[scheduler.name], scheduler.call)


def _count_of_steps(event: ScriptEvent, scheduler: SchedulerCreated) -> float:
    """Return how often a scheduler is stepped; NaN when that is not certain."""
    inner = [around for around in event.context if around not in scheduler.context]
    loops = [around for around in inner if isinstance(around, Loop)]
    if not loops or len(loops) < len(inner):
        return nan
    return prod(loop.count for loop in loops)


def _is_one_epoch(event: ScriptEvent, scheduler: SchedulerCreated, length: Length) -> bool:
    """Return whether a length is the batches of an epoch, and steps are made in several."""
    # a cosine of torch may be meant as a wave in each epoch
    if scheduler.name == "CosineAnnealingLR" or not event.is_per_batch:
        return False
    match [around for around in event.context if around not in scheduler.context]:
        case [Loop(kind="epoch") as epochs, Loop()]:
            is_several = epochs.bound.text and epochs.bound.number != 1 and epochs.count != 1
            is_one = re.fullmatch(r"(FloorDiv\()?len\([\w.]+\)(, [\w.]+\))?", length.text)
            return bool(is_several and is_one) and length.counts_batches
    return False


def _is_cut(event: ScriptEvent, scheduler: SchedulerCreated, length: Length) -> bool:
    """Return whether a length is the number of turns less a number, whatever the turns are."""
    match [around for around in event.context if around not in scheduler.context]:
        case [Loop(start=start, bound=bound) as loop] if start.number in (0, 1) and bound.text:
            is_less = re.fullmatch(rf"Sub\({re.escape(bound.text)}, (\d+)\)", length.text)
            return not loop.may_end_early and is_less is not None and int(is_less[1]) > 1
    return False


def other_unit(model: ScriptModel) -> Iterator[Mistake]:
    """WDL008: the length counts epochs, batches or updates, and the steps count another of them."""
    yield from length_in_epochs(model)
    for scheduler in model.schedulers:
        if scheduler.total and (what := _mismatch_of_engine(scheduler, scheduler.total)):
            yield scheduler.call, f"{scheduler.name}: {what}"
    yield from _patience_in_batches(model)
    yield from _restarts_in_batches(model)
    for event, scheduler in _plain_steps(model):
        name = LENGTHS.get(scheduler.name, "")
        length = scheduler.total
        if not length or not event.loop:
            continue
        what, line = None, event.call.lineno
        if _is_left_out(model, event, scheduler):
            is_whole = length.counts_batches and not length.may_count_updates
            if length.accumulated > 0 or length.is_multiplied_back or is_whole:
                what = (
                    f"{name} counts batches, but accelerate steps it once per update: it never "
                    "reaches its end. Divide the length by gradient_accumulation_steps."
                )
        elif _counts_samples(event, length):
            what = (
                f"{name} counts samples, but line {line} steps it for every batch: it never "
                "reaches its end. Give it len() of the loader, not of the data set."
            )
        elif length.counts_batches:
            what = _mismatch_of_updates(model, event, scheduler, length)
            if scheduler.name not in _IN_BATCHES and _is_per_epoch_of_updates(
                model, event, scheduler
            ):
                what = (
                    f"{name} counts batches, but line {line} steps it once per epoch. Step it in "
                    "the batch loop."
                )
        elif _is_per_batch_of_epochs(model, event, scheduler, length):
            what = (
                f"{name} counts epochs, but line {line} steps it for every batch. Multiply it by "
                "the batches per epoch."
            )
        if what:
            yield scheduler.call, f"{scheduler.name}: {what}"


def _counts_samples(event: ScriptEvent, length: Length) -> bool:
    """Return whether a length is that of the data which the loop takes batches of."""
    data = {loader.data for loader in event.loop.loaders} if event.loop else set()
    is_whole = "Div(" not in length.text and not length.loaders
    return is_whole and all(data) and any(f"len({one})" in length.text for one in data)


def _patience_in_batches(model: ScriptModel) -> Iterator[Mistake]:
    """Yield the plateaus that are stepped for every batch, with a patience of a few epochs."""
    for event in model.of("step"):
        scheduler = event.scheduler
        epochs = [loop for loop in event.loops if loop.kind == "epoch"]
        if scheduler is None or scheduler.name != "ReduceLROnPlateau" or not epochs:
            continue
        patience = scheduler.lengths.get("patience", Length("", 10))
        updates = [one for one in model.updates_for(scheduler) if one.loop is event.loop]
        is_each = event.is_per_batch and not event.conditions_in(epochs[-1]) and updates
        if is_each and patience.number < _PATIENT:
            yield (
                event.call,
                f"ReduceLROnPlateau waits for {patience.number:g} steps, and this one is made for "
                "every batch: the rate falls with the noise of the loss. Step it once per epoch.",
            )


def _restarts_in_batches(model: ScriptModel) -> Iterator[Mistake]:
    """Yield the restarts whose period is in batches, where ``step()`` is given epochs."""
    for event in model.of("step"):
        scheduler = event.scheduler
        period = scheduler.lengths.get("T_0") if scheduler else None
        is_given_epochs = any(matches(EPOCH, names_in(given)) for given in event.arguments)
        if scheduler and period and period.counts_batches and is_given_epochs:
            yield (
                scheduler.call,
                f"{scheduler.name}: T_0 counts batches, but line {event.call.lineno} gives it "
                "epochs: it never restarts. Give it T_0 in epochs.",
            )


def _mismatch_of_engine(scheduler: SchedulerCreated, length: Length) -> str | None:
    """Return what is wrong where DeepSpeed steps the scheduler, which it does once per update."""
    if "deepspeed.initialize" in scheduler.given_to and length.counts_epochs:
        name = LENGTHS[scheduler.name]
        return (
            f"{name} counts epochs, but DeepSpeed steps it once per update. Multiply it by the "
            "updates per epoch."
        )
    return None


def _is_left_out(model: ScriptModel, event: ScriptEvent, scheduler: SchedulerCreated) -> bool:
    """Return whether a step does nothing while accelerate accumulates, in several batches."""
    batches = model.accumulated
    if batches is None or not event.is_accumulated:
        return False
    # an option may be given another number than its default
    is_one = batches.number == 1 and not batches.words & options_of(model.parents)
    return not is_one and (scheduler.is_prepared or scheduler.library == "native")


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
    is_native = scheduler.library == "native"  # it counts the updates that were made
    if length.is_divided and not event.conditions_in(event.loop) and not is_native:
        return (
            f"its length counts updates, but line {line} steps it for every batch, also while "
            "gradients accumulate: it ends too early. Step it where the optimizer is stepped."
        )
    names = {word for one in event.conditions_in(event.loop) for word in one.words}
    # where the file itself sets it to one, an update is a batch
    settings, options = settings_of(model.parents), options_of(model.parents)
    sizes = [settings.get(word) for word in names - options if "accum" in word]
    if sizes and all(size == 1 for size in sizes):
        return None
    may_be_divided = length.divisors & names or length.may_count_updates
    if (is_native or _skips_batches(event)) and not may_be_divided:
        return (
            f"its length counts batches, but line {line} steps it once per update: it never "
            "reaches its end. Divide the length by the accumulated batches."
        )
    return None


def _skips_batches(event: ScriptEvent) -> bool:
    branches = event.conditions_in(event.loop)
    return any("accum" in word for branch in branches for word in branch.words)


def _is_per_batch_of_epochs(
    model: ScriptModel, event: ScriptEvent, scheduler: SchedulerCreated, length: Length
) -> bool:
    """Return whether a length in epochs is stepped with the updates of a batch loop."""
    epochs = [loop for loop in event.loops if loop.kind == "epoch"]
    if not epochs or not event.is_per_batch or not length.counts_epochs:
        return False
    updates = model.updates_for(scheduler, opaque=False)
    is_with_update = any(update.context == event.context for update in updates)
    return is_with_update or not event.conditions_in(epochs[-1])


def _is_per_epoch_of_updates(
    model: ScriptModel, event: ScriptEvent, scheduler: SchedulerCreated
) -> bool:
    updates = model.updates_for(scheduler)
    loop = event.loop
    if loop is None or loop.kind != "epoch" or not any(loop in one.loops for one in updates):
        return False
    # `if epoch >= 10` leaves steps out and adds none
    target = frozenset[str]() if isinstance(loop.node, ast.While) else names_in(loop.node.target)
    # one that is stepped in the batch loop too counts batches there
    if event.conditions_in(loop) and model.steps_of(scheduler) != [event]:
        return False
    return all(branch.words and branch.words <= target for branch in event.conditions_in(loop))


def stepped_per_process(model: ScriptModel) -> Iterator[Mistake]:
    """WDL009: a prepared scheduler steps once per process, and its length does not allow for it."""
    if model.words & _PROCESS_SETTINGS:
        return
    for event in model.of("step"):
        scheduler = event.scheduler
        # those of warmdown take one step an update, however many processes make it
        if scheduler is None or not scheduler.is_prepared or scheduler.library not in _REPEATED:
            continue
        # a length that is made from their number allows for them
        total = scheduler.total
        shares = _PROCESS_WORDS.findall(total.text) if total else []
        if total and len(shares) == 1 and matches(_PROCESS_WORDS, total.divisors):
            yield (
                scheduler.call,
                f"{scheduler.name}: its length was divided by the processes, but prepared by "
                "accelerate it steps once for each of them: it ends too early. Give it the "
                "undivided length.",
            )
            continue
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


def full_decay_after_warmup(model: ScriptModel) -> Iterator[Mistake]:
    """WDL016: after a warmup, a decay as long as the whole run."""
    for sequence in model.schedulers:
        match sequence.parts, sequence.milestones:
            case [(_, decays), (warmup,)]:
                pass
            case _:
                continue
        for decay in decays:
            if not isinstance(decay, SchedulerCreated) or decay.name not in _TO_THE_END:
                continue
            total = decay.total
            if total and warmup.number != 0 and _is_whole_run(model, sequence, total, warmup):
                length = ast.unparse(_argument(decay))
                first = ast.unparse(sequence.arguments["milestones"]).strip("[]()")
                yield (
                    decay.call,
                    f"{decay.name} is as long as the whole run and begins after its warmup, so it "
                    f"never reaches its end. Give it {length} - {first} steps.",
                )


def _is_whole_run(
    model: ScriptModel, sequence: SchedulerCreated, total: Length, warmup: Length
) -> bool:
    """Return whether a length is that of all steps, or is named so where they are not seen."""
    steps = [event for event in model.steps_of(sequence) if event.loops]
    bounds = [loop.bound for event in steps for loop in event.loops if loop.bound.text]
    # `in` would find NaN, which equals nothing, by its identity
    if any(total.number == _count_of_steps(event, sequence) for event in steps):
        return True
    if any(event.is_per_epoch and event.loops[-1].runs_for(total) for event in steps):
        return True
    is_product = total.is_product and total.counts_batches and "Sub(" not in total.text
    if is_product and any(event.is_per_batch and map(total.is_made_of, bounds) for event in steps):
        return any(map(total.is_made_of, bounds))
    # `range(total + warmup)` runs for longer
    is_longer = any(bound.is_made_of(total) and bound.text != total.text for bound in bounds)
    is_named = re.fullmatch(r"[\w.]+", total.text) and _WHOLE.search(total.text)
    return bool(is_named) and not is_longer and matches(_WARMUP, warmup.words)


def _plain_steps(model: ScriptModel) -> Iterator[tuple[ScriptEvent, SchedulerCreated]]:
    """Yield the steps without an argument whose scheduler is certain."""
    for event in model.of("step"):
        scheduler = event.scheduler
        if scheduler is not None and not event.call.args:
            yield event, scheduler
