"""The page's guard, attacked: other hosts and origins, no token, forged headers, size, time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from warmdown.studio.security import guard
from warmdown.studio.security.guard import RequestGuard, policy

TOKEN = "s3cret-token"
GOOD = {"host": "127.0.0.1:8421", "cookie": f"warmdown-8421={TOKEN}"}


class Inside:
    """What is guarded: it remembers who came in."""

    def __init__(self) -> None:
        self.scopes: list[Scope] = []
        self.messages: list[Message] = []
        self.answer = b"<script>1</script>"
        self.kind = b"text/html"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.append(scope)
        if scope["type"] == "websocket":
            self.messages.append(await receive())
            return
        headers = [
            (b"content-type", self.kind),
            (b"content-length", str(len(self.answer)).encode()),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": self.answer})


def asked(
    headers: dict[str, str] | list[tuple[str, str]],
    *,
    inside: Inside | None = None,
    message: Message | None = None,
    **scope: Any,
) -> tuple[Inside, list[Message]]:
    """Return who came in, and what went out, for one request."""
    inside = inside or Inside()
    sent: list[Message] = []
    pairs = list(headers.items()) if isinstance(headers, dict) else headers
    raw = [(name.encode(), value.encode()) for name, value in pairs]
    full = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "query_string": b"",
        "headers": raw,
        **scope,
    }

    async def receive() -> Message:
        return message or {"type": "http.request", "body": b""}

    async def send(answer: Message) -> None:
        sent.append(answer)

    asyncio.run(RequestGuard(inside, token=TOKEN, cookie="warmdown-8421")(full, receive, send))
    return inside, sent


def test_who_holds_the_token_and_names_this_machine_comes_in() -> None:
    for host in ("127.0.0.1:8421", "localhost:8421", "[::1]:8421", "LOCALHOST:1"):
        inside, sent = asked({**GOOD, "host": host, "origin": f"http://{host}"})
        assert (len(inside.scopes), sent[0]["status"]) == (1, 200)


@pytest.mark.parametrize(
    "host",
    [
        "evil.example:8421",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "evil.example#127.0.0.1",
        "",
        "192.168.1.5:8421",
    ],
)
@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_another_host_is_refused_even_with_the_token(host: str, kind: str) -> None:
    inside, sent = asked({**GOOD, "host": host, "origin": f"http://{host}"}, type=kind)
    assert inside.scopes == []
    assert sent[0].get("status", sent[0].get("code")) in (403, 1008)


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "null",
        "http://127.0.0.1:9999",
        "https://127.0.0.1:8421",
        "http://127.0.0.1:8421.evil.example",
    ],
)
@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_another_origin_is_refused_even_with_the_token(origin: str, kind: str) -> None:
    inside, _ = asked({**GOOD, "origin": origin}, type=kind)
    assert inside.scopes == []


def test_a_websocket_without_an_origin_is_refused() -> None:
    inside, sent = asked(GOOD, type="websocket")
    assert (inside.scopes, sent) == ([], [{"type": "websocket.close", "code": 1008}])


def test_two_hosts_or_two_origins_are_refused() -> None:
    twice = [*GOOD.items(), ("host", "evil.example")]
    assert asked(twice)[0].scopes == []
    origins = [
        *GOOD.items(),
        ("origin", "http://127.0.0.1:8421"),
        ("origin", "http://evil.example"),
    ]
    assert asked(origins)[0].scopes == []


@pytest.mark.parametrize(
    "cookie",
    ["", "warmdown-8421=", "warmdown-8421=wrong", f"other={TOKEN}", "warmdown-8421", "\x00;=;"],
)
@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_without_the_token_nobody_comes_in(cookie: str, kind: str) -> None:
    headers = {
        "host": GOOD["host"],
        "origin": "http://127.0.0.1:8421",
        **({"cookie": cookie} if cookie else {}),
    }
    inside, sent = asked(headers, type=kind)
    assert inside.scopes == []
    assert b"Open the address that its terminal shows" in sent[-1].get(
        "body", b"Open the address that its terminal shows"
    )


def test_the_address_of_the_terminal_gives_the_cookie_and_hides_the_token() -> None:
    inside, sent = asked({"host": GOOD["host"]}, query_string=f"token={TOKEN}".encode())
    headers = dict(sent[0]["headers"])
    assert (inside.scopes, sent[0]["status"], headers[b"location"]) == ([], 303, b"/")
    assert b"HttpOnly" in headers[b"set-cookie"]
    assert b"SameSite=Lax" in headers[b"set-cookie"]


def test_the_token_in_an_address_counts_only_at_the_front_door() -> None:
    assert (
        asked({"host": GOOD["host"]}, query_string=f"token={TOKEN}".encode(), path="/design")[
            0
        ].scopes
        == []
    )
    assert asked({"host": GOOD["host"]}, query_string=b"token=wrong")[1][0]["status"] == 403


def test_in_a_frame_the_token_stands_in_the_path() -> None:
    inside, _ = asked({"host": GOOD["host"]}, path=f"/~{TOKEN}/x")
    assert inside.scopes[0]["root_path"] == f"/~{TOKEN}"
    for path in ("/~wrong/x", f"/~{TOKEN}", f"/{TOKEN}/x", f"/~{TOKEN}x/"):
        assert asked({"host": GOOD["host"]}, path=path)[0].scopes == []


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "CONNECT", "TRACE"])
def test_only_reading_is_answered(method: str) -> None:
    inside, sent = asked({**GOOD, "origin": "http://127.0.0.1:8421"}, method=method)
    assert (inside.scopes, sent[0]["status"]) == ([], 405)


def test_the_websockets_address_is_not_answered_over_http() -> None:
    assert asked(GOOD, path="/_nicegui_ws/socket.io/")[0].scopes == []


def test_an_endless_address_is_refused() -> None:
    assert asked(GOOD, path="/" + "a" * 5000)[1][0]["status"] == 414


def test_headers_of_a_proxy_that_is_not_there_do_not_reach_the_framework() -> None:
    inside, _ = asked(
        {**GOOD, "x-forwarded-prefix": "/<script>", "forwarded": "host=evil", "accept": "x"}
    )
    assert {name for name, _ in inside.scopes[0]["headers"]} == {b"host", b"cookie", b"accept"}


def test_a_message_that_is_too_large_ends_the_connection() -> None:
    headers = {**GOOD, "origin": "http://127.0.0.1:8421"}
    large = {"type": "websocket.receive", "text": "x" * 1_000_001}
    inside, _ = asked(headers, type="websocket", message=large)
    assert inside.messages == [{"type": "websocket.disconnect", "code": 1009}]


def test_an_answer_that_takes_too_long_is_broken_off(monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow(Inside):
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            await asyncio.Event().wait()

    monkeypatch.setattr(guard, "_LONGEST_REQUEST", 0.05)
    assert asked(GOOD, inside=Slow())[1][0]["status"] == 503


def test_a_page_runs_only_scripts_that_it_came_with() -> None:
    _, sent = asked(GOOD)
    headers = dict(sent[0]["headers"])
    rules = headers[b"content-security-policy"].decode()
    nonce = rules.partition("'nonce-")[2].partition("'")[0]
    assert sent[1]["body"] == f'<script nonce="{nonce}">1</script>'.encode()
    assert int(headers[b"content-length"]) == len(sent[1]["body"])
    assert "'unsafe-inline'" not in rules.partition("script-src")[2].partition(";")[0]
    assert (
        dict(asked(GOOD)[1][0]["headers"])[b"content-security-policy"]
        != headers[b"content-security-policy"]
    )


def test_every_answer_keeps_to_itself() -> None:
    inside = Inside()
    inside.kind = b"text/javascript"
    _, sent = asked(GOOD, inside=inside)
    headers = dict(sent[0]["headers"])
    assert headers[b"x-content-type-options"] == b"nosniff"
    assert headers[b"referrer-policy"] == b"no-referrer"
    assert sent[1]["body"] == b"<script>1</script>"


def test_only_a_notebook_of_this_machine_may_frame_the_page() -> None:
    assert policy("n", "'none'").endswith("frame-ancestors 'none'")
    assert "http://localhost:*" in policy("n", "http://localhost:*")


def test_what_is_no_request_passes_and_only_the_frameworks_files_are_compressed() -> None:
    inside, _ = asked({}, type="lifespan")
    assert [scope["type"] for scope in inside.scopes] == ["lifespan"]

    async def ask(path: str) -> dict[str, str]:
        sent: list[Message] = []

        async def send(message: Message) -> None:
            sent.append(message)

        async def receive() -> Message:
            return {"type": "http.request"}

        large = Inside()
        large.answer = b"x" * 5_000
        assets = guard.CompressedAssets(large, "/_nicegui/1/")
        headers = [(b"accept-encoding", b"gzip")]
        await assets({"type": "http", "path": path, "headers": headers}, receive, send)
        return {name.decode(): value.decode() for name, value in sent[0]["headers"]}

    assert asyncio.run(ask("/_nicegui/1/x.js"))["content-encoding"] == "gzip"
    assert "content-encoding" not in asyncio.run(ask("/"))
