"""Plain data to a schedule: a shape or recipe by kind, a list, a number, a class by its path."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, get_origin, get_type_hints

from warmdown.errors import RunError, ScheduleError, SpecError, nearest
from warmdown.expressions import Facts, evaluate, is_arithmetic, is_number
from warmdown.planfile.classes import argument_errors, find_class
from warmdown.planfile.text import PlainMapping, describe, join_path
from warmdown.registry import provided
from warmdown.run import Run
from warmdown.schedules import Chain, Constant, Function, Named, Schedule, Set
from warmdown.schedules.base import KIND_SYNONYMS, PlainData, kind_of, kinds, schedule_classes
from warmdown.schedules.parameters import Maker, parameters_of, type_of
from warmdown.schedules.recipes import recipes

_CLASS_KEYS = ("class_path", "init_args", "steps", "base", "name")
_LONGEST_REASON = 400
_MOST_MISTAKES = 100


def shapes() -> Mapping[str, Maker]:
    """Return everything that can stand as ``kind`` in a text, by its word: shapes, and recipes.

    Example:
        >>> {"cosine", "chain", "warmup_cosine"} <= shapes().keys()
        True
    """
    return _shapes(tuple(schedule_classes()))


# A chain of a thousand phases asks for the shapes a thousand times; a class of one's own that is
# defined later is another key.
@lru_cache(maxsize=4)
def _shapes(classes: tuple[type[Schedule], ...]) -> Mapping[str, Maker]:
    own = {kind_of(kind): kind for kind in classes if not kind.__module__.startswith("warmdown.")}
    every: PlainData = {**own, **recipes(), **kinds()}
    return {
        word: kind
        for word, kind in every.items()
        # a function is no data, a preview is written by its class path
        if word[0] != "_" and kind is not Function and not getattr(kind, "is_preview", False)
    }


def drives_several(shape: Maker) -> bool:
    """Whether a recipe makes targets for several fields, and not one schedule.

    Example:
        >>> drives_several(shapes()["one_cycle"]), drives_several(shapes()["wsd"])
        (True, False)
    """
    return not isinstance(shape, type) and get_origin(get_type_hints(shape).get("return")) is dict


@dataclass
class ScheduleReader:
    """One reading of plain data; a mistake is noted, and none stops the reading.

    A method that reads returns ``None`` after a mistake.

    Args:
        run: The run it is read for.
        facts: What placeholders stand for.
        allow: Modules that the caller allows besides the known ones.
        mistakes: What was wrong so far.
    """

    run: Run
    facts: Facts
    allow: tuple[str, ...] = ()
    mistakes: list[str] = field(default_factory=list)

    def error(self, path: str, what: str) -> Any:
        """Note a mistake.

        Raises:
            SpecError: There are so many that a person does not read on.
        """
        self.mistakes.append(f"{path}: {what}" if path else what)
        if len(self.mistakes) == _MOST_MISTAKES:
            last = f"… and perhaps more: reading stopped after {_MOST_MISTAKES} mistakes."
            raise SpecError([*self.mistakes, last])

    def refuse(self, path: str, data: Any, reason: str) -> None:
        """Note why the data at a path are no value of their parameter's type."""
        if reason.endswith("is needed."):
            reason = f"{reason[:-1]}, not {describe(data)}."
        self.error(path, reason)

    def refuse_keys(self, path: str, data: PlainMapping, known: Sequence[str], why: str) -> None:
        """Note a mistake for each key that is not known, with the nearest one that is."""
        for key in data:
            if key not in known:
                what = why.replace("KEY", describe(key))
                self.error(join_path(path, key), f"{what} {nearest(str(key)[:60], known)}")

    def raise_mistakes(self) -> None:
        """Raise every mistake at once, if there is one.

        Raises:
            SpecError: There is.
        """
        if self.mistakes:
            raise SpecError(self.mistakes)

    is_arithmetic = staticmethod(is_arithmetic)
    is_number = staticmethod(is_number)

    def evaluate(self, path: str, text: str) -> Any:
        """Return the number that a text means."""
        try:
            return evaluate(text, self.facts)
        except RunError as error:
            return self.error(path, str(error))

    def read_plain(self, path: str, data: Any) -> Any:
        """Return data whose type is not declared; a text that is a number becomes one."""
        match data:
            case Mapping():
                plain = {
                    str(key): self.read_plain(join_path(path, key), value)
                    for key, value in data.items()
                }
                if "class_path" in plain:  # a scheduler among the arguments of another
                    found, given = self._find(path, plain), plain.get("init_args")
                    inside = join_path(path, "init_args")
                    names = list(given) if isinstance(given, Mapping) else []
                    self._check_arguments(inside, found, plain["class_path"], names)
                return plain
            case list() | tuple():
                return [
                    self.read_plain(f"{path}[{index}]", value) for index, value in enumerate(data)
                ]
            case str():
                return self._number_or_text(path, data)
            case float() if not math.isfinite(data):
                return self.error(path, f"a finite number is needed, not {describe(data)}.")
            case None | bool() | int() | float():
                return data
        return self.error(path, f"plain data is needed, not {describe(data)}.")

    def _number_or_text(self, path: str, data: str) -> Any:
        if not is_number(data):
            return data
        value = self.evaluate(path, data)
        # a class that counts takes no 1e3 as a float; beyond 2**53 a float means no certain count
        is_whole = value is not None and abs(value) < 2**53 and value == math.floor(value)
        return int(value) if is_whole else value

    def read_arguments(
        self, path: str, who: str, target: Maker, given: PlainMapping
    ) -> PlainData | None:
        """Return arguments of a shape, recipe or run by their types."""
        before = len(self.mistakes)
        given = {str(key): value for key, value in given.items()}
        known = parameters_of(target)
        self.refuse_keys(path, given, list(known), f"{who} has no KEY.")
        for name, parameter in known.items():
            if parameter.is_required and name not in given:
                self.error(path, f"{who} needs {name!r}. Give it.")
        arguments = {
            name: known[name].type.read(self, join_path(path, name), value)
            for name, value in given.items()
            if name in known
        }
        return arguments if len(self.mistakes) == before else None

    def read_schedule(self, path: str, data: Any) -> Any:
        """Return one schedule."""
        result = self.read_whole(path, data)
        if isinstance(result, Mapping):
            what = f"this drives {' and '.join(result)}, not one schedule. Write it at the top of"
            return self.error(path, f"{what} the plan as targets: {{kind: …}}.")
        if isinstance(result, Set):
            what = (
                "a recipe with a peak has absolute values, and is a target's alone. Leave peak out"
            )
            return self.error(path, f"{what} here, and write {{set: …}} around the whole.")
        return result

    def read_whole(self, path: str, data: Any) -> Any:
        """Return a schedule, or a recipe's targets for several fields."""
        match data:
            case {"class_path": _}:
                return self._of_class(path, data)
            case {"kind": kind, **given} if kind is not None:
                return self._of_kind(path, join_path(path, "kind"), kind, given)
            case Mapping():
                what = f"{describe(data)} has no 'kind'. Name a shape: {{kind: cosine}}; see"
                return self.error(path, f"{what} 'warmdown list'.")
            case list() | tuple():
                return self._chain(path, data)
            case str() if data in shapes() or data.isidentifier():
                return self._of_kind(path, path, data, {})
            case None:
                return self.error(
                    path, "nothing stands here. Give a schedule, like {kind: cosine}."
                )
        value = type_of(float).read(self, path, data)
        return None if value is None else Constant(value=value)

    def _of_kind(self, path: str, where: str, kind: Any, given: dict[Any, Any]) -> Any:
        """Return what a word that stands at ``where`` makes of what is given beside it."""
        word, known = KIND_SYNONYMS.get(str(kind), kind), shapes()
        if not isinstance(kind, str) or word not in known:
            what = f"there is no shape {describe(kind)}. {nearest(str(kind)[:60], known)}"
            return self.error(where, what)
        name = None if word == "named" else given.pop("name", None)
        return self._call(path, path, known[word], given, name)

    def _of_class(self, path: str, data: PlainMapping) -> Any:
        self.refuse_keys(path, data, _CLASS_KEYS, "stands beside class_path.")
        inside, init_args = join_path(path, "init_args"), data.get("init_args") or {}
        if not isinstance(init_args, Mapping):
            return self.error(inside, f"a mapping is needed, not {describe(init_args)}.")
        found = self._find(path, data)
        if found is None:
            return None
        name = data.get("name")
        if found in recipes().values() or (inspect.isclass(found) and issubclass(found, Schedule)):
            return self._call(path, inside, found, init_args, name)
        before = len(self.mistakes)
        self._check_arguments(inside, found, data["class_path"], list(map(str, init_args)))
        preview = provided("class_preview")
        given = {key: data[key] for key in ("class_path", "steps", "base") if key in data}
        read = self.read_arguments(path, "a class", preview, {**given, "init_args": init_args})
        if read is None or len(self.mistakes) > before:
            return None
        return self._make(path, lambda: preview(**read, allow=self.allow), name)

    def _find(self, path: str, data: PlainMapping) -> Any:
        class_path, where = data["class_path"], join_path(path, "class_path")
        if not isinstance(class_path, str):
            return self.error(where, f"a dotted path is needed, not {describe(class_path)}.")
        try:
            return find_class(class_path, self.allow)
        except ScheduleError as error:
            return self.error(where, str(error))

    def _check_arguments(self, path: str, found: Any, who: str, names: Sequence[str]) -> None:
        if found is not None:
            for name, why in argument_errors(found, who, names):
                self.error(join_path(path, name) if name else path, why)

    def _call(
        self, path: str, inside: str, shape: Any, given: PlainMapping, name: Any = None
    ) -> Any:
        """Return what a shape or recipe makes of its arguments."""
        arguments = self.read_arguments(inside, shape.__name__, shape, given)
        return None if arguments is None else self._make(path, lambda: shape(**arguments), name)

    def _make(self, path: str, make: Callable[[], Any], name: Any) -> Any:
        """Return what ``make`` makes, under its name, or note why it cannot."""
        try:
            result = make()
            if name is None:
                return result
            where = join_path(path, "name")
            if isinstance(result, Set):
                word = type_of(str).read(self, where, name)
                return None if word is None else Set(Named(of=result.of, name=word))
            if not isinstance(result, Schedule):
                drives = " and ".join(result)
                return self.error(where, f"what drives {drives} has no one name. Leave it out.")
            word = type_of(str).read(self, where, name)
            return None if word is None else Named(of=result, name=word)
        except (ScheduleError, RunError) as error:
            reason = str(error)
        except (ValueError, TypeError, ArithmeticError) as error:  # a recipe's own arithmetic
            reason = f"cannot be made: {type(error).__name__}: {error}."
        is_long = len(reason) > _LONGEST_REASON
        return self.error(path, f"{reason[:_LONGEST_REASON]}…" if is_long else reason)

    def _chain(self, path: str, data: Sequence[Any]) -> Any:
        if not data:
            return self.error(path, "an empty list. A chain needs at least one phase.")
        # %SCHEDULER_STEPS% is what the other phases leave of the run, so those are read first
        late = ["%SCHEDULER_STEPS%" in str(phase).upper() for phase in data]
        phases: list[Any] = [None] * len(data)
        before, total = self.facts, self.facts.get("SCHEDULER_STEPS")
        for is_late in (False, True):
            if is_late and total is not None:
                left = max(int(total) - sum(map(self._steps_of, phases)), 0)
                self.facts = {**before, "SCHEDULER_STEPS": left}
            for index, phase in enumerate(data):
                if late[index] == is_late:
                    phases[index] = self.read_schedule(f"{path}[{index}]", phase)
        self.facts = before
        return None if None in phases else Chain.of(*phases)

    def _steps_of(self, phase: Schedule | None) -> int:
        try:
            return 0 if phase is None else phase.over(self.run).length or 0
        except (ScheduleError, RunError):
            return 0
