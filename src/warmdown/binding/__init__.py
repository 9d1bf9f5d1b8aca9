"""Schedules on live objects: the only room that writes to an optimizer."""

from warmdown.errors import MissingExtra

try:
    import torch
except ModuleNotFoundError:
    raise MissingExtra("warmdown.binding", "torch", "torch") from None

from warmdown.binding.captured import Captured
from warmdown.binding.field import Attribute, Call, Field, as_tensors
from warmdown.binding.groups import layerwise_decay
from warmdown.binding.loading import BatchSizeSampler
from warmdown.binding.scheduler import Scheduler
from warmdown.binding.spikes import SpikeDetector
from warmdown.binding.trackers import ValueLogger

__all__ = [
    "Attribute",
    "BatchSizeSampler",
    "Call",
    "Captured",
    "Field",
    "Scheduler",
    "SpikeDetector",
    "ValueLogger",
    "as_tensors",
    "layerwise_decay",
]
