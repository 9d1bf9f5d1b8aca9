"""How many samples each update uses, where a schedule decides, and what a length is then."""

from __future__ import annotations

__all__ = [
    "LOADER_TARGETS",
    "Batches",
    "Cut",
    "Loading",
    "MeasuredRun",
    "derive_seed",
    "epoch_windows",
    "measured",
    "rate_ratio",
]

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from warmdown.errors import RunError, ScheduleError
from warmdown.run import Length, Run
from warmdown.schedules import Constant, PiecewiseConstant, Rule, Schedule, Set

BATCH, ACCUMULATION, SEQUENCE = "batch_size", "gradient_accumulation", "sequence_length"
LOADER_TARGETS = (BATCH, ACCUMULATION, SEQUENCE)
"""Targets that change how much data an update uses: what reads the data follows them."""

_CHUNK = 4_096
_MOST_ROUNDS = 40
_FEW = 3
"""Updates by which lengths may differ for the rounding to whole batches."""
_MOST_UPDATES = 20_000_000
"""Updates that are added up at most; a longer run states its lengths in shares."""

Rules = Mapping[str, Rule]
"""What each of ``LOADER_TARGETS`` follows, where it is scheduled."""


class Cut(NamedTuple):
    """One update's data over all processes.

    Args:
        size: Items: samples, unless what is read comes in batches.
        part: Items of one of the batches in it, over all processes; the last may have fewer.
        settings: What the data are read with, by name.
    """

    size: int
    part: int
    settings: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Loading:
    """How data are cut into the batches of updates.

    Args:
        base: Items that an update uses without a schedule; what a factor multiplies.
        world: Processes that share each batch.
        accumulation: Batches of one process that make an update, unless that is scheduled.
        largest: Most items in a batch of one process; more make several batches. ``None``: the
            accumulation decides.
        items: Items in an epoch, or ``None`` where it has no end.
        samples: Samples in an item; a stream's items are batches, and what is cut is items.
        drop_last: Whether what is too little for a whole batch at an epoch's end is left out.
        limit: Most batches of one process in an epoch, or ``None``.
    """

    base: float | None = None
    world: int = 1
    accumulation: int = 1
    largest: int | None = None
    items: int | None = None
    samples: float = 1.0
    drop_last: bool = False
    limit: int | None = None

    def cut(self, batch: float | None, accumulation: float | None) -> Cut:
        """Return an update's batches for the values of both targets; ``None`` if not scheduled.

        A batch size becomes the nearest multiple of processes and accumulation, at least one;
        halves go up.
        """
        times = self.accumulation
        if accumulation is not None:
            times = max(1, math.floor(accumulation + 0.5))
        if batch is None:
            part = max(self.world, round((self.base or 1) / self.accumulation))
            return Cut(part * times, part)
        multiple = self.world * times
        size = multiple * max(1, math.floor(batch / multiple + 0.5))
        if self.largest is None:
            return Cut(size, size // times)
        own = size // self.world
        return Cut(size, self.world * math.ceil(own / math.ceil(own / self.largest)))


def epoch_windows(
    used: int, cuts: Iterable[Cut], loading: Loading
) -> Iterator[tuple[Cut, list[int]]]:
    """Yield for each update of an epoch its cut, and the samples used up after each of its batches.

    Each item is in one batch. What is left at the end is a shorter batch, joins the batch before
    where the processes cannot share it, or is left out with ``drop_last``.

    Args:
        used: Samples of the epoch that are used up.
        cuts: The cut of each update from here on.
        loading: How the data are cut.
    """
    items = math.inf if loading.items is None else loading.items
    # what is left out does not count as left
    least = loading.world
    for cut in cuts:
        ends: list[int] = []
        stop = used + cut.size
        while used < stop:
            step, left = min(cut.part, stop - used), items - used
            is_rest = left < step
            if left <= 0 or (is_rest and (loading.drop_last or left < least)):
                used = int(items)
                break
            joins = not loading.drop_last and 0 < left - step < least
            used = int(items) if is_rest or joins else used + step
            ends.append(used)
        if ends:
            yield cut, ends
        if used >= items:
            return


class Batches:
    """The batch of each update of a run, added up.

    Args:
        rules: What the targets of the loader follow, every length measured.
        loading: How the data are cut.
        run: The run; its clock is what the rules are functions of.
    """

    def __init__(self, rules: Rules, loading: Loading, run: Run) -> None:
        self.rules, self.loading, self.run = rules, loading, run
        self._sums: dict[str, list[float]] = {
            name: [0.0] for name in ("samples", "tokens", "epochs")
        }
        self._walk: Iterator[tuple[float, float, float]] = self._walked()

    def __reduce__(self) -> Any:
        return Batches, (self.rules, self.loading, self.run)

    def value(self, name: str, position: Any) -> Any:
        """Return a target's value where the clock stands at ``position``; ``None`` without one."""
        rule = self.rules.get(name)
        return None if rule is None else rule.value(position, self._base(name))

    def cut(self, position: float) -> Cut:
        """Return what the update at ``position`` uses."""
        return self.loading.cut(self.value(BATCH, position), self.value(ACCUMULATION, position))

    def amount(self, unit: str, position: float) -> float | None:
        """Return the samples or tokens of a whole update at ``position``; ``None``: not known."""
        samples = self.cut(position).size * self.loading.samples
        return samples if unit == "samples" else self.tokens_of(samples, position)

    def total(self, unit: str, update: float | Fraction) -> Fraction:
        """Return how much of a unit the updates before ``update`` use.

        Raises:
            RunError: It is not known.
        """
        if unit == "updates":
            return Fraction(update)
        if unit == "seconds":
            return Fraction(update) * self._seconds()
        whole = math.floor(update)
        sums = self._summed(unit, lambda sums: len(sums) > whole + 1)
        share = Fraction(update) - whole
        start = Fraction(sums[whole])
        return start + share * (Fraction(sums[whole + 1]) - start) if share else start

    def update_at(self, unit: str, amount: Fraction) -> Fraction:
        """Return the update before which ``amount`` of a unit is used up; a share of one may be.

        Raises:
            RunError: It is not known.
        """
        if unit == "updates":
            return amount
        if unit == "seconds":
            return amount / self._seconds()
        sums = self._summed(unit, lambda sums: sums[-1] > amount)
        below = bisect_right(sums, amount) - 1
        if sums[below] == amount:
            return Fraction(below)
        start, stop = Fraction(sums[below]), Fraction(sums[below + 1])
        return below + (amount - start) / (stop - start)

    def planned_sizes(self, updates: int) -> Iterator[int]:
        """Yield what each of the first updates is to use, epochs' ends left aside."""
        place = _Place()
        cuts = self._cuts(place)
        for place.number in range(updates):
            place.position = float(place.number)
            yield next(cuts).size

    def updates_in(self, epochs: int) -> int:
        """Return how many updates so many epochs hold."""
        return int(self.update_at("epochs", Fraction(epochs)))

    def _seconds(self) -> Fraction:
        if self.run.seconds_per_step is None:
            raise RunError("a time needs to know seconds_per_step. Give Run(seconds_per_step=…).")
        return Fraction(self.run.seconds_per_step)

    def _base(self, name: str) -> float:
        if name == BATCH:
            if self.loading.base is None and not isinstance(self.rules[name], Set):
                raise RunError(
                    "batch_size: a factor on a batch size that is not known. Give "
                    "Run(samples_per_step=…), or the size itself: Set(…), {set: …}."
                )
            return self.loading.base or 1.0
        return float(self.loading.accumulation) if name == ACCUMULATION else 1.0

    def tokens_of(self, samples: float, position: float) -> float | None:
        """Return the tokens in some samples of an update at ``position``; ``None``: not known."""
        length = self.value(SEQUENCE, position)
        if isinstance(self.rules.get(SEQUENCE), Set):
            return float(samples * round(length))
        per_step, size = self.run.tokens_per_step, self.run.samples_per_step
        size = size or (self.loading.base or 0) * self.loading.samples
        return None if per_step is None or not size else samples * per_step / size

    def _summed(self, unit: str, is_enough: Callable[[list[float]], bool]) -> list[float]:
        sums = self._sums[unit]
        if unit == "epochs" and self.loading.items is None:
            raise RunError(
                "an epoch's length needs to know samples_per_epoch where a schedule changes the "
                "batch. Give Run(samples_per_epoch=…)."
            )
        while not is_enough(sums):
            if len(sums) > _MOST_UPDATES:
                raise RunError(
                    f"a length beyond {_MOST_UPDATES:,} updates of batches that change: give it as "
                    "a share of the run, like '5%'."
                )
            row = next(self._walk)
            for name, amount in zip(self._sums, row, strict=True):
                self._sums[name].append(amount)
            if unit == "tokens" and math.isnan(row[1]):
                raise RunError("a length in tokens needs tokens_per_step and samples_per_step.")
        return sums

    def _walked(self) -> Iterator[tuple[float, float, float]]:
        """Yield samples, tokens and epochs used up after each update."""
        clock, items = self.run.clock, self.loading.items
        samples = tokens = 0.0
        epoch = 0
        place = _Place()
        cuts = self._cuts(place)
        while True:
            used = batches = 0
            start = place.number
            before = samples
            for _, ends in epoch_windows(0, cuts, self.loading):
                position = place.position
                used, share = ends[-1], (ends[-1] - used) * self.loading.samples
                batches += len(ends)
                samples = before + used * self.loading.samples
                more = self.tokens_of(share, position)
                tokens += math.nan if more is None else more
                place.number += 1
                place.position = {"samples": samples, "tokens": tokens}.get(clock, place.number)
                limit = self.loading.limit
                is_last = (items is not None and used >= items) or (limit and batches >= limit)
                yield samples, tokens, epoch + (1 if is_last else used / (items or math.inf))
                if is_last:
                    break
            if place.number == start:
                raise RunError(
                    f"batch_size: an epoch of {items} samples has no whole batch of "
                    f"{self.cut(place.position).size}. Give a smaller one, or drop_last=False."
                )
            # what was left out ends the epoch with the update before
            self._sums["epochs"][-1] = float(epoch + 1)
            epoch += 1

    def _cuts(self, place: _Place) -> Iterator[Cut]:
        """Yield the cut of each update, many at once where their positions are known."""
        cut, names = self.loading.cut, (BATCH, ACCUMULATION)
        ahead: dict[int, Cut] = {}
        while True:
            if self.run.clock in ("samples", "tokens"):
                yield self.cut(place.position)
                continue
            if place.number not in ahead:
                steps = np.arange(place.number, place.number + _CHUNK, dtype=np.float64)
                if self.run.clock == "seconds":
                    steps = steps * float(self._seconds())
                columns = [self.value(name, steps) for name in names]
                rows = [[None] * _CHUNK if c is None else c.tolist() for c in columns]
                numbers = range(place.number, place.number + _CHUNK)
                ahead = {
                    number: cut(*pair)
                    for number, pair in zip(numbers, zip(*rows, strict=True), strict=True)
                }
            yield ahead[place.number]


@dataclass
class _Place:
    """Where a walk over the updates is."""

    number: int = 0
    position: float = 0.0


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class MeasuredRun(Run):
    """A run in which updates use different amounts of data: lengths are found by adding these up.

    Args:
        loading: How data are cut into batches.
        batches: The batch of each update; ``None`` before the schedules are measured.
        origin: Where the clock stands as a length that is measured begins.
        ends: Whether it ends there.
    """

    loading: Loading = field(default_factory=Loading)
    batches: Batches | None = None
    origin: float = 0.0
    ends: bool = False

    @property
    def is_even(self) -> bool:
        """Whether a length is the same wherever it begins."""
        return self.batches is None

    @property
    def length(self) -> Length:
        """Length of the whole run in units of its clock, or ``None`` when it is not known."""
        whole = replace(self, origin=0.0, ends=False) if self.origin else self
        return super(MeasuredRun, whole).length

    @property
    def is_before(self) -> bool:
        """Whether a length that is measured ends with ``origin``."""
        return self.ends

    def shifted(self, by: float) -> MeasuredRun:
        """Return the run for lengths that begin, or end, so much later."""
        return self if self.batches is None else replace(self, origin=self.origin + by)

    def ending_at(self, step: float) -> MeasuredRun:
        """Return the run for lengths that end at ``step``."""
        if self.batches is None:
            return self
        return replace(self, origin=self.origin + step, ends=True)

    def convert(self, amount: Fraction, unit: str, label: str) -> Fraction:
        """Return an amount in units of the clock, by the sum over the updates that it covers."""
        if self.batches is None:
            return super().convert(amount, unit, label)
        try:
            return self._summed(self.batches, amount, unit)
        except RunError as error:
            raise RunError(f"{label}: {error}") from None

    def _summed(self, batches: Batches, amount: Fraction, unit: str) -> Fraction:
        origin = Fraction(self.origin)
        at = batches.total(unit, batches.update_at(self.clock, origin))
        other = max(at - amount, Fraction(0)) if self.ends else at + amount
        there = batches.total(self.clock, batches.update_at(unit, other))
        return abs(there - origin)

    def to_dict(self) -> dict[str, Any]:
        """Return the facts that were given, as plain data."""
        return self.plain().to_dict()

    def plain(self) -> Run:
        """Return the facts alone."""
        return Run(**{fact.name: getattr(self, fact.name) for fact in fields(Run)})

    def __repr__(self) -> str:
        return repr(self.plain())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Run) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash(self.plain())


