"""The callbacks of a trainer that was given none."""

from __future__ import annotations

__all__ = ["DEFAULT_CALLBACKS"]

from warmdown.training.callbacks.modules import MoveModulesToDeviceCallback
from warmdown.training.callbacks.progress import (
    LogMetricsCallback,
    PrintProgressCallback,
    ProgressBarCallback,
)
from warmdown.training.callbacks.stopping import TerminateOnNaNCallback

DEFAULT_CALLBACKS = (
    MoveModulesToDeviceCallback,
    TerminateOnNaNCallback,
    PrintProgressCallback,
    ProgressBarCallback,
    LogMetricsCallback,
)
