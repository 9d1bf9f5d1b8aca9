"""Parameter groups with names and base rates of their own, from a model's layers."""

from __future__ import annotations

__all__ = ["layerwise_decay"]

import re
from collections.abc import Iterable, Sequence
from typing import Any

from torch import nn

from warmdown.errors import BindingError

_NUMBERED = re.compile(r"(.*?\.\d+)\.")
FIRST, LAST = "stem", "head"


def layerwise_decay(
    model: nn.Module,
    lr: float,
    decay: float = 0.75,
    *,
    layers: Sequence[str] | None = None,
    weight_decay: float | None = None,
) -> list[dict[str, Any]]:
    r"""Return one named parameter group for each layer, its rate lower the deeper it lies.

    .. math:: lr_i = lr \cdot decay^{\,top - i}

    The groups are called ``stem`` (what comes before the layers), by each layer's own name, and
    ``head`` (what comes after). A schedule that scales then keeps their ratios; one group's own
    schedule is given by its name: ``Scheduler(optimizer, lr={"head": …, "*": …})``.

    Args:
        model: Parameters that need no gradient are left out.
        lr: Rate of the head, and of the last layer where there is no head.
        decay: Factor from one layer to the one below it, above 0 and at most 1.
        layers: Names of the layers from the input to the output; numbered ones (``blocks.0``) are
            found by themselves.
        weight_decay: If given, matrices get it, and vectors (biases, norms) get 0 in a group
            ``<name>.vectors``.

    Raises:
        BindingError: No layer was found, or a number is out of range.

    Example:
        >>> import torch
        >>> model = torch.nn.Sequential(*(torch.nn.Linear(2, 2) for _ in range(3)))
        >>> groups = layerwise_decay(model, lr=1.0, decay=0.5, layers=["0", "1", "2"])
        >>> [(group["name"], group["lr"]) for group in groups]
        [('0', 0.25), ('1', 0.5), ('2', 1.0)]
    """
    if not 0 < decay <= 1:
        raise BindingError(
            f"layerwise_decay(decay={decay}): a factor above 0 and at most 1 is needed."
        )
    named = [
        (name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad
    ]
    layers = list(
        layers or dict.fromkeys(match[1] for name, _ in named if (match := _NUMBERED.match(name)))
    )
    if not layers:
        raise BindingError(
            "layerwise_decay: the model has no numbered layers such as 'blocks.0'. "
            "Name its layers from the input to the output: layers=['embed', 'encoder', "
            "'classifier']."
        )
    sorted_in = _sorted_in(named, layers)
    top = len(sorted_in) - 1
    return [
        group
        for depth, (name, parameters) in enumerate(sorted_in.items())
        for group in _groups_of(name, parameters, lr * decay ** (top - depth), weight_decay)
    ]


def _sorted_in(
    named: Iterable[tuple[str, nn.Parameter]], layers: Sequence[str]
) -> dict[str, list[nn.Parameter]]:
    """Return each layer's parameters, from the input to the output; what lies in no layer is before or after them."""
    found: dict[str, list[nn.Parameter]] = {name: [] for name in (FIRST, *layers, LAST)}
    for name, parameter in named:
        layer = next(
            (layer for layer in layers if name == layer or name.startswith(f"{layer}.")), None
        )
        begun = any(found[layer] for layer in layers)
        found[layer or (LAST if begun else FIRST)].append(parameter)
    return {name: parameters for name, parameters in found.items() if parameters}


def _groups_of(
    name: str, parameters: list[nn.Parameter], lr: float, weight_decay: float | None
) -> list[dict[str, Any]]:
    if weight_decay is None:
        return [{"params": parameters, "name": name, "lr": lr}]
    parts = (
        (name, [one for one in parameters if one.ndim > 1], weight_decay),
        (f"{name}.vectors", [one for one in parameters if one.ndim <= 1], 0.0),
    )
    return [
        {"params": chosen, "name": part, "lr": lr, "weight_decay": factor}
        for part, chosen, factor in parts
        if chosen
    ]
