"""Rates and betas as tensors, which a compiled or captured step follows."""

from __future__ import annotations

__all__ = ["as_tensors"]

from typing import Any

import torch

from warmdown.binding.field import Field
from warmdown.binding.slots import Group
from warmdown.errors import BindingError


def as_tensors(optimizer: Any, *names: str) -> None:
    """Turn rates and betas into 0-d tensors, so that a compiled step follows them without compiling anew.

    Args:
        optimizer: A torch optimizer; call this before the step is compiled.
        names: ``lr``, ``betas[0]``, ``momentum`` where it means ``betas[0]``; both betas are turned
            together.

    Raises:
        BindingError: The field is one that compiled code reads as a Python number.

    Example:
        >>> import torch
        >>> optimizer = torch.optim.AdamW(torch.nn.Linear(2, 2).parameters(), lr=0.1)
        >>> as_tensors(optimizer, "lr", "betas[0]")
        >>> optimizer.param_groups[0]["lr"]
        tensor(0.1000)
    """
    for name in names:
        for slot in Field(optimizer, name).slots:
            if slot.key not in ("lr", "betas"):
                raise BindingError(
                    f"as_tensors({name!r}): torch's optimizers read {slot.key!r} as a Python "
                    f"number; a tensor breaks "
                    "the compiled step. Leave it a float."
                )
            held = slot.group[slot.key]
            turned = [
                _as_tensor(value, slot.group)
                for value in (held if isinstance(held, tuple) else [held])
            ]
            slot.group[slot.key] = tuple(turned) if isinstance(held, tuple) else turned[0]


def _as_tensor(value: Any, group: Group) -> torch.Tensor:
    if isinstance(value, torch.Tensor):
        return value
    on_device = group.get("capturable") or group.get("fused")
    return torch.tensor(
        float(value), device=group["params"][0].device if on_device and group["params"] else None
    )
