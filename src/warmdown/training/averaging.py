"""A running average of a model's weights, on the clock of its updates."""

from __future__ import annotations

__all__ = ["AveragedWeights"]

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from warmdown.errors import StateError, TrainingError
from warmdown.run import Duration, Run, RunLike, check_duration, run_of
from warmdown.shown import cut
from warmdown.training.types import Data

_FORMS = 'Give one of decay=0.999, half_life="5%" (of the updates made so far), tail="25%".'


@dataclass(frozen=True)
class AverageRule:
    """How an average follows; one of the three.

    Args:
        decay: Share of the average that an update keeps, in [0, 1).
        half_life: Updates, or a share of those made so far.
        tail: Last part of the run that is averaged evenly.

    Raises:
        TrainingError: Not one of the three is given, or it is out of range.
        RunError: A length is none.
    """

    decay: float | None = None
    half_life: Duration | None = None
    tail: Duration | None = None

    def __post_init__(self) -> None:
        given = {name: one for name, one in vars(self).items() if one is not None}
        if len(given) != 1:
            shown = ", ".join(f"{name}={one!r}" for name, one in given.items())
            raise TrainingError(f"AveragedWeights({shown}): one rule is needed. {_FORMS}")
        if self.decay is not None and not 0.0 <= self.decay < 1.0:
            raise TrainingError(
                f"AveragedWeights(decay={self.decay}): it lies between 0 and 1; 0.99 to 0.9999 is "
                f"usual."
            )

    @property
    def label(self) -> str:
        """What the average is called where nothing else is said: ``ema_0.999``, ``tail_25pct``."""
        word = "half_life" if self.tail is None else "tail"
        length = self.half_life if self.tail is None else self.tail
        if self.decay is not None:
            word, length = "ema", f"{self.decay:g}"
        return f"{word}_{str(length).replace('%', 'pct')}"

    def half_life_in(self, run: Run) -> tuple[float, float]:
        """Return the half-life in updates, and for each update made so far; one of them is 0.

        Raises:
            TrainingError: It is no time.
            RunError: The run lacks a fact.
        """
        if self.half_life is None:
            return 0.0, 0.0
        who = "AveragedWeights(half_life)"
        check_duration(self.half_life)
        is_share = isinstance(self.half_life, str) and "%" in self.half_life
        length = (Run(total_steps=1) if is_share else run).exactly(self.half_life, who=who)
        if not length:
            raise TrainingError(
                f"AveragedWeights(half_life={self.half_life!r}): more than nothing is needed. "
                f"Give 500, or '5%'."
            )
        return (0.0, float(length)) if is_share else (float(length), 0.0)

    def tail_in(self, run: Run) -> int:
        """Return the updates that are made before the tail.

        Raises:
            TrainingError: The run has no length, or the tail is none of it.
        """
        if self.tail is None:
            return 0
        who = f"AveragedWeights(tail={self.tail!r})"
        check_duration(self.tail)
        if run.length is None or run.clock != "updates":
            raise TrainingError(f"{who}: the run's updates are not known. Give run=…, its length.")
        updates = run.measure(self.tail, who=who)
        if not updates or updates > run.length:
            raise TrainingError(
                f"{who}: that is {updates or 'no'} updates of {run.length}. Give 1 to {run.length}."
            )
        return run.length - updates


