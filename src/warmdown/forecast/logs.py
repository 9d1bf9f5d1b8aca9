"""Training logs as steps, rates and losses, from the files that trainers and trackers write."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from warmdown.errors import ForecastError, nearest, shortly
from warmdown.forecast.events import ScalarEvents, event_files, is_event_file
from warmdown.forecast.formulas import Drops
from warmdown.forecast.rates import RateCurve
from warmdown.formatting import count
from warmdown.plan import Plan
from warmdown.record import Record
from warmdown.run import Run
from warmdown.schedules.sampling import Array
from warmdown.shown import brief

LogSource: TypeAlias = "str | Path | Record | LossLog | Sequence[Any] | Mapping[str, Any]"
"""A file, a folder of TensorBoard events, a record, three arrays, or columns by name."""

_FEWEST_ROWS = 8
_MOST_ROWS = 256
"""Rows that a fit uses of one log; more are averaged, which is what makes raw losses smooth."""
_EARLY = 0.02
_SPIKE = 8.0
"""Robust deviations from the losses around it that make a row a spike."""
_AROUND = 9
"""Rows whose median a row is compared with."""
_MOST_SPIKES = 0.05
"""More of them are the loss's usual noise, which has a long tail."""
_DIVERGED = 0.2
"""A loss that rises again by this share of its fall, and of its lowest value, has diverged."""
_COMMON_NAMES = ("record", "trainer_state", "events", "history", "log", "logs", "metrics")
"""Files whose folder says more than their name."""
_STEPS = ("step", "steps", "_step", "global_step", "trainer/global_step", "train/global_step",
          "iteration", "iterations", "iter", "update", "updates", "num_updates", "it")  # fmt: skip
_RATES = ("lr", "learning_rate", "train/learning_rate", "train/lr", "lr/0", "learning rate",
          "optim/lr", "lr-adamw", "lr-adam", "lr-sgd", "optim/learning_rate_group0", "train_lr",
          "lr/group0", "learning-rate", "schedule/lr", "rate")  # fmt: skip
_LOSSES = ("loss", "train/loss", "train_loss", "training_loss", "training loss", "loss/train",
           "train/lm_loss", "lm loss", "lm_loss", "train/ce_loss", "train/crossentropyloss",
           "train_loss_step", "train/loss_step", "loss/global_avg_loss", "trainloss",
           "tr_loss")  # fmt: skip
_OTHER_COLUMNS = ("__min", "__max")
"""Ends of the columns that W&B exports beside each curve."""


@dataclass(frozen=True, eq=False)
class LossLog:
    """The losses of one run and the rates that it used.

    Args:
        name: Of the file, without its ending.
        steps: Updates, rising, ``(n,)``.
        rates: Learning rate at each, ``(n,)``.
        losses: Loss at each, ``(n,)``.
        plan: What the run followed, where that is known: its rate counts, and not the log's.
        warmup: Updates of a linear warmup from 0 before the first row, or ``None`` where rows or a
            plan begin at update 0.
        notes: What was assumed, and what was left out, as sentences.
    """

    name: str
    steps: Array
    rates: Array
    losses: Array
    plan: Plan | None = None
    warmup: int | None = None
    notes: tuple[str, ...] = ()

    __repr__ = brief

    @cached_property
    def curve(self) -> RateCurve:
        """The rate from update 0 to the last row."""
        if self.plan is not None:
            return RateCurve.of(self.plan).until(self.steps[-1])
        steps, rates = self.steps, self.rates
        if self.warmup is not None:
            before = [0.0, float(self.warmup)][: 2 if 0 < self.warmup < steps[0] else 1]
            steps = np.r_[before, steps]
            rates = np.r_[[0.0, rates[0]][: len(before)], rates]
        elif steps[0] > 0:
            steps, rates = np.r_[0.0, steps], np.r_[rates[0], rates]
        return RateCurve.logged(steps, rates)

    @cached_property
    def drops(self) -> Drops:
        """The falls of the rate, as they lie behind each row."""
        return Drops.at(self.curve, self.steps)

    def settled(self) -> LossLog:
        """Return the rows after the first rise of the rate, and after the first 2 % of the run.

        No law is meant for them: a loss falls there from what an untrained model has.
        """
        rates = np.interp(self.steps, self.curve.steps, self.curve.rates)
        rises = np.diff(rates) > 1e-3 * rates.max()
        rise = int(np.argmin(rises)) if rises.any() and rises[0] else 0
        early = int(np.searchsorted(self.steps, _EARLY * self.steps[-1]))
        first = max(rise, early)
        return self.with_rows(slice(first, None)) if first else self

    def with_rows(self, kept: Any) -> LossLog:
        """Return the log with some of its rows, under the same rate."""
        steps, rates, losses = self.steps[kept], self.rates[kept], self.losses[kept]
        log = replace(self, steps=steps, rates=rates, losses=losses)
        log.__dict__["curve"] = self.curve
        return log

    def thinned(self) -> LossLog:
        """Return at most 256 rows; each is the mean of its neighbours, the last one of the last."""
        if self.steps.size <= _MOST_ROWS:
            return self
        parts = np.array_split(np.arange(self.steps.size), _MOST_ROWS)
        means = [[values[part].mean() for part in parts]
                 for values in (self.steps, self.rates, self.losses)]  # fmt: skip
        steps, rates, losses = map(np.asarray, means)
        # the rates between the rows stay as they were logged
        thin = replace(self, steps=steps, rates=rates, losses=losses)
        thin.__dict__["curve"] = self.curve
        return thin


