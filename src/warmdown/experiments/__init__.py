"""Experiments: which rate, which schedule, with evidence."""

from typing import Any

from warmdown.errors import warn_renamed
from warmdown.experiments import comparison
from warmdown.experiments.compare import *
from warmdown.experiments.comparison import *
from warmdown.experiments.find import *
from warmdown.experiments.search import *


def __getattr__(name: str) -> Any:
    if name != "Row":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    warn_renamed("experiments.Row", "experiments.PlanStatistics")
    return comparison.PlanStatistics