def measured(rules: Rules, run: Run, loading: Loading | None = None) -> MeasuredRun:
    """Return the run with the batch of each update; the rules' own lengths are measured on it.

    A length in samples, tokens or epochs depends on the batches, and these on lengths: both are
    measured again until neither changes.

    Args:
        rules: What the targets of the loader follow; lengths may be open.
        run: Facts about the run.
        loading: How the data are cut; by default as the run's facts are.

    Raises:
        ScheduleError: The phases do not fit, or no lengths agree with the batches that they give.
        RunError: The run lacks a fact.
    """
    loading = loading or (run.loading if isinstance(run, MeasuredRun) else _loading_of(run))
    if isinstance(run, MeasuredRun):
        run = run.plain()
    facts = run.to_dict()
    of_epochs = run.epochs and run.steps_per_epoch and run.epochs * run.steps_per_epoch
    is_derived = bool(run.epochs and loading.items and run.budget is None) and run.total_steps in (
        None,
        of_epochs,
    )
    if loading.items:  # an epoch has no fixed number of updates
        facts.pop("steps_per_epoch", None)
    first = run.samples_per_step or _first_size(rules, loading) or 1
    guessed: dict[str, Any] = {"samples_per_step": first}
    if loading.items:
        guessed["steps_per_epoch"] = math.ceil(loading.items / first)
    if is_derived:
        facts["total_steps"] = guessed["steps_per_epoch"] * (run.epochs or 1)
    guess = Run(**{**guessed, **{name: fact for name, fact in facts.items() if name != "epochs"}})
    found: dict[Any, MeasuredRun] = {}
    for _ in range(_MOST_ROUNDS):
        settled = {name: rule.over(guess) for name, rule in rules.items()}
        total = facts.get("total_steps")
        key = (tuple(settled.items()), total, facts.get("budget"))
        if key in found:  # between these lengths it goes back and forth
            break
        known = MeasuredRun(**facts, loading=loading)
        known = replace(known, batches=Batches(settled, loading, known))
        found[key] = known
        before = total, facts.get("budget")
        if is_derived:
            facts |= _length_of_epochs(known)
        guess = replace(known, total_steps=facts.get("total_steps"), budget=facts.get("budget"))
        if (guess.total_steps, guess.budget) == before and settled == {
            name: rule.over(known) for name, rule in rules.items()
        }:
            return known
    around = list(found.values())[list(found).index(key) :] if key in found else []
    if is_derived and around:
        # no length gives just itself: the batches of the nearest, and the updates that they give
        nearest = min(around, key=_distance)
        return replace(nearest, **_length_of_epochs(nearest))
    lengths = [run.length or 0 for run in around]
    if lengths and max(lengths) - min(lengths) <= _FEW * max(map(_last_step, around)):
        return around[0]  # they differ by the rounding to whole batches
    raise ScheduleError(
        f"{', '.join(rules)}: lengths in data that depend on the batches themselves, and no "
        "number of updates agrees. Give them in updates or as shares, or the run's length in data: "
        "Run(clock='samples', budget='…samples')."
    )


