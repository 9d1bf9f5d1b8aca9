"""One folder of tasks for all tests of experiments, so that worker processes stay the same."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder for modules of tasks."""
    return tmp_path_factory.mktemp("tasks")
