"""``trainer_state.json`` of transformers: the one schedule whose rates its log has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from warmdown.compat.names import transformers_schedule
from warmdown.errors import ScheduleError
from warmdown.importing.formats.section import KnownRun, Section, Settings
from warmdown.importing.formats.training_arguments import (
    RATIO_NAMES,
    WARMUP_NAMES,
    kwargs_of,
    named_plan,
    updates_of_run,
    updates_of_warmup,
)
from warmdown.importing.numbers import number_of_setting
from warmdown.plan import Plan

Numbers: TypeAlias = npt.NDArray[np.float64]
_TRIED = ("constant", "constant_with_warmup", "linear", "cosine", "cosine_with_min_lr",
          "inverse_sqrt", "polynomial", "cosine_with_restarts")  # fmt: skip
_TOLERANCE, _SAME_PLAN, _LEAST = 1e-6, 1e-9, 1e-12
"""Relative: of a logged rate, of two plans that are one, and of the highest rate for a zero."""
_GIVE = (
    "Import the training arguments instead, or give them beside the log: learning_rate, "
    "lr_scheduler_type, warmup_steps, lr_scheduler_kwargs, such as -p warmup_steps=0 or --lr 5e-5."
)


@dataclass(frozen=True)
class _Log:
    """The rates of a log.

    Args:
        steps: The updates that had been made.
        rates: The rate that was logged then.
    """

    steps: Numbers
    rates: Numbers

    def clocks(self) -> Iterator[Numbers]:
        """Yield the steps of the rates: transformers logs what an update used, or the next."""
        if self.steps[0] >= 1:
            yield self.steps - 1
        yield self.steps


@dataclass(frozen=True)
class _Given:
    """What is known of the arguments; ``None`` is unknown."""

    name: str | None
    warmup: int | None
    lr: float | None
    kwargs: Mapping[str, Any]


@dataclass(frozen=True)
class _Fit:
    """Arguments with which transformers has the logged rates."""

    name: str
    warmup: int
    lr: float
    kwargs: Mapping[str, Any]

    def rates(self, steps: Numbers, total: int) -> Numbers:
        """Return its rates.

        Raises:
            ScheduleError: Its arguments make no schedule.
        """
        rule = transformers_schedule(
            self.name, num_warmup_steps=self.warmup, num_training_steps=total, **self.kwargs
        )
        return np.asarray(rule.value(steps, self.lr), dtype=np.float64)


def read_trainer_state(settings: Settings, known: KnownRun) -> Plan:
    """Read the log's rates as those of transformers' only schedule that has every one of them.

    Raises:
        ScheduleError: None has them, several do, or the log does not show enough.
    """
    total, log = updates_of_run(settings, known), _log_of(settings)
    given = _given_of(settings, total, known)
    fits: list[tuple[_Fit, Numbers]] = []
    for fit in _fits(log, total, given):
        whole_run = fit.rates(np.arange(float(total)), total)
        if fits and not _agree_within(whole_run, fits[0][1], _SAME_PLAN):
            raise ScheduleError(
                f"log_history: it has the rates of {_said(fits[0][0])} and of {_said(fit)}. {_GIVE}"
            )
        if not fits:
            fits.append((fit, whole_run))
    if not fits:
        raise ScheduleError(
            f"log_history: its {len(log.rates)} rates are those of no schedule that can be told "
            f"from the log alone{' with the given arguments' if given.name else ''}. {_GIVE}"
        )
    fit = fits[0][0]
    if given.name is None and fit.name.startswith("constant"):
        _refuse_open_end(log, total)
    known.tell(f"log_history: its {len(log.rates)} rates are those of {_said(fit)}.")
    return named_plan(
        fit.name, warmup=fit.warmup, total=total, lr=fit.lr, kwargs=fit.kwargs, known=known
    )


def _log_of(settings: Settings) -> _Log:
    history = settings["log_history"]
    if not isinstance(history, list):
        raise ScheduleError("log_history: a list of rows is needed.")
    rows = []
    for at, row in enumerate(history):
        if isinstance(row, Mapping) and row.get("learning_rate") is not None:
            entries = Section(f"log_history[{at}]", row)
            rows.append((float(entries.count("step")), float(entries.number("learning_rate"))))
    if not rows or max(rate for _, rate in rows) <= 0:
        raise ScheduleError(f"log_history: no row has a learning_rate above 0. {_GIVE}")
    steps, rates = np.asarray(sorted(rows), dtype=np.float64).T
    return _Log(steps, rates)


def _given_of(settings: Settings, total: int, known: KnownRun) -> _Given:
    kind, kwargs = settings.get("lr_scheduler_type"), kwargs_of(settings)
    if kwargs and kind is None:
        raise ScheduleError("lr_scheduler_kwargs: they go with a name. Give lr_scheduler_type.")
    has_warmup = any(settings.get(name) is not None for name in (*WARMUP_NAMES, *RATIO_NAMES))
    there = number_of_setting(settings, "learning_rate")
    return _Given(
        name=None if kind is None else str(kind).rpartition(".")[2].lower(),
        warmup=updates_of_warmup(settings, total) if has_warmup else None,
        lr=there if known.lr is None else known.lr,
        kwargs=kwargs,
    )


def _fits(log: _Log, total: int, given: _Given) -> Iterator[_Fit]:
    """Yield the arguments with which a schedule has every logged rate."""
    for clock in log.clocks():
        warmups = _warmups(clock, log.rates) if given.warmup is None else [given.warmup]
        is_open = given.warmup is None and given.name is None
        for name in _TRIED if given.name is None else [given.name]:
            for warmup in [0] if name == "constant" else warmups:
                if name == "constant_with_warmup" and warmup == clock[0] == 1 and is_open:
                    continue  # one update at 0, which no log of the older kind shows
                try:
                    fit = _solved(name, warmup, clock, log.rates, total, given)
                except ScheduleError:
                    if given.name is not None and warmup == warmups[0]:
                        raise
                    continue
                if fit is not None:
                    yield fit
        if isinstance(warmups, range) and warmups.start > 1:
            return  # rates that rise with one clock do not with the other


def _warmups(clock: Numbers, rates: Numbers) -> range:
    """Return the lengths of a warmup from 0 that the log leaves open."""
    if clock[0] == 0 and rates[0] > 0:
        return range(1)
    later, risen = clock[clock > 0], rates[clock > 0]
    slopes = risen / later
    rising = int(np.argmin([*(np.abs(slopes - slopes[:1]) <= _TOLERANCE * slopes[:1]), False]))
    if rising == len(later):
        raise ScheduleError(f"log_history: it does not show the end of the warmup. {_GIVE}")
    # one row alone lies on some line through zero, also after a warmup
    return range(int(later[rising - 1]) if rising > 1 else 0, int(later[rising]))


def _solved(
    name: str, warmup: int, clock: Numbers, rates: Numbers, total: int, given: _Given
) -> _Fit | None:
    """Return the schedule with the logged rates, if a base rate, and a lowest, gives them."""
    is_open = name == "cosine_with_min_lr" and not given.kwargs
    unit = _Fit("cosine" if is_open else name, warmup, 1.0, given.kwargs)
    has_offset = name == "polynomial" or "min_lr" in given.kwargs
    offset = replace(unit, lr=0.0).rates(clock, total) if has_offset else np.zeros(len(clock))
    shares = unit.rates(clock, total) - offset
    if not is_open:
        highest = int(np.argmax(shares))
        if shares[highest] <= 0:
            return None
        lr = (rates[highest] - offset[highest]) / shares[highest] if given.lr is None else given.lr
        is_close = _agree_within(lr * shares + offset, rates, _TOLERANCE)
        return _Fit(name, warmup, _short(lr), given.kwargs) if lr > 0 and is_close else None
    falling = clock >= warmup
    columns = np.stack([shares, 1 - shares], axis=1)[falling]
    if len(columns) <= 2:
        return None
    top, low = np.linalg.lstsq(columns, rates[falling], rcond=None)[0]
    found = np.where(falling, top * shares + low * (1 - shares), top * shares)
    is_inside = top > 0 and _SAME_PLAN < low / top < 1 - _TOLERANCE
    if not is_inside or not _agree_within(found, rates, _TOLERANCE):
        return None
    if given.lr is not None and not _agree_within(top, np.asarray([given.lr]), _TOLERANCE):
        return None
    return _Fit(name, warmup, _short(top), {"min_lr_rate": _short(low / top)})


def _short(value: float) -> float:
    """Return a number without the last digits, which rounding has made."""
    return float(f"{value:.12g}")


def _agree_within(found: Any, meant: Numbers, tolerance: float) -> bool:
    within = tolerance * np.abs(meant) + _LEAST * np.max(meant)
    return bool(np.all(np.abs(found - meant) <= within))


def _refuse_open_end(log: _Log, total: int) -> None:
    gap = max(np.diff(log.steps, prepend=0.0))
    if log.steps[-1] < total - gap:
        raise ScheduleError(
            f"log_history: it ends at step {log.steps[-1]:.0f} of {total}, and whether the rate "
            f"falls after that is not seen. {_GIVE}"
        )


def _said(fit: _Fit) -> str:
    more = "".join(f", {name}={value!r}" for name, value in fit.kwargs.items())
    return f"{fit.name} (learning_rate={fit.lr!r}, warmup_steps={fit.warmup}{more})"
