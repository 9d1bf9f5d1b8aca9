"""What a run needs to go on: gathered from all processes into a checkpoint, and restored."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

import warmdown
from warmdown.binding import Scheduler
from warmdown.binding.field import Field, unwrap
from warmdown.errors import StateError, TrainingError
from warmdown.schedules import Set
from warmdown.training.checkpoint import Writer, find_checkpoint, write_folder
from warmdown.training.progress import Progress
from warmdown.training.rng import derive_seed, seed_everything, snapshot
from warmdown.training.steps import TrainingSteps
from warmdown.training.types import Data
from warmdown.training.weights import read_pickled, read_weights, write_weights

_VERSION = 1


def save_state(trainer: TrainingSteps, path: Path) -> Path:
    """Write a checkpoint as the folder ``path``; every process calls it, the first one writes."""
    _save(trainer, partial(write_folder, path))
    return path


def save_numbered(trainer: TrainingSteps) -> Path:
    """Write the checkpoint of the current update among the run's own, unless it is there."""
    run, checkpoints = trainer.run_state, trainer.checkpoints
    assert checkpoints is not None
    updates = run.progress.updates
    if run.progress != run.saved_at:
        if run.guard is not None:
            checkpoints.safe_until = run.guard.newest_safe
            run.guard.add_saved(updates)
        _save(trainer, partial(checkpoints.save, updates))
        run.saved_at = copy(run.progress)
    return checkpoints.path(updates)


def load_state(
    trainer: TrainingSteps, path: Path, on_change: str, *, is_quiet: bool = False
) -> None:
    """Restore a checkpoint; all of it is read and compared before any of it is put in place.

    Raises:
        StateError: It is damaged, or of another model, optimizer or plan.
        TrainingError: There is none, or the data is not the same.
    """
    path, saved = _read_checkpoint(trainer, path)
    here, there = _run_facts(trainer), saved["run"]
    differences = list(_changed_numbers(here, there))
    if here["items"] != there["items"]:
        raise TrainingError(
            f"resume: the training data has {here['items']} items, and had {there['items']} when "
            f"the checkpoint was made. Give the same data, or begin a new run from the weights: "
            f"trainer.load_checkpoint(…)."
        )
    progress = Progress(**saved["progress"])
    _resize_plan(trainer, here["total_batch_size"] == there["total_batch_size"], progress)
    is_asked = on_change in ("error", "ask")
    if is_asked:
        on_change = "fit" if differences else ""
    given = _changed_values(trainer, saved.get("given", {}), on_change)
    is_free = trainer.scheduler is None or isinstance(trainer.scheduler, Scheduler)
    if given and (is_asked or (on_change == "given" and not is_free)):
        lines = (f"{name}: {old} (saved), {new} (given)" for name, (old, new) in given.items())
        way_out = "'given' for the new values, " if is_free else ""
        raise StateError(
            f"resume: the optimizer is made with other values than when the checkpoint was made: "
            f"{'; '.join(lines)}. Make it as before, or name how to go on: on_change={way_out}"
            f"'saved' for the saved ones."
        )
    # before the weights: a plan that is refused must not leave half of a checkpoint behind
    _load_scheduler(trainer, saved["scheduler"], on_change)
    load_weights(trainer, saved["weights"], saved["optimizer"])
    if on_change == "given":
        for name, (_, row) in given.items():
            Field(trainer.optimizer, name).write(row)
    run, history = trainer.run_state, saved["history"]
    run.progress, run.saved_at = progress, None
    if run.guard is not None:
        run.guard.load_state_dict(saved.get("spikes"), progress.updates)
    run.train_loss.load_state_dict(saved["loss"])
    trainer.seed = saved["seed"]
    if run.train_source is not None:
        run.train_source.reseed(trainer.seed)
    if history is not None and hasattr(trainer.run_history, "load_state_dict"):
        trainer.run_history.load_state_dict(history)
    _load_extras(trainer, saved)
    if not is_quiet:
        for line in (f"Resumed from {path} at update {progress.updates}.", *differences):
            trainer.print(line)


