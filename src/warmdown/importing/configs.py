"""Configuration files of other trainers: known by what stands in the file."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from warmdown.errors import SpecError
from warmdown.importing.formats.aitoolkit import read_aitoolkit
from warmdown.importing.formats.axolotl import read_axolotl
from warmdown.importing.formats.basicsr import read_basicsr
from warmdown.importing.formats.classes import names_class
from warmdown.importing.formats.command_line import settings_of_command
from warmdown.importing.formats.composer import read_composer
from warmdown.importing.formats.deepspeed import read_deepspeed
from warmdown.importing.formats.detectron2 import read_detectron2
from warmdown.importing.formats.diffusers import read_diffusers
from warmdown.importing.formats.espnet import read_espnet
from warmdown.importing.formats.kohya import read_kohya
from warmdown.importing.formats.megatron import read_megatron
from warmdown.importing.formats.mmengine import read_mmengine
from warmdown.importing.formats.nemo import read_nemo
from warmdown.importing.formats.olmo import read_olmo, read_olmo_core
from warmdown.importing.formats.onetrainer import read_onetrainer
from warmdown.importing.formats.rllib import read_rllib
from warmdown.importing.formats.section import KnownRun, Settings
from warmdown.importing.formats.timm import read_timm
from warmdown.importing.formats.torchtitan import read_torchtitan
from warmdown.importing.formats.torchtune import read_torchtune
from warmdown.importing.formats.trainer_state import read_trainer_state
from warmdown.importing.formats.training_arguments import read_training_arguments
from warmdown.importing.formats.ultralytics import read_ultralytics
from warmdown.plan import Plan
from warmdown.planfile.text import parse, read_text


class Format(NamedTuple):
    """A configuration format.

    Args:
        name: The trainer.
        marks: Entries that its files have, each by its path, and by its value where that is
            ``path=one|another``, under any name where it begins with ``*``; one of these sets is
            enough.
        read: Returns the plan of such a file.
    """

    name: str
    marks: Sequence[str]
    read: Callable[[Settings, KnownRun], Plan]

    def fits(self, settings: Settings) -> bool:
        """Return whether a file has all entries of one of the sets of marks."""
        return any(all(_has(settings, path) for path in one.split()) for one in self.marks)


Find: TypeAlias = Callable[[str], "tuple[str, Find] | None"]
"""Returns the text of a file that another one names, and what finds those that it names."""
_DEEPEST_BASE = 10
"""Files that may stand below each other."""
FORMATS: Sequence[Format] = (
    Format(
        "Megatron-LM",
        [
            "lr_decay_style",
            "lr_decay_iters",
            "lr_warmup_iters",
            "lr_decay_samples",
            "lr_warmup_samples",
            "lr_wsd_decay_style",
            "lr train_iters",
            "lr train_samples",
            "optimizer.lr train.train_iters",
            "scheduler.lr_decay_style",
            "scheduler.lr_warmup_iters",
            "MODEL_ARGS.--lr",
            "--lr",
        ],
        read_megatron,
    ),
    Format(
        "OLMo-core",
        [
            "scheduler._CLASS_",
            "train_module.scheduler",
            "trainer.callbacks.lr_scheduler.scheduler",
            "scheduler.type=cos_with_warmup|linear_with_warmup|wsd|wsds|half_cos_with_warmup"
            "|inv_sqrt_with_warmup|constant_with_warmup|sequential|composable|power_lr",
        ],
        read_olmo_core,
    ),
    Format(
        "OLMo",
        [
            "scheduler.name optimizer.learning_rate",
            "scheduler.name=linear_with_warmup|inverse_sqrt_with_warmup|max_scheduler"
            "|cosine_linear_envelope",
            "scheduler.units",
            "scheduler.warmup_min_lr",
            "scheduler.grad_clip_warmup_steps",
        ],
        read_olmo,
    ),
    Format(
        "DeepSpeed",
        [
            "scheduler.type=WarmupLR|WarmupDecayLR|WarmupCosineLR|OneCycle|LRRangeTest",
            "scheduler.type scheduler.params",
            "deepspeed.scheduler.type",
        ],
        read_deepspeed,
    ),
    Format(
        "torchtitan",
        [
            "lr_scheduler.warmup_steps",
            "lr_scheduler.decay_ratio",
            "lr_scheduler.decay_type",
            "lr_scheduler.min_lr_factor",
            "training.steps training.local_batch_size",
            "training.steps training.seq_len optimizer",
        ],
        read_torchtitan,
    ),
    Format("composer", ["scheduler.name"], read_composer),
    Format("BasicSR", ["train.scheduler.type", "train.optim_g"], read_basicsr),
    Format("detectron2", ["SOLVER"], read_detectron2),
    Format("NeMo", ["optim.sched", "model.optim.sched"], read_nemo),
    Format("timm", ["sched warmup_epochs", "sched warmup_lr", "sched lr_base"], read_timm),
    Format(
        "OneTrainer", ["learning_rate_scheduler", "training_method model_type"], read_onetrainer
    ),
    Format("mmengine", ["param_scheduler"], read_mmengine),
    Format("ai-toolkit", ["config.process"], read_aitoolkit),
    Format("ESPnet", ["scheduler scheduler_conf", "optim_conf scheduler"], read_espnet),
    Format("ultralytics", ["lr0 lrf"], read_ultralytics),
    Format(
        "RLlib",
        [
            "lr_schedule train_batch_size",
            "lr_schedule env",
            "lr_schedule framework",
            "lr env",
            "lr train_batch_size",
            "lr train_batch_size_per_learner",
            "config.lr",
            "config.lr_schedule",
            "*.config.lr",
            "*.config.lr_schedule",
        ],
        read_rllib,
    ),
    Format(
        "kohya",
        [
            f"{section}{mark}"
            for section in ("", "*.")
            for mark in (
                "network_module",
                "unet_lr",
                "text_encoder_lr",
                "lr_scheduler_args",
                "lr_scheduler_num_cycles",
                "lr_scheduler_power",
                "lr_scheduler_min_lr_ratio",
                "lr_scheduler_timescale",
                "learning_rate_te",
                "learning_rate_te1",
                "optimizer_type",
                "max_train_epochs",
            )
        ],
        read_kohya,
    ),
    Format("torchtune", ["lr_scheduler._component_", "optimizer._component_"], read_torchtune),
    Format(
        "axolotl",
        [
            "cosine_min_lr_ratio",
            "cosine_constant_lr_ratio",
            "lr_quadratic_warmup",
            "base_model sequence_len",
            "base_model lr_scheduler",
            "micro_batch_size num_epochs",
            "micro_batch_size lr_scheduler",
            "learning_rate lr_scheduler num_epochs",
        ],
        read_axolotl,
    ),
    Format(
        "diffusers",
        [
            "lr_warmup_steps max_train_steps",
            "lr_warmup_steps lr_scheduler",
            "lr_num_cycles lr_scheduler",
            "lr_power lr_scheduler",
            "max_train_steps lr_scheduler",
            "max_train_steps train_batch_size",
            "num_train_epochs lr_scheduler",
            "step_rules lr_scheduler",
        ],
        read_diffusers,
    ),
    Format("transformers' trainer_state.json", ["log_history"], read_trainer_state),
    Format(
        "transformers",
        [
            "lr_scheduler_type",
            "finetuning_type",
            "learning_rate num_train_epochs",
            "learning_rate per_device_train_batch_size",
            "learning_rate max_steps",
            "max_steps per_device_train_batch_size",
            "num_train_epochs per_device_train_batch_size",
        ],
        read_training_arguments,
    ),
)


def _has(settings: Any, mark: str) -> bool:
    path, is_named, values = mark.partition("=")
    for name in path.split("."):
        if name == "*" and isinstance(settings, Mapping):
            return any(_has(one, mark.removeprefix("*.")) for one in settings.values())
        if not isinstance(settings, Mapping) or name not in settings:
            return False
        settings = settings[name]
    return not is_named or str(settings) in values.split("|")


def read_config(settings: Settings, known: KnownRun) -> Plan | None:
    """Return the plan of a configuration whose format is known, else ``None``.

    Raises:
        ScheduleError: A setting cannot be said by a plan, or the run's length is not known.
    """
    for one in FORMATS:
        if one.fits(settings):
            return one.read(settings, known)
    return None


def format_of(settings: Settings) -> str:
    """Return whose configuration a file is, as words; nothing where it is of no known format.

    Example:
        >>> format_of({"SOLVER": {}}), format_of({"scheduler": {"_target_": "timm.scheduler.x"}})
        ('detectron2', 'a class')
    """
    fitting = (one.name for one in FORMATS if one.fits(settings))
    if name := next(fitting, "a class" if names_class(settings) else ""):
        return name
    part = find_section(settings)
    return format_of(part) if part is not None else ""


def format_of_text(text: str, name: str) -> str:
    """Return whose configuration a text is; nothing for a plan, or where that is not known.

    Example:
        >>> format_of_text("{lr0: 0.01, lrf: 0.1}", "a.yaml"), format_of_text("lr: rex", "b.yaml")
        ('ultralytics', '')
    """
    try:
        settings = parse_settings(name, text)
    except SpecError:
        return ""
    is_plan = isinstance(settings.get("run"), Mapping) or settings.keys() & {"kind", "class_path"}
    return "" if is_plan else format_of(settings)


def find_section(settings: Settings) -> Settings | None:
    """Return the one part of a file that is of a known format, such as ``train``, else ``None``."""
    parts = [part for part in settings.values() if isinstance(part, Mapping)]
    fitting = [part for part in parts if any(one.fits(part) for one in FORMATS)]
    return fitting[0] if len(fitting) == 1 else None


def read_source(source: str | Path) -> Settings:
    """Return the settings of a file, or of a training script's command line.

    Raises:
        SpecError: The file cannot be read, or it is neither a mapping nor a command line.
    """
    command = settings_of_command(source) if isinstance(source, str) else None
    return read_config_file(source) if command is None else command


def read_config_file(path: str | Path) -> Settings:
    """Return the settings of a file: TOML, YAML, JSON, or a command line with options.

    Raises:
        SpecError: It cannot be read, or it is neither a mapping nor a command line.
    """
    try:
        _refuse_pickle(path)
        text = read_text(path)
    except SpecError as error:
        raise SpecError([f"{path}: {mistake}" for mistake in error.mistakes]) from None
    return with_named_files(parse_settings(path, text), _beside(Path(path)))


def with_named_files(settings: Settings, find: Find) -> Settings:
    """Return the settings with those of the files that ``_BASE_`` and ``deepspeed`` name.

    Args:
        settings: Of a file.
        find: Returns the text of a file that it names, and what finds those that that one names;
            ``None`` where there is none.

    Raises:
        SpecError: One of them is no mapping, or they are too many.
    """
    return _with_deepspeed(_with_base(settings, find), find)


def _beside(path: Path) -> Find:
    def find(name: str) -> tuple[str, Find] | None:
        places = (path.parent / name, Path(name))
        there = next((place for place in places if place.is_file()), None)
        return None if there is None else (read_text(there), _beside(there))

    return find


def parse_settings(path: str | Path, text: str) -> Settings:
    """Return the settings of a text: TOML, YAML, JSON, or a command line with options.

    Args:
        path: Its name, which may end in ``.toml`` or ``.json``; no file is read.
        text: What the file holds.

    Raises:
        SpecError: It is neither a mapping nor a command line.
    """
    try:
        data, mistakes = _data_of(path, text), []
    except SpecError as error:
        data, mistakes = None, [f"{path}: {mistake}" for mistake in error.mistakes]
    if isinstance(data, Mapping):
        return data
    _refuse_python(path, text)
    if not isinstance(data, list) and (options := settings_of_command(text)) is not None:
        return options
    needed = f"{path}: a mapping is needed, like class_path: torch.optim.lr_scheduler.StepLR."
    raise SpecError(mistakes or [needed])


def _data_of(path: str | Path, text: str) -> Any:
    """Return the data of a text: of TOML if it is that, else of YAML or JSON."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        if str(path).lower().endswith(".toml"):
            raise SpecError(f"no TOML: {error}.") from None
    # YAML's own marks of a number; our reader refuses tags
    data = parse(path, re.sub(r"(?<=[:\s\[,])!!(?:float|int)\s+", "", text)).data
    return _one_mapping(data) if isinstance(data, list) else data


