"""Find a rate: sweep it over a few updates, record the loss, and restore everything."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple, final

import numpy as np
import torch
from torch.utils.data import DataLoader

from warmdown import plot
from warmdown.binding.field import Field
from warmdown.binding.scheduler import paused
from warmdown.binding.slots import Slot
from warmdown.errors import BindingError, ScheduleError, TrainingError, nearest, shortly
from warmdown.experiments.files import save_result
from warmdown.experiments.restore_state import Snapshot, stateful_names
from warmdown.experiments.rules import Array, LossCurve, Suggestion, clear_curve, suggestions
from warmdown.formatting import aligned
from warmdown.plot import Line, Mark, View, number
from warmdown.run import Run
from warmdown.schedules import range_test
from warmdown.schedules.base import PlainData
from warmdown.schedules.recipes.shapes import Shape
from warmdown.shown import brief
from warmdown.training.callback import StopTrainingError, TrainerCallback
from warmdown.training.handler import CallbackHandler
from warmdown.training.history import InMemoryRunHistory
from warmdown.training.rng import derive_seed
from warmdown.training.trainer import Trainer
from warmdown.training.types import FilePath

_FEWEST_UPDATES = 10
_MOST_CALLS = 1000
"""Calls without an update after which there will be none."""
_KEPT_SHARE = 0.9
"""Share of the past in the running mean that shows divergence."""
_EARLIEST_END = 5
"""Updates before a loss can count as diverged: the running mean needs some."""
_NAMES_ELSEWHERE = {
    **dict.fromkeys(["start_lr", "min_lr", "init_value", "init_lr"], "start"),
    **dict.fromkeys(["end_lr", "max_lr", "final_value"], "end"),
    **dict.fromkeys(["num_iter", "num_it", "num_training", "iterations"], "steps"),
    **dict.fromkeys(["step_mode", "mode"], "shape"),
    **dict.fromkeys(["smooth_f", "beta"], "smoothing"),
    **dict.fromkeys(["diverge_th", "early_stop_threshold"], "stop_at"),
    **dict.fromkeys(["train_loader", "train_dataloader", "dataloader", "loader"], "data"),
}
"""What other libraries' range tests call the arguments."""
_AXIS_LABELS = {"lr": "learning rate", "weight_decay": "weight decay"}


@final
@dataclass(frozen=True, eq=False)
class RangeTest:
    """The result of a range test.

    Args:
        target: What was swept: ``lr``, ``weight_decay`` …
        base: Largest base value of a group, before the test and again after it.
        values: The rates of that group, one an update; other groups kept their ratio to it.
        losses: The loss of each update, one row a repeat; a repeat that ended early is shorter.
        ended: Why each repeat ended early; empty when it did not.
        smoothing: Least width of the fit that smooths the curve, as a share of the sweep.
        suggestions: The suggestion of each rule, by its name.
    """

    target: str
    base: float
    values: Array
    losses: tuple[Array, ...]
    ended: tuple[str, ...]
    smoothing: float
    suggestions: Mapping[str, Suggestion]

    __repr__ = brief

    def __str__(self) -> str:
        try:
            return self.summary()
        except TrainingError as error:
            return str(error)

    @property
    def curve(self) -> LossCurve:
        """The smoothed mean over all repeats, as far as each of them came."""
        length = min(map(len, self.losses))
        if length < _FEWEST_UPDATES:
            raise TrainingError(
                f"find_rate: only {length} updates were made before the loss diverged. Begin with "
                "a smaller start, or raise stop_at."
            )
        losses = np.stack([row[:length] for row in self.losses])
        return clear_curve(self.values[:length], losses, self.smoothing, has_ended=any(self.ended))

    def suggest(self, rule: str = "steepest") -> float | None:
        """Return the rate that a rule suggests, or ``None``."""
        if rule not in self.suggestions:
            raise ScheduleError(
                f"suggest({rule!r}): no such rule. Use one of {', '.join(self.suggestions)}."
            )
        return self.suggestions[rule].value

    def to_dict(self) -> PlainData:
        """Return everything as plain data."""
        return {
            **vars(self),
            "values": self.values.tolist(),
            "losses": [losses.tolist() for losses in self.losses],
            "ended": list(self.ended),
            "suggestions": [suggestion.to_dict() for suggestion in self.suggestions.values()],
        }

    def summary(self) -> str:
        """Return what was done and every rule's suggestion, as text."""
        curve = self.curve
        reached = curve.values
        first, last = number(reached[0]), number(reached[-1])
        passes = "1 pass" if len(self.losses) == 1 else f"{len(self.losses)} passes"
        ends = sorted(set(self.ended) - {""})
        early = f"; ended early: {', '.join(ends)}" if ends else ""
        headline = (
            f"{self.target} from {first} to {last} in {len(reached)} updates, {passes}{early}. "
            f"It holds {number(self.base)} again. Smoothed without lag over {curve.smoothing:.1%} "
            "of the sweep; intervals of 90 % from resampled curves."
        )
        rows = [["", "rule", "rate", "90 % interval", "why"]]
        rows += [["", *_cells_of(suggestion)] for suggestion in self.suggestions.values()]
        return "\n".join([headline, aligned(rows, left=range(len(rows[0])))])

    def chart(self) -> View:
        """Return the picture: the smoothed mean over the raw losses, and the suggestions."""
        curve = self.curve
        raw = Line(
            "loss of each update",
            "loss",
            curve.values,
            curve.losses.mean(axis=0),
            low=curve.losses.min(axis=0),
            high=curve.losses.max(axis=0),
            is_background=True,
        )
        return View(
            lines=(raw, Line("smoothed mean", "loss", curve.values, curve.mean)),
            x=_AXIS_LABELS.get(self.target, self.target),
            marks=tuple(
                Mark(suggestion.value, f"{suggestion.rule} {number(suggestion.value, 2)}")
                for suggestion in self.suggestions.values()
                if suggestion.value is not None
            ),
            log_x=bool(curve.values[0] > 0),
            is_cropped=True,
            title=f"Range test of {self.target}",
            text=self.summary(),
        )

    def terminal(self) -> str:
        """Return the picture for a terminal."""
        return plot.terminal(self.chart(), height=14)

    def save(self, path: FilePath) -> Path:
        """Write the picture as ``.png``, ``.svg`` or ``.html``, or everything as ``.json``."""
        return save_result(path, self.chart(), self.to_dict())

    def plot(self, **how: Any) -> Any:
        """Return the picture as a matplotlib figure; ``how`` is what ``plot.figure`` takes."""
        return self.chart().plot(**how)

    def _repr_html_(self) -> str | None:
        return plot.notebook(self.chart())


