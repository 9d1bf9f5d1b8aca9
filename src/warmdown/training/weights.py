"""Weights as a file and as a fingerprint."""

from __future__ import annotations

__all__ = ["digest_of_weights", "read_pickled", "read_weights", "write_weights"]

import hashlib
import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from warmdown.errors import MissingExtra, StateError

_SAME = "same_as"


def write_weights(path: Path, weights: Mapping[str, torch.Tensor]) -> None:
    """Write tensors as safetensors; a tensor that has two names is written once."""
    unique, same = _without_twins(weights)
    _safetensors().torch.save_file(unique, path, metadata={_SAME: json.dumps(same)})


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Read what :func:`write_weights` wrote.

    Raises:
        StateError: It is no safetensors file.
    """
    library = _safetensors()
    try:
        with library.safe_open(path, framework="pt") as file:
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
            same = json.loads((file.metadata() or {}).get(_SAME, "{}"))
        return weights | {twin: weights[name] for twin, name in same.items()}
    except (
        library.SafetensorError,
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        RecursionError,
    ) as error:
        raise StateError(f"{path}: not a file of weights: {error}. Give another one.") from None


def read_pickled(path: Path) -> Any:
    """Read tensors and plain data that ``torch.save`` wrote; nothing else is made of a file, and no code is run.

    Raises:
        StateError: It cannot be read, or holds other things.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:  # torch's own message names the way to run what is in the file
        raise StateError(
            f"{path}: damaged, or holds more than tensors and plain data. What else a file holds "
            f"can run code when it "
            "is read, so it was not. Give another one."
        ) from None
    except Exception as error:  # a damaged pickle fails in as many ways as it has instructions
        raise StateError(
            f"{path}: not a checkpoint that can be read: {error}. Give another one."
        ) from None


def digest_of_weights(weights: Mapping[str, torch.Tensor] | torch.nn.Module) -> str:
    """Return a SHA-256 over names, types, shapes and bytes, equal when all weights and buffers are equal bit for bit.

    Example:
        >>> import torch
        >>> from warmdown.training import digest_of_weights
        >>> digest_of_weights({"w": torch.zeros(3)})[:8]
        'c41c5414'
    """
    tensors = weights.state_dict() if isinstance(weights, torch.nn.Module) else weights
    digest = hashlib.sha256()
    for name in sorted(tensors):
        if not isinstance(tensors[name], torch.Tensor):
            continue
        tensor = _whole(tensors[name].detach()).cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _whole(tensor: torch.Tensor) -> torch.Tensor:
    """Return the tensor, gathered where it lies in pieces on many processes; all of them ask then."""
    whole: torch.Tensor = tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
    return whole


def _without_twins(
    weights: Mapping[str, torch.Tensor],
) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Return each stored tensor once, in memory of its own, and the other names of each."""
    first: dict[Any, str] = {}
    unique: dict[str, torch.Tensor] = {}
    same: dict[str, str] = {}
    storages: set[int] = set()
    for name, tensor in weights.items():
        kind = (
            tensor.untyped_storage().data_ptr(),
            tensor.storage_offset(),
            tensor.shape,
            tensor.stride(),
        )
        if tensor.numel() and kind in first:
            same[name] = first[kind]
            continue
        first[kind] = name
        overlaps = kind[0] in storages
        storages.add(kind[0])
        unique[name] = (
            tensor.detach().clone().contiguous() if overlaps else tensor.detach().contiguous()
        )
    return unique, same


def _safetensors() -> Any:
    try:
        import safetensors
        import safetensors.torch
    except ImportError:
        raise MissingExtra("checkpoints", "safetensors", "train") from None
    return safetensors
