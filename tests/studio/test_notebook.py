"""The page in a notebook's cell, and the picture where there is no page."""

from __future__ import annotations

import urllib.request
from pathlib import Path
from types import SimpleNamespace

import pytest

import warmdown as wd
from warmdown.errors import SpecError
from warmdown.studio import notebook
from warmdown.studio.draft.document import targets_in
from warmdown.studio.draft.links import from_fragment

PLAN = wd.Plan.of(lr=wd.warmup_cosine(end=0.1), run=wd.Run(total_steps=1000, lr=1e-3))


@pytest.mark.slow
def test_a_cell_shows_the_page_with_the_picture_behind_it(tmp_path: Path) -> None:
    page = wd.studio(PLAN, folder=tmp_path, height=500)
    try:
        cell = page._repr_html_()
        assert f'data="{page.address}"' in cell
        assert "<svg" in cell
        with urllib.request.urlopen(page.address) as answer:
            assert "frame-ancestors http://localhost:*" in answer.headers["content-security-policy"]
            assert b"warmdown studio" in answer.read()
    finally:
        page.close()
    assert page._server is None


@pytest.mark.slow
def test_the_page_ends_with_the_notebook_that_showed_it(tmp_path: Path) -> None:
    page = wd.studio(PLAN, folder=tmp_path)
    assert page.address
    assert page._server is not None
    process = page._server.process
    assert process.stdin is not None
    process.stdin.close()  # as it is when the notebook's process is gone
    assert process.wait(timeout=30) is not None
    page.close()


def test_without_the_page_there_is_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notebook, "find_spec", lambda name: None)
    cell = wd.studio(PLAN)._repr_html_()
    assert "<svg" in cell
    assert "<object" not in cell
    assert "Run the cell again" in wd.studio()._repr_html_()


def test_a_schedule_alone_drives_the_rate() -> None:
    page = wd.studio(wd.Cosine(end=0.1))
    assert [row.field for row in targets_in(page._draft.document)] == ["lr"]


def test_a_folder_that_is_not_there_is_refused() -> None:
    with pytest.raises(SpecError, match="no such folder"):
        wd.studio(folder="/no/such/folder")


def test_a_cell_shows_its_page_over_the_picture_and_one_process_serves_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts, closed = [], []
    address = "http://127.0.0.1:9/~a&b/"
    served = SimpleNamespace(address=address, close=lambda: closed.append(1))

    def start(*options: object) -> object:
        starts.append(options)
        return served

    monkeypatch.setattr(notebook, "start_server", start)
    page = wd.studio(PLAN, folder=tmp_path, height=500)
    cell = page._repr_html_()
    assert 'data="http://127.0.0.1:9/~a&amp;b/"' in cell
    assert cell.index("<svg") < cell.index("<object")
    assert cell.count("height: 500px") == 2
    assert repr(page) == f"Shown({address})"
    ((folder, framed, link),) = starts
    assert (folder, framed) == (tmp_path, "--framed")
    assert from_fragment(str(link)) == page._draft.document
    page.close()
    page.close()
    assert closed == [1]
    assert wd.studio(folder=tmp_path).address == address
    assert starts[1:] == [(tmp_path, "--framed")]
