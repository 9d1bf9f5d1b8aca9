"""OmegaConf's ``${trainer.max_steps}``: what it points to, put in its place."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from warmdown.errors import ScheduleError
from warmdown.importing.formats.section import Settings

_POINTER = re.compile(r"\$\{\s*([\w.\[\]-]+)\s*\}")
"""The innermost; a resolver such as ``${oc.env:HOME}`` is left as it is."""
_DEEPEST = 50


def interpolated(settings: Settings) -> Settings:
    """Return settings in which every pointer has its value; one without a value stays a text.

    Raises:
        ScheduleError: Pointers go round in a circle.

    Example:
        >>> interpolated({"steps": 100, "scheduler": {"T_max": "${steps}"}})["scheduler"]
        {'T_max': 100}
    """

    def resolve(value: Any, place: tuple[Any, ...], depth: int) -> Any:
        if depth > _DEEPEST:
            raise ScheduleError(f"{'.'.join(map(str, place))}: its ${{…}} never ends. Correct it.")
        if isinstance(value, Mapping):
            return {key: resolve(one, (*place, key), depth + 1) for key, one in value.items()}
        if isinstance(value, list):
            return [resolve(one, (*place, at), depth + 1) for at, one in enumerate(value)]
        if not isinstance(value, str) or not (found := _POINTER.search(value)):
            return value
        home = _place_of(found[1], place)
        there = _at(settings, home)
        if there is None:
            return value
        if found[0] == value.strip():
            return resolve(there, home, depth + 1)
        inner = resolve(there, home, depth + 1)
        return resolve(value.replace(found[0], str(inner)), place, depth + 1)

    return {key: resolve(value, (key,), 0) for key, value in settings.items()}


def _place_of(pointer: str, place: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the keys of a pointer; each dot before it goes up from where it stands."""
    name = pointer.lstrip(".")
    up = len(pointer) - len(name)
    keys = tuple(int(key) if key.isdecimal() else key for key in re.findall(r"[\w-]+", name))
    return (*place[:-up], *keys) if up else keys


def _at(settings: Any, keys: tuple[Any, ...]) -> Any:
    for key in keys:
        if isinstance(settings, Mapping):
            settings = settings.get(key, settings.get(str(key)))
        elif isinstance(settings, list) and isinstance(key, int) and key < len(settings):
            settings = settings[key]
        else:
            return None
    return settings