def begin_from(trainer: TrainingSteps, path: Path) -> Any:
    """Load model and optimizer of a checkpoint; return the state of its scheduler.

    Raises:
        StateError: It is damaged, or of another model or optimizer.
        TrainingError: There is none.
    """
    _, saved = _read_checkpoint(trainer, path)
    load_weights(trainer, saved["weights"], saved["optimizer"])
    return saved["scheduler"]


def _save(trainer: TrainingSteps, write: Callable[[dict[str, Writer]], object]) -> None:
    """Gather the content of each file from all processes, and write them on the first one."""
    trainer.call_event("on_state_saving")
    from accelerate.utils import gather_object  # type: ignore[import-untyped]

    run = trainer.run_state
    state = model_state(trainer)
    weights = {name: value for name, value in state.items() if isinstance(value, torch.Tensor)}
    optimizer = optimizer_state(trainer)
    scheduler = _state_dict_of(trainer.scheduler)
    is_readable = _is_json(scheduler)
    facts = {
        "version": _VERSION,
        "made_with": {"warmdown": warmdown.__version__, "torch": str(torch.__version__)},
        "progress": asdict(run.progress),
        "run": _run_facts(trainer),
        "seed": trainer.seed,
        "given": trainer.base_values.given(),
        "loss": run.train_loss.state_dict(),
        "history": _state_dict_of(trainer.run_history),
        "scheduler": scheduler if is_readable else None,
        "spikes": _state_dict_of(run.guard),
    }
    extras = {  # what JSON cannot hold
        "random": gather_object([snapshot()]),
        "callbacks": {key: callback.state_dict() for key, callback in _stateful(trainer)},
        "scaler": _state_dict_of(run.accelerator.scaler),
        "scheduler": None if is_readable else scheduler,
        "gradients": _waiting_gradients(trainer),
        "model": {name: value for name, value in state.items() if name not in weights},
    }
    text = json.dumps(facts, indent=1)
    files: dict[str, Writer] = {
        "training.json": lambda path: path.write_text(text, encoding="utf-8", newline="\n"),
        "model.safetensors": lambda path: write_weights(path, weights),
        "optimizer.pt": lambda path: torch.save(optimizer, path),
        "extras.pt": lambda path: torch.save(extras, path),
    }
    if trainer.is_main:
        write(files)
    run.accelerator.wait_for_everyone()


def _state_dict_of(owner: Any) -> Any:
    return owner.state_dict() if hasattr(owner, "state_dict") else None


def _run_facts(trainer: TrainingSteps) -> Data:
    config, source = trainer.run_config, trainer.run_state.train_source
    return {
        "items": None if source is None else source.items,
        "num_processes": config.num_processes,
        "per_device_batch_size": config.train_per_device_batch_size,
        "gradient_accumulation_steps": config.gradient_accumulation_steps,
        "total_batch_size": config.train_total_batch_size,
        "updates_per_epoch": config.num_update_steps_per_epoch,
        "total_updates": config.total_updates,
    }


def _waiting_gradients(trainer: TrainingSteps) -> dict[str, torch.Tensor]:
    """Return the gradients that wait for the rest of their update."""
    if not trainer.progress.window_done or trainer.run_config.is_distributed:
        return {}
    named = trainer.get_model(keep_torch_compile=False).named_parameters()
    return {name: weight.grad for name, weight in named if weight.grad is not None}


def _is_json(state: Any) -> bool:
    try:
        return bool(json.loads(json.dumps(state)) == state)
    except (TypeError, ValueError):
        return False


def _read_checkpoint(trainer: TrainingSteps, path: Path) -> tuple[Path, Data]:
    """Return a checkpoint's path and content; refuse one of another model or optimizer."""
    first_process_decides = trainer.run_state.first_process_decides
    path = first_process_decides(lambda: find_checkpoint(path, trainer.print))
    facts = json.loads((path / "training.json").read_text(encoding="utf-8"))
    if (version := facts.get("version")) != _VERSION:
        made_with = facts.get("made_with", {}).get("warmdown", "another version")
        raise StateError(
            f"{path}: training.json(version={version!r}): this warmdown reads version {_VERSION}. "
            f"Use the one that saved it ({made_with})."
        )
    extras_file = path / "extras.pt"
    # the name that it had before 0.1
    extras = read_pickled(extras_file if extras_file.exists() else path / "rest.pt")
    weights = read_weights(path / "model.safetensors") | extras["model"]
    optimizer = read_pickled(path / "optimizer.pt")
    require_same_shapes(trainer, weights, optimizer)
    scheduler = facts["scheduler"] or extras["scheduler"]
    large = {"scheduler": scheduler, "weights": weights, "optimizer": optimizer}
    return path, {**extras, **facts, **large}


