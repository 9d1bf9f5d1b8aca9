"""The house: floors, doors, one loop over groups, and an import that does nothing."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import warmdown as wd
from warmdown.schedules.base import kinds
from warmdown.schedules.recipes import recipes

SOURCE = Path(__file__).parent.parent / "src" / "warmdown"
FILES = sorted(SOURCE.rglob("*.py"))

FLOOR = {
    "printable": 1, "errors": 1, "files": 1, "lock": 1, "record": 1,
    "registry": 0, "run": 2, "expressions": 2, "schedules": 2, "plan": 2, "placeholders": 2,
    "binding": 3, "planfile": 3, "plot": 3, "checks": 3, "lint": 3,
    "compat": 4, "importing": 4, "training": 4, "experiments": 4, "studio": 5, "cli": 5,
}  # fmt: skip
"""The higher may import the lower. Within a floor the order is the one written here, from left to right."""
ROOMS = list(FLOOR)

HEAVY = ("torch", "matplotlib", "nicegui", "accelerate", "jax", "joblib", "optuna", "libcst")


def room(path: Path) -> str:
    """Return the room a file belongs to; the door and ``__main__`` belong to none."""
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def rooms_named_in(path: Path) -> set[str]:
    """Return the rooms that a file imports, wherever in the file it does."""
    named: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("warmdown."):
            named.add((node.module or "").split(".")[1])
        elif isinstance(node, ast.Import):
            named.update(
                alias.name.split(".")[1]
                for alias in node.names
                if alias.name.startswith("warmdown.")
            )
    return named


def in_rooms(paths: list[Path]) -> list[Path]:
    """Leave out the door and ``__main__``."""
    return [path for path in paths if room(path) not in {"__init__", "__main__"}]


@pytest.mark.parametrize("path", in_rooms(FILES), ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_room_imports_only_from_below_and_never_in_a_circle(path: Path) -> None:
    mine = ROOMS.index(room(path))
    above = {name for name in rooms_named_in(path) - {room(path)} if ROOMS.index(name) > mine}
    assert above == set()


def test_only_one_file_loops_over_parameter_groups() -> None:
    holders = {path for path in FILES if "param_groups" in code_of(path)}
    assert holders == {SOURCE / "binding" / "field.py"}


def code_of(path: Path) -> str:
    """Return a file without its comments and docstrings: what it does, not what it says."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(
            node
        ):
            node.body[0] = ast.Pass()
    return ast.unparse(tree)


@pytest.mark.parametrize(
    "words", [("schedules", "torch"), ("compat", ".cos("), ("compat", "math.pi")]
)
def test_a_room_does_not_know_what_its_name_excludes(words: tuple[str, str]) -> None:
    name, unknown = words
    allowed = {
        SOURCE / "schedules" / "base.py"
    }  # asks whether a tensor's device has double precision
    knowing = {path for path in FILES if room(path) == name and unknown in code_of(path)}
    assert knowing <= allowed


def test_the_door_lists_exactly_what_it_opens() -> None:
    assert wd.__all__ == sorted(set(wd.__all__))
    assert {name for name in wd.__all__ if getattr(wd, name, None) is None} == set()
    with pytest.raises(AttributeError, match="no attribute 'Cosin'"):
        _ = wd.Cosin


@pytest.mark.parametrize("name", ["errors", "run", "plan", "schedules"])
def test_every_class_and_recipe_of_the_lower_floors_is_behind_the_door(name: str) -> None:
    public = (
        set(import_module(f"warmdown.{name}").__all__)
        if name != "schedules"
        else {*kinds_by_name(), *recipes()}
    )
    assert public - INTERNAL - set(wd.__all__) == set()


INTERNAL = {
    "CLOCKS",
    "COUNTS",
    "AFTER_END",
    "AfterEnd",
    "Clock",
    "Count",
    "Duration",
    "Target",
    "check_duration",
    "nearest",
}


def kinds_by_name() -> set[str]:
    """Return the class names of every schedule that can be written down."""
    return {kind.__name__ for kind in kinds().values() if not kind.__name__.startswith("_")} - {
        "External"
    }


@pytest.mark.parametrize(
    "action",
    [
        "import warmdown",
        "import warmdown as wd; wd.warmup_cosine().over(wd.Run(total_steps=10))(3)",
        "from warmdown.cli.main import main; main(['--help'], standalone_mode=False)",
        "from warmdown.cli.main import main; main(['list'], standalone_mode=False)",
        "from warmdown.cli.main import main; main(['show', 'wsd', '--total-steps', '100'], "
        "standalone_mode=False)",
    ],
)
def test_what_needs_no_heavy_library_loads_none(action: str) -> None:
    loaded = f"import sys; print('LOADED', [m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", f"{action}\n{loaded}"], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "LOADED []"


def test_import_draws_no_random_number_and_sets_no_filter() -> None:
    probe = "import random, warnings, numpy; a = random.getstate(), list(warnings.filters)"
    check = "import warmdown as wd; wd.Plan, wd.Cosine; assert a == (random.getstate(), list(warnings.filters))"
    subprocess.run([sys.executable, "-c", f"{probe}\n{check}"], check=True)
