"""Plain data to a schedule: a shape by its kind, a list as a chain, a number, a recipe, another library's class."""

from __future__ import annotations

__all__ = ["drives_several", "made", "schedule", "shapes", "what_drives"]

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, get_origin, get_type_hints

from warmdown.errors import RunError, ScheduleError, nearest
from warmdown.planfile.classes import argument_errors, find_class
from warmdown.planfile.fields import ParseContext, number, parameters_of, plain, reader_of, text
from warmdown.planfile.text import describe, join_path
from warmdown.registry import provided
from warmdown.schedules import Chain, Constant, Function, Named, Schedule
from warmdown.schedules.base import kind_of, kinds, loaded_kinds
from warmdown.schedules.recipes import recipes

_CLASS_KEYS = ("class_path", "init_args", "steps", "base", "name")
_LONGEST_REASON = 400


def shapes() -> Mapping[str, Callable[..., Any]]:
    """Return everything that can stand as ``kind`` in a text, by its word: shapes, and recipes.

    Example:
        >>> {"cosine", "chain", "warmup_cosine"} <= shapes().keys()
        True
    """
    return _shapes(tuple(loaded_kinds().values()))


@lru_cache(maxsize=4)
def _shapes(classes: tuple[type[Schedule], ...]) -> Mapping[str, Callable[..., Any]]:
    ours = {
        word: kind
        for word, kind in kinds().items()
        if kind.__module__.startswith("warmdown.schedules.")
    }
    yours = {kind_of(kind): kind for kind in classes if not kind.__module__.startswith("warmdown.")}
    every: dict[str, Any] = {**yours, **recipes(), **ours}
    return {word: kind for word, kind in every.items() if word[0] != "_" and kind is not Function}


def drives_several(shape: Callable[..., Any]) -> bool:
    """Whether a recipe makes targets for several fields, and not one schedule.

    Example:
        >>> drives_several(shapes()["one_cycle"]), drives_several(shapes()["wsd"])
        (True, False)
    """
    return not isinstance(shape, type) and get_origin(get_type_hints(shape).get("return")) is dict


def schedule(context: ParseContext, path: str, data: Any) -> Schedule | None:
    """Read a schedule."""
    result = made(context, path, data)
    if result is None or isinstance(result, Schedule):
        return result
    context.error(path, f"this drives {what_drives(result)}, not one schedule. {_WHERE_TARGETS_GO}")
    return None


def made(context: ParseContext, path: str, data: Any) -> Any:
    """Read a schedule, or the targets of a recipe that drives several fields at once."""
    if isinstance(data, Mapping):
        return (
            _of_class(context, path, data)
            if "class_path" in data
            else _of_kind(context, path, data)
        )
    if isinstance(data, list | tuple):
        return _chain(context, path, data)
    if isinstance(data, str) and data in shapes():
        return _of_kind(context, path, {"kind": data})
    if isinstance(data, str) and data.isidentifier():
        return context.error(
            path, f"there is no shape {data[:40]!r}. {nearest(data[:60], shapes())}"
        )
    if data is None:
        return context.error(path, "nothing stands here. Give a schedule, like {kind: cosine}.")
    value = number(context, path, data)
    return None if value is None else Constant(value=value)


def what_drives(targets: Mapping[str, Any]) -> str:
    """Return the fields of several targets, for an error."""
    return " and ".join(targets)


_WHERE_TARGETS_GO = "Write it at the top of the plan as targets: {kind: …}."


def _of_kind(context: ParseContext, path: str, data: Mapping[Any, Any]) -> Any:
    given = {str(key): value for key, value in data.items()}
    kind, known = given.pop("kind", None), shapes()
    if kind is None:
        return context.error(
            path,
            f"{describe(data)} has no 'kind'. Name a shape: {{kind: cosine}}; see 'warmdown list'.",
        )
    if not isinstance(kind, str) or kind not in known:
        return context.error(
            join_path(path, "kind"),
            f"there is no shape {describe(kind)}. {nearest(str(kind)[:60], known)}",
        )
    name = given.pop("name", None) if kind != "named" else None
    return _called(context, path, known[kind], given, name)


def _of_class(context: ParseContext, path: str, data: Mapping[Any, Any]) -> Any:
    for key in [key for key in data if key not in _CLASS_KEYS]:
        context.error(
            join_path(path, key), f"stands beside class_path. {nearest(str(key)[:60], _CLASS_KEYS)}"
        )
    init_args = data.get("init_args") or {}
    if not isinstance(init_args, Mapping):
        return context.error(
            join_path(path, "init_args"), f"a mapping is needed, not {describe(init_args)}."
        )
    found = _found(context, path, data)
    if found is None:
        return None
    arguments = {str(key): value for key, value in init_args.items()}
    if _is_native(found):
        return _called(context, path, found, arguments, data.get("name"), inside="init_args")
    return _external(context, path, data, found, arguments)


