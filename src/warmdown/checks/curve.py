"""Checks of what a target does: its values, update by update."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from warmdown.checks.finding import Findings
from warmdown.checks.subject import Subject, leaf_at_end, pieces
from warmdown.formatting import count, number
from warmdown.schedules import Schedule, Set
from warmdown.schedules.feedback import feedbacks

Check: TypeAlias = Callable[[Subject], Findings]

KNOWN_FIELDS = (
    "lr",
    "weight_decay",
    "momentum",
    "betas[0]",
    "betas[1]",
    "eps",
    "dampening",
    "alpha",
    "rho",
    "ema_decay",
)
_BELOW_ONE = ("momentum", "betas[0]", "betas[1]", "alpha", "rho", "ema_decay")
_MUCH = 10.0
_LITTLE = 0.05
_LIKE_A_FACTOR = 0.5
"""A base value from here on may be the unit of a schedule that has absolute values, like Noam's."""
_LITTLE_RATE = 0.1
"""A base rate below this is no sign that the rate is meant to reach 1."""
_FAR = 100.0
"""So many times from the base rate a peak is hardly meant."""
_EXACT = 1e-3
_ROUNDING = 1e-12
_NOTICEABLE = 0.05
"""Share of the height that a person would see in a picture."""
_SHORT = 0.01
"""Share of the run that is not worth a word."""
_CYCLES = ("cyclic", "restart", "onecycle")


def impossible_value(subject: Subject) -> Findings:
    """Find a value below zero in a field that has none, and a momentum of 1 or more."""
    step, low = subject.extreme(np.argmin)
    if low < -_ROUNDING * subject.height and subject.target.name in KNOWN_FIELDS:
        yield subject.finding(
            "negative",
            f"is {number(low)} at update {count(step)}: such a step goes uphill. "
            "Bound it with low, or change the curve that crosses zero.",
            step=step,
            value=low,
        )
    step, high = subject.extreme(np.argmax)
    is_value = subject.base is not None or subject.factor() is None
    if high >= 1 and subject.target.name in _BELOW_ONE and is_value:
        yield subject.finding(
            "out-of-range",
            f"is {number(high)} at update {count(step)}: it must stay below 1. "
            "Lower its highest value.",
            step=step,
            value=high,
        )


def zero_base(subject: Subject) -> Findings:
    """Find a curve that multiplies a base of zero."""
    factor = subject.factor()
    if subject.base != 0 or not factor:
        return
    if not subject.is_rate and np.ptp(subject.schedule(subject.samples[0])) == 0:
        return  # one number times nothing is hardly written as a curve
    last = float(subject.value(subject.stop))
    yield subject.finding(
        "zero-base",
        f"its base value is 0, so that a schedule that scales it stays at {number(last)} from "
        f"the first update to the last; its largest factor is {number(factor)}. Give the base "
        "value, or make the schedule the value itself: Set(…), in a file {set: …}.",
        factor=factor,
    )


def base_value(subject: Subject) -> Findings:
    """Find factors that were probably meant as values."""
    factor = subject.factor()
    if not factor or subject.base == 0:
        return
    text = number(factor)
    if factor > _MUCH:
        yield subject.finding(
            "far-above-base",
            f"reaches {text} times the base value. For the value itself, write {{set: …}}.",
            factor=factor,
        )
    if factor < _LITTLE and _known_rate(subject) < _LIKE_A_FACTOR:
        peak = "" if subject.base is None else f" (at most {number(subject.height)} here)"
        yield subject.finding(
            "far-below-base",
            f"its largest factor is {text}, and a schedule multiplies the base value{peak}. If "
            f"{text} is the value itself, write {{set: …}}, in Python Set(…); with a base "
            "learning rate of 1, say so: run: {lr: 1}.",
            factor=factor,
        )


def far_from_base(subject: Subject) -> Findings:
    """Find a rate whose peak is over 100 times from the base rate; a sweep has it on purpose."""
    base = subject.base or 0.0
    if not subject.is_rate or not 0 < base < _LIKE_A_FACTOR or not subject.height:
        return
    # optimizers that find their own rate (Prodigy, D-Adaptation) have 1 all through
    is_left_to_it = subject.span == 0 and subject.height == 1
    if is_left_to_it or any(factors_as_values(subject)):  # which is a finding of its own
        return
    is_factor_below = subject.factor() is not None and subject.height < base  # a finding of its own
    ratio = max(subject.height / base, base / subject.height)
    if ratio > _FAR * (1 + _EXACT) and not subject.climbs_to_end and not is_factor_below:
        yield subject.finding(
            "far-from-base",
            f"peaks at {number(subject.height)}, and the optimizer's rate is {number(base)}: "
            f"{number(ratio)} times as {'much' if subject.height > base else 'little'}. A schedule "
            "alone has factors, Set(schedule) and peak=… the values themselves. If the values are "
            f"right, make the optimizer with lr={number(subject.height)}.",
            step=subject.extreme(np.argmax)[0],
            ratio=ratio,
        )


