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
    results = [
        json.loads(path.read_text(encoding="utf-8"))
        for path in sorted((HERE / "results").glob("*.json"))
    ]
    usual = Counter(map(place_of, results)).most_common(1)[0][0]
    tables = "\n".join(table_of(data, usual) for data in results)
    page.write_text(f"{before}{OPENING}\n\n{usual}\n\n{tables}\n{CLOSING}{after}", encoding="utf-8")


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
