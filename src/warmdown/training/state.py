"""What a run needs to go on, gathered from all processes into a checkpoint, and put back."""

from __future__ import annotations

__all__ = ["agreed", "begin_from", "find", "load", "save", "save_numbered"]

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from warmdown.errors import StateError, TrainingError
from warmdown.training.checkpoint import Checkpoints, Writer, verify, write_folder
from warmdown.training.ending import updates_left
from warmdown.training.progress import Progress
from warmdown.training.rng import mixed, seed_everything, snapshot
from warmdown.training.sharded import load_model, load_optimizer, model_state, optimizer_state
from warmdown.training.weights import read_pickled, read_weights, write_weights

if TYPE_CHECKING:
    from warmdown.training.trainer import Trainer

T = TypeVar("T")

_VERSION = 1


def save(trainer: Trainer, path: Path) -> Path:
    """Write a checkpoint as the folder ``path``; every process calls it, the first one writes."""
    files = _files(trainer)
    if trainer.is_main:
        write_folder(path, files)
    trainer._accelerator.wait_for_everyone()
    return path


def save_numbered(trainer: Trainer) -> Path:
    """Write the checkpoint of the update at hand among the run's own."""
    assert trainer.checkpoints is not None
    here = asdict(trainer.progress)
    path = trainer.checkpoints.path(here["updates"])
    if here == trainer._saved:
        return path
    files = _files(trainer)
    if trainer.is_main:
        trainer.checkpoints.save(here["updates"], files)
    trainer._accelerator.wait_for_everyone()
    trainer._saved = here
    return path


def load(trainer: Trainer, path: Path, on_change: str, *, aloud: bool = True) -> Path:
    """Put back what a checkpoint holds; return which one it was.

    Raises:
        StateError: It is damaged, or of another model, optimizer or plan.
        TrainingError: There is none, or the data is not the same.
    """
    path = agreed(trainer, lambda: find(path, trainer.print))
    facts = _read_facts(path)
    changes = list(_changes(trainer, facts))
    _refuse_other_data(trainer, facts)
    rest = _load_weights(trainer, path)
    progress = Progress(**facts["progress"])
    _reckon_anew(trainer, facts, progress)
    _load_scheduler(
        trainer,
        facts["scheduler"] or rest["scheduler"],
        "fit" if changes and on_change == "ask" else on_change,
    )
    _load_progress(trainer, facts, progress)
    _load_rest(trainer, rest)
    for line in (
        (f"Resumed from {path} at update {trainer.progress.updates}.", *changes) if aloud else ()
    ):
        trainer.print(line)
    return path


def begin_from(trainer: Trainer, path: Path) -> Any:
    """Take over model and optimizer of a checkpoint, not where it was; return the state of its scheduler.

    Raises:
        StateError: It is damaged, or of another model or optimizer.
        TrainingError: There is none.
    """
    path = agreed(trainer, lambda: find(path, trainer.print))
    facts = _read_facts(path)
    rest = _load_weights(trainer, path)
    return facts["scheduler"] or rest["scheduler"]


def find(path: Path, say: Any = print) -> Path:
    """Return the checkpoint that ``path`` means: itself, or the newest good one in it.

    Raises:
        StateError: It is damaged; the message names the file, and the one before it that is good.
        TrainingError: There is none.
    """
    if not (path / "manifest.json").exists() and not path.name.startswith("update-"):
        newest, damages = Checkpoints(path).newest_good()
        for damage in damages:
            say(damage)
        if newest is None:
            raise TrainingError(
                f"resume_from='{path}': there is no good checkpoint. Leave it out to start anew."
            )
        return newest
    try:
        verify(path)
    except StateError as damage:
        before = [other for other in Checkpoints(path.parent).all() if other.name < path.name]
        good = next((other for other in reversed(before) if _is_good(other)), None)
        offer = f" {good} is good." if good else " There is no good one before it."
        raise StateError(f"{damage}{offer}") from None
    return path


def _files(trainer: Trainer) -> dict[str, Writer]:
    """Return how to write each file; gathering what is in it takes all processes."""
    trainer._call("on_state_saving")
    state = model_state(trainer._accelerator, trainer.model)
    tensors = {name: value for name, value in state.items() if isinstance(value, torch.Tensor)}
    others = {name: value for name, value in state.items() if name not in tensors}
    optimizer = optimizer_state(trainer._accelerator, trainer.model, trainer.optimizer)
    rest = _rest(trainer) | {"model": others}
    facts = json.dumps(_facts(trainer), indent=1)
    return {
        "training.json": partial(_write_text, facts),
        "model.safetensors": partial(_flipped, write_weights, tensors),
        "optimizer.pt": partial(torch.save, optimizer),
        "rest.pt": partial(torch.save, rest),
    }


