"""Tune every method with the same effort, judge it over seeds, and store the results."""

from __future__ import annotations

__all__ = ["judge", "stored_runs", "tune"]

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.evidence.methods import TIMES, Setting, space_of

from warmdown.experiments.engine import Engine, run_all
from warmdown.experiments.files import write_file
from warmdown.experiments.runs import Result, RunSpec, Store
from warmdown.experiments.search import search
from warmdown.plan import Plan
from warmdown.planfile import dumps, loads, plan_from_dict

RESULTS = Path(__file__).parent / "results"
_POINTS = 24
_FIRST_SEED = 100
"""Seeds of the judged runs begin here; tuning uses seed 0."""

Say = Callable[[str], None]


def tune(
    setting: Setting, work: Path, results: Path, *, engine: Engine, jobs: int, say: Say
) -> None:
    """Search the base rate of every method; write its plan and all trials."""
    for method in setting.methods:
        found = search(
            space_of(method, setting),
            setting.tune,
            trials=setting.trials,
            out=work / setting.name / "tune" / _file_name(method),
            engine=engine,
            jobs=jobs,
        )
        folder = results / setting.name / "tuned"
        write_file(folder / f"{_file_name(method)}.yaml", dumps(found.plan))
        trials = {
            "method": method,
            "metric": found.metric,
            "trials": [trial.to_dict() for trial in found.trials],
        }
        write_file(folder / f"{_file_name(method)}.json", _compact(trials))
        say(
            f"{setting.name}: {method}: base rate {found.plan.run.lr:.3g}, {found.metric} "
            f"{found.best.metric:.4g}"
        )


def judge(
    setting: Setting, work: Path, results: Path, *, engine: Engine, jobs: int, say: Say
) -> None:
    """Make the runs of every tuned method over the seeds, and keep them."""
    plans = {method: loads(_tuned(results, setting, method)) for method in setting.methods}
    plans.update(_peaks(setting, plans))
    seeds = range(_FIRST_SEED, _FIRST_SEED + setting.seeds)
    specs = {
        name: [RunSpec.of(plan, setting.judge, seed, {}) for seed in seeds]
        for name, plan in plans.items()
    }
    every = [spec for runs in specs.values() for spec in runs]
    names = {spec.key: name for name, runs in specs.items() for spec in runs}

    def report_progress(result: Result, done: int, total: int) -> None:
        say(
            f"[{done}/{total}] {setting.name}: {names[result.key]}, seed {result.spec.seed}: "
            f"{result.status}"
        )

    for result in run_all(
        every,
        Store(work / setting.name / "judge"),
        engine=engine,
        jobs=jobs,
        progress=report_progress,
    ):
        write_file(
            results / setting.name / "judged" / f"{result.key}.json", _compact(_shrunk(result))
        )
    index = {name: [spec.key for spec in runs] for name, runs in specs.items()}
    write_file(results / setting.name / "index.json", _compact(index))


def stored_runs(setting_name: str, results: Path = RESULTS) -> dict[str, dict[int, Result]]:
    """Return the stored runs of a setting by method and seed."""
    folder = results / setting_name
    index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    return {
        name: {r.spec.seed: r for r in (_read(folder, key) for key in keys)}
        for name, keys in index.items()
    }


def _peaks(setting: Setting, plans: dict[str, Plan]) -> dict[str, Plan]:
    """Return one-cycle with peaks at so many times the best constant rate."""
    if not {"constant", "one-cycle"} <= plans.keys():
        return {}
    normal = plans["constant"].run.lr
    assert normal is not None
    spaces = {times: space_of("one-cycle", setting) for times in TIMES}
    for times, data in spaces.items():
        data["run"]["lr"] = float(f"{times * normal:.6g}")
    return {f"one-cycle, {times} x": plan_from_dict(data) for times, data in spaces.items()}


def _tuned(results: Path, setting: Setting, method: str) -> str:
    return (results / setting.name / "tuned" / f"{_file_name(method)}.yaml").read_text(
        encoding="utf-8"
    )


def _read(folder: Path, key: str) -> Result:
    return Result.from_dict(
        json.loads((folder / "judged" / f"{key}.json").read_text(encoding="utf-8"))
    )


def _shrunk(result: Result) -> dict[str, Any]:
    """Return a result as it is kept: evaluations whole, curves of loss and rate in a few points."""
    data = result.to_dict()
    data["curves"] = {
        name: _thinned(*curve) for name, curve in data["curves"].items() if name in ("loss", "lr/0")
    }
    data["evaluations"] = {
        name: [steps, [_digits(value) for value in values]]
        for name, (steps, values) in data["evaluations"].items()
    }
    return data


def _thinned(steps: list[int], values: list[float]) -> list[list[Any]]:
    chosen = np.unique(np.linspace(0, len(steps) - 1, min(_POINTS, len(steps))).astype(int))
    return [[steps[index] for index in chosen], [_digits(values[index]) for index in chosen]]


def _digits(value: float) -> float | None:
    return float(f"{value:.5g}") if np.isfinite(value) else None


def _compact(data: Any) -> bytes:
    return (json.dumps(data, separators=(",", ":"), sort_keys=True) + "\n").encode()


def _file_name(method: str) -> str:
    return "".join(
        letter for letter in method.replace(" ", "-") if letter.isalnum() or letter == "-"
    ).rstrip("-")
