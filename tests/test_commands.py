"""The commands for those who have no ``make`` are those of the Makefile, on every system."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import yaml
from tests.house import ROOT
from tests.pages import blocks

MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
WORKFLOW: dict[Any, Any] = yaml.safe_load(
    (ROOT / ".github/workflows/tests.yml").read_text(encoding="utf-8")
)


def recipe(target: str) -> list[str]:
    """Return the commands of a target, as they read in an environment that is active."""
    found = re.search(rf"^{re.escape(target)}:.*\n((?:\t.+\n)+)", MAKEFILE, re.M)
    assert found
    lines = [line.removeprefix("\t") for line in found[1].splitlines()]
    return [line.replace("$(BIN)/", "").replace(" --quiet", "") for line in lines]


def installs(target: str) -> list[str]:
    return [line for line in recipe(target) if "pip install" in line]


def without_make() -> list[str]:
    page = [block.text for block in blocks(ROOT / "README.md") if "venv" in block.text]
    return page[0].splitlines()


def test_the_commands_without_make_are_those_of_the_makefile() -> None:
    assert without_make() == [
        "python3 -m venv .venv",
        ". .venv/bin/activate",
        *installs("$(RUN)"),
        *recipe("demo"),
        *installs("$(SETUP)"),
        *recipe("test"),
    ]


def called(job: str) -> list[str]:
    return [step["run"] for step in WORKFLOW["jobs"][job]["steps"] if "run" in step]


def test_the_workflow_calls_the_same_commands_in_another_order() -> None:
    assert sorted(called("tests")) == sorted(without_make()[2:])


def test_the_workflow_runs_the_one_list_of_checks() -> None:
    assert called("checks") == [".ci/run"]
    asked = re.findall(r"^make --silent (\w+)", Path(ROOT, ".ci/run").read_text("utf-8"), re.M)
    assert asked == ["demo", "test", "coverage", "windows", "peers", "site"]
    assert [target for target in asked if not re.search(rf"^{target}:", MAKEFILE, re.M)] == []


def test_the_workflow_is_run_on_every_system_and_python_that_is_promised() -> None:
    matrix = WORKFLOW["jobs"]["tests"]["strategy"]["matrix"]
    assert {name.partition("-")[0] for name in matrix["os"]} == {"ubuntu", "macos", "windows"}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert f">={matrix['python'][0]}" == project["requires-python"]
    assert matrix["python"] == [f"3.{minor}" for minor in (11, 12, 13)]


def test_the_commands_name_options_and_files_that_are_there() -> None:
    from warmdown.cli.main import main

    files = ["constraints.txt", "requirements-peers.txt"]
    for line in without_make():
        name, *words = shlex.split(line)
        if name == "warmdown":
            command = main.get_command(main.make_context(name, [*words]), words[0])
            assert command is not None
            options = command.make_context(words[0], words[1:]).params
            files += options["plans"] if words[0] == "compare" else [options["given"]]
    assert len(files) == 5
    assert [name for name in files if not Path(ROOT, name).is_file()] == []


def test_the_tests_under_the_double_of_windows_are_there() -> None:
    listed = (ROOT / "tests/windows/tests.txt").read_text(encoding="utf-8").split()
    assert len(listed) > 20
    assert [name for name in listed if not Path(ROOT, name).is_file()] == []
