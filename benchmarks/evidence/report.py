"""Tables and sentences about the claims, made of the numbers of the stored runs alone."""

from __future__ import annotations

__all__ = ["claims", "facts", "report"]

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.evidence.choice import JudgedSetting, Method, suggestion_of
from benchmarks.evidence.methods import METHODS, PATIENCES, SHARES, TIMES, Setting
from benchmarks.evidence.pipeline import RESULTS, stored_runs

from warmdown.experiments import Comparison
from warmdown.experiments.runs import Result
from warmdown.experiments.statistics import Interval, bootstrap, paired
from warmdown.planfile import loads

Runs = Mapping[str, Mapping[int, Result]]

_NEVER = 1e9
"""Share of the full length for a run that never gets there: bootstrap takes finite numbers."""
_DOES, _DOES_NOT, _OPEN = "holds here", "does not hold here", "these seeds do not tell"


def report(name: str, results: Path = RESULTS) -> str:
    """Return the Markdown of one setting: all methods, then each claim with its numbers."""
    runs = stored_runs(name, results)
    comparison = Comparison.of(runs, task=name, baseline="constant" if "constant" in runs else None)
    lines = [f"### {name}: all methods", "", comparison.markdown(), *_rates(name, runs, results)]
    for claim, numbers in claims(comparison):
        lines += ["", f"### {name}: “{claim}”", "", *numbers]
    return "\n".join(lines) + "\n"


def facts(setting: Setting, results: Path = RESULTS) -> dict[str, Any]:
    """Return what ``warmdown suggest`` needs of one setting."""
    runs = stored_runs(setting.name, results)
    comparison = Comparison.of(runs, task=setting.name)
    methods = [
        Method(
            name,
            plan=next(iter(row.values())).spec.plan,
            values=comparison.values(name),
            runs=len(row),
            share=METHODS[name][1],
        )
        for name, row in runs.items()
        if name in METHODS
    ]
    judged = JudgedSetting(
        setting.name,
        setting.kind,
        setting.description,
        updates=max(result.updates for row in runs.values() for result in row.values()),
        metric=comparison.metric,
        higher_is_better=comparison.higher_is_better,
        methods=tuple(methods),
    )
    return suggestion_of(judged)


def claims(comparison: Comparison) -> Iterator[tuple[str, list[str]]]:
    """Yield each claim that the runs speak to, with what they say."""
    have = comparison.results.keys()
    if {"constant", "one-cycle, 60 %"} <= have:
        yield (
            "constant 91.2 % in 100 epochs, one-cycle 93.8 % in 60",
            _shorter_and_better(comparison),
        )
        yield "schedulers reduce training time by 30-50 %", _time_saved(comparison)
    if f"one-cycle, {TIMES[0]} x" in have:
        yield "max_lr 10x the normal rate", _peaks(comparison)
    if set(_stairs()) <= have:
        yield "step_size a third of the epochs", _among(comparison, _stairs(), "step 33 %")
    if set(_patiences()) <= have:
        yield "patience 5-10", _among(comparison, _patiences(), "plateau 5", "plateau 10")


def _shorter_and_better(comparison: Comparison) -> list[str]:
    lines = []
    for name in ("one-cycle, 60 %", "cosine, 60 %", "constant, 60 %"):
        if name in comparison.results:
            gap = _better(comparison, name, "constant")
            lines.append(
                f"- {name} against constant at full length: {gap.text(sign=True)}: {_verdict(gap)}."
            )
    return lines


