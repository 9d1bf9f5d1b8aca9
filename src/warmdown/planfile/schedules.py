"""Plain data to a schedule: a shape or recipe by kind, a list, a number, a class by its path."""

from __future__ import annotations

__all__ = ["build_schedule", "drives_several", "shapes"]

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, get_origin, get_type_hints

from warmdown.errors import RunError, ScheduleError, nearest
from warmdown.planfile.classes import argument_errors, find_class
from warmdown.planfile.context import ParseContext
from warmdown.planfile.text import describe, join_path
from warmdown.registry import provided
from warmdown.schedules import Chain, Constant, Function, Named, Schedule
from warmdown.schedules.base import KIND_SYNONYMS, kind_of, kinds, schedule_classes
from warmdown.schedules.parameters import type_of
from warmdown.schedules.recipes import recipes

_CLASS_KEYS = ("class_path", "init_args", "steps", "base", "name")
_LONGEST_REASON = 400


def shapes() -> Mapping[str, Callable[..., Any]]:
    """Return everything that can stand as ``kind`` in a text, by its word: shapes, and recipes.

    Example:
        >>> {"cosine", "chain", "warmup_cosine"} <= shapes().keys()
        True
    """
    return _shapes(tuple(schedule_classes()))


# A chain of a thousand phases asks for the shapes a thousand times; a class of one's own that is
# defined later is another key.
@lru_cache(maxsize=4)
def _shapes(classes: tuple[type[Schedule], ...]) -> Mapping[str, Callable[..., Any]]:
    ours = {
        word: kind
        for word, kind in kinds().items()
        if kind.__module__.startswith("warmdown.schedules.")
    }
    own = {kind_of(kind): kind for kind in classes if not kind.__module__.startswith("warmdown.")}
    every: dict[str, Any] = {**own, **recipes(), **ours}
    return {word: kind for word, kind in every.items() if word[0] != "_" and kind is not Function}


def drives_several(shape: Callable[..., Any]) -> bool:
    """Whether a recipe makes targets for several fields, and not one schedule.

    Example:
        >>> drives_several(shapes()["one_cycle"]), drives_several(shapes()["wsd"])
        (True, False)
    """
    return not isinstance(shape, type) and get_origin(get_type_hints(shape).get("return")) is dict


def build_schedule(context: ParseContext, path: str, data: Any) -> Any:
    """Return a schedule, or a recipe's targets for several fields; ``None`` after a mistake."""
    if isinstance(data, str) and KIND_SYNONYMS.get(data, data) in shapes():
        data = {"kind": data}
    if isinstance(data, Mapping):
        read = _of_class if "class_path" in data else _of_kind
        return read(context, path, data)
    if isinstance(data, list | tuple):
        return _chain(context, path, data)
    if isinstance(data, str) and data.isidentifier():
        return context.error(
            path, f"there is no shape {data[:40]!r}. {nearest(data[:60], shapes())}"
        )
    if data is None:
        return context.error(path, "nothing stands here. Give a schedule, like {kind: cosine}.")
    value = type_of(float).read(context, path, data)
    return None if value is None else Constant(value=value)


def _of_kind(context: ParseContext, path: str, data: Mapping[Any, Any]) -> Any:
    given = {str(key): value for key, value in data.items()}
    kind, known = given.pop("kind", None), shapes()
    kind = KIND_SYNONYMS.get(kind, kind) if isinstance(kind, str) else kind
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
    return _call_shape(context, path, path, known[kind], given, name)


def _of_class(context: ParseContext, path: str, data: Mapping[Any, Any]) -> Any:
    context.refuse_keys(path, data, _CLASS_KEYS, "stands beside class_path.")
    inside, init_args = join_path(path, "init_args"), data.get("init_args") or {}
    if not isinstance(init_args, Mapping):
        return context.error(inside, f"a mapping is needed, not {describe(init_args)}.")
    found = _find(context, path, data)
    if found is None:
        return None
    name, arguments = data.get("name"), {str(key): value for key, value in init_args.items()}
    if found in recipes().values() or (inspect.isclass(found) and issubclass(found, Schedule)):
        return _call_shape(context, path, inside, found, arguments, name)
    before = len(context.mistakes)
    arguments = context.read_plain(inside, arguments)
    _check_arguments(context, inside, found, data["class_path"], arguments)
    rest = {key: data[key] for key in ("steps", "base") if key in data}
    given = {"class_path": data["class_path"], "init_args": {}, **rest}
    preview = provided("class_preview")
    read = context.read_arguments(path, "a class", preview, given)
    if read is None or len(context.mistakes) > before:
        return None
    read |= {"init_args": arguments, "allow": context.allow}
    return _make(context, path, lambda: preview(**read), name)


