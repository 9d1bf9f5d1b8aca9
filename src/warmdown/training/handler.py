"""The callbacks of a trainer: in which order they are called, and what a failure of one does."""

from __future__ import annotations

__all__ = ["CallbackHandler"]

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from warmdown.errors import TrainingError
from warmdown.lock import Output
from warmdown.training.adapted import adapted
from warmdown.training.callback import (
    CallbackOrClass,
    StopTrainingError,
    TrainerCallback,
    attribute_failure,
)


class CallbackHandler:
    """The callbacks of a trainer, in the order in which they are called.

    Args:
        callbacks: Instances, or classes that need no arguments.
    """

    def __init__(self, callbacks: Iterable[CallbackOrClass]) -> None:
        self.callbacks: list[TrainerCallback] = []
        self._hooks: dict[str, list[Callable[..., Any]]] = {}
        self.add_callbacks(callbacks)

    def add_callbacks(self, callbacks: Iterable[CallbackOrClass]) -> None:
        """Append several."""
        for callback in callbacks:
            self.add_callback(callback)

    def add_callback(self, callback: CallbackOrClass) -> None:
        """Append one.

        Raises:
            TrainingError: It is there already.
        """
        added = adapted(callback() if isinstance(callback, type) else callback)
        if any(added is known for known in self.callbacks):
            raise TrainingError(
                f"Trainer(callbacks=…): this {type(added).__name__} is there twice. Leave one out."
            )
        self.callbacks.append(added)
        self._hooks.clear()  # they were looked up without this one

    def outputs(self) -> list[Output]:
        """Return what all of them write."""
        return [output for callback in self.callbacks for output in callback.outputs()]

    def targets(self) -> dict[str, list[Any]]:
        """Return what a plan may drive in them, by target name."""
        found: dict[str, list[Any]] = {}
        for callback in self.callbacks:
            for name, number in callback.targets().items():
                found.setdefault(name, []).append(number)
        return found

    def hooks(self, event: str) -> list[Callable[..., Any]]:
        """Return the hooks that do something at ``event``; an event may be one of your own."""
        # looked up once: a hook that is not overridden costs nothing, an event without hooks little
        if event not in self._hooks:
            inherited = getattr(TrainerCallback, event, None)
            found: list[Any] = [getattr(callback, event, None) for callback in self.callbacks]
            self._hooks[event] = [
                hook for hook in found if getattr(hook, "__func__", hook) not in (None, inherited)
            ]
        return self._hooks[event]

    def call_event(self, event: str, trainer: Any, **kwargs: Any) -> None:
        """Call every callback's hook, also after one that fails: all have seen the same run.

        Raises:
            StopTrainingError: A callback asked for the end.
            TrainingError: A callback failed; the message names it, the cause is attached.
        """
        failures: list[Exception] = []
        for hook in self.hooks(event):
            try:
                hook(trainer, **kwargs)
            except Exception as failure:
                failures.append(attribute_failure(failure, hook, event))
        try:
            if failures:
                # a failure comes before a callback's wish to stop
                raise min(failures, key=lambda failure: isinstance(failure, StopTrainingError))
        finally:
            failures.clear()  # an error keeps this frame: a cycle would keep the trainer, too

    def __iter__(self) -> Iterator[TrainerCallback]:
        return iter(self.callbacks)
