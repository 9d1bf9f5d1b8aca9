"""The state of model and optimizer as one process would have it, also where it lies in pieces on many."""

from __future__ import annotations

__all__ = ["load_model", "load_optimizer", "model_state", "optimizer_state"]

from typing import Any

import torch

from warmdown.binding.field import unwrap
from warmdown.errors import StateError


def model_state(accelerator: Any, model: torch.nn.Module) -> dict[str, Any]:
    """Return the whole state of the model; where it is sharded, the first process alone gets it."""
    if _is_sharded(accelerator):
        from torch.distributed.checkpoint.state_dict import get_model_state_dict

        return dict(get_model_state_dict(model, options=_options()))
    return dict(accelerator.unwrap_model(model, keep_torch_compile=False).state_dict())


def load_model(accelerator: Any, model: torch.nn.Module, state: dict[str, Any]) -> None:
    """Put the whole state of the model back.

    Raises:
        StateError: It is the state of another model; the message names what differs.
    """
    if _is_sharded(accelerator):
        from torch.distributed.checkpoint.state_dict import set_model_state_dict

        set_model_state_dict(model, state, options=_options())
        return
    whole = accelerator.unwrap_model(model, keep_torch_compile=False)
    _refuse_other_model(whole.state_dict(), state)
    whole.load_state_dict(state)


def optimizer_state(accelerator: Any, model: torch.nn.Module, optimizer: Any) -> dict[str, Any]:
    """Return the whole state of the optimizer; where it is sharded, the first process alone gets it."""
    if _is_sharded(accelerator):
        from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict

        return dict(get_optimizer_state_dict(model, unwrap(optimizer), options=_options()))
    return dict(unwrap(optimizer).state_dict())


def load_optimizer(
    accelerator: Any, model: torch.nn.Module, optimizer: Any, state: dict[str, Any]
) -> None:
    """Put the whole state of the optimizer back.

    Raises:
        StateError: Its groups are not those of this optimizer.
    """
    if _is_sharded(accelerator) and not _is_by_name(state):
        raise StateError(
            "optimizer.load_state_dict: the checkpoint was made without FSDP. Go on without it, or "
            "begin a new run "
            "from the weights: trainer.load_checkpoint(…, load_optimizer=False)."
        )
    if _is_by_name(
        state
    ):  # saved from pieces: torch knows how to put them back, in pieces or whole
        from torch.distributed.checkpoint.state_dict import set_optimizer_state_dict

        set_optimizer_state_dict(
            model, unwrap(optimizer), optim_state_dict=state, options=_options()
        )
        return
    try:
        unwrap(optimizer).load_state_dict(state)
    except ValueError as error:
        raise StateError(
            f"optimizer.load_state_dict: {error}. Build the optimizer as the saved run did."
        ) from None


def _is_sharded(accelerator: Any) -> bool:
    return str(accelerator.distributed_type.value) == "FSDP"


def _is_by_name(state: dict[str, Any]) -> bool:
    """Whether parameters stand in it by their names, as sharding needs it, and not by their numbers."""
    return any(isinstance(key, str) for key in state["state"])


def _options() -> Any:
    from torch.distributed.checkpoint.state_dict import StateDictOptions

    return StateDictOptions(full_state_dict=True, cpu_offload=True, broadcast_from_rank0=False)


def _refuse_other_model(here: dict[str, Any], saved: dict[str, Any]) -> None:
    differences = [f"{name} is missing" for name in here if name not in saved]
    differences += [f"{name} is not in this model" for name in saved if name not in here]
    differences += [
        f"{name} is {list(saved[name].shape)} and here {list(tensor.shape)}"
        for name, tensor in here.items()
        if isinstance(tensor, torch.Tensor) and name in saved and saved[name].shape != tensor.shape
    ]
    if differences:
        more = f" and {len(differences) - 5} more" if len(differences) > 5 else ""
        raise StateError(
            f"model: the checkpoint is of another model: {'; '.join(differences[:5])}{more}. "
            "Build the model as the saved run did."
        )
