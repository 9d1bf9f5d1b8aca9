"""Pictures as files and pages."""

from __future__ import annotations

import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

import warmdown as wd
from warmdown.plot import html, save, svg

RUN = wd.Run(total_steps=10_000, lr=3e-4)
ONE_CYCLE: dict[str, Any] = dict(wd.one_cycle())
PLAN = wd.Plan.of(**ONE_CYCLE, weight_decay=wd.Set(wd.Constant(value=0.05)), run=RUN)
NASTY = "a<b>&\"'</svg><script>alert(1)</script>"
VOID = {"meta", "br", "hr", "img", "link", "input"}


class Reader(HTMLParser):
    """Reads a page strictly: what is opened is closed, in order, and no identifier comes twice."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.identifiers: list[str] = []
        self.text: dict[str, list[str]] = {}
        self.attributes: list[tuple[str, str, str | None]] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        self.identifiers += [value for name, value in attrs if name == "id" and value]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and data.strip():
            self.text.setdefault(self.open[-1], []).append(data)


@pytest.fixture(scope="module")
def page() -> str:
    return html(PLAN, title="One cycle & more")


def test_a_page_is_well_formed_and_has_one_heading_of_the_first_rank(page: str) -> None:
    read = Reader(page)
    assert page.startswith("<!doctype html>")
    assert read.tags.count("h1") == 1
    assert read.text["h1"] == read.text["title"][:1] == ["One cycle & more"]
    assert read.text["h2"] == ["In words", "Phases", "Values"]
    assert len(read.identifiers) == len(set(read.identifiers))


def test_a_page_runs_nothing_and_loads_nothing(page: str) -> None:
    read = Reader(page)
    assert not {"script", "iframe", "object", "embed", "link", "img", "form"} & set(read.tags)
    assert not [
        name for _, name, _ in read.attributes if name.startswith("on") or name in {"src", "action"}
    ]
    links = [value or "" for _, name, value in read.attributes if name in {"href", "xlink:href"}]
    assert all(link.startswith("#") for link in links)
    assert "url(http" not in page
    assert "@import" not in page


def test_a_page_speaks_to_those_who_do_not_see_the_picture(page: str) -> None:
    read = Reader(page)
    assert ("html", "lang", "en") in read.attributes
    assert ("svg", "role", "img") in read.attributes
    assert any(
        tag == "svg" and name == "aria-label" and value for tag, name, value in read.attributes
    )
    assert "peaks at 3e-4 (update 3,000)" in read.text["desc"][0]
    assert any(text.startswith("lr starts at 1.2e-5, peaks at 3e-4") for text in read.text["p"])
    assert read.tags.count("table") == read.tags.count("caption") == 2
    scopes = {(tag, value) for tag, name, value in read.attributes if name == "scope"}
    assert scopes == {("th", "col"), ("th", "row")}


def test_a_page_has_the_numbers_of_phases_and_steps(page: str) -> None:
    cells = Reader(page).text["td"]
    assert {
        "up",
        "down",
        "stable",
        "down begins, peak, rising begins, lowest",
        "last update",
        "0.85",
    } <= set(cells)


def test_a_page_follows_the_readers_choice_of_light_or_dark(page: str) -> None:
    assert page.count("prefers-color-scheme: dark") == 2
    assert 'svg [style*="stroke: #0067b1"]{stroke:#5cb8ff !important}' in page
    assert "stroke: #0067b1" in svg(PLAN)


def test_names_are_text_and_never_markup() -> None:
    plan = {NASTY: wd.wsd().named(NASTY), "other": wd.Constant(value=1.0)}
    for document in (
        html(plan, run=RUN, title=NASTY),
        html(plan, run=RUN),
        svg(plan, run=RUN, title=NASTY),
    ):
        assert "<script" not in document
        assert "<b>" not in document
    assert Reader(html(plan, run=RUN, title=NASTY)).text["h1"] == [NASTY]


@pytest.mark.parametrize(
    "given", [PLAN, wd.wsd_s(), {"a": wd.wsd(), "b": wd.wsd()}, wd.Cosine().repeat(90)]
)
def test_an_svg_is_xml_with_title_description_and_real_text(given: Any) -> None:
    root = ElementTree.fromstring(svg(given, run=RUN))
    names = [child.tag.rpartition("}")[2] for child in root]
    assert names[:2] == ["title", "desc"]
    assert "learning rate" in [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]


def test_equal_pictures_are_equal_files() -> None:
    assert svg(PLAN) == svg(PLAN)
    assert html(PLAN) == html(PLAN)


def test_a_dark_svg_is_dark() -> None:
    assert "fill: #12161c" in svg(PLAN, dark=True)
    assert "fill: #ffffff" not in svg(PLAN, dark=True)


@pytest.mark.parametrize(
    ("suffix", "begins"), [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".HTML", b"<!doctype html>")]
)
def test_the_ending_of_the_path_decides_the_kind(
    tmp_path: Path, suffix: str, begins: bytes
) -> None:
    path = save(PLAN, tmp_path / f"curve{suffix}", log=True)
    assert path.read_bytes().startswith(begins)
    assert [entry.name for entry in tmp_path.iterdir()] == [f"curve{suffix}"]


def test_an_unknown_ending_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(wd.ScheduleError, match=r"\.png, \.svg, \.pdf, \.html"):
        save(PLAN, tmp_path / "curve.gif")
    assert list(tmp_path.iterdir()) == []


def test_a_write_that_fails_leaves_the_old_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "curve.svg"
    path.write_text("old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        save(PLAN, path)
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["curve.svg"]


def test_a_file_has_the_rights_that_a_new_file_has(tmp_path: Path) -> None:
    (tmp_path / "usual").touch()
    assert save(PLAN, tmp_path / "a.svg").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_a_notebook_shows_picture_and_text_of_a_schedule_and_of_a_plan() -> None:
    for shown in (wd.Cosine(), PLAN):
        page = shown._repr_html_()
        assert page is not None
        Reader(page)
        assert "<svg" in page
        assert re.search(r"<pre>(Cosine|Plan\.of)\(", page)


def test_a_notebook_falls_back_to_text_where_nothing_can_be_drawn() -> None:
    assert wd.warmup_cosine(warmup="2e9tok")._repr_html_() is None


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_real_browser_finds_no_barrier_on_a_page(page: str, scheme: Any, tmp_path: Path) -> None:
    from axe_playwright_python.sync_playwright import Axe
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no chromium on this machine")
    (tmp_path / "page.html").write_text(page, encoding="utf-8")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        shown = browser.new_page(color_scheme=scheme, viewport={"width": 375, "height": 800})
        shown.goto((tmp_path / "page.html").as_uri())
        found = Axe().run(shown)
        too_wide = shown.evaluate("document.documentElement.scrollWidth > window.innerWidth")
        browser.close()
    assert found.violations_count == 0, found.generate_report()
    assert not too_wide
