"""A range test of a task by its name: passes are made here, or each by an engine's worker."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from warmdown.errors import TrainingError
from warmdown.experiments.engine import Engine, answers, require_engine
from warmdown.experiments.find import (
    Pass,
    RangeTest,
    range_test_of,
    require_sweep,
    sweep_values,
)
from warmdown.experiments.perform import passes_of_task
from warmdown.experiments.runs import digest_of_named
from warmdown.experiments.worker import Needs, WorkRequest, versions_here
from warmdown.schedules.recipes.shapes import Shape


def find_rate_of_task(
    task: str = "digits",
    *,
    target: str = "lr",
    start: float = 1e-5,
    end: float = 10.0,
    steps: int = 100,
    shape: Shape = "exponential",
    repeats: int = 3,
    smoothing: float = 0.03,
    stop_at: float = 4.0,
    batch_size: int | None = None,
    accumulate: int = 1,
    seed: int = 0,
    engine: Engine = "serial",
    jobs: int | None = None,
    address: str | None = None,
    silence: float = 600.0,
    progress: Callable[[int, str, int, int], None] = lambda number, worker, done, total: None,
) -> RangeTest:
    """Find a rate of a task that is built by its name, as :func:`find_rate` does of a trainer.

    A pass depends on nothing but its number, so that an engine's workers make several at once and
    the result is the same.

    Args:
        task: ``digits``, ``fashion``, ``text``, or ``module:function``.
        target: The field that is swept.
        start: First value.
        end: Last value.
        steps: Updates from the first to the last value, at least 10.
        shape: ``"exponential"`` or ``"linear"``, or another curve's name.
        repeats: Passes, each with other random numbers.
        smoothing: Width of the smoothing, as a share of the sweep.
        stop_at: A pass ends when the loss lies this many times its own fall above its lowest.
        batch_size: Samples in a batch; the task's own when left out.
        accumulate: Batches that make an update.
        seed: Seeds weights, order and intervals.
        engine: Where passes are made: ``serial``: in this process; ``loky``, ``dask``, ``ray``.
        jobs: Passes at once.
        address: Where the cluster is, as for :func:`compare`.
        silence: Seconds without a sign of life after which a pass counts as hung.
        progress: Called with a pass's number, its worker, the number of passes so far, and their
            final number.

    Raises:
        ScheduleError: The values make no sweep.
        TrainingError: A pass fails, no cluster answers, or its workers lack what passes need.

    Example:
        >>> from warmdown.experiments import find_rate_of_task
        >>> test = find_rate_of_task("digits", start=1e-3, steps=20, repeats=1)
        >>> test.target, len(test.losses)
        ('lr', 1)
    """
    require_engine("find", engine, jobs, address)
    require_sweep(repeats, smoothing, stop_at)
    values = sweep_values(start, end, steps, shape)
    sweep = {
        "task": task,
        "target": target,
        "start": start,
        "end": end,
        "steps": steps,
        "shape": shape,
        "stop_at": stop_at,
        "batch_size": batch_size,
        "accumulate": accumulate,
        "seed": seed,
    }
    if engine == "serial":
        made = passes_of_task(sweep, range(repeats))
    else:
        requests = {
            str(number): WorkRequest(str(number), {"sweep": {**sweep, "number": number}})
            for number in range(repeats)
        }
        needs = Needs(task, digest_of_named(task), (), versions_here())
        how = {"engine": engine, "jobs": jobs, "address": address, "silence": silence}
        found: dict[int, Pass] = {}
        for answer in answers(requests, label="find", needs=needs, **cast(Any, how)):
            number, facts = int(answer.key), answer.content
            where = f" on worker {answer.worker}" if answer.worker else ""
            if facts is None:
                raise TrainingError(
                    f"find({task!r}): pass {number}{where} {answer.status}: {answer.reason}. Try "
                    "it with --engine serial."
                )
            if "error" in facts:
                raise TrainingError(f"find({task!r}): pass {number}{where}: {facts['error']}")
            found[number] = Pass(**facts)
            progress(number, answer.worker, len(found), repeats)
        made = [found[number] for number in range(repeats)]
    return range_test_of(made, target, values, smoothing, seed)