def read_log(
    source: LogSource,
    *,
    step: str | None = None,
    rate: str | None = None,
    loss: str | None = None,
    plan: Plan | None = None,
    warmup: int | None = None,
) -> LossLog:
    """Return a log from a file or an object, cleaned; what was done stands in its ``notes``.

    Args:
        source: A warmdown record, TensorBoard events (a file or a folder), CSV, TSV or JSONL, a W&B
            export, transformers' ``trainer_state.json``; a ``Record``; three arrays of steps, rates
            and losses; a mapping of columns.
        step: Name of the column of updates, where it is none of the usual spellings.
        rate: Name of the column of rates.
        loss: Name of the column of losses.
        plan: What the run followed: rates are then its, also between rows and before the first.
        warmup: Updates of the linear warmup before the first row.

    Raises:
        ForecastError: It is no log, a column is not found, or fewer than 8 rows are left.

    Example:
        >>> log = read_log((range(10), [0.1] * 10, [2.0 - 0.1 * k for k in range(10)]))
        >>> log.steps.size, log.curve.peak
        (10, 0.1)
    """
    if isinstance(source, LossLog):
        return source
    name, columns = _columns(source)
    asked = {"step": (step, _STEPS), "rate": (rate, _RATES), "loss": (loss, _LOSSES)}
    tables = {what: _found(name, columns, what, *how) for what, how in asked.items()
              if not (what == "rate" and plan is not None)}  # fmt: skip
    notes: list[str] = []
    steps, losses = _paired(tables["loss"], tables["step"], columns)
    rates = np.zeros_like(losses)
    if plan is None:
        steps_of_rates, logged = _paired(tables["rate"], tables["step"], columns)
        steps_of_rates, logged, _ = _ordered(steps_of_rates, logged, [])
    steps, losses, _ = _ordered(steps, losses, notes)
    if steps.size < _FEWEST_ROWS:
        raise ForecastError(
            f"{name}: {steps.size} rows have a step and a loss; at least {_FEWEST_ROWS} are needed."
        )
    if (losses <= 0).any():
        raise ForecastError(f"{name}: a loss of {losses.min():g}; a law needs losses above 0.")
    if plan is None:
        if not logged.size:
            raise ForecastError(f"{name}: no row has a rate. Give the run's plan.")
        rates = np.interp(steps, steps_of_rates, logged)
    log = LossLog(name, steps, rates, losses, plan, notes=tuple(notes))
    return _with_warmup(_cleaned(log), warmup)


def _with_warmup(log: LossLog, warmup: int | None) -> LossLog:
    first = int(log.steps[0])
    if log.plan is not None or (first == 0 and not warmup):
        return log
    if warmup is not None:
        return replace(log, warmup=min(warmup, first)) if first else log
    if first <= 1 or log.rates[0] < 0.9 * log.rates.max():  # the rows have the warmup
        return log
    note = (
        f"{log.name} begins at update {count(first)}: a linear warmup from 0 up to it is assumed."
    )
    return replace(log, warmup=first, notes=(*log.notes, note))


