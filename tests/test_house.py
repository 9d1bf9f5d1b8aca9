"""The house: imports that point down, names and words, and an import that does nothing."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from importlib import import_module
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version
from tests.house import ROOT, SOURCE, circles, longest_chain, modules, twins
from tests.unix import AT_IMPORT, needed_of_unix

import warmdown as wd
from warmdown.schedules.base import kinds
from warmdown.schedules.recipes import recipes

ROOMS = (
    "errors", "registry", "shown", "formatting", "system", "files", "lock", "mailbox", "run",
    "record", "schedules", "batches", "expressions", "placeholders", "plan", "planfile", "spec",
    "forecast", "plot", "checks", "binding", "compat", "importing", "integrations", "training",
    "experiments", "lint", "studio", "cli", "optim", "lr_scheduler",
)  # fmt: skip
"""From the ground up: a room imports only rooms that stand before it."""

HEAVY = (
    "torch", "matplotlib", "nicegui", "accelerate", "jax", "joblib", "optuna", "libcst",
    "lightning", "transformers", "ignite",
)  # fmt: skip

ALLOWED_TWINS: dict[str, str] = {
    "Finding": "of a plan in checks, of a script in lint: both are public, each in its room",
    "command": "what the terminal loads from each file of cli",
    "save": "plot.save writes a picture, planfile.save a plan: both are public, each in its room",
}
"""Names of the top level that several files have, each with the reason."""

ALLOWED_PRIVATE: dict[str, str] = {
    **dict.fromkeys(
        ("_asdict", "_fields", "_replace"), "of a named tuple, which keeps them apart from fields"
    ),
    "_exit": "of os: leave a process at once, without its clean-up",
    "_get_lr": "of transformers' Adafactor: the rate that it computes; nothing public has it",
    "_getframe": "of sys: the caller's frame, for the place of a warning",
    "_version": "of a tensor: how often it was written in place; torch has no public count",
    **dict.fromkeys(
        ("_C", "_autograd", "_get_sequence_nr"), "of torch: how many gradients were computed"
    ),
    **dict.fromkeys(
        ("_FrameAction", "_FrameExecStrategy"),
        "of torch: leave a function uncompiled; what is public for it costs each eager call",
    ),
    **dict.fromkeys(
        (
            "_LRScheduler", "_schedulers", "_milestones", "_initial_step", "_step_count",
            "_anneal_func_type", "_schedule_phases", "_get_lr_called_within_step",
        ),
        "of torch's schedulers, which have no public attribute for it",
    ),
    **dict.fromkeys(("_add_noise", "_get_lr"), "of timm's schedulers"),
    "_next_step": "of trackio's runs, which have no public attribute for it",
    "_is_local": "of trackio's runs too; rows of a server are not read",
    "_trial_id": "of optuna's trials",
    "_text": "of NiceGUI's elements: their text without a new element",
    "_transport": "of asyncio's processes: kill one whose loop is closed",
}  # fmt: skip
"""Names of other libraries that begin with an underscore, each with the reason for its use."""


def test_every_file_is_in_a_room_and_every_room_is_there() -> None:
    assert {module.room for module in modules()} - {"__init__", "__main__"} == set(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_rooms_before_it(room: str) -> None:
    below = ROOMS[: ROOMS.index(room) + 1]
    above = {
        f"{module.file}:{imported.line} {imported.module}"
        for module in modules()
        if module.room == room
        for imported in module.imports
        if imported.module != "warmdown" and imported.module.split(".")[1] not in below
    }
    assert above == set()


@pytest.mark.parametrize("room", ROOMS)
def test_no_import_circle_is_in_a_room_not_even_for_types_or_in_functions(room: str) -> None:
    found = [circle for circle in circles() if any(in_room(room, module) for module in circle)]
    assert found == []


def test_the_longest_import_chain_has_at_most_eighteen_modules() -> None:
    assert len(longest_chain()) <= 18, " → ".join(longest_chain())


def in_room(room: str, module: str) -> bool:
    """Return whether a module, by its dotted name, belongs to a room."""
    return module.split(".")[1] == room


@pytest.mark.parametrize("room", ROOMS)
def test_no_object_uses_the_private_names_of_another(room: str) -> None:
    found = [
        f"{reach.file}:{reach.line} {reach.text}"
        for module in modules()
        if module.room == room
        for reach in module.reaches()
        if reach.name not in ALLOWED_PRIVATE
    ]
    assert found == []


@pytest.mark.parametrize("room", ROOMS)
def test_no_file_imports_a_private_name_of_another(room: str) -> None:
    found = [
        f"{module.file}:{imported.line} {imported.name}"
        for module in modules()
        if module.room == room
        for imported in module.imports
        if imported.name.startswith("_") and not imported.name.startswith("__")
    ]
    assert found == []


@pytest.mark.parametrize("room", ROOMS)
def test_no_name_is_defined_at_the_top_of_two_files(room: str) -> None:
    files = {module.file for module in modules() if module.room == room}
    found = {name: where for name, where in twins().items() if not files.isdisjoint(where)}
    assert {name: where for name, where in found.items() if name not in ALLOWED_TWINS} == {}


def test_every_allowed_pair_of_names_is_there() -> None:
    assert set(ALLOWED_TWINS) - set(twins()) == set()


@pytest.mark.parametrize("room", ROOMS)
def test_names_and_docstrings_use_the_words_of_the_field(room: str) -> None:
    found = [
        f"{module.file}:{line} {word}"
        for module in modules()
        if module.room == room
        for line, word in module.words()
    ]
    assert found == []


@pytest.mark.parametrize("room", ROOMS)
def test_no_line_is_longer_than_a_hundred_columns(room: str) -> None:
    found = [
        f"{module.file}:{number}"
        for module in modules()
        if module.room == room
        for number, line in enumerate(module.text.splitlines(), start=1)
        if len(line) > 100
    ]
    assert found == []


def test_only_one_file_loops_over_parameter_groups() -> None:
    loops = {module.file: len(module.group_loops()) for module in modules()}
    assert {file for file, count in loops.items() if count} == {"binding/field.py"}


@pytest.mark.parametrize(
    ("room", "unknown"), [("schedules", "torch"), ("compat", ".cos("), ("compat", "math.pi")]
)
def test_a_room_does_not_know_what_its_name_excludes(room: str, unknown: str) -> None:
    allowed = {"schedules/base.py"}  # asks whether a tensor's device has double precision
    knowing = {m.file for m in modules() if m.room == room and unknown in m.code}
    assert knowing <= allowed


def mapped_tests() -> dict[str, list[str]]:
    """Return the test map of ``tests/README.md``: source file or folder → test files."""
    rows = re.findall(
        r"^\| `([^`]+)` \| (.+) \|$", (ROOT / "tests" / "README.md").read_text(), re.M
    )
    return {source: re.findall("`([^`]+)`", tests) for source, tests in rows}


@pytest.mark.parametrize("room", ROOMS)
def test_each_source_file_is_named_in_the_test_map(room: str) -> None:
    sources = tuple(mapped_tests())
    folders = tuple(source for source in sources if source.endswith("/"))
    missing = [
        module.file
        for module in modules()
        if module.room == room
        and not module.file.endswith("__init__.py")
        and module.file not in sources
        and not module.file.startswith(folders)
    ]
    assert missing == []


def test_the_test_map_names_only_what_is_there() -> None:
    rows = mapped_tests()
    assert rows
    assert [source for source in rows if not (SOURCE / source).exists()] == []
    tests = {test for row in rows.values() for test in row}
    assert [test for test in sorted(tests) if not (ROOT / "tests" / test).exists()] == []


def test_the_package_lists_exactly_what_it_loads() -> None:
    assert wd.__all__ == sorted(set(wd.__all__))
    assert {name for name in wd.__all__ if getattr(wd, name, None) is None} == set()
    with pytest.raises(AttributeError, match="no attribute 'Cosin'"):
        _ = wd.Cosin


@pytest.mark.parametrize("name", ["errors", "run", "plan", "schedules"])
def test_every_class_and_recipe_of_the_lower_rooms_is_a_name_of_the_package(name: str) -> None:
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
    "RATE_RULES",
    "RateRule",
    "Target",
    "RunLike",
    "check_duration",
    "nearest",
    "run_of",
}


def kinds_by_name() -> set[str]:
    """Return the class names of every schedule that can be written down."""
    return {kind.__name__ for kind in kinds().values() if not kind.__name__.startswith("_")} - {
        "External"
    }


def test_every_public_name_is_on_a_page_and_in_an_example() -> None:
    pages = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "docs").glob("*.md"))
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", f"{pages}\n{readme}", re.MULTILINE | re.DOTALL)
    scripts = [path.read_text() for path in (ROOT / "examples").rglob("*.py")]
    shown = re.findall(r"^### `?(\w+)", pages, re.MULTILINE)  # each is an example of the gallery
    examples = "\n".join([*blocks, *scripts, *shown])
    missing = {
        "page": [name for name in wd.__all__ if not re.search(rf"\b{name}\b", pages)],
        "example": [name for name in wd.__all__ if not re.search(rf"\b{name}\b", examples)],
    }
    assert missing == {"page": [], "example": []}


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


def test_a_scheduler_is_made_without_pictures_files_or_their_reader() -> None:
    make = "import sys, torch, warmdown as wd"
    make += "; o = torch.optim.SGD(torch.nn.Linear(1, 1).parameters())"
    make += "; wd.Scheduler(o, lr=wd.warmup_cosine(), run=wd.Run(total_steps=10)).step"
    rooms = "('plot', 'record', 'planfile', 'files', 'compat', 'importing')"
    left_out = f"print([room for room in {rooms} if 'warmdown.' + room in sys.modules])"
    command = [sys.executable, "-c", f"{make}\n{left_out}"]
    assert subprocess.run(command, capture_output=True, text=True).stdout == "[]\n"


def test_import_draws_no_random_number_and_sets_no_filter() -> None:
    probe = "import random, warnings, numpy; a = random.getstate(), list(warnings.filters)"
    check = "import warmdown as wd; wd.Plan, wd.Cosine; "
    check += "assert a == (random.getstate(), list(warnings.filters))"
    subprocess.run([sys.executable, "-c", f"{probe}\n{check}"], check=True)


def test_each_file_of_tests_is_imported_where_there_is_no_unix() -> None:
    files = [file for file in (ROOT / "tests").rglob("*.py") if file.parent.name != "windows"]
    needed = {str(file): needed_of_unix(file, AT_IMPORT) for file in files}
    assert {file: uses for file, uses in needed.items() if uses} == {}


def test_what_a_test_needs_of_unix_is_found_in_its_helpers_and_texts(tmp_path: Path) -> None:
    (tmp_path / "some.py").write_text(
        "import os\nfrom tests.training import processes\n"
        "RUN = 'import os; os.fork()'\n"
        "def helper():\n    return os.getuid()\n"
        "@decorated(os.killpg)\ndef direct(fixture): helper()\n"
        "def by_text():\n    return RUN\n"
        "def by_module():\n    processes.start(print)\n"
        "def fixture():\n    import fcntl\n"
        "def free(os_fork):\n    os.getpid()\n"
    )
    found = {
        name: needed_of_unix(tmp_path / "some.py", name)
        for name in (AT_IMPORT, "direct", "by_text", "by_module", "free")
    }
    assert found == {
        AT_IMPORT: {"os.killpg"},
        "direct": {"os.killpg", "os.getuid", "fcntl"},
        "by_text": {"'os.fork'"},
        "by_module": {"os.fork"},
        "free": set(),
    }


def test_a_system_without_fork_skips_what_needs_it(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    from tests import conftest

    nodes: list[pytest.Item] = [
        pytest.Function.from_parent(request.node.parent, name=test.__name__, callobj=test)
        for test in (needing_fork, test_every_file_is_in_a_room_and_every_room_is_there)
    ]
    monkeypatch.delattr(os, "fork")
    conftest.pytest_collection_modifyitems(nodes)
    assert [node.get_closest_marker("skip") is not None for node in nodes] == [True, False]


def needing_fork() -> None:
    os.fork()


def test_every_lower_bound_is_a_version_that_the_matrix_runs() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = chain(project["dependencies"], *project["optional-dependencies"].values())
    oldest = (ROOT / "constraints-oldest.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.lower().split("==") for line in oldest if "==" in line)
    for requirement in map(Requirement, wanted):
        for bound in requirement.specifier:
            assert Version(bound.version) == Version(pins[requirement.name.lower()]), requirement
