"""The guard of the page: one ASGI middleware that every request and websocket passes first."""

from __future__ import annotations

import asyncio
import hmac
import re
import secrets
from dataclasses import dataclass
from typing import final

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import HTTPConnection
from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_LOOPBACK = re.compile(r"(?:127\.0\.0\.1|localhost|\[::1\])(?::\d{1,5})?")
_LONGEST_ADDRESS = 4_096
_LARGEST_MESSAGE = 1_000_000
"""Bytes; the page itself refuses to send more."""
_LONGEST_REQUEST = 20.0
"""Seconds for one answer over http."""
_KEPT_FROM_THE_FRAMEWORK = (b"x-forwarded-", b"forwarded")
"""Headers that a proxy would set: there is none, so they are forged."""


_FOR_ALL = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}
"""Headers of every answer."""


@final
@dataclass(frozen=True)
class Refusal(Exception):
    """A request that is not answered.

    Args:
        status: Of http.
        why: Sent to whoever asked.
    """

    status: int
    why: str


@final
class RequestGuard:
    """Lets in who has the token of this server and names this machine by its own name.

    The token comes once in the address that the terminal shows and is then kept in a cookie; in a
    frame of a notebook, where browsers send no cookies, it stands in the path.

    Args:
        app: What is guarded.
        token: Of this server.
        cookie: Name of the cookie; one for each port, because browsers share cookies between ports.
        framed_by: Sources that may show the page in a frame, as in a Content-Security-Policy.
    """

    def __init__(
        self, app: ASGIApp, *, token: str, cookie: str = "warmdown", framed_by: str = "'none'"
    ) -> None:
        self.app = app
        self.token = token
        self.cookie = cookie
        self.framed_by = framed_by

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on what may come in."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        try:
            inside = self._let_in(scope)
        except Refusal as refusal:
            await _refuse(scope, receive, send, refusal)
            return
        if inside is None:
            cookie = f"{self.cookie}={self.token}; HttpOnly; SameSite=Lax; Path=/"
            headers = {"location": "/", "set-cookie": cookie, "referrer-policy": "no-referrer"}
            await Response(status_code=303, headers=headers)(scope, receive, send)
        elif scope["type"] == "websocket":
            await self.app(inside, _with_bound(receive), send)
        else:
            await self._answer(inside, receive, send)

    def _let_in(self, scope: Scope) -> Scope | None:
        """Return the scope for the framework, or ``None`` when the token has just been shown."""
        request = HTTPConnection(scope)
        path: str = scope["path"]
        _check_address(scope)
        _check_names(scope, request.headers)
        plain = [
            (name, value)
            for name, value in scope["headers"]
            if not name.lower().startswith(_KEPT_FROM_THE_FRAMEWORK)
        ]
        head, slash, _ = path[2:].partition("/")
        if path.startswith("/~") and slash and self._is_token(head):  # as in /~token/…
            return {**scope, "root_path": f"/~{head}", "headers": plain}
        is_front_door = scope["type"] == "http" and path == "/"
        if is_front_door and self._is_token(request.query_params.get("token", "")):
            return None
        if not self._is_token(request.cookies.get(self.cookie, "")):
            raise Refusal(
                403,
                "This page belongs to whoever started it. Open the address that its "
                "terminal shows.",
            )
        return {**scope, "headers": plain}

    def _is_token(self, text: str) -> bool:
        return hmac.compare_digest(text.encode(), self.token.encode())

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, in bounded time, and give the answer its headers."""
        outgoing = _Outgoing(send, self.framed_by)
        answering = self.app(scope, _with_bound(receive), outgoing)
        try:
            await asyncio.wait_for(answering, timeout=_LONGEST_REQUEST)
        except TimeoutError:
            if not outgoing.has_begun:
                refusal = Refusal(503, "This took too long. Reload the page.")
                await _refuse(scope, receive, send, refusal)


class _Outgoing:
    """Adds the headers of a private page; a page of HTML also gets a nonce for its scripts."""

    def __init__(self, send: Send, framed_by: str) -> None:
        self.send = send
        self.framed_by = framed_by
        self.has_begun = False
        self.page: Message | None = None
        self.body = b""

    async def __call__(self, message: Message) -> None:
        self.has_begun = True
        if message["type"] == "http.response.start":
            headers = MutableHeaders(raw=list(message["headers"]))
            headers.update(_FOR_ALL)
            message = {**message, "headers": headers.raw}
            if headers.get("content-type", "").startswith("text/html"):
                self.page = message
                return
        elif self.page is not None:
            self.body += message.get("body", b"")
            if not message.get("more_body"):
                await self._send_page(self.page)
            return
        await self.send(message)

    async def _send_page(self, start: Message) -> None:
        nonce = secrets.token_urlsafe(16)
        body = self.body.replace(b"<script", b'<script nonce="%s"' % nonce.encode())
        headers = MutableHeaders(raw=start["headers"])
        headers["content-length"] = str(len(body))
        headers["content-security-policy"] = policy(nonce, self.framed_by)
        await self.send({**start, "headers": headers.raw})
        await self.send({"type": "http.response.body", "body": body})


@final
class CompressedAssets:
    """Compresses the framework's files, and no answer that holds what is a person's.

    The size of a compressed answer would tell a page that may choose a part of it about the rest.

    Args:
        app: What answers.
        path: Of the files.
    """

    def __init__(self, app: ASGIApp, path: str) -> None:
        self.app = app
        self.path = path
        # higher levels take the time of the first page, and save a tenth
        self.compressed = GZipMiddleware(app, compresslevel=3)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        is_asset = self.path in scope.get("path", "")
        await (self.compressed if is_asset else self.app)(scope, receive, send)


def policy(nonce: str, framed_by: str) -> str:
    """Return the Content-Security-Policy of the page.

    The framework compiles its templates in the browser, which takes ``unsafe-eval``, and styles
    elements in place, which takes ``unsafe-inline`` for styles. Scripts written into the page run
    only with the nonce.
    """
    return (
        "default-src 'none'; "
        f"script-src 'self' 'nonce-{nonce}' 'unsafe-eval'; "
        "style-src 'self' 'unsafe-inline'; "
        "font-src 'self' data:; "
        "img-src 'self' data: blob:; "
        "connect-src 'self'; "
        "base-uri 'none'; "
        "form-action 'none'; "
        f"frame-ancestors {framed_by}"
    )


def _check_address(scope: Scope) -> None:
    if len(scope["path"]) + len(scope.get("query_string", b"")) > _LONGEST_ADDRESS:
        raise Refusal(414, "This address is too long.")
    if scope["type"] == "http":
        if scope["method"] not in ("GET", "HEAD"):
            raise Refusal(405, "This page only answers GET.")
        if scope["path"].split("/", 2)[1:2] == ["_nicegui_ws"]:
            raise Refusal(403, "This page speaks over a websocket.")


def _check_names(scope: Scope, headers: Headers) -> None:
    """Refuse who came by another name than this machine's, or from another page."""
    hosts, origins = headers.getlist("host"), headers.getlist("origin")
    if len(hosts) != 1 or not _LOOPBACK.fullmatch(hosts[0].lower()):
        raise Refusal(
            403, "This page answers only on this machine, by the name 127.0.0.1 or localhost."
        )
    # a browser names the origin of every websocket, and of a request from another page
    if (origins or scope["type"] == "websocket") and origins != [f"http://{hosts[0]}"]:
        raise Refusal(403, "This page answers only itself, not other sites.")


def _with_bound(receive: Receive) -> Receive:
    """Return messages as they come, and end the connection at one that is too large."""

    async def receive_bounded() -> Message:
        message = await receive()
        size = len(message.get("bytes") or message.get("text") or message.get("body") or b"")
        if size <= _LARGEST_MESSAGE:
            return message
        return {"type": message["type"].rpartition(".")[0] + ".disconnect", "code": 1009}

    return receive_bounded


async def _refuse(scope: Scope, receive: Receive, send: Send, refusal: Refusal) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        "<title>warmdown studio</title></head>"
        f"<body><main><h1>warmdown studio</h1><p>{refusal.why}</p></main></body></html>"
    )
    headers = {
        "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
        "cache-control": "no-store",
        **_FOR_ALL,
    }
    await HTMLResponse(page, refusal.status, headers)(scope, receive, send)
