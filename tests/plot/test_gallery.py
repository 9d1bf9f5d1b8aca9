"""The page that shows every shape and every recipe."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from inspect import isabstract
from pathlib import Path

import pytest
from docs import make_gallery

import warmdown as wd
from warmdown import plot

DOCS = Path(__file__).parents[2] / "docs"
ENTRIES = list(make_gallery.entries())
NAMES = [entry.name for entry in ENTRIES]


def is_drawn(name: str) -> bool:
    """Return whether a public name is a shape or a recipe, and no base to write a shape from."""
    thing = getattr(wd, name)
    is_shape = isinstance(thing, type) and issubclass(thing, wd.Schedule)
    return name in wd.recipes() or (is_shape and not isabstract(thing))


def test_every_public_schedule_and_recipe_is_in_the_gallery_once() -> None:
    assert sorted(NAMES) == sorted(filter(is_drawn, wd.__all__))


def test_each_example_is_what_its_name_says() -> None:
    for entry in ENTRIES:
        if isinstance(entry.shown, type):
            assert any(isinstance(part, entry.shown) for part in all_parts(entry.example())), (
                entry.name
            )


def all_parts(schedule: wd.Schedule) -> Iterator[wd.Schedule]:
    yield schedule
    for part in schedule.parts():
        yield from all_parts(part)


@pytest.mark.parametrize("entry", ENTRIES, ids=NAMES)
def test_each_picture_is_there_and_shows_what_the_schedule_does_now(
    entry: make_gallery.Entry,
) -> None:
    document = (DOCS / "gallery" / entry.picture).read_text(encoding="utf-8")
    told = re.search(r"<desc>(.*?)</desc>", document, flags=re.DOTALL)
    assert told is not None
    assert unescape(told[1]) == plot.summary(plot.view(entry.plan(), points=500)), "run `make docs`"


def test_the_page_is_what_its_generator_writes() -> None:
    assert (DOCS / "gallery.md").read_text(encoding="utf-8") == make_gallery.page(ENTRIES), (
        "run `make docs`"
    )


def test_no_picture_is_left_over() -> None:
    assert {path.name for path in (DOCS / "gallery").glob("*.svg")} == {
        entry.picture for entry in ENTRIES
    }


def test_every_shape_with_a_formula_shows_it() -> None:
    page = (DOCS / "gallery.md").read_text(encoding="utf-8")
    for entry in ENTRIES:
        if ".. math::" in (entry.shown.__doc__ or ""):
            section = page.split(f"### `{entry.name}`\n")[1].split("\n### ")[0]
            assert "```math\n" in section, entry.name