def _changed_numbers(here: Data, there: Data) -> Iterator[str]:
    """Yield a sentence for each number of the run that another one was saved for."""
    if here["num_processes"] != there["num_processes"]:
        yield f"{here['num_processes']} processes train now, {there['num_processes']} did before."
    if here["total_batch_size"] != there["total_batch_size"]:
        yield (
            f"An update uses {here['total_batch_size']} samples now, it used "
            f"{there['total_batch_size']}; an epoch has {here['updates_per_epoch']} updates, it "
            f"had {there['updates_per_epoch']}."
        )


def _changed_values(
    trainer: TrainingSteps, saved: Data, on_change: str
) -> dict[str, tuple[list[float], list[float]]]:
    """Return what the optimizer was made with before and is made with now, where that differs.

    What the plan drives is compared by the scheduler, except where its curve is fitted again; a
    value that the plan sets depends on neither.
    """
    now = trainer.base_values.given()
    if isinstance(trainer.scheduler, Scheduler):
        for target in trainer.scheduler.plan.targets:
            if on_change != "fit" or isinstance(target.rule, Set):
                now.pop(target.name, None)
    return {name: (saved[name], row) for name, row in now.items() if saved.get(name, row) != row}


def _resize_plan(trainer: TrainingSteps, has_same_size: bool, progress: Progress) -> None:
    """Measure the plan on the updates really made, where they had another size before."""
    run, scheduler = trainer.run_state, trainer.scheduler
    config = run.config
    if not isinstance(scheduler, Scheduler) or scheduler.run.clock != "updates":
        return
    if not has_same_size and config.max_num_train_steps is None:
        left, total = run.updates_left(progress), config.total_updates
        progress.more = 0 if left is None or total is None else progress.updates + left - total
    if progress.more != config.more_updates:
        run.config = replace(config, more_updates=progress.more)
        trainer.replace_scheduler()


def _load_scheduler(trainer: TrainingSteps, state: Any, on_change: str) -> None:
    scheduler = trainer.scheduler
    if scheduler is None or state is None:
        return
    if isinstance(scheduler, Scheduler):
        scheduler.load_state_dict(state, on_change=on_change or None)  # type: ignore[arg-type]
        return
    if getattr(scheduler, "is_continuation_from_checkpoint", False):
        if not state.get("is_continuation_from_checkpoint", False):
            raise TrainingError(
                "resume: the scheduler is a continuation, and the checkpoint is of the run before "
                "it. Begin from that one by WSDCheckpointCallback(initial_checkpoint=…), and give "
                "resume_from= a checkpoint of the continuation."
            )
        # it would begin afresh; the state that follows sets it again
        scheduler.is_continuation_from_checkpoint = False
    scheduler.load_state_dict(state)


def _load_extras(trainer: TrainingSteps, saved: Data) -> None:
    run, states = trainer.run_state, saved["callbacks"]
    rank, random = run.accelerator.process_index, saved["random"]
    if rank < len(random):
        run.random = random[rank]
    else:  # a process that the saved run did not have
        seed_everything(derive_seed(trainer.seed, run.progress.updates, rank))
        run.random = snapshot()
    for key, callback in _stateful(trainer):
        if key in states:
            callback.load_state_dict(states[key])
    if run.accelerator.scaler is not None and saved["scaler"] is not None:
        run.accelerator.scaler.load_state_dict(saved["scaler"])
    parameters = dict(trainer.get_model(keep_torch_compile=False).named_parameters())
    for name, gradient in saved["gradients"].items():
        parameters[name].grad = gradient.to(parameters[name].device)


