"""The served page, attacked over the wire: who is let in, what is carried, what a signal does."""

from __future__ import annotations

import base64
import contextlib
import os
import re
import signal
import socket
import struct
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import nicegui
import pytest
from tests.studio.pages import serve

from warmdown.studio.process import Server
from warmdown.studio.security.limits import LONGEST_TEXT

pytestmark = pytest.mark.slow

WS = (
    "/_nicegui_ws/socket.io/?client_id=x&next_message_id=0&document_id=d&tab_id=t"
    "&EIO=4&transport=websocket"
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Serve the page from a folder that has a secret beside it."""
    home = tmp_path_factory.mktemp("home")
    (home / "plans").mkdir()
    (home / "secret.yaml").write_text("lr: {kind: cosine, name: top-secret}\n")
    started = serve(home / "plans")
    yield started
    started.close()


def token_of(server: Server) -> str:
    """Return the token of this launch."""
    return server.address.partition("token=")[2]


def port_of(server: Server) -> int:
    """Return the port on which the page is served."""
    return int(server.origin.rpartition(":")[2])


def said(server: Server, request: bytes) -> bytes:
    """Return the answer to raw bytes, as far as it comes before the connection ends or rests."""
    with socket.create_connection(("127.0.0.1", port_of(server)), timeout=20) as wire:
        wire.sendall(request)
        answer = b""
        while b"\r\n\r\n" not in answer and (more := wire.recv(65_536)):
            answer += more
    return answer


def status(server: Server, path: str = "/", *, method: str = "GET", **headers: str) -> int:
    """Return the status of one request; headers replace those of a page that may come in."""
    answer = said(server, request_of(server, path, method, **headers))
    return int(answer.split(b" ", 2)[1]) if answer else 0


def request_of(server: Server, path: str, method: str = "GET", **headers: str) -> bytes:
    """Return a request; a header given as nothing is left out."""
    port = port_of(server)
    usual = {"Host": f"127.0.0.1:{port}", "Cookie": f"warmdown-{port}={token_of(server)}"}
    given = {**usual, **{name.replace("_", "-"): value for name, value in headers.items()}}
    lines = [
        f"{method} {path} HTTP/1.1",
        *(f"{name}: {value}" for name, value in given.items() if value),
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def knock(server: Server, **headers: str) -> int:
    """Ask for a websocket."""
    own = {
        "Origin": server.origin, "Connection": "Upgrade", "Upgrade": "websocket",
        "Sec_WebSocket_Version": "13",
        "Sec_WebSocket_Key": base64.b64encode(os.urandom(16)).decode(),
    }  # fmt: skip
    return status(server, WS, **{**own, **headers})


def test_who_has_the_token_comes_in_over_http_and_websocket(server: Server) -> None:
    assert status(server) == 200
    assert status(server, Origin=server.origin) == 200
    assert knock(server) == 101


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example:80", "10.0.0.1", "[::2]", "localhost@evil"]
)
def test_a_name_that_was_bent_to_this_machine_is_refused(server: Server, host: str) -> None:
    assert status(server, Host=host) == 403
    assert status(server, Host=host, Origin=f"http://{host}") == 403
    assert knock(server, Host=host, Origin=f"http://{host}") == 403


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1:1", "http://localhost", "file://"]
)
def test_another_sites_page_is_refused_although_the_browser_sends_the_cookie(
    server: Server, origin: str
) -> None:
    assert status(server, Origin=origin) == 403
    assert knock(server, Origin=origin) == 403


def test_a_websocket_that_names_no_origin_is_refused(server: Server) -> None:
    assert knock(server, Origin="") == 403


@pytest.mark.parametrize("token", ["", "wrong", "*", "a" * 5000])
def test_without_the_token_nothing_is_told(server: Server, token: str) -> None:
    cookie = f"warmdown-{port_of(server)}={token}" if token else ""
    assert status(server, Cookie=cookie) == 403
    assert knock(server, Cookie=cookie) == 403
    assert status(server, f"/~{token}/", Cookie="") in (403, 414)
    assert status(server, f"/?token={token}", Cookie="") in (403, 414)


def test_the_frameworks_files_are_compressed_and_kept_and_what_is_a_persons_is_neither(
    server: Server,
) -> None:
    page = said(server, request_of(server, "/", Accept_Encoding="gzip")).lower()
    assert b"content-encoding" not in page.partition(b"\r\n\r\n")[0]
    assert b"no-store" in page
    script = f"/_nicegui/{nicegui.__version__}/static/quasar.umd.prod.js"
    asset = said(server, request_of(server, script, Accept_Encoding="gzip")).lower()
    assert b"content-encoding: gzip" in asset
    assert b"immutable" in asset
    assert b"content-encoding" not in said(server, request_of(server, script)).lower()


def test_only_this_machine_is_listened_to(server: Server) -> None:
    inodes = Path(f"/proc/{server.process.pid}/net/tcp").read_text()
    local = [row.split()[1] for row in inodes.splitlines()[1:] if row.split()[3] == "0A"]
    assert f"0100007F:{port_of(server):04X}" in local
    assert f"00000000:{port_of(server):04X}" not in local


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_nothing_can_be_sent_but_over_the_websocket(server: Server, method: str) -> None:
    assert status(server, method=method, Content_Length="0") == 405


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.yaml", "/%2e%2e/secret.yaml", "/_nicegui/../../secret.yaml", "//etc/passwd",
        "/secret.yaml", "/_nicegui/0/static/..%2f..%2f..%2f..%2f..%2f..%2fetc%2fpasswd",
        "/_nicegui/0/static/%2fetc%2fpasswd", "/_nicegui/0/components/..%2f..%2fetc%2fpasswd",
        "/_nicegui/auto/static/x", "/docs", "/openapi.json",
    ],
)  # fmt: skip
def test_no_path_leads_to_a_file(server: Server, path: str) -> None:
    answer = said(server, request_of(server, path))
    assert int(answer.split(b" ", 2)[1]) in (400, 403, 404)
    assert b"top-secret" not in answer
    assert b"root:" not in answer


def test_what_is_too_long_is_refused_and_others_are_still_answered(server: Server) -> None:
    assert status(server, "/" + "a" * 6_000) == 414
    assert status(server, X_Long="a" * 200_000) in (0, 400, 431)
    assert status(server) == 200


def test_who_asks_slowly_or_never_keeps_nobody_waiting(server: Server) -> None:
    waiting = [socket.create_connection(("127.0.0.1", port_of(server))) for _ in range(50)]
    for wire in waiting:
        wire.sendall(b"GET / HTTP/1.1\r\nHost: 127")
    begun = time.monotonic()
    assert status(server) == 200
    assert time.monotonic() - begun < 15
    for wire in waiting:
        wire.close()


def test_a_message_that_is_too_large_ends_its_connection_and_no_other(server: Server) -> None:
    with opened_websocket(server) as wire:
        wire.sendall(b"\x81\xff" + struct.pack(">Q", 2_000_000) + b"\0\0\0\0")
        with contextlib.suppress(ConnectionError):
            wire.sendall(
                b"4" * 1_999_999
            )  # one byte is missing: it need not wait for the end to say no
        assert ended(wire)
    assert status(server) == 200


def ended(wire: socket.socket) -> bool:
    """Whether the other side closes, within the time that the socket waits."""
    try:
        while wire.recv(65_536):
            pass
    except ConnectionError:
        return True
    except TimeoutError:
        return False
    return True


def opened_websocket(server: Server) -> socket.socket:
    """Return a websocket that was let in."""
    wire = socket.create_connection(("127.0.0.1", port_of(server)), timeout=20)
    headers = {
        "Origin": server.origin, "Connection": "Upgrade", "Upgrade": "websocket",
        "Sec_WebSocket_Version": "13",
        "Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }  # fmt: skip
    wire.sendall(request_of(server, WS, **headers))
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += wire.recv(4_096)
    assert answer.startswith(b"HTTP/1.1 101")
    return wire


def test_the_policy_lets_the_page_load_nothing_from_elsewhere_and_run_no_script_but_its_own(
    server: Server,
) -> None:
    cookie = {"Cookie": f"warmdown-{port_of(server)}={token_of(server)}"}
    with urllib.request.urlopen(
        urllib.request.Request(server.origin + "/", headers=cookie)
    ) as answer:
        policy, page = answer.headers["content-security-policy"], answer.read().decode()
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["x-content-type-options"] == "nosniff"
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    nonce = re.findall(r"'nonce-([^']+)'", rules["script-src"])
    assert (
        rules["default-src"]
        == rules["frame-ancestors"]
        == rules["base-uri"]
        == rules["form-action"]
        == "'none'"
    )
    assert "unsafe-inline" not in rules["script-src"]
    assert not re.search(r"https?:|\*", policy)
    assert set(re.findall(r'<script nonce="([^"]+)"', page)) == set(nonce)
    assert len(re.findall(r"<script", page)) == len(re.findall(r"<script nonce=", page))
    assert "http://" not in re.sub(
        r"http://(127\.0\.0\.1|www\.w3\.org)", "", page.split("<body")[0]
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_page_at_once_although_a_tab_is_open(tmp_path: Path, number: int) -> None:
    started = serve(tmp_path)
    try:
        assert status(started) == 200
        with opened_websocket(started) as wire:
            started.process.send_signal(number)
            assert started.process.wait(timeout=20) == 0
            wire.settimeout(1)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port_of(started)))
    finally:
        started.close()


def test_a_link_longer_than_a_plan_may_be_is_no_plan() -> None:
    from warmdown.errors import SpecError
    from warmdown.studio.draft.links import from_fragment

    with pytest.raises(SpecError, match="carries no plan"):
        from_fragment("plan=" + "A" * LONGEST_TEXT)
