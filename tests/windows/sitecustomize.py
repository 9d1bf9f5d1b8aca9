"""A double of a Windows machine, as far as Linux can be one: put this folder on PYTHONPATH.

- warmdown's modules, and no others, see an ``os`` and a ``signal`` without what exists on Unix
  alone, and no ``fcntl``, ``resource``, ``pwd``, ``grp`` or ``termios``.
- No folder can be opened, nor given as a descriptor.
- What warmdown calls cannot replace, rename or remove a file that this process or a child of it
  has open, nor a folder with one in it.
- What is printed is in code page 1252, where the environment says nothing else.

``os.name`` and ``sys.platform`` stay as they are: what they decided would not be tried here.
"""

import builtins
import importlib.abc
import importlib.machinery
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import FrameType, ModuleType
from typing import Any, cast

from lacking import LACKING, MISSING  # type: ignore[import-not-found]

OPENED_BY_NAME = {"open", "stat", "scandir", "mkdir", "listdir"}
CHANGED_BY_NAME = {"replace", "rename", "unlink", "remove", "rmdir"}
IN_USE = 32
"""Windows' number for a file that another process uses."""


class Without:
    """A module without some of its names."""

    def __init__(self, module: ModuleType) -> None:
        self.__dict__["_module"] = module

    def __getattr__(self, name: str) -> Any:
        if name in LACKING[self._module]:
            raise AttributeError(f"module {self._module.__name__!r} has no attribute {name!r}")
        if self._module is os and name == "supports_dir_fd":
            return set()
        value = getattr(self._module, name)
        if self._module is os and name in OPENED_BY_NAME | CHANGED_BY_NAME:
            return _by_name_alone(name, value)
        return value

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self._module, name, value)


def _by_name_alone(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        if any(kwargs.get(key) is not None for key in ("dir_fd", "src_dir_fd", "dst_dir_fd")):
            raise NotImplementedError(f"os.{name}: dir_fd unavailable on this platform")
        if name == "open" and os.path.isdir(args[0]):
            raise PermissionError(13, "Permission denied", str(args[0]))
        return function(*args, **kwargs)

    return call


def _refusing_what_is_open(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*paths: Any, **kwargs: Any) -> Any:
        if _is_called_by_warmdown():
            for path in paths:
                if isinstance(path, str | os.PathLike) and (user := _user_of(os.fspath(path))):
                    error: Any = PermissionError(13, f"in use by process {user}", str(path))
                    error.winerror = IN_USE
                    raise error
        return function(*paths, **kwargs)

    return call


def _is_called_by_warmdown() -> bool:
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and frame.f_globals.get("__name__") in ("pathlib", "shutil", "os"):
        frame = frame.f_back
    return frame is not None and str(frame.f_globals.get("__name__")).startswith("warmdown")


def _user_of(path: str) -> int | None:
    """Return the process, of this one and its children, that has a file or one in a folder open."""
    place = os.path.realpath(path)
    for process in (os.getpid(), *_children(os.getpid())):
        folder = f"/proc/{process}/fd"
        try:
            descriptors = os.listdir(folder)
        except OSError:
            continue
        opened = [*_linked(f"{folder}/{descriptor}" for descriptor in descriptors)]
        if any(f"{file}/".startswith(f"{place}/") for file in [*opened, *_mapped(process)]):
            return process
    return None


def _linked(paths: Iterable[str]) -> Iterator[str]:
    for path in paths:
        try:
            yield os.readlink(path)
        except OSError:
            continue


def _mapped(process: int) -> Iterator[str]:
    """Yield the files that are part of a process's memory: Windows keeps them as those in use."""
    try:
        with open(f"/proc/{process}/maps", encoding="utf-8", errors="surrogateescape") as file:
            for line in file:
                yield line.rstrip("\n").split(maxsplit=5)[-1]
    except OSError:
        return


def _children(process: int) -> list[int]:
    try:
        with open(f"/proc/{process}/task/{process}/children", encoding="ascii") as file:
            return [*map(int, file.read().split())]
    except OSError:
        return []


class Loader(importlib.machinery.SourceFileLoader):
    """Loads a module of warmdown, and puts the doubles where it imported the modules."""

    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        known: ModuleType
        for known in LACKING:
            if module.__dict__.get(known.__name__) is known:
                module.__dict__[known.__name__] = Without(known)


class Finder(importlib.abc.MetaPathFinder):
    """Finds warmdown's modules for the loader above."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name != "warmdown" and not name.startswith("warmdown."):
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and isinstance(spec.loader, importlib.machinery.SourceFileLoader):
            spec.loader = Loader(spec.loader.name, spec.loader.path)
        return spec


_import = builtins.__import__


def _import_as_on_windows(
    name: str,
    globals: Mapping[str, object] | None = None,
    locals: Mapping[str, object] | None = None,
    fromlist: Any = (),
    level: int = 0,
) -> ModuleType:
    if (
        level == 0
        and name.partition(".")[0] in MISSING
        and str((globals or {}).get("__name__")).startswith("warmdown")
    ):
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    return _import(name, globals, locals, fromlist, level)


builtins.__import__ = _import_as_on_windows
sys.meta_path.insert(0, Finder())
cast(Any, shutil)._use_fd_functions = False
for _name in CHANGED_BY_NAME:
    setattr(os, _name, _refusing_what_is_open(getattr(os, _name)))
if "PYTHONIOENCODING" not in os.environ:
    os.environ["PYTHONIOENCODING"] = "cp1252"
    for _stream in (sys.stdout, sys.stderr):
        if hasattr(_stream, "reconfigure"):
            _stream.reconfigure(encoding="cp1252")
