"""Run every measurement and write the tables into ``benchmarks/README.md``."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
HELPERS = {"__main__", "__init__", "harness"}
SECTIONS = {
    "A compiled step": ("compiled", "recompiles", "dropin_compiled", "tensors"),
    "A whole training": ("trainer", "trackers"),
    "Resume": ("resume", "state"),
    "The page": ("studio", "studio_cold"),
    "One call of `step()`": ("step", "step_own_bases", "fields", "constant"),
    "Under torch's names": ("dropin", "dropin_own_bases"),
    "Looking ahead": ("far", "preview", "curve"),
    "Imports": ("imports",),
}
"""The stored results, by what matters to a person first."""
OPENING, CLOSING = "<!-- tables: written by python -m benchmarks -->", "<!-- end of tables -->"


def main() -> None:
    """Run the scripts named on the command line, or all of them; then write the page."""
    names = sys.argv[1:] or sorted(
        path.stem for path in HERE.glob("*.py") if path.stem not in HELPERS
    )
    for name in names if names != ["page"] else []:
        subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], cwd=HERE.parent, check=True)
    write_page()


def write_page() -> None:
    """Put every stored result between the two marks of the page."""
    page = HERE / "README.md"
    text = page.read_text(encoding="utf-8")
    before, after = text.split(OPENING)[0], text.split(CLOSING)[1]
    results = {
        path.stem: json.loads(path.read_text(encoding="utf-8"))
        for path in (HERE / "results").glob("*.json")
    }
    placed = [name for names in SECTIONS.values() for name in names]
    if sorted(placed) != sorted(results):
        raise SystemExit(f"SECTIONS and results differ: {sorted({*placed} ^ {*results})}")
    usual = Counter(map(place_of, results.values())).most_common(1)[0][0]
    parts = [usual]
    for title, names in SECTIONS.items():
        parts += [f"## {title}", *(table_of(results[name], usual) for name in names)]
    tables = "\n\n".join(part.rstrip("\n") for part in parts)
    page.write_text(f"{before}{OPENING}\n\n{tables}\n\n{CLOSING}{after}", encoding="utf-8")


def table_of(data: dict[str, Any], usual: str) -> str:
    """Return one stored result as Markdown, with its machine where it is not the ``usual`` one."""
    rows = [data["columns"], ["---"] * len(data["columns"]), *data["rows"]]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    skipped = "".join(f"\nSkipped {name}: {why}.\n" for name, why in data["skipped"].items())
    place = "" if place_of(data) == usual else f"\n{place_of(data)}\n"
    heading = f"### {data['question']}\n\n`python -m benchmarks.{data['script']}`"
    return f"{heading}\n\n{table}\n{skipped}{place}"


def place_of(data: dict[str, Any]) -> str:
    """Return the machine and the versions that a result was taken with."""
    machine, versions = data["machine"], data["versions"]
    told = f"{machine['processor']}, {machine['cores']} cores, Python {machine['python']}"
    used = ", ".join(f"{name} {version}" for name, version in versions.items())
    return f"{told}. {used}."


if __name__ == "__main__":
    main()
