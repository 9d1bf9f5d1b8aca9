"""warmdown: schedules for everything that a training run turns.

Write a schedule once, see it before you train, run it in any loop, resume it exactly. Every name
loads its room when it is first asked for, so that ``import warmdown`` costs next to nothing.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from warmdown import schedules
from warmdown.registry import provide

if TYPE_CHECKING:
    from warmdown.binding import *
    from warmdown.binding.commands import Commands as Commands
    from warmdown.checks import Finding as Finding
    from warmdown.checks import check as check
    from warmdown.errors import *
    from warmdown.experiments import find_rate as find_rate
    from warmdown.forecast import fit_loss as fit_loss
    from warmdown.forecast import load_law as load_law
    from warmdown.forecast.scaling import *
    from warmdown.forecast.seesaw import *
    from warmdown.importing import External as External
    from warmdown.importing import export_config as export_config
    from warmdown.importing import from_torch as from_torch
    from warmdown.importing import import_config as import_config
    from warmdown.mailbox import tell as tell
    from warmdown.plan import *
    from warmdown.planfile import *
    from warmdown.plot import CalledRoom
    from warmdown.record import *
    from warmdown.run import *
    from warmdown.schedules import *
    from warmdown.schedules.recipes import *
    from warmdown.studio import studio as studio
    from warmdown.training import Rollback as Rollback
    from warmdown.training.averaging import AveragedWeights as AveragedWeights
    from warmdown.training.merging import merge_checkpoints as merge_checkpoints

    plot: CalledRoom

__version__ = "0.1.0"

_ROOMS = {
    "warmdown.errors": (
        "AmountMismatch",
        "BaseDiffers", "BindingError", "FactorsAsValues", "FarBelowBase", "FarFromBase",
        "ForecastError", "ForeignWrite",
        "LengthMismatch", "MetricForgotten", "MetricUnusable", "MetricUnused", "MissingExtra",
        "NegativeValue", "OptimizerUnused", "OutOfRange", "PastEnd", "RunError", "ScheduleError",
        "SchedulerLost", "SpecError", "StateError", "StepBeforeUpdate", "StepForgotten",
        "StepPerEpoch", "StepPerUpdate", "StepTwice", "StoppedEarly", "TrainingError",
        "UnknownImport", "UnknownName", "UpdatesUnseen", "WarmdownError", "WarmdownWarning",
        "WorkersMissing", "ZeroBase", "ZeroOverwritten",
    ),
    "warmdown.run": ("Run",),
    "warmdown.record": ("Record",),
    "warmdown.mailbox": ("tell",),
    "warmdown.plan": ("Plan",),
    "warmdown.schedules": schedules.NAMES,
    "warmdown.schedules.recipes": ("recipes",),
    "warmdown.importing": ("External", "export_config", "from_torch", "import_config"),
    "warmdown.binding": (
        "Attribute", "BatchSizeSampler", "Call", "Captured", "Scheduler", "SpikeDetector",
        "ValueLogger", "as_tensors", "layerwise_decay",
    ),
    "warmdown.binding.commands": ("Commands",),
    "warmdown.forecast": ("fit_loss", "load_law"),
    "warmdown.forecast.seesaw": ("seesaw",),
    "warmdown.forecast.scaling": (
        "scale_batch_with_data", "scale_decay_with_batch_and_data", "scale_rate_linearly",
        "scale_rate_with_sqrt",
    ),
    "warmdown.experiments": ("compare", "find_rate"),
    "warmdown.checks": ("Finding", "check"),
    "warmdown.training": ("Rollback",),
    "warmdown.planfile": (
        "dumps", "from_dict", "load", "loads", "plan_from_dict", "recipes_of_record", "save",
    ),
    "warmdown.studio": ("studio",),
    "warmdown.training.averaging": ("AveragedWeights",),
    "warmdown.training.merging": ("merge_checkpoints",),
}  # fmt: skip
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names}

__all__ = sorted(_ROOM_OF)

_EXTRAS = {"torch": "torch", "accelerate": "train"}
"""What installs the libraries that whole rooms need."""

provide("other_words", lambda: import_module("warmdown.compat.words"))
provide("plot", lambda: import_module("warmdown.plot"))
provide("pydantic_schema", lambda: import_module("warmdown.planfile.models").pydantic_schema)


_FORMER_NAMES = {"Table": "PiecewiseConstant", "Taken": "Truncated"}


def __getattr__(name: str) -> Any:
    if new := _FORMER_NAMES.get(name):
        import_module("warmdown.errors").warn_renamed(f"warmdown.{name}", new)
        return __getattr__(new)
    if name in _ROOM_OF:
        globals()[name] = value = getattr(_loaded(_ROOM_OF[name], name), name)
        return value
    if name.startswith("_"):  # asked by tools, which expect most of these not to be there
        raise AttributeError(f"module 'warmdown' has no attribute {name!r}")
    if find_spec(f"warmdown.{name}"):
        return _loaded(f"warmdown.{name}", name)
    errors = import_module("warmdown.errors")
    is_import = sys._getframe(1).f_code.co_name == "_handle_fromlist"  # loses an AttributeError
    kind = errors.UnknownImport if is_import else errors.UnknownName
    way_out = import_module("warmdown.compat.words").own_name(name)
    raise kind(
        f"warmdown.{name}: warmdown has no attribute {name!r}. "
        f"{way_out or errors.nearest(name, __all__)}"
    )


def _loaded(room: str, name: str) -> Any:
    """Return a module; a library that it needs and that is missing is named with its extra."""
    try:
        return import_module(room)
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        if library not in _EXTRAS:
            raise
        missing = import_module("warmdown.errors").MissingExtra
        raise missing(f"warmdown.{name}", library, _EXTRAS[library]) from None


def __dir__() -> list[str]:
    return [*__all__, "plot"]


def load_ipython_extension(shell: Any) -> None:
    """Let a notebook draw a ``dict`` of schedules, plans or records: ``%load_ext warmdown``.

    Args:
        shell: The notebook's ``InteractiveShell``; every other ``dict`` is shown as before.
    """
    html = shell.display_formatter.formatters["text/html"]
    html.for_type(dict, import_module("warmdown.plot.page").notebook_dict)


# A plan file may name a class of another library; its preview lives above the files.
provide("class_preview", lambda: __getattr__("External"))
