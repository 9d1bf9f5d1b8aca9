"""Callbacks that were written for pytorch-accelerated's Trainer, as callbacks of ours."""

from __future__ import annotations

__all__: list[str] = []

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

from warmdown.errors import TrainingError
from warmdown.training.callback import StopTrainingError, TrainerCallback, attribute_failure
from warmdown.training.data import DataSource, usable_batches
from warmdown.training.types import Data, FilePath

_HOME = "pytorch_accelerated.callbacks"
_EARLIER = {"LimitBatchesCallback": ("on_training_run_start", "on_run_setup")}
"""Which hook of which class is called at which event: a plan is measured before the run starts."""


def adapted(callback: Any) -> TrainerCallback:
    """Return a callback of pytorch-accelerated as one of ours, any other as it is.

    Raises:
        TrainingError: It asks for what that package's scheduler alone has.
    """
    theirs = [cls.__name__ for cls in type(callback).__mro__ if cls.__module__ == _HOME]
    if not theirs or isinstance(callback, TrainerCallback):
        return callback  # type: ignore[no-any-return]
    if "WSDCheckpointCallback" in theirs:
        raise TrainingError(
            f"Trainer(callbacks=[{type(callback).__name__}, …]): that of pytorch-accelerated knows "
            f"the decays of its own scheduler alone. warmdown.training.WSDCheckpointCallback takes "
            f"the same arguments, and every plan that decays."
        )
    return AdaptedCallback(callback)


class AdaptedCallback(TrainerCallback):
    """Calls a callback of pytorch-accelerated with a trainer that has the names it uses.

    Args:
        callback: The callback; a ``state_dict`` of its own is a part of every checkpoint.
    """

    def __init__(self, callback: Any) -> None:
        self.callback = callback
        self.facts: Data = {}
        kinds = {cls.__name__: cls for cls in type(callback).__mro__ if cls.__module__ == _HOME}
        for name in dir(type(callback)):
            hook = getattr(type(callback), name)
            if name.startswith("on_") and hook is not getattr(kinds["TrainerCallback"], name, None):
                setattr(self, name, partial(self._call, name))
        for name in kinds.keys() & _EARLIER.keys():
            hook_name, event = _EARLIER[name]
            setattr(self, event, partial(self._call, hook_name))
            delattr(self, hook_name)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({type(self.callback).__name__})"

    def state_dict(self) -> Data:
        """Return what it keeps, and the facts that it saved beside a state."""
        keeps = getattr(type(self.callback), "state_dict", None)
        return {"facts": self.facts, "state": None if keeps is None else keeps(self.callback)}

    def load_state_dict(self, state: Data) -> None:
        """Restore both."""
        self.facts = state["facts"]
        if state["state"] is not None:
            self.callback.load_state_dict(state["state"])

    def _call(self, name: str, trainer: Any, **kwargs: Any) -> None:
        hook = getattr(self.callback, name)
        if name.startswith("on_train_step"):
            kwargs["step"] -= 1  # theirs count from 0
        try:
            hook(_AdaptedTrainer(trainer, self), **kwargs)
        except Exception as failure:
            if type(failure).__name__ == "StopTrainingError":
                raise StopTrainingError(str(failure)) from None
            raise attribute_failure(failure, hook, name) from failure


class _AdaptedTrainer:
    """A trainer with the names that pytorch-accelerated's callbacks use of theirs.

    Args:
        trainer: Has everything else, and takes everything that is set.
        callback: For which it is.
    """

    _callback: AdaptedCallback

    def __init__(self, trainer: Any, callback: AdaptedCallback) -> None:
        vars(self).update(_trainer=trainer, _callback=callback)

    def __getattr__(self, name: str) -> Any:
        try:
            return getattr(self._trainer, name)
        except AttributeError:
            raise AttributeError(
                f"warmdown's Trainer has no {name!r}; a callback may use what TrainingSteps has."
            ) from None

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self if hasattr(type(self), name) else self._trainer, name, value)

    def __dir__(self) -> Iterable[str]:
        return {*dir(type(self)), *dir(self._trainer)}

    @property
    def callback_handler(self) -> Any:
        """Call the callbacks that are set here in the place of the trainer's own."""
        return self._trainer.callback_handler

    @callback_handler.setter
    def callback_handler(self, handler: Any) -> None:
        ours = type(self._trainer.callback_handler)
        if not isinstance(handler, ours):
            handler = ours(handler.callbacks)
        self._trainer.callback_handler = handler

    @property
    def _train_dataloader(self) -> _Batches:
        run = self._trainer.run_state
        return _Batches(run.train_source, run.train_limit)

    @_train_dataloader.setter
    def _train_dataloader(self, loader: Any) -> None:
        self._trainer.run_state.train_limit = _limit_of(loader)

    @property
    def _eval_dataloader(self) -> _Batches:
        run = self._trainer.run_state
        return _Batches(run.eval_source, run.eval_limit)

    @_eval_dataloader.setter
    def _eval_dataloader(self, loader: Any) -> None:
        self._trainer.run_state.eval_limit = _limit_of(loader)

    @property
    def _loss_tracker(self) -> Any:
        return self._trainer.run_state.train_loss

    @_loss_tracker.setter
    def _loss_tracker(self, tracker: Any) -> None:
        """Set nothing: an evaluation has a loss of its own here."""

    def _run_eval_epoch(self, loader: Any, **kwargs: Any) -> None:
        before, self._eval_dataloader = self._eval_dataloader, loader
        try:
            self._trainer.evaluate_now()
        finally:
            self._eval_dataloader = before

    def save_training_state(self, output_dir: FilePath, checkpoint_kwargs: Any = None) -> None:
        """Write a checkpoint; the facts lie in it with the callback's state."""
        self._callback.facts = dict(checkpoint_kwargs or {})
        self._trainer.save_training_state(output_dir)

    def load_training_state(self, input_dir: FilePath) -> Data:
        """Go to a checkpoint; return the facts that lie in it."""
        self._trainer.load_training_state(input_dir)
        return self._callback.facts


class _Batches:
    """The batches of a pass, to be counted.

    Args:
        source: Where they come from.
        limit: Most that a pass uses, or ``None``.
    """

    def __init__(self, source: DataSource | None, limit: int | None) -> None:
        self.source = source
        self.limit = limit

    def __len__(self) -> int:
        count = usable_batches(self.source, self.limit)
        if count is None:
            raise TypeError("the data has no length")
        return count

    def __iter__(self) -> Iterator[Any]:
        raise TypeError("a callback cannot read the run's own batches; read trainer.eval_dataset")


def _limit_of(loader: Any) -> int | None:
    """Return to how many batches a loader is cut.

    Raises:
        TypeError: It has batches of its own.
    """
    if isinstance(loader, _Batches):
        return loader.limit
    if isinstance(getattr(loader, "dl", None), _Batches):
        return len(loader)
    raise TypeError(
        f"{type(loader).__name__}: a callback can limit the run's batches, not replace them; "
        f"override create_train_dataloader of the Trainer"
    )
