"""A plan with ranges where numbers stand: what a search chooses from."""

from __future__ import annotations

__all__ = ["Choice", "Range", "Space"]

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import Any, Protocol, TypeAlias, final

from warmdown.errors import SpecError
from warmdown.experiments.filling import filled_text, plain_text
from warmdown.planfile.overrides import with_overrides
from warmdown.planfile.text import bounded, describe, is_json, parse, read_text

_RANGE = {"low", "high", "log", "step"}
_AMOUNT = re.compile(
    r"([-+]?(?:\d++(?:\.\d++)?+|\.\d++)(?:e[-+]?\d++)?+)\s*+([a-z%]*+)", re.IGNORECASE
)
_LONGEST = 60
"""Characters of an end of a range."""
_MOST = 50
_DIGITS = 4
"""Significant digits of a number that is tried: more of them tell noise."""

Spot: TypeAlias = "Range | Choice"


class Asks(Protocol):
    """What a spot needs of an optuna trial."""

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None, log: bool
    ) -> float:
        """Return a float."""

    def suggest_int(self, name: str, low: int, high: int, *, step: int, log: bool) -> int:
        """Return a whole number."""

    def suggest_categorical(self, name: str, choices: list[Any]) -> Any:
        """Return one of the choices."""


@final
@dataclass(frozen=True)
class Range:
    """Numbers between two ends, both in it.

    Args:
        low: Lower end.
        high: Upper end.
        unit: What stands behind the number in the plan: ``%``, ``ep`` …
        log: Whether it is searched by its logarithm.
        step: Distance of neighbours, or ``None``.
        is_whole: Whether only whole numbers are in it.
    """

    low: float
    high: float
    unit: str = ""
    log: bool = False
    step: float | None = None
    is_whole: bool = False

    def ask(self, trial: Asks, name: str) -> Any:
        """Return a value of it, as it stands in a plan."""
        if self.is_whole:
            step = int(self.step or 1)
            return trial.suggest_int(name, int(self.low), int(self.high), step=step, log=self.log)
        value = self._rounded(
            trial.suggest_float(name, self.low, self.high, step=self.step, log=self.log)
        )
        return f"{value:.12g}{self.unit}" if self.unit else value

    def _rounded(self, value: float) -> float:
        """Return the value in a few digits, before it is tried: what is written then is what was tried.

        So many digits that both the value and its place in a narrow range (0.99 to 0.9999) are told
        by four.
        """
        if self.step is not None:
            return float(f"{value:.12g}")  # 0.30000000000000004
        finest = min(abs(value) or math.inf, self.high - self.low)
        places = _DIGITS - 1 - math.floor(math.log10(finest))
        return min(max(round(value, places), self.low), self.high)


@final
@dataclass(frozen=True)
class Choice:
    """One of several things: numbers, words, or whole parts of a plan."""

    options: tuple[Any, ...]

    def ask(self, trial: Asks, name: str) -> Any:
        """Return one of them."""
        return self.options[trial.suggest_categorical(name, list(range(len(self.options))))]


