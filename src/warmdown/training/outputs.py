"""What a run writes, locked while the run is at work."""

from __future__ import annotations

__all__ = ["outputs_locked"]

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from warmdown.lock import locked
from warmdown.training.steps import TrainingSteps


@contextmanager
def outputs_locked(trainer: TrainingSteps) -> Iterator[None]:
    """Lock what callbacks write and open the checkpoints, on the first process for all."""
    with ExitStack() as locks:

        def open_outputs() -> None:
            locks.enter_context(locked(trainer.callback_handler.outputs()))
            if trainer.checkpoints is not None:
                trainer.checkpoints.open()

        trainer.run_state.first_process_decides(open_outputs)
        yield
