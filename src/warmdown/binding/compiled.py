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

    Traced, a step would be compiled again at nearly each of its values. It is marked, not wrapped:
    ``torch.compiler.disable`` would make each uncompiled step several times as expensive. A
    torch that does not know the marks traces it; the values are the same.
    """
    vars(function)["_torchdynamo_disable"] = True
    if KNOWS_MARKS:
        skip = _FRAMES._FrameAction.SKIP
        strategy = _FRAMES._FrameExecStrategy(skip, skip)
        _FRAMES.set_code_exec_strategy(function.__code__, strategy)
    return function


def leave_hook_uncompiled(hook: _Function) -> _Function:
    """Let a hook stay out of compiled updates, whose graph would run it no more.

    Here a torch that does not know the marks needs the wrapper.
    """
    if KNOWS_MARKS:
        return leave_uncompiled(hook)
    disable: Any = torch.compiler.disable
    wrapped: _Function = disable(hook)
    return wrapped
