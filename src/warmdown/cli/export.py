"""``warmdown export``: a plan as another trainer's configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from click import option

from warmdown.cli.options import json_option, read_plan_for_run, run_options
from warmdown.cli.say import say, say_json

_FORMATS = ("transformers", "deepspeed", "torchtitan", "composer", "timm", "onetrainer", "mmengine",
            "axolotl", "megatron", "torch", "PlanLR")  # fmt: skip


@click.command("export")
@run_options
@option("--to", required=True, type=click.Choice(_FORMATS), help="The trainer.")
@option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write it to a file, which is there as a whole or not at all.",
)
@json_option
def command(given: str, to: str, out: Path | None, as_json: bool, **asked: Any) -> None:
    """Write a plan as another trainer's configuration, where that trainer can say it exactly.

    Settings are read back, and every update compared to 1e-9, before they are written. What the
    trainer cannot say is refused with its phase and the nearest that it can. torch is code of a
    LambdaLR, PlanLR a class path with the plan in its arguments.

    \b
    warmdown export plan.yaml --to transformers
    warmdown export diffusion-lora --to composer --out composer.yaml
    """  # noqa: D301  # click reads the backspace
    from warmdown.importing import export_config
    from warmdown.planfile.writing import write_text

    text = export_config(read_plan_for_run(given, **asked), to=to)
    if out is not None:
        write_text(out, text)
    if as_json:
        say_json({"to": to, "text": text, "written": out and str(out)})
    else:
        say(text.removesuffix("\n") if out is None else f"wrote {out}")
