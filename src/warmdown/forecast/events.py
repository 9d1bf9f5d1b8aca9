"""The numbers in TensorBoard's event files, also while a run writes them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from warmdown.errors import MissingExtra

_FLOATS = (1, 2, 19)
"""TensorFlow's numbers of float, double and half."""


class ScalarEvent(NamedTuple):
    """One number of a run.

    Args:
        tag: Its name.
        step: The update, as whoever wrote it counts.
        value: The number.
        time: Seconds since 1970.
    """

    tag: str
    step: int
    value: float
    time: float


class ScalarEvents:
    """The numbers of one event file, read on from where the last reading ended.

    Args:
        path: The file.

    Raises:
        MissingExtra: tensorboard is not installed.
    """

    def __init__(self, path: Path) -> None:
        try:
            from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader
        except ImportError:
            raise MissingExtra("TensorBoard events", "tensorboard", "train") from None
        self._file = LegacyEventFileLoader(str(path))

    def read_on(self, most: int | None = None) -> Iterator[ScalarEvent]:
        """Yield what was written since, from so many events at most."""
        for event in islice(self._file.Load(), most):
            for value in event.summary.value:
                number = _number_of(value)
                if number is not None:
                    yield ScalarEvent(value.tag, event.step, number, event.wall_time)


def event_files(folder: Path) -> list[Path]:
    """Return the event files in a folder, in the order in which they were begun."""
    return sorted(path for path in folder.iterdir() if is_event_file(path.name))


def is_event_file(name: str) -> bool:
    """Return whether a file's name is one that TensorBoard reads."""
    return "tfevents" in name


def _number_of(value: Any) -> float | None:
    """Return the number of a summary: plain, or a tensor without dimensions as TensorFlow 2 has."""
    if value.HasField("simple_value"):
        return float(value.simple_value)
    if not value.HasField("tensor"):
        return None
    from tensorboard.util.tensor_util import make_ndarray

    tensor = value.tensor
    is_number = tensor.dtype in _FLOATS and not tensor.tensor_shape.dim
    return float(make_ndarray(tensor)) if is_number else None
