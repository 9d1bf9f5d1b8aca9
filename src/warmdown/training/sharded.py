"""The state of model and optimizer as one process would have it, also from pieces on many."""

from __future__ import annotations

__all__ = [
    "load_model", "load_optimizer", "model_state", "optimizer_state", "require_same_groups",
    "require_same_model",
]  # fmt: skip

from typing import Any

import torch

from warmdown.binding.field import unwrap
from warmdown.errors import StateError
from warmdown.training.types import Data


def model_state(accelerator: Any, model: torch.nn.Module) -> Data:
    """Return the whole state of the model; of a sharded one on the first process alone."""
    if is_sharded(accelerator):
        return dict(_torch_state().get_model_state_dict(model, options=_whole_state_options()))
    return _whole_model(accelerator, model).state_dict()


def load_model(accelerator: Any, model: torch.nn.Module, state: Data) -> None:
    """Load the whole state of the model."""
    if is_sharded(accelerator):
        _torch_state().set_model_state_dict(model, state, options=_whole_state_options())
    else:
        _whole_model(accelerator, model).load_state_dict(state)


def optimizer_state(accelerator: Any, model: torch.nn.Module, optimizer: Any) -> Data:
    """Return the whole state of the optimizer; of a sharded one on the first process alone."""
    optimizer = unwrap(optimizer)
    if is_sharded(accelerator):
        state = _torch_state().get_optimizer_state_dict(
            model, optimizer, options=_whole_state_options()
        )
        return dict(state)
    return dict(optimizer.state_dict())


def load_optimizer(accelerator: Any, model: torch.nn.Module, optimizer: Any, state: Data) -> None:
    """Load the whole state of the optimizer."""
    optimizer = unwrap(optimizer)
    if _is_by_name(state):  # saved from pieces: torch loads them, in pieces or whole
        set_state = _torch_state().set_optimizer_state_dict
        set_state(model, optimizer, optim_state_dict=state, options=_whole_state_options())
    else:
        optimizer.load_state_dict(state)


def require_same_model(accelerator: Any, model: torch.nn.Module, saved: Data) -> None:
    """Refuse the state of another model.

    Raises:
        StateError: The message names what differs.
    """
    if is_sharded(accelerator):
        return
    here = _whole_model(accelerator, model).state_dict()
    differences = [f"{name} is missing" for name in here if name not in saved]
    differences += [f"{name} is not in this model" for name in saved if name not in here]
    for name, tensor in here.items():
        there = saved.get(name, tensor)
        if isinstance(tensor, torch.Tensor) and there.shape != tensor.shape:
            differences.append(f"{name} is {list(there.shape)} and here {list(tensor.shape)}")
    if differences:
        more = f" and {len(differences) - 5} more" if len(differences) > 5 else ""
        raise StateError(
            f"model: the checkpoint is of another model: {'; '.join(differences[:5])}{more}. "
            "Build the model as the saved run did."
        )


def require_same_groups(accelerator: Any, optimizer: Any, state: Data) -> None:
    """Refuse the state of another optimizer.

    Raises:
        StateError: Its groups are not those of this optimizer, or it is whole where pieces are
            needed.
    """
    if _is_by_name(state):
        return
    if is_sharded(accelerator):
        raise StateError(
            "optimizer.load_state_dict: the checkpoint was made without FSDP. Go on without it, or "
            "begin a new run from the weights: "
            "trainer.load_checkpoint(…, load_optimizer=False)."
        )
    here, there = _sizes(unwrap(optimizer).param_groups), _sizes(state["param_groups"])
    if here != there:
        raise StateError(
            f"optimizer.load_state_dict: the saved groups hold {there} parameters, and those here "
            f"{here}. Build the optimizer as the saved run did."
        )


def is_sharded(accelerator: Any) -> bool:
    """Return whether weights lie in pieces on the processes."""
    return str(accelerator.distributed_type.value) == "FSDP"


def _whole_model(accelerator: Any, model: torch.nn.Module) -> torch.nn.Module:
    whole: torch.nn.Module = accelerator.unwrap_model(model, keep_torch_compile=False)
    return whole


def _is_by_name(state: Data) -> bool:
    """Return whether parameters have their names in it, as sharding needs, not numbers."""
    return any(isinstance(key, str) for key in state["state"])


def _sizes(groups: list[Data]) -> list[int]:
    return [len(group["params"]) for group in groups]


def _torch_state() -> Any:
    import torch.distributed.checkpoint.state_dict as torch_state

    return torch_state


def _whole_state_options() -> Any:
    options = _torch_state().StateDictOptions
    return options(full_state_dict=True, cpu_offload=True, broadcast_from_rank0=False)