class AveragedWeights:
    r"""An average of a model's weights, kept beside the model.

    .. math:: a \leftarrow \beta a + (1 - \beta)\, \theta

    After each update, by one of three rules: a ``decay`` :math:`\beta`; a ``half_life`` h in
    updates or as a share of those made so far, :math:`\beta = 2^{-1/h}`; a ``tail``, the plain mean
    of the weights after each of a run's last updates. The average is kept in single precision at
    least. Buffers are not averaged: those of the model hold.

    Args:
        model: The model; what distributes or compiles it may be around it.
        decay: How slowly the average follows, in [0, 1).
        half_life: ``500`` updates, or ``"5%"`` of those made so far.
        tail: Last part of the run: ``"25%"``, or ``500`` updates.
        run: Facts about the run; a tail needs its length.

    Attributes:
        decay: As given, where it is the rule; a plan may drive it.
        updates: How many were counted.

    Raises:
        TrainingError: Not one of the three is given, or it is out of range.
        RunError: A length is none, or the run lacks a fact.

    Example:
        >>> import torch, warmdown as wd
        >>> model = torch.nn.Linear(1, 1, bias=False)
        >>> average = wd.AveragedWeights(model, tail=2, run=4)
        >>> for weight in (1.0, 2.0, 3.0, 5.0):
        ...     _ = torch.nn.init.constant_(model.weight, weight)  # an update
        ...     average.update()
        >>> with average.applied():
        ...     model.weight.item()
        4.0
        >>> model.weight.item()
        5.0
    """

    decay: float

    def __init__(
        self,
        model: torch.nn.Module,
        *,
        decay: float | None = None,
        half_life: Duration | None = None,
        tail: Duration | None = None,
        run: RunLike | None = None,
    ) -> None:
        self._rule = AverageRule(decay, half_life, tail)
        facts = run_of(run, "AveragedWeights")
        self._half_life = self._rule.half_life_in(facts)
        self._before = self._rule.tail_in(facts)
        if decay is not None:
            self.decay = decay
        self.model = _without_wrappers(model)
        self.updates = 0
        self._averaged = 0
        self._averages = {
            name: _widened(weight.detach()).clone() for name, weight in self._weights().items()
        }
        self._is_applied = False

    def __repr__(self) -> str:
        rule = ", ".join(f"{name}={one!r}" for name, one in vars(self._rule).items() if one)
        return cut(f"AveragedWeights({type(self.model).__name__}, {rule}, updates={self.updates})")

    @property
    def has_begun(self) -> bool:
        """Whether there is an average: a tail has one from its first update on."""
        return not self._before or self.updates > self._before

    @torch.no_grad()
    def update(self) -> None:
        """Let the average follow; call it after each update, before the scheduler's step.

        Raises:
            TrainingError: The average is in the model's place, or ``decay`` is out of range.
        """
        if self._is_applied:
            raise TrainingError(
                "AveragedWeights.update: the average is in the model's place. Leave the block of "
                "applied() first."
            )
        self.updates += 1
        if not self.has_begun:
            self._averaged = 0
            return
        kept = self._share_kept()
        if not 0.0 <= kept <= 1.0:
            raise TrainingError(
                f"AveragedWeights(decay={kept}): it lies between 0 and 1. Give the plan other "
                f"values."
            )
        averages: list[torch.Tensor] = list(self._averages.values())
        weights = [_widened(weight.detach()) for weight in self._weights().values()]
        # one kernel for all weights on a device, where a loop would start one for each
        torch._foreach_lerp_(averages, weights, 1.0 - kept)
        self._averaged += 1

    @contextmanager
    def applied(self) -> Iterator[torch.nn.Module]:
        """Put the average in the model's place inside the block; its own weights return after it.

        Raises:
            TrainingError: A tail has not begun.
        """
        if not self.has_begun:
            raise TrainingError(
                f"AveragedWeights.applied: the tail begins after {self._before} updates, and "
                f"{self.updates} were made. Ask has_begun first."
            )
        weights = self._weights()
        own = {name: weight.detach().clone() for name, weight in weights.items()}
        self._is_applied = True
        try:
            _copy(self._averages, weights)
            yield self.model
        finally:
            _copy(own, weights)
            self._is_applied = False

    def weights(self) -> dict[str, torch.Tensor]:
        """Return the state of the model with the average in it, to be saved or loaded elsewhere."""
        with self.applied():
            state = self.model.state_dict()
            return {
                name: value.clone()
                for name, value in state.items()
                if isinstance(value, torch.Tensor)
            }

    def state_dict(self) -> Data:
        """Return what a resumed run needs: the average and the counts."""
        counts = {"updates": self.updates, "averaged": self._averaged}
        return {**counts, "averages": dict(self._averages)}

    @torch.no_grad()
    def load_state_dict(self, state: Data) -> None:
        """Go on from an average.

        Raises:
            StateError: It is of another model; nothing has changed then.
        """
        saved = state["averages"]
        for name in saved.keys() | self._averages.keys():
            here, there = (list(getattr(one.get(name), "shape", [-1])) for one in
                           (self._averages, saved))  # fmt: skip
            if here != there:
                raise StateError(
                    f"AveragedWeights: the average is of another model: {name} differs. Build the "
                    f"model as the saved run did."
                )
        _copy(saved, self._averages)
        self.updates, self._averaged = int(state["updates"]), int(state["averaged"])

    def _weights(self) -> dict[str, torch.nn.Parameter]:
        return dict(self.model.named_parameters())

    def _share_kept(self) -> float:
        """Return the share of the average that the update counted last keeps."""
        if self._rule.tail is not None:
            return self._averaged / (self._averaged + 1)
        if self._rule.half_life is not None:
            updates, share = self._half_life
            return float(0.5 ** (1.0 / (updates + share * self.updates)))
        return self.decay


@torch.no_grad()
def _copy(weights: Mapping[str, torch.Tensor], into: Mapping[str, torch.Tensor]) -> None:
    for name, weight in into.items():
        weight.copy_(weights[name])


def _widened(weight: torch.Tensor) -> torch.Tensor:
    """Return a weight in single precision at least: in half of it, an average stands still."""
    return weight.to(torch.promote_types(weight.dtype, torch.float32))


def _without_wrappers(model: torch.nn.Module) -> torch.nn.Module:
    """Return the model without what distributes or compiles it."""
    wrappers = torch.nn.parallel.DistributedDataParallel, torch.nn.DataParallel
    while True:
        if isinstance(model, wrappers):
            model = model.module
        elif isinstance(inner := getattr(model, "_orig_mod", None), torch.nn.Module):
            model = inner
        else:
            return model
