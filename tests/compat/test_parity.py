"""Every name beside the original, value for value: random arguments, one to five groups."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.compat.differences import DIFFERENCES
from tests.compat.differences_others import LIBRARIES
from tests.compat.parity import (
    ARGUMENTS,
    OURS,
    TORCH,
    Difference,
    adam,
    furthest,
    made,
    rates,
    shown,
    trace,
)
from torch.optim import lr_scheduler as torch_sched

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "coming-from-torch.md"
OTHERS = [(name, each) for name, library in LIBRARIES.items() for each in library.differences]
NAMES = [*torch_sched.__all__, "SWALR", "_LRScheduler"]


@pytest.mark.parametrize("kind", ["float", "tensor"])
@pytest.mark.parametrize("name", ARGUMENTS)
@settings(max_examples=15)
@given(data=st.data())
def test_every_step_has_the_original_value(name: str, kind: str, data: st.DataObject) -> None:
    arguments, groups = data.draw(ARGUMENTS[name]), data.draw(rates)
    steps = data.draw(st.integers(1, 30))
    expected = trace(made(TORCH, name, adam(groups, kind), arguments), steps)
    found = trace(made(OURS, name, adam(groups, kind), arguments), steps)
    assert furthest(found, expected) < 1e-12


LISTS: dict[str, tuple[Any, ...]] = {
    "LambdaLR": ([lambda step: 0.9**step, lambda step: 1 / (1 + step), lambda step: 1.0],),
    "MultiplicativeLR": ([lambda step: 0.9, lambda step: 0.8, lambda step: 1.0],),
    "CyclicLR": (
        [0.1, 0.2, 0.3],
        [0.4, 0.5, 0.6],
        3,
        None,
        "triangular2",
        1.0,
        None,
        "cycle",
        True,
        [0.5] * 3,
        [0.9] * 3,
    ),
    "OneCycleLR": (
        [0.1, 0.2, 0.3],
        40,
        None,
        None,
        0.3,
        "cos",
        True,
        [0.5, 0.6, 0.7],
        [0.8, 0.9, 0.95],
    ),
    "SWALR": ([0.1, 0.2, 0.3], 5),
}
"""Arguments with one value for each of three groups."""


@pytest.mark.parametrize("kind", ["float", "tensor"])
@pytest.mark.parametrize("name", LISTS)
def test_a_list_gives_each_group_its_own(name: str, kind: str) -> None:
    traces = [
        trace(getattr(names, name)(adam([1.0, 2.0, 3.0], kind), *LISTS[name]), 30)
        for names in (OURS, TORCH)
    ]
    assert furthest(*traces) < 1e-12


@pytest.mark.parametrize("name", NAMES)
def test_every_name_takes_the_originals_arguments_and_then_verbose(name: str) -> None:
    expected, found = (inspect.signature(getattr(names, name)) for names in (TORCH, OURS))
    here = [
        (each.name, each.default, each.kind)
        for each in found.parameters.values()
        if each.name != "verbose"
    ]
    assert here == [(each.name, each.default, each.kind) for each in expected.parameters.values()]
    assert name == "ChainedScheduler" or list(found.parameters)[-1] == "verbose"


@pytest.mark.parametrize("name", NAMES)
def test_every_name_is_a_subclass_of_the_original(name: str) -> None:
    assert issubclass(getattr(OURS, name), getattr(TORCH, name))


@pytest.mark.parametrize("name", NAMES)
def test_step_takes_what_the_originals_takes(name: str) -> None:
    expected, found = (inspect.signature(getattr(names, name).step) for names in (TORCH, OURS))
    composed = {"SequentialLR", "ChainedScheduler"}  # they pass a plateau's metric on
    assert list(found.parameters) == [
        *expected.parameters,
        *(["metrics"] if name in composed else []),
    ]


def test_the_door_opens_every_name_of_the_original() -> None:
    assert {name for name in NAMES if not hasattr(OURS, name)} == set()


def label(value: object) -> str | None:
    """Name a difference's test."""
    return f"{value.on}: {value.name}" if isinstance(value, Difference) else None


@pytest.mark.parametrize("difference", DIFFERENCES, ids=label)
def test_where_the_two_part_it_is_as_listed(difference: Difference) -> None:
    assert shown(difference, TORCH) == difference.theirs
    assert shown(difference, OURS) == difference.ours


@pytest.mark.parametrize(("library", "difference"), OTHERS, ids=label)
def test_where_ours_part_from_another_library_it_is_as_listed(
    library: str, difference: Difference
) -> None:
    for make, expected in (
        (LIBRARIES[library].theirs, difference.theirs),
        (LIBRARIES[library].ours, difference.ours),
    ):
        assert shown(difference, make()) == expected
    assert difference.theirs != difference.ours


def test_the_pages_of_other_libraries_show_their_tables() -> None:
    import docs.make_parity as page

    for name in set(page.PAGES) - {PAGE.name}:
        assert page.whole(name) == (DOCS / name).read_text(encoding="utf-8")


def test_the_page_lists_every_difference_and_every_class_as_the_tests_do() -> None:
    page = PAGE.read_text(encoding="utf-8")
    missing = [
        each.name for each in DIFFERENCES if f"| {each.on} | {each.name} | {each.why} |" not in page
    ]
    assert missing == []
    assert [name for name in ARGUMENTS if f"| `{name}` |" not in page] == []


@pytest.mark.slow
def test_the_page_shows_the_table_that_the_run_gives() -> None:
    import docs.make_parity as page

    assert page.whole(PAGE.name) == PAGE.read_text(encoding="utf-8")


def test_a_difference_that_is_none_would_be_seen() -> None:
    equal: list[Any] = [each.name for each in DIFFERENCES if each.theirs == each.ours]
    assert equal == []
