"""Write every page and picture that is made and not written: ``python -m docs.generate``.

A generator is a file ``docs/make_<what>.py`` with a function ``main``.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path


def main() -> None:
    """Run every generator, one after the other."""
    for path in sorted(Path(__file__).parent.glob("make_*.py")):
        sys.stdout.write(f"docs/{path.name}\n")
        import_module(f"docs.{path.stem}").main()


if __name__ == "__main__":
    main()