def _updates_in_epochs(run: MeasuredRun) -> int:
    """Return how many updates the epochs of a run hold."""
    assert run.batches is not None
    return run.batches.updates_in(run.epochs or 1)


def _length_of_epochs(run: MeasuredRun) -> dict[str, Any]:
    """Return the facts that say how long the epochs of a run are."""
    assert run.batches is not None
    total = _updates_in_epochs(run)
    if run.clock not in ("samples", "tokens"):
        return {"total_steps": total}
    unit = "tok" if run.clock == "tokens" else "samples"
    return {"total_steps": total, "budget": f"{round(run.batches.total(run.clock, total))}{unit}"}


def _last_step(run: MeasuredRun) -> float:
    """Return how far the last update moves the clock."""
    assert run.batches is not None
    if run.clock in ("samples", "tokens"):
        return run.batches.amount(run.clock, run.length or 0) or 1.0
    return 1.0


def _distance(run: MeasuredRun) -> int:
    return abs(_updates_in_epochs(run) - (run.total_steps or 0))


def _loading_of(run: Run) -> Loading:
    """Return how the data are cut as far as the run's facts have it."""
    items = run.samples_per_epoch
    if items is None and run.steps_per_epoch and run.samples_per_step:
        items = round(run.steps_per_epoch * run.samples_per_step)
    return Loading(base=run.samples_per_step, items=items)


