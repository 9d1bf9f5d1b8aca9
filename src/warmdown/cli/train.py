"""``warmdown train``: a task under a plan, or under two to compare."""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext, redirect_stdout, suppress
from dataclasses import fields
from functools import partial
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click import option

from warmdown.cli.options import (
    Texts,
    json_option,
    law_of,
    law_option,
    plan_name,
    plan_options,
    read_input,
    read_plan,
    task_option,
)
from warmdown.cli.say import say, say_json
from warmdown.cli.signals import add_cwd_to_path
from warmdown.errors import MissingExtra, TrainingError, nearest
from warmdown.lock import Output, locked, require_unlocked
from warmdown.record import Record
from warmdown.run import Run
from warmdown.system import folder_name, rename_path

if TYPE_CHECKING:
    from warmdown.forecast import Law
    from warmdown.training import DeferredPlan, Outcome

_ANY = (
    Run(total_steps=1_000_000, epochs=1000, steps_per_epoch=1000, lr=1.0),
    {"TRAIN_DATALOADER_LEN": 1000, "EVAL_DATALOADER_LEN": 1000},
)
"""A run in which every placeholder has a number, to find what else is wrong in a plan."""
_COUNT = click.IntRange(1)
_POLICIES = ("error", "saved", "given", "stretch", "continue", "rewarm", "fit", "ask", "rescale")


@click.command("train")
@plan_options
@option("--against", metavar="NAME_OR_FILE", help="Train under this plan too, and draw both.")
@task_option
@option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for all that is written; runs/<plan> when left out.",
)
@option("--resume", is_flag=True, help="Resume from the newest good checkpoint in the folder.")
@option("--checkpoint-every", type=_COUNT, metavar="N", help="Updates between two checkpoints.")
@option("--keep", type=_COUNT, default=3, help="Checkpoints that are kept.")
@option("--seed", type=click.IntRange(0), default=0, help="Of all randomness.")
@option("--epochs", type=_COUNT, metavar="N", help="Passes over the data.")
@option("--max-steps", type=_COUNT, metavar="N", help="Updates in the run.")
@option("--stop-after", type=_COUNT, metavar="N", help="Stop after N updates of the run's plan.")
@option("--lr", type=float, help="Base learning rate.")
@option("--batch-size", type=_COUNT, metavar="N", help="Samples in a batch of one process.")
@option("--accumulate", type=_COUNT, default=1, help="Batches that make an update.")
@option(
    "--average",
    multiple=True,
    metavar="RULE",
    help="Average the weights, and evaluate that too: 0.999, 'half-life 5%', 'tail 25%'.",
)
@option(
    "--merge",
    metavar="DECAY",
    help="Measure what a decay now would be worth, from checkpoints: '1-sqrt 10%'.",
)
@option("--track", multiple=True, help="A tracker: tensorboard (the default), wandb …, or none.")
@option(
    "--on-spike",
    metavar="WHAT",
    help="When the loss jumps: rollback, or 'rollback skip=20 rescale=0.5 at_most=3 …'.",
)
@option(
    "--on-change",
    type=click.Choice(_POLICIES),
    default=_POLICIES[0],
    help="Policy when the checkpoint was made under another plan; ask is the former name of error.",
)
@law_option
@option("--threads", type=_COUNT, default=1, help="Threads of torch on the CPU.")
@json_option
def command(
    given: str,
    params: Texts,
    allow: Texts,
    against: str | None,
    out: Path | None,
    threads: int,
    law_file: Path | None,
    as_json: bool,
    **options: Any,
) -> None:  # fmt: skip
    """Train a task under a plan: progress, curves, record, TensorBoard events, checkpoints.

    The same plan, task and seed give the same weights; the digest that is printed tells whether
    they are.
    """
    import torch

    from warmdown.binding.clock import is_distributed

    torch.set_num_threads(threads)
    law = law_of(law_file)
    add_cwd_to_path()
    plans = _plans([(given, params)] + ([(against, ())] if against else []), allow)
    folder = out or Path("runs") / folder_name(next(iter(plans)))
    output = Output(f"train(--out {folder})", folder, is_folder=True)
    aside = redirect_stdout(sys.stderr) if as_json else nullcontext()
    with aside, locked([output] if is_first_process() else []):
        if not options["resume"] and is_first_process():
            _set_aside(folder)
        runs = {
            name: _train(name, plan, _folder_of(name, folder, plans), **options)
            for name, plan in plans.items()
        }
        if is_distributed():
            torch.distributed.destroy_process_group()  # its threads may abort a process that ends
        if is_first_process():
            pictures = _print_results(runs, folder, law)
    if as_json and is_first_process():
        found = [
            {"name": name, "folder": str(_folder_of(name, folder, plans)), **run.to_dict()}
            for name, run in runs.items()
        ]
        say_json({"runs": found, "pictures": pictures})


def _folder_of(name: str, folder: Path, plans: dict[str, Any]) -> Path:
    """Return where a run is written: two have a folder each."""
    return folder / folder_name(name) if len(plans) > 1 else folder


def is_first_process() -> bool:
    """Whether this is the process that speaks, among those that ``torchrun`` started."""
    return os.environ.get("RANK", "0") == "0"


def _plans(asked: list[tuple[str, Texts]], allow: Texts) -> dict[str, DeferredPlan]:
    """Return each plan by its name: a file's is its stem."""
    from warmdown.training import DeferredPlan
    from warmdown.training.planning import run_in

    plans: dict[str, DeferredPlan] = {}
    for given, params in asked:
        path, name = Path(given), plan_name(given)
        for other in plans:
            if folder_name(other).casefold() == folder_name(name).casefold():
                both = repr(name) if other == name else f"{other!r} or {name!r}, one folder for all"
                raise TrainingError(
                    f"train(--against {given}): both plans are called {both}. Rename one."
                )
        piped = read_input() if given == "-" else None
        read = partial(read_plan, given, params, allow, piped=piped)
        plans[name] = DeferredPlan(read, run_in(path if path.is_file() else piped))
        plans[name].read(*_ANY)  # mistakes come first
    return plans


