"""A run goes back: to a checkpoint, at a lower rate, over the data that hurt."""

from __future__ import annotations

from functools import partial
from typing import Any

from warmdown.binding import Scheduler
from warmdown.binding.spikes import Spike
from warmdown.errors import TrainingError
from warmdown.training.callback import StopTrainingError
from warmdown.training.checkpoint import Checkpoints, damage_of
from warmdown.training.progress import Progress
from warmdown.training.rng import restore
from warmdown.training.spikes import Rollback, SpikeGuard, cause_of, place_after
from warmdown.training.state import load_state, save_numbered
from warmdown.training.steps import TrainingSteps


def begin_guard(trainer: TrainingSteps) -> None:
    """Make sure that the run can go back from its first spike on.

    Raises:
        TrainingError: It keeps no checkpoints, or has no plan whose rate could be lowered.
    """
    guard = trainer.run_state.guard
    assert guard is not None
    if trainer.checkpoints is None:
        raise TrainingError(
            "Trainer(on_spike=Rollback(…)): there is nothing to go back to. Add "
            "SaveTrainingStateCallback(…, save_every_n_steps=100) to the callbacks."
        )
    if guard.policy.rescale != 1 and not _drives_rate(trainer.scheduler):
        raise TrainingError(
            f"Trainer(on_spike=Rollback(rescale={guard.policy.rescale})): no plan drives the "
            f"learning rate, so that none can be lowered. Give train(plan=wd.Constant()), or "
            f"rescale=1."
        )
    if not guard.has_checkpoint(trainer.progress.updates):
        save_numbered(trainer)


def go_back(trainer: TrainingSteps, spike: Spike) -> None:
    """Go back to the last good checkpoint, as a run that is resumed from it would.

    What is newer is removed first, and then that checkpoint is saved again with what was decided: a
    kill at any moment leaves a run that finds the spike again, or one that has gone back.

    Raises:
        StopTrainingError: It has gone back too often, or there is no such checkpoint.
    """
    run = trainer.run_state
    guard, checkpoints = run.guard, trainer.checkpoints
    assert guard is not None
    assert checkpoints is not None
    target, reason = run.first_process_decides(partial(_decide, guard, checkpoints, spike))
    if target is None:
        raise StopTrainingError(reason)
    spiked, made = run.progress, guard.rollbacks
    trainer.print(f"{str(spike).capitalize()}: back to update {target}.")
    trainer.call_event("on_run_left")
    if run.train_source is not None:
        run.train_source.close()
    trainer.replace_scheduler()
    load_state(trainer, checkpoints.path(target), run.on_change, is_quiet=True)
    guard.rollbacks = [*made, {"spike": spike.update, "to": target, "cause": cause_of(spike)}]
    progress = run.progress
    progress.to_pass = _passed_over(guard.policy, spike.update, progress, spiked)
    if guard.policy.rescale != 1:
        trainer.scheduler.rescale(guard.policy.rescale, over=guard.policy.over)
    trainer.call_event("on_rollback", rollback=guard.rollbacks[-1])
    trainer.training_run_start()
    trainer.call_event("on_training_run_start")
    if trainer.is_main:
        checkpoints.remove_after(target, spiked.updates)
    random = run.random
    if random is not None:
        restore(random)  # what the callbacks drew is no part of it
    save_numbered(trainer)
    run.random = random


def _decide(guard: SpikeGuard, checkpoints: Checkpoints, spike: Spike) -> tuple[int | None, str]:
    """Return the update to go back to, or why there is none."""
    policy, made = guard.policy, guard.rollbacks
    if len(made) >= policy.at_most:
        before = ", ".join(f"{one['spike']:,}" for one in made)
        return None, (
            f"Stopped: {spike}, and the run has gone back {len(made)} times already, after spikes "
            f"at {before}. A lower peak rate, a longer warmup or gradient_clip_norm helps."
        )
    for update in guard.targets(spike, checkpoints.updates()):
        if damage_of(checkpoints.path(update)) is None:
            return update, ""
    return None, (
        f"Stopped: {spike}, and no good checkpoint is {policy.margin} updates older. Save more "
        f"often, or give Rollback(to=…) a smaller number."
    )


def _passed_over(
    policy: Rollback, spike: int, progress: Progress, spiked: Progress
) -> list[list[int]]:
    """Return the places in the data that the run passes over from now on.

    Args:
        policy: How many.
        spike: The update of the spike.
        progress: Where the run has gone back to.
        spiked: Where it was.
    """
    earlier = spiked.to_pass
    if not policy.skip:
        return earlier
    at = place_after(progress.place, spike - progress.updates, earlier)
    # an update that the scaler skipped used data, too, and may lie before the spike
    stop = at + policy.skip - policy.skip // 2 + spiked.skipped - progress.skipped
    return [*earlier, [max(progress.place, at - policy.skip // 2), stop]]


def _drives_rate(scheduler: Any) -> bool:
    return isinstance(scheduler, Scheduler) and any(
        target.name == "lr" for target in scheduler.plan.targets
    )
