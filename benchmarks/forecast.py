"""Does a forecast hold? Three pilots of the task ``text``, five plans predicted, then trained.

``python -m benchmarks.forecast`` trains for about ten minutes and prints the table of
``docs/evidence.md``.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch

import warmdown as wd
from warmdown.forecast import Forecast, Law
from warmdown.training import run_task

STEPS = 600
SEEDS = (11, 12, 13, 14)
RATE = 1e-3
WARMUP = 30
TAIL = 0.05
"""Share of a run whose mean training loss is compared: one batch's loss says little."""
PILOTS: dict[str, wd.Schedule] = {
    "cosine": wd.warmup_cosine(warmup=WARMUP, end=0.1),
    "constant": wd.warmup_constant(warmup=WARMUP),
    "a drop": wd.warmup_constant(warmup=WARMUP) * wd.Milestones((STEPS // 2,), gamma=0.3),
}
PLANS: dict[str, tuple[int, wd.Schedule]] = {
    "wsd, a fifth": (STEPS, wd.wsd(warmup=WARMUP, decay="20%")),
    "linear to 0": (STEPS, wd.warmup_linear(warmup=WARMUP)),
    "cosine to 0": (STEPS, wd.warmup_cosine(warmup=WARMUP)),
    "wsd, twice as long": (2 * STEPS, wd.wsd(warmup=WARMUP, decay="20%")),
    "cosine, twice as long": (2 * STEPS, wd.warmup_cosine(warmup=WARMUP, end=0.1)),
}


def main() -> None:
    """Fit, predict, train, compare."""
    torch.set_num_threads(1)
    pilots = [trained(schedule, STEPS, seed=1) for schedule in PILOTS.values()]
    begun = time.perf_counter()
    law = wd.fit_loss(pilots)
    fitted = time.perf_counter() - begun
    print(law.report())
    print(f"\nfitted in {fitted:.1f} s; ten million updates in {seconds_of_long(law):.2f} s\n")
    predicted = {name: law.predict(schedule, run=run_of(steps))
                 for name, (steps, schedule) in PLANS.items()}  # fmt: skip
    print(
        "| plan | updates | predicted, 90 % | measured, 4 seeds | |\n"
        "| --- | --- | --- | --- | --- |"
    )
    for name, (steps, schedule) in PLANS.items():
        low, middle, high = tail_of(predicted[name])
        runs = [trained(schedule, steps, seed) for seed in SEEDS]
        found = [np.mean(losses[at >= (1 - TAIL) * steps]) for at, _, losses in runs]
        mean, error = np.mean(found), np.std(found, ddof=1)
        verdict = "inside" if low <= mean <= high else "**outside**"
        interval = f"{middle:.3f} ({low:.3f} … {high:.3f})"
        print(f"| {name} | {steps:,} | {interval} | {mean:.3f} ± {error:.3f} | {verdict} |")


def run_of(steps: int) -> wd.Run:
    """Return a run of so many updates."""
    return wd.Run(total_steps=steps, lr=RATE)


def trained(
    schedule: wd.Schedule, steps: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Train under a schedule; return steps, rates and training losses of every update."""
    plan = wd.Plan.of(lr=schedule, run=run_of(steps))
    record = run_task("text", plan, seed=seed, max_steps=steps, lr=RATE).record
    at, losses = map(np.asarray, record.curve("loss"))
    rates = np.interp(at, *record.curve("lr/0"))
    return at, rates, losses


def tail_of(forecast: Forecast) -> tuple[float, float, float]:
    """Return low, predicted and high of a forecast's last updates, as they are measured."""
    last = forecast.steps >= (1 - TAIL) * forecast.steps[-1]
    low, middle, high = (float(row[last].mean()) for row in
                         (forecast.low, forecast.loss, forecast.high))  # fmt: skip
    return low, middle, high


def seconds_of_long(law: Law) -> float:
    """Return how long a forecast of ten million updates takes."""
    predict: Callable[..., Forecast] = law.predict
    begun = time.perf_counter()
    predict(wd.wsd(), run=run_of(10_000_000))
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