@final
@dataclass(frozen=True)
class Space:
    """A plan's data, and what its open spots may hold.

    Args:
        data: The plan as plain data, ranges and all.
        spots: Ranges and choices by their path.
        text: The file that it was read from, as it was written; empty when it was none.
        is_json: Whether that is JSON.
    """

    data: Mapping[str, Any]
    spots: Mapping[str, Spot] = field(default_factory=dict)
    text: str = field(default="", repr=False)
    is_json: bool = False

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Space:
        """Read a space from YAML or JSON.

        Raises:
            SpecError: It can not be read, or has no range.
        """
        text = read_text(Path(path))
        return replace(
            cls.of(parse(path, text).data, name=str(path)), text=text, is_json=is_json(path)
        )

    @classmethod
    def of(cls, data: Any, *, name: str = "space") -> Space:
        """Return the space that plain data describes.

        Raises:
            SpecError: A range is none; every mistake with its path.

        Example:
            >>> from warmdown.experiments.space import Space
            >>> Space.of({"lr": {"kind": "cosine", "end": {"low": 0, "high": 0.2}}}).spots
            {'lr.end': Range(low=0.0, high=0.2, unit='', log=False, step=None, is_whole=False)}
        """
        spots: dict[str, Spot] = {}
        mistakes: list[str] = []
        _walk(bounded(data), "", spots, mistakes)
        if not spots and not mistakes:
            mistakes.append(
                "no range to search. Write {low: 1e-4, high: 1e-1, log: true} where a "
                "number stands."
            )
        if len(spots) > _MOST:
            mistakes.append(f"{len(spots)} ranges are too many to search. Leave at most {_MOST}.")
        if mistakes:
            raise SpecError([f"{name}: {mistake}" for mistake in mistakes])
        return cls(data, spots)

    def ask(self, trial: Asks) -> dict[str, Any]:
        """Return a value for each spot, by its path."""
        return {path: spot.ask(trial, path) for path, spot in self.spots.items()}

    def filled(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the plan's data with values where its spots are."""
        filled: dict[str, Any] = with_overrides(self.data, values)
        return filled

    def written(self, values: Mapping[str, Any], *, as_json: bool = False) -> str:
        """Return the plan as text: the person's own file with values where its spots are, if it is of that kind."""
        if self.text and self.is_json == as_json:
            return filled_text(self.text, self.filled(values), values, as_json=as_json)
        return plain_text(self.filled(values), as_json=as_json)


def _walk(data: Any, path: str, spots: dict[str, Spot], mistakes: list[str]) -> None:
    if isinstance(data, Mapping) and {"low", "high"} <= data.keys() <= _RANGE:
        _note(_range, data, path, spots, mistakes)
    elif isinstance(data, Mapping) and data.keys() == {"choices"}:
        _note(_choice, data, path, spots, mistakes)
    elif isinstance(data, Mapping):
        for key, part in data.items():
            _walk(part, f"{path}.{key}" if path else str(key), spots, mistakes)
    elif isinstance(data, list):
        for index, part in enumerate(data):
            _walk(part, f"{path}[{index}]", spots, mistakes)


def _note(
    make: Any, data: Mapping[str, Any], path: str, spots: dict[str, Spot], mistakes: list[str]
) -> None:
    try:
        spots[path] = make(data)
    except ValueError as error:
        mistakes.append(f"{path}: {error}")


def _range(data: Mapping[str, Any]) -> Range:
    (low, unit), (high, other) = _amount(data["low"]), _amount(data["high"])
    if unit != other:
        raise ValueError(
            f"low={data['low']!r} and high={data['high']!r} have different units. Use one."
        )
    log, step = data.get("log", False), data.get("step")
    if not isinstance(log, bool):
        raise ValueError(f"log={log!r}: true or false.")
    if not low < high or (log and low <= 0):
        raise ValueError(
            f"low={low!r}, high={high!r}: low lies below high, and above 0 with log: true."
        )
    if step is not None and (log or _amount(step)[0] <= 0):
        raise ValueError(f"step={step!r}: a positive number, and not together with log: true.")
    whole = not unit and all(isinstance(data[end], int) for end in ("low", "high"))
    return Range(low, high, unit, log, None if step is None else _amount(step)[0], whole)


def _choice(data: Mapping[str, Any]) -> Choice:
    options = data["choices"]
    if not isinstance(options, list) or not options:
        raise ValueError("choices: a list of at least one is needed.")
    return Choice(tuple(options))


def _amount(given: Any) -> tuple[float, str]:
    text = "" if isinstance(given, bool) else str(given).strip()
    match = _AMOUNT.fullmatch(text) if len(text) <= _LONGEST else None
    if match is None or not math.isfinite(float(match[1])):
        raise ValueError(
            f"{describe(given)} is no number, or not a finite one. Write 0.1, 1e-4, or "
            f"5% for both ends."
        )
    return float(match[1]), match[2]
