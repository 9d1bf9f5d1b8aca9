"""The tools of an agent: a real client, a real server in a process of its own, and attacks."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from click.testing import CliRunner
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from tests.cli.test_forecast import written
from tests.forecast.test_law import PUBLISHED, TWO_LEVELS
from tests.lazily import Lazily
from torch.nn.parameter import Parameter

import warmdown as wd
from warmdown.cli.call import CallEnded, run_command
from warmdown.cli.main import main
from warmdown.cli.schema import schema_of
from warmdown.cli.tools import TOOLS
from warmdown.cli.workspace import LARGEST_FILE, Workspace

if TYPE_CHECKING:
    from mcp.types import CallToolResult

mcp: Any = Lazily("mcp")
ours: Any = Lazily("warmdown.cli.mcp")

SCRIPT = "from torch.optim.lr_scheduler import StepLR\ns = StepLR(opt, 10, verbose=True)\n"
PLAN = "run: {total_steps: 20, lr: 0.1}\nlr: {kind: cosine}\n"
MARK = "a-file-that-an-attack-made"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a server, with a secret beside it."""
    around = tmp_path_factory.mktemp("around").resolve()
    folder = around / "mine"
    (folder / "sub").mkdir(parents=True)
    (around / "secret.yaml").write_text(PLAN)
    (folder / "sub" / "plan.yaml").write_text(PLAN)
    (folder / "script.py").write_text(SCRIPT)
    (folder / ".hidden.yaml").write_text(PLAN)
    (folder / "link.yaml").symlink_to(around / "secret.yaml")
    (folder / "way").symlink_to(around)
    with (folder / "large.csv").open("wb") as file:
        file.truncate(LARGEST_FILE + 1)
    evil = f"open({str(folder / MARK)!r}, 'w').close()\n"
    (folder / "evil.py").write_text(evil)
    (folder / "torch.py").write_text(evil)
    written(TWO_LEVELS, folder / "drop.csv")
    return folder


def server_of(folder: Path) -> Any:
    """Return the way to a server, whose errors go where this process has its own."""
    source = str(Path(__file__).parents[2] / "src")
    env = {"PYTHONPATH": source, "PATH": os.environ["PATH"]}
    parameters = mcp.StdioServerParameters(
        command=sys.executable, args=["-P", "-m", "warmdown", "mcp"], cwd=folder, env=env
    )
    # by default: the stream that the first import found, which a test of a command has replaced
    return mcp.stdio_client(parameters, errlog=sys.__stderr__)


Calls = Mapping[str, tuple[str, dict[str, Any]]]


def answers_of(serve: Callable[[], Any], calls: Calls) -> dict[str, CallToolResult]:
    """Return the answer to each call, all of them asked at once in one session."""

    async def ask() -> dict[str, CallToolResult]:
        async with mcp.Client(serve()) as client:
            found = await asyncio.gather(*(client.call_tool(*call) for call in calls.values()))
            return dict(zip(calls, found, strict=True))

    return asyncio.run(ask())


def text_of(answer: CallToolResult) -> str:
    first = answer.content[0]
    assert isinstance(first, mcp.types.TextContent)
    text: str = first.text
    return text


GOOD: Calls = {
    "list": ("list", {"words": ["cosine"]}),
    "show": ("show", {"plan": "sub/plan.yaml", "points": 5, "picture": "png"}),
    "show a shape": ("show", {"plan": "wsd", "total_steps": 1000.0, "picture": "svg", "lr": None}),
    "check": ("check", {"plan": {"run": {"total_steps": 3}, "lr": {"kind": "cosine", "steps": 7}}}),
    "import": (
        "import",
        {
            "source": "torch.optim.lr_scheduler.StepLR",
            "param": ["step_size=5"],
            "total_steps": 20,
        },
    ),
    "forecast": (
        "forecast",
        {"logs": ["drop.csv"], "plan": ["wsd", PLAN], "total_steps": 8000, "lr": 3e-4},
    ),
    "compare": ("compare", {"plans": ["constant", PLAN], "theory": True, "total_steps": 20}),
    "explain": ("explain", {"code": "step-twice"}),
    "lint": ("lint", {"paths": ["script.py", SCRIPT]}),
}


