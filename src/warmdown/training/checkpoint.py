"""A checkpoint on disk: a folder that is whole or not there, with a checksum for every file.

::

    checkpoints/
    ├── update-00000300/
    │   ├── manifest.json        size and SHA-256 of every other file, and of itself
    │   ├── training.json        where the run is: position, plan, events, metrics
    │   ├── model.safetensors    weights and buffers
    │   ├── optimizer.pt         read with weights_only
    │   └── extras.pt            random numbers, callbacks, scaler; read with weights_only
    └── update-00000400/

A checkpoint is written under a hidden name, flushed to the disk, and renamed: a kill at any moment
leaves the one before.
"""

from __future__ import annotations

__all__ = ["Checkpoints", "UnknownFormat", "Writer", "digest_of_file", "verify", "write_folder"]

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from warmdown.errors import StateError, TrainingError
from warmdown.files import require_writable
from warmdown.system import remove_folder, rename_path, sync_file, sync_folder

Writer = Callable[[Path], object]
"""Writes one file of a checkpoint at the path that it is given."""

_FORMAT = 1
_MANIFEST = "manifest.json"
_NAME = re.compile(r"update-(\d+)")
_UNFINISHED = re.compile(r"\.update-\d+\.(writing|leaving)")
_WAY_OUT = "Resume from the checkpoint before it."


class UnknownFormat(StateError):
    """A checkpoint was written by another version of warmdown."""


class Checkpoints:
    """The checkpoints of one run in one folder.

    Args:
        folder: Where they lie; made when it is missing.
        keep: How many of the newest to keep, or ``None`` for all.

    Raises:
        TrainingError: ``keep`` is less than 1.
    """

    def __init__(self, folder: str | Path, keep: int | None = None) -> None:
        self.folder = Path(folder)
        self.keep = keep
        self.safe_until: int | None = None
        """Where set, the newest checkpoint of an update up to this one is kept, too, and the oldest
        after it, which takes its place."""
        if keep is not None and keep < 1:
            raise TrainingError(
                f"checkpoints(keep={keep}): at least 1 is kept. Give None to keep all."
            )

    def __repr__(self) -> str:
        keep = "" if self.keep is None else f", keep={self.keep}"
        return f"Checkpoints({str(self.folder)!r}{keep})"

    def open(self) -> None:
        """Make the folder, and clear away what a kill left half-written.

        Raises:
            TrainingError: The folder cannot be written.
        """
        require_writable(self.folder, f"checkpoints(folder='{self.folder}')")
        for left in self.folder.iterdir():
            if not _UNFINISHED.fullmatch(left.name):
                continue
            place = left.with_name(left.name.split(".")[1])
            # a kill may have come between two renames: then the old one is the only one
            if left.suffix == ".leaving" and not place.exists() and damage_of(left) is None:
                rename_path(left, place)
            else:
                remove_folder(left)

    def save(self, update: int, files: Mapping[str, Writer]) -> Path:
        """Write the checkpoint of ``update``, and remove the oldest ones.

        Raises:
            TrainingError: It could not be written; what was there is untouched.
        """
        path = self.path(update)
        try:
            write_folder(path, files)
        except Exception as error:  # each library has its own class for a full disk
            there = self.all()
            last = f"The last good one is {there[-1]}." if there else "There is none before it."
            raise TrainingError(
                f"checkpoint(update={update}): could not be written to {self.folder}: {error}. "
                f"{last} Make room or give another folder, then resume."
            ) from error
        if self.keep is not None:
            made = self.updates()
            for old in made[: -self.keep]:
                if old not in self._spared(made):
                    _remove(self.path(old))
        return path

    def remove_after(self, update: int, last: int) -> None:
        """Remove the checkpoints of the updates after ``update`` up to ``last``, newest first."""
        for made in reversed(self.updates()):
            if update < made <= last:
                _remove(self.path(made))

    def _spared(self, made: list[int]) -> list[int]:
        if self.safe_until is None:
            return []
        older = [update for update in made if update <= self.safe_until]
        return older[-1:] + made[len(older) : len(older) + 1]

    def path(self, update: int) -> Path:
        """Return where the checkpoint of ``update`` lies."""
        return self.folder / f"update-{update:08d}"

    def all(self) -> list[Path]:
        """Return every checkpoint, good or damaged, oldest first."""
        if not self.folder.is_dir():
            return []
        return sorted(path for path in self.folder.iterdir() if _NAME.fullmatch(path.name))

    def updates(self) -> list[int]:
        """Return the updates of every checkpoint, good or damaged, oldest first."""
        return [int(path.name.removeprefix("update-")) for path in self.all()]

    def newest_good(self) -> tuple[Path | None, list[str]]:
        """Return the newest checkpoint that is whole, and what is wrong with each newer one.

        Raises:
            UnknownFormat: Another version has written a newer one: it is not damaged, and not
                passed over.
        """
        damages: list[str] = []
        for path in reversed(self.all()):
            damage = damage_of(path)
            if damage is None:
                return path, damages
            damages.append(damage)
        return None, damages


