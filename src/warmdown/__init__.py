"""warmdown: schedules for everything that a training run turns.

Write a schedule once, see it before you train, run it in any loop, resume it exactly. Every name
loads its room when it is first asked for, so that ``import warmdown`` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from warmdown import schedules
from warmdown.registry import provide

if TYPE_CHECKING:
    from warmdown import plot as plot
    from warmdown.binding import *
    from warmdown.checks import Finding as Finding
    from warmdown.checks import check as check
    from warmdown.errors import *
    from warmdown.experiments import find_rate as find_rate
    from warmdown.importing import External as External
    from warmdown.importing import from_torch as from_torch
    from warmdown.plan import *
    from warmdown.planfile import *
    from warmdown.record import *
    from warmdown.run import *
    from warmdown.schedules import *
    from warmdown.schedules.recipes import *
    from warmdown.studio import studio as studio

__version__ = "0.1.0"

_ROOMS = {
    "warmdown.errors": (
        "AmountMismatch",
        "BaseDiffers", "BindingError", "FactorsAsValues", "FarBelowBase", "ForeignWrite",
        "LengthMismatch", "MetricForgotten", "MetricUnusable", "MetricUnused", "MissingExtra",
        "NegativeValue", "OptimizerUnused", "OutOfRange", "PastEnd", "RunError", "ScheduleError",
        "SchedulerLost", "SpecError", "StateError", "StepBeforeUpdate", "StepForgotten",
        "StepPerEpoch", "StepPerUpdate", "StepTwice", "StoppedEarly", "TrainingError",
        "UpdatesUnseen", "WarmdownError", "WarmdownWarning", "ZeroBase", "ZeroOverwritten",
    ),
    "warmdown.run": ("Run",),
    "warmdown.record": ("Record",),
    "warmdown.plan": ("Plan",),
    "warmdown.schedules": schedules.NAMES,
    "warmdown.schedules.recipes": ("recipes",),
    "warmdown.importing": ("External", "from_torch"),
    "warmdown.binding": (
        "Attribute", "Call", "Captured", "Scheduler", "as_tensors", "layerwise_decay",
    ),
    "warmdown.experiments": ("compare", "find_rate"),
    "warmdown.checks": ("Finding", "check"),
    "warmdown.planfile": ("dumps", "from_dict", "load", "loads", "plan_from_dict", "save"),
    "warmdown.studio": ("studio",),
}  # fmt: skip
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names}

__all__ = sorted(_ROOM_OF)

provide("plot", lambda: import_module("warmdown.plot"))


_FORMER_NAMES = {"Table": "PiecewiseConstant", "Taken": "Truncated"}


def __getattr__(name: str) -> Any:
    if new := _FORMER_NAMES.get(name):
        import_module("warmdown.errors").warn_renamed(f"warmdown.{name}", new)
        return __getattr__(new)
    if name == "plot":  # a room that is called: warmdown.plot(schedule)
        return import_module("warmdown.plot")
    if name not in _ROOM_OF:
        raise AttributeError(f"module 'warmdown' has no attribute {name!r}")
    globals()[name] = value = getattr(import_module(_ROOM_OF[name]), name)
    return value


def __dir__() -> list[str]:
    return [*__all__, "plot"]


# A plan file may name a class of another library; its preview lives above the files.
provide("class_preview", lambda: __getattr__("External"))