def _stateful(trainer: TrainingSteps) -> Iterator[tuple[str, Any]]:
    """Yield the callbacks that have a state, each with a name of its own."""
    counts: Counter[str] = Counter()
    for callback in trainer.callback_handler:
        name = type(callback).__name__
        counts[name] += 1
        if hasattr(callback, "state_dict"):
            yield f"{name}/{counts[name]}", callback


def model_state(trainer: TrainingSteps) -> Data:
    """Return the whole state of the model; of a sharded one on the first process alone."""
    if is_sharded(trainer):
        return dict(_call_on_whole_state("get_model_state_dict", trainer.model))
    return trainer.get_model(keep_torch_compile=False).state_dict()


def optimizer_state(trainer: TrainingSteps) -> Data:
    """Return the whole state of the optimizer; of a sharded one on the first process alone."""
    optimizer = unwrap(trainer.optimizer)
    if is_sharded(trainer):
        return dict(_call_on_whole_state("get_optimizer_state_dict", trainer.model, optimizer))
    return dict(optimizer.state_dict())


def require_same_shapes(trainer: TrainingSteps, weights: Data, optimizer: Data | None) -> None:
    """Refuse the states of another model or optimizer, before any of them is loaded.

    Raises:
        StateError: The message names what differs.
    """
    saved = _tensor_shapes(weights)
    # of a sharded model only torch knows which piece of a weight lies here
    model = trainer.get_model(keep_torch_compile=False)
    shapes = saved if is_sharded(trainer) else _tensor_shapes(model.state_dict())
    differences = [
        f"{name} is {saved.get(name, 'missing')} and here {shapes.get(name, 'missing')}"
        for name in shapes | saved
        if shapes.get(name) != saved.get(name)
    ]
    if differences:
        more = f" and {len(differences) - 5} more" if len(differences) > 5 else ""
        raise StateError(
            f"model: the checkpoint is of another model: {'; '.join(differences[:5])}{more}. "
            "Build the model as the saved run did."
        )
    if optimizer is not None and not _is_by_name(optimizer):
        if is_sharded(trainer):
            raise StateError(
                "optimizer.load_state_dict: the checkpoint was made without FSDP. Go on without "
                "it, or begin a new run from the weights: "
                "trainer.load_checkpoint(…, load_optimizer=False)."
            )
        here = _group_sizes(unwrap(trainer.optimizer).param_groups)
        there = _group_sizes(optimizer["param_groups"])
        if here != there:
            raise StateError(
                f"optimizer.load_state_dict: the saved groups have {there} parameters, and those "
                f"here {here}. Build the optimizer as the saved run did."
            )


def load_weights(trainer: TrainingSteps, weights: Data, groups: Data | None) -> None:
    """Load the whole states of model and optimizer, after :func:`require_same_shapes`."""
    model, optimizer = trainer.model, unwrap(trainer.optimizer)
    if is_sharded(trainer):
        _call_on_whole_state("set_model_state_dict", model, weights)
    else:
        trainer.get_model(keep_torch_compile=False).load_state_dict(weights)
    if groups is None:
        return
    if _is_by_name(groups):  # saved from pieces: torch loads them, in pieces or whole
        _call_on_whole_state("set_optimizer_state_dict", model, optimizer, groups)
    else:
        optimizer.load_state_dict(groups)


def is_sharded(trainer: TrainingSteps) -> bool:
    """Return whether weights lie in pieces on the processes."""
    return str(trainer.run_state.accelerator.distributed_type.value) == "FSDP"


def _is_by_name(state: Data) -> bool:
    """Return whether parameters have their names in it, as sharding needs, not numbers."""
    return any(isinstance(key, str) for key in state["state"])


def _group_sizes(groups: list[Data]) -> list[int]:
    return [len(group["params"]) for group in groups]


def _tensor_shapes(weights: Data) -> dict[str, list[int]]:
    return {name: list(getattr(value, "shape", ())) for name, value in weights.items()}


def _call_on_whole_state(function: str, *args: Any) -> Any:
    """Call a function of torch that gathers the whole state from pieces, or shares it out."""
    # here, not above: the import takes seconds, and only sharded runs need it
    from torch.distributed.checkpoint import state_dict as functions

    options = functions.StateDictOptions(full_state_dict=True, cpu_offload=True)
    return getattr(functions, function)(*args, options=options)
