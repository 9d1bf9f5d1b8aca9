"""``warmdown find``: a range test of a task."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from click import option

from warmdown.cli.compare import write_report
from warmdown.cli.options import PATH, address_option, json_option, task_option
from warmdown.cli.say import say, say_json
from warmdown.cli.signals import add_cwd_to_path, ends_by_ctrl_c
from warmdown.errors import ScheduleError
from warmdown.files import require_writable_file


@click.command(name="find")
@task_option
@option("--target", default="lr", help="What is swept: lr, weight_decay, momentum …")
@option("--start", default=1e-5, help="First value.")
@option("--end", default=10.0, help="Last value.")
@option("--steps", default=100, help="Updates from the first to the last.")
@option("--shape", default="exponential", help="exponential or linear.")
@option("--repeats", default=3, help="Passes, each with other random numbers.")
@option("--smoothing", default=0.03, help="Width of the smoothing, of the sweep.")
@option("--stop-at", default=4.0, help="How far the loss may rise; inf: any.")
@option("--batch-size", type=int, help="Samples in a batch; the task's own when left out.")
@option("--accumulate", default=1, help="Batches that make an update.")
@option("--seed", default=0, help="Seeds weights, order and intervals.")
@option("--engine", default="serial", help="Where passes are made: serial, loky, dask or ray.")
@address_option
@option("--jobs", type=int, help="Passes at once.")
@option("--silence", default=600.0, help="Seconds until a pass hangs.")
@option("--out", type=PATH, help="Write a picture too: .png, .svg, .html, or .json.")
@json_option
def command(out: Path | None, as_json: bool, **how: Any) -> None:
    """Sweep a rate over a task's first updates and read good rates off the loss."""
    if out is not None:
        if out.suffix not in (".png", ".svg", ".html", ".json"):
            raise ScheduleError(
                f"warmdown find(--out {out}): not a kind of picture. Use .png, .svg, .html or "
                f".json."
            )
        require_writable_file(out, f"find(--out {out})")
    with ends_by_ctrl_c("A range test leaves nothing behind."):
        import torch

        from warmdown.experiments import find_rate_of_task

        add_cwd_to_path()
        torch.set_num_threads(1)  # small models are slower on several
        test = find_rate_of_task(progress=_print_pass, **how)
    if as_json:
        say_json(test.to_dict())
    else:
        say(test.terminal())
    write_report(test, out)


def _print_pass(number: int, worker: str, done: int, total: int) -> None:
    where = f" on {worker}" if worker else ""
    say(f"[{done}/{total}] pass {number}{where}", err=True)