def find_rate(
    train_step: Any,
    optimizer: Any = None,
    data: Any = None,
    *,
    target: str = "lr",
    start: float = 1e-7,
    end: float = 10.0,
    steps: int = 100,
    shape: Shape = "exponential",
    repeats: int = 1,
    smoothing: float = 0.03,
    stop_at: float = 4.0,
    restore: Iterable[Any] = (),
    seed: int = 0,
    **training: Any,
) -> RangeTest:
    """Train for a few updates under a rising rate, and read good rates off the loss.

    Afterwards model, buffers, gradients, optimizer and random numbers are what they were, bit for
    bit, also when the test ended by an error or Ctrl-C. Stateful objects that ``train_step`` names
    (modules, scalers, schedulers, loaders, generators) are found by themselves; anything deeper is
    given in ``restore``.

    Args:
        train_step: Makes one update, or one batch's part of it, and returns the batch's loss. It is
            called without arguments, or with a batch of ``data``. A
            :class:`~warmdown.training.Trainer` is as good: ``data`` is then its training data.
        optimizer: The optimizer that it steps; a trainer brings its own.
        data: Batches, from their start in every repeat and over again when they end; the caller's
            own iterators are not touched.
        target: The field that is swept: ``lr``, ``weight_decay``, ``momentum``, ``betas[0]`` …
        start: First value, for the group with the largest base value; the others keep their ratio
            to it.
        end: Last value.
        steps: Updates from the first to the last value, at least 10.
        shape: ``"exponential"`` or ``"linear"``, or another curve's name.
        repeats: Passes, each with other random numbers; they give the band.
        smoothing: Width of the local straight lines that smooth the curve, as a share of the sweep;
            where its noise hides the fall, up to four times as much.
        stop_at: The pass ends when the loss lies this many times its own fall above its lowest;
            ``inf``: never.
        restore: More things with a state that the step changes.
        seed: Seeds the passes, from the second on, and the intervals.
        training: For a trainer: ``per_device_batch_size``, ``gradient_accumulation_steps`` and so
            on.

    Raises:
        ScheduleError: The values make no sweep, or the optimizer can not work with them: a momentum
            lies below 1.
        BindingError: The optimizer has no such field, or there is no optimizer.
        TrainingError: ``train_step`` makes no update, more than one, or something else writes the
            field.

    Example:
        >>> import torch
        >>> from warmdown import find_rate
        >>> model = torch.nn.Linear(4, 1)
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        >>> inputs = torch.randn(64, 4)
        >>> def train_step():
        ...     optimizer.zero_grad()
        ...     loss = (model(inputs) - inputs.sum(1, keepdim=True)).square().mean()
        ...     loss.backward()
        ...     optimizer.step()
        ...     return loss
        >>> before = model.weight.clone()
        >>> found = find_rate(train_step, optimizer, start=1e-4, end=10, steps=50)
        >>> 1e-3 < found.suggest("steepest") < 1, torch.equal(model.weight, before)
        (True, True)
    """
    _require_known(training)
    require_sweep(repeats, smoothing, stop_at)
    passes = make_passes(
        train_step,
        optimizer,
        data,
        target=target,
        start=start,
        end=end,
        steps=steps,
        shape=shape,
        stop_at=stop_at,
        restore=restore,
        seed=seed,
        numbers=range(repeats),
        training=training,
    )
    return range_test_of(passes, target, sweep_values(start, end, steps, shape), smoothing, seed)


