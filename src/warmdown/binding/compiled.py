"""What a compiled training step does with a scheduler's methods: it calls them as they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch

_Function = TypeVar("_Function", bound=Callable[..., Any])


def leave_uncompiled(function: _Function) -> _Function:
    """Let ``torch.compile`` neither trace a function nor what it calls.

    Traced, a step would be compiled again at nearly each of its values. It is marked, not wrapped:
    ``torch.compiler.disable`` would make each uncompiled step several times as expensive. A
    torch that does not know the marks traces it; the values are the same.
    """
    vars(function)["_torchdynamo_disable"] = True
    frames: Any = getattr(getattr(torch._C, "_dynamo", None), "eval_frame", None)
    if hasattr(frames, "set_code_exec_strategy"):
        skip = frames._FrameAction.SKIP
        frames.set_code_exec_strategy(function.__code__, frames._FrameExecStrategy(skip, skip))
    return function
