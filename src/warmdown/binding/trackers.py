"""What updates used, sent to a tracker: of TensorBoard, W&B, MLflow, trackio, or a function."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from time import time
from types import ModuleType
from typing import Any, Protocol, TypeAlias, final

from warmdown.errors import BindingError, shortly

Numbers: TypeAlias = Mapping[str, float]

_BEGINNINGS = {
    "wandb": "wandb.init()",
    "mlflow": "mlflow.start_run()",
    "trackio": "trackio.init(project=…)",
}
_WRAPPED = ("tensorboard", "wandb", "mlflow", "trackio")
"""What accelerate calls the trackers whose own objects are used."""


class _Scheduler(Protocol):
    """What is used of a scheduler; to import its class would lengthen the chain of imports."""

    @property
    def count(self) -> int: ...
    def values(self) -> dict[str, float]: ...
    def last_values(self) -> dict[str, float]: ...


@final
class ValueLogger:
    """Sends what each update used to a tracker, at the number of that update.

    Make it after a saved state was loaded, in the process that logs, and call ``log()`` after each
    ``scheduler.step()``. An update is sent once, also where a run that is resumed makes it again.

    Args:
        scheduler: What drives the values.
        to: A ``SummaryWriter``, a run of wandb or trackio, ``mlflow`` or one of its runs, an
            accelerate ``Accelerator``, or a function of values by name and the update's number.
        every: Updates between two that are sent.

    Raises:
        BindingError: It is no tracker, or has no active run.

    Example:
        >>> import torch, warmdown as wd
        >>> optimizer = torch.optim.SGD(torch.nn.Linear(2, 2).parameters(), lr=0.4)
        >>> scheduler = wd.Scheduler(optimizer, lr=wd.Linear(start=1.0, end=0.0, steps=4))
        >>> logger = wd.ValueLogger(scheduler, lambda values, update: print(update, values))
        >>> for _ in range(2):
        ...     optimizer.step()
        ...     scheduler.step()
        ...     logger.log()
        0 {'lr/0': 0.4}
        1 {'lr/0': 0.30000000000000004}
    """

    def __init__(self, scheduler: _Scheduler, to: Any, *, every: int = 1) -> None:
        if not hasattr(scheduler, "last_values"):
            raise BindingError(
                f"ValueLogger({shortly(scheduler)}): no scheduler. It stands first: "
                "ValueLogger(scheduler, writer)."
            )
        if every < 1:
            raise BindingError(f"ValueLogger(every={every}): at least 1 update is needed.")
        self.scheduler, self.every = scheduler, every
        self._trackers = _trackers_of(to, scheduler.count)
        made = scheduler.count - 1  # as far as the process before came, which has sent them
        self._lasts = [max(made, each.last(scheduler.values())) for each in self._trackers]

    def log(self) -> None:
        """Send what the update counted last used, where it was not sent before."""
        update = self.scheduler.count - 1
        if update % self.every:
            return
        values: Numbers = {}
        for place, tracker in enumerate(self._trackers):
            if update > self._lasts[place]:
                values = values or self.scheduler.last_values()
                tracker.send(values, update)
                self._lasts[place] = update


class _Tracker(ABC):
    """Where values go."""

    @abstractmethod
    def send(self, values: Numbers, update: int) -> None:
        """Send the values of an update."""

    def last(self, values: Numbers) -> int:
        """Return the last update that it has of these names; -1 where it has none."""
        return -1


@final
class _Function(_Tracker):
    def __init__(self, send: Callable[[Numbers, int], Any]) -> None:
        self._send = send

    def send(self, values: Numbers, update: int) -> None:
        self._send(values, update)


@final
class _TensorBoard(_Tracker):
    def __init__(self, writer: Any, count: int) -> None:
        self._writer = writer
        files = [*Path(getattr(writer, "log_dir", None) or ".").glob("*tfevents*")]
        if count and len(files) > 1 and type(writer).__module__.startswith("torch."):
            from tensorboard.compat.proto.event_pb2 import Event, SessionLog

            # as purge_step does: rows from here on of the files of earlier runs are not shown
            begin = SessionLog(status=SessionLog.START)
            writer.file_writer.add_event(Event(session_log=begin), count)

    def send(self, values: Numbers, update: int) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, update)


@final
class _Wandb(_Tracker):
    def __init__(self, run: Any) -> None:
        self._run = run
        run.define_metric("update", hidden=True)

    def last(self, values: Numbers) -> int:
        for name in values:
            self._run.define_metric(name, step_metric="update")
        return int(dict(self._run.summary).get("update", -1))

    def send(self, values: Numbers, update: int) -> None:
        # W&B drops rows of steps before its own; the axis of these is the update in either case
        step = update if self._run.step <= update else None
        self._run.log({**values, "update": update}, step=step)


@final
class _Mlflow(_Tracker):
    def __init__(self, run: Any) -> None:
        from mlflow import MlflowClient
        from mlflow.entities import Metric

        self._client, self._metric, self._run = MlflowClient(), Metric, run.info.run_id

    def last(self, values: Numbers) -> int:
        names = map(_mlflow_name, values)
        rows = [row for name in names for row in self._client.get_metric_history(self._run, name)]
        return max((row.step for row in rows), default=-1)

    def send(self, values: Numbers, update: int) -> None:
        now = int(1000 * time())
        metrics = [
            self._metric(_mlflow_name(name), value, now, update) for name, value in values.items()
        ]
        self._client.log_batch(self._run, metrics)


@final
class _Trackio(_Tracker):
    def __init__(self, run: Any) -> None:
        self._run = run

    def last(self, values: Numbers) -> int:
        run = self._run
        if not run._is_local:  # a server's rows are not read; it gave the last step of them all
            return int(run._next_step) - 1
        from trackio.sqlite_storage import SQLiteStorage

        read = partial(SQLiteStorage.get_metric_values, run.project, run.name, run_id=run.id)
        rows = [row for name in values for row in read(metric_name=name)]
        return max((int(row["step"]) for row in rows), default=-1)

    def send(self, values: Numbers, update: int) -> None:
        self._run.log(dict(values), step=update)


def _trackers_of(to: Any, count: int) -> list[_Tracker]:
    """Return what sends to a tracker, known by the library that it is of; none is imported.

    Args:
        to: The tracker.
        count: Updates that were made before.
    """
    is_library = isinstance(to, ModuleType)
    library = (to.__name__ if is_library else type(to).__module__).partition(".")[0]
    if library == "accelerate":
        own = getattr(to, "trackers", None)
        if own is not None:
            return [one for each in own if to.is_main_process for one in _trackers_of(each, count)]
        # its own wrappers have the library's object; others have only what they log with
        return _trackers_of(to.tracker if to.name in _WRAPPED else to.log, count)
    if hasattr(to, "add_scalar"):
        return [_TensorBoard(to, count)]
    if library == "wandb":
        return [_Wandb(_active(to, to.run if is_library else to))]
    if library == "mlflow":
        return [_Mlflow(_active(to, to.active_run() if is_library else to))]
    if library == "trackio":
        return [_Trackio(_active(to, to.context_vars.current_run.get() if is_library else to))]
    if callable(to):
        return [_Function(to)]
    raise BindingError(
        f"ValueLogger({shortly(to)}): no tracker. Give a SummaryWriter, a run of wandb, mlflow or "
        "trackio, an Accelerator, or a function of values and update."
    )


def _active(library: Any, run: Any) -> Any:
    if run is None:
        raise BindingError(
            f"ValueLogger({library.__name__}): it has no active run. Begin one first: "
            f"{_BEGINNINGS[library.__name__]}."
        )
    return run


def _mlflow_name(name: str) -> str:
    """Return a name with what MLflow takes alone: no brackets.

    Example:
        >>> _mlflow_name("betas[0]/0")
        'betas_0_/0'
    """
    return re.sub(r"[^\w\-. :/]", "_", name)
