"""The tools of ``warmdown mcp``: each is a command, with the options that a client may give."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import click

from warmdown.cli.main import COMMANDS, main
from warmdown.cli.workspace import Workspace
from warmdown.errors import SpecError, nearest, shortly

_PLAN, _CODE, _LOG, _CONFIG, _LAW = "plan.yaml", "script.py", "log.csv", "config.yaml", "law.json"
"""What a text is called that is given in place of a file."""
_NAME = re.compile(r"[\w.-]+")
_LONGEST_TEXT = 1_000_000
_MOST_VALUES = 32
"""Values of one argument."""
_RUN = ("total_steps", "steps_per_epoch", "epochs", "lr", "run")
_NUMBERS = ("N", "[N]", "LENGTH")
"""Metavars of what may be a number, too."""
_NOTHING: Mapping[str, Any] = MappingProxyType({})


class Tool(NamedTuple):
    """A command as a tool.

    Args:
        options: The options that a client may give, in the words of the command.
        files: Arguments and options that name files, with what a text in their place is called.
        folders: Arguments that name folders of the workspace.
        limits: The largest number that an option may have, or the values that it may have.
        defaults: Values of options that a client leaves out.
        fixed: Words of every call.
        pictures: Kinds of picture that may come with the result.
        seconds: After which a call is ended.
        is_read_only: Whether a call changes nothing outside its own process.
    """

    options: Sequence[str] = ()
    files: Mapping[str, str] = _NOTHING
    folders: Sequence[str] = ()
    limits: Mapping[str, int | Sequence[str]] = _NOTHING
    defaults: Mapping[str, Any] = _NOTHING
    fixed: Sequence[str] = ()
    pictures: Sequence[str] = ()
    seconds: float = 120.0
    is_read_only: bool = True


TOOLS: Mapping[str, Tool] = {
    "list": Tool(("words",)),
    "show": Tool(
        ("plan", "param", *_RUN, "group", "points", "law"),
        {"plan": _PLAN, "law": _LAW},
        limits={"points": 1000},
        defaults={"points": 21},
        pictures=("png", "svg"),
    ),
    "check": Tool(("plan", "param", *_RUN), {"plan": _PLAN}),
    "import": Tool(
        ("source", "param", "mode", "total_steps", "steps_per_epoch", "epochs", "lr"),
        {"source": _CONFIG},
    ),
    "forecast": Tool(
        ("logs", "plan", "total_steps", "lr", "warmup", "against", "design", "shape", "decay_now",
         "extend", "law", "step_column", "rate_column", "loss_column"),
        {"logs": _LOG, "plan": _PLAN, "against": _LOG, "law": _LAW},
    ),
    "compare": Tool(
        ("plans", "task", "seeds", "max_steps", "batch_size", "metric", "goal", "baseline",
         "theory", "lr", "total_steps"),
        {"plans": _PLAN},
        limits={"seeds": 5, "max_steps": 1000, "plans": 4, "task": ("digits", "fashion", "text")},
        defaults={"seeds": 2, "max_steps": 200, "task": "digits"},
        fixed=("--engine=serial",),
        seconds=300.0,
    ),
    "tell": Tool(
        ("run", "command", "value", "over", "curve", "target", "group", "on_change", "dry_run",
         "wait", "law"),
        {"law": _LAW},
        limits={"wait": 60},
        defaults={"wait": 30},
        folders=("run",),
        is_read_only=False,
    ),
    "explain": Tool(("code",)),
    "lint": Tool(("paths", "select", "ignore"), {"paths": _CODE}),
}  # fmt: skip
"""Every tool. No command that imports what a client names is among them, and the one that writes
leaves a request in the folder of a run."""
_NAMES = {"given": "plan", "asked": "command"}
"""Arguments that a client knows by other names."""


def input_schema(name: str) -> dict[str, Any]:
    """Return the JSON Schema of a tool's arguments, from the options of its command.

    Example:
        >>> input_schema("explain")["properties"]["code"]["type"]
        'string'
    """
    tool, known = TOOLS[name], _click_parameters(name)
    properties = {option: _value_schema(tool, option, known[option]) for option in tool.options}
    if tool.pictures:
        properties["picture"] = {"enum": list(tool.pictures), "description": "A picture too."}
    required = [option for option in tool.options if known[option].required]
    schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**schema, "required": required} if required else schema


def description(name: str) -> str:
    """Return what a tool does, in the words of its command."""
    text = (_command(name).help or "").split("\b")[0]
    return f"{COMMANDS[name].help} {' '.join(text.split())}"


def words_of_call(
    name: str, arguments: Mapping[str, Any], workspace: Workspace, place: Path
) -> list[str]:
    """Return the command line of a call; the files that it names are copied to where it works.

    Args:
        name: The tool.
        arguments: Of the client.
        workspace: Where its files are.
        place: Where the command will work.

    Raises:
        SpecError: An argument is unknown, too much, or names a file that may not be read.
    """
    tool, known = TOOLS[name], _click_parameters(name)
    options, places = [], []
    given = {**tool.defaults, **arguments}
    # arguments count by their place, whatever order a client writes them in
    for option in sorted(given, key=[*tool.options, *given].index):
        value = given[option]
        if value is None:
            continue
        if option == "picture" and tool.pictures:
            _check_limit(name, option, str(value), tool.pictures)
            options.append(f"--out=picture.{value}")
            continue
        if option not in tool.options:
            raise SpecError(f"{name}({option[:60]}=…): no such argument. "
                            f"{nearest(option[:60], tool.options)}")  # fmt: skip
        texts = list(_texts(name, option, value, tool, workspace, place))
        if isinstance(known[option], click.Argument):
            places += texts
        elif getattr(known[option], "is_flag", False):
            options += [known[option].opts[0]] if value is True else []
        else:
            options += [f"{known[option].opts[0]}={text}" for text in texts]
    return [name, *tool.fixed, *options, "--json", "--", *places]


def _command(name: str) -> click.Command:
    command = main.get_command(click.Context(main), name)
    assert command is not None
    return command


def _click_parameters(name: str) -> dict[str, click.Parameter]:
    """Return the parameters of a command: an option by its word, an argument by its name."""
    found = {}
    for parameter in _command(name).params:
        is_option = isinstance(parameter, click.Option)
        word = parameter.opts[0].lstrip("-").replace("-", "_") if is_option else parameter.name
        found[_NAMES.get(str(word), str(word))] = parameter
    return found


def _value_schema(tool: Tool, option: str, parameter: click.Parameter) -> dict[str, Any]:
    about = [getattr(parameter, "help", None) or ""]
    if option in tool.files:
        about.append("A file under the server's folder, or its text.")
    if option in tool.folders:
        about.append("The folder of a run, under the server's folder.")
    if tool.files.get(option) == _PLAN:
        about.append("Or the name of a shape or recipe.")
    metavar = parameter.metavar or ""
    one: dict[str, Any] = {"type": "string"}
    if getattr(parameter, "is_flag", False):
        one = {"type": "boolean"}
    elif isinstance(parameter.type, click.Choice):
        one = {"enum": list(parameter.type.choices)}
    elif option in tool.files:
        one = {"type": ["string", "object"]}
    elif isinstance(parameter.type, type(click.INT) | type(click.FLOAT)) or metavar in _NUMBERS:
        one = {"type": ["number", "string"]}
    if isinstance(limit := tool.limits.get(option), Sequence):
        one = {"enum": list(limit)}
    elif limit is not None:
        about.append(f"At most {limit}.")
    if option in tool.defaults:
        one["default"] = tool.defaults[option]
    text = " ".join(filter(None, about))
    if parameter.multiple or parameter.nargs == -1:
        one = {"type": "array", "items": one, "maxItems": _MOST_VALUES}
    return {**one, "description": text} if text else one


def _texts(
    name: str, option: str, value: Any, tool: Tool, workspace: Workspace, place: Path
) -> Iterator[str]:
    values = value if isinstance(value, list) else [value]
    limit = tool.limits.get(option, _MOST_VALUES)
    if len(values) > (limit if isinstance(limit, int) else 1) or len(values) > _MOST_VALUES:
        raise SpecError(f"{name}({option}=…): {len(values)} values are too many. Give fewer.")
    for number, one in enumerate(values):
        try:
            whole = isinstance(one, float) and one.is_integer() and abs(one) < 2**53
            text = one if isinstance(one, str) else json.dumps(int(one) if whole else one)
            text.encode()
        except (ValueError, RecursionError):
            raise SpecError(f"{name}({option}=…): no text and no number. Correct it.") from None
        if len(text) > _LONGEST_TEXT:
            raise SpecError(f"{name}({option}=…): too long. Give a file, or less of it.")
        if option in tool.folders:
            text = workspace.folder(text)
        elif option in tool.files:
            text = _file_of(text, tool.files[option], number, workspace, place)
        elif len(text) > 1000 or "\0" in text:
            raise SpecError(f"{name}({option}={shortly(text)}): not a value of it. Correct it.")
        elif option in tool.limits:
            _check_limit(name, option, text, tool.limits[option])
        yield text


def _check_limit(name: str, option: str, text: str, limit: int | Sequence[str]) -> None:
    who = f"{name}({option}={shortly(text)})"
    if not isinstance(limit, int):
        if text not in limit:
            raise SpecError(f"{who}: not possible here. Use one of {', '.join(limit)}.")
    elif not re.fullmatch(r"[1-9]\d{0,8}", text) or int(text) > limit:
        raise SpecError(f"{who}: a whole number from 1 to {limit} is needed.")


def _file_of(text: str, called: str, number: int, workspace: Workspace, place: Path) -> str:
    """Return the path of a file in the place of a call: copied, or made of a text."""
    if "\n" in text or text.startswith("{") or ": " in text:
        folder = place / ".given"  # no file of the workspace has such a name
        folder.mkdir(exist_ok=True)
        path = folder / f"{Path(called).stem}-{number}{Path(called).suffix}"
        path.write_text(text, encoding="utf-8")
        return path.relative_to(place).as_posix()
    is_word = called in (_PLAN, _CONFIG) and _NAME.fullmatch(text)
    if is_word and not (workspace.path / text).exists():
        return text  # a shape, a recipe or a class: the command knows which
    return workspace.copy(text, place)
