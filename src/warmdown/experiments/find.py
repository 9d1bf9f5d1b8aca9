"""Find a rate: sweep it over a few updates, record the loss, and restore everything."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias, final

import numpy as np

from warmdown import plot
from warmdown.binding.field import Field
from warmdown.binding.slots import Slot
from warmdown.errors import BindingError, ScheduleError, TrainingError
from warmdown.experiments.files import save_result
from warmdown.experiments.restore_state import Snapshot, stateful_names
from warmdown.experiments.rules import Array, LossCurve, Suggestion, suggestions
from warmdown.experiments.sweep import Sweep, trainer_sweep
from warmdown.plot import Line, Mark, View, number
from warmdown.run import Run
from warmdown.schedules import range_test
from warmdown.schedules.recipes.shapes import Shape
from warmdown.training.rng import derive_seed

TrainStep: TypeAlias = Callable[..., Any]
Pass: TypeAlias = Callable[[Sweep], None]
"""Makes updates until the sweep ends."""

_FEWEST_UPDATES = 10
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
        smoothing: Width of the fit that smooths the curve, as a share of the sweep.
        suggestions: The suggestion of each rule, by its name.
    """

    target: str
    base: float
    values: Array
    losses: tuple[Array, ...]
    ended: tuple[str, ...]
    smoothing: float
    suggestions: Mapping[str, Suggestion]

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
        return LossCurve(self.values[:length], losses, self.smoothing, has_ended=any(self.ended))

    def suggest(self, rule: str = "steepest") -> float | None:
        """Return the rate that a rule suggests, or ``None``."""
        if rule not in self.suggestions:
            raise ScheduleError(
                f"suggest({rule!r}): no such rule. Use one of {', '.join(self.suggestions)}."
            )
        return self.suggestions[rule].value

    def to_dict(self) -> dict[str, Any]:
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
        reached = self.curve.values
        first, last = number(float(reached[0])), number(float(reached[-1]))
        passes = "1 pass" if len(self.losses) == 1 else f"{len(self.losses)} passes"
        ends = sorted(set(self.ended) - {""})
        early = f"; ended early: {', '.join(ends)}" if ends else ""
        headline = (
            f"{self.target} from {first} to {last} in {len(reached)} updates, {passes}{early}. "
            f"It holds {number(self.base)} again. Smoothed without lag over {self.smoothing:.0%} "
            "of the sweep; intervals of 90 % from resampled curves."
        )
        return "\n".join([headline, *map(_suggestion_line, self.suggestions.values())])

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

    def save(self, path: str | PathLike[str]) -> Path:
        """Write the picture as ``.png``, ``.svg`` or ``.html``, or everything as ``.json``."""
        return save_result(path, self.chart(), self.to_dict())

    def _repr_html_(self) -> str | None:
        return plot.notebook(self.chart())


def find_rate(
    train_step: TrainStep | Any,
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
        smoothing: Width of the local straight lines that smooth the curve, as a share of the sweep.
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
    values = _sweep_values(start, end, steps, shape)
    if repeats < 1:
        raise ScheduleError(f"find_rate(repeats={repeats!r}): at least 1.")
    if not 0 < smoothing <= 0.5:
        raise ScheduleError(
            f"find_rate(smoothing={smoothing!r}): a share of the sweep, above 0 and at most 0.5."
        )
    if not stop_at > 1:
        raise ScheduleError(f"find_rate(stop_at={stop_at!r}): above 1; inf never stops.")
    trainer: Any = train_step
    if hasattr(trainer, "calculate_train_batch_loss"):
        field = Field(trainer.optimizer, target)
        things = [trainer.model]
        run: Pass = trainer_sweep(trainer, data, steps, training)
    else:
        _require_arguments_of_step(optimizer, data, training)
        field = Field(optimizer, target)
        things = stateful_names(train_step)
        if data is not None:
            things.append(data)
        run = partial(_sweep_steps, train_step, data)
    _require_possible(field, end)
    bases = field.read()
    base = max(bases, key=abs)
    ratios = [value / base if base else 1.0 for value in bases]
    rows = [[float(value * ratio) for ratio in ratios] for value in values]
    losses, ended = [], []
    before = Snapshot(field, [*things, *restore])
    try:
        for repeat in range(repeats):
            if repeat:
                before.restore()
                before.reseed(derive_seed(seed, repeat))
            sweep = Sweep(field, rows, stop_at)
            try:
                run(sweep)
            finally:
                sweep.close()
            losses.append(np.array(sweep.losses))
            ended.append(sweep.ended)
    finally:
        before.restore()
    test = RangeTest(target, base, values, tuple(losses), tuple(ended), smoothing, {})
    return replace(test, suggestions=suggestions(test.curve, seed))


def _sweep_values(start: float, end: float, steps: int, shape: Shape) -> Array:
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


def _require_arguments_of_step(optimizer: Any, data: Any, training: Mapping[str, Any]) -> None:
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


def _sweep_steps(train_step: TrainStep, data: Any, sweep: Sweep) -> None:
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


def _require_possible(field: Field, end: float) -> None:
    """Refuse a share of the past of 1 or more: it makes an optimizer's mean grow without end.

    Raises:
        ScheduleError: The sweep would reach 1.
    """
    if end >= 1 and any(map(_is_share_of_the_past, field.slots)):
        raise ScheduleError(
            f"find_rate(target={field.name!r}, end={end!r}): {field.name} of "
            f"{type(field.optimizer).__name__} is the share of the past that is kept, and lies "
            "below 1. End below it, such as end=0.999 (--end 0.999)."
        )


def _is_share_of_the_past(slot: Slot) -> bool:
    if slot.key == "alpha":  # of RMSprop; ASGD has a power of this name
        return "centered" in slot.group
    return slot.key in ("betas", "momentum", "rho")


def _suggestion_line(suggestion: Suggestion) -> str:
    if suggestion.value is None or suggestion.low is None or suggestion.high is None:
        return f"  {suggestion.rule:<11} no suggestion: {suggestion.reason}"
    interval = f"({number(suggestion.low, 2)} … {number(suggestion.high, 2)})"
    value = number(suggestion.value, 3)
    return f"  {suggestion.rule:<11} {value:<9} {interval:<22} {suggestion.reason}"
