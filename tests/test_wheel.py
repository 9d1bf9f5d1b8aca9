"""What is built and installed is whole: in an environment of its own, and by its metadata."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib import resources
from importlib.metadata import files, metadata
from pathlib import Path

import pytest
import yaml
from tests.house import ROOT

import warmdown
from warmdown.errors import OLD_NAMES_GO_IN


def as_numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def test_old_names_go_in_a_version_that_is_still_to_come() -> None:
    assert as_numbers(OLD_NAMES_GO_IN) > as_numbers(warmdown.__version__)[:2]


def test_the_version_is_the_same_wherever_it_is_written() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert cited["version"] == warmdown.__version__
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## {warmdown.__version__} ({cited['date-released']})" in changes
    assert metadata("warmdown")["Version"] == warmdown.__version__


def test_every_python_that_is_promised_has_its_classifier() -> None:
    named = re.findall(
        r"Python :: (3\.\d+)", " ".join(metadata("warmdown").get_all("Classifier") or [])
    )
    workflow = (ROOT / ".github/workflows/tests.yml").read_text(encoding="utf-8")
    assert str(named).replace("'", '"') in workflow


@pytest.mark.skipif("WARMDOWN_INSTALLED" not in os.environ, reason="of the wheel alone")
def test_the_wheel_holds_all_that_is_used_and_runs_without_the_source(tmp_path: Path) -> None:
    place = Path(os.environ["WARMDOWN_INSTALLED"])
    assert Path(warmdown.__file__).is_relative_to(place)
    for name in ("py.typed", "plan.schema.json", "docs/misuse.md"):
        assert resources.files(warmdown).joinpath(name).is_file()
    assert not [
        file for file in files("warmdown") or [] if file.parts[0] in ("tests", "benchmarks")
    ]
    for words in (["list"], ["show", "warmup_cosine"], ["explain", "empty-phase"]):
        done = subprocess.run(
            [sys.executable, "-m", "warmdown", *words],
            cwd=tmp_path,
            capture_output=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, b"")
