"""A plan file's data as Python that makes the plan."""

from __future__ import annotations

from typing import Any

from warmdown.errors import ScheduleError
from warmdown.planfile import shapes
from warmdown.schedules.base import PlainData


def as_python(data: PlainData) -> str:
    """Return the plan as Python that makes it.

    Example:
        >>> print(as_python({"lr": [{"kind": "linear", "steps": "5%"}, {"kind": "cosine"}]}))
        import warmdown as wd
        <BLANKLINE>
        plan = wd.Plan.of(
            lr=wd.Linear(steps='5%') >> wd.Cosine(),
        )
        scheduler = wd.Scheduler(optimizer, plan)
        <BLANKLINE>
    """
    codes = {name: _target_code(value) for name, value in data.items() if name != "run"}
    lines = ["import warmdown as wd", "", "plan = wd.Plan.of("]
    if "run" in data:
        lines.append(f"    run=wd.Run({_keywords(data['run'])}),")
    if all(name.isidentifier() for name in codes):
        lines += [f"    {name}={code}," for name, code in codes.items()]
    else:  # betas[0] is no name
        lines.append(f"    **{_mapping(codes)},")
    return "\n".join([*lines, ")", "scheduler = wd.Scheduler(optimizer, plan)", ""])


def _mapping(codes: dict[str, str]) -> str:
    return f"{{{', '.join(f'{name!r}: {code}' for name, code in codes.items())}}}"


def _target_code(data: Any) -> str:
    if not isinstance(data, dict) or data.keys() & {"kind", "class_path"}:
        return _chain_code(data)
    if "groups" in data:
        return _mapping({name: _target_code(one) for name, one in data["groups"].items()})
    (rule, chain), *bounds = data.items()
    arguments = [_chain_code(chain), *(f"{name}={_code(bound)}" for name, bound in bounds)]
    return f"wd.{rule.title()}({', '.join(arguments)})"


def _chain_code(data: Any) -> str:
    members = data if isinstance(data, list) else [data]
    return " >> ".join(map(_code, members))


def _code(data: Any) -> str:
    if isinstance(data, list):
        inside = ", ".join(_code(one) for one in data)
        return f"({inside},)" if len(data) == 1 else f"({inside})"
    return _schedule_code(data) if isinstance(data, dict) else repr(data)


def _schedule_code(data: PlainData) -> str:
    arguments = dict(data)
    name = arguments.pop("name", None)
    if "class_path" in arguments:
        path, init_args = arguments["class_path"], arguments.get("init_args", {})
        code = f"wd.External(class_path={path!r}, init_args={init_args!r})"
    else:
        kind = str(arguments.pop("kind"))
        shape = shapes().get(kind)
        if shape is None:
            raise ScheduleError(
                f"{kind[:60]!r}: there is no such shape, so there is no code for it."
            )
        code = f"wd.{shape.__name__}({_keywords(arguments)})"
    return f"{code}.named({name!r})" if name is not None else code


def _keywords(arguments: PlainData) -> str:
    """Return keyword arguments; a text that is no name could become other code."""
    wrong = [name for name in arguments if not name.isidentifier()]
    if wrong:
        raise ScheduleError(
            f"{wrong[0][:60]!r}: not a name of a parameter, so there is no code for it."
        )
    return ", ".join(f"{name}={_code(value)}" for name, value in arguments.items())
