"""``warmdown train``: a task under a plan, beside another plan when there is one to compare with."""

from __future__ import annotations

__all__ = ["command"]

import os
import sys
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from warmdown.errors import MissingExtra, TrainingError
from warmdown.record import Record

if TYPE_CHECKING:
    from warmdown.training import Outcome

_POLICIES = ("ask", "saved", "given", "rescale", "continue")


@click.command("train")
@click.argument("plan", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--against",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Train under this plan too, and draw both.",
)
@click.option(
    "--task", default="digits", show_default=True, help="digits, fashion, text, or module:function of your own."
)
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), help="Folder for all that is written.  [runs/<plan>]"
)
@click.option("--resume", is_flag=True, help="Go on from the newest good checkpoint in the folder, if there is one.")
@click.option("--checkpoint-every", type=click.IntRange(1), metavar="N", help="Updates between two checkpoints.")
@click.option("--keep", type=click.IntRange(1), default=3, show_default=True, help="Checkpoints that are kept.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of all that is random.")
@click.option("--epochs", type=click.IntRange(1), help="Passes over the data.")
@click.option("--max-steps", type=click.IntRange(1), metavar="N", help="Updates to make.")
@click.option("--batch-size", type=click.IntRange(1), help="Samples in a batch of one process.")
@click.option("--accumulate", type=click.IntRange(1), default=1, show_default=True, help="Batches that make an update.")
@click.option("--track", multiple=True, help="A tracker: tensorboard (the default), wandb …, or none.")
@click.option(
    "--on-change",
    type=click.Choice(_POLICIES),
    default="ask",
    show_default=True,
    help="What happens when the checkpoint was made under another plan.",
)
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="Threads of torch on the CPU.")
def command(plan: Path, against: Path | None, out: Path | None, threads: int, **told: Any) -> None:
    """Train under PLAN: progress bar, curves, record, TensorBoard events, checkpoints.

    The same plan, task and seed give the same weights: the digest that is printed last tells whether they are.
    """
    import torch

    torch.set_num_threads(threads)
    if "" not in sys.path:
        sys.path.insert(0, "")  # a task of one's own lies in the folder that the command is called in
    plans = _named([plan] if against is None else [plan, against])
    folder = out or Path("runs") / plan.stem
    if not told["resume"]:
        _set_aside(folder)
    runs = {name: _train(name, path, folder / name if against else folder, **told) for name, path in plans.items()}
    if is_first_process():
        _tell(runs, folder)


def is_first_process() -> bool:
    """Whether this is the process that speaks, among those that ``torchrun`` started."""
    return os.environ.get("RANK", "0") == "0"


def _named(paths: list[Path]) -> dict[str, Path]:
    plans = {path.stem: path for path in paths}
    if len(plans) < len(paths):
        raise TrainingError(f"train(--against {paths[1]}): both plans are called {paths[1].stem!r}. Rename one.")
    return plans


def _set_aside(folder: Path) -> None:
    """Move an earlier run out of the way, so that nothing of it is lost or mixed up."""
    if not is_first_process() or not any(folder.glob("**/record.jsonl")):
        return
    number = next(number for number in count(1) if not folder.with_name(f"{folder.name}.{number}").exists())
    aside = folder.with_name(f"{folder.name}.{number}")
    folder.rename(aside)
    click.echo(f"The run that was in {folder} is now in {aside}. --resume would have gone on with it.")


def _train(name: str, path: Path, folder: Path, *, track: tuple[str, ...], task: str, **told: Any) -> Outcome:
    from warmdown.training import LogMetricsCallback, ProgressBarCallback, run_task

    shows = ProgressBarCallback(name) if sys.stdout.isatty() else LogMetricsCallback()
    if is_first_process():
        click.echo(f"{name} ({path}): {task}, seed {told['seed']} → {folder}")
    return run_task(
        task,
        path,
        out=folder,
        resume=told["resume"],
        checkpoint_every=told["checkpoint_every"],
        keep=told["keep"],
        seed=told["seed"],
        epochs=told["epochs"],
        max_steps=told["max_steps"],
        batch_size=told["batch_size"],
        accumulate=told["accumulate"],
        on_change=told["on_change"],
        track=_trackers(track),
        callbacks=[shows],
    )


def _trackers(asked: tuple[str, ...]) -> list[str]:
    if asked == ("none",):
        return []
    return list(asked) or (["tensorboard"] if find_spec("tensorboard") else [])


def _tell(runs: dict[str, Outcome], folder: Path) -> None:
    """Show what came out: a picture in the terminal, a table, and where the rest lies."""
    from warmdown import plot

    shown = {name: _curves(run.record) for name, run in runs.items()}
    drawn: Any = shown if len(shown) > 1 else next(iter(shown.values()))
    click.echo()
    click.echo(plot.terminal(drawn, colour=sys.stdout.isatty(), height=8))
    click.echo()
    for line in _table(runs):
        click.echo(line)
    click.echo()
    for name, run in runs.items():
        early = f"  {run.stopped}" if run.stopped else ""
        click.echo(f"weights of {name}: SHA-256 {run.digest}{early}")
    _draw(drawn, folder / ("compare" if len(runs) > 1 else "picture"), " against ".join(runs))


def _draw(drawn: Any, file: Path, title: str) -> None:
    from warmdown import plot

    try:
        written = [plot.save(drawn, file.with_suffix(ending), title=title) for ending in (".png", ".html")]
    except MissingExtra as error:
        click.echo(f"no picture: {error}")
        return
    click.echo(f"pictures: {', '.join(str(path) for path in written)}")


def _curves(record: Record) -> Record:
    """Return what is worth a picture: the rates as they were, the loss as a running mean, the metrics."""
    shown = Record()
    for target in record.targets():
        if target in _LEFT_OUT:
            continue
        steps, values = record.curve(target)
        if target == "loss":
            values = _running_mean(values, max(1, len(values) // 50))
        for step, value in zip(steps, values, strict=True):
            shown.add(step, _NAMES.get(target, target), value)
    return shown


_NAMES = {"loss": "training loss", "eval_loss_epoch": "test loss", "lr/0": "lr"}
_LEFT_OUT = ("phase", "samples_per_second", "train_loss_epoch")


def _running_mean(values: list[float], width: int) -> list[float]:
    mean, means = values[0], []
    for value in values:
        mean += (value - mean) / width
        means.append(mean)
    return means


def _table(runs: dict[str, Outcome]) -> list[str]:
    metrics = list(dict.fromkeys(name for run in runs.values() for name in run.metrics))
    rows = [["", "rate", *(name.replace("eval_", "test ").replace("_", " ") for name in metrics), "updates", "seconds"]]
    for name, run in runs.items():
        told = [f"{run.metrics[metric]:.4f}" if metric in run.metrics else "" for metric in metrics]
        rows.append([name, _rate(run.record), *told, str(run.updates), f"{run.seconds:.1f}"])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _rate(record: Record) -> str:
    from warmdown.plot import sparkline

    rates = next((target for target in record.targets() if target.startswith("lr")), "")
    return sparkline(record.curve(rates)[1], width=20) if rates else ""
