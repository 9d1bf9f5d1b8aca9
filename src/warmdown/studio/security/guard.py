"""The door of the page: one ASGI middleware that sees every request and every websocket before the framework does."""

from __future__ import annotations

__all__ = ["Guard", "Refusal", "policy"]

import asyncio
import hmac
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Any, TypeAlias, final
from urllib.parse import parse_qs

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

_LOOPBACK = re.compile(r"(?:127\.0\.0\.1|localhost|\[::1\])(?::\d{1,5})?")
_LONGEST_ADDRESS = 4_096
_LARGEST_MESSAGE = 1_000_000
"""Bytes; the page itself refuses to send more."""
_LONGEST_REQUEST = 20.0
"""Seconds for one answer over http."""
_KEPT_FROM_THE_FRAMEWORK = (b"x-forwarded-", b"forwarded")
"""Headers that a proxy would set: there is none, so they are forged."""


@final
@dataclass(frozen=True)
class Refusal(Exception):
    """A request that is not answered.

    Args:
        status: Of http.
        why: Told to whoever asked.
    """

    status: int
    why: str


@final
class Guard:
    """Lets in who holds the token of this launch and speaks to this machine by its own name.

    The token comes once in the address that the terminal shows and is then kept in a cookie; in a
    frame of a notebook, where browsers send no cookies, it stands in the path.

    Args:
        app: What is guarded.
        token: Of this launch.
        cookie: Name of the cookie; one for each port, because browsers share cookies between ports.
        framed_by: Sources that may show the page in a frame, as in a Content-Security-Policy.
    """

    def __init__(
        self, app: App, *, token: str, cookie: str = "warmdown", framed_by: str = "'none'"
    ) -> None:
        self.app = app
        self.token = token
        self.cookie = cookie
        self.framed_by = framed_by

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or hand on what may pass."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        try:
            inside = self._let_in(scope)
        except Refusal as refusal:
            await _refuse(scope, send, refusal)
            return
        if inside is None:
            await self._give_cookie(send)
        elif scope["type"] == "websocket":
            await self.app(inside, _bounded(receive), send)
        else:
            await self._answer(inside, receive, send)

    def _let_in(self, scope: Scope) -> Scope | None:
        """Return the scope for the framework, or ``None`` when the token has just been shown."""
        headers = _headers(scope)
        _check_address(scope)
        _check_names(scope, headers)
        if (inside := self._through_path(scope)) is not None:
            return inside
        if (
            scope["type"] == "http"
            and scope["path"] == "/"
            and self._is_token(_query(scope).get("token", ""))
        ):
            return None
        if not self._is_token(_cookies(headers).get(self.cookie, "")):
            raise Refusal(
                403,
                "This page belongs to whoever started it. Open the address that its "
                "terminal shows.",
            )
        return {**scope, "headers": _plain_headers(scope)}

    def _through_path(self, scope: Scope) -> Scope | None:
        """Return the scope of an address that begins with the token: ``/~token/…``."""
        head, slash, _ = scope["path"][2:].partition("/")
        if not (scope["path"].startswith("/~") and slash and self._is_token(head)):
            return None
        return {**scope, "root_path": f"/~{head}", "headers": _plain_headers(scope)}

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), self.token.encode())

    async def _give_cookie(self, send: Send) -> None:
        cookie = f"{self.cookie}={self.token}; HttpOnly; SameSite=Lax; Path=/"
        headers = [
            (b"location", b"/"),
            (b"set-cookie", cookie.encode()),
            (b"referrer-policy", b"no-referrer"),
        ]
        await send({"type": "http.response.start", "status": 303, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request on, in bounded time, and give the answer its headers."""
        outgoing = _Outgoing(send, self.framed_by)
        try:
            await asyncio.wait_for(
                self.app(scope, _bounded(receive), outgoing), timeout=_LONGEST_REQUEST
            )
        except TimeoutError:
            if not outgoing.has_begun:
                await _refuse(scope, send, Refusal(503, "This took too long. Reload the page."))


class _Outgoing:
    """Sends an answer with the headers that keep a page to itself; a page of HTML also gets a nonce for its scripts."""

    def __init__(self, send: Send, framed_by: str) -> None:
        self.send = send
        self.framed_by = framed_by
        self.has_begun = False
        self.start: Message | None = None
        self.body = b""

    async def __call__(self, message: Message) -> None:
        self.has_begun = True
        if message["type"] == "http.response.start":
            if _is_html(message):
                self.start = message
            else:
                await self.send({**message, "headers": [*message["headers"], *_headers_for_all()]})
        elif self.start is None:
            await self.send(message)
        else:
            self.body += message.get("body", b"")
            if not message.get("more_body"):
                await self._send_page(self.start)

    async def _send_page(self, start: Message) -> None:
        nonce = secrets.token_urlsafe(16)
        body = self.body.replace(b"<script", b'<script nonce="%s"' % nonce.encode())
        kept = [
            (name, value) for name, value in start["headers"] if name.lower() != b"content-length"
        ]
        headers = [
            *kept,
            *_headers_for_all(),
            (b"content-length", str(len(body)).encode()),
            (b"content-security-policy", policy(nonce, self.framed_by).encode()),
        ]
        await self.send({**start, "headers": headers})
        await self.send({"type": "http.response.body", "body": body})


def policy(nonce: str, framed_by: str) -> str:
    """Return the Content-Security-Policy of the page.

    The framework compiles its templates in the browser, which takes ``unsafe-eval``, and styles
    elements in place, which takes ``unsafe-inline`` for styles. Scripts written into the page run
    only with the nonce.
    """
    rules: Mapping[str, str] = {
        "default-src": "'none'",
        "script-src": f"'self' 'nonce-{nonce}' 'unsafe-eval'",
        "style-src": "'self' 'unsafe-inline'",
        "font-src": "'self' data:",
        "img-src": "'self' data: blob:",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": framed_by,
    }
    return "; ".join(f"{name} {value}" for name, value in rules.items())


def _check_address(scope: Scope) -> None:
    if len(scope["path"]) + len(scope.get("query_string", b"")) > _LONGEST_ADDRESS:
        raise Refusal(414, "This address is too long.")
    if scope["type"] == "http":
        if scope["method"] not in ("GET", "HEAD"):
            raise Refusal(405, "This page only answers GET.")
        if scope["path"].split("/", 2)[1:2] == ["_nicegui_ws"]:
            raise Refusal(403, "This page speaks over a websocket.")


def _check_names(scope: Scope, headers: Mapping[str, list[str]]) -> None:
    """Refuse who came by another name than this machine's, or from another page."""
    hosts, origins = headers.get("host", []), headers.get("origin", [])
    if len(hosts) != 1 or not _LOOPBACK.fullmatch(hosts[0].lower()):
        raise Refusal(
            403, "This page answers only on this machine, by the name 127.0.0.1 or localhost."
        )
    if not origins and scope["type"] == "http":
        return
    if origins != [f"http://{hosts[0]}"]:
        raise Refusal(403, "This page answers only itself, not other sites.")


def _headers(scope: Scope) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in scope["headers"]:
        found.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
    return found


def _plain_headers(scope: Scope) -> list[tuple[bytes, bytes]]:
    return [
        (name, value)
        for name, value in scope["headers"]
        if not name.lower().startswith(_KEPT_FROM_THE_FRAMEWORK)
    ]


def _query(scope: Scope) -> dict[str, str]:
    parsed = parse_qs(scope.get("query_string", b"").decode("latin-1"), max_num_fields=20)
    return {name: values[-1] for name, values in parsed.items()}


def _cookies(headers: Mapping[str, list[str]]) -> dict[str, str]:
    try:
        jar = SimpleCookie("; ".join(headers.get("cookie", [])))
    except CookieError:
        return {}
    return {name: morsel.value for name, morsel in jar.items()}


def _bounded(receive: Receive) -> Receive:
    """Hand messages on, and end the connection at one that is too large."""

    async def bounded() -> Message:
        message = await receive()
        size = len(message.get("bytes") or message.get("text") or message.get("body") or b"")
        if size <= _LARGEST_MESSAGE:
            return message
        return {"type": message["type"].rpartition(".")[0] + ".disconnect", "code": 1009}

    return bounded


def _is_html(start: Message) -> bool:
    return any(
        name.lower() == b"content-type" and value.startswith(b"text/html")
        for name, value in start["headers"]
    )


def _headers_for_all() -> list[tuple[bytes, bytes]]:
    return [
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"no-referrer"),
        (b"cross-origin-resource-policy", b"same-origin"),
        (b"cross-origin-opener-policy", b"same-origin"),
    ]


async def _refuse(scope: Scope, send: Send, refusal: Refusal) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>warmdown studio</title></head>'
        f"<body><main><h1>warmdown studio</h1><p>{refusal.why}</p></main></body></html>"
    )
    headers = [
        (b"content-type", b"text/html; charset=utf-8"),
        (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
        (b"cache-control", b"no-store"),
        *_headers_for_all(),
    ]
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": page.encode()})
