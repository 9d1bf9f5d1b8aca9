"""Options that commands share: a plan's file or a shape's name, parameters, facts about the run."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

import click

from warmdown.errors import SpecError, nearest

if TYPE_CHECKING:
    from warmdown.plan import Plan
    from warmdown.run import Run

Command = TypeVar("Command", bound=Callable[..., Any])

_FACTS = {
    "total_steps": "Optimizer updates in the whole run.",
    "steps_per_epoch": "Optimizer updates in one epoch.",
    "epochs": "Passes over the data.",
    "lr": "Base learning rate.",
}
_ENDINGS = (".yaml", ".yml", ".json")


def run_options(command: Command) -> Command:
    """Let a command take facts about the run."""
    for name, help in reversed(_FACTS.items()):
        option = click.option(f"--{name.replace('_', '-')}", name, metavar="N", help=help)
        command = option(command)
    return click.option(
        "--run",
        "more",
        multiple=True,
        metavar="FACT=VALUE",
        help="Another fact: tokens_per_step=2e6.",
    )(command)


def plan_options(command: Command) -> Command:
    """Let a command take a plan, its parameters, and what may be imported for it."""
    command = click.option(
        "--allow", multiple=True, metavar="MODULE", help="Allow class paths from this module."
    )(command)
    command = click.option(
        "--param", "params", multiple=True, metavar="PATH=VALUE", help="Give a parameter a value."
    )(command)
    return click.argument("given", metavar="NAME_OR_FILE")(command)


def run_of_options(more: tuple[str, ...], **facts: str | None) -> Run:
    """Return the run of the options.

    Raises:
        SpecError: A fact is none.
    """
    from warmdown.planfile import run_from_dict

    given = {name: value for name, value in facts.items() if value is not None}
    return run_from_dict({**given, **named_values("--run", more)})


def read_plan(
    given: str,
    params: tuple[str, ...],
    run: Run,
    allow: tuple[str, ...],
    loaders: Mapping[str, float | None] = MappingProxyType({}),
) -> Plan:
    """Return the plan in a file (``-`` is standard input), or of a shape, recipe or class.

    Args:
        given: The file, or the name.
        params: Values that go before its own, as ``path=value``.
        run: Facts that go before its own.
        allow: Modules from which class paths may be imported, besides the known ones.
        loaders: What a trainer knows of its data, by placeholder.

    Raises:
        SpecError: There is none, or it is none.
    """
    from warmdown import planfile
    from warmdown.planfile.text import MAX_BYTES, decode

    values = {path: _as_in_a_file(text) for path, text in named_values("--param", params).items()}
    if is_file(given):
        return planfile.load(given, run=run, allow=allow, changes=values, loaders=loaders)
    if given == "-":
        data = planfile.from_yaml(decode(sys.stdin.buffer.read(MAX_BYTES + 1))).data
    elif "." in given:
        data = {"class_path": given}
        values = {f"init_args.{path}": value for path, value in values.items()}
    elif given in (shapes := planfile.shapes()):
        name = "targets" if planfile.drives_several(shapes[given]) else "lr"
        data = {name: {"kind": given}}
        values = {f"{name}.{path}": value for path, value in values.items()}
    else:
        word = given[:60]
        raise SpecError([f"{word!r}: neither a file nor a shape. {nearest(word, shapes)}"])
    changed = planfile.with_overrides(data, values)
    return planfile.plan_from_dict(changed, run=run, allow=allow, loaders=loaders)


def bases_of_options(groups: tuple[str, ...]) -> dict[str, float] | None:
    """Return the base rate of each parameter group, or ``None``.

    Raises:
        SpecError: One is no number.
    """
    from warmdown.planfile import run_from_dict

    rates = named_values("--group", groups)
    return {name: run_from_dict({"lr": rate}).lr or 0.0 for name, rate in rates.items()} or None


def is_file(given: str) -> bool:
    """Whether a person means a file: it ends like one, or is there."""
    return Path(given).suffix.lower() in _ENDINGS or Path(given).is_file()


def named_values(option: str, texts: tuple[str, ...]) -> dict[str, str]:
    """Return the values of an option that is given as ``NAME=VALUE``, by name.

    Raises:
        SpecError: One has no name, or no value.
    """
    pairs = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign or not name:
            raise SpecError(
                [f"{option} {text}: a name and a value are needed. Write {option} end=0.1."]
            )
        pairs[name] = value
    return pairs


def _as_in_a_file(text: str) -> Any:
    """Return the value of a text in a file: a number, a list, a mapping, or the text itself."""
    from warmdown.planfile import from_yaml

    try:
        return from_yaml(text).data
    except SpecError:
        return text
