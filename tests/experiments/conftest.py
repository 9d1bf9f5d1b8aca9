"""What the tests of experiments share: one folder of tasks, so that one process after the other is not started anew."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder for modules of tasks."""
    return tmp_path_factory.mktemp("tasks")