def factors_as_values(subject: Subject) -> Findings:
    """Find a rate that was probably meant as factors: its peak is exactly 1."""
    has_factors = subject.is_rate and isinstance(subject.target.rule, Set)
    if not has_factors or abs(subject.height - 1) > _EXACT or subject.climbs_to_end:
        return
    is_moving = subject.span > 0 or any(True for _ in feedbacks(subject.schedule))
    if is_moving and _known_rate(subject) < _LITTLE_RATE:
        beside = "" if subject.base is None else f", and the base value is {number(subject.base)}"
        yield subject.finding(
            "factors-as-values",
            f"peaks at a rate of {number(subject.height)}: the curve is set as the value itself"
            f"{beside}. If its numbers are factors, leave out Set ({{set: …}}), and the base value "
            "is scaled; if the rate is to be 1, say so: run: {lr: 1}.",
            step=subject.extreme(np.argmax)[0],
            value=subject.height,
        )


def never_moves(subject: Subject) -> Findings:
    """Find a curve that is a flat line."""
    is_scaled_zero = subject.base == 0 and subject.factor() is not None  # a finding of its own
    if is_scaled_zero or _is_meant_to_stand(subject):
        return
    if subject.span == 0 and subject.stop > 1:
        value = float(subject.samples[1][0])
        yield subject.finding(
            "never-moves",
            f"stays at {number(value)} for all {count(subject.stop)} updates, although a curve is "
            "written. Change its ends or lengths, or write a constant.",
            value=value,
        )


def zero_updates(subject: Subject) -> Findings:
    """Find updates that change nothing, at the beginning or at the end."""
    if not subject.is_rate or subject.height == 0:
        return
    first, after = subject.zeros(), subject.zeros(from_end=True)
    if first > 1 or first > _SHORT * subject.stop:
        yield subject.finding(
            "zero-updates",
            f"is 0 for the first {_updates(first)}: they change nothing. Begin the warmup above 0.",
            step=0,
            updates=first,
        )
    elif first == 1:
        yield subject.finding(
            "zero-first-update",
            "update 0 uses 0 and changes nothing. A start above 0 would use it.",
            severity="note",
            step=0,
        )
    if after > 1 and after > _SHORT * subject.stop and not _holds_early(subject):
        yield subject.finding(
            "zero-updates",
            f"is 0 for the last {_updates(after)}: they change nothing. End above 0, or shorten "
            f"the run.",
            step=subject.stop - after,
            updates=after,
        )


def long_warmup(subject: Subject) -> Findings:
    """Find a way up that takes more than half of the run."""
    steps, values = subject.samples
    # 0.999: a plateau begins at its first value, not where rounding puts the largest
    top = (values >= 0.999 * values.max()).argmax()
    share = steps[top] / subject.stop
    if not subject.is_rate or not 0.5 < share < 0.99 or _is_cyclic(subject):
        return
    if np.all(np.diff(values[: top + 1]) >= 0) and values[top] > values[0]:
        yield subject.finding(
            "long-warmup",
            f"rises until update {count(steps[top])} of {count(subject.stop)}, {share:.0%} of the "
            f"run. "
            "Shorten the warmup; 1 to 10 % is usual.",
            step=steps[top],
            share=float(share),
        )


def rises_again(subject: Subject) -> Findings:
    """Find a rise after the peak that no text of the plan shows."""
    if not subject.is_rate or not _is_opaque(subject) or _is_cyclic(subject):
        return
    steps, values = subject.samples
    later = values[values.argmax() :]
    climbs = later - np.minimum.accumulate(later)
    top = climbs.argmax()
    if climbs[top] > _NOTICEABLE * subject.height:
        at = steps[values.size - later.size + top]
        yield subject.finding(
            "rises-again",
            f"falls after its peak, and is up by {number(climbs[top])} again at update "
            f"{count(at)}. "
            "Give the curve the length of the run, or repeat it if that is meant.",
            step=at,
            climb=float(climbs[top]),
        )