def _facts(trainer: Trainer) -> dict[str, Any]:
    import warmdown

    scheduler = _scheduler_state(trainer)
    history, tracker = trainer.run_history, trainer._loss_tracker
    return {
        "version": _VERSION,
        "made_with": {"warmdown": warmdown.__version__, "torch": str(torch.__version__)},
        "progress": asdict(trainer.progress),
        "run": _run_facts(trainer),
        "seed": trainer.seed,
        "loss": {
            "total": float(tracker.total),
            "count": tracker.count,
            "window": [float(loss) for loss in tracker.window],
        },
        "history": history.state_dict() if hasattr(history, "state_dict") else None,
        "scheduler": scheduler if _is_plain(scheduler) else None,
    }


def _rest(trainer: Trainer) -> dict[str, Any]:
    accelerator, scheduler = trainer._accelerator, _scheduler_state(trainer)
    return {
        "random": _gathered(trainer, snapshot()),
        "callbacks": {key: callback.state_dict() for key, callback in _keeping(trainer)},
        "scaler": None if accelerator.scaler is None else accelerator.scaler.state_dict(),
        "scheduler": None if _is_plain(scheduler) else scheduler,
        "gradients": _gradients(trainer),
    }


def _run_facts(trainer: Trainer) -> dict[str, Any]:
    config = trainer.run_config
    return {
        "items": trainer._train_source.items if trainer._train_source is not None else None,
        "num_processes": config.num_processes,
        "per_device_batch_size": config.train_per_device_batch_size,
        "gradient_accumulation_steps": config.gradient_accumulation_steps,
        "total_batch_size": config.train_total_batch_size,
        "updates_per_epoch": config.num_update_steps_per_epoch,
        "total_updates": config.total_updates,
    }


def _gradients(trainer: Trainer) -> dict[str, torch.Tensor]:
    """Return the gradients that wait for the rest of their update."""
    if not trainer.progress.window_done or trainer.run_config.is_distributed:
        return {}
    named = trainer.get_model(keep_torch_compile=False).named_parameters()
    return {name: weight.grad for name, weight in named if weight.grad is not None}


def _gathered(trainer: Trainer, mine: Any) -> list[Any]:
    if not trainer.run_config.is_distributed:
        return [mine]
    everyone: list[Any] = [None] * trainer.run_config.num_processes
    torch.distributed.all_gather_object(everyone, mine)
    return everyone


def _write_text(text: str, path: Path) -> None:
    path.write_text(text, encoding="utf-8")


def _flipped(write: Any, content: Any, path: Path) -> None:
    write(path, content)


def _scheduler_state(trainer: Trainer) -> Any:
    return trainer.scheduler.state_dict() if hasattr(trainer.scheduler, "state_dict") else None


def _is_plain(state: Any) -> bool:
    try:
        return bool(json.loads(json.dumps(state)) == state)
    except (TypeError, ValueError):
        return False


def _read_facts(path: Path) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads((path / "training.json").read_text(encoding="utf-8"))
    if (version := facts.get("version")) != _VERSION:
        made_with = facts.get("made_with", {}).get("warmdown", "another version")
        raise StateError(
            f"{path}: training.json(version={version!r}): this warmdown reads version {_VERSION}. "
            f"Use the one that saved it ({made_with})."
        )
    return facts


def _changes(trainer: Trainer, facts: Mapping[str, Any]) -> Iterator[str]:
    """Say what is not as it was when the checkpoint was made."""
    here, there = _run_facts(trainer), facts["run"]
    if here["num_processes"] != there["num_processes"]:
        yield f"{here['num_processes']} processes train now, {there['num_processes']} did before."
    if here["total_batch_size"] != there["total_batch_size"]:
        yield (
            f"An update uses {here['total_batch_size']} samples now, it used "
            f"{there['total_batch_size']}; "
            f"an epoch has {here['updates_per_epoch']} updates, it had "
            f"{there['updates_per_epoch']}."
        )


def _refuse_other_data(trainer: Trainer, facts: Mapping[str, Any]) -> None:
    here, there = _run_facts(trainer)["items"], facts["run"]["items"]
    if here != there:
        raise TrainingError(
            f"resume: the training data has {here} items, and had {there} when the checkpoint was "
            f"made. Give the same "
            "data, or begin a new run from the weights: trainer.load_checkpoint(…)."
        )


def _load_weights(trainer: Trainer, path: Path) -> dict[str, Any]:
    """Put model and optimizer back; return the rest."""
    rest: dict[str, Any] = read_pickled(path / "rest.pt")
    weights, optimizer = (
        read_weights(path / "model.safetensors") | rest["model"],
        read_pickled(path / "optimizer.pt"),
    )
    load_model(trainer._accelerator, trainer.model, weights)  # now that all of it was read
    load_optimizer(trainer._accelerator, trainer.model, trainer.optimizer, optimizer)
    return rest


