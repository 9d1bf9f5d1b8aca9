"""Schedulers by their class, at any depth: Lightning's command line, Hydra, a bare class path."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import ceil
from typing import Any

from warmdown.errors import ScheduleError
from warmdown.importing.formats.section import KnownRun, Section, Settings, stairs_of
from warmdown.importing.numbers import whole
from warmdown.plan import Plan
from warmdown.planfile.text import describe
from warmdown.run import Run
from warmdown.schedules import Plateau, Rule

_KEYS = ("lr_scheduler", "scheduler", "lr_schedule", "sched")
"""Under these stands a scheduler, whatever its class is."""
_MODULES = (
    "torch.optim.lr_scheduler.",
    "torch.optim.swa_utils.",
    "transformers.get_",
    "transformers.optimization.get_",
    "timm.scheduler.",
    "pytorch_accelerated.schedulers.",
    "warmdown.",
)
TORCH_NAMES = frozenset(
    {
        "ConstantLR", "CosineAnnealingLR", "CosineAnnealingWarmRestarts", "CyclicLR",
        "ExponentialLR", "LambdaLR", "LinearLR", "MultiStepLR", "MultiplicativeLR", "OneCycleLR",
        "PolynomialLR", "ReduceLROnPlateau", "SequentialLR", "StepLR",
    }
)  # fmt: skip
"""torch's schedulers that a program's key may name without their module."""
_PLATEAUS = ("lightning.pytorch.cli.ReduceLROnPlateau", "pytorch_lightning.cli.ReduceLROnPlateau")
_BESIDE = ("lr_scheduler_config", "scheduler_config", "lr_scheduler_options")
"""Where a program has a scheduler's interval, if not beside the scheduler itself."""
_INTERVALS = ("interval", "lr_scheduler_interval", "scheduler_interval")


@dataclass(frozen=True)
class _Found:
    """A scheduler in a file.

    Args:
        path: Keys to it, from the top.
        config: Its ``class_path`` and ``init_args``.
        near: What stands beside it.
        is_hydra: Whether it was named by ``_target_``.
    """

    path: tuple[str, ...]
    config: Mapping[str, Any]
    near: Settings
    is_hydra: bool

    @property
    def name(self) -> str:
        return ".".join(self.path) or "class_path"


def read_classes(settings: Settings, known: KnownRun) -> Plan | None:
    """Return the plan of the one scheduler that a file names by its class; ``None`` without any.

    Raises:
        ScheduleError: There are several, or the length of the run or of an epoch is not known.
    """
    if isinstance(settings.get("fit"), Mapping):  # a subcommand of Lightning's
        settings = {**settings, **settings["fit"]}
        settings = {key: value for key, value in settings.items() if key != "fit"}
    found = list(_schedulers(settings, (), {}))
    if not found:
        return None
    if len(found) > 1:
        names = ", ".join(one.name for one in found)
        raise ScheduleError(f"{names}: these are several schedulers. Import one at a time.")
    (one,) = found
    _refuse_pointers(one.config["init_args"], one.name)
    lr = known.lr if known.lr is not None else _rate_near(settings, one)
    if not one.path:
        return known.read_class(one.config, total_steps=known.total_steps, lr=lr)
    return _stepped(settings, one, lr, known)


def names_class(settings: Settings) -> bool:
    """Return whether a file names a scheduler by its class, and not as a plan does."""
    return any(
        one.is_hydra or one.path[:1] not in (("lr",), ()) for one in _schedulers(settings, (), {})
    )


