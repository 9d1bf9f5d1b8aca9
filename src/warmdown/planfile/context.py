"""One reading of a text: what placeholders stand for, and the mistakes found so far."""

from __future__ import annotations

__all__ = ["ParseContext"]

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from warmdown.errors import RunError, SpecError, nearest
from warmdown.expressions import Facts, evaluate, is_arithmetic, is_number, parse_number
from warmdown.planfile.text import describe, join_path
from warmdown.run import Run
from warmdown.schedules.parameters import parameters_of

_MOST_MISTAKES = 100


@dataclass
class ParseContext:
    """One reading of a text; a mistake is noted, and none stops the reading.

    Args:
        build: Reads a schedule, or the targets of a recipe that drives several fields.
        run: The run it is read for.
        facts: What placeholders stand for.
        allow: Modules that the caller allows besides the known ones.
        mistakes: What was wrong so far.
    """

    build: Callable[[ParseContext, str, Any], Any]
    run: Run = field(default_factory=Run)
    facts: Facts = field(default_factory=dict)
    allow: tuple[str, ...] = ()
    mistakes: list[str] = field(default_factory=list)

    def error(self, path: str, what: str) -> Any:
        """Note a mistake; the ``None`` that comes back is what a reader returns then.

        Raises:
            SpecError: There are so many that a person does not read on.
        """
        self.mistakes.append(f"{path}: {what}" if path else what)
        if len(self.mistakes) == _MOST_MISTAKES:
            last = f"… and perhaps more: reading stopped after {_MOST_MISTAKES} mistakes."
            raise SpecError([*self.mistakes, last])
        return None

    def refuse(self, path: str, data: Any, reason: str) -> None:
        """Note why the data at a path are no value of their parameter's type."""
        if reason.endswith("is needed."):
            reason = f"{reason[:-1]}, not {describe(data)}."
        self.error(path, reason)

    def raise_mistakes(self) -> None:
        """Raise every mistake at once, if there is one.

        Raises:
            SpecError: There is.
        """
        if self.mistakes:
            raise SpecError(self.mistakes)

    def is_arithmetic(self, text: str) -> bool:
        """Whether a text is arithmetic, and more than a number."""
        return is_arithmetic(text)

    def is_number(self, text: str) -> bool:
        """Whether a text is a number or arithmetic."""
        return is_number(text)

    def evaluate(self, path: str, text: str) -> Any:
        """Return the number that a text means."""
        try:
            return evaluate(text, self.facts)
        except RunError as error:
            return self.error(path, str(error))

    def read_schedule(self, path: str, data: Any) -> Any:
        """Return one schedule."""
        result = self.build(self, path, data)
        if isinstance(result, Mapping):
            return self.error(
                path,
                f"this drives {' and '.join(result)}, not one schedule. Write it at the top of the "
                "plan as targets: {kind: …}.",
            )
        return result

    def read_plain(self, path: str, data: Any) -> Any:
        """Return data whose type is not declared; a text that is a number becomes one."""
        if isinstance(data, Mapping):
            return {
                str(key): self.read_plain(join_path(path, key), value)
                for key, value in data.items()
            }
        if isinstance(data, list | tuple):
            return [self.read_plain(f"{path}[{index}]", value) for index, value in enumerate(data)]
        if isinstance(data, str):
            return self._number_or_text(path, data)
        if isinstance(data, float) and not math.isfinite(data):
            return self.error(path, f"a finite number is needed, not {describe(data)}.")
        if data is not None and not isinstance(data, bool | int | float):
            return self.error(path, f"plain data is needed, not {describe(data)}.")
        return data

    def _number_or_text(self, path: str, data: str) -> Any:
        if is_arithmetic(data):
            value = self.evaluate(path, data)
            return int(value) if value is not None and value == math.floor(value) else value
        try:
            number = parse_number(data)
        except RunError as error:
            return self.error(path, str(error))
        return data if number is None else number

    def refuse_keys(
        self, path: str, data: Mapping[Any, Any], known: Sequence[str], why: str
    ) -> None:
        """Note a mistake for each key that is not known, with the nearest one that is."""
        for key in data:
            if key not in known:
                what = why.replace("KEY", describe(key))
                self.error(join_path(path, key), f"{what} {nearest(str(key)[:60], known)}")

    def read_arguments(
        self, path: str, who: str, target: Callable[..., Any], given: Mapping[str, Any]
    ) -> dict[str, Any] | None:
        """Return arguments of a shape, recipe or run by their types; ``None`` after a mistake."""
        before = len(self.mistakes)
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
