"""A cooldown without cooling: the mean of a trunk's checkpoints that stands for a decay."""

from __future__ import annotations

__all__ = ["MergedWeights", "merge_checkpoints"]

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch

from warmdown.errors import StateError, TrainingError, nearest
from warmdown.forecast.weights import shares_of_checkpoints
from warmdown.formatting import count
from warmdown.run import Run
from warmdown.schedules import Schedule
from warmdown.schedules.recipes.shapes import SHAPES, curve_of
from warmdown.shown import brief
from warmdown.training.checkpoint import Checkpoints, damage_of
from warmdown.training.types import Data, FilePath
from warmdown.training.weights import (
    Weights,
    read_pickled,
    read_weights,
    without_aliases,
    write_portable,
)

Sources: TypeAlias = "FilePath | Iterable[FilePath] | Mapping[int, FilePath]"

WEIGHTS_FILE = "model.safetensors"
_WEIGHTS = (WEIGHTS_FILE, "pytorch_model.bin")
"""What a folder may have its weights in: ours, and those of transformers."""
_ENDINGS = (".safetensors", ".pt", ".pth", ".bin", ".ckpt")
_KEYS = ("model_state_dict", "state_dict", "model")
_COUNTED = re.compile(r"(?:update|step|iter\w*|ckpt|checkpoint)[-_=]?(\d+)", re.IGNORECASE)
_FORM = 'Give a shape and its length, such as "1-sqrt 10%", or a curve: Sqrt(steps=500).'


@dataclass(frozen=True, kw_only=True, eq=False)
class MergedWeights:
    """The mean of checkpoints, and what it stands for.

    Args:
        weights: Tensors by name, in the kinds that the checkpoints have. Integers, and other
            tensors that have no mean, are those of the last checkpoint.
        start: First update of the curve.
        stop: Updates that the last checkpoint has made: there the decay ends.
        shares: Share of each checkpoint, by the updates that it has made.
        error: Root mean square of the difference between the curve and what the shares stand for,
            as a share of the trunk's rate; 0 with a checkpoint after each update.
    """

    weights: dict[str, torch.Tensor]
    start: int
    stop: int
    shares: dict[int, float]
    error: float

    __repr__ = brief

    def __str__(self) -> str:
        first = count(min(self.shares))
        return (
            f"A decay over the updates {count(self.start)} to {count(self.stop)}, as a mean of "
            f"{len(self.shares)} checkpoints from {first} on, which follow its curve to within "
            f"{self.error:.2%} of the rate (root mean square)."
        )

    def save(self, path: FilePath) -> None:
        """Write the weights as a whole file, or not at all.

        Args:
            path: Ends in ``.safetensors`` (weights alone) or in anything else, which is what
                :meth:`Trainer.load_checkpoint` reads.
        """
        write_portable(Path(path), {"model_state_dict": self.weights})

    def to_dict(self) -> Data:
        """Return everything but the weights as plain data."""
        shares = [{"update": update, "share": share} for update, share in self.shares.items()]
        return {"start": self.start, "stop": self.stop, "error": self.error, "shares": shares}


def merge_checkpoints(
    checkpoints: Sources,
    decay: Schedule | str = "1-sqrt 10%",
    *,
    at: int | None = None,
    in_float64: bool = False,
) -> MergedWeights:
    r"""Return the weights that a decay would have left, as a mean of the trunk's checkpoints.

    .. math:: \theta = \sum_i (d_{i-1} - d_i)\, \theta_i

    With SGD and gradients that do not depend on the weights, and a checkpoint after each update,
    that is exact. In a real training it stands for a decay; ``error`` is what fewer checkpoints
    make of its curve. Two models are in memory: the mean, and one that is read. Statistics of
    batch norms are averaged like weights; ``torch.optim.swa_utils.update_bn`` computes them again.

    Args:
        checkpoints: A folder of them (of a run, of transformers, or of files with the number of
            updates in their names), some paths, or paths by the updates that were made.
        decay: A shape and its length, as ``"1-sqrt 10%"``, or a curve from 1 that multiplies the
            rates of the last updates. A share is of the updates made up to ``at``.
        at: Updates of the checkpoint with which the decay ends; the newest by default.
        in_float64: Whether sums are kept in double precision, which takes twice the memory; sums
            of half precision are kept in single precision anyway.

    Raises:
        TrainingError: There are no checkpoints, too few for the decay, or none at ``at``.
        StateError: A checkpoint is damaged, holds no weights, or those of another model.
        ScheduleError: There is no such shape, or the curve has no length.

    Example:
        >>> import torch, warmdown as wd
        >>> for update in range(1, 5):
        ...     torch.save({"w": torch.tensor(float(update))}, f"step_{update}.pt")
        >>> merged = wd.merge_checkpoints(".", "linear 4", at=4)
        >>> merged.weights["w"], merged.error
        (tensor(2.5000), 0.0)

    Reference: Tian et al. 2025, https://arxiv.org/abs/2507.17634.
    """
    paths = checkpoints_in(checkpoints)
    stop = max(paths) if at is None else at
    if stop not in paths:
        known = nearest(str(stop), map(str, paths))
        raise TrainingError(
            f"merge_checkpoints(at={stop}): there is no checkpoint of that update. {known}"
        )
    readers = {update: partial(weights_in, path) for update, path in paths.items()}
    curve = curve_to_merge(decay, stop)
    merged = merge_weights(readers, curve, stop, in_float64=in_float64)
    if merged is None:
        oldest = min(paths)
        raise TrainingError(
            f"merge_checkpoints(decay={decay!s:.60}): it begins after update "
            f"{stop - (curve.length or 0)} of {stop}, and the oldest checkpoint is of update "
            f"{oldest}. Keep more of them, or give a decay of at most {stop - oldest} updates."
        )
    return merged