def _cleaned(log: LossLog) -> LossLog:
    """Return the log without spikes and without what came after it diverged, and say so."""
    losses, notes = log.losses, []
    keep = np.ones(losses.size, dtype=bool)
    smooth = _running_median(losses, max(_AROUND, losses.size // 20))
    lowest = int(np.argmin(smooth))
    rise, fall = smooth[-1] - smooth[lowest], smooth[0] - smooth[lowest]
    if rise > max(_DIVERGED * fall, _DIVERGED * smooth[lowest]):
        keep[lowest + 1 :] = False
        notes.append(
            f"{log.name} diverged after update {count(int(log.steps[lowest]))}: the rest is left "
            "out."
        )
    if losses.size >= 3 * _AROUND:
        # of logarithms: the noise of a small loss is small
        off = np.log(losses) - np.log(_running_median(losses, _AROUND))
        usual = 1.4826 * np.median(np.abs(off)) + 0.002
        spikes = keep & (off > _SPIKE * usual)
        spikes[:_AROUND] = False  # a loss falls steeply from its first rows
        if 0 < spikes.sum() <= _MOST_SPIKES * losses.size:
            keep &= ~spikes
            notes.append(f"{log.name}: {int(spikes.sum())} spikes of the loss are left out.")
    if keep.all():
        return log
    if keep.sum() < _FEWEST_ROWS:
        raise ForecastError(f"{log.name}: it diverged at once; nothing is left to learn from.")
    return replace(log.with_rows(keep), notes=(*log.notes, *notes))


def _running_median(values: Array, around: int) -> Array:
    """Return the median of about so many values around each."""
    half = around // 2
    padded = np.pad(values, half, mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1)
    medians: Array = np.median(windows, axis=1)
    return medians


def _ordered(steps: Array, values: Array, notes: list[str]) -> tuple[Array, Array, Array]:
    """Return rows in rising order; of a step that comes again after a restart the later counts."""
    if (np.diff(steps) < 0).any():
        notes.append("Steps go back: it was restarted, and the later rows count.")
        kept = np.minimum.accumulate(np.r_[steps[1:], np.inf][::-1])[::-1] > steps
        steps, values = steps[kept], values[kept]
    last = np.r_[np.diff(steps) > 0, True] if steps.size else np.zeros(0, dtype=bool)
    return steps[last], values[last], last


def _columns(source: Any) -> tuple[str, dict[str, list[Any]]]:
    """Return a source's name, and its columns by name."""
    if isinstance(source, Record):
        return "record", _of_record(source)
    if isinstance(source, Mapping):
        return "log", {str(name): list(values) for name, values in source.items()}
    if not isinstance(source, str | Path):
        try:
            steps, rates, losses = (list(map(float, column)) for column in source)
        except (TypeError, ValueError):
            raise ForecastError(
                f"fit_loss({shortly(source)}): no log. Give a file, a record, or three arrays: "
                "steps, rates, losses."
            ) from None
        if not len(steps) == len(rates) == len(losses):
            raise ForecastError(
                f"fit_loss: {len(steps)} steps, {len(rates)} rates, {len(losses)} losses. As many "
                "of each are needed."
            )
        return "arrays", {"step": steps, "lr": rates, "loss": losses}
    path = Path(source)
    if not path.exists():
        raise ForecastError(f"{path}: there is no such file. Give a log's path.")
    is_folder = path.is_dir()
    name = path.name if is_folder else path.stem
    if path.stem in _COMMON_NAMES or is_event_file(name):
        name = path.resolve().parent.name or name
    return name, _of_events(path) if is_folder or is_event_file(path.name) else _of_text(path)


def _of_text(path: Path) -> dict[str, list[Any]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ForecastError(f"{path}: cannot be read as text: {error}.") from None
    begin = text.lstrip()[:1]
    if begin not in ("{", "["):
        return _of_table(path, text)
    try:
        data = json.loads(text)
        if isinstance(data, Mapping):
            data = data.get("log_history", data)
    except ValueError:
        data = _json_lines(path, text)
    if isinstance(data, Mapping):  # one row, or columns by name
        is_row = not any(isinstance(value, list) for value in data.values())
        data = [data] if is_row else data
    if isinstance(data, Mapping):
        return {
            str(name): list(values) for name, values in data.items() if isinstance(values, list)
        }
    rows = [row for row in data if isinstance(row, Mapping)]
    if rows and all({"step", "target", "value"} <= row.keys() for row in rows[:20]):
        return _of_record(Record.load(path))
    flat = [_flat(row) for row in rows]
    names = dict.fromkeys(name for row in flat for name in row)
    return {name: [row.get(name) for row in flat] for name in names}


def _json_lines(path: Path, text: str) -> list[Any]:
    rows = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            rows.append(json.loads(line))
        except ValueError as error:
            if rows and number >= text.count("\n"):  # a crash cut the last line short
                break
            raise ForecastError(f"{path}, line {number}: no JSON: {error}.") from None
    return rows


def _flat(row: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Return a row whose nested names are joined by slashes."""
    found: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{above}{name}/")
        else:
            found[f"{above}{name}"] = value
    return found


def _of_table(path: Path, text: str) -> dict[str, list[Any]]:
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if len(lines) < 2:
        raise ForecastError(f"{path}: no rows. A log has a heading with names, and rows below it.")
    try:
        dialect: Any = csv.Sniffer().sniff("\n".join(lines[:20]), delimiters=",\t; |")
    except csv.Error:
        dialect = csv.excel
    head, *rows = csv.reader(io.StringIO("\n".join(lines)), dialect, skipinitialspace=True)
    return {name.strip(): [row[at] if at < len(row) else None for row in rows]
            for at, name in enumerate(head)}  # fmt: skip


def _of_record(record: Record) -> dict[str, list[Any]]:
    """Return a record's targets as columns; each has steps of its own."""
    return {target: list(zip(*record.curve(target), strict=True)) for target in record.targets()}


def _of_events(path: Path) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for file in event_files(path) if path.is_dir() else [path]:
        for event in ScalarEvents(file).read_on():
            found.setdefault(event.tag, []).append((event.step, event.value))
    if not found:
        raise ForecastError(f"{path}: no TensorBoard events with numbers are there.")
    return found


def _found(
    who: str, columns: Mapping[str, list[Any]], what: str, asked: str | None, usual: Iterable[str]
) -> str:
    """Return the name of a column, which was asked for or has one of the usual spellings."""
    if asked is not None:
        if asked not in columns:
            raise ForecastError(f"{who}: no column {asked!r}. {nearest(asked, columns)}")
        return asked
    if what == "step" and any(
        values and isinstance(values[0], tuple) for values in columns.values()
    ):
        return ""
    # W&B exports "run - train/loss", with its least and largest beside it
    short = {name: name.rpartition(" - ")[2].strip().lower() for name in columns
             if not name.lower().endswith(_OTHER_COLUMNS)}  # fmt: skip
    for spelling in usual:
        fits = [name for name, known in short.items() if known == spelling]
        if len(fits) == 1:
            return fits[0]
        if fits:
            raise ForecastError(
                f"{who}: {len(fits)} columns could be the {what}: {', '.join(fits)}. Name one with "
                f"--{what}-column."
            )
    fits = (
        [name for name, known in short.items() if known.startswith("lr")] if what == "rate" else []
    )
    if fits:
        return fits[0]
    raise ForecastError(
        f"{who}: no column is the {what}. There are {', '.join(columns) or 'none'}; name one with "
        f"--{what}-column, in Python {what}=…."
    )


def _paired(name: str, step: str, columns: Mapping[str, list[Any]]) -> tuple[Array, Array]:
    """Return steps and values of the rows that have both as finite numbers."""
    column = columns[name]
    pairs: Iterable[tuple[Any, Any]]
    if column and isinstance(column[0], tuple):
        pairs = column
    else:
        pairs = zip(columns[step], column, strict=False)
    found = np.array([(_cell(at), _cell(value)) for at, value in pairs], dtype=np.float64)
    found = found.reshape(-1, 2)
    found = found[np.isfinite(found).all(axis=1)]
    return found[:, 0], found[:, 1]


def _cell(cell: Any) -> float:
    try:
        return float(cell)
    except (TypeError, ValueError, OverflowError):
        return float("nan")


def run_of_logs(logs: Sequence[LossLog]) -> Run:
    """Return a run as long as the longest log, at the highest of their rates."""
    longest = max(int(log.steps[-1]) for log in logs)
    return Run(total_steps=longest, lr=max(log.curve.peak for log in logs))
