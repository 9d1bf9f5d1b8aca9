"""What every test shares: one torch thread, and no surprises from the network."""

from __future__ import annotations

import gc
import os
import re
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import hypothesis
import pytest
from tests.unix import needed_of_unix

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # tiny models on two threads run several times slower
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

# every worker and every child process would compile this source again
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

os.fsync = lambda fd: None  # no test cuts the power, and hundreds would wait for the disk

hypothesis.settings.register_profile("fast", max_examples=50, deadline=None, derandomize=True)
hypothesis.settings.register_profile("long", max_examples=1000, deadline=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))


NOT_IN_TORCH_2_6 = {
    "other arguments, other edits by hand": (
        "test_averaging_moves_from_the_rate_that_the_part_before_it_left",
        "test_every_name_takes_the_originals_arguments_and_then_verbose",
        "test_every_step_has_the_original_value",
        "test_rates_that_no_step_of_the_curve_has_are_gone_on_from",
        "test_every_block_of_a_page_does_what_the_page_says[coming-from-torch.md]",
        "test_torchs_sequence_drives_our_parts_and_ours_drives_torchs",
        "test_whatever_happens_to_it_a_scheduler_holds_what_the_original_holds",
        "test_where_the_two_part_it_is_as_listed",
    ),
    "its sequence steps each part by its epoch": (
        "test_a_composed_run_resumes_as_a_whole",
        "test_a_sequence_of_any_parts_is_entered_by_its_number",
        "test_each_part_of_a_sequence_runs_from_its_own_first_step",
        "test_so_has_that_of_one_whose_state_was_loaded",
        "test_the_plan_of_a_running_scheduler_has_its_next_rates",
        "test_what_is_composed_is_a_part_like_any_other_and_begins_with_its_turn",
    ),
    "its compiler does not follow these": (
        "test_a_compiled_formula_equals_the_plain_one",
        "test_whole_steps_become_singles_on_a_device_without_doubles",
    ),
    "its last digits are others": (
        "test_a_training_goes_on_from_its_checkpoint_and_ends_as_it_ended",
    ),
}
"""Tests that compare with torch where 2.6 does something else, by what it does."""


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave a file unread whose every test the expression of ``-m`` leaves out."""
    is_asked_for = any(collection_path.name in one for one in config.args)
    if collection_path.suffix != ".py" or is_asked_for:
        return None
    of_all = re.search(r"^pytestmark = (.*)$", collection_path.read_text("utf-8"), re.MULTILINE)
    marks = re.findall(r"mark\.(\w+)", of_all[1]) if of_all else []
    if collection_path.parent.name == "peers":
        marks.append("peers")
    return any(f"not {mark}" in config.option.markexpr for mark in marks) or None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs Unix on a system that is none; expect less of torch 2.6."""
    if version("torch").startswith("2.6."):
        for reason, names in NOT_IN_TORCH_2_6.items():
            for item in items:
                if {item.name, getattr(item, "originalname", "")} & {*names}:
                    item.add_marker(pytest.mark.xfail(strict=False, reason=f"torch 2.6: {reason}"))
    if hasattr(os, "fork"):
        return
    for item in items:
        needed = needed_of_unix(item.path, getattr(item, "originalname", item.name))
        if needed or item.get_closest_marker("unix"):
            item.add_marker(pytest.mark.skip(reason=f"needs {', '.join(sorted(needed)) or 'Unix'}"))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Look for no garbage while tests are collected, nor later among what was imported for them."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Keep torch on one thread, in tests that have loaded it."""
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)
