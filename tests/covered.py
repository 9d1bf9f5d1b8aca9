"""What the default tests run, room by room; ``python -m tests.covered`` prints it and holds it.

It reads what ``make coverage`` has measured. A room is a folder of the package, or a file of it.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Iterable

from tests.house import ROOT, SOURCE

REPORT = ROOT / "build" / "coverage.json"
KEYS = ("covered_lines", "num_statements", "covered_branches", "num_branches")
STRICT = {"schedules", "plan", "planfile", "binding"}
"""Rooms whose values everything else builds on."""
LEAST_IN_STRICT, LEAST = 95.0, 90.0
"""Percent of all branches, and of lines and branches together, that a room needs."""
SMALL = 100
"""Lines and branches below which a file outside of the rooms counts together with the others."""


def main() -> int:
    """Print a table, and name the rooms that have too little."""
    counts = measured()
    small = pop_small(counts)
    rows = {**dict(sorted(counts.items())), "small files": added(small)}
    rows["all"] = added(rows.values())
    print("| room | lines | branches | both |\n| --- | --- | --- | --- |")
    missing = []
    for room, (lines, of_lines, branches, of_branches) in rows.items():
        shares = [
            100 * done / total if total else 100.0
            for done, total in (
                (lines, of_lines),
                (branches, of_branches),
                (lines + branches, of_lines + of_branches),
            )
        ]
        print(f"| {room} | {' | '.join(f'{share:.1f} %' for share in shares)} |")
        least = LEAST_IN_STRICT if room in STRICT else LEAST
        if min(shares[1:]) < least:
            missing.append(f"{room}: {min(shares[1:]):.1f} % where {least:g} % are wanted")
    print("\n".join(missing), file=sys.stderr)
    return bool(missing)


def measured() -> dict[str, list[int]]:
    """Return by room: lines run, all lines, branches taken, all branches."""
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    files = json.loads(REPORT.read_text(encoding="utf-8"))["files"]
    for file, found in files.items():
        path = (ROOT / file).resolve()
        if path.is_relative_to(SOURCE):  # tests write and run files of their own
            row = counts[path.relative_to(SOURCE).parts[0].removesuffix(".py")]
            row[:] = [one + found["summary"][key] for one, key in zip(row, KEYS, strict=True)]
    return dict(counts)


def added(rows: Iterable[list[int]]) -> list[int]:
    """Return the sums of the columns."""
    return [sum(column) for column in zip(*rows, strict=True)]


def pop_small(counts: dict[str, list[int]]) -> list[list[int]]:
    """Take the small rooms out, and return their numbers."""
    small = [room for room, row in counts.items() if row[1] + row[3] < SMALL and room not in STRICT]
    return [counts.pop(room) for room in small]


if __name__ == "__main__":
    raise SystemExit(main())
