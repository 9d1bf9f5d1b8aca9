"""Make the README's picture: what ``make demo`` draws."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent


def main() -> None:
    """Run the demo in a folder that is thrown away, and keep its picture."""
    with tempfile.TemporaryDirectory() as folder:
        plan, constant = (
            str(ROOT / "examples" / "demo" / f"{name}.yaml") for name in ("plan", "constant")
        )
        command = [
            sys.executable,
            "-m",
            "warmdown",
            "train",
            plan,
            "--against",
            constant,
            "--out",
            folder,
        ]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        shutil.copy(Path(folder) / "compare.png", ROOT / "docs" / "demo.png")


if __name__ == "__main__":
    main()
