"""A checkpoint on disk: a folder that is whole or not there, with a checksum for every file.

::

    checkpoints/ ├── update-00000300/ │   ├── manifest.json        size and SHA-256 of every other
    file, and of itself │   ├── training.json        where the run is: position, plan, events,
    metrics │   ├── model.safetensors    weights and buffers │   ├── optimizer.pt         read with
    weights_only │   └── rest.pt              random numbers of every rank, callbacks, scaler; read
    with weights_only └── update-00000400/

A checkpoint is written under a hidden name, flushed to the disk, and renamed: a kill at any moment
leaves the one before.
"""

from __future__ import annotations

__all__ = ["Checkpoints", "UnknownFormat", "Writer", "digest_of_file", "verify", "write_folder"]

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from warmdown.errors import StateError, TrainingError
from warmdown.files import require_writable

Writer = Callable[[Path], None]
"""Writes one file of a checkpoint at the path it is given."""

_FORMAT = 1
_MANIFEST = "manifest.json"
_NAME = re.compile(r"update-(\d+)")
_UNFINISHED = re.compile(r"\.update-\d+\.(writing|leaving)")
_BLOCK = 1 << 20


class UnknownFormat(StateError):
    """A checkpoint was written by another version of warmdown."""


class Checkpoints:
    """The checkpoints of one run in one folder.

    Args:
        folder: Where they lie; made when it is missing.
        keep: How many of the newest to keep, or ``None`` for all.

    Raises:
        TrainingError: The folder cannot be written, or ``keep`` is less than 1.
    """

    def __init__(self, folder: str | Path, keep: int | None = None) -> None:
        self.folder = Path(folder)
        self.keep = keep
        if keep is not None and keep < 1:
            raise TrainingError(
                f"checkpoints(keep={keep}): at least 1 is kept. Give None to keep all."
            )

    def open(self) -> None:
        """Make the folder, and clear away what a kill left half-written.

        Raises:
            TrainingError: The folder cannot be written.
        """
        require_writable(self.folder, f"checkpoints(folder='{self.folder}')")
        self._tidy()

    def save(self, update: int, files: Mapping[str, Writer]) -> Path:
        """Write the checkpoint of ``update`` and let the oldest go.

        Raises:
            TrainingError: It could not be written; what was there is untouched.
        """
        path = self.path(update)
        try:
            write_folder(path, files)
        except Exception as error:  # each library has its own class for a full disk
            last = (
                f"The last good one is {self.all()[-1]}."
                if self.all()
                else "There is none before it."
            )
            raise TrainingError(
                f"checkpoint(update={update}): could not be written to {self.folder}: {error}. "
                f"{last} Make room or give another folder, then resume."
            ) from error
        self._let_go()
        return path

    def path(self, update: int) -> Path:
        """Return where the checkpoint of ``update`` lies."""
        return self.folder / f"update-{update:08d}"

    def all(self) -> list[Path]:
        """Return every checkpoint, good or damaged, oldest first."""
        if not self.folder.is_dir():
            return []
        return sorted(path for path in self.folder.iterdir() if _NAME.fullmatch(path.name))

    def newest_good(self) -> tuple[Path | None, list[str]]:
        """Return the newest checkpoint that is whole, and what is wrong with each newer one.

        Raises:
            UnknownFormat: Another version has written a newer one: it is not damaged, and not
                passed over.
        """
        damages: list[str] = []
        for path in reversed(self.all()):
            try:
                verify(path)
            except UnknownFormat:
                raise
            except StateError as damage:
                damages.append(str(damage))
            else:
                return path, damages
        return None, damages

    def _tidy(self) -> None:
        """Clear away what a kill left half-done; put back what it caught between two names."""
        for left in self.folder.iterdir():
            if not _UNFINISHED.fullmatch(left.name):
                continue
            place = left.with_name(left.name.split(".")[1])
            if left.suffix == ".leaving" and not place.exists() and _is_whole(left):
                left.rename(place)
            else:
                shutil.rmtree(left, ignore_errors=True)

    def _let_go(self) -> None:
        if self.keep is not None:
            for old in self.all()[: -self.keep]:
                leaving = old.with_name(f".{old.name}.leaving")
                old.rename(
                    leaving
                )  # first: a kill while files go must not leave half a checkpoint under its name
                shutil.rmtree(leaving, ignore_errors=True)


