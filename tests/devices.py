"""A double of a device that has no doubles, as Apple's mps."""

from __future__ import annotations

from typing import Any

import torch
from torch.overrides import TorchFunctionMode


class WithoutDoubles(TorchFunctionMode):
    """Lets the meta device refuse doubles in the words of mps."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        if isinstance(made, torch.Tensor) and made.is_meta and made.dtype == torch.float64:
            raise TypeError("Cannot convert a MPS Tensor to float64 dtype as the MPS framework")
        return made
