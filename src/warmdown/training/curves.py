"""What of a record is worth a picture."""

from __future__ import annotations

__all__ = ["curves", "running_mean"]

from collections.abc import Container, Mapping, Sequence
from itertools import accumulate
from types import MappingProxyType

from warmdown.record import Record

_NAMES: Mapping[str, str] = MappingProxyType(
    {"loss": "training loss", "eval_loss_epoch": "test loss", "lr/0": "lr"}
)


def curves(
    record: Record, leave_out: Container[str] = ("phase", "samples_per_second", "train_loss_epoch")
) -> Record:
    """Return the rates, the loss of the updates as a running mean, and the metrics, by plain names.

    Args:
        record: What a run wrote down.
        leave_out: Targets that are not drawn.

    Example:
        >>> from warmdown import Record
        >>> from warmdown.training import curves
        >>> record = Record()
        >>> for step, loss in enumerate([2.0, 1.0]):
        ...     record.add(step, "lr/0", 0.1)
        ...     record.add(step, "loss", loss)
        >>> curves(record).targets()
        ['lr', 'training loss']
    """
    shown = Record()
    for target in record.targets():
        if target in leave_out:
            continue
        steps, values = record.curve(target)
        if target == "loss":
            values = running_mean(values)
        for step, value in zip(steps, values, strict=True):
            shown.add(step, _NAMES.get(target, target), value)
    return shown


def running_mean(values: Sequence[float]) -> list[float]:
    """Return the running mean over so many updates that the trend is seen through the noise."""
    width = max(1, len(values) // 50, min(20, len(values) // 5))
    return list(accumulate(values, lambda mean, value: mean + (value - mean) / width))
