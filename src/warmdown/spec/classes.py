"""Dotted class paths: what may be imported, and whether its arguments fit, before anything of it runs."""

from __future__ import annotations

__all__ = ["KNOWN", "find", "misfits"]

import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any

from warmdown.errors import MissingExtra, ScheduleError, nearest
from warmdown.schedules import Schedule

KNOWN = ("torch.optim", "transformers", "timm", "warmdown")
"""Modules whose schedulers may be named by anybody."""
GROUP = "warmdown.schedulers"
"""Entry points of this group are allowed too, by their name or by what they point to."""

_PATH = re.compile(r"[A-Za-z]\w*(?:\.[A-Za-z]\w*)+")  # no part begins with an underscore
_WORD = re.compile(r"[A-Za-z][\w-]*")
_EXTRAS = {"torch": "torch"}
_LONGEST = 200


def find(class_path: str, allow: Sequence[str] = ()) -> Callable[..., Any]:
    """Import a scheduler class (or a function that makes one) by its dotted path.

    Args:
        class_path: ``torch.optim.lr_scheduler.MultiStepLR``, or the name of an entry point.
        allow: Modules, or paths in full, that the caller allows besides the known ones.

    Raises:
        ScheduleError: It is no path, is not allowed, cannot be imported, or is no scheduler.

    Example:
        >>> find("warmdown.Cosine").__name__
        'Cosine'
    """
    path = _pointed_to(class_path, allow)
    module, name = path.rsplit(".", 1)
    found = _attribute(_module(module, path), name, path)
    _require_home(found, path)
    _require_scheduler(found, path)
    return found


def misfits(found: Callable[..., Any], who: str, arguments: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the name of each argument that a scheduler cannot be called with, and why."""
    signature = inspect.signature(found)
    accepted = {name: each for name, each in signature.parameters.items() if each.kind in _BY_NAME}
    is_open = any(each.kind is inspect.Parameter.VAR_KEYWORD for each in signature.parameters.values())
    for name in arguments:
        if name == "optimizer":
            yield name, "the optimizer is not given in a file. Leave it out."
        elif name not in accepted and not is_open:
            yield name, f"{who} has no {name!r}. {nearest(name, accepted.keys() - {'optimizer'})}"
    for name, parameter in accepted.items():
        if parameter.default is parameter.empty and name not in arguments and name != "optimizer":
            yield "", f"{who} needs {name!r}. Give it."


_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def _pointed_to(class_path: str, allow: Sequence[str]) -> str:
    """Return the path, if it may be imported; an entry point's name stands for its path."""
    if len(class_path) > _LONGEST or not (_PATH.fullmatch(class_path) or _WORD.fullmatch(class_path)):
        raise ScheduleError(f"{class_path[:60]!r}: not a dotted path. Write it like 'torch.optim.lr_scheduler.StepLR'.")
    if _is_inside(class_path, (*KNOWN, *allow)) and "." in class_path:
        return class_path
    from importlib.metadata import entry_points  # what most plans never ask for

    points = {point.name: point.value.replace(":", ".") for point in entry_points(group=GROUP)}
    if class_path in points or class_path in points.values():
        return points.get(class_path, class_path)
    raise ScheduleError(
        f"{class_path!r}: not imported, because a file could run anything this way. "
        f"Allowed are {', '.join(KNOWN)}; allow=[{class_path!r}] or --allow {class_path} allows it by name."
    )


def _module(name: str, path: str) -> Any:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or name
        root = missing.split(".")[0]
        if root in _EXTRAS and _is_missing(root):
            raise ScheduleError(str(MissingExtra(path, root, _EXTRAS[root]))) from None
        if name.startswith(missing):
            raise ScheduleError(
                f"{path!r}: there is no module {missing!r} here. Install it, or mend the path."
            ) from None
        raise ScheduleError(f"{path!r}: its module needs {missing!r}. Install it.") from None
    except Exception as error:  # whatever a foreign module does when it is imported
        raise ScheduleError(f"{path!r}: its module cannot be imported: {type(error).__name__}: {error}.") from None


def _is_missing(library: str) -> bool:
    try:
        import_module(library)
    except ImportError:
        return True
    return False


def _attribute(module: Any, name: str, path: str) -> Callable[..., Any]:
    found = getattr(module, name, None)
    if not (inspect.isclass(found) or inspect.isfunction(found)):
        own = [word for word, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__]
        known = getattr(module, "__all__", None) or [word for word in own if word[0] != "_"] or ["nothing of its own"]
        raise ScheduleError(f"{path!r}: there is no such class. {nearest(name, known)}")
    return found


def _require_home(found: Callable[..., Any], path: str) -> None:
    """Refuse what an allowed module has only borrowed, such as ``torch.optim.lr_scheduler.partial``."""
    if found.__module__.split(".")[0] != path.split(".")[0]:
        home = f"{found.__module__}.{found.__qualname__}"
        raise ScheduleError(f"{path!r}: is borrowed from {home}. Name it by its own path.")


def _require_scheduler(found: Callable[..., Any], path: str) -> None:
    if inspect.isclass(found) and issubclass(found, Schedule):
        return
    if found.__module__.startswith("warmdown.schedules.recipes"):
        return
    if "optimizer" not in inspect.signature(found).parameters:
        raise ScheduleError(f"{path!r}: takes no 'optimizer', so it is no scheduler. Name a scheduler class.")


def _is_inside(path: str, modules: Sequence[str]) -> bool:
    return any(path == module or path.startswith(f"{module}.") for module in modules)