def _schedulers(value: Any, path: tuple[str, ...], near: Settings) -> Iterator[_Found]:
    """Yield the schedulers of a file, not those inside another."""
    key = path[-1] if path else ""
    if isinstance(value, str) and key in _KEYS and (name := _class_of(value)):
        yield _Found(path, {"class_path": name}, near, is_hydra=False)
    elif isinstance(value, Mapping):
        named = value.get("_target_", value.get("class_path"))
        if isinstance(named, str):
            path_of_class = _class_of(named) or (named if key in _KEYS or not path else None)
            if path_of_class:
                beside = {**near, **_monitor_of(value)}
                yield _Found(path, _config(value), beside, is_hydra="_target_" in value)
                return
        for name, inner in value.items():
            yield from _schedulers(inner, (*path, str(name)), value)
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            yield from _schedulers(inner, (*path, str(at)), near)


def refuse_without_class(settings: Any, path: tuple[str, ...] = ()) -> None:
    """Refuse a scheduler that a file names by less than its class, by its key.

    Raises:
        ScheduleError: There is one.
    """
    if path and path[-1] in _KEYS and settings and isinstance(settings, str | Mapping):
        raise ScheduleError(
            f"{'.'.join(path)}={describe(settings)}: a class is needed, such as {{class_path: "
            "torch.optim.lr_scheduler.CosineAnnealingLR, init_args: {T_max: 100}}."
        )
    if isinstance(settings, Mapping):
        for name, inner in settings.items():
            refuse_without_class(inner, (*path, str(name)))


def _class_of(name: str) -> str | None:
    """Return the path of a scheduler's class, from a short name too; ``None`` for another text."""
    if name in _PLATEAUS:
        return "torch.optim.lr_scheduler.ReduceLROnPlateau"
    if name.startswith(_MODULES):
        return name
    return f"torch.optim.lr_scheduler.{name}" if name in TORCH_NAMES else None


def _config(value: Any) -> Any:
    """Return a class with its arguments as ``class_path`` and ``init_args``, those inside too."""
    if isinstance(value, list):
        return [_config(one) for one in value]
    if not isinstance(value, Mapping):
        return value
    if "_target_" in value:
        if value.get("_args_"):
            raise ScheduleError(f"_args_={describe(value['_args_'])}: give them by their names.")
        arguments = {name: one for name, one in value.items() if str(name)[:1] != "_"}
        named = value["_target_"]
    elif "class_path" in value:
        arguments, named = value.get("init_args") or {}, value["class_path"]
        if not isinstance(arguments, Mapping):
            return value  # refused where it is read
    else:
        return {name: _config(one) for name, one in value.items()}
    init_args = {name: _config(one) for name, one in arguments.items() if name != "optimizer"}
    for name in _monitor_of(value):
        del init_args[name]
    return {"class_path": _class_of(str(named)) or named, "init_args": init_args}


def _monitor_of(value: Settings) -> Settings:
    """Return the metric that Lightning's own plateau has among its arguments."""
    is_lightnings = value.get("class_path", value.get("_target_")) in _PLATEAUS
    arguments = value.get("init_args") or value
    return {"monitor": arguments["monitor"]} if is_lightnings and "monitor" in arguments else {}


def _refuse_pointers(value: Any, path: str) -> None:
    """Refuse an interpolation that has no value in the file."""
    if isinstance(value, str) and "${" in value:
        raise ScheduleError(f"{path}={describe(value)}: it has no value here. Write the value.")
    if isinstance(value, Mapping):
        for name, one in value.items():
            _refuse_pointers(one, f"{path}.{name}")
    elif isinstance(value, list):
        for at, one in enumerate(value):
            _refuse_pointers(one, f"{path}[{at}]")


def _rate_near(settings: Settings, found: _Found) -> float | None:
    """Return the optimizer's rate: of the one beside the scheduler, else of any in the file."""
    beside = [found.near, settings, *_mappings(settings)] if found.path else []
    for home in beside:
        for key in ("optimizer", "optim", "optimizer_config"):
            if isinstance(given := home.get(key), Mapping):
                arguments = given.get("init_args") or given
                if "lr" in arguments:
                    return _number_at(f"{key}.lr", arguments["lr"])
    for key in ("lr", "learning_rate"):
        if found.near.get(key) is not None:
            return _number_at(key, found.near[key])
    return None


