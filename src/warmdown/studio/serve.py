"""The server of the page: on this machine's own address, with a token of its own."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import socket
import threading
import webbrowser
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from warmdown.errors import MissingExtra
from warmdown.studio.draft.document import Draft
from warmdown.studio.security.folder import Folder
from warmdown.studio.security.worker import Worker

if TYPE_CHECKING:
    from warmdown.forecast import Law
    from warmdown.studio.page.state import AppContext

_LOOPBACK = "127.0.0.1"
_LARGEST_MESSAGE = 1_000_000
_LONGEST_HEADERS = 65_536
_HEADSTART = 3.0
"""Seconds that the first tab has the processor for itself, before a process imports torch."""
_FRAMED = "http://localhost:* http://127.0.0.1:* https://localhost:* https://127.0.0.1:*"


@final
@dataclass(frozen=True)
class ServerConfig:
    """How the page is served.

    Args:
        folder: Plans are opened from it and saved to it, and nowhere else.
        draft: What a new tab shows.
        port: Of this machine; 0 for any free one.
        watch: The folder of runs to watch, if any.
        browser: Whether to open one.
        is_framed: Whether it is shown inside a notebook's page.
        announce: Called with the address as soon as the page can be asked for.
        law: What the loss is predicted by, if anything.
        bring: A configuration of the folder that a new tab shows as a plan, if any.
        is_read_only: Whether nothing is written: no plan, and nothing to a running job.
    """

    folder: Path
    draft: Draft
    port: int
    watch: Path | None
    browser: bool
    is_framed: bool
    announce: Callable[[str], None]
    law: Law | None = None
    bring: str = ""
    is_read_only: bool = False


def serve_page(start: ServerConfig) -> None:
    """Serve the page until it is interrupted.

    Raises:
        MissingExtra: NiceGUI is not installed.
        OSError: The port is taken.
    """
    if find_spec("nicegui") is None:
        raise MissingExtra("studio", "nicegui", "studio")
    listening = socket.create_server((_LOOPBACK, start.port))
    port, token = listening.getsockname()[1], secrets.token_urlsafe(24)
    # in a frame browsers send no cookie: there the token stands in each path
    path = f"~{token}/" if start.is_framed else f"?token={token}"
    address = f"http://{_LOOPBACK}:{port}/{path}"
    # the browser starts, and its question waits at the socket, while the framework is imported
    start.announce(address)
    if start.browser:
        threading.Thread(target=webbrowser.open, args=[address], daemon=True).start()

    import uvicorn
    from fastapi import FastAPI
    from nicegui import __version__, core, ui

    from warmdown.studio.page.page import build_design, prepare
    from warmdown.studio.page.state import AppContext
    from warmdown.studio.page.watching import build_runs
    from warmdown.studio.security.guard import CompressedAssets, RequestGuard

    folder, worker = Folder(start.folder, start.is_read_only), Worker(start.folder)
    app = AppContext(
        folder, worker, start.draft, start.watch, start.law, start.bring, start.is_read_only
    )
    server_app = FastAPI(
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        lifespan=partial(_while_up, app, start),
    )
    prepare()
    ui.page("/design" if start.watch else "/")(partial(build_design, app))
    if start.watch:
        ui.page("/")(partial(build_runs, app))
    core.app.add_middleware(CompressedAssets, path=f"/_nicegui/{__version__}/")
    ui.run_with(
        server_app,
        title="warmdown studio",
        favicon=_FAVICON,
        language="en-US",
        tailwind=False,
        reconnect_timeout=15.0,  # a machine that trains has little time for a page
        gzip_middleware_factory=None,
        show_welcome_message=False,
    )
    core.app.config.socket_io_js_transports = ["websocket"]
    # its bar for loads in the background has no name for a screen reader
    core.app.config.quasar_config["loadingBar"]["skipHijack"] = True
    guarded = RequestGuard(
        server_app,
        token=token,
        cookie=f"warmdown-{port}",
        framed_by=_FRAMED if start.is_framed else "'none'",
    )
    config = uvicorn.Config(
        guarded,
        log_level="error",
        access_log=False,
        http="h11",  # it bounds what comes before the guard sees it
        h11_max_incomplete_event_size=_LONGEST_HEADERS,
        ws="wsproto",
        ws_max_size=_LARGEST_MESSAGE,
        timeout_graceful_shutdown=1,
        server_header=False,
    )
    server = uvicorn.Server(config)
    # theirs waits for every open page
    server.handle_exit = partial(_leave, server)  # type: ignore[method-assign]
    server.run(sockets=[listening])


def _leave(server: Any, *_: Any) -> None:
    """End at once: a page that is open keeps its plan, and waits for the next start by itself."""
    # what is broken off now is meant to be
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    server.should_exit = server.force_exit = True


@contextlib.asynccontextmanager
async def _while_up(app: AppContext, start: ServerConfig, _: Any) -> AsyncIterator[None]:
    """Start what takes long before anyone asks for it; end it with the server."""
    warming = asyncio.create_task(_warm_up_page(app, start))
    try:
        yield
    finally:
        warming.cancel()
        with contextlib.suppress(BaseException):
            await warming
        await app.worker.close()
        app.folder.close()


async def _warm_up_page(app: AppContext, start: ServerConfig) -> None:
    from nicegui import core

    from warmdown.studio.draft.catalogue import catalogue

    await asyncio.to_thread(catalogue)
    if not start.is_framed:  # a notebook may show many pages, and few of them need it
        has_tab = asyncio.Event()
        core.app.on_connect(has_tab.set)
        await has_tab.wait()
        await asyncio.sleep(_HEADSTART)
        # without torch there is no such process, and each question says so
        with contextlib.suppress(Exception):
            await app.worker.start()


_FAVICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">'
    '<rect width="32" height="32" rx="7" fill="#0067b1"/>'
    '<path d="M5 25 L10 8 C17 8 17 24 27 25" fill="none" stroke="#fff" stroke-width="3" '
    'stroke-linecap="round"/></svg>'
)
