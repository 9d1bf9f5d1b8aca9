"""Schedules by the names that other libraries give them."""

__all__ = [
    "ONETRAINER_NAMES",
    "TIMM_NAMES",
    "TRANSFORMERS_NAMES",
    "get_scheduler",
    "onetrainer_schedule",
    "timm_schedule",
    "transformers_schedule",
]

from warmdown.compat.names.onetrainer import *
from warmdown.compat.names.timm import *
from warmdown.compat.names.transformers import *
