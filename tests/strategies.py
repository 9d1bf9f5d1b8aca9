"""Hypothesis strategies: any schedule, any plan. Every public class is drawn, so that each law
holds for all.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

import warmdown as wd
from warmdown.planfile import shapes
from warmdown.schedules.recipes.shapes import SHAPES, curve_of

OURS = sorted(word for word, shape in shapes().items() if shape.__module__.startswith("warmdown."))
"""Every shape and recipe but those that other tests define, which stay known to the process."""

heights = st.floats(0.001, 10.0)
lengths = st.integers(1, 200)
shares = st.floats(0.01, 1.0)


def curves(lengths: st.SearchStrategy[int] = lengths) -> st.SearchStrategy[wd.Schedule]:
    """Return one move, settled, positive everywhere."""
    ends: dict[str, Any] = {"start": heights, "end": heights, "steps": lengths}
    return st.one_of(
        st.builds(wd.Constant, value=heights, steps=lengths),
        st.builds(wd.Linear, **ends),
        st.builds(wd.Cosine, **ends, k=st.floats(0.5, 3.0), exponent=st.sampled_from([1.0, 2.0])),
        st.builds(wd.Polynomial, **ends, power=st.floats(0.5, 3.0), k=st.floats(0.5, 3.0)),
        st.builds(wd.Sqrt, **ends),
        st.builds(wd.Exponential, **ends),
        st.builds(wd.InverseProportional, **ends),
        st.builds(wd.Rex, **ends, d=st.floats(-1.0, 0.95)),
        st.builds(wd.Tanh, **ends),
        st.builds(wd.Log, **ends),
        st.builds(
            wd.Hyperbolic,
            start=heights,
            infimum=st.just(0.001),
            steps=lengths,
            upper=st.floats(1.0, 4.0),
        ),
        st.builds(
            wd.ExpHyperbolic,
            start=heights,
            infimum=heights,
            steps=lengths,
            upper=st.floats(1.0, 4.0),
        ),
        st.builds(wd.Triangle, low=heights, high=heights, up=lengths, down=lengths),
        st.builds(
            wd.Milestones, start=heights, gamma=shares, at=st.lists(lengths, max_size=4).map(tuple)
        ),
        _tables(lengths),
    )


def endless(lengths: st.SearchStrategy[int] = lengths) -> st.SearchStrategy[wd.Schedule]:
    """Return a schedule that never rests."""
    return st.one_of(
        st.builds(wd.ExponentialDecay, start=heights, gamma=st.floats(0.9, 1.0), every=lengths),
        st.builds(wd.InverseTime, start=heights, rate=shares, every=lengths),
        st.builds(wd.InverseSqrt, start=heights, timescale=lengths),
        st.builds(wd.Power, start=heights, timescale=lengths, exponent=st.floats(0.1, 2.0)),
        st.builds(wd.Staircase, start=heights, gamma=st.floats(0.5, 1.0), every=lengths),
        st.builds(
            wd.Plateau, metric=st.sampled_from(["loss", "accuracy"]), factor=st.floats(0.1, 0.9)
        ),
        st.builds(wd.newbob, metric=st.just("loss"), patience=st.integers(0, 3)),
        st.builds(wd.Plateau, factor=st.floats(1.1, 3.0), high=st.floats(1.0, 10.0)),
        st.builds(wd.Greedy, metric=st.just("loss")),
        st.builds(wd.Chebyshev, low=st.just(0.0005), high=heights, order=st.integers(0, 6)),
        st.builds(
            wd.Repeat,
            of=curves(lengths).filter(lambda curve: curve.length),
            grow=st.floats(1.0, 2.0),
            decay=st.floats(0.8, 1.0),
        ),
    )


def schedules(lengths: st.SearchStrategy[int] = lengths) -> st.SearchStrategy[wd.Schedule]:
    """Return any settled schedule, composed up to a few levels."""
    return st.recursive(
        curves(lengths) | endless(lengths), lambda inner: _composed(inner, lengths), max_leaves=5
    )


def open_schedules() -> st.SearchStrategy[wd.Schedule]:
    """Return a schedule whose lengths still wait for a run of at least 1000 updates."""
    duration = st.sampled_from(["1%", "5%", "10%", 10, "2ep"])
    warmup = st.builds(wd.Linear, start=st.just(0.0), end=heights, steps=duration)
    middle = st.builds(wd.Cosine, start=heights, end=heights)
    tail = st.builds(
        lambda shape, steps: curve_of(shape)(1.0, 0.1, steps),
        st.sampled_from(sorted(SHAPES)),
        duration,
    )
    return st.builds(lambda a, b, c: a >> b >> c, warmup, middle, tail)


def plans() -> st.SearchStrategy[wd.Plan]:
    """Return a plan with targets of every meaning."""
    rules = st.one_of(
        open_schedules(),
        st.builds(wd.Scale, open_schedules(), st.none() | curves(), st.none() | shares),
        st.builds(wd.Set, open_schedules()),
    )
    targets: st.SearchStrategy[dict[str, Any]] = st.dictionaries(
        st.sampled_from(["lr", "weight_decay", "momentum", "betas[0]"]),
        rules
        | st.dictionaries(st.sampled_from(["*", "0", "head", "decoder.*"]), rules, min_size=1),
        min_size=1,
    )
    run = wd.Run(total_steps=1000, steps_per_epoch=50)
    return targets.map(lambda given: wd.Plan.of(run=run, **given))


def _tables(lengths: st.SearchStrategy[int]) -> st.SearchStrategy[wd.Schedule]:
    marks = st.lists(lengths, max_size=4).map(sorted)
    return marks.flatmap(
        lambda at: st.builds(
            wd.PiecewiseConstant,
            values=st.lists(heights, min_size=len(at) + 1, max_size=len(at) + 1).map(tuple),
            at=st.just(tuple(at)),
        )
    )


def _composed(
    inner: st.SearchStrategy[wd.Schedule], lengths: st.SearchStrategy[int]
) -> st.SearchStrategy[wd.Schedule]:
    ended = _ended(inner)
    return st.one_of(
        st.builds(lambda a, b: a >> b, ended, inner),
        st.builds(lambda a, b: a * b, inner, inner),
        st.builds(lambda a, b: a + b, inner, inner),
        st.builds(lambda s, low: s.clip(low=low), inner, heights),
        st.builds(lambda s, n: s.stretch(n), ended, lengths),
        st.builds(lambda s, n: s.delay(n), inner, lengths),
        st.builds(lambda s, n: s.take(n), inner, lengths),
        st.builds(lambda s, n: s.skip(n), inner, lengths),
        st.builds(lambda s, t, n: s.graft(t, at=n), inner, ended, lengths),
        st.builds(lambda s, seed: s.noisy(0.1, seed=seed), inner, st.integers(0, 1000)),
        st.builds(
            lambda s, name: s.named(name), inner, st.sampled_from(["warmup", "stable", "decay"])
        ),
        st.builds(
            lambda s, n, d, g: s.repeat(n, decay=d, grow=g),
            ended,
            st.integers(1, 5),
            shares,
            st.floats(1, 2),
        ),
    )


def _ended(inner: st.SearchStrategy[wd.Schedule]) -> st.SearchStrategy[wd.Schedule]:
    return inner.map(lambda schedule: schedule if schedule.length else schedule.take(50))
