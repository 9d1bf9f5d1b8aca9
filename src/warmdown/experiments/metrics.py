"""What a task tells of a run, asked before any run is made."""

from __future__ import annotations

__all__ = ["metrics_of", "require_metric"]

from warmdown.errors import TrainingError, nearest


def metrics_of(task: str) -> list[str]:
    """Return what runs of a task tell, the task's own first metric first; the caller's random numbers stay as they are.

    Example:
        >>> metrics_of("digits")
        ['accuracy', 'eval_loss', 'train_loss']
    """
    from warmdown.training import task_of
    from warmdown.training.rng import restore, snapshot

    before = snapshot()
    try:
        made = task_of(task)
    finally:
        restore(before)
    return [*made.metrics, *(["eval_loss"] if made.test is not None else []), "train_loss"]


def require_metric(who: str, task: str, metric: str) -> None:
    """Refuse a metric that no run will tell.

    Raises:
        TrainingError: The task does not tell it.
    """
    known = metrics_of(task)
    if metric not in known:
        raise TrainingError(
            f"{who}(metric={metric!r}): no run of {task!r} tells it. {nearest(metric, known)}"
        )