def _find(context: ParseContext, path: str, data: Mapping[Any, Any]) -> Any:
    class_path, where = data["class_path"], join_path(path, "class_path")
    if not isinstance(class_path, str):
        return context.error(where, f"a dotted path is needed, not {describe(class_path)}.")
    try:
        return find_class(class_path, context.allow)
    except ScheduleError as error:
        return context.error(where, str(error))


def _check_arguments(
    context: ParseContext, path: str, found: Any, who: str, arguments: Mapping[str, Any]
) -> None:
    """Check arguments against the signature, and those of the schedulers among them too."""
    for name, why in argument_errors(found, who, arguments):
        context.error(join_path(path, name) if name else path, why)
    for where, inner in _schedulers_in(path, arguments):
        if (other := _find(context, where, inner)) is not None:
            given = inner.get("init_args")
            given = given if isinstance(given, Mapping) else {}
            here = join_path(where, "init_args")
            _check_arguments(context, here, other, inner["class_path"], given)


def _schedulers_in(path: str, data: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the outermost mappings with a class path in the values of ``data``, by path."""
    inside = data.items() if isinstance(data, Mapping) else enumerate(data)
    for key, value in inside:
        here = join_path(path, key) if isinstance(data, Mapping) else f"{path}[{key}]"
        if isinstance(value, Mapping) and "class_path" in value:
            yield here, value
        elif isinstance(value, Mapping | list):
            yield from _schedulers_in(here, value)


def _call_shape(
    context: ParseContext, path: str, inside: str, target: Any, given: dict[str, Any], name: Any
) -> Any:
    """Return what a shape or recipe makes of its arguments."""
    arguments = context.read_arguments(inside, target.__name__, target, given)
    if arguments is None:
        return None
    return _make(context, path, lambda: target(**arguments), name)


def _make(context: ParseContext, path: str, make: Callable[[], Any], name: Any) -> Any:
    """Return what ``make`` makes, under its name, or note why it cannot."""
    try:
        result = make()
        if name is None:
            return result
        where = join_path(path, "name")
        if not isinstance(result, Schedule):
            drives = " and ".join(result)
            return context.error(where, f"what drives {drives} has no one name. Leave it out.")
        word = type_of(str).read(context, where, name)
        return None if word is None else Named(of=result, name=word)
    except (ScheduleError, RunError) as error:
        reason = str(error)
    except (ValueError, TypeError, ArithmeticError) as error:  # a recipe's own arithmetic
        reason = f"cannot be made: {type(error).__name__}: {error}."
    is_long = len(reason) > _LONGEST_REASON
    return context.error(path, f"{reason[:_LONGEST_REASON]}…" if is_long else reason)


def _chain(context: ParseContext, path: str, data: Sequence[Any]) -> Any:
    if not data:
        return context.error(path, "an empty list. A chain needs at least one phase.")
    # %SCHEDULER_STEPS% is what the other phases leave of the run, so those are read first
    order = sorted(range(len(data)), key=lambda index: _names_rest(data[index]))
    before, total = context.facts, context.facts.get("SCHEDULER_STEPS")
    members: dict[int, Schedule | None] = {}
    for index in order:
        if total is not None and context.facts is before and _names_rest(data[index]):
            taken = sum(_steps_of(context, member) for member in members.values())
            context.facts = {**before, "SCHEDULER_STEPS": max(int(total) - taken, 0)}
        members[index] = context.read_schedule(f"{path}[{index}]", data[index])
    context.facts = before
    phases = [member for _, member in sorted(members.items()) if member is not None]
    return Chain.of(*phases) if len(phases) == len(data) else None


def _names_rest(data: Any) -> bool:
    if isinstance(data, Mapping):
        return any(map(_names_rest, data.values()))
    if isinstance(data, list | tuple):
        return any(map(_names_rest, data))
    return isinstance(data, str) and "%SCHEDULER_STEPS%" in data.upper()


def _steps_of(context: ParseContext, phase: Schedule | None) -> int:
    try:
        return 0 if phase is None else phase.over(context.run).length or 0
    except (ScheduleError, RunError):
        return 0