def write_folder(path: Path, files: Mapping[str, Writer]) -> None:
    """Write a folder of files with a manifest, so that it is either whole or not there.

    What was there under that name before is replaced.

    Raises:
        OSError: There is no room, or no right.
    """
    fresh = path.with_name(f".{path.name}.writing")
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        fresh.mkdir(parents=True)
        for name, write in files.items():
            write(fresh / name)
            _to_disk(fresh / name)
        _write_manifest(fresh, files)
        _to_disk(fresh)
        _put_in_place(fresh, path)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise


def verify(path: Path) -> dict[str, str]:
    """Read every file of a checkpoint against its manifest; return the digests by name.

    Raises:
        StateError: A file is missing, cut short or changed; the message names it.
    """
    manifest = _read_manifest(path)
    for name, (size, digest) in manifest.items():
        file = path / name
        if not file.is_file():
            raise StateError(f"{path}: {name} is missing. {_WAY_OUT}")
        if file.stat().st_size != size:
            raise StateError(
                f"{path}: {name} has {file.stat().st_size} bytes and had {size} when "
                f"saved. {_WAY_OUT}"
            )
        if digest_of_file(file) != digest:
            raise StateError(
                f"{path}: {name} is damaged: its SHA-256 is not the one it was saved "
                f"with. {_WAY_OUT}"
            )
    return {name: digest for name, (_, digest) in manifest.items()}


def _is_whole(path: Path) -> bool:
    try:
        verify(path)
    except StateError:
        return False
    return True


_WAY_OUT = "Resume from the checkpoint before it."


def digest_of_file(file: Path) -> str:
    """Return the SHA-256 of a file as hexadecimal digits."""
    digest = hashlib.sha256()
    with file.open("rb") as content:
        while block := content.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _write_manifest(folder: Path, files: Mapping[str, Writer]) -> None:
    listed = {
        name: [(folder / name).stat().st_size, digest_of_file(folder / name)] for name in files
    }
    manifest: dict[str, Any] = {"format": _FORMAT, "files": listed}
    manifest["sha256"] = _digest_of_manifest(manifest)
    (folder / _MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
    _to_disk(folder / _MANIFEST)


def _read_manifest(path: Path) -> dict[str, tuple[int, str]]:
    try:
        manifest = json.loads((path / _MANIFEST).read_text(encoding="utf-8"))
        digest, found = manifest.pop("sha256"), manifest.get("format")
        files = {
            name: (size, file_digest) for name, (size, file_digest) in manifest["files"].items()
        }
        intact = digest == _digest_of_manifest(manifest) and all(map(_is_plain, files))
    except FileNotFoundError:
        raise StateError(f"{path}: no checkpoint, for it has no {_MANIFEST}. {_WAY_OUT}") from None
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        intact, found, files = False, _FORMAT, {}
    if not intact:
        raise StateError(f"{path}: {_MANIFEST} is damaged. {_WAY_OUT}")
    if found != _FORMAT:
        raise UnknownFormat(
            f"{path}: written in format {found}, and this version reads {_FORMAT}. "
            f"Upgrade warmdown."
        )
    return files


def _is_plain(name: str) -> bool:
    """Whether a name is that of a file beside the manifest, and no path to elsewhere."""
    return name == Path(name).name and name != ".."


def _digest_of_manifest(manifest: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def _put_in_place(fresh: Path, path: Path) -> None:
    if path.exists():
        leaving = path.with_name(f".{path.name}.leaving")
        shutil.rmtree(leaving, ignore_errors=True)
        path.rename(leaving)
        fresh.rename(path)
        shutil.rmtree(leaving, ignore_errors=True)
    else:
        fresh.rename(path)
    _to_disk(path.parent)


def _to_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