class Pass(NamedTuple):
    """What one pass of a sweep gave.

    Args:
        base: Largest base value of a group.
        losses: The loss of each update.
        ended: Why it ended early; empty when it did not.
    """

    base: float
    losses: list[float]
    ended: str


def require_sweep(repeats: int, smoothing: float, stop_at: float) -> None:
    """Refuse what makes no range test.

    Raises:
        ScheduleError: It names the argument.
    """
    if repeats < 1:
        raise ScheduleError(f"find_rate(repeats={repeats!r}): at least 1.")
    if not 0 < smoothing <= 0.5:
        raise ScheduleError(
            f"find_rate(smoothing={smoothing!r}): a share of the sweep, above 0 and at most 0.5."
        )
    if not stop_at > 1:
        raise ScheduleError(f"find_rate(stop_at={stop_at!r}): above 1; inf never stops.")


def make_passes(
    train_step: Any,
    optimizer: Any,
    data: Any,
    *,
    target: str,
    start: float,
    end: float,
    steps: int,
    shape: Shape,
    stop_at: float,
    restore: Iterable[Any],
    seed: int,
    numbers: Iterable[int],
    training: PlainData,
    alive: Callable[[], None] = lambda: None,
) -> list[Pass]:
    """Make the passes of these numbers, from 0, and restore everything.

    A pass is the same whichever go before it. ``alive`` is called after each batch of a trainer,
    and the rest are arguments of :func:`find_rate`.
    """
    values = sweep_values(start, end, steps, shape)
    if hasattr(train_step, "calculate_train_batch_loss"):
        field = Field(train_step.optimizer, target)
        things = [train_step.model]
        run: Callable[[_Sweep, int], None] = _trainer_sweep(
            train_step, data, steps, training, alive
        )
    else:
        _require_arguments_of_step(optimizer, data, training)
        field = Field(optimizer, target)
        things = stateful_names(train_step)
        if data is not None:
            things.append(data)
        run = partial(_sweep_steps, train_step, data)
    # such a share of 1 or more makes an optimizer's mean grow without end
    if end >= 1 and any(map(_is_share_of_the_past, field.slots)):
        raise ScheduleError(
            f"find_rate(target={target!r}, end={end!r}): {target} of "
            f"{type(field.optimizer).__name__} is the share of the past that is kept, and lies "
            "below 1. End below it, such as end=0.999 (--end 0.999)."
        )
    bases = field.read()
    base = max(bases, key=abs)
    ratios = [value / base if base else 1.0 for value in bases]
    rows = np.outer(values, ratios).tolist()
    passes = []
    with paused(field.optimizer) as schedulers:
        changed = [thing for thing in things if thing not in schedulers]
        _require_states(restore)
        before = Snapshot(field, [*changed, *restore])
        try:
            for number in numbers:
                if number:
                    before.restore()
                    before.reseed(derive_seed(seed, number))
                sweep = _Sweep(field, rows, stop_at)
                try:
                    run(sweep, number)
                finally:
                    sweep.close()
                passes.append(Pass(base, sweep.losses, sweep.ended))
        finally:
            before.restore()
    return passes


def range_test_of(
    passes: Sequence[Pass], target: str, values: Array, smoothing: float, seed: int
) -> RangeTest:
    """Return the range test of passes, with its suggestions."""
    losses = tuple(np.array(one.losses) for one in passes)
    ended = tuple(one.ended for one in passes)
    test = RangeTest(target, passes[0].base, values, losses, ended, smoothing, {})
    return replace(test, suggestions=suggestions(test.curve, seed))