async def run_here(words: list[str], place: Path, seconds: float) -> str:
    """Return what a command prints, as ``run_command`` does, without a process for it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        return CliRunner().invoke(main, words).stdout


@pytest.fixture(scope="module", params=["here", pytest.param("served", marks=pytest.mark.slow)])
def server(folder: Path, request: pytest.FixtureRequest) -> Iterator[Any]:
    """Return a server that runs its commands here, or one as clients start it."""
    if request.param == "served":
        yield partial(server_of, folder)
    else:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("warmdown.cli.mcp.run_command", run_here)
            yield lambda: ours.build_server(Workspace(folder))


@pytest.fixture(scope="module")
def answers(server: Any) -> dict[str, CallToolResult]:
    return answers_of(server, GOOD)


@pytest.mark.parametrize("call", GOOD)
def test_each_tool_answers_with_the_json_of_its_command(
    call: str, answers: dict[str, CallToolResult]
) -> None:
    assert not answers[call].is_error, text_of(answers[call])
    data = json.loads(text_of(answers[call]))
    Draft202012Validator(schema_of(GOOD[call][0])).validate(data)


def test_answers_say_what_the_commands_say(
    answers: dict[str, CallToolResult], folder: Path
) -> None:
    data = {call: json.loads(text_of(answer)) for call, answer in answers.items()}
    assert [row["step"] for row in data["show"]] == [0, 5, 10, 15, 19]
    assert data["check"][0]["code"] == "does-not-fit"
    assert data["import"]["plan"]["lr"]["kind"] == "staircase"
    assert len(data["forecast"]["forecasts"]["wsd"]["loss"]) <= 64
    assert [one["path"] for one in data["lint"]["findings"]] == ["script.py", ".given/script-1.py"]
    assert len(data["show a shape"]) == 21
    assert not (folder / MARK).exists()  # there is a torch.py beside the plans


def test_pictures_come_as_images_or_as_svg(answers: dict[str, CallToolResult]) -> None:
    picture, drawing = answers["show"].content[1], answers["show a shape"].content[1]
    assert isinstance(picture, mcp.types.ImageContent)
    assert picture.mime_type == "image/png"
    assert base64.b64decode(picture.data).startswith(b"\x89PNG")
    assert isinstance(drawing, mcp.types.TextContent)
    assert "<svg" in drawing.text


BAD: dict[str, tuple[str, dict[str, Any], str]] = {
    "a path upwards": ("show", {"plan": "../secret.yaml"}, "leads out of the folder"),
    "a path down and upwards": ("show", {"plan": "sub/../../secret.yaml"}, "leads out"),
    "a whole path": ("show", {"plan": "/etc/passwd"}, "not under the folder"),
    "a link": ("show", {"plan": "link.yaml"}, "not a file that can be read here"),
    "a linked folder": ("show", {"plan": "way/secret.yaml"}, "not a file that can be read here"),
    "a hidden file": ("show", {"plan": ".hidden.yaml"}, "hidden"),
    "a folder": ("lint", {"paths": ["sub"]}, "a folder, a pipe or a device"),
    "no file": ("lint", {"paths": ["nothing.py"]}, "No such file"),
    "a large file": ("forecast", {"logs": ["large.csv"]}, "more than 16 MiB"),
    "many files": ("lint", {"paths": ["script.py"] * 33}, "33 values are too many"),
    "a long text": ("check", {"plan": "lr: " + "x" * 1_000_001}, "too long"),
    "a deep text": ("check", {"plan": "lr: " + "[" * 3000 + "\n"}, "50 levels deep"),
    "an alias": ("check", {"plan": "lr: &a [*a, *a]\n"}, "anchors and aliases"),
    "a huge number": ("check", {"plan": "wsd", "total_steps": 10**300}, "longer than 200"),
    "a huge count": ("check", {"plan": "wsd", "total_steps": "1e300"}, "At most 1e+15"),
    "many points": ("show", {"plan": "wsd", "points": 10**9}, "from 1 to 1000 is needed"),
    "many seeds": ("compare", {"plans": ["wsd"], "seeds": 6}, "from 1 to 5 is needed"),
    "many plans": ("compare", {"plans": ["wsd"] * 5}, "5 values are too many"),
    "long runs": ("compare", {"plans": ["wsd"], "max_steps": 1001}, "from 1 to 1000"),
    "a task of code": ("compare", {"plans": ["wsd"], "task": "evil:build"}, "Use one of digits"),
    "a class of no library": ("show", {"plan": "os.system", "total_steps": 3}, "not imported"),
    "a class in a plan": (
        "check",
        {"plan": {"lr": {"class_path": "evil.Schedule"}, "run": {"total_steps": 3}}},
        "not imported",
    ),
    "a class to import": ("import", {"source": "evil.build", "total_steps": 3}, "not imported"),
    "an option of ours": ("check", {"plan": "wsd", "allow": ["evil"]}, "no such argument"),
    "an option as a plan": ("check", {"plan": "--allow"}, "neither a file nor a shape"),
    "an option in an option": ("show", {"plan": "wsd", "law": "x.json --out=y"}, "No such file"),
    "a picture elsewhere": ("show", {"plan": "wsd", "picture": "png/../../x.png"}, "Use one of"),
    "a null byte": ("explain", {"code": "a\0b"}, "not a value"),
    "a half character": ("explain", {"code": "\ud800"}, "no text and no number"),
    "a run elsewhere": ("tell", {"run": "sub/../..", "command": "stop"}, "leads out"),
    "a run behind a link": ("tell", {"run": "way/mine", "command": "stop"}, "or a link"),
    "a run that is a file": ("tell", {"run": "script.py", "command": "stop"}, "no folder here"),
    "a run far down": ("tell", {"run": "sub/" * 25, "command": "stop"}, "not the path of a file"),
    "a command of none": ("tell", {"run": "sub", "command": "rm"}, "not one of"),
    "a long wait": ("tell", {"run": "sub", "command": "stop", "wait": 61}, "from 1 to 60"),
    "no tool": ("train", {"plan": "wsd"}, "there is no such tool"),
    "no argument": ("check", {}, "Missing argument 'NAME_OR_FILE'"),
    "a wrong shape": ("check", {"plan": "cosin"}, "Did you mean 'cosine'?"),
}
UNSENDABLE = {"a half character"}
"""What no client can put into JSON of UTF-8."""


@pytest.fixture(scope="module")
def refusals(server: Any, folder: Path) -> dict[str, CallToolResult]:
    calls = {call: (one[0], one[1]) for call, one in BAD.items() if call not in UNSENDABLE}
    return answers_of(server, calls) | answers_of(
        lambda: ours.build_server(Workspace(folder)), {call: BAD[call][:2] for call in UNSENDABLE}
    )


@pytest.mark.parametrize("call", BAD)
def test_an_attack_or_a_mistake_gets_an_error_in_our_words(
    call: str, refusals: dict[str, CallToolResult], folder: Path
) -> None:
    answer = refusals[call]
    assert answer.is_error
    assert BAD[call][2] in text_of(answer)
    assert "Traceback" not in text_of(answer)
    assert "/warmdown-" not in text_of(answer)
    assert not (folder / MARK).exists()


@pytest.fixture
def job(folder: Path) -> Iterator[Any]:
    """Train a loop that listens in the folder, until the test is over."""
    optimizer = torch.optim.SGD([Parameter(torch.ones(1))], lr=0.4)
    listening = wd.Commands(folder / "runs" / "x", seconds=0.01)
    scheduler = wd.Scheduler(optimizer, lr=wd.Constant(), commands=listening)
    is_over = threading.Event()

    def train() -> None:
        while not is_over.wait(0.001):
            optimizer.step()
            scheduler.step()

    thread = threading.Thread(target=train)
    thread.start()
    yield scheduler
    is_over.set()
    thread.join()
    shutil.rmtree(folder / "runs")


def test_a_running_job_is_spoken_to_and_shows_before_what_would_come(
    server: Any, folder: Path, job: Any
) -> None:
    asked = {"command": "rescale", "value": 0.5, "run": "runs/x"}
    trial = {"asked": ("tell", {**asked, "dry_run": True, "law": json.dumps(PUBLISHED)})}
    shown = json.loads(text_of(answers_of(server, trial)["asked"]))
    Draft202012Validator(schema_of("tell")).validate(shown)
    assert shown["outcome"] == "shown"
    assert len(shown["curves"]["steps"]) == len(shown["curves"]["lines"]["lr/0"]["after"]) == 64
    final = shown["finals"]["lr/0"]
    assert final["before"]["predicted"] != final["after"]["predicted"]
    assert job.values() == {"lr/0": 0.4}
    done = json.loads(text_of(answers_of(server, {"asked": ("tell", asked)})["asked"]))
    assert done["outcome"] == "done"
    assert job.values() == {"lr/0": 0.2}
    unknown = {"asked": ("tell", {**asked, "target": "lr/head"})}
    refused = json.loads(text_of(answers_of(server, unknown)["asked"]))
    assert refused["outcome"] == "refused"
    assert "no such group" in refused["text"]
    assert [path.name for path in (folder / "runs" / "x").iterdir()] == ["commands"]


def test_a_server_that_only_reads_has_no_tool_that_changes_a_job(folder: Path, job: Any) -> None:
    async def ask() -> tuple[Any, Any]:
        only_reads = ours.build_server(Workspace(folder), True)
        async with mcp.Client(only_reads) as client:
            asked = {"command": "rescale", "value": 0.5, "run": "runs/x"}
            return (await client.list_tools()).tools, await client.call_tool("tell", asked)

    tools, answer = asyncio.run(ask())
    assert [tool.name for tool in tools] == [name for name in TOOLS if name != "tell"]
    assert all(tool.annotations.read_only_hint for tool in tools)
    assert answer.is_error
    assert "no such tool" in text_of(answer)
    assert job.values() == {"lr/0": 0.4}


def test_tools_are_listed_with_the_arguments_of_their_commands(folder: Path) -> None:
    async def ask() -> Any:
        async with mcp.Client(ours.build_server(Workspace(folder))) as client:
            return (await client.list_tools()).tools

    tools = {tool.name: tool for tool in asyncio.run(ask())}
    assert list(tools) == list(TOOLS)
    for tool in tools.values():
        Draft202012Validator.check_schema(tool.input_schema)
        assert set(tool.input_schema["properties"]) >= set(TOOLS[tool.name].options)
        assert tool.description
    for call in GOOD.values():
        Draft202012Validator(tools[call[0]].input_schema).validate(
            {name: value for name, value in call[1].items() if value is not None}
        )
    hints = {name: tool.annotations.destructive_hint for name, tool in tools.items()}
    assert [name for name in hints if hints[name]] == ["tell"]
    assert tools["import"].input_schema["properties"]["mode"]["enum"] == ["faithful", "corrected"]
    tasks = tools["compare"].input_schema["properties"]["task"]["enum"]
    from warmdown.training.tasks.task import TASKS

    assert tasks == list(TASKS)


@contextlib.contextmanager
def http_server(folder: Path) -> Iterator[str]:
    """Serve HTTP in a process of its own, and return its address."""
    process = subprocess.Popen(
        [sys.executable, "-m", "warmdown", "mcp", "--http", "0", "--folder", str(folder)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield process.stdout.readline().split()[-1]
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def test_two_clients_are_answered_over_http_and_strangers_are_not(folder: Path) -> None:
    import httpx2

    async def ask(address: str) -> list[str]:
        async with mcp.Client(address) as one, mcp.Client(address) as other:
            asked = (client.call_tool("explain", {"code": "jump"}) for client in (one, other))
            return [text_of(answer) for answer in await asyncio.gather(*asked)]

    with http_server(folder) as address:
        first, second = asyncio.run(ask(address))
        assert first == second
        assert "jump" in first
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
        for headers in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}):
            assert httpx2.post(address, json=body, headers=headers).status_code in (403, 421)
        without_token = "/".join([*address.split("/")[:3], "mcp"])
        assert httpx2.post(without_token, json=body).status_code == 404


@pytest.mark.parametrize("where", ["0.0.0.0:8000", "[::]:80", "example.com:1", "127.0.0.1:x"])
def test_another_machine_s_address_is_refused(where: str) -> None:
    done = CliRunner().invoke(main, ["mcp", "--http", where])
    assert done.exit_code == 2
    assert "only this machine may ask" in done.output or "no port" in done.output


def test_a_port_that_is_taken_or_is_none_is_told_with_the_way_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = CliRunner().invoke(main, ["mcp", "--http", f"localhost:{port}"])
    assert done.exit_code == 2
    assert f"--http {port}: Address already in use. Give another port, or 0." in done.output
    for none in ("70000", ":x"):
        done = CliRunner().invoke(main, ["mcp", "--http", none])
        assert f"--http {none}: no port. Give a number up to 65535" in done.output


def test_where_a_system_opens_no_folders_the_path_is_looked_at_whole(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("warmdown.cli.workspace.open_folder", lambda path: None)
    workspace = Workspace(folder)
    assert workspace.copy("sub/plan.yaml", tmp_path) == "sub/plan.yaml"
    assert (tmp_path / "sub" / "plan.yaml").read_text() == PLAN
    for way in ("link.yaml", "way/secret.yaml"):
        with pytest.raises(wd.errors.SpecError, match=r"not a file that can be read here \(a link"):
            workspace.copy(way, tmp_path)


def test_a_call_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    with pytest.raises(CallEnded, match=r"list: no answer within 0\.05 seconds"):
        asyncio.run(run_command(["list", "--json"], tmp_path, 0.05))


@pytest.mark.skipif(os.name == "nt", reason="the stand-in is a script of the shell")
def test_a_call_answers_with_what_is_printed_up_to_a_limit_and_is_ended_by_force(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in = tmp_path / "python"
    stand_in.write_text('#!/bin/sh\nprintf \'{"words": "%s"}\\n\' "$6"\n')
    stand_in.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(stand_in))
    printed = asyncio.run(run_command(["show", "wsd"], tmp_path, 5.0))
    assert json.loads(printed) == {"words": "wsd"}
    monkeypatch.setattr("warmdown.cli.call._LARGEST_OUTPUT", 3)
    with pytest.raises(CallEnded, match=r"^show: more than 0 MiB\. Ask for less"):
        asyncio.run(run_command(["show", "wsd"], tmp_path, 5.0))
    stand_in.write_text("#!/bin/sh\nexec sleep 30\n")
    monkeypatch.setattr("warmdown.cli.call._PATIENCE", 0.0)
    with pytest.raises(CallEnded, match=r"no answer within 0\.1 seconds .*exit code None"):
        asyncio.run(run_command(["show", "wsd"], tmp_path, 0.1))


@pytest.mark.slow
def test_a_comparison_trains_within_its_bounds(folder: Path) -> None:
    call = {"plans": ["constant", "cosine"], "seeds": 1, "max_steps": 10}
    answer = answers_of(
        lambda: ours.build_server(Workspace(folder)), {"compare": ("compare", call)}
    )["compare"]
    assert {one["name"] for one in json.loads(text_of(answer))["plans"]} == {"constant", "cosine"}
