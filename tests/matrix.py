"""Run the default tests on every promised Python, and write the table of ``docs/machines.md``.

``python -m tests.matrix FOLDER [ROW ...]``: in the folder a virtual environment is made for each
row, some gigabytes, and removed; what pytest prints stays. A Python is sought as ``python3.X``.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "machines.md"
TESTS = ("-q", "-n", "auto", "-m", "not slow and not peers")
_VERSIONS = """
import platform
from importlib.metadata import version
print(platform.python_version(), *map(version, ("torch", "numpy", "accelerate")), sep=" | ")
"""


class Row(NamedTuple):
    """A Python, a file of versions, and another torch than the file's."""

    python: str
    constraints: str
    torch: str | None = None


ROWS = {
    "oldest": Row("3.11", "constraints-oldest.txt"),
    "middle": Row("3.12", "constraints.txt"),
    "newest": Row("3.13", "constraints.txt", torch="2.14.1"),
}


def main(folder: Path, *names: str) -> None:
    """Run rows, and write what passed."""
    for name in names or ROWS:
        place = folder / name
        python = make_environment(ROWS[name], place)
        asked = (python, "-c", _VERSIONS)
        versions = subprocess.run(asked, check=True, capture_output=True, text=True).stdout
        report = folder / f"{name}.txt"
        with report.open("w") as printed:
            subprocess.run((python, "-m", "pytest", *TESTS), cwd=ROOT, stdout=printed)
        passed = report.read_text().splitlines()[-1].split(" in ")[0]
        write(name, f"| {name} | {versions.strip()} | {passed} |")
        shutil.rmtree(place)


def make_environment(row: Row, folder: Path) -> str:
    """Make a virtual environment with a row's versions, and return its Python."""
    python, constraints = str(folder / "bin" / "python"), folder / "constraints.txt"
    subprocess.run((f"python{row.python}", "-m", "venv", folder), check=True)
    lines = (ROOT / row.constraints).read_text().splitlines()
    if row.torch is not None:
        lines = [line for line in lines if not line.startswith("torch==")]
        lines.append(f"torch=={row.torch}")
    constraints.write_text("\n".join(lines))
    install = (python, "-m", "pip", "install", "-q")
    subprocess.run((*install, "-c", constraints, "-e", f"{ROOT}[dev]"), check=True)
    subprocess.run((*install, "--no-deps", "-r", ROOT / "requirements-peers.txt"), check=True)
    return python


def write(name: str, line: str) -> None:
    """Put a row into the table in the place of its last result."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    (at,) = (index for index, old in enumerate(lines) if old.startswith(f"| {name} |"))
    lines[at] = line
    PAGE.write_text("\n".join([*lines, ""]), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
