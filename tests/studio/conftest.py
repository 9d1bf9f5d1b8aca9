"""Fixtures: a simulated page, and the real one in a real browser."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.studio.pages import CHROMIUM, FLAGS, Simulated, open_tab, opened, serve

from warmdown.importing.fence_worker import _run_task
from warmdown.schedules.base import PlainData
from warmdown.studio.draft.document import Draft
from warmdown.studio.page.state import AppContext
from warmdown.studio.process import Server
from warmdown.studio.security.child import _tasks
from warmdown.studio.security.folder import Folder
from warmdown.studio.security.worker import Worker

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page
    from tests.studio.test_browser_tell import RunningLoop


@pytest.fixture(scope="module", autouse=True)
def _only_new_objects_are_looked_through() -> None:
    """Spare what was there before: around each simulated page the framework collects garbage twice.

    Among all that other tests have imported, that is a second.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture
def page_of(tmp_path: Path) -> Iterator[Callable[..., Simulated]]:
    """Return what makes a simulated page in an empty folder."""
    folders: list[Folder] = []

    def make(draft: Draft | None = None, **found: Any) -> Simulated:
        folders.append(Folder(tmp_path))
        app = AppContext(folders[-1], Worker(tmp_path), draft or Draft())
        return Simulated(app, {"link": "", "kept": "", "dark": False, **found})

    yield make
    for folder in folders:
        folder.close()


@pytest.fixture
def loop(tmp_path: Path) -> Iterator[RunningLoop]:
    """Train in a folder below the one that is watched."""
    from tests.studio.test_browser_tell import RunningLoop

    (tmp_path / "runs" / "job").mkdir(parents=True)
    started = RunningLoop(tmp_path / "runs" / "job")
    started.start()
    yield started
    started.is_over.set()
    started.join()


@pytest.fixture
def answered_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answer questions about classes in this process: one of its own takes seconds to start."""

    async def ask(_: Worker, question: PlainData, *, seconds: float) -> Any:
        assert seconds > 0
        return json.loads(json.dumps(_run_task(_tasks(), json.loads(json.dumps(question)))))

    monkeypatch.setattr(Worker, "ask", ask)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Serve the page from an empty folder."""
    started = serve(tmp_path_factory.mktemp("plans"))
    yield started
    started.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start Debian's chromium."""
    if not Path(CHROMIUM).exists():
        pytest.skip(f"{CHROMIUM} is not installed: on Debian, 'apt-get install chromium' brings it")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield started
        started.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """Open a browser that remembers nothing; what its pages complain of is an error."""
    with opened(browser) as fresh:
        yield fresh


@pytest.fixture
def tab(context: BrowserContext, server: Server) -> Page:
    """Open the page in a tab."""
    return open_tab(context, server)
