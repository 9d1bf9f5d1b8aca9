"""``warmdown studio`` in a shell."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from warmdown.cli.main import main
from warmdown.studio import process
from warmdown.studio import serve as server
from warmdown.studio.draft.files import document_from
from warmdown.studio.draft.links import to_fragment
from warmdown.studio.process import Server


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Remember what would be served, and serve nothing."""
    starts: list[Any] = []
    monkeypatch.setattr(server, "serve_page", starts.append)
    return starts


def invoke(*arguments: str) -> Any:
    """Return what the command does."""
    return CliRunner().invoke(main, ["studio", *arguments])


def test_a_file_is_shown_and_its_folder_is_the_one_that_is_read_and_written(
    tmp_path: Path, started: list[Any]
) -> None:
    (tmp_path / "plan.yaml").write_text("lr: {kind: cosine}\n")
    assert invoke(str(tmp_path / "plan.yaml"), "--no-browser", "--port", "0").exit_code == 0
    (start,) = started
    assert (start.folder, start.draft.file, start.port, start.browser) == (
        tmp_path,
        "plan.yaml",
        0,
        False,
    )
    assert start.draft.document == document_from({"lr": {"kind": "cosine"}})


def test_a_link_can_be_given_instead_of_a_file(started: list[Any]) -> None:
    document = document_from({"lr": {"kind": "cosine"}})
    assert invoke(f"http://127.0.0.1:8421/#{to_fragment(document)}").exit_code == 0
    assert started[0].draft.document == document


def test_a_link_may_not_bring_a_class_from_outside_the_known_libraries(started: list[Any]) -> None:
    evil = document_from({"lr": {"class_path": "os.system"}})
    result = invoke(f"#{to_fragment(evil)}")
    assert (result.exit_code, started) == (2, [])
    assert "'os.system', a class that is not of a known library" in result.output


def test_a_configuration_of_another_program_is_brought_and_not_opened(
    tmp_path: Path, started: list[Any]
) -> None:
    (tmp_path / "yolo.yaml").write_text("lr0: 0.01\nlrf: 0.1\n")
    assert invoke(str(tmp_path / "yolo.yaml"), "--no-browser").exit_code == 0
    (start,) = started
    assert (start.folder, start.draft.file, start.bring) == (tmp_path, "", "yolo.yaml")


def test_a_notebook_s_page_tells_its_address_and_ends_with_the_notebook(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ended = threading.Event()

    def serve(start: Any) -> None:
        assert start.is_framed
        start.announce("http://127.0.0.1:1/")
        assert ended.wait(5)  # the other end of our standard input is closed

    monkeypatch.setattr(server, "serve_page", serve)
    monkeypatch.setattr("signal.raise_signal", lambda number: ended.set())
    result = invoke("--framed")
    assert result.exit_code == 0, result.output
    assert result.output == "warmdown studio: http://127.0.0.1:1/\nCtrl+C ends it.\n"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("no/such/plan.yaml", "no folder"),
        ("none.yaml", "no such file"),
        ("plan.py", "not a name"),
        ("#plan=x", "damaged"),
    ],
)
def test_what_cannot_be_shown_is_told_with_exit_code_2(
    given: str, told: str, started: list[Any]
) -> None:
    result = invoke(given)
    assert (result.exit_code, started) == (2, [])
    assert told in result.output


def test_a_port_that_is_taken_is_told_with_the_way_out() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        result = invoke("--no-browser", "--port", str(other.getsockname()[1]))
    assert result.exit_code == 2
    assert "--port 0 for any that is free" in result.output


def test_a_port_is_refused_in_the_words_of_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(start: object) -> None:
        # a number that os.strerror has no words for
        raise OSError(10013, "forbidden by its rights (while attempting to bind on address …)")

    monkeypatch.setattr("warmdown.studio.serve.serve_page", refuse)
    result = invoke("--no-browser", "--port", "80")
    assert result.exit_code == 2
    assert "--port 80: forbidden by its rights. Give another one" in result.output


def test_the_help_shows_examples_line_by_line() -> None:
    assert "  warmdown studio plan.yaml\n" in invoke("--help").output


@pytest.mark.unix
@pytest.mark.parametrize(
    ("answer", "code"),
    [("lambda *_: sys.exit(7)", 7), ("signal.SIG_IGN", -9)],
    ids=["orderly", "deaf"],
)
def test_a_page_is_asked_to_end_and_ended_by_force_when_it_does_not(
    answer: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "_PATIENCE", 0.05 if code < 0 else 10.0)
    script = f"import signal, sys; signal.signal(15, {answer}); print(); sys.stdin.read()"
    command = [sys.executable, "-S", "-c", script]
    pipe = subprocess.PIPE
    page = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
    assert page.stdout is not None
    page.stdout.readline()
    with Server("", tmp_path, page):
        pass
    assert page.returncode == code
    assert page.stdout.closed


def test_without_nicegui_the_command_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "find_spec", lambda name: None)
    result = invoke("--no-browser", "--port", "0")
    assert result.exit_code != 0
    assert "warmdown[studio]" in result.output
