"""Rules about single calls: the arguments of a scheduler, and of its methods."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from warmdown.lint.edits import drop_argument
from warmdown.lint.finding import Edit, Mistake, Position
from warmdown.lint.names import names_in
from warmdown.lint.patterns import EPOCH, METRIC, SCHEDULER, SHARE, TRAINS, matches
from warmdown.lint.rules.lightning import missing_monitor
from warmdown.lint.script import (
    Length,
    Optimizer,
    SchedulerCreated,
    ScriptEvent,
    ScriptModel,
    arguments_of,
    dotted,
    last_name,
)

_MAKES_OPTIMIZER = re.compile(r"^_?(get|build|make|create|configure|init)_?\w*optim", re.IGNORECASE)
_WARMUP = re.compile(r"warm", re.IGNORECASE)
_FALLS = ast.Constant("min")
_RISING = re.compile(
    r"(^|_)(acc|accs|accuracy|accuracies|f1|auc|auroc|dice|m?iou|map|psnr|ssim|bleu|kappa|mcc|r2)"
    r"(_|\d|$)",
    re.IGNORECASE,
)
_FALLING = re.compile(
    r"loss|err|neg|minus|inv|mae|mse|accum|perplex|nll|(^|_)[cw]er$", re.IGNORECASE
)
_TAKE_ARGUMENTS = {"ReduceLROnPlateau", "CosineAnnealingWarmRestarts"}


def missing_metric(model: ScriptModel) -> Iterator[Mistake]:
    """WDL003: ``ReduceLROnPlateau.step()`` without its metric."""
    yield from missing_monitor(model)
    for event in _steps_of_known_class(model):
        names = {scheduler.name for scheduler in event.schedulers}
        if names == {"ReduceLROnPlateau"} and not event.arguments:
            yield (
                event.call,
                "ReduceLROnPlateau watches a metric and was given none: this raises TypeError. "
                "Pass it: scheduler.step(val_loss).",
            )


def unexpected_argument(model: ScriptModel) -> Iterator[Mistake]:
    """WDL010: an argument to ``step()`` of a scheduler that takes none."""
    for event in _steps_of_known_class(model):
        names = {scheduler.name for scheduler in event.schedulers}
        is_native = any(one.library == "native" for one in event.schedulers)
        if not event.arguments or names & _TAKE_ARGUMENTS or is_native:
            continue
        name, words = min(names), names_in(event.arguments[0])
        if matches(METRIC, words):
            yield (
                event.call,
                f"{name} takes no metric: it reads this number as an epoch and jumps there. Call "
                "scheduler.step().",
            )
        elif matches(EPOCH, words) and _repeats(model, event):
            yield (
                event.call,
                f"{name}.step(epoch) is deprecated and repeats the value before. Call "
                "scheduler.step().",
            )


def _repeats(model: ScriptModel, event: ScriptEvent) -> bool:
    """Return whether the number of the loop is given after the updates that have used it."""
    is_plain = event.arguments and dotted(event.arguments[0])
    # epochs counted from 1 are one ahead of the schedule's
    if event.loop is None or event.loop.start.number == 1:
        return False
    updates = model.updates_for(*event.schedulers)
    before = any(update.when < event.when and event.loop in update.loops for update in updates)
    return bool(is_plain) and before


def verbose(model: ScriptModel) -> Iterator[Mistake]:
    """WDL004: ``verbose=``, which torch has dropped."""
    for scheduler in model.schedulers:
        for keyword in scheduler.call.keywords:
            if keyword.arg == "verbose" and scheduler.library == "torch":
                yield (
                    keyword,
                    f"torch has dropped verbose=: {scheduler.name} raises TypeError. Remove it, "
                    "and log scheduler.get_last_lr() where you want to see the rate.",
                    *drop_argument(scheduler.call, keyword),
                )


def get_lr(model: ScriptModel) -> Iterator[Mistake]:
    """WDL012: ``get_lr()`` from outside, which computes the next value from the last."""
    for event in model.of("get_lr"):
        # a drop-in name returns the rate that is in force
        is_right = any(one.library in ("warmdown", "native") for one in event.schedulers)
        if event.is_sure and not event.call.args and not is_right:
            end = Position.end(event.call.func)
            start = end._replace(column=end.column - len("get_lr"))
            yield (
                event.call,
                "get_lr() is the formula from one step to the next, and wrong when called from "
                "outside. Use get_last_lr().",
                Edit(start, end, "get_last_lr"),
            )


def swapped_lengths(model: ScriptModel) -> Iterator[Mistake]:
    """WDL018: the warmup is given as the whole length, and the whole length as the warmup."""
    for scheduler in model.schedulers:
        warmup = scheduler.lengths.get("num_warmup_steps")
        total = scheduler.lengths.get("num_training_steps")
        if warmup and total and _is_swapped(warmup, total):
            yield (
                scheduler.call,
                f"{scheduler.name} takes num_warmup_steps before num_training_steps: here the rate "
                "rises for the whole run and never decays. Swap the two.",
            )


def _is_swapped(warmup: Length, total: Length) -> bool:
    if warmup.number == warmup.number and total.number == total.number:
        return warmup.number > total.number > 0
    plain = r"[\w.]+"
    if re.fullmatch(plain, warmup.text) and re.fullmatch(plain, total.text):
        return bool(_WARMUP.search(total.text) and not _WARMUP.search(warmup.text))
    factors = map(float, re.findall(r"(?<![\w.])0?\.\d+(?![\w.])", total.text))
    is_share = any(factors) or matches(SHARE, total.words - warmup.words)
    is_part = (total.text.startswith("Mult(") and is_share) or re.match("(Floor)?Div", total.text)
    return bool(is_part) and total.is_made_of(warmup)


def wrong_way(model: ScriptModel) -> Iterator[Mistake]:
    """WDL021: a plateau that takes what should rise for something that should fall."""
    for event in _steps_of_known_class(model):
        modes = {one.arguments.get("mode", _FALLS) for one in event.schedulers}
        names = {one.name for one in event.schedulers}
        if names == {"ReduceLROnPlateau"} and len(modes) == 1 and event.arguments:
            metric = event.arguments[0]
            if _should_rise(metric) and ast.unparse(modes.pop()) == "'min'":
                yield (
                    event.call,
                    f"ReduceLROnPlateau waits for {ast.unparse(metric)} to fall, which should "
                    'rise: the rate drops while training goes well. Create it with mode="max".',
                )


def _should_rise(metric: ast.expr) -> bool:
    """Return whether it is a measure such as an accuracy, with nothing around it that turns it."""
    turns = any(isinstance(node, ast.USub | ast.Sub | ast.Lambda) for node in ast.walk(metric))
    words = names_in(metric)
    return not turns and matches(_RISING, words) and not matches(_FALLING, words)


def constant_decay(model: ScriptModel) -> Iterator[Mistake]:
    """WDL020: a cosine whose floor is the rate that it begins at, or a wave without height."""
    for scheduler in model.schedulers:
        base, peak = scheduler.lengths.get("base_lr"), scheduler.lengths.get("max_lr")
        is_flat = base and peak and (base.number == peak.number or base.text == peak.text)
        if scheduler.name == "CyclicLR" and is_flat:
            yield (
                scheduler.call,
                "CyclicLR swings between base_lr and max_lr, which are the same: the rate does "
                "not move. Give it a lower base_lr.",
            )
        floor = scheduler.lengths.get("eta_min")
        rates = (one.lr for one in scheduler.optimizers if isinstance(one, Optimizer))
        for rate in filter(None, rates):
            is_same = floor and rate.words and rate.text == floor.text
            if floor and (is_same or 0 < rate.number <= floor.number):
                yield (
                    scheduler.call,
                    f"{scheduler.name} ends at eta_min, and the optimizer's rate is not above it: "
                    "the rate does not decay. Give it a lower eta_min.",
                )


def float_milestones(model: ScriptModel) -> Iterator[Mistake]:
    """WDL019: a milestone that is no whole number is a step that never comes."""
    for scheduler in model.schedulers:
        fractions = [one for one in scheduler.milestones if one.number % 1 > 0]
        if scheduler.name == "MultiStepLR" and scheduler.library == "torch" and fractions:
            yield (
                scheduler.call,
                f"MultiStepLR compares milestones with whole steps, so that of "
                f"{fractions[0].number:g} never comes. Give it int(…).",
            )


def other_optimizer(model: ScriptModel) -> Iterator[Mistake]:
    """WDL005: the scheduler was created before the optimizer that is trained."""
    for scheduler in model.schedulers:
        name = dotted(scheduler.arguments.get("optimizer", scheduler.call))
        later = _created_later(model, scheduler, name) if name else None
        changed = _created_in_loop(model, scheduler, name) if name and not later else None
        if changed:
            yield (
                changed,
                f"`{name}` is another optimizer from here on, and {scheduler.name} (line "
                f"{scheduler.call.lineno}) goes on to move the rate of the one before. Make it "
                "again too, or add a group to the optimizer.",
            )
        if later is not None and (model.steps_of(scheduler) or not scheduler.optimizers):
            yield (
                scheduler.call,
                f"{scheduler.name} is made before the optimizer on line {later.lineno}, and so "
                f"never moves its rate. Make it after `{name}`.",
            )


def _created_in_loop(model: ScriptModel, scheduler: SchedulerCreated, name: str) -> ast.stmt | None:
    """Return what gives the name another optimizer in a branch of the loop that steps."""
    loops = {loop.node for event in model.steps_of(scheduler) for loop in event.loops}
    for branch in (node for node in model.parents if isinstance(node, ast.If)):
        if not any(model.parents[branch] is loop for loop in loops):
            continue
        later = [one for one in branch.body if _creates_optimizer(one, name)]
        # one more scheduler in the branch, or the old one that is given the new optimizer
        is_made_again = any(map(SCHEDULER.search, names_in(branch)))
        if later and not is_made_again and branch.lineno > scheduler.call.lineno:
            return later[0]
    return None


def _created_later(model: ScriptModel, scheduler: SchedulerCreated, name: str) -> ast.stmt | None:
    """Return the later statement of the same block that creates another optimizer of that name."""
    statement = model.statement_of(scheduler.call)
    block = model.block_of(statement)
    after = block[block.index(statement) + 1 :]
    for index, later in enumerate(after):
        if _creates_optimizer(later, name):
            is_given_on = any(_gives_to_scheduler(other, name) for other in after[index:])
            return None if is_given_on or any(map(_trains, after[:index])) else later
    return None


def _creates_optimizer(statement: ast.stmt, name: str) -> bool:
    match statement:
        case ast.Assign(targets=[target], value=ast.Call() as call) if dotted(target) == name:
            made_by = last_name(call.func)
            is_made = made_by[:1].isupper() or matches(_MAKES_OPTIMIZER, [made_by])
            return is_made and last_name(target) not in names_in(call)
    return False


def _gives_to_scheduler(statement: ast.stmt, name: str) -> bool:
    """Return whether a statement gives the new optimizer to another scheduler."""
    if not isinstance(statement, ast.Assign) or "prepare" in names_in(statement):
        return False
    return any(
        dotted(argument) == name
        for call in ast.walk(statement)
        if isinstance(call, ast.Call)
        for argument in arguments_of(call)
    )


def _trains(statement: ast.stmt) -> bool:
    """Return whether a training loop is in the statement: its optimizer had its own run."""
    loops = [node for node in ast.walk(statement) if isinstance(node, ast.For | ast.While)]
    return any("step" in words or matches(TRAINS, words) for words in map(names_in, loops))


def _steps_of_known_class(model: ScriptModel) -> Iterator[ScriptEvent]:
    """Yield the steps whose scheduler's class is certain, with no branch around that checks it."""
    for event in model.of("step"):
        words = {word for around in event.conditions_in(None) for word in around.words}
        own_names = set(dotted(event.call.func).split(".")[:-1])
        # `if isinstance(scheduler, …)` or `if use_plateau` decides which class is stepped
        is_checked = words & (own_names | {"isinstance"}) or any(
            "plateau" in word.lower() for word in words
        )
        if event.is_sure and not is_checked:
            yield event