def _set_aside(folder: Path) -> None:
    """Move an earlier run out of the way, so that nothing of it is lost or mixed up."""
    if not any(folder.glob("**/record.jsonl")):
        return
    require_unlocked(folder, f"train(--out {folder})")
    numbered = (folder.with_name(f"{folder.name}.{number}") for number in count(1))
    aside = next(path for path in numbered if not path.exists())
    aside.mkdir()
    # not the folder itself: its lock stays where it is, and Windows moves none in which a file is
    # open
    for part in set(folder.iterdir()) - set(folder.glob(".lock*")):
        rename_path(part, aside / part.name)
    say(f"The run that was in {folder} is now in {aside}. --resume would have resumed it.")


def _train(
    name: str, plan: DeferredPlan, folder: Path, *, task: str, track: Texts, **options: Any
) -> Outcome:
    from warmdown.cli.header import HeaderCallback
    from warmdown.training import LogMetricsCallback, ProgressBarCallback, run_task

    if options["on_spike"] is not None:
        options["on_spike"] = _rollback_of(options["on_spike"])
    is_terminal = sys.stdout.isatty()
    progress = ProgressBarCallback(f"{name:10}") if is_terminal else LogMetricsCallback(at_most=5)
    trackers = list(track)
    if not track and find_spec("tensorboard"):
        trackers = ["tensorboard"]
    elif track == ("none",):
        trackers = []
    callbacks = [HeaderCallback(name), progress]
    return run_task(task, plan, out=folder, track=trackers, callbacks=callbacks, **options)


def _rollback_of(text: str) -> Any:
    """Return what ``rollback skip=20 rescale=0.5`` means.

    Raises:
        TrainingError: It is no such text.
    """
    from warmdown.training import Rollback

    word, *settings = text.replace(",", " ").split() or [""]
    if word != "rollback":
        raise TrainingError(f"train(--on-spike {text!r}): {nearest(word, ['rollback'])}")
    known = [field.name for field in fields(Rollback)]
    values: dict[str, Any] = {}
    for setting in settings:
        name, _, value = setting.partition("=")
        if name not in known:
            raise TrainingError(f"train(--on-spike {text!r}): {nearest(name, known)}")
        values[name] = int(value) if value.isdigit() else value
        with suppress(ValueError):
            values[name] = float(value) if name == "rescale" else values[name]
    return Rollback(**values)


def _print_results(runs: dict[str, Outcome], folder: Path, law: Law | None) -> list[str]:
    """Show what came out and where it lies; return the files of its pictures."""
    from warmdown import plot

    metrics = {
        name
        for run in runs.values()
        for name in run.record.targets()
        if "/" not in name and name != "loss"
    }
    say()
    # characters are too coarse to tell a rate from the plan behind it
    say(plot.terminal(_drawn(runs, metrics), colour=True), coloured=True)
    say()
    say(_as_table(runs, law))
    say()
    for name, run in runs.items():
        early = f"  {run.stopped}" if run.stopped else ""
        say(f"weights of {name}: SHA-256 {run.digest}{early}")
    drawn, title = _drawn(runs), " against ".join(runs)
    if isinstance(drawn, Record):
        (run,) = runs.values()
        drawn = plot.view(drawn) if run.plan is None else plot.view(run.plan, record=drawn)
    file = folder / ("compare" if len(runs) > 1 else "picture")
    try:
        pictures = [
            str(plot.save(drawn, file.with_suffix(ending), title=title))
            for ending in (".png", ".html")
        ]
    except (MissingExtra, OSError) as error:
        say(f"no picture: {error}")
        return []
    say(f"pictures: {', '.join(pictures)}")
    return pictures


def _drawn(runs: dict[str, Outcome], *metrics: set[str]) -> Any:
    """Return the curves of one run, or those of each by its name."""
    from warmdown.training import curves

    records = {name: curves(run.record, *metrics) for name, run in runs.items()}
    return records if len(records) > 1 else next(iter(records.values()))


def _as_table(runs: dict[str, Outcome], law: Law | None) -> str:
    from warmdown.formatting import aligned

    metrics = list(dict.fromkeys(name for run in runs.values() for name in run.metrics))
    heads = [name.replace("eval_", "test ").replace("_", " ") for name in metrics]
    heads += ["predicted loss"] if law else []
    rows = [["", "rate", *heads, "updates", "seconds"]]
    for name, run in runs.items():
        values = [
            f"{run.metrics[metric]:.4f}" if metric in run.metrics else "" for metric in metrics
        ]
        values += [str(law.final_of(*_rates_of(run.record)))] if law else []
        rows.append([name, _blocks_of(run.record), *values, str(run.updates), f"{run.seconds:.1f}"])
    return aligned(rows, left=range(len(rows[0])))


def _blocks_of(record: Record) -> str:
    """Return the recorded rate as a line of blocks."""
    from warmdown.plot import sparkline

    _, rates = _rates_of(record)
    return sparkline(rates, width=20) if rates else ""


def _rates_of(record: Record) -> tuple[list[int], list[float]]:
    """Return steps and rates of the first group that was recorded."""
    found = [target for target in record.targets() if target.startswith("lr")]
    return record.curve(found[0]) if found else ([], [])
