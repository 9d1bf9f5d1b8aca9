"""Make the README's picture: what ``make demo`` draws."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def main() -> None:
    """Run the demo's comparison, keep nothing of it but the picture."""
    plans = (str(ROOT / f"examples/demo/{name}.yaml") for name in ("plan", "constant"))
    report = str(ROOT / "docs/demo.png")
    command = ["compare", *plans, "--seeds", "3", "--report", report]
    subprocess.run([sys.executable, "-m", "warmdown", *command], check=True)


if __name__ == "__main__":
    main()