def _mappings(value: Any) -> Iterator[Settings]:
    inner = value.values() if isinstance(value, Mapping) else value
    if isinstance(value, Mapping | list):
        for one in inner:
            if isinstance(one, Mapping):
                yield one
            yield from _mappings(one)


def _number_at(name: str, given: Any) -> float:
    value = whole(given)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ScheduleError(f"{name}={describe(given)}: a number is needed. Correct it.")
    return value


def _stepped(settings: Settings, found: _Found, lr: float | None, known: KnownRun) -> Plan:
    """Return the plan of a scheduler that a trainer steps once an update, or once an epoch."""
    given = settings.get("trainer")
    trainer = Section("trainer", given if isinstance(given, Mapping) else {})
    epochs = known.epochs or _limit(trainer, "max_epochs")
    most = known.total_steps or _limit(trainer, "max_steps")
    beside: dict[str, Any] = {}
    for key in _BESIDE:
        beside |= found.near.get(key) or {}
    section = Section(found.name.rpartition(".")[0] or "top", {**found.near, **beside})
    interval = _interval_of(section, found, by_steps=not epochs, trainer=bool(trainer.entries))
    frequency = section.count("frequency", 1) or 1
    if isinstance(metric := section.raw("monitor"), str) and not _is_plateau(found):
        metric = None
    if _is_plateau(found):
        return _of_plateau(found, metric, most, lr, known)
    if interval == "step":
        total = most
        if epochs and known.total_steps is None and (total is None or known.steps_per_epoch):
            total = min(known.updates(epochs), total or known.updates(epochs))
        each = frequency
        in_epoch = known.steps_per_epoch
        if frequency > 1 and (in_epoch is None or in_epoch % frequency):
            raise ScheduleError(
                f"{section.who}.frequency={frequency}: Lightning counts it anew in each epoch. "
                "Give a --steps-per-epoch that it divides."
            )
    else:
        if epochs is None and most is None:
            raise ScheduleError("trainer.max_epochs: it is missing. Give --epochs.")
        in_epoch = known.updates(1)
        each = in_epoch * frequency
        total = min(limit for limit in (epochs and epochs * in_epoch, most) if limit)
    count = ceil(total / each) if total else None
    plan = known.read_class(found.config, total_steps=count, lr=lr)
    if each == 1:
        return plan
    targets = [
        replace(one, rule=stairs_of(one.rule, count or 1, each)) for one in plan.over().targets
    ]
    return Plan(targets=tuple(targets), run=Run(total_steps=total, lr=lr))


def _limit(trainer: Section, name: str) -> int | None:
    """Return a limit of the run; Lightning has -1 for none."""
    value = trainer.number(name, -1)
    return int(value) if value > 0 else None


def _interval_of(section: Section, found: _Found, *, by_steps: bool, trainer: bool) -> str:
    for key in _INTERVALS:
        if section.raw(key) is not None:
            return section.name(key, ("step", "epoch"))
    counts_updates = str(found.config["class_path"]).startswith("transformers.")
    is_bare = found.is_hydra and not trainer
    return "step" if counts_updates or is_bare or (found.is_hydra and by_steps) else "epoch"


def _is_plateau(found: _Found) -> bool:
    return str(found.config["class_path"]).endswith(".ReduceLROnPlateau")


def _of_plateau(
    found: _Found, metric: Any, total: int | None, lr: float | None, known: KnownRun
) -> Plan:
    """Return the plan that follows a metric, which it observes as often as it is given."""
    plan = known.read_class(found.config, total_steps=total, lr=lr)
    if metric is None:
        return plan

    def renamed(rule: Rule) -> Rule:
        if isinstance(rule.of, Plateau):
            return replace(rule, of=replace(rule.of, metric=metric))
        return rule

    return replace(
        plan, targets=tuple(replace(one, rule=renamed(one.rule)) for one in plan.targets)
    )