def _require_known(training: PlainData) -> None:
    """Refuse arguments that neither the test has nor a trainer's training."""
    own = [*inspect.signature(find_rate).parameters][:-1]
    of_a_trainer = set(inspect.signature(Trainer.train).parameters) - {"self"}
    for name in training.keys() - of_a_trainer:
        known = _NAMES_ELSEWHERE.get(name)
        way_out = f"It is {known} here." if known else nearest(name, own)
        raise TrainingError(f"find_rate({name}=…): there is no such argument. {way_out}")


def sweep_values(start: float, end: float, steps: int, shape: Shape) -> Array:
    """Return the value of each update.

    Raises:
        ScheduleError: They make no sweep.
    """
    if not 0 <= start < end < float("inf") or (start == 0 and shape == "exponential"):
        raise ScheduleError(
            f"find_rate(start={start!r}, end={end!r}): a sweep rises from above 0; a linear one, "
            "from 0 or above."
        )
    if steps < _FEWEST_UPDATES:
        raise ScheduleError(
            f"find_rate(steps={steps!r}): at least {_FEWEST_UPDATES} updates are needed to see a "
            "curve."
        )
    sweep = range_test(start=start, end=end, shape=shape).over(Run(total_steps=steps - 1))
    return np.asarray(sweep(np.arange(steps)))


def _require_arguments_of_step(optimizer: Any, data: Any, training: PlainData) -> None:
    """Refuse what makes no sweep by ``train_step``.

    Raises:
        TrainingError: There are arguments for a trainer, or an iterator.
        BindingError: There is no optimizer.
    """
    if training:
        raise TrainingError(
            f"find_rate({', '.join(training)}=…): for a trainer only. Let train_step do it."
        )
    if optimizer is None:
        raise BindingError("find_rate(optimizer=None): give the optimizer that train_step steps.")
    if hasattr(data, "__next__") and not hasattr(data, "state_dict"):
        raise TrainingError(
            "find_rate(data=…): an iterator can not be put back to where it stood. Give the loader "
            "or list that it is made of."
        )


def _sweep_steps(train_step: Callable[..., Any], data: Any, sweep: _Sweep, number: int = 0) -> None:
    """Make updates until the sweep ends; batches come from the start again when they end."""
    while True:
        is_empty = True
        for batch in [None] if data is None else data:
            is_empty = False
            if not sweep.observe(train_step() if data is None else train_step(batch)):
                return
        if is_empty:
            raise TrainingError(
                "find_rate(data=…): there is no batch in it, or it was used up. Give a loader or a "
                "list."
            )


def _is_share_of_the_past(slot: Slot) -> bool:
    if slot.key == "alpha":  # of RMSprop; ASGD has a power of this name
        return "centered" in slot.group
    return slot.key in ("betas", "momentum", "rho")


def _require_states(restore: Iterable[Any]) -> None:
    for thing in restore:
        if not hasattr(thing, "state_dict") and not isinstance(thing, torch.Generator | DataLoader):
            raise TrainingError(
                f"find_rate(restore={shortly(thing)}): it has no state_dict() to restore it by. "
                "Leave it out, or give what has one."
            )


def _cells_of(suggestion: Suggestion) -> list[str]:
    if suggestion.value is None or suggestion.low is None or suggestion.high is None:
        return [suggestion.rule, "none", "", suggestion.reason]
    interval = f"({number(suggestion.low, 2)} … {number(suggestion.high, 2)})"
    return [suggestion.rule, number(suggestion.value, 3), interval, suggestion.reason]