def _time_saved(comparison: Comparison) -> list[str]:
    """Return the least share of the length at which each method equals constant at full length."""
    sign = 1 if comparison.higher_is_better else -1
    goals = {
        seed: _best(result, comparison) for seed, result in comparison.results["constant"].items()
    }
    full = float(np.mean([result.updates for result in comparison.results["constant"].values()]))
    rows = [
        "| method | updates that it needs, as a share of constant's | seeds that get there |",
        "| --- | ---: | ---: |",
    ]
    for name in comparison.results:
        if name.startswith("one-cycle,") and name.endswith(" x"):
            continue
        shares = [
            _share(result, comparison, sign * goals.get(seed, math.nan), sign, full)
            for seed, result in comparison.results[name].items()
        ]
        median = bootstrap(shares, of=np.median)
        there = sum(share < _NEVER for share in shares)
        rows.append(f"| {name} | {_within(median)} | {there}/{len(shares)} |")
    return [
        "Updates until a run first reached the best that constant reached at full length with the "
        "same seed "
        "(median over all seeds, with its interval; a seed that never does counts as never):",
        "",
        *rows,
    ]


def _peaks(comparison: Comparison) -> list[str]:
    lines = []
    for times in TIMES:
        gap = _better(comparison, f"one-cycle, {times} x", "one-cycle")
        lines.append(
            f"- {times} x the best constant rate, against the tuned peak: {gap.text(sign=True)}"
        )
    return lines


def _among(comparison: Comparison, names: list[str], *claimed: str) -> list[str]:
    """Return each of some methods against the best of those that the claim names."""
    values = {name: np.mean(list(comparison.values(name).values())) for name in claimed}
    best = (max if comparison.higher_is_better else min)(values, key=lambda name: values[name])
    lines = []
    for name in names:
        if name != best:
            gap = _better(comparison, name, best)
            lines.append(
                f"- {name} against {best}: {gap.text(sign=True)}: {_verdict(gap, better='better')}."
            )
    return lines


def _better(comparison: Comparison, name: str, other: str) -> Interval:
    """Return by how much a method is better than another, above 0 when it is."""
    larger, smaller = (name, other) if comparison.higher_is_better else (other, name)
    return paired(comparison.values(larger), comparison.values(smaller))


def _verdict(gap: Interval, better: str = _DOES) -> str:
    if math.isnan(gap.low) or not gap.excludes_zero:
        return _OPEN
    if better == _DOES:
        return _DOES if gap.value > 0 else _DOES_NOT
    return better if gap.value > 0 else "worse"


def _best(result: Result, comparison: Comparison) -> float:
    values = [
        value
        for value in result.evaluations.get(comparison.metric, ([], []))[1]
        if math.isfinite(value)
    ]
    return (max if comparison.higher_is_better else min)(values) if values else math.nan


def _share(result: Result, comparison: Comparison, goal: float, sign: int, full: float) -> float:
    """Return the updates until the goal as a share of the full length, or ``_NEVER``."""
    steps, values = result.evaluations.get(comparison.metric, ([], []))
    for step, value in zip(steps, values, strict=True):
        if sign * value >= goal:
            return (step + 1) / full
    return _NEVER


def _within(median: Interval) -> str:
    value, low, high = (
        "never" if one >= _NEVER / 2 else f"{one:.2g}"
        for one in (median.value, median.low, median.high)
    )
    return f"{value} ({low} … {high})"


def _rates(name: str, runs: Runs, results: Path) -> list[str]:
    """Return the base rates that tuning chose, and how the trials ended."""
    rows = ["| method | base rate | trials: finished, pruned, other |", "| --- | ---: | --- |"]
    for path in sorted((results / name / "tuned").glob("*.json")):
        tuned = json.loads(path.read_text(encoding="utf-8"))
        states = [trial["state"] for trial in tuned["trials"]]
        counts = [states.count("finished"), states.count("pruned")]
        rate = loads(path.with_suffix(".yaml").read_text(encoding="utf-8")).run.lr
        rows.append(
            f"| {tuned['method']} | {rate:.3g} | {counts[0]}, {counts[1]}, "
            f"{len(states) - sum(counts)} |"
        )
    return ["What tuning chose, every method with the same number of trials:", "", *rows]


def _stairs() -> list[str]:
    return [f"step {name} %" for name in SHARES]


def _patiences() -> list[str]:
    return [f"plateau {patience}" for patience in PATIENCES]
