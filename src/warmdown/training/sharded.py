"""The state of model and optimizer as one process would have it, also from pieces on many."""

from __future__ import annotations

from typing import Any

from warmdown.binding.field import unwrap
from warmdown.errors import StateError
from warmdown.training.steps import TrainingSteps
from warmdown.training.types import Data


def model_state(trainer: TrainingSteps) -> Data:
    """Return the whole state of the model; of a sharded one on the first process alone."""
    if is_sharded(trainer):
        return dict(_torch_state().get_model_state_dict(trainer.model, options=_whole_state()))
    return trainer.get_model(keep_torch_compile=False).state_dict()


def optimizer_state(trainer: TrainingSteps) -> Data:
    """Return the whole state of the optimizer; of a sharded one on the first process alone."""
    optimizer = unwrap(trainer.optimizer)
    if is_sharded(trainer):
        get_state = _torch_state().get_optimizer_state_dict
        return dict(get_state(trainer.model, optimizer, options=_whole_state()))
    return dict(optimizer.state_dict())


def require_same_shapes(trainer: TrainingSteps, weights: Data, optimizer: Data | None) -> None:
    """Refuse the states of another model or optimizer, before any of them is loaded.

    Raises:
        StateError: The message names what differs.
    """
    saved = _tensor_shapes(weights)
    # of a sharded model only torch knows which piece of a weight lies here
    model = trainer.get_model(keep_torch_compile=False)
    shapes = saved if is_sharded(trainer) else _tensor_shapes(model.state_dict())
    differences = [
        f"{name} is {saved.get(name, 'missing')} and here {shapes.get(name, 'missing')}"
        for name in shapes | saved
        if shapes.get(name) != saved.get(name)
    ]
    if differences:
        more = f" and {len(differences) - 5} more" if len(differences) > 5 else ""
        raise StateError(
            f"model: the checkpoint is of another model: {'; '.join(differences[:5])}{more}. "
            "Build the model as the saved run did."
        )
    if optimizer is not None and not _is_by_name(optimizer):
        if is_sharded(trainer):
            raise StateError(
                "optimizer.load_state_dict: the checkpoint was made without FSDP. Go on without "
                "it, or begin a new run from the weights: "
                "trainer.load_checkpoint(…, load_optimizer=False)."
            )
        here = _group_sizes(unwrap(trainer.optimizer).param_groups)
        there = _group_sizes(optimizer["param_groups"])
        if here != there:
            raise StateError(
                f"optimizer.load_state_dict: the saved groups have {there} parameters, and those "
                f"here {here}. Build the optimizer as the saved run did."
            )


def load_weights(trainer: TrainingSteps, weights: Data, groups: Data | None) -> None:
    """Load the whole states of model and optimizer, after :func:`require_same_shapes`."""
    model, optimizer = trainer.model, unwrap(trainer.optimizer)
    if is_sharded(trainer):
        _torch_state().set_model_state_dict(model, weights, options=_whole_state())
    else:
        trainer.get_model(keep_torch_compile=False).load_state_dict(weights)
    if groups is None:
        return
    if _is_by_name(groups):  # saved from pieces: torch loads them, in pieces or whole
        set_state = _torch_state().set_optimizer_state_dict
        set_state(model, optimizer, optim_state_dict=groups, options=_whole_state())
    else:
        optimizer.load_state_dict(groups)


def is_sharded(trainer: TrainingSteps) -> bool:
    """Return whether weights lie in pieces on the processes."""
    return str(trainer.run_state.accelerator.distributed_type.value) == "FSDP"


def _is_by_name(state: Data) -> bool:
    """Return whether parameters have their names in it, as sharding needs, not numbers."""
    return any(isinstance(key, str) for key in state["state"])


def _group_sizes(groups: list[Data]) -> list[int]:
    return [len(group["params"]) for group in groups]


def _tensor_shapes(weights: Data) -> dict[str, list[int]]:
    return {name: list(getattr(value, "shape", ())) for name, value in weights.items()}


def _torch_state() -> Any:
    import torch.distributed.checkpoint.state_dict as torch_state

    return torch_state


def _whole_state() -> Any:
    options = _torch_state().StateDictOptions
    return options(full_state_dict=True, cpu_offload=True)
