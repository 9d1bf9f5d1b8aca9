"""Write the states of several versions of torch: ``VERSION=path/to/its/lr_scheduler.py`` for each.

Only that file of a version is needed; it runs on the optimizers of the torch that is installed.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

from tests.compat.torch_names import momentum

FILE = Path(__file__).with_name("torch_states.json")
MADE: dict[str, list[Any]] = {
    "StepLR": [3, 0.5],
    "MultiStepLR": [[2, 4, 4, 9], 0.5],
    "CosineAnnealingLR": [30, 0.01],
    "CosineAnnealingWarmRestarts": [4, 2],
    "CyclicLR": [0.1, 0.4, 2, 3],
    "OneCycleLR": [0.5, 40],
}
STEPS, NEXT = 5, 6


def main() -> None:
    """Write the file."""
    warnings.simplefilter("ignore")
    given = dict(argument.split("=") for argument in sys.argv[1:])
    states = {version: of_version(Path(path)) for version, path in given.items()}
    FILE.write_text(json.dumps(states, separators=(",", ":")) + "\n", encoding="utf-8")


def of_version(path: Path) -> dict[str, Any]:
    """Return each class's state after some steps, what its groups hold, and its next rates."""
    module: Any = ModuleType("torch.optim.of_a_version")
    module.__package__ = "torch.optim"
    sys.modules[module.__name__] = module
    source = path.read_text(encoding="utf-8").replace("from torch._six import", "from math import")
    exec(  # noqa: S102  a file of torch, given by hand
        compile(source.replace("from .._six import", "from math import"), path, "exec"),
        vars(module),
    )
    states = {}
    for name, arguments in MADE.items():
        scheduler = getattr(module, name)(momentum(), *arguments)
        walk(scheduler, STEPS)
        groups = [
            {key: value for key, value in group.items() if isinstance(value, float)}
            for group in scheduler.optimizer.param_groups
        ]
        state = plain(scheduler.state_dict())
        states[name] = {"state": state, "groups": groups, "next": walk(scheduler, NEXT)}
    return states


def walk(scheduler: Any, steps: int) -> list[list[float]]:
    """Return the rates after each of so many steps."""
    rates = []
    for _ in range(steps):
        scheduler.optimizer.step()
        scheduler.step()
        rates.append([group["lr"] for group in scheduler.optimizer.param_groups])
    return rates


def plain(value: Any) -> Any:
    """Return what JSON can hold; a method by its name."""
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return list(map(plain, value))
    is_plain = value is None or isinstance(value, bool | int | float | str)
    return value if is_plain else {"method": getattr(value, "__name__", type(value).__name__)}


if __name__ == "__main__":
    main()
