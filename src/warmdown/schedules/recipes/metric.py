"""What follows a metric, by the name that a field knows it by."""

from __future__ import annotations

__all__ = ["newbob"]

from warmdown.run import Duration
from warmdown.schedules.plateau import Mode, Plateau
from warmdown.schedules.recipes.recipe import recipe


@recipe
def newbob(
    *,
    metric: str = "loss",
    factor: float = 0.5,
    threshold: float = 0.0025,
    patience: Duration = 0,
    mode: Mode = "min",
    low: float = 0.0,
) -> Plateau:
    """Return NewBob: the value is annealed when a metric improves too little on its last value.

    Args:
        metric: Name of the metric: ``scheduler.observe(val_loss=…)``, once an evaluation.
        factor: What the value is multiplied by (SpeechBrain: ``annealing_factor``).
        threshold: Smallest improvement that is enough, as a share of the last value
            (``improvement_threshold``).
        patience: Too small improvements that are tolerated before each anneal, in a row or not
            (``patient``).
        mode: Whether ``"min"`` or ``"max"`` is better.
        low: Smallest factor.

    Example:
        >>> rate = newbob(metric="val_loss")
        >>> for step, loss in [(10, 2.0), (20, 1.0), (30, 0.999)]:
        ...     rate = rate.observe(step, {"val_loss": loss})
        >>> rate([0, 29, 30])
        array([1. , 1. , 0.5])

    Reference: SpeechBrain, ``speechbrain.nnet.schedulers.NewBobScheduler``.
    """
    return Plateau(
        metric=metric,
        factor=factor,
        threshold=threshold,
        patience=patience,
        mode=mode,
        low=low,
        compare="last",
    )