def _first_size(rules: Rules, loading: Loading) -> float | None:
    """Return the size of the first batch, where it does not depend on a length."""
    rule = rules.get(BATCH)
    if rule is None:
        return loading.base
    try:
        value = rule.over(Run(total_steps=1_000_000, samples_per_step=1, tokens_per_step=1,
                              steps_per_epoch=1_000, seconds_per_step=1))  # fmt: skip
        return float(value.value(0.0, loading.base or 1.0))
    except (ScheduleError, RunError):
        return loading.base


def rate_ratio(run: MeasuredRun, exponent: float) -> Schedule:
    """Return the batch of each update as a ratio to the first one, raised to a power.

    Args:
        run: The run with its batches.
        exponent: 1 or 0.5, as a rule for the rate has it.

    Raises:
        ScheduleError: The batch moves all the time, and updates are not what is counted.
    """
    batches = run.batches
    assert batches is not None
    rule = batches.rules.get(BATCH) or batches.rules[ACCUMULATION]
    schedule, is_plain = (
        rule.of,
        isinstance(rule, Set) or set(vars(rule).values()) <= {rule.of, None},
    )
    if is_plain and isinstance(schedule, PiecewiseConstant | Constant):
        values = schedule.values if isinstance(schedule, PiecewiseConstant) else (schedule(0),)
        marks = schedule.at if isinstance(schedule, PiecewiseConstant) else ()
        return PiecewiseConstant(
            values=tuple((v / values[0]) ** exponent for v in values), at=marks
        )
    if is_plain and exponent == 1:
        return schedule * (1.0 / schedule(0))
    if run.clock != "updates" or run.length is None or run.length > _MOST_UPDATES:
        raise ScheduleError(
            "Plan(rate_rule='sqrt'): the batch moves all the time, and the run counts "
            f"{run.clock}. Let it change in steps (PiecewiseConstant), or count updates."
        )
    numbers = range(run.length)
    sizes = np.fromiter(batches.planned_sizes(run.length), dtype=np.float64)
    changes = [number for number in numbers if number and sizes[number] != sizes[number - 1]]
    values = tuple(float((sizes[number] / sizes[0]) ** exponent) for number in [0, *changes])
    return PiecewiseConstant(values=values, at=tuple(changes))


def derive_seed(*words: int) -> int:
    """Return a 63-bit seed made of all the words, so that neighbours are not alike.

    Example:
        >>> from warmdown.batches import derive_seed
        >>> derive_seed(0, 1) == derive_seed(0, 1), derive_seed(0, 1) == derive_seed(1, 0)
        (True, False)
    """
    (state,) = np.random.SeedSequence(words).generate_state(1, np.uint64)
    return int(state >> np.uint64(1))
