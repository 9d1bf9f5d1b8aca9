"""Parameter groups with names and base rates of their own, from a model's layers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from torch import nn

from warmdown.errors import BindingError

_NUMBERED = re.compile(r"(.*?\.\d+)\.")


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
    named = [pair for pair in model.named_parameters() if pair[1].requires_grad]
    if not layers:
        matches = (_NUMBERED.match(name) for name, _ in named)
        layers = list(dict.fromkeys(match[1] for match in matches if match))
    if not layers:
        raise BindingError(
            "layerwise_decay: the model has no numbered layers such as 'blocks.0'. Name its layers "
            "from the input to the output: layers=['embed', 'encoder', 'classifier']."
        )
    sorted_in = _sorted_in(named, layers)
    groups: list[dict[str, Any]] = []
    for depth, (name, parameters) in enumerate(reversed(sorted_in.items())):
        group = {"params": parameters, "name": name, "lr": lr * decay**depth}
        if weight_decay is None:
            groups.insert(0, group)
            continue
        vectors = [one for one in parameters if one.ndim <= 1]
        matrices = [one for one in parameters if one.ndim > 1]
        parts = (
            {**group, "params": matrices, "weight_decay": weight_decay},
            {**group, "params": vectors, "name": f"{name}.vectors", "weight_decay": 0.0},
        )
        groups[:0] = [part for part in parts if part["params"]]
    return groups


def _sorted_in(
    named: Iterable[tuple[str, nn.Parameter]], layers: Sequence[str]
) -> dict[str, list[nn.Parameter]]:
    """Return each layer's parameters; what lies in no layer is before or after them."""
    found: dict[str, list[nn.Parameter]] = {name: [] for name in ("stem", *layers, "head")}
    outside = "stem"
    for name, parameter in named:
        fits = (layer for layer in layers if name == layer or name.startswith(f"{layer}."))
        layer = next(fits, None)
        if layer is not None:
            outside = "head"
        found[layer or outside].append(parameter)
    return {name: parameters for name, parameters in found.items() if parameters}


def print_rate(
    is_verbose: bool,
    group: object,
    lr: float,
    epoch: float | None = None,
    *,
    change: str = "adjusting",
) -> None:
    """Print a rate in the words of older versions of torch: logs of theirs are searched for them.

    Args:
        is_verbose: Nothing is printed unless it is true.
        group: The group's number.
        lr: Its rate.
        epoch: The epoch, which may be a share of one, or ``None``.
        change: What is done to the rate.
    """
    if not is_verbose:
        return
    text = f"{change} learning rate of group {group} to {float(lr):.4e}."
    if epoch is None:
        print(text.capitalize())
    else:
        when = f"{epoch:05d}" if isinstance(epoch, int) else f"{epoch:.2f}"
        print(f"Epoch {when}: {text}")
