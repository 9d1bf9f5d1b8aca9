"""Options that commands share: a plan's file or a shape's name, parameters, facts about the run."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias

from click import Path as PathType
from click import argument, option

from warmdown.errors import SpecError, nearest

if TYPE_CHECKING:
    from warmdown.forecast import Law
    from warmdown.plan import Plan
    from warmdown.planfile import RecipeOfRecord
    from warmdown.run import Run

Decorator: TypeAlias = Callable[[Any], Any]
Texts: TypeAlias = tuple[str, ...]
"""The values of an option that may come again."""

_FACTS = {
    "total_steps": "Optimizer updates in the whole run.",
    "steps_per_epoch": "Optimizer updates in one epoch.",
    "epochs": "Passes over the data.",
    "lr": "Base learning rate.",
}
_ENDINGS = (".yaml", ".yml", ".json")


PATH = PathType(path_type=Path)
json_option = option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
law_option = option(
    "--law", "law_file", type=PATH, help="A law of the loss: show what it predicts."
)
task_option = option("--task", default="digits", help="digits, fashion, text, module:function.")


address_option = option(
    "--address", help="Of a dask scheduler, its file, or ray; else the engine's variable counts."
)


def option_group(*each: Decorator) -> Decorator:
    """Return one decorator for several options, which help lists in their order."""

    def add(command: Any) -> Any:
        for decorator in reversed(each):
            command = decorator(command)
        return command

    return add


def law_of(path: Path | None) -> Law | None:
    """Return the law of a file, where one was named."""
    if path is None:
        return None
    from warmdown.forecast import load_law

    return load_law(path)


plan_options = option_group(
    argument("given", metavar="NAME_OR_FILE"),
    option("--param", "params", multiple=True, metavar="PATH=VALUE",
           help="Give a parameter a value."),
    option("--allow", multiple=True, metavar="MODULE", help="Allow class paths from this module."),
)  # fmt: skip
"""A plan, its parameters, and what may be imported for it."""
run_options = option_group(
    plan_options,
    option("--run", "more", multiple=True, metavar="FACT=VALUE",
           help="Another fact: tokens_per_step=2e6."),
    *(option(f"--{name.replace('_', '-')}", metavar="N", help=text)
      for name, text in _FACTS.items()),
)  # fmt: skip
"""A plan, and facts about its run."""


def read_plan_for_run(
    given: str, params: Texts, allow: Texts, more: Texts, **facts: str | None
) -> Plan:
    """Return the plan and run of the options.

    Raises:
        SpecError: There is none, or it is none.
    """
    from warmdown.planfile import run_from_dict

    known = {name: value for name, value in facts.items() if value is not None}
    run = run_from_dict({**known, **named_values("--run", more)})
    return read_plan(given, params, allow, run)


def read_plan(
    given: str,
    params: Texts,
    allow: Texts,
    run: Run,
    loaders: Mapping[str, float | None] = MappingProxyType({}),
    *,
    piped: Any = None,
) -> Plan:
    """Return the plan in a file (``-`` is standard input), or of a shape, recipe or class.

    A recipe of record has its name alone, or ``recipe:`` or ``stretched:`` before it.

    Args:
        given: The file, or the name.
        params: Values that go before its own, as ``path=value``.
        allow: Modules from which class paths may be imported, besides the known ones.
        run: Facts that go before its own.
        loaders: What a trainer knows of its data, by placeholder.
        piped: The data of standard input, where they have been read already.

    Raises:
        SpecError: There is none, or it is none.
    """
    from warmdown import planfile

    values = {path: _as_in_a_file(text) for path, text in named_values("--param", params).items()}
    if is_file(given) or recipe_of(given):
        path = f"recipe:{given}" if given in planfile.recipes_of_record() else given
        return planfile.load(path, run=run, allow=allow, changes=values, loaders=loaders)
    if given == "-":
        data = read_input() if piped is None else piped
    elif "." in given:
        data = {"class_path": given}
        values = {f"init_args.{path}": value for path, value in values.items()}
    elif given in (shapes := planfile.shapes()):
        name = "targets" if planfile.drives_several(shapes[given]) else "lr"
        data = {name: {"kind": given}}
        values = {f"{name}.{path}": value for path, value in values.items()}
    else:
        word = given[:60]
        known = [*shapes, *planfile.recipes_of_record()]
        raise SpecError(f"{word!r}: neither a file nor a shape. {nearest(word, known)}")
    changed = planfile.with_overrides(data, values)
    return planfile.plan_from_dict(changed, run=run, allow=allow, loaders=loaders)


def read_input() -> Any:
    """Return the data of the plan on standard input, which can be read but once."""
    from warmdown import planfile
    from warmdown.planfile.text import MAX_BYTES, decode

    return planfile.from_yaml(decode(sys.stdin.buffer.read(MAX_BYTES + 1))).data


def bases_of_options(groups: Texts) -> dict[str, float] | None:
    """Return the base rate of each parameter group, or ``None``.

    Raises:
        SpecError: One is no number.
    """
    from warmdown.planfile import run_from_dict

    rates = named_values("--group", groups)
    return {name: run_from_dict({"lr": rate}).lr or 0.0 for name, rate in rates.items()} or None


def recipe_of(given: str) -> RecipeOfRecord | None:
    """Return the recipe of record that a person means, by its name or with a prefix.

    Raises:
        SpecError: There is none of the name after a prefix.
    """
    from warmdown.planfile.of_record import asked_recipe, recipes_of_record

    asked = None if is_file(given) else asked_recipe(given)
    return asked.recipe if asked else recipes_of_record().get(given)


def is_file(given: str) -> bool:
    """Whether a person means a file: it ends like one, or is there."""
    return Path(given).suffix.lower() in _ENDINGS or Path(given).is_file()


def plan_name(given: str) -> str:
    """Return what a plan is called: a file's stem, or the name of a shape itself."""
    return Path(given).stem if Path(given).is_file() else given


def named_values(option: str, texts: Texts) -> dict[str, str]:
    """Return the values of an option that is given as ``NAME=VALUE``, by name.

    Raises:
        SpecError: One has no name, or no value.
    """
    pairs = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign or not name:
            raise SpecError(
                f"{option} {text}: a name and a value are needed. Write {option} end=0.1."
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
