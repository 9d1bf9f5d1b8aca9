"""How every benchmark here measures: contenders in one process, in random order, and ratios told.

A shared machine is noisy, so no figure stands alone: each round times every contender once, in a
new random order, with the garbage collector off and one torch thread; what is told is the median
over the rounds, and the median of the ratios within a round.
"""

from __future__ import annotations

__all__ = ["Peers", "Table", "race"]

import gc
import json
import platform
import random
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
LIBRARIES = (
    "warmdown", "torch", "numpy", "transformers", "accelerate", "timm", "pytorch-accelerated",
    "pytorch-ignite",
    "mmengine", "lightning", "lrsched", "pytorch-scheduler", "fvcore",
)  # fmt: skip


@dataclass(frozen=True)
class Times:
    """Seconds for one call, one entry a round."""

    seconds: list[float]

    @property
    def median(self) -> float:
        """The middle of all rounds, in seconds."""
        return statistics.median(self.seconds)

    def over(self, other: Times) -> float:
        """Return the median of the ratios to ``other`` within each round."""
        return statistics.median(
            mine / theirs for mine, theirs in zip(self.seconds, other.seconds, strict=True)
        )


def race(
    contenders: Mapping[str, Callable[[], object]],
    *,
    calls: int | Mapping[str, int] = 1,
    rounds: int = 15,
) -> dict[str, Times]:
    """Time every contender once a round, in a new random order.

    Args:
        contenders: What to call, by name.
        calls: Calls in one measurement, for all or by name.
        rounds: Measurements of each.
    """
    _quiet()
    times: dict[str, list[float]] = {name: [] for name in contenders}
    order = list(contenders)
    shuffle = random.Random(0).shuffle
    try:
        for _ in range(rounds):
            shuffle(order)
            for name in order:
                many = calls if isinstance(calls, int) else calls[name]
                times[name].append(_seconds(contenders[name], many))
                gc.collect()
    finally:
        gc.unfreeze()
        gc.enable()
    return {name: Times(seconds) for name, seconds in times.items()}


def _seconds(call: Callable[[], object], calls: int) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        call()
    return (time.perf_counter() - start) / calls


def _quiet() -> None:
    gc.collect()
    gc.freeze()  # what was there before is not looked through again between two measurements
    gc.disable()
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


@dataclass
class Peers:
    """The contenders of one question; a peer that is not installed is skipped with a line."""

    found: dict[str, Callable[[], object]] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, build: Callable[[], Callable[[], object]]) -> None:
        """Build a contender; its import may fail."""
        try:
            self.found[name] = build()
        except ImportError as missing:
            self.skip(name, str(missing))

    def skip(self, name: str, why: str) -> None:
        """Leave a peer out, and say so once."""
        if name not in self.skipped:
            print(f"skipped {name}: {why}", file=sys.stderr)
        self.skipped[name] = why


@dataclass
class Table:
    """One question's answer: printed as Markdown, kept as JSON in ``benchmarks/results``.

    Args:
        name: The script's name, and the file's.
        question: What is measured, with units.
        columns: Heads of the columns; the first names the contender.
    """

    name: str
    question: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)

    def add(self, *cells: object) -> None:
        """Add a row of cells."""
        self.rows.append(tuple(cell if isinstance(cell, str) else f"{cell:.3g}" for cell in cells))

    def publish(self, skipped: Mapping[str, str] | None = None) -> None:
        """Print the table, and write it with the machine and all versions beside it."""
        print(self.markdown())
        data = {
            "script": Path(sys.argv[0]).stem,
            "question": self.question,
            "columns": self.columns,
            "rows": self.rows,
            "figures": self.figures,
            "skipped": dict(skipped or {}),
            "machine": machine(),
            "versions": versions(),
        }
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{self.name}.json").write_text(
            json.dumps(data, indent=1) + "\n", encoding="utf-8"
        )

    def markdown(self) -> str:
        """Return the question and the table."""
        lines = [self.columns, tuple("---" for _ in self.columns), *self.rows]
        return "\n".join(
            [f"**{self.question}**", "", *(f"| {' | '.join(line)} |" for line in lines), ""]
        )


def in_groups(count: int) -> str:
    """Say how many groups."""
    return "1 group" if count == 1 else f"{count} groups"


def machine() -> dict[str, str | int | None]:
    """Return what the figures were taken on."""
    import os

    return {
        "system": platform.system(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.machine()


def versions() -> dict[str, str]:
    """Return the version of every library here that is installed."""
    found = {}
    for library in LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    return found
