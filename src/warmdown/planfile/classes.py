"""Dotted class paths: what may be imported, what is a scheduler, whether its arguments fit."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from warmdown.errors import MissingExtra, ScheduleError, nearest
from warmdown.schedules import Function, Schedule
from warmdown.schedules.parameters import Maker
from warmdown.schedules.recipes import recipes

_TIMM = (
    "cosine_lr",
    "multistep_lr",
    "plateau_lr",
    "poly_lr",
    "step_lr",
    "tanh_lr",
    "wsd_lr",
    "scheduler_factory",
)
_ACCELERATED = ("cosine_scheduler", "wsd_scheduler")
KNOWN = (
    "torch.optim.lr_scheduler",
    "torch.optim.swa_utils",
    "transformers",
    "transformers.optimization",
    "timm.scheduler",
    *(f"timm.scheduler.{name}" for name in _TIMM),
    "pytorch_accelerated.schedulers",
    *(f"pytorch_accelerated.schedulers.{name}" for name in _ACCELERATED),
    "warmdown",
    "warmdown.schedules",
    "warmdown.schedules.recipes",
    "warmdown.compat.lr_scheduler",
    "warmdown.compat.schedulers",
)
"""Modules whose schedulers any plan may name: these alone, and nothing inside or beside them."""
GROUP = "warmdown.schedulers"
"""Entry points of this group are allowed too, by their name or by what they point to."""

_BASES = (
    "torch.optim.lr_scheduler.LRScheduler",
    "torch.optim.lr_scheduler.ReduceLROnPlateau",
    "transformers.optimization.GreedyLR",
    "timm.scheduler.scheduler.Scheduler",
    "pytorch_accelerated.schedulers.scheduler_base.SchedulerBase",
    "warmdown.compat.schedulers.base.SchedulerBase",
)
"""A class is a scheduler when it is derived from one of these, or from :class:`Schedule`."""
_OURS = ("warmdown.schedules.", "warmdown.compat.")
_TRANSFORMERS = frozenset(
    {
        "get_scheduler",
        "get_constant_schedule",
        "get_constant_schedule_with_warmup",
        "get_linear_schedule_with_warmup",
        "get_cosine_schedule_with_warmup",
        "get_cosine_with_hard_restarts_schedule_with_warmup",
        "get_cosine_with_min_lr_schedule_with_warmup",
        "get_cosine_with_min_lr_schedule_with_warmup_lr_rate",
        "get_polynomial_decay_schedule_with_warmup",
        "get_inverse_sqrt_schedule",
        "get_reduce_on_plateau_schedule",
        "get_wsd_schedule",
        "get_greedy_schedule",
        "get_adafactor_schedule",
    }
)
_FUNCTIONS: Mapping[str, frozenset[str]] = {
    "transformers.optimization": _TRANSFORMERS,
    "timm.scheduler.scheduler_factory": frozenset({"create_scheduler_v2"}),
}
"""Functions that make a scheduler of an optimizer and plain data, by their module."""
_ONLY: Mapping[str, frozenset[str]] = {"transformers": _TRANSFORMERS | {"GreedyLR"}}
"""All names that may be looked up in a module that imports others for every look-up."""

_PATH = re.compile(r"[A-Za-z]\w*(?:\.[A-Za-z]\w*)+")  # no part begins with an underscore
_WORD = re.compile(r"[A-Za-z][\w-]*")
_LONGEST = 200


def find_class(class_path: str, allow: Sequence[str] = ()) -> Maker:
    """Import a scheduler class (or a function that makes one) by its dotted path.

    Args:
        class_path: ``torch.optim.lr_scheduler.MultiStepLR``, or the name of an entry point.
        allow: Modules, or paths in full, that the caller allows besides the known ones, and answers
            for: importing a module runs it, and what takes an ``optimizer`` in a module named here
            is called. A package named here lends only its classes that are derived from a known
            scheduler.

    Raises:
        ScheduleError: It is no path, is not allowed, lies in the current folder under a library's
            name, cannot be imported, or is no scheduler.

    Example:
        >>> find_class("warmdown.Cosine").__name__
        'Cosine'
    """
    path = _allowed_path(class_path, allow)
    if not _is_covered(path, allow):
        _require_installed(path)
    module, name = path.rsplit(".", 1)
    if name not in _ONLY.get(module, {name}):
        raise _no_scheduler(path)
    found = _attribute(_import_path(module, path), name, path)
    if found.__module__.split(".")[0] != path.split(".")[0]:
        # what an allowed module has only imported, such as torch.optim.lr_scheduler.partial
        home = f"{found.__module__}.{found.__qualname__}"
        raise ScheduleError(f"{path!r}: is borrowed from {home}. Name it by its own path.")
    if _is_scheduler(found):
        return found
    if not _is_called_by_name(path, allow):
        raise _no_scheduler(path)
    if "optimizer" not in inspect.signature(found).parameters:
        raise ScheduleError(
            f"{path!r}: takes no 'optimizer', so it is no scheduler. Name a scheduler class."
        )
    return found


def is_known(class_path: str) -> bool:
    """Whether any plan may name the path: in a known module, or an installed entry point.

    Example:
        >>> is_known("torch.optim.lr_scheduler.StepLR"), is_known("timm.models.resume_checkpoint")
        (True, False)
    """
    return _known_path(class_path) is not None


def argument_errors(found: Maker, who: str, given: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yield the name of each argument that a scheduler cannot be called with, and why."""
    parameters = inspect.signature(found).parameters.values()
    accepted = {one.name: one for one in parameters if one.kind in _BY_NAME}
    is_open = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters)
    for name in given:
        if name == "optimizer":
            yield name, "the optimizer is not given in a file. Leave it out."
        elif name not in accepted and not is_open:
            yield name, f"{who} has no {name!r}. {nearest(name, accepted.keys() - {'optimizer'})}"
    for name, parameter in accepted.items():
        if parameter.default is parameter.empty and name not in (*given, "optimizer"):
            yield "", f"{who} needs {name!r}. Give it."


