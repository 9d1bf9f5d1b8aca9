"""How pydantic reads a schedule or a plan from what a plan file has for it, and writes it again."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import isabstract
from typing import Any

from warmdown.errors import SpecError
from warmdown.plan import Plan
from warmdown.planfile.plans import from_dict, plan_from_dict
from warmdown.schedules import Schedule
from warmdown.schedules.base import kind_of


def pydantic_schema(kind: type[Any]) -> Any:
    """Return pydantic's schema of :class:`Schedule`, of one of its kinds, or of :class:`Plan`.

    A path is not read: data may come from a network.
    """
    from pydantic_core import core_schema

    def read(given: Any) -> Any:
        found = given
        if not isinstance(given, Schedule | Plan):
            is_plan = issubclass(kind, Plan)
            found = plan_from_dict(given) if is_plan else from_dict(_with_kind(given, kind))
        if not isinstance(found, kind):
            raise SpecError(f"a {kind.__name__} is needed, not a {type(found).__name__}.")
        return found

    write = core_schema.plain_serializer_function_ser_schema(lambda value: value.to_dict())
    any_data = core_schema.any_schema()
    return core_schema.no_info_after_validator_function(read, any_data, serialization=write)


def _with_kind(given: Any, kind: type[Any]) -> Any:
    """Return data with the word for their class, where the type of a field alone names it."""
    if not isinstance(given, Mapping) or given.keys() & {"kind", "class_path"}:
        return given
    return given if isabstract(kind) else {"kind": kind_of(kind), **given}
