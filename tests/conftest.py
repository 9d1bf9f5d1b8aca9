"""What every test shares: one torch thread, and no surprises from the network."""

from __future__ import annotations

import os

import hypothesis
import pytest
from tests.unix import needed_of_unix

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # tiny models on two threads run several times slower
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

hypothesis.settings.register_profile("fast", max_examples=50, deadline=None, derandomize=True)
hypothesis.settings.register_profile("long", max_examples=1000, deadline=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs Unix on a system that is none."""
    if hasattr(os, "fork"):
        return
    for item in items:
        needed = needed_of_unix(item.path, getattr(item, "originalname", item.name))
        if needed or item.get_closest_marker("unix"):
            item.add_marker(pytest.mark.skip(reason=f"needs {', '.join(sorted(needed)) or 'Unix'}"))


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Keep torch on one thread, in tests that have loaded it."""
    import sys

    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)