_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def _allowed_path(class_path: str, allow: Sequence[str]) -> str:
    """Return the path, if it may be imported; an entry point's name stands for its path."""
    is_path = _PATH.fullmatch(class_path) or _WORD.fullmatch(class_path)
    if len(class_path) > _LONGEST or not is_path:
        raise ScheduleError(
            f"{class_path[:60]!r}: not a dotted path. Write it like "
            "'torch.optim.lr_scheduler.StepLR'."
        )
    if "." in class_path and _is_covered(class_path, allow):
        return class_path
    if path := _known_path(class_path):
        return path
    raise ScheduleError(
        f"{class_path!r}: not imported, because a file could run anything this way. Allowed are "
        "the scheduler modules of torch, transformers, timm, pytorch-accelerated and warmdown, "
        f"such as torch.optim.lr_scheduler.StepLR; allow=[{class_path!r}] or --allow {class_path} "
        "allows it by name."
    )


def _known_path(class_path: str) -> str | None:
    """Return the path that any plan may name so, itself or by an entry point."""
    if class_path.rpartition(".")[0] in KNOWN:
        return class_path
    points = _entry_points()
    itself = class_path if class_path in points.values() else None
    return points.get(class_path, itself)


def _entry_points() -> dict[str, str]:
    from importlib.metadata import entry_points  # most plans need none, and its import takes time

    return {point.name: point.value.replace(":", ".") for point in entry_points(group=GROUP)}


def _is_covered(path: str, modules: Sequence[str]) -> bool:
    return any(path == module or path.startswith(f"{module}.") for module in modules)


def _require_installed(path: str) -> None:
    """Refuse a library that is a file of the current folder: it may have come with the plan."""
    root = path.split(".")[0]
    if root == "warmdown" and ".compat." not in path:
        return
    for library in sorted({root, "torch"} - {"warmdown"}):
        if _is_in_current_folder(library):
            raise ScheduleError(
                f"{path!r}: not imported, because {library!r} is a file of the current folder "
                "here, not an installed library. Run it from another folder, or "
                f"allow={[path]!r} or --allow {path} allows it by name."
            )


def _is_in_current_folder(library: str) -> bool:
    try:
        spec, here = find_spec(library), Path.cwd()
    except (ValueError, OSError):  # a module that the program made by itself; a folder that is gone
        return False
    if spec is None:
        return False
    origin = [spec.origin] if spec.has_location and spec.origin else []
    places = map(Path, spec.submodule_search_locations or origin)
    return any(here in (place.absolute().parent, place.resolve().parent) for place in places)


def _import_path(name: str, path: str) -> Any:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or name
        if missing.split(".")[0] == "torch" and sys.modules.get("torch") is None:
            reason = str(MissingExtra(path, "torch", "torch"))
        elif name.startswith(missing):
            reason = (
                f"{path!r}: there is no module {missing!r} here. Install it, or correct the path."
            )
        else:
            reason = f"{path!r}: its module needs {missing!r}. Install it."
    except Exception as error:  # whatever a foreign module does when it is imported
        reason = f"{path!r}: its module cannot be imported: {type(error).__name__}: {error}."
    raise ScheduleError(reason)


def _attribute(module: Any, name: str, path: str) -> Maker:
    found = getattr(module, name, None)
    if inspect.isclass(found) or inspect.isfunction(found):
        return found
    own = [
        word
        for word, value in vars(module).items()
        if getattr(value, "__module__", "") == module.__name__ and word[0] != "_"
    ]
    known = getattr(module, "__all__", None) or own or ["nothing of its own"]
    raise ScheduleError(f"{path!r}: there is no such class. {nearest(name, known)}")


def _is_scheduler(found: Maker) -> bool:
    """Whether it is derived from a scheduler that is known, or is a function that is listed."""
    home = found.__module__
    if not inspect.isclass(found):
        return found in recipes().values() or found.__name__ in _FUNCTIONS.get(home, ())
    if found is Function or (home.startswith("warmdown.") and not home.startswith(_OURS)):
        # it calls a function, previews others' classes, or drives an optimizer: no shape
        return False
    return issubclass(found, Schedule) or any(base in found.__mro__ for base in _bases())


def _bases() -> Iterator[Any]:
    """Yield the base classes whose modules have been imported; of others nothing can be derived."""
    for path in _BASES:
        module, name = path.rsplit(".", 1)
        if module in sys.modules:
            yield getattr(sys.modules[module], name, None)


def _is_called_by_name(path: str, allow: Sequence[str]) -> bool:
    """Whether the caller or an entry point named the path or its very module."""
    if path.startswith("warmdown."):
        return False  # what is here and no scheduler is known
    return path in allow or path.rpartition(".")[0] in allow or path in _entry_points().values()


def _no_scheduler(path: str) -> ScheduleError:
    allowed = "" if path.startswith("warmdown.") else ", or allow its very module or path"
    return ScheduleError(
        f"{path!r}: no scheduler: neither a class derived from a scheduler of torch, transformers, "
        "timm, pytorch-accelerated or warmdown, nor one of their functions that are known to make "
        f"one. Name a scheduler{allowed}."
    )