def merge_weights(
    readers: Mapping[int, Callable[[], Weights]],
    curve: Schedule,
    stop: int,
    *,
    in_float64: bool = False,
) -> MergedWeights | None:
    """Return the mean that stands for a curve; ``None`` where checkpoints do not reach back.

    Args:
        readers: What reads the weights of a checkpoint, by the updates that it has made.
        curve: The decay, with a length.
        stop: The checkpoint with which it ends.
        in_float64: Whether sums are kept in double precision.
    """
    length = curve.length or 0
    steps = sorted(update for update in readers if update <= stop)
    found = shares_of_checkpoints(np.asarray(curve(np.arange(length))), steps)
    if found is None:
        return None
    pairs = zip(found.steps, found.shares.tolist(), strict=True)
    shares = {step: share for step, share in pairs if share or step == stop}
    mean = _Mean(in_float64)
    for step, share in shares.items():
        mean.add(step, readers[step](), share)
    return MergedWeights(
        weights=mean.result(), start=stop - length, stop=stop, shares=shares, error=found.error
    )


def curve_to_merge(decay: Schedule | str, stop: int, who: str = "merge_checkpoints") -> Schedule:
    """Return a decay with its length in updates, of a run that ends at ``stop``.

    Raises:
        ScheduleError: There is no such shape, or the curve has no length.
        TrainingError: It is neither a text nor a curve, or longer than the run.
    """
    run = Run(total_steps=max(stop, 1))
    if isinstance(decay, str):
        shape, _, length = decay.strip().rpartition(" ")
        if not shape and length in SHAPES:
            raise TrainingError(f"{who}(decay={decay!r}): it has no length. {_FORM}")
        shape_of = curve_of(shape.strip())
        steps = run.measure(length, who=f"{who}(decay={decay!r})")
        if not steps:
            raise TrainingError(
                f"{who}(decay={decay!r}): that is no update of {stop}. Give a longer one."
            )
        return shape_of(1.0, 0.0, steps).over(run)
    if not isinstance(decay, Schedule):
        raise TrainingError(f"{who}(decay={decay!r:.60}): no curve. {_FORM}")
    curve = decay.over(run)
    if not curve.length:
        raise TrainingError(f"{who}(decay={decay!s:.60}): it has no length. {_FORM}")
    if curve.length > stop:
        raise TrainingError(
            f"{who}(decay={decay!s:.60}): it has {curve.length} updates, and {stop} were made. "
            f"Give a shorter one."
        )
    return curve


def checkpoints_in(given: Sources) -> dict[int, Path]:
    """Return the path of each checkpoint by the updates that it has made, oldest first.

    Raises:
        TrainingError: There is none, or it is not known how many updates one has made.
    """
    if isinstance(given, Mapping):
        found = [(update, Path(path)) for update, path in given.items()]
    else:
        is_one = isinstance(given, str) or not isinstance(given, Iterable)
        paths = _listed(Path(given)) if is_one else list(map(Path, given))  # type: ignore[arg-type]
        found = [(_updates_of(path), path) for path in paths]
    if not found:
        raise TrainingError(
            f"merge_checkpoints({given!s:.100}): there is no checkpoint. Give the folder of a "
            f"run's checkpoints, files with the number of updates in their names, or a mapping: "
            f"{{500: 'a.pt', 600: 'b.pt'}}."
        )
    paths_by_update: dict[int, Path] = {}
    for update, path in sorted(found):
        if update in paths_by_update:
            raise TrainingError(
                f"merge_checkpoints: {paths_by_update[update]} and {path} both seem to be of "
                f"update {update}. Give a mapping from updates to paths."
            )
        paths_by_update[update] = path
    return paths_by_update


