"""The plan in plain torch: a function of the step for LambdaLR, or torch's own class."""

from __future__ import annotations

from typing import Any

from warmdown.errors import WarmdownError
from warmdown.expressions import Facts, evaluate, has_placeholder, is_number, run_facts
from warmdown.importing.torch_code import NoTorchCode as NoTorchCode
from warmdown.importing.torch_code import lambda_code
from warmdown.plan import Plan
from warmdown.planfile.plans import run_from_dict
from warmdown.schedules.base import PlainData
from warmdown.studio.draft.document import NOT_TARGETS


def as_torch(data: PlainData, plan: Plan | None) -> str:
    """Return code that uses torch alone.

    Args:
        data: The plan file's data.
        plan: Its plan; ``None`` where a class of another library is in it.

    Raises:
        NoTorchCode: It needs more than a factor on the learning rate.
    """
    return _class_code(data) if plan is None else lambda_code(plan)


def _class_code(data: PlainData) -> str:
    schedule = data.get("lr") if not data.keys() - {"lr", *NOT_TARGETS} else None
    if isinstance(schedule, list) and len(schedule) == 1:
        schedule = schedule[0]
    if not isinstance(schedule, dict) or "class_path" not in schedule:
        raise NoTorchCode(
            "a class of another library beside other phases takes torch's SequentialLR, which "
            "loses its place on resume. Use the Python of warmdown."
        )
    path, arguments = str(schedule["class_path"]), schedule.get("init_args") or {}
    if not all(word.isidentifier() for word in (*path.split("."), *arguments)):
        raise NoTorchCode("a path or a parameter is no name, so there is no code for it.")
    try:
        facts = run_facts(run_from_dict(data.get("run", {})))
        values = {name: _evaluated(value, facts) for name, value in arguments.items()}
    except WarmdownError as error:
        raise NoTorchCode(str(error)) from None
    module, _, name = path.rpartition(".")
    keywords = "".join(f", {key}={value!r}" for key, value in values.items())
    return f"from {module} import {name}\n\nscheduler = {name}(optimizer{keywords})\n"


def _evaluated(value: Any, facts: Facts) -> Any:
    """Return an argument with the numbers that its texts and placeholders mean."""
    if isinstance(value, list):
        return [_evaluated(one, facts) for one in value]
    if isinstance(value, str) and (is_number(value) or has_placeholder(value)):
        return evaluate(value, facts)
    return value
