"""The documentation site: what it is made of. `make site` builds it, with warnings as errors."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator
from importlib import import_module
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml
from docs import make_gallery, site_pages
from tests.house import ROOT

import warmdown as wd

SITE: dict[str, Any] = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
MADE = {page for page in site_pages.FROM_THE_ROOT.values() if page.endswith(".md")}
REPOSITORY = SITE["extra"]["repository"]
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))


def pages_of(entry: Any) -> Iterator[str]:
    if isinstance(entry, str):
        yield entry
    else:
        for part in entry.values() if isinstance(entry, dict) else entry:
            yield from pages_of(part)


def test_every_page_stands_in_the_navigation_once() -> None:
    docs = ROOT / "docs"
    written = {
        path.relative_to(docs).as_posix()
        for path in [*docs.rglob("*.md"), *docs.rglob("*.ipynb")]
        if ".ipynb_checkpoints" not in path.parts
    }
    assert sorted(pages_of(SITE["nav"])) == sorted(written | MADE), "add it to mkdocs.yml"


ROOMS = [
    pytest.param(room, id=room, marks=[pytest.mark.slow] if ".integrations." in room else [])
    for door in site_pages.DOORS
    for room in door.rooms
]
"""Every door of the package; other people's trainers take seconds to import."""


@pytest.mark.parametrize("room", ROOMS)
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # of a trainer's own import
def test_every_public_name_of_a_room_is_on_the_reference(room: str) -> None:
    shown = {
        name
        for door in site_pages.DOORS
        if room in door.rooms
        for of, name, _ in door.names()
        if of == room
    }
    module = import_module(room)
    offered = {name: getattr(module, name) for name in getattr(module, "__all__", ())}
    assert shown
    assert shown >= {
        name
        for name, thing in offered.items()
        if inspect.isroutine(thing)
        or (inspect.isclass(thing) and thing.__module__.startswith("warmdown."))
    }


def test_every_name_of_the_package_is_on_the_reference() -> None:
    doors = [door for door in site_pages.DOORS if door.page != "integrations"]
    shown = {name for door in doors for _, name, _ in door.names()}
    missing = [name for name in wd.__all__ if name not in shown]
    assert missing == [], "add their room to DOORS in docs/site_pages.py"


def test_a_name_is_described_once_and_linked_from_other_rooms() -> None:
    pages = {door.page: site_pages.reference(door) for door in site_pages.DOORS[:-1]}
    path = "warmdown.compat.names.transformers.get_scheduler"
    assert [page for page, text in pages.items() if f"::: {path}\n" in text] == [
        "compat-transformers"
    ]
    assert f"[`get_scheduler`][{path}]" in pages["compat-names"]
    assert "### get_wsd_schedule\n\n```python\nget_wsd_schedule(" in pages["compat-transformers"]
    assert "(compat-transformers.md#get_wsd_schedule)" in site_pages.reference(
        next(door for door in site_pages.DOORS if door.page == "compat-transformers")
    )


def test_a_docstring_is_shown_as_markdown() -> None:
    text = (
        "Half of :class:`~warmdown.Cosine`.\n\n.. math:: v =\n          1\n\nExample:\n    >>> 1\n"
    )
    assert site_pages.as_markdown(text) == (
        "Half of `warmdown.Cosine`.\n\n```math\nv =\n          1\n```\n\nExamples:\n    >>> 1\n"
    )


class KnownFiles:
    """Stands for the builder's list of files."""

    def __init__(self, *paths: str) -> None:
        self.paths = paths

    def get_file_from_path(self, path: str) -> Any:
        return path if path in self.paths else None


@pytest.mark.parametrize(
    ("source", "name", "link", "expected"),
    [
        ("docs/a.md", "a.md", "b.md#part", "b.md#part"),
        ("docs/a.md", "a.md", "../SECURITY.md", "security.md"),
        ("docs/a.md", "a.md", "../llms.txt", "llms.txt"),
        ("docs/a.md", "a.md", "../examples/own_task.py", "examples.md#own_taskpy"),
        ("docs/a.md", "a.md", "../src/x.py", f"{REPOSITORY}/blob/main/src/x.py"),
        ("SECURITY.md", "security.md", "docs/b.md", "b.md"),
        ("benchmarks/README.md", "benchmarks.md", "../docs/b.md", "b.md"),
        ("docs/notebooks/n.ipynb", "notebooks/n.ipynb", "../b.md", "../b.md"),
        ("docs/a.md", "a.md", "https://example.org/x.md", "https://example.org/x.md"),
        ("docs/a.md", "a.md", "#part", "#part"),
    ],
)
def test_a_link_is_right_on_the_site_too(source: str, name: str, link: str, expected: str) -> None:
    files: Any = KnownFiles("b.md", "security.md", "llms.txt", "examples.md")
    found = site_pages.links_of_the_site(f"[x]({link})", source, name, files, REPOSITORY)
    assert found == f"[x]({expected})"


def test_the_gallery_has_a_card_with_its_curve_for_every_entry() -> None:
    page = (ROOT / "docs" / "gallery.md").read_text(encoding="utf-8")
    cards = make_gallery.cards(page)
    for entry in make_gallery.entries():
        assert f"![](gallery/{entry.picture}){{ loading=lazy }}]" in cards
    assert "| name | | |" not in cards


def test_a_page_that_would_ask_the_network_is_seen() -> None:
    html = '<a href="https://a.org"></a><script src="https://b.org/x.js"></script><img src=//c.org>'
    assert site_pages.fetched_by(html) == ["https://b.org/x.js", "//c.org"]
    assert SITE["theme"]["font"] is False


FORMULA = re.compile(r"```math\n(.*?)\n```", re.DOTALL)


@pytest.mark.slow
def test_every_formula_is_drawn_without_a_script() -> None:
    texts = [(ROOT / "docs" / "gallery.md").read_text(encoding="utf-8")]
    texts += [
        site_pages.as_markdown(inspect.getdoc(getattr(wd, name)) or "") for name in wd.__all__
    ]
    formulas = [one for text in texts for one in FORMULA.findall(text)]
    assert len(formulas) > 40
    for formula in formulas:
        drawn = ElementTree.fromstring(site_pages.mathml(formula))
        assert "\\" not in "".join(drawn.itertext()), formula
    assert "<mi>end</mi>" in site_pages.mathml(r"v(t) = end + \frac{start}{2}")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: str(path.name))
def test_a_notebook_is_kept_without_what_it_printed(path: Any) -> None:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    assert all(not c.get("outputs") and not c.get("execution_count") for c in cells)


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: str(path.name))
def test_a_notebook_runs_from_top_to_bottom(path: Any, tmp_path: Any) -> None:
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=120, kernel_name="python3", resources=resources).execute()
