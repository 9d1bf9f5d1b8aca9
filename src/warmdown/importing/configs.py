"""Configuration files of other trainers: known by what stands in the file."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from warmdown.errors import SpecError
from warmdown.importing.formats.axolotl import read_axolotl
from warmdown.importing.formats.basicsr import read_basicsr
from warmdown.importing.formats.composer import read_composer
from warmdown.importing.formats.deepspeed import read_deepspeed
from warmdown.importing.formats.detectron2 import read_detectron2
from warmdown.importing.formats.mmengine import read_mmengine
from warmdown.importing.formats.nemo import read_nemo
from warmdown.importing.formats.section import KnownRun, Settings
from warmdown.importing.formats.timm import read_timm
from warmdown.importing.formats.torchtitan import read_torchtitan
from warmdown.plan import Plan
from warmdown.planfile.text import parse, read_text


class Format(NamedTuple):
    """A configuration format.

    Args:
        name: The trainer.
        marks: Entries that its files have, each by its path; one of these sets is enough.
        read: Returns the plan of such a file.
    """

    name: str
    marks: Sequence[str]
    read: Callable[[Settings, KnownRun], Plan]

    def fits(self, settings: Settings) -> bool:
        """Return whether a file has all entries of one of the sets of marks."""
        return any(all(_has(settings, path) for path in one.split()) for one in self.marks)


FORMATS: Sequence[Format] = (
    Format("DeepSpeed", ["scheduler.type scheduler.params"], read_deepspeed),
    Format(
        "torchtitan", ["lr_scheduler.warmup_steps", "lr_scheduler.decay_ratio"], read_torchtitan
    ),
    Format("composer", ["scheduler.name"], read_composer),
    Format("BasicSR", ["train.scheduler"], read_basicsr),
    Format("detectron2", ["SOLVER"], read_detectron2),
    Format("NeMo", ["optim.sched", "model.optim.sched"], read_nemo),
    Format("axolotl", ["cosine_min_lr_ratio", "cosine_constant_lr_ratio"], read_axolotl),
    Format("timm", ["sched warmup_epochs"], read_timm),
    Format("mmengine", ["param_scheduler"], read_mmengine),
)


def _has(settings: Any, path: str) -> bool:
    first, _, rest = path.partition(".")
    if not isinstance(settings, Mapping) or first not in settings:
        return False
    return not rest or _has(settings[first], rest)


def read_config(settings: Settings, known: KnownRun) -> Plan | None:
    """Return the plan of a configuration whose format is known, else ``None``.

    Raises:
        ScheduleError: A setting cannot be said by a plan, or the run's length is not known.
    """
    for one in FORMATS:
        if one.fits(settings):
            return one.read(settings, known)
    return None


def read_config_file(path: str | Path) -> Settings:
    """Return the settings of a file: TOML by its ending, else YAML or JSON.

    Raises:
        SpecError: It cannot be read, or it is no mapping.
    """
    try:
        text = read_text(path)
        if str(path).lower().endswith(".toml"):
            data: Any = tomllib.loads(text)
        else:
            # YAML's own marks of a number; our reader refuses tags
            data = parse(path, re.sub(r"(?<=[:\s\[,])!!(?:float|int)\s+", "", text)).data
    except tomllib.TOMLDecodeError as error:
        raise SpecError(f"{path}: no TOML: {error}.") from None
    except SpecError as error:
        raise SpecError([f"{path}: {mistake}" for mistake in error.mistakes]) from None
    if not isinstance(data, Mapping):
        raise SpecError(
            f"{path}: a mapping is needed, like class_path: torch.optim.lr_scheduler.StepLR."
        )
    return data
