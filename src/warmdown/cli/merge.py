"""``warmdown merge``: a cooldown without cooling, of the checkpoints of a trunk."""

from __future__ import annotations

from pathlib import Path

import click
from click import option

from warmdown.cli.options import PATH, json_option
from warmdown.cli.say import say, say_json
from warmdown.files import require_writable_file


@click.command("merge")
@click.argument("checkpoints", nargs=-1, required=True, type=PATH)
@option("--as", "decay", default="1-sqrt 10%", help="The decay: a shape and its length.")
@option("--at", type=click.IntRange(0), metavar="N", help="Update of the last checkpoint to use.")
@option("--out", type=PATH, required=True, help="Where the weights go: model.safetensors, or .pt.")
@option("--float64", "in_float64", is_flag=True, help="Keep sums in double precision.")
@json_option
def command(
    checkpoints: tuple[Path, ...],
    decay: str,
    at: int | None,
    out: Path,
    in_float64: bool,
    as_json: bool,
) -> None:
    """Write the mean of CHECKPOINTS that stands for a decay of the rate.

    CHECKPOINTS is the folder of a run's checkpoints, or files with the number of updates in their
    names. A length of 10% is of the updates made up to the last of them. Two models are in memory.
    """
    from warmdown.training.merging import merge_checkpoints

    require_writable_file(out, f"merge(--out {out})")
    given = checkpoints[0] if len(checkpoints) == 1 else checkpoints
    merged = merge_checkpoints(given, decay, at=at, in_float64=in_float64)
    merged.save(out)
    if as_json:
        say_json({**merged.to_dict(), "written": str(out)})
    else:
        say(f"{merged}\nWritten to {out}.")
