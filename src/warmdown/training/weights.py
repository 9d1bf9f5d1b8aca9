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

from warmdown.errors import StateError
from warmdown.files import replaced
from warmdown.training.types import Data

Weights = Mapping[str, torch.Tensor]

_SAME = "same_as"


_UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError)
"""What reading a damaged file may raise, beside safetensors' own error."""


def write_weights(path: Path, weights: Weights) -> None:
    """Write tensors as safetensors; a tensor that has two names is written once."""
    from safetensors.torch import save_file  # accelerate brings it along

    unique, same = without_aliases(weights)
    save_file(unique, path, metadata={_SAME: json.dumps(same)})


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Read what :func:`write_weights` wrote.

    Raises:
        StateError: It is no safetensors file.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            names = file.keys()  # it is no mapping
            weights = {name: file.get_tensor(name) for name in names}
            same = json.loads((file.metadata() or {}).get(_SAME, "{}"))
        return weights | {alias: weights[name] for alias, name in same.items()}
    except (SafetensorError, *_UNREADABLE) as error:
        raise StateError(f"{path}: not a file of weights: {error}. Give another one.") from None


def read_pickled(path: Path) -> Any:
    """Read tensors and plain data that ``torch.save`` wrote, and nothing else: no code is run.

    Raises:
        StateError: It cannot be read, or holds other things.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:  # torch's own message names the way to run what is in the file
        raise StateError(
            f"{path}: damaged, or holds more than tensors and plain data. What else a file holds "
            "can run code when it is read, so it was not. Give another one."
        ) from None
    except Exception as error:  # a damaged pickle fails in as many ways as it has instructions
        raise StateError(
            f"{path}: not a checkpoint that can be read: {error}. Give another one."
        ) from None


def write_portable(path: Path, content: Data) -> None:
    """Write ``content`` at ``path``; a ``.safetensors`` file takes the weights alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replaced(path) as fresh:
        if path.suffix == ".safetensors":
            write_weights(fresh, content["model_state_dict"])
        else:
            torch.save(content, fresh)


def read_portable(path: Path) -> Data:
    """Read what :func:`write_portable` wrote.

    Raises:
        StateError: It is no such file, or damaged.
    """
    if path.suffix == ".safetensors":
        return {"model_state_dict": read_weights(path)}
    content = read_pickled(path)
    if not isinstance(content, dict) or "model_state_dict" not in content:
        raise StateError(
            f"{path}: no checkpoint, for it has no 'model_state_dict'. Give another one."
        )
    return content


def digest_of_weights(weights: Weights | torch.nn.Module) -> str:
    """Return a SHA-256 over names, types, shapes and bytes: equal when all bits are equal.

    Example:
        >>> import torch
        >>> from warmdown.training import digest_of_weights
        >>> digest_of_weights({"w": torch.zeros(3)})[:8]
        'c41c5414'
    """
    tensors = weights.state_dict() if isinstance(weights, torch.nn.Module) else weights
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        if not isinstance(tensor, torch.Tensor):
            continue
        tensor = tensor.detach()
        if hasattr(tensor, "full_tensor"):  # in pieces on many processes: all of them call this
            tensor = tensor.full_tensor()
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        # as bytes: NumPy has no bfloat16
        flat = tensor.cpu().contiguous().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def without_aliases(weights: Weights) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Return each stored tensor once, in memory of its own, and the other names of each."""
    first: dict[Any, str] = {}
    unique: dict[str, torch.Tensor] = {}
    same: dict[str, str] = {}
    storages: set[int] = set()
    for name, tensor in weights.items():
        storage = tensor.untyped_storage().data_ptr()
        key = (storage, tensor.storage_offset(), tensor.shape, tensor.stride())
        if tensor.numel() and key in first:
            same[name] = first[key]
            continue
        first[key] = name
        tensor = tensor.detach()
        # safetensors refuses two tensors in one piece of memory
        unique[name] = (tensor.clone() if storage in storages else tensor).contiguous()
        storages.add(storage)
    return unique, same
