"""What a compiled training step does with a scheduler's methods: it calls them as they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch

_Function = TypeVar("_Function", bound=Callable[..., Any])
_FRAMES: Any = getattr(getattr(torch._C, "_dynamo", None), "eval_frame", None)
KNOWS_MARKS = hasattr(_FRAMES, "set_code_exec_strategy")
"""Whether this torch follows a mark that a function carries."""


def leave_uncompiled(function: _Function) -> _Function:
    """Let ``torch.compile`` neither trace a function nor what it calls.

    Traced, a step would be compiled again at nearly each of its values, and a hook would run once.
    It is marked, not wrapped: ``torch.compiler.disable`` would make each uncompiled step several
    times as expensive. A torch that does not know the marks needs the wrapper.
    """
    if not KNOWS_MARKS:
        disable: Any = torch.compiler.disable
        wrapped: _Function = disable(function)
        return wrapped
    vars(function)["_torchdynamo_disable"] = True
    skip = _FRAMES._FrameAction.SKIP
    _FRAMES.set_code_exec_strategy(function.__code__, _FRAMES._FrameExecStrategy(skip, skip))
    return function