def _listed(folder: Path) -> list[Path]:
    """Return what a folder has in checkpoints: those of a run, or all that have numbers."""
    for place in (folder, folder / "checkpoints"):
        if ours := Checkpoints(place).all():
            return ours
    if not folder.is_dir():
        return []
    return [
        path
        for path in folder.iterdir()
        if not path.name.startswith(".")
        and re.search(r"\d", path.stem)
        and (path.suffix in _ENDINGS or any((path / name).is_file() for name in _WEIGHTS))
    ]


def _updates_of(path: Path) -> int:
    name = path.parent.name if path.name in _WEIGHTS else path.name
    numbers = _COUNTED.findall(name) or re.findall(r"\d+", Path(name).stem)
    if not numbers:
        raise TrainingError(
            f"merge_checkpoints({path}): its name has no number of updates. Give a mapping: "
            f"{{500: {str(path)!r}, …}}."
        )
    return int(numbers[-1])


def weights_in(path: Path) -> Weights:
    """Return the tensors of a checkpoint: a folder of ours or of transformers, or one file.

    Raises:
        StateError: It is damaged, or holds no weights.
    """
    if (path / "manifest.json").exists() and (damage := damage_of(path, WEIGHTS_FILE)):
        raise StateError(f"{damage} To merge without it, name the others.")
    file = next((path / name for name in _WEIGHTS if (path / name).is_file()), path)
    if not file.is_file():
        raise StateError(
            f"{path}: no file of weights, and no folder with {' or '.join(_WEIGHTS)}. Give another."
        )
    if file.suffix == ".safetensors":
        return read_weights(file)
    return _tensors_in(read_pickled(file), file)


def _tensors_in(content: Any, file: Path) -> Weights:
    """Return the weights among what a file of torch holds, by the names that are usual."""
    if isinstance(content, Mapping):
        parts = (content[key] for key in _KEYS if isinstance(content.get(key), Mapping))
        inner = next(parts, content)
        weights = {name: one for name, one in inner.items() if isinstance(one, torch.Tensor)}
        if weights:
            return weights
    raise StateError(
        f"{file}: it holds no tensors by name, nor {', '.join(map(repr, _KEYS))}. Give a file with "
        f"the state of a model."
    )


class _Mean:
    """The sum of models by their shares, as far as they were read.

    Args:
        in_float64: Whether sums are kept in double precision.
    """

    def __init__(self, in_float64: bool) -> None:
        self._widest = torch.float64 if in_float64 else torch.float32
        self._sums: dict[str, torch.Tensor] = {}
        self._whole: dict[str, torch.Tensor] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}

    @torch.no_grad()
    def add(self, step: int, weights: Weights, share: float) -> None:
        """Add a model.

        Raises:
            StateError: It has other names or shapes than the first.
        """
        shapes = {name: tuple(tensor.shape) for name, tensor in weights.items()}
        self._shapes = self._shapes or shapes
        if differing := [
            name for name in shapes | self._shapes if shapes.get(name) != self._shapes.get(name)
        ]:
            name = differing[0]
            more = f", and {len(differing) - 1} more differ" if len(differing) > 1 else ""
            raise StateError(
                f"merge_checkpoints: update {step} is of another model: {name} is "
                f"{shapes.get(name, 'missing')} there, and {self._shapes.get(name, 'missing')} in "
                f"the first checkpoint{more}. Give the checkpoints of one run."
            )
        unique, self._same = without_aliases(weights)
        self._kinds = {name: tensor.dtype for name, tensor in unique.items()}
        self._whole.clear()
        for name, tensor in unique.items():
            if not (tensor.is_floating_point() or tensor.is_complex()):
                self._whole[name] = tensor
                continue
            if name not in self._sums:
                kind = torch.promote_types(tensor.dtype, self._widest)
                self._sums[name] = torch.zeros(tensor.shape, dtype=kind)
            self._sums[name].add_(tensor.to("cpu", self._sums[name].dtype), alpha=share)

    def result(self) -> dict[str, torch.Tensor]:
        """Return the mean; what has none is that of the last model."""
        merged = {
            name: self._whole[name] if name in self._whole else self._sums.pop(name).to(kind)
            for name, kind in self._kinds.items()
        }
        return merged | {alias: merged[name] for alias, name in self._same.items()}
