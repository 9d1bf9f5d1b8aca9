"""``warmdown import``: another library's configuration, or a class of it, as a plan."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from click import option

from warmdown.cli.options import Texts, is_file, json_option, named_values
from warmdown.cli.say import say, say_json
from warmdown.errors import SpecError
from warmdown.run import Run


@click.command("import")
@click.argument("source")
@option(
    "--param",
    "-p",
    multiple=True,
    metavar="NAME=VALUE",
    help="An argument of the class, or beside a trainer_state.json; may come again.",
)
@option(
    "--mode",
    type=click.Choice(["faithful", "corrected"]),
    default="faithful",
    help="Bug for bug, or as documented.",
)
@option("--total-steps", type=click.IntRange(1), help="Updates in the run.")
@option("--steps-per-epoch", type=click.IntRange(1), help="Updates in an epoch.")
@option("--epochs", type=click.IntRange(1), help="Epochs in the run.")
@option("--lr", type=float, help="Base learning rate.")
@option("--allow", multiple=True, help="A module that classes may be taken from; may come again.")
@option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the plan to a file (.yaml, .json).",
)
@json_option
def command(
    source: str, param: Texts, lr: float | None, out: Path | None, as_json: bool, **how: Any
) -> None:
    """Turn SOURCE into a plan and say where the original parts from its documentation.

    SOURCE is a YAML, JSON or TOML file, a training script's command line or a file with it, or a
    dotted class path with its arguments as --param. A file has a class_path and init_args, as those
    of Lightning and Hydra have, or is one of transformers (TRL, LLaMA-Factory), transformers'
    trainer_state.json, diffusers, axolotl, torchtune, DeepSpeed, Megatron-LM, OLMo-core, OLMo,
    torchtitan, composer, NeMo, timm, mmengine, detectron2, BasicSR, ultralytics, OneTrainer, kohya,
    ai-toolkit, ESPnet, RLlib.

    \b
    warmdown import torch.optim.lr_scheduler.OneCycleLR -p max_lr=0.1 -p total_steps=1000
    warmdown import training_args.json --total-steps 5000 --out plan.yaml
    warmdown import "train.py --learning_rate 2e-5 --max_steps 1000 --warmup_steps 50"
    warmdown import trainer_state.json -p warmup_steps=0 --lr 5e-5
    """  # noqa: D301  # click reads the backspace
    from warmdown.importing import from_settings
    from warmdown.planfile import dumps, save

    settings = _settings(source, param)
    if lr is not None:
        Run(lr=lr)  # refuses what is no rate
    notes: list[str] = []
    plan = from_settings(settings, lr=lr, report=notes.append, **how)
    written = None if out is None else save(plan, out)
    for line in notes:
        say(f"# {line}", err=True)
    if as_json:
        say_json({"plan": plan.to_dict(), "notes": notes, "written": written and str(written)})
    else:
        say(dumps(plan).removesuffix("\n") if written is None else f"wrote {written}")


def _settings(source: str, params: Texts) -> Mapping[str, Any]:
    from warmdown.importing.configs import read_config_file
    from warmdown.importing.formats.command_line import settings_of_command
    from warmdown.planfile.text import from_yaml

    given = named_values("--param", params)
    if not is_file(source) and not given and (command := settings_of_command(source)):
        return command
    arguments = {name: from_yaml(value).data for name, value in given.items()}
    if not is_file(source):
        return {"class_path": source, "init_args": arguments}
    settings = read_config_file(source)
    if given and "log_history" not in settings:
        raise SpecError(f"--param {params[0]}: a file has its arguments in it. Write it there.")
    return {**settings, **arguments}
