"""Schedules: pure functions from a step to a number, and the ways to compose them.

A name loads its file when it is first used: each file makes classes, which takes most of the time
of an import.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from warmdown.schedules.base import *
    from warmdown.schedules.compose import *
    from warmdown.schedules.curves.basic import *
    from warmdown.schedules.curves.rare import *
    from warmdown.schedules.curves.unbounded import *
    from warmdown.schedules.cycles import *
    from warmdown.schedules.feedback import *
    from warmdown.schedules.graft import *
    from warmdown.schedules.piecewise_constant import *
    from warmdown.schedules.plateau import *
    from warmdown.schedules.recipes.cyclic import *
    from warmdown.schedules.recipes.metric import *
    from warmdown.schedules.recipes.stable import *
    from warmdown.schedules.recipes.tails import *
    from warmdown.schedules.recipes.warmup import *
    from warmdown.schedules.rule import *
    from warmdown.schedules.time import *
    from warmdown.schedules.value import *

_FILES = {
    "base": ("Phase", "Schedule"),
    "compose": ("Chain", "Product", "Sum"),
    "curves.basic": (
        "Constant", "Cosine", "Exponential", "InverseProportional", "Linear", "Polynomial", "Sqrt",
    ),
    "curves.rare": ("ExpHyperbolic", "Hyperbolic", "Log", "Rex", "Tanh"),
    "curves.unbounded": ("ExponentialDecay", "InverseSqrt", "InverseTime", "Power"),
    "cycles": ("Chebyshev", "Repeat", "Triangle"),
    "graft": ("Grafted",),
    "feedback": ("Feedback", "FeedbackState"),
    "piecewise_constant": ("Function", "Milestones", "Staircase", "PiecewiseConstant"),
    "plateau": ("Greedy", "Plateau"),
    "recipes.cyclic": (
        "cosine_restarts", "cosine_waves", "exp_range", "one_cycle", "piecewise", "range_test",
        "sawtooth", "triangular", "triangular2",
    ),
    "recipes.metric": ("newbob",),
    "recipes.tails": ("noam", "warmup_inverse_sqrt", "warmup_rex"),
    "recipes.warmup": (
        "flat_cosine", "half_cosine", "slanted_triangular", "warmup_constant", "warmup_cosine",
        "warmup_linear", "warmup_polynomial", "with_warmup",
    ),
    "recipes.stable": ("infinite", "knee", "power_law", "swa", "tri_stage", "wsd", "wsd_s"),
    "rule": ("Scale", "Set"),
    "time": ("Delayed", "Skipped", "Stretched", "Truncated"),
    "value": ("Clipped", "Named", "Noisy"),
}  # fmt: skip
_FILE_OF = {name: file for file, names in _FILES.items() for name in names}

NAMES = tuple(sorted(_FILE_OF))
"""What the package offers as its own."""

_FILE_OF |= {"Rule": "rule", "Steps": "base", "Values": "base"}


def __getattr__(name: str) -> Any:
    if name not in _FILE_OF:
        raise AttributeError(f"module 'warmdown.schedules' has no attribute {name!r}")
    globals()[name] = value = getattr(import_module(f"{__name__}.{_FILE_OF[name]}"), name)
    return value


def __dir__() -> list[str]:
    return [*_FILE_OF]