class _Sweep:
    """Writes a value, waits for the update, pairs it with the loss, goes on to the next value.

    Args:
        field: What is swept.
        rows: One value for each group, for every update.
        stop_at: The sweep ends when the running mean of the loss lies this many times its own fall
            above its lowest.
    """

    def __init__(self, field: Field, rows: Sequence[list[float]], stop_at: float) -> None:
        self.losses: list[float] = []
        self.ended = ""
        self._rows, self._stop_at = rows, stop_at
        self._optimizer, self._name = field.optimizer, field.name
        self._pending: list[float] = []
        self._updates = 0
        # some optimizers of other libraries have no hooks: then each call counts as an update
        register = getattr(self._optimizer, "register_step_pre_hook", None)
        self._hook = register(self._count_update) if register else None
        self._current_field().write(rows[0])

    def observe(self, loss: Any) -> bool:
        """Take the loss of one batch; return whether the sweep goes on."""
        self._pending.append(_as_float(loss))
        if self._hook is None:
            self._count_update()
        if self._updates > 1:
            raise TrainingError(
                f"find_rate: {self._updates} updates were made in one call. Make one update, or a "
                "part of one, in each."
            )
        if not self._updates and len(self._pending) >= _MOST_CALLS:
            raise TrainingError(
                f"find_rate: {_MOST_CALLS} calls made no update of this optimizer. Let train_step "
                "call optimizer.step(), and give the optimizer that it steps."
            )
        if not math.isfinite(self._pending[-1]):
            self.ended = "the loss was not finite"
        elif self._updates:
            self.losses.append(sum(self._pending) / len(self._pending))
            self._pending, self._updates = [], 0
            if self._has_diverged():
                self.ended = "the loss diverged"
            elif len(self.losses) < len(self._rows):
                self._current_field().write(self._rows[len(self.losses)])
        return not self.ended and len(self.losses) < len(self._rows)

    def close(self) -> None:
        """Remove the hook from the optimizer."""
        if self._hook is not None:
            self._hook.remove()

    def _current_field(self) -> Field:
        """Return the field as it is now: a trainer may have replaced the optimizer's groups."""
        return Field(self._optimizer, self._name)

    def _count_update(self, *_: Any) -> None:
        found_inf = getattr(self._optimizer, "found_inf", None)
        if isinstance(found_inf, torch.Tensor) and found_inf:
            return  # a fused optimizer leaves this update out, as the scaler asks it to
        planned = self._rows[len(self.losses)]
        current = self._current_field().read()
        if not np.allclose(current, planned, rtol=1e-5, atol=0):
            raise TrainingError(
                f"find_rate: the update used {self._name}={current}, where {planned} was to be "
                "tried: something else writes it. Leave scheduler.step() out of train_step."
            )
        self._updates += 1

    def _has_diverged(self) -> bool:
        means = list(
            accumulate(
                self.losses, lambda mean, loss: _KEPT_SHARE * mean + (1 - _KEPT_SHARE) * loss
            )
        )
        lowest = min(means)
        # a loss that has not fallen yet is measured by its own size
        fall = max(self.losses[0] - lowest, abs(lowest), 1e-12)
        is_high = means[-1] > lowest + (self._stop_at - 1) * fall
        return is_high and len(means) > _EARLIEST_END


def _trainer_sweep(
    trainer: Trainer, data: Any, steps: int, training: PlainData, alive: Callable[[], None]
) -> Callable[[_Sweep, int], None]:
    """Return a function that makes one pass of a sweep and leaves the trainer as it was.

    The trainer's own loop, batches, accumulation and precision are used.
    """
    if data is None:
        raise TrainingError(
            "find_rate(trainer, data=None): give the training data: "
            "find_rate(trainer, data=dataset)."
        )

    def run(sweep: _Sweep, number: int) -> None:
        before = dict(vars(trainer))
        if number:
            trainer.seed = derive_seed(trainer.seed, number)
        trainer.run_history = InMemoryRunHistory()
        trainer.callback_handler = CallbackHandler([_SweepCallback(sweep, alive)])
        trainer.checkpoints = None
        # a sweep is no training that a person follows
        trainer.print = lambda *words, **options: None  # type: ignore[method-assign]
        try:
            trainer.train(data, 1_000_000, max_num_train_steps=steps, **training)
        finally:
            # also what training has added to the trainer
            vars(trainer).clear()
            vars(trainer).update(before)

    return run


class _SweepCallback(TrainerCallback):
    """Gives each batch's loss to the sweep, and ends the training with it."""

    def __init__(self, sweep: _Sweep, alive: Callable[[], None]) -> None:
        self._sweep, self._alive = sweep, alive

    def on_train_step_end(
        self, trainer: Trainer, batch: Any, batch_output: Any, **kwargs: Any
    ) -> None:
        """Take the loss of a batch."""
        self._alive()
        if not self._sweep.observe(batch_output["loss"].detach()):
            raise StopTrainingError("the range test is through")


def _as_float(loss: Any) -> float:
    try:
        return float(loss.detach() if isinstance(loss, torch.Tensor) else loss)
    except (TypeError, ValueError, RuntimeError):
        raise TrainingError(
            f"find_rate: train_step returned {type(loss).__name__}. Return the batch's loss: a "
            "number, or a tensor of one element."
        ) from None
