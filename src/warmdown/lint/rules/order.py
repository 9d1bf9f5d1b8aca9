"""Rules about when a scheduler is stepped: too early, in the wrong loop, twice, never."""

from __future__ import annotations

__all__ = ["in_the_epoch_loop", "never", "too_early", "twice"]

import ast
from collections.abc import Iterator

from warmdown.lint.edits import drop, move_after
from warmdown.lint.finding import Edit, Finding
from warmdown.lint.scene import Birth, Event, Loop, Scene

_PER_BATCH = {"OneCycleLR", "CyclicLR"}


def too_early(scene: Scene) -> Iterator[Finding]:
    """WDL001: the schedule moves before the optimizer has used its first value."""
    for event in scene.of("step"):
        if not event.is_sure or event.call.args or event.call.keywords or _is_plateau(event):
            continue
        if event.loops:
            yield from _early_in_loop(scene, event, event.loops[-1])
        else:
            yield from _before_the_loop(scene, event)


def _early_in_loop(scene: Scene, event: Event, loop: Loop) -> Iterator[Finding]:
    if event.conditions_in(loop) or any(birth.when > event.when for birth in event.births):
        return
    inside = [
        other for birth in event.births for other in scene.updates_for(birth) if loop in other.loops
    ]
    touched = [other for other in scene.of("touch") if loop in other.loops]
    if not inside or any(other.when < event.when for other in (*inside, *touched)):
        return
    if any(_is_born_inside(birth, loop) for birth in event.births):
        return
    first = min(inside, key=lambda other: other.when)
    yield Finding.at(
        event.call,
        "WDL001",
        f"scheduler.step() comes before the update on line {first.call.lineno}, so the first value "
        f"of the schedule is "
        "never used. Step the scheduler after the optimizer.",
        *_swap(scene, event, first),
    )


def _before_the_loop(scene: Scene, event: Event) -> Iterator[Finding]:
    if event.conditions_in(None) or not all(birth.root == event.root for birth in event.births):
        return
    updates = [
        u for birth in event.births for u in scene.updates_for(birth) if u.root == event.root
    ]
    touched = [other for other in scene.of("touch") if other.root == event.root]
    born = max(birth.when for birth in event.births)
    if any(born < other.when < event.when for other in (*updates, *touched)):
        return
    if not any(other.loops and other.when > event.when for other in updates):
        return
    yield Finding.at(
        event.call,
        "WDL001",
        "scheduler.step() is called before training starts, so the first value of the schedule is "
        "never used. "
        "Remove this call.",
        *drop(scene, event.call),
    )


def _swap(scene: Scene, event: Event, first: Event) -> list[Edit]:
    """Move the step behind the update where both stand plainly side by side."""
    step, update = scene.statement_of(event.call), scene.statement_of(first.call)
    block = scene.block_of(step)
    if (
        first.what != "update"
        or update not in block
        or not isinstance(update, ast.Expr | ast.Assign)
    ):
        return []
    between = block[block.index(step) + 1 : block.index(update)]
    jumps = (ast.Continue, ast.Break, ast.Return, ast.Raise, ast.Yield)
    if any(isinstance(node, jumps) for statement in between for node in ast.walk(statement)):
        return []
    return move_after(scene, step, update)


def in_the_epoch_loop(scene: Scene) -> Iterator[Finding]:
    """WDL002: a schedule that counts batches is stepped once per epoch."""
    for event in scene.of("step"):
        if (
            not event.is_sure
            or not all(birth.name in _PER_BATCH for birth in event.births)
            or not event.loops
        ):
            continue
        loop = event.loops[-1]
        if (
            event.conditions_in(loop)
            or loop.kind != "epoch"
            or any(_plans_epochs(b, loop) for b in event.births)
        ):
            continue
        inner = [
            u for birth in event.births for u in scene.updates_for(birth) if _is_deeper(u, loop)
        ]
        if inner or any(_counts_batches(birth) for birth in event.births):
            name = min(birth.name for birth in event.births)
            yield Finding.at(
                event.call,
                "WDL002",
                f"{name} is stepped once per epoch, but it moves by batches: only the first few of "
                f"its steps are ever "
                "used. Call scheduler.step() in the batch loop, after optimizer.step().",
                *_into_the_batch_loop(scene, event, inner),
            )


def _counts_batches(birth: Birth) -> bool:
    per_epoch = birth.lengths.get("steps_per_epoch")
    total = birth.lengths.get("total_steps")
    if per_epoch is not None and per_epoch.number != 1:
        return True
    return total is not None and total.counts_batches


def _plans_epochs(birth: Birth, loop: Loop) -> bool:
    """Whether its length was given in turns of this very loop: then one step a turn is what was planned."""
    total = birth.lengths.get("total_steps")
    return total is not None and loop.bound is not None and total.text == loop.bound.text


def _into_the_batch_loop(scene: Scene, event: Event, inner: list[Event]) -> list[Edit]:
    plain = [update for update in inner if update.what == "update"]
    if len(plain) != 1 or len(event.births) != 1 or not _counts_batches(next(iter(event.births))):
        return []
    update, step = scene.statement_of(plain[0].call), scene.statement_of(event.call)
    nested = isinstance(update, ast.Expr) and scene.parents[update] in [
        loop.node for loop in plain[0].loops
    ]
    return move_after(scene, step, update) if nested and len(scene.block_of(step)) > 1 else []


def twice(scene: Scene) -> Iterator[Finding]:
    """WDL011: one scheduler is stepped in the batch loop and in the epoch loop around it."""
    for birth in scene.births:
        steps = [event for event in scene.steps_of(birth) if event.is_sure and event.loops]
        for event in steps:
            loop = event.loops[-1]
            if event.conditions_in(loop) or loop.kind != "epoch":
                continue
            inner = [
                other
                for other in steps
                if _is_deeper(other, loop) and other.loops[-1].kind == "batch"
            ]
            if inner and not event.call.args and not inner[0].call.args:
                yield Finding.at(
                    event.call,
                    "WDL011",
                    f"this scheduler is also stepped for every batch, on line "
                    f"{inner[0].call.lineno}: the schedule "
                    "runs one step ahead after each epoch. Keep one of the two.",
                )


def never(scene: Scene) -> Iterator[Finding]:
    """WDL006: a scheduler is made, its optimizer trains, and the scheduler is never stepped."""
    for birth in scene.births:
        if birth.has_escaped or scene.steps_of(birth) or not birth.optimizers or birth.is_prepared:
            continue
        known = [
            update
            for update in scene.updates_for(birth, opaque=False)
            if update.to & birth.optimizers
        ]
        if any(
            update.loops and update.when > birth.when and update.root == birth.root
            for update in known
        ):
            yield Finding.at(
                birth.call,
                "WDL006",
                f"{birth.name} is made and never stepped: the learning rate will not move. Call "
                f"scheduler.step() after "
                "optimizer.step().",
            )


def _is_plateau(event: Event) -> bool:
    return any(birth.name == "ReduceLROnPlateau" for birth in event.births)


def _is_deeper(event: Event, loop: Loop) -> bool:
    return loop in event.loops and event.loops[-1] is not loop


def _is_born_inside(birth: Birth, loop: Loop) -> bool:
    return loop in birth.context