def _with_base(data: Settings, find: Find, depth: int = 0) -> Settings:
    """Return the settings over those of the file that ``_BASE_`` names, where that is there."""
    base = data.get("_BASE_")
    if not isinstance(base, str) or (found := find(base)) is None:
        return data
    if depth > _DEEPEST_BASE:
        raise SpecError(f"{base}: more than {_DEEPEST_BASE} files stand below it. Merge them.")
    below = _data_of(base, found[0])
    if not isinstance(below, Mapping):
        raise SpecError(f"{base}: a mapping is needed.")
    merged = _merged(_with_base(below, found[1], depth + 1), data)
    return {name: value for name, value in merged.items() if name != "_BASE_"}


def _with_deepspeed(data: Settings, find: Find) -> Settings:
    """Return the settings with those of the file under ``deepspeed``, where it has a scheduler."""
    named = data.get("deepspeed")
    if not isinstance(named, str) or (found := find(named)) is None:
        return data
    settings = _data_of(named, found[0])
    has_scheduler = isinstance(settings, Mapping) and settings.get("scheduler")
    return {**data, "deepspeed": settings} if has_scheduler else data


def _refuse_pickle(path: str | Path) -> None:
    """Refuse ``training_args.bin`` and the like, by their first bytes."""
    try:
        with Path(path).open("rb") as file:
            head = file.read(4)
    except OSError:
        return  # refused where it is read
    if head.startswith((b"PK\x03\x04", b"\x80")):
        raise SpecError(
            "it is a pickle, and reading one runs the code in it. Write the arguments as JSON, "
            "where you trust it: torch.load(…, weights_only=False).to_json_string()."
        )


def _refuse_python(path: str | Path, text: str) -> None:
    """Refuse a configuration that is a Python program, such as mmengine's."""
    try:
        lines = ast.parse(text).body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return
    if any(isinstance(line, ast.Assign | ast.Import | ast.ImportFrom) for line in lines):
        raise SpecError(
            f"{path}: it is Python, which is not executed. Write it as YAML or JSON first; "
            f"mmengine's: Config.fromfile({str(path)!r}).dump('config.yaml')."
        )


def _merged(below: Settings, above: Settings) -> dict[str, Any]:
    merged = dict(below)
    for name, value in above.items():
        under = merged.get(name)
        is_part = isinstance(value, Mapping) and isinstance(under, Mapping)
        merged[name] = _merged(under, value) if is_part and under is not None else value
    return merged


def _one_mapping(parts: Sequence[Any]) -> Any:
    """Return one mapping of a list whose mappings have each key once, as a model's card has it."""
    if not parts or not all(isinstance(part, Mapping) for part in parts):
        return parts
    merged = {key: value for part in parts for key, value in part.items()}
    return merged if len(merged) == sum(map(len, parts)) else parts
