"""The one folder that the page may read and write: its plan files by name, never a path."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import stat
from pathlib import Path
from typing import TypeAlias, final

from warmdown.errors import SpecError
from warmdown.system import WRITE_FRESH, open_folder, open_no_link, rename_path

_ENDINGS = (".yaml", ".yml", ".json")
_READABLE = (*_ENDINGS, ".toml", ".sh")
"""With those of other programs' configurations, which are never written."""
_NAME = re.compile(
    r"[^\x00-\x1f\x7f-\x9f/\\:\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]{1,120}"
)
"""No path, nothing that turns the order of letters around, and nothing that is no text."""
LARGEST_FILE = 1_000_000
"""Bytes; what reads plans refuses far smaller ones."""
_MOST_FILES = 500


@final
class StaleFile(SpecError):
    """A file that changed on disk since it was opened here."""


Stamp: TypeAlias = str | None
"""Digest of a file's content when it was read or written here; ``None`` where there was none."""


@final
class Folder:
    """The plan files of one folder.

    Args:
        path: The folder; it stays open, so that it stays the same one even when it is moved.
        is_read_only: Whether nothing is written to it.
    """

    def __init__(self, path: str | Path, is_read_only: bool = False) -> None:
        self.path, self.is_read_only = Path(path).resolve(), is_read_only
        self._descriptor = open_folder(self.path)

    @property
    def title(self) -> str:
        """Its name for a person."""
        return self.path.name or str(self.path)

    def close(self) -> None:
        """Let go of the folder."""
        if self._descriptor is not None:
            with contextlib.suppress(OSError):
                os.close(self._descriptor)

    def names(self, endings: tuple[str, ...] = _READABLE) -> list[str]:
        """Return the names of what may be read: regular files, no links."""
        with os.scandir(self.path if self._descriptor is None else self._descriptor) as entries:
            found = [
                e.name
                for e in entries
                if _is_plain_name(e.name, endings) and e.is_file(follow_symlinks=False)
            ]
        return sorted(found, key=str.lower)[:_MOST_FILES]

    def read(
        self, name: str, endings: tuple[str, ...] = _READABLE, largest: int = LARGEST_FILE
    ) -> tuple[str, Stamp]:
        """Return a file's text, and its stamp to tell later whether it changed.

        Args:
            name: Of a plan, or of a file with one of the endings.
            endings: Of what is read.
            largest: Bytes, at most.

        Raises:
            SpecError: The name is no plan file of this folder, or the file is a link, too large, or
                no text.
        """
        content = self._bytes(_plain_name(name, endings), largest)
        if content is None:
            raise SpecError(f"{name}: there is no such file in {self.title}. Open another one.")
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise SpecError(f"{name}: not UTF-8 text. Save it as UTF-8.") from None
        return text, _stamp(content)

    def stamp(self, name: str) -> Stamp:
        """Return what the file holds now.

        Raises:
            SpecError: The name is no plan file of this folder.
        """
        return _stamp(self._bytes(_plain_name(name)))

    def write(self, name: str, text: str, expected: Stamp) -> Stamp:
        """Write a file whole or not at all, if it still holds what was ``expected``, or is gone.

        Raises:
            StaleFile: It changed on disk; ask, and write with the stamp it has now.
            SpecError: The name is no plan file of this folder, or a link, or nothing is written
                here.
        """
        if self.is_read_only:
            raise SpecError(
                f"{name}: this page writes nothing. Copy the text, or start it without --read-only."
            )
        content = text.encode("utf-8")
        if self.stamp(name) not in (None, expected):
            raise StaleFile(
                f"{name}: changed on disk since it was opened here. Overwrite it, or "
                f"use a new name."
            )
        fresh = f".{name}.{secrets.token_hex(8)}.tmp"
        try:
            self._write_fresh(fresh, content, self._rights(name))
            rename_path(self._at(fresh), self._at(name), self._descriptor)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.unlink(self._at(fresh), dir_fd=self._descriptor)
            raise SpecError(
                f"{name}: it cannot be written: {error.strerror}. Choose another name or folder."
            ) from None
        if self._descriptor is not None:
            os.fsync(self._descriptor)
        return _stamp(content)

    def _write_fresh(self, fresh: str, content: bytes, rights: int | None) -> None:
        descriptor = os.open(self._at(fresh), WRITE_FRESH, mode=0o644, dir_fd=self._descriptor)
        with os.fdopen(descriptor, "wb") as file:
            if rights is not None:
                os.chmod(file.fileno() if os.chmod in os.supports_fd else self._at(fresh), rights)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())

    def _rights(self, name: str) -> int | None:
        """Return the rights that a file keeps when it is written; ``None`` when there is none."""
        with contextlib.suppress(FileNotFoundError):
            return (
                os.stat(self._at(name), dir_fd=self._descriptor, follow_symlinks=False).st_mode
                & 0o7777
            )
        return None

    def _at(self, name: str) -> str:
        """Return how a file of the folder is named to the system."""
        return name if self._descriptor is not None else str(self.path / name)

    def _bytes(self, name: str, largest: int = LARGEST_FILE) -> bytes | None:
        """Return what the file holds, or ``None`` when there is none."""
        try:
            # a pipe would wait for its writer: not blocking, it is refused below
            descriptor = open_no_link(self._at(name), self._descriptor)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise SpecError(
                f"{name}: not a file here, or not readable ({error.strerror}). Open another."
            ) from None
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise SpecError(f"{name}: not a file. Open a file of this folder.")
            if status.st_size > largest:
                raise SpecError(
                    f"{name}: {status.st_size:,} bytes are too many here. Open another one."
                )
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                return file.read(largest + 1)
        finally:
            os.close(descriptor)


def _is_plain_name(name: str, endings: tuple[str, ...]) -> bool:
    return (
        name.lower().endswith(endings) and not name.startswith(".") and bool(_NAME.fullmatch(name))
    )


def _plain_name(name: str, endings: tuple[str, ...] = _ENDINGS) -> str:
    if not _is_plain_name(name, endings):
        raise SpecError(
            f"{name[:120]!r}: not a name for a plan file here. Use at most 120 letters, without "
            f"/, \\, : and a dot at the start, and one of the endings {', '.join(endings)}."
        )
    return name


def _stamp(content: bytes | None) -> Stamp:
    return None if content is None else hashlib.sha256(content).hexdigest()