def find_checkpoint(path: Path, report: Callable[[str], object]) -> Path:
    """Return the checkpoint that ``path`` means: itself, or the newest good one in it.

    Raises:
        StateError: It is damaged; the message names the file, and the one before it that is good.
        TrainingError: There is none.
    """
    if not (path / _MANIFEST).exists() and not path.name.startswith("update-"):
        newest, damages = Checkpoints(path).newest_good()
        for damage in damages:
            report(damage)
        if newest is None:
            raise TrainingError(
                f"resume_from='{path}': there is no good checkpoint. Leave it out to begin a new "
                f"run."
            )
        return newest
    found = damage_of(path)
    if found is None:
        return path
    for other in reversed(Checkpoints(path.parent).all()):
        if other.name < path.name and damage_of(other) is None:
            raise StateError(f"{found} {other} is good.")
    raise StateError(f"{found} There is no good one before it.")


def write_folder(path: Path, files: Mapping[str, Writer]) -> None:
    """Write a folder of files with a manifest, so that it is either whole or not there.

    What was there under that name before is replaced.

    Raises:
        OSError: There is no room, or no right.
    """
    fresh = path.with_name(f".{path.name}.writing")
    remove_folder(fresh)
    try:
        fresh.mkdir(parents=True)
        for name, write in files.items():
            write(fresh / name)
            sync_file(fresh / name)
        _write_manifest(fresh, files)
        sync_folder(fresh)
        old = _hide(path) if path.exists() else None
        rename_path(fresh, path)
    except BaseException:
        remove_folder(fresh)
        raise
    if old is not None:
        remove_folder(old)
    # the rename itself lies in the folder above
    sync_folder(path.parent)


def verify(path: Path, only: str | None = None) -> dict[str, str]:
    """Read every file of a checkpoint against its manifest; return the digests by name.

    Args:
        path: The checkpoint.
        only: Read this file alone.

    Raises:
        StateError: A file is missing, cut short or changed; the message names it.
    """
    manifest = _read_manifest(path)
    for name, (size, digest) in manifest.items():
        if only not in (None, name):
            continue
        file = path / name
        if not file.is_file():
            damage = "is missing"
        elif (found := file.stat().st_size) != size:
            damage = f"has {found} bytes and had {size} when saved"
        elif digest_of_file(file) != digest:
            damage = "is damaged: its SHA-256 is not the one it was saved with"
        else:
            continue
        raise StateError(f"{path}: {name} {damage}. {_WAY_OUT}")
    return {name: digest for name, (_, digest) in manifest.items()}


def damage_of(path: Path, only: str | None = None) -> str | None:
    """Return what is wrong with a checkpoint, or ``None`` where all of it can be read.

    Args:
        path: The checkpoint.
        only: Read this file alone.

    Raises:
        UnknownFormat: Another version has written it: that is no damage.
    """
    try:
        verify(path, only)
    except UnknownFormat:
        raise
    except StateError as damage:
        return str(damage)
    return None


def digest_of_file(file: Path) -> str:
    """Return the SHA-256 of a file as hexadecimal digits."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _write_manifest(folder: Path, names: Iterable[str]) -> None:
    files = {
        name: [(folder / name).stat().st_size, digest_of_file(folder / name)] for name in names
    }
    manifest: dict[str, Any] = {"format": _FORMAT, "files": files}
    manifest["sha256"] = _digest_of_manifest(manifest)
    text = json.dumps(manifest, indent=1)
    (folder / _MANIFEST).write_text(text, encoding="utf-8", newline="\n")
    sync_file(folder / _MANIFEST)


def _read_manifest(path: Path) -> dict[str, tuple[int, str]]:
    try:
        manifest = json.loads((path / _MANIFEST).read_text(encoding="utf-8"))
        digest = manifest.pop("sha256")
        version = manifest.get("format")
        files = {name: (size, sha256) for name, (size, sha256) in manifest["files"].items()}
        if digest != _digest_of_manifest(manifest) or not all(map(_is_file_name, files)):
            raise ValueError
    except FileNotFoundError:
        raise StateError(f"{path}: no checkpoint, for it has no {_MANIFEST}. {_WAY_OUT}") from None
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        raise StateError(f"{path}: {_MANIFEST} is damaged. {_WAY_OUT}") from None
    if version != _FORMAT:
        raise UnknownFormat(
            f"{path}: written in format {version}, and this version reads {_FORMAT}. "
            f"Upgrade warmdown."
        )
    return files


def _is_file_name(name: str) -> bool:
    """Return whether a name is that of a file beside the manifest, and no path to elsewhere."""
    return name == Path(name).name and name != ".."


def _digest_of_manifest(manifest: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def _remove(path: Path) -> None:
    # first renamed: a kill meanwhile must not leave half a checkpoint under its name
    remove_folder(_hide(path))


def _hide(path: Path) -> Path:
    """Rename a checkpoint that is to go; return its name until then."""
    leaving = path.with_name(f".{path.name}.leaving")
    remove_folder(leaving)
    rename_path(path, leaving)
    return leaving
