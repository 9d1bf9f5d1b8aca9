"""A page to type on: simulated for logic, real in a browser for what only a browser shows."""

from __future__ import annotations

import asyncio
import os
import queue
import re
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from warmdown.studio.page.state import AppContext
from warmdown.studio.process import Server, start_server

if TYPE_CHECKING:
    from nicegui.testing import User
    from playwright.sync_api import Browser, BrowserContext, Locator, Page

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip

Visit = Callable[["User"], Awaitable[None]]


@dataclass
class Simulated:
    """A page without a browser.

    Args:
        app: What its tabs share.
        found: What the browser would tell when the page is loaded.
    """

    app: AppContext
    found: dict[str, Any]

    def visit(self, act: Visit) -> None:
        """Open the page and act on it."""

        async def run() -> None:
            try:
                async with self._opened() as user:
                    await act(user)
            finally:
                await self.app.worker.close()

        asyncio.run(run())

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[User]:
        from nicegui.testing import user_simulation

        from warmdown.studio.page.page import build_design
        from warmdown.studio.page.watching import build_runs

        async def root() -> None:
            await (build_runs if self.app.watch else build_design)(self.app)

        async with user_simulation(root) as user:
            user.javascript_rules = {re.compile(r"warmdown\.found\(\)"): lambda _: self.found}
            await user.open("/")
            await until(
                lambda: any(
                    part in shown(user)
                    for part in ("Start with your situation", "Groups and base", "Latest values")
                )
            )
            try:
                yield user
            finally:  # a tab that is gone is not waited for; one more message wakes its sender
                assert user.client is not None
                user.client.run_javascript("")
                user.client.delete()


def shown(user: User) -> str:
    """Return every text that the page shows, a line each."""
    assert user.client is not None
    elements = user.client.elements.values()
    return "\n".join(
        element._text
        for element in elements
        if isinstance(element._text, str) and _is_visible(element)
    )


def _is_visible(element: Any) -> bool:
    while element is not None:
        if not element.visible:
            return False
        element = element.parent_slot.parent if element.parent_slot else None
    return True


async def until(is_so: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait until something is so; what is not there yet counts as not so."""
    last: BaseException | None = None
    for _ in range(int(seconds / 0.02)):
        try:
            if is_so():
                return
        except AssertionError as error:
            last = error
        await asyncio.sleep(0.02)
    raise AssertionError(f"it did not come to be so within {seconds:g} seconds") from last


def serve(folder: Path, *options: str) -> Server:
    """Start the page as a person does, and wait for its address."""
    server = start_server(folder, *options, env={**os.environ, "PYTHONPATH": ""})
    assert server.address
    return server


@contextmanager
def opened(browser: Browser, width: int = 1280, scheme: str = "light") -> Iterator[BrowserContext]:
    """Open a browser that remembers nothing; what its pages complain of is an error."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]
    context.set_default_timeout(60_000)  # other tests may have the machine meanwhile
    complaints: list[str] = []
    context.on("weberror", lambda error: complaints.append(str(error.error)))
    yield context
    context.close()
    assert complaints == []


def open_tab(context: BrowserContext, server: Server, fragment: str = "") -> Page:
    """Open the page with its token, and wait until it is there."""
    page = context.new_page()
    page.goto(server.address)
    page.wait_for_selector(_BEGUN, timeout=60_000)
    if fragment:
        page.goto("about:blank")  # a link that only changes the address loads no page
        page.goto(f"{server.origin}/#{fragment}")
        page.wait_for_selector(_BEGUN, timeout=60_000)
    return page


@contextmanager
def delayed(server: Server, seconds: float) -> Iterator[str]:
    """Offer the page over a link on which everything arrives late; yield its address there."""
    port = int(server.origin.rpartition(":")[2])
    found: queue.SimpleQueue[tuple[asyncio.AbstractEventLoop, asyncio.Event, int]]
    found = queue.SimpleQueue()

    ends: list[asyncio.StreamWriter] = []

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        later = asyncio.get_running_loop().call_later
        while data := await reader.read(65_536):
            later(seconds, writer.write, data)
        later(seconds, writer.close)

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", port)
        ends.extend((writer, back))
        await asyncio.gather(carry(reader, back), carry(there, writer))

    async def run() -> None:
        is_over = asyncio.Event()
        listening = await asyncio.start_server(connect, "127.0.0.1", 0)
        at = listening.sockets[0].getsockname()[1]
        found.put((asyncio.get_running_loop(), is_over, at))
        await is_over.wait()
        listening.close()
        for end in ends:
            end.transport.abort()
        await asyncio.gather(*(end.wait_closed() for end in ends), return_exceptions=True)

    thread = threading.Thread(target=asyncio.run, args=[run()])
    thread.start()
    loop, is_over, at = found.get()
    try:
        yield server.address.replace(f":{port}", f":{at}")
    finally:
        loop.call_soon_threadsafe(is_over.set)
        thread.join()


CONTRAST = "color-contrast"
"""Axe takes a coloured button of a dialog for one on what lies behind: those colours are looked at
on the page itself."""


class Screens:
    """Looks at one screen after the other, and collects what axe finds and what is too wide."""

    def __init__(self, tab: Page) -> None:
        self.tab = tab
        self.problems: list[str] = []

    def look(self, screen: str, without: str = "") -> None:
        """Look at what is shown now, without one rule if there is a reason."""
        from axe_playwright_python.sync_playwright import Axe

        self.tab.evaluate(
            "Promise.all(document.getAnimations().map(one => one.finished.catch(() => null)))"
        )
        # what a dialog darkens cannot be reached, and axe takes its darkened colours for its own
        shown = ".q-dialog" if self.tab.locator(".ask").count() else "body"
        for one in Axe().run(self.tab, context=shown).response["violations"]:
            if one["id"] == without:
                continue
            places = [node["html"][:160] for node in one["nodes"][:3]]
            self.problems.append(f"{screen}: {one['id']}: {places}")
        wide = self.tab.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        if wide > 0:
            self.problems.append(f"{screen}: {wide} pixels too wide")


def field(tab: Page, mark: str) -> Locator:
    """Return the field with a mark, to be typed into."""
    return tab.locator(f'input[data-mark="{mark}"]')


def press(tab: Page, mark: str) -> None:
    """Press what has a mark."""
    tab.click(f'[data-mark="{mark}"]')


def text_of(tab: Page) -> str:
    """Return the plan as text, as it stands beside the curve."""
    return tab.locator('[data-mark="text"]').text_content() or ""


def text_has(tab: Page, *parts: str) -> None:
    """Wait until the plan as text holds the parts, one after the other."""
    pattern = "[^]*".join(re.escape(part) for part in parts)
    tab.wait_for_function(
        "pattern => new "
        "RegExp(pattern).test(document.querySelector('[data-mark=text]')?.textContent ?? '')",
        arg=pattern,
    )


_BEGUN = '[data-mark="preset-0"]:visible, [data-mark="phase-0"]:visible'
