"""``warmdown mcp``: the commands as tools of an agent, by the Model Context Protocol."""

from __future__ import annotations

import base64
import json
import secrets
import socket
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import anyio
import click
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp.types import (
    CallToolResult,
    ImageContent,
    ListToolsResult,
    TextContent,
    ToolAnnotations,
)
from mcp.types import Tool as ListedTool

from warmdown import __version__
from warmdown.cli.call import CallEnded, run_command
from warmdown.cli.say import say
from warmdown.cli.tools import TOOLS, Tool, description, input_schema, words_of_call
from warmdown.cli.workspace import Workspace
from warmdown.errors import SpecError, WarmdownError, nearest

if TYPE_CHECKING:
    from mcp.types import ContentBlock

_LOOPBACK = "127.0.0.1"
_OURS = (_LOOPBACK, "localhost")
_AT_ONCE = 4
"""Calls that run at the same time; more wait."""
_LONGEST_ROW = 64
"""Numbers of a list that are passed on; of more, so many are spread over it."""
_INSTRUCTIONS = (
    "Schedules of training runs. Begin with list; show and check a plan before it is used. A plan "
    "is a shape's name with param, a YAML text such as 'lr: {kind: cosine, end: 0.1}', or a file. "
    "Before tell changes a running job, ask with dry_run what would come of it."
)


@click.command("mcp")
@click.option(
    "--http",
    metavar="[HOST:]PORT",
    help="Serve HTTP on this machine instead of standard input and output; 0 takes a free port.",
)
@click.option(
    "--folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=Path(),
    help="The folder whose files may be read, and whose running jobs may be spoken to.",
)
@click.option("--read-only", is_flag=True, help="Without tell: nothing is asked of a running job.")
def command(http: str | None, folder: Path, read_only: bool) -> None:
    """Serve list, show, check, import, forecast, compare, tell, explain and lint to an agent.

    Files are read under the folder alone. Nothing is written but what tell asks of a running job,
    in the folder of its run. No code that a client names is run.
    """
    server = build_server(Workspace(folder), read_only)
    if http is None:
        anyio.run(_serve_stdio, server)
    else:
        _serve_http(server, _port_of(http))


def build_server(workspace: Workspace, is_read_only: bool = False) -> Server[Any]:
    """Return the server of the tools, which knows the files of one folder alone.

    Args:
        workspace: The folder.
        is_read_only: Whether running jobs are left alone.
    """
    at_once = anyio.Semaphore(_AT_ONCE)
    tools = {name: tool for name, tool in TOOLS.items() if tool.is_read_only or not is_read_only}

    async def list_tools(*_: Any) -> ListToolsResult:
        return ListToolsResult(tools=[_listed_tool(name, tool) for name, tool in tools.items()])

    async def call_tool(_: Any, asked: Any) -> CallToolResult:
        try:
            if asked.name not in tools:
                name = asked.name[:60]
                raise SpecError(f"{name}: there is no such tool. {nearest(name, tools)}")
            async with at_once:
                content = await _call(asked.name, asked.arguments or {}, workspace)
        except (WarmdownError, CallEnded) as error:
            return CallToolResult(content=[_text_content(str(error))], is_error=True)
        return CallToolResult(content=content)

    return Server(
        "warmdown",
        version=__version__,
        instructions=_INSTRUCTIONS,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )


def _listed_tool(name: str, tool: Tool) -> ListedTool:
    return ListedTool(
        name=name,
        description=description(name),
        input_schema=input_schema(name),
        # a client asks a person before a tool that changes something
        annotations=ToolAnnotations(
            read_only_hint=tool.is_read_only,
            destructive_hint=not tool.is_read_only,
            open_world_hint=False,
        ),
    )


async def _call(name: str, arguments: dict[str, Any], workspace: Workspace) -> list[ContentBlock]:
    """Return the result of a tool: its JSON, and a picture where one was asked for.

    Raises:
        WarmdownError: The arguments cannot be used, or the command has no result.
        CallEnded: It gave no answer in its bounds.
    """
    with TemporaryDirectory(prefix="warmdown-") as folder:
        place = Path(folder).resolve()
        words = words_of_call(name, arguments, workspace, place)
        data = json.loads(await run_command(words, place, TOOLS[name].seconds))
        if isinstance(data, dict) and "error" in data:
            raise WarmdownError(data["error"]["message"].replace(f"{place}/", ""))
        pictures = [*place.glob("picture.*")]
        return [_text_content(json.dumps(_with_short_rows(data))), *map(_picture_content, pictures)]


def _with_short_rows(data: Any) -> Any:
    """Return data with long rows of numbers made short: a model reads every character."""
    if isinstance(data, dict):
        return {name: _with_short_rows(value) for name, value in data.items()}
    if not isinstance(data, list):
        return data
    if len(data) > _LONGEST_ROW and all(isinstance(one, int | float | None) for one in data):
        last = len(data) - 1
        return [data[round(place * last / (_LONGEST_ROW - 1))] for place in range(_LONGEST_ROW)]
    return [_with_short_rows(one) for one in data]


def _text_content(text: str) -> TextContent:
    return TextContent(type="text", text=text)


def _picture_content(path: Path) -> ContentBlock:
    if path.suffix == ".svg":
        return _text_content(path.read_text(encoding="utf-8"))
    data = base64.b64encode(path.read_bytes()).decode()
    return ImageContent(type="image", data=data, mime_type="image/png")


async def _serve_stdio(server: Server[Any]) -> None:
    async with stdio_server() as (messages, answers):
        await server.run(messages, answers, server.create_initialization_options())


def _port_of(http: str) -> int:
    host, _, port = http.rpartition(":")
    if host not in ("", *_OURS):
        raise SpecError(f"--http {http}: only this machine may ask. Use {_LOOPBACK}:{port}.")
    if not port.isdecimal() or int(port) > 65_535:
        raise SpecError(f"--http {http}: no port. Give a number up to 65535, or 0 for a free one.")
    return int(port)


def _serve_http(server: Server[Any], port: int) -> None:
    import uvicorn

    try:
        listening = socket.create_server((_LOOPBACK, port))
    except OSError as error:
        reason = (error.strerror or str(error)).partition(" (while")[0]  # without the address
        raise SpecError(f"--http {port}: {reason}. Give another port, or 0.") from None
    # other people of this machine reach the port, too
    path = f"/{secrets.token_urlsafe(24)}/mcp"
    app = server.streamable_http_app(streamable_http_path=path, host=_LOOPBACK)
    say(f"warmdown mcp: http://{_LOOPBACK}:{listening.getsockname()[1]}{path}")
    config = uvicorn.Config(app, log_level="error", access_log=False, server_header=False)
    uvicorn.Server(config).run(sockets=[listening])