def _load_scheduler(trainer: Trainer, state: Any, on_change: str) -> None:
    if trainer.scheduler is None or state is None:
        return
    from warmdown.binding import Scheduler

    if isinstance(trainer.scheduler, Scheduler):
        trainer.scheduler.load_state_dict(state, on_change=on_change)  # type: ignore[arg-type]
        return
    if getattr(trainer.scheduler, "is_continuation_from_checkpoint", False):
        _go_on_with_a_continuation(trainer.scheduler, state)
    trainer.scheduler.load_state_dict(state)


def _go_on_with_a_continuation(scheduler: Any, state: Any) -> None:
    """Let a scheduler that would begin afresh take its place in the run that it has begun before."""
    if not state.get("is_continuation_from_checkpoint", False):
        raise TrainingError(
            "resume: the scheduler is a continuation, and the checkpoint is of the run before it. "
            "Begin from that one "
            "by WSDCheckpointCallback(initial_checkpoint=…), and give resume_from= a checkpoint of "
            "the continuation."
        )
    scheduler.is_continuation_from_checkpoint = (
        False  # the state that follows says again that it is one
    )


def _reckon_anew(trainer: Trainer, facts: Mapping[str, Any], progress: Progress) -> None:
    """Let the plan be measured on the updates that are really made, when they were of another size until here."""
    from warmdown.binding import Scheduler

    config, scheduler = trainer.run_config, trainer.scheduler
    if not isinstance(scheduler, Scheduler) or scheduler.run.clock != "updates":
        return
    if (
        config.train_total_batch_size != facts["run"]["total_batch_size"]
        and config.max_num_train_steps is None
    ):
        left, total = updates_left(trainer, progress), config.total_updates
        progress.more = 0 if left is None or total is None else progress.updates + left - total
    if progress.more != config.more_updates:
        trainer.run_config = replace(config, more_updates=progress.more)
        trainer.scheduler = None  # first: two that live would both write
        trainer.scheduler = trainer.create_scheduler()


def _load_progress(trainer: Trainer, facts: Mapping[str, Any], progress: Progress) -> None:
    trainer.progress = progress
    trainer.seed = facts["seed"]
    trainer._reseed()
    tracker, loss = trainer._loss_tracker, facts["loss"]
    tracker.total, tracker.count, tracker.window = (
        loss["total"],
        loss["count"],
        list(loss["window"]),
    )
    if facts["history"] is not None and hasattr(trainer.run_history, "load_state_dict"):
        trainer.run_history.load_state_dict(facts["history"])


def _load_rest(trainer: Trainer, rest: Mapping[str, Any]) -> None:
    rank, random = trainer._accelerator.process_index, rest["random"]
    trainer._random = random[rank] if rank < len(random) else _fresh_random(trainer)
    for key, callback in _keeping(trainer):
        if key in rest["callbacks"]:
            callback.load_state_dict(rest["callbacks"][key])
    if trainer._accelerator.scaler is not None and rest["scaler"] is not None:
        trainer._accelerator.scaler.load_state_dict(rest["scaler"])
    parameters = dict(trainer.get_model(keep_torch_compile=False).named_parameters())
    for name, gradient in rest["gradients"].items():
        parameters[name].grad = gradient.to(parameters[name].device)


def _fresh_random(trainer: Trainer) -> dict[str, Any]:
    seed_everything(
        mixed(trainer.seed, trainer.progress.updates, trainer._accelerator.process_index)
    )
    return snapshot()


def _keeping(trainer: Trainer) -> Iterator[tuple[str, Any]]:
    """Yield the callbacks that keep something over the run, each by a name of its own."""
    seen: dict[str, int] = {}
    for callback in trainer.callback_handler:
        name = type(callback).__name__
        seen[name] = seen.get(name, 0) + 1
        if hasattr(callback, "state_dict"):
            yield f"{name}/{seen[name]}", callback


def agreed(trainer: Trainer, decide: Callable[[], T]) -> T:
    """Let the first process decide, and give the others its answer, or its error.

    Raises:
        StateError: The first process met one.
        TrainingError: The first process met one.
    """
    if trainer._accelerator.num_processes == 1:
        return decide()
    answer: list[Any] = [None]
    if trainer.is_main:
        try:
            answer[0] = decide()
        except (StateError, TrainingError) as error:
            answer[0] = error
    torch.distributed.broadcast_object_list(answer)
    if isinstance(answer[0], Exception):
        raise answer[0]
    return answer[0]  # type: ignore[no-any-return]


def _is_good(path: Path) -> bool:
    try:
        verify(path)
    except StateError:
        return False
    return True
