"""A plan with ranges in place of numbers: what a search chooses from."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import Any, final

import yaml

from warmdown.errors import SpecError
from warmdown.planfile.overrides import with_overrides
from warmdown.planfile.text import (
    bounded,
    describe,
    from_json,
    from_yaml,
    is_json,
    join_path,
    parse,
    read_text,
)
from warmdown.planfile.writing import to_json, to_yaml
from warmdown.schedules.base import PlainData
from warmdown.shown import brief

_RANGE = {"low", "high", "log", "step"}
# possessive: a hostile text costs no more than its length
_AMOUNT = re.compile(
    r"([-+]?(?:\d++(?:\.\d++)?+|\.\d++)(?:e[-+]?\d++)?+)\s*+([a-z%]*+)", re.IGNORECASE
)
_LONGEST_AMOUNT = 60
"""Characters of an end of a range."""
_MOST_SPOTS = 50
_DIGITS = 4
"""Significant digits of a proposed number: more of them are noise."""


@final
@dataclass(frozen=True)
class Range:
    """Numbers between two ends, both included.

    Args:
        low: Lower end.
        high: Upper end.
        unit: Unit of the number in the plan: ``%``, ``ep`` …
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

    @property
    def first(self) -> Any:
        """A value of it, as it stands in a plan: the lower end."""
        return self._in_plan(self.low)

    def ask(self, trial: Any, name: str) -> Any:
        """Return the value that an optuna trial proposes, as it stands in a plan."""
        if self.is_whole:
            step = int(self.step or 1)
            return trial.suggest_int(name, int(self.low), int(self.high), step=step, log=self.log)
        value = trial.suggest_float(name, self.low, self.high, step=self.step, log=self.log)
        return self._in_plan(self._rounded(value))

    def _in_plan(self, value: float) -> Any:
        if self.unit:
            return f"{value:.12g}{self.unit}"
        return int(value) if self.is_whole else value

    def _rounded(self, value: float) -> float:
        """Return the value in a few digits, so that what is written is what was tried.

        Four digits show both the value and its place in a narrow range (0.99 to 0.9999).
        """
        if self.step is not None:
            return float(f"{value:.12g}")  # 0.30000000000000004
        # digits are counted from the smaller of the value and the range
        finest = min(abs(value) or math.inf, self.high - self.low)
        places = _DIGITS - 1 - math.floor(math.log10(finest))
        return min(max(round(value, places), self.low), self.high)


@final
@dataclass(frozen=True)
class Choice:
    """One of several things: numbers, words, or whole parts of a plan."""

    options: tuple[Any, ...]

    @property
    def first(self) -> Any:
        """The first option."""
        return self.options[0]

    def ask(self, trial: Any, name: str) -> Any:
        """Return the option that a trial proposes."""
        return self.options[trial.suggest_categorical(name, list(range(len(self.options))))]


@final
@dataclass(frozen=True)
class Space:
    """A plan's data, and what its open spots may be.

    Args:
        data: The plan as plain data, with its ranges.
        spots: Ranges and choices by their path.
        text: The file that it was read from, as it was written; empty when it was none.
        is_json: Whether that is JSON.
    """

    data: PlainData
    spots: Mapping[str, Range | Choice] = field(default_factory=dict)
    text: str = field(default="", repr=False)
    is_json: bool = False

    __repr__ = brief

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Space:
        """Read a space from YAML or JSON.

        Raises:
            SpecError: It can not be read, or has no range.
        """
        text = read_text(Path(path))
        space = cls.of(parse(path, text).data, name=str(path))
        return replace(space, text=text, is_json=is_json(path))

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
        spots: dict[str, Range | Choice] = {}
        mistakes = []
        for path, part in _open_spots(bounded(data), ""):
            try:
                spots[path] = _read_spot(part)
            except ValueError as error:
                mistakes.append(f"{path}: {error}")
        if not spots and not mistakes:
            mistakes.append(
                "no range to search. Write {low: 1e-4, high: 1e-1, log: true} where a number "
                "stands."
            )
        if len(spots) > _MOST_SPOTS:
            mistakes.append(
                f"{len(spots)} ranges are too many to search. Leave at most {_MOST_SPOTS}."
            )
        if mistakes:
            raise SpecError([f"{name}: {mistake}" for mistake in mistakes])
        return cls(data, spots)

    def ask(self, trial: Any) -> PlainData:
        """Return the value that a trial proposes for each spot, by its path."""
        return {path: spot.ask(trial, path) for path, spot in self.spots.items()}

    def filled(self, values: PlainData) -> PlainData:
        """Return the plan's data with values in place of its spots."""
        filled: PlainData = with_overrides(self.data, values)
        return filled

    def written(self, values: PlainData, *, as_json: bool = False) -> str:
        """Return the filled plan as text: the person's own file where it is of that format.

        Its comments and layout are unchanged.

        Example:
            >>> from warmdown.experiments.space import Space
            >>> text = "lr: {kind: cosine, end: {low: 0, high: 0.2}}  # how far down"
            >>> _ = Path("space.yaml").write_text(text)
            >>> Space.load("space.yaml").written({"lr.end": 0.05})
            'lr: {kind: cosine, end: 0.05}  # how far down'
        """
        filled = self.filled(values)
        if self.text and self.is_json == as_json:
            text = self.text
            # YAML does not read tabs in JSON, for one
            with suppress(yaml.YAMLError, SpecError):
                node = yaml.compose(text, Loader=yaml.SafeLoader)
                # from the back, so that earlier places stay
                for start, stop, word in sorted(_cuts(node, "", values, as_json), reverse=True):
                    text = text[:start] + word + text[stop:]
                if (from_json if as_json else from_yaml)(text).data == filled:
                    return text
        return to_json(filled) if as_json else to_yaml(filled)


