"""Experiments: which rate, which schedule, with evidence."""

from typing import Any

from warmdown.errors import MissingExtra, warn_renamed

try:
    import torch
except ModuleNotFoundError:
    raise MissingExtra("warmdown.experiments", "torch", "torch") from None

from warmdown.experiments.comparison import Comparison as Comparison
from warmdown.experiments.comparison import PlanStatistics as PlanStatistics
from warmdown.experiments.comparison import compare as compare
from warmdown.experiments.find import RangeTest as RangeTest
from warmdown.experiments.find import find_rate as find_rate
from warmdown.experiments.find_task import find_rate_of_task as find_rate_of_task
from warmdown.experiments.search import Search as Search
from warmdown.experiments.search import Trial as Trial
from warmdown.experiments.search import search as search
from warmdown.experiments.statistics import higher_is_better as higher_is_better


def __getattr__(name: str) -> Any:
    if name != "Row":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    warn_renamed("experiments.Row", "experiments.PlanStatistics")
    return PlanStatistics
