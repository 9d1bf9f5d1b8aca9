"""The files that a client of ``warmdown mcp`` may name: those under one folder, and no links."""

from __future__ import annotations

import os
import stat
from pathlib import Path, PurePath
from typing import final

from warmdown.errors import SpecError, shortly
from warmdown.system import open_folder, open_no_link

LARGEST_FILE = 16 * 2**20
"""Bytes of a log; what reads plans and configurations refuses far smaller ones."""
_DEEPEST = 20


@final
class Workspace:
    """A folder whose files are copied to where a tool works, so that it reads nothing else.

    Args:
        path: The folder; it stays open, so that it stays the same one even when it is moved.

    Raises:
        OSError: There is no such folder.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).resolve()
        self._descriptor = open_folder(self.path)

    def copy(self, name: str, place: Path) -> str:
        """Copy a file to the same path below another folder, and return that path.

        Args:
            name: Its path from the folder, or a whole path that lies below it.
            place: The other folder.

        Raises:
            SpecError: It is not there, is no file, is or passes a link, is hidden, or is too large.
        """
        parts = self._parts(name)
        copied = place.joinpath(*parts)
        try:
            content = self._read(parts)
            copied.parent.mkdir(parents=True, exist_ok=True)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise _refused_file(name, f"not a file that can be read here ({reason})") from None
        if len(content) > LARGEST_FILE:
            raise _refused_file(name, f"more than {LARGEST_FILE >> 20} MiB")
        copied.write_bytes(content)
        return copied.relative_to(place).as_posix()

    def folder(self, name: str) -> str:
        """Return the whole path of a folder.

        Args:
            name: Its path from here, or a whole path that lies below here.

        Raises:
            SpecError: It is no folder here, is or passes a link, or is hidden.
        """
        whole = self.path.joinpath(*self._parts(name))
        if whole.resolve() != whole or not whole.is_dir():
            raise _refused_file(name, "no folder here, or a link")
        return str(whole)

    def _parts(self, name: str) -> tuple[str, ...]:
        path = PurePath(name)
        if path.is_absolute():
            try:
                path = path.relative_to(self.path)
            except ValueError:
                raise _refused_file(name, "not under the folder of this server") from None
        if not path.parts or len(path.parts) > _DEEPEST or "\0" in name:
            raise _refused_file(name[:60], "not the path of a file")
        if any(part.startswith(".") or ":" in part for part in path.parts):
            raise _refused_file(name, "leads out of the folder, or is hidden")
        return path.parts

    def _read(self, parts: tuple[str, ...]) -> bytes:
        """Return at most one byte more than is taken."""
        descriptor = self._open(parts)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise ValueError("a folder, a pipe or a device")
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                return file.read(LARGEST_FILE + 1)
        finally:
            os.close(descriptor)

    def _open(self, parts: tuple[str, ...]) -> int:
        """Open a file one folder at a time, so that none of them is a link when it is entered."""
        if self._descriptor is None:
            whole = self.path.joinpath(*parts)
            if whole.resolve() != whole:
                raise ValueError("a link")
            return open_no_link(str(whole))
        folder = os.dup(self._descriptor)
        try:
            for part in parts[:-1]:
                inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
                os.close(folder)
                folder = inner
            return open_no_link(parts[-1], folder)
        finally:
            os.close(folder)


def _refused_file(name: str, why: str) -> SpecError:
    return SpecError(f"{shortly(name)}: {why}. Name a file under the folder of this server.")