def _open_spots(data: Any, path: str) -> Iterator[tuple[str, PlainData]]:
    """Yield each range and choice with its path."""
    if isinstance(data, list):
        for index, part in enumerate(data):
            yield from _open_spots(part, f"{path}[{index}]")
    elif isinstance(data, dict):
        if {"low", "high"} <= data.keys() <= _RANGE or data.keys() == {"choices"}:
            yield path, data
        else:
            for key, part in data.items():
                yield from _open_spots(part, join_path(path, key))


def _read_spot(data: PlainData) -> Range | Choice:
    if "choices" in data:
        options = data["choices"]
        if not isinstance(options, list) or not options:
            raise ValueError("choices: a list of at least one is needed.")
        return Choice(tuple(options))
    (low, unit), (high, other) = _read_amount(data["low"]), _read_amount(data["high"])
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
    distance = None if step is None else _read_amount(step)[0]
    if distance is not None and (log or distance <= 0):
        raise ValueError(f"step={step!r}: a positive number, and not together with log: true.")
    is_whole = not unit and isinstance(data["low"], int) and isinstance(data["high"], int)
    return Range(low, high, unit, log, distance, is_whole)


def _read_amount(given: Any) -> tuple[float, str]:
    text = str(given).strip()
    match = _AMOUNT.fullmatch(text) if len(text) <= _LONGEST_AMOUNT else None
    if match is None or not math.isfinite(float(match[1])):
        raise ValueError(
            f"{describe(given)} is no number, or not a finite one. Write 0.1, 1e-4, or 5% for both "
            "ends."
        )
    return float(match[1]), match[2]


def _cuts(node: Any, path: str, values: PlainData, as_json: bool) -> Iterator[tuple[int, int, str]]:
    """Yield start and stop of each range in a node's text, and what replaces it."""
    if path in values:
        yield node.start_mark.index, _end_index(node), _scalar_text(values[path], as_json)
    elif isinstance(node, yaml.MappingNode):
        for key, part in node.value:
            inner = join_path(path, key.value)
            if inner in values:
                # from the key on: a range in lines of its own begins on the next line
                text = f": {_scalar_text(values[inner], as_json)}"
                yield key.end_mark.index, _end_index(part), text
            else:
                yield from _cuts(part, inner, values, as_json)
    elif isinstance(node, yaml.SequenceNode):
        for index, part in enumerate(node.value):
            yield from _cuts(part, f"{path}[{index}]", values, as_json)


def _end_index(node: Any) -> int:
    """Return the end of a node's last word: YAML counts the gap behind a block to it."""
    if not isinstance(node, yaml.CollectionNode) or node.flow_style or not node.value:
        return int(node.end_mark.index)
    last = node.value[-1]
    return _end_index(last[1] if isinstance(last, tuple) else last)


def _scalar_text(value: Any, as_json: bool) -> str:
    if as_json:
        return json.dumps(value, ensure_ascii=False)
    # YAML ends a document that is one word by three dots
    return to_yaml(value, in_one_line=True).removesuffix("\n").removesuffix("\n...")
