"""transformers: a callback, and an argument of any script, that make the Trainer follow a plan."""

from __future__ import annotations

__all__ = ["PlanTrainerCallback", "run_script", "use_plans"]

import inspect
import json
import runpy
import sys
from functools import update_wrapper
from os import PathLike, fspath
from typing import Any

from warmdown.binding import Scheduler
from warmdown.binding.joining import OnChange
from warmdown.errors import BindingError, MissingExtra, ScheduleError
from warmdown.integrations.driver import observe_followed
from warmdown.planfile.plans import plan_of

try:
    from transformers import TrainerCallback
    from transformers.optimization import TYPE_TO_SCHEDULER_FUNCTION
    from transformers.trainer_utils import SchedulerType
except ModuleNotFoundError:
    raise MissingExtra(
        "warmdown.integrations.transformers", "transformers", package="transformers"
    ) from None

_METRICS = {"val_loss": "eval_loss"}
"""What the Trainer calls a metric that plans have by another name."""


class PlanTrainerCallback(TrainerCallback):  # type: ignore[misc]
    """Makes transformers' ``Trainer`` follow a plan, with one entry in ``callbacks=[…]``.

    The scheduler is the Trainer's own: it is logged, saved, and restored by
    ``resume_from_checkpoint``. Metrics that the plan follows are those of each evaluation:
    ``eval_loss`` also as ``val_loss``, and others also without ``eval_``.

    Args:
        plan: A plan, a schedule for the rate, or the path of a plan file; lengths are measured on
            the Trainer's run.
        on_change: What happens when a checkpoint is of another plan; as for ``Scheduler``.

    Raises:
        BindingError: The Trainer has another scheduler, or arguments of one.
    """

    def __init__(self, plan: Any, *, on_change: OnChange = "error") -> None:
        self._plan, self._on_change = plan, on_change
        self.scheduler: Scheduler | None = None

    def on_init_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """Write the plan into the Trainer's arguments, of which it makes its scheduler."""
        if args.lr_scheduler_kwargs and "plan" not in args.lr_scheduler_kwargs:
            raise BindingError(
                f"PlanTrainerCallback: lr_scheduler_kwargs={args.lr_scheduler_kwargs!r} belongs to "
                "another scheduler. Leave it out."
            )
        use_plans()
        args.lr_scheduler_type = SchedulerType.LINEAR  # whose function is given the arguments
        args.lr_scheduler_kwargs = {"plan": _as_argument(self._plan), "on_change": self._on_change}

    def on_train_begin(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """Refuse to train under another scheduler."""
        scheduler = others["lr_scheduler"]
        if not isinstance(scheduler, Scheduler):
            raise BindingError(
                f"PlanTrainerCallback: the Trainer has a {type(scheduler).__name__}, which writes "
                "the learning rate, too. Leave out optimizers=(…, scheduler) and create_scheduler, "
                "and give the callback to the Trainer as it is made: callbacks=[…]."
            )
        self.scheduler = scheduler

    def on_train_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """Take no metrics of evaluations after the training."""
        self.scheduler = None

    def on_evaluate(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """Give the plan the metrics that it follows."""
        if self.scheduler is not None:
            found: dict[str, Any] = others["metrics"]
            known = {name.removeprefix("eval_"): value for name, value in found.items()} | found
            for name, theirs in _METRICS.items():
                if theirs in found:
                    known.setdefault(name, found[theirs])
            observe_followed(self.scheduler, known)


def _as_argument(plan: Any) -> Any:
    """Return a plan as the Trainer writes its arguments: as JSON."""
    if isinstance(plan, PathLike):
        return fspath(plan)
    try:
        json.dumps(plan)
    except TypeError:
        return plan_of(plan, who="PlanTrainerCallback").to_dict()
    return plan


def use_plans() -> None:
    """Let ``lr_scheduler_kwargs={"plan": "plan.yaml"}`` make the scheduler, in every Trainer.

    It holds for the types whose function is given the number of training steps, so for the default,
    ``linear``, too: ``--lr_scheduler_kwargs '{"plan": "plan.yaml"}'`` is enough. ``"on_change"``
    may stand beside ``"plan"``. Without ``"plan"`` transformers' own functions are called.
    """
    for kind, function in TYPE_TO_SCHEDULER_FUNCTION.items():
        takes_steps = "num_training_steps" in inspect.signature(function).parameters
        if takes_steps and not isinstance(function, _PlanOrTheirs):
            TYPE_TO_SCHEDULER_FUNCTION[kind] = _PlanOrTheirs(function)


class _PlanOrTheirs:
    """Makes a plan's scheduler where a plan is given, else transformers'."""

    def __init__(self, function: Any) -> None:
        self._function = function
        update_wrapper(self, function)

    def __call__(
        self, optimizer: Any, num_warmup_steps: int, num_training_steps: int, **arguments: Any
    ) -> Any:
        if "plan" not in arguments:
            return self._function(
                optimizer,
                num_warmup_steps=num_warmup_steps,
                num_training_steps=num_training_steps,
                **arguments,
            )
        if num_warmup_steps:
            raise ScheduleError(
                f"lr_scheduler_kwargs(plan=…): warmup_steps gives a warmup of {num_warmup_steps} "
                "updates beside the plan, which has its own. Set warmup_steps=0."
            )
        plan = arguments.pop("plan")
        return Scheduler(optimizer, plan, total_steps=num_training_steps, **arguments)


def run_script() -> None:
    """Run a script that is not changed: ``python -m warmdown.integrations.transformers train.py``.

    What follows the script's path are its own arguments.
    """
    if len(sys.argv) < 2:
        raise SystemExit(
            "python -m warmdown.integrations.transformers SCRIPT [ARGUMENTS]: runs a script whose "
            '--lr_scheduler_kwargs \'{"plan": "plan.yaml"}\' names a plan.'
        )
    use_plans()
    sys.argv = sys.argv[1:]
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    run_script()