def _external(
    context: ParseContext, path: str, data: Mapping[Any, Any], found: Any, arguments: dict[str, Any]
) -> Any:
    before = len(context.mistakes)
    arguments = plain(context, join_path(path, "init_args"), arguments)
    _check_arguments(context, path, found, str(data["class_path"]), arguments)
    preview = provided("class_preview")
    accepted = parameters_of(preview)
    rest = {
        key: reader_of(accepted[key].annotation)(context, join_path(path, key), data[key])
        for key in ("steps", "base")
        if key in data
    }
    if len(context.mistakes) > before:
        return None
    given = {
        "class_path": str(data["class_path"]),
        "init_args": arguments,
        "allow": context.allow,
        **rest,
    }
    return _kept(context, path, lambda: _named(context, path, preview(**given), data.get("name")))


def _check_arguments(
    context: ParseContext, path: str, found: Any, who: str, arguments: Mapping[str, Any]
) -> None:
    """Hold arguments against the signature, and those of schedulers among them too."""
    here = join_path(path, "init_args")
    for name, why in argument_errors(found, who, arguments):
        context.error(join_path(here, name) if name else here, why)
    for inner, nested in _schedulers_in(here, arguments):
        if (other := _found(context, inner, nested)) is not None:
            given = nested.get("init_args")
            _check_arguments(
                context,
                inner,
                other,
                nested["class_path"],
                given if isinstance(given, Mapping) else {},
            )


def _schedulers_in(path: str, data: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the outermost mappings with a class path in the values of ``data``, with their paths."""
    inside = data.items() if isinstance(data, Mapping) else enumerate(data)
    for key, value in inside:
        here = join_path(path, key) if isinstance(data, Mapping) else f"{path}[{key}]"
        if isinstance(value, Mapping) and "class_path" in value:
            yield here, value
        elif isinstance(value, Mapping | list):
            yield from _schedulers_in(here, value)


def _found(context: ParseContext, path: str, data: Mapping[Any, Any]) -> Callable[..., Any] | None:
    class_path = data["class_path"]
    if not isinstance(class_path, str):
        context.error(
            join_path(path, "class_path"), f"a dotted path is needed, not {describe(class_path)}."
        )
        return None
    try:
        return find_class(class_path, context.allow)
    except ScheduleError as error:
        context.error(join_path(path, "class_path"), str(error))
        return None


def _is_native(found: Any) -> bool:
    return found in recipes().values() or (inspect.isclass(found) and issubclass(found, Schedule))


def _called(
    context: ParseContext,
    path: str,
    target: Any,
    given: dict[str, Any],
    name: Any,
    inside: str = "",
) -> Any:
    """Return what a shape or recipe makes of its arguments."""
    before = len(context.mistakes)
    here = join_path(path, inside) if inside else path
    arguments = context.arguments(here, target.__name__, parameters_of(target), given)
    if len(context.mistakes) > before:
        return None
    return _kept(context, path, lambda: _named(context, path, target(**arguments), name))


def _named(context: ParseContext, path: str, result: Any, name: Any) -> Any:
    if name is None:
        return result
    if not isinstance(result, Schedule):
        return context.error(
            join_path(path, "name"),
            f"what drives {what_drives(result)} has no one name. Leave it out.",
        )
    word = text(context, join_path(path, "name"), name)
    return None if word is None else Named(of=result, name=word)


def _kept(context: ParseContext, path: str, make: Callable[[], Any]) -> Any:
    """Return what ``make`` makes, or note why it cannot."""
    try:
        return make()
    except (ScheduleError, RunError) as error:
        return context.error(path, _shortened(str(error)))
    except (ValueError, TypeError, ArithmeticError) as error:  # a recipe's own arithmetic
        return context.error(path, _shortened(f"cannot be made: {type(error).__name__}: {error}."))


def _shortened(reason: str) -> str:
    return reason if len(reason) <= _LONGEST_REASON else f"{reason[:_LONGEST_REASON]}…"


def _chain(context: ParseContext, path: str, data: Sequence[Any]) -> Any:
    if not data:
        return context.error(path, "an empty list. A chain needs at least one phase.")
    members: dict[int, Schedule | None] = {}
    waiting = [index for index, one in enumerate(data) if _asks_what_is_left(one)]
    for index in (index for index in range(len(data)) if index not in waiting):
        members[index] = schedule(context, f"{path}[{index}]", data[index])
    with _left_by(context, members.values()):
        for index in waiting:
            members[index] = schedule(context, f"{path}[{index}]", data[index])
    phases = [members[index] for index in range(len(data))]
    return None if None in phases else Chain.of(*(phase for phase in phases if phase is not None))


def _asks_what_is_left(data: Any) -> bool:
    if isinstance(data, Mapping):
        return any(map(_asks_what_is_left, data.values()))
    if isinstance(data, list | tuple):
        return any(map(_asks_what_is_left, data))
    return isinstance(data, str) and "%SCHEDULER_STEPS%" in data.upper()


@contextmanager
def _left_by(context: ParseContext, others: Any) -> Iterator[None]:
    """Let ``%SCHEDULER_STEPS%`` be what the other phases of a chain leave of the run."""
    before = context.facts
    total = before.get("SCHEDULER_STEPS")
    if total is not None:
        taken = sum(_steps_of(context, one) for one in others)
        context.facts = {**before, "SCHEDULER_STEPS": max(int(total) - taken, 0)}
    yield
    context.facts = before


def _steps_of(context: ParseContext, phase: Schedule | None) -> int:
    try:
        return 0 if phase is None else phase.over(context.run).length or 0
    except (ScheduleError, RunError):
        return 0
