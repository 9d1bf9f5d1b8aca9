"""Find a rate: sweep it over a few updates, watch the loss, and leave everything as it was."""

from __future__ import annotations

__all__ = ["RangeTest", "find_rate"]

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, final

import numpy as np

from warmdown import plot
from warmdown.binding.field import Field
from warmdown.binding.slots import Slot
from warmdown.errors import BindingError, ScheduleError, TrainingError
from warmdown.experiments.files import save_result
from warmdown.experiments.keeping import kept, named_by
from warmdown.experiments.rules import Array, Curve, Suggestion, suggestions
from warmdown.experiments.sweep import Sweep
from warmdown.plot import Line, Mark, View, number
from warmdown.run import Run
from warmdown.schedules.recipes import range_test
from warmdown.schedules.recipes.shapes import Shape
from warmdown.training.rng import mixed

TrainStep = Callable[..., Any]

_FEWEST = 10


@final
@dataclass(frozen=True, eq=False)
class RangeTest:
    """What came of a range test.

    Args:
        target: What was swept: ``lr``, ``weight_decay`` …
        base: What the group with the largest base value held before and holds again.
        values: The rates of that group, one an update; other groups kept their ratio to it.
        losses: The loss of each update, one row a repeat; a repeat that ended early is shorter.
        ended: Why each repeat ended early; empty when it did not.
        smoothing: Width of the fit that smooths the curve, as a share of the sweep.
        suggestions: What each rule says, by its name.
    """

    target: str
    base: float
    values: Array
    losses: tuple[Array, ...]
    ended: tuple[str, ...]
    smoothing: float
    suggestions: Mapping[str, Suggestion]

    @property
    def curve(self) -> Curve:
        """The smoothed mean over all repeats, as far as each of them came."""
        return _curve(self.values, self.losses, self.smoothing, self.ended)

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
            "target": self.target,
            "base": self.base,
            "values": self.values.tolist(),
            "losses": [losses.tolist() for losses in self.losses],
            "ended": list(self.ended),
            "smoothing": self.smoothing,
            "suggestions": [suggestion.to_dict() for suggestion in self.suggestions.values()],
        }

    def summary(self) -> str:
        """Return what was done and what every rule says, as text."""
        return "\n".join([_told(self), *map(_line, self.suggestions.values())])

    def chart(self) -> View:
        """Return the picture: the smoothed mean over the raw losses, and what the rules suggest."""
        curve = self.curve
        low, high = curve.losses.min(axis=0), curve.losses.max(axis=0)
        raw = Line(
            "loss of each update",
            "loss",
            curve.values,
            curve.losses.mean(axis=0),
            low=low,
            high=high,
            is_background=True,
        )
        marks = [
            Mark(suggestion.value, f"{suggestion.rule} {number(suggestion.value, 2)}")
            for suggestion in self.suggestions.values()
            if suggestion.value is not None
        ]
        return View(
            lines=(raw, Line("smoothed mean", "loss", curve.values, curve.mean)),
            x=_across(self.target),
            marks=tuple(marks),
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
    bit, also when the test ended by an error or Ctrl-C. What ``train_step`` names and has a state
    (modules, scalers, schedulers, loaders, generators) is found by itself; anything deeper is given
    in ``restore``.

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
    values = _values(start, end, steps, shape)
    _require(repeats=repeats, smoothing=smoothing, stop_at=stop_at)
    if _is_trainer(train_step):
        field, things, run = _by_trainer(train_step, data, target, steps, training)
    else:
        field, things, run = _by_hand(train_step, optimizer, data, target, training)
    _require_possible(field, end)
    things += restore
    rows, base = _rows(field, values)
    losses, ended = _swept(field, things, rows, run, repeats=repeats, stop_at=stop_at, seed=seed)
    curve = _curve(values, losses, smoothing, ended)
    return RangeTest(target, base, values, losses, ended, smoothing, suggestions(curve, seed))


Pass = Callable[[Sweep], None]


def _swept(
    field: Field,
    things: list[Any],
    rows: list[list[float]],
    run: Pass,
    *,
    repeats: int,
    stop_at: float,
    seed: int,
) -> tuple[tuple[Array, ...], tuple[str, ...]]:
    losses, ended = [], []
    with kept(field, things) as before:
        for repeat in range(repeats):
            if repeat:
                before.go_back()
                before.stir(mixed(seed, repeat))
            sweep = Sweep(Field(field.optimizer, field.name), rows, stop_at)
            try:
                run(sweep)
            finally:
                sweep.close()
            losses.append(np.array(sweep.losses))
            ended.append(sweep.ended)
    return tuple(losses), tuple(ended)


def _by_trainer(
    trainer: Any, data: Any, target: str, steps: int, training: Mapping[str, Any]
) -> tuple[Field, list[Any], Pass]:
    from warmdown.experiments.trained import passes_of_trainer

    return (
        Field(trainer.optimizer, target),
        [trainer.model],
        passes_of_trainer(trainer, data, steps, training),
    )


def _by_hand(
    train_step: TrainStep, optimizer: Any, data: Any, target: str, training: Mapping[str, Any]
) -> tuple[Field, list[Any], Pass]:
    if training:
        raise TrainingError(
            f"find_rate({', '.join(training)}=…): for a trainer only. Let train_step do it."
        )
    if optimizer is None:
        raise BindingError("find_rate(optimizer=None): give the optimizer that train_step steps.")
    if hasattr(data, "__next__") and not hasattr(data, "state_dict"):
        raise TrainingError(
            "find_rate(data=…): an iterator can not be put back to where it stood. Give the loader "
            "or list that it "
            "is made of."
        )
    things = [*named_by(train_step), *([data] if data is not None else [])]
    return Field(optimizer, target), things, _passes(train_step, data)


def _passes(train_step: TrainStep, data: Any) -> Pass:
    def run(sweep: Sweep) -> None:
        for batch in [()] if data is None else _endless(data):
            while sweep.observe(train_step(*batch)):
                if data is not None:
                    break
            else:
                return

    return run


def _endless(data: Any) -> Iterator[tuple[Any]]:
    """Yield batches, over again when they end."""
    while True:
        some = False
        for batch in data:
            some = True
            yield (batch,)
        if not some:
            raise TrainingError(
                "find_rate(data=…): there is no batch in it, or it was used up. Give a loader or a "
                "list."
            )


def _values(start: float, end: float, steps: int, shape: Shape) -> Array:
    if not 0 <= start < end < float("inf") or (start == 0 and shape == "exponential"):
        raise ScheduleError(
            f"find_rate(start={start!r}, end={end!r}): a sweep rises from above 0; a linear one, "
            f"from 0 or above."
        )
    if steps < _FEWEST:
        raise ScheduleError(
            f"find_rate(steps={steps!r}): at least {_FEWEST} updates are needed to see a curve."
        )
    sweep = range_test(start=start, end=end, shape=shape)
    values: Array = np.asarray(sweep.over(Run(total_steps=steps - 1))(np.arange(steps)))
    return values


def _rows(field: Field, values: Array) -> tuple[list[list[float]], float]:
    """Return what each group holds at every update: its ratio to the largest is kept."""
    bases = field.read()
    largest = max(bases, key=abs)
    ratios = [base / largest for base in bases] if largest else [1.0] * len(bases)
    return [[float(value * ratio) for ratio in ratios] for value in values], largest


def _curve(
    values: Array, losses: tuple[Array, ...], smoothing: float, ended: tuple[str, ...]
) -> Curve:
    length = min(len(row) for row in losses)
    if length < _FEWEST:
        raise TrainingError(
            f"find_rate: only {length} updates were made before the loss diverged. Begin with a "
            f"smaller start, or "
            "raise stop_at."
        )
    return Curve(
        values[:length], np.stack([row[:length] for row in losses]), smoothing, has_ended=any(ended)
    )


def _is_trainer(thing: Any) -> bool:
    return hasattr(thing, "calculate_train_batch_loss") and hasattr(thing, "train")


def _require(*, repeats: int, smoothing: float, stop_at: float) -> None:
    if repeats < 1:
        raise ScheduleError(f"find_rate(repeats={repeats!r}): at least 1.")
    if not 0 < smoothing <= 0.5:
        raise ScheduleError(
            f"find_rate(smoothing={smoothing!r}): a share of the sweep, above 0 and at most 0.5."
        )
    if not stop_at > 1:
        raise ScheduleError(f"find_rate(stop_at={stop_at!r}): above 1; inf never stops.")


def _require_possible(field: Field, end: float) -> None:
    """Refuse what makes an optimizer's mean of the past grow without end, or a root of a negative number."""
    if end >= 1 and any(_is_share_of_the_past(slot) for slot in field.slots):
        raise ScheduleError(
            f"find_rate(target={field.name!r}, end={end!r}): {field.name} of "
            f"{type(field.optimizer).__name__} is the "
            "share of the past that is kept, and lies below 1. End below it, such as end=0.999 "
            "(--end 0.999)."
        )


def _is_share_of_the_past(slot: Slot) -> bool:
    if slot.key == "alpha":  # of RMSprop; ASGD has a power of this name
        return "centered" in slot.group
    return slot.key in ("betas", "momentum", "rho")


def _told(test: RangeTest) -> str:
    reached = test.curve.values
    passes = "1 pass" if len(test.losses) == 1 else f"{len(test.losses)} passes"
    ends = sorted({why for why in test.ended if why})
    early = f"; ended early: {', '.join(ends)}" if ends else ""
    return (
        f"{test.target} from {number(float(reached[0]))} to {number(float(reached[-1]))} in "
        f"{len(reached)} updates, "
        f"{passes}{early}. It holds {number(test.base)} again. "
        f"Smoothed without lag over {test.smoothing:.0%} of the sweep; intervals of 90 % from "
        f"resampled curves."
    )


def _line(suggestion: Suggestion) -> str:
    if suggestion.value is None or suggestion.low is None or suggestion.high is None:
        return f"  {suggestion.rule:<11} no suggestion: {suggestion.says}"
    interval = f"({number(suggestion.low, 2)} … {number(suggestion.high, 2)})"
    return (
        f"  {suggestion.rule:<11} {number(suggestion.value, 3):<9} {interval:<22} {suggestion.says}"
    )


def _across(target: str) -> str:
    return {"lr": "learning rate", "weight_decay": "weight decay"}.get(target, target)
