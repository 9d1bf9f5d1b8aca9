"""The plan in plain torch: code of its values, or another library's own class."""

from __future__ import annotations

import math
from typing import Any

from warmdown.errors import WarmdownError
from warmdown.expressions import Facts, evaluate, has_placeholder, is_number, run_facts
from warmdown.importing.torch_code import NoTorchCode as NoTorchCode
from warmdown.importing.torch_code import torch_code
from warmdown.plan import Plan
from warmdown.planfile.plans import run_from_dict
from warmdown.schedules.base import PlainData
from warmdown.studio.draft.document import NOT_TARGETS


def as_torch(data: PlainData, plan: Plan | None) -> str:
    """Return code that uses torch, and where the plan is one class, that class.

    Args:
        data: The plan file's data.
        plan: Its plan; ``None`` where a class of another library is in it.

    Raises:
        NoTorchCode: torch has nothing for a part of it.
    """
    return _class_code(data) if plan is None else torch_code(plan)


def is_one_class(data: PlainData) -> bool:
    """Whether the plan is one class of another library, which code can build itself."""
    return _only_schedule(data) is not None


def _only_schedule(data: PlainData) -> PlainData | None:
    schedule = data.get("lr") if not data.keys() - {"lr", *NOT_TARGETS} else None
    if isinstance(schedule, list) and len(schedule) == 1:
        schedule = schedule[0]
    return schedule if isinstance(schedule, dict) and "class_path" in schedule else None


def _class_code(data: PlainData) -> str:
    schedule = _only_schedule(data)
    if schedule is None:
        raise NoTorchCode("a class beside other phases has to be turned into a schedule first.")
    imports: dict[str, None] = {}
    try:
        facts = run_facts(run_from_dict(data.get("run", {})))
        code = _argument_code(schedule, facts, imports)
    except WarmdownError as error:
        raise NoTorchCode(str(error)) from None
    return "\n".join([*imports, "", f"scheduler = {code}", ""])


def _argument_code(value: Any, facts: Facts, imports: dict[str, None]) -> str:
    """Return the code of an argument, with the numbers that its texts and placeholders mean."""
    if isinstance(value, dict) and "class_path" in value:
        return _call_code(value, facts, imports)
    if isinstance(value, dict):
        pairs = (f"{name!r}: {_argument_code(one, facts, imports)}" for name, one in value.items())
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, list):
        return f"[{', '.join(_argument_code(one, facts, imports) for one in value)}]"
    if isinstance(value, str) and (is_number(value) or has_placeholder(value)):
        value = evaluate(value, facts)
        value = int(value) if value == int(value) else value
    if isinstance(value, float) and not math.isfinite(value):
        return f"float({str(value)!r})"
    return repr(value)


def _call_code(schedule: PlainData, facts: Facts, imports: dict[str, None]) -> str:
    path, arguments = str(schedule["class_path"]), schedule.get("init_args") or {}
    if not all(word.isidentifier() for word in (*path.split("."), *arguments)):
        raise NoTorchCode("a path or a parameter is no name, so there is no code for it.")
    module, _, name = path.rpartition(".")
    imports[f"from {module} import {name}"] = None
    keywords = (f"{key}={_argument_code(one, facts, imports)}" for key, one in arguments.items())
    return f"{name}({', '.join(['optimizer', *keywords])})"
