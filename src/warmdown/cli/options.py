"""What a person gives a command: a plan's file or a shape's name, parameters, and facts about the run."""

from __future__ import annotations

__all__ = ["bases_told", "is_file", "plan_options", "read_plan", "run_options", "run_told"]

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
    for name, told in reversed(_FACTS.items()):
        command = click.option(f"--{name.replace('_', '-')}", name, metavar="N", help=told)(command)
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


def run_told(more: tuple[str, ...], **facts: str | None) -> Run:
    """Return the run that the options tell of.

    Raises:
        SpecError: A fact is none.
    """
    from warmdown.planfile import run_from_dict

    told = {name: value for name, value in facts.items() if value is not None}
    return run_from_dict({**told, **_pairs("--run", more)})


def read_plan(
    given: str,
    params: tuple[str, ...],
    run: Run,
    allow: tuple[str, ...],
    loaders: Mapping[str, float | None] = MappingProxyType({}),
) -> Plan:
    """Return the plan in a file (``-`` is standard input), or of a shape, recipe or class by its name.

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

    values = {path: _value(text) for path, text in _pairs("--param", params).items()}
    if given == "-":
        data = planfile.from_yaml(decode(sys.stdin.buffer.read(MAX_BYTES + 1))).data
        return planfile.plan_from_dict(
            planfile.with_overrides(data, values), run=run, allow=allow, loaders=loaders
        )
    if is_file(given):
        return planfile.load(given, run=run, allow=allow, changes=values, loaders=loaders)
    data = _named(given)
    return planfile.plan_from_dict(
        planfile.with_overrides(data, _under(data, values)), run=run, allow=allow, loaders=loaders
    )


def bases_told(groups: tuple[str, ...]) -> dict[str, float] | None:
    """Return the base rate of each parameter group that was told, or ``None``.

    Raises:
        SpecError: One is no number.
    """
    from warmdown.planfile import run_from_dict

    bases = {
        name: run_from_dict({"lr": rate}).lr or 0.0
        for name, rate in _pairs("--group", groups).items()
    }
    return bases or None


def is_file(given: str) -> bool:
    """Whether a person means a file: it ends like one, or is there."""
    return Path(given).suffix.lower() in _ENDINGS or Path(given).is_file()


def _named(given: str) -> dict[str, Any]:
    """Return the data of a shape with nothing but its name."""
    from warmdown.planfile import drives_several, shapes

    if "." in given:
        return {"class_path": given}
    if given not in shapes():
        raise SpecError(
            [f"{given[:60]!r}: neither a file nor a shape. {nearest(given[:60], shapes())}"]
        )
    return (
        {"targets": {"kind": given}} if drives_several(shapes()[given]) else {"lr": {"kind": given}}
    )


def _under(data: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters' paths as they are in the data of a name."""
    before = "init_args" if "class_path" in data else next(iter(data))
    return {f"{before}.{path}": value for path, value in values.items()}


def _pairs(option: str, texts: tuple[str, ...]) -> dict[str, str]:
    pairs = {name: value for name, _, value in (text.partition("=") for text in texts)}
    for text in texts:
        if "=" not in text or text.startswith("="):
            raise SpecError(
                [f"{option} {text}: a name and a value are needed. Write {option} end=0.1."]
            )
    return pairs


def _value(text: str) -> Any:
    """Return what a value means, as it would in a file: a number, a list, a mapping, or a text such as ``5%``."""
    from warmdown.planfile import from_yaml

    try:
        return from_yaml(text).data
    except SpecError:
        return text
