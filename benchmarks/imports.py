"""What does an import cost over its base, and what does a command line cost?"""

from __future__ import annotations

import random
import statistics
import subprocess
import sys
from importlib.util import find_spec

from benchmarks.harness import Table

ROUNDS = 9
QUESTIONS = {
    "warmdown over numpy": ("numpy", "warmdown"),
    "warmdown and a schedule over numpy": ("numpy", "warmdown.schedules.curves.basic"),
    "warmdown.binding over torch": ("torch, numpy, warmdown.plan", "warmdown.binding"),
    "timm.scheduler's parent over torch": ("torch", "timm"),
    "lightning over torch": ("torch", "lightning"),
    "transformers.optimization over torch": ("torch", "transformers.optimization"),
    "accelerate over torch": ("torch", "accelerate"),
}


def main() -> None:
    """Measure each import in processes of its own, interleaved at random."""
    asked = {name: pair for name, pair in QUESTIONS.items() if find_spec(pair[1].split(".")[0])}
    seen: dict[str, list[float]] = {name: [] for name in asked}
    for _ in range(ROUNDS):
        for name in random.Random(len(seen[next(iter(seen))])).sample(list(asked), len(asked)):
            if (cost := milliseconds(*asked[name])) is not None:
                seen[name].append(cost)
    table = Table("imports", "Milliseconds of an import over its base", ("import", "ms"))
    for name, costs in seen.items():
        table.add(name, statistics.median(costs) if costs else "does not import here")
        table.figures[name] = statistics.median(costs) if costs else None
    table.publish()


def milliseconds(base: str, module: str) -> float | None:
    """Import ``base``, then time ``module`` in a fresh process; ``None`` when it fails."""
    probe = (
        f"import {base}, time\nstart = time.perf_counter()\nimport "
        f"{module}\nprint((time.perf_counter() - start) * 1e3)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", probe], capture_output=True, text=True, check=False
    )
    return float(done.stdout.split()[-1]) if done.returncode == 0 else None


if __name__ == "__main__":
    main()