def holds_early(subject: Subject) -> Findings:
    """Find a decay that is over before the run is."""
    if not _holds_early(subject):
        return
    end: int = subject.schedule.length or 0
    last = float(subject.value(end))
    rest = subject.stop - end
    changes = ", which changes nothing" if last == 0 else ""
    yield subject.finding(
        "holds-early",
        f"its decay ends at update {count(end)}, and the last {rest / subject.stop:.0%} of the run "
        f"({_updates(rest)}) use {number(last)}{changes}. Let the last phase take the 'rest', or "
        f"shorten the run.",
        step=end,
        value=last,
        updates=rest,
    )


def never_reaches_end(subject: Subject) -> Findings:
    """Find an end value that the last update is still far from."""
    leaf, _ = leaf_at_end(subject.schedule)
    if subject.schedule.length != subject.stop or leaf.is_stepwise:
        return
    last, end = float(subject.value(subject.stop - 1)), float(subject.value(subject.stop))
    if subject.stop > 1 and last - end > _NOTICEABLE * subject.span:
        yield subject.finding(
            "never-reaches-end",
            f"its end value is {number(end)}, but the last update, {count(subject.stop - 1)}, uses "
            f"{number(last)}: "
            f"{number(last - end)} more. The end is reached after it; plan one step less, or a "
            f"longer run.",
            step=subject.stop - 1,
            last=last,
            end=end,
        )


LIMIT_CHECKS: tuple[Check, ...] = (impossible_value, zero_base)
"""Checks of what no value may be, whichever group has it."""
VALUE_CHECKS: tuple[Check, ...] = (*LIMIT_CHECKS, base_value, factors_as_values)
"""Checks that the base values of live objects sharpen."""
BOUND_CHECKS: tuple[Check, ...] = (*VALUE_CHECKS, far_from_base)
"""What a scheduler checks when it is made: a plan's own run says what its rates are to be."""
CHECKS: tuple[Check, ...] = (
    *VALUE_CHECKS,
    never_moves,
    zero_updates,
    long_warmup,
    rises_again,
    holds_early,
    never_reaches_end,
)


def _known_rate(subject: Subject) -> float:
    """Return the base value, or the base rate that the run states; 0 where neither is known."""
    return max(subject.base or 0.0, subject.run.lr or 0.0)


def _is_meant_to_stand(subject: Subject) -> bool:
    is_moving = any(not leaf.is_constant for leaf in _curves_in(subject))
    return not is_moving or any(True for _ in feedbacks(subject.schedule))


def _curves_in(subject: Subject) -> list[Schedule]:
    return [schedule for schedule, _ in pieces(subject.schedule) if not schedule.parts()]


def _is_cyclic(subject: Subject) -> bool:
    return any(schedule.is_cyclic for schedule, _ in pieces(subject.schedule))


def _is_opaque(subject: Subject) -> bool:
    """Whether the text does not show that it rises: foreign code, a function, a sum of curves."""
    if any(part.keeps_time and len(part.parts()) > 1 for part, _ in pieces(subject.schedule)):
        return True
    names = " ".join(phase.name.lower() for phase in subject.schedule.phases())
    is_named = any(word in names for word in _CYCLES)
    # a preview shows its rise by the names of its phases, a function by nothing
    return any(
        not is_named if leaf.is_preview else not leaf.is_predictable for leaf in _curves_in(subject)
    )


def _holds_early(subject: Subject) -> bool:
    end = subject.schedule.length
    if end is None or not _SHORT * subject.stop < subject.stop - end < subject.stop:
        return False
    leaf, step = leaf_at_end(subject.schedule)
    # of several that are active at the end, the one that moves to the end decides
    longest = [part for part in leaf.moving_parts() if part.length == end]
    leaf, step = leaf_at_end(longest[0]) if len(longest) == 1 and leaf.keeps_time else (leaf, step)
    is_cut_off = leaf.length is None or step < leaf.length - 1
    if leaf.is_stepwise or is_cut_off:
        return False
    # a value that still fell in the last hundredth was a decay; a warmup or a plateau is none
    return float(subject.value(end)) < float(subject.value(max(end - max(end // 100, 1), 0)))


def _updates(many: float) -> str:
    return f"{count(many)} update{'s' if many != 1 else ''}"
