"""The names of ``timm.scheduler``: a number of epochs or updates comes in, rates are written."""

from __future__ import annotations

__all__ = [
    "CosineLRScheduler",
    "MultiStepLRScheduler",
    "PlateauLRScheduler",
    "PolyLRScheduler",
    "StepLRScheduler",
    "TanhLRScheduler",
    "WSDLRScheduler",
    "create_scheduler",
    "create_scheduler_v2",
    "scheduler_kwargs",
]

from collections.abc import Mapping
from inspect import Parameter, Signature
from typing import Any, ClassVar

from warmdown.errors import MissingExtra, ScheduleError, StateError
from warmdown.shown import cut

try:
    import torch
except ModuleNotFoundError:
    raise MissingExtra("warmdown.compat.scheduler", "torch", "torch") from None

from warmdown.binding import Field
from warmdown.compat import State, StateDict
from warmdown.compat.lr_scheduler import ReduceLROnPlateau
from warmdown.compat.lr_scheduler.arguments import NoBase
from warmdown.compat.names.shapes import look_up
from warmdown.compat.names.timm import RULES, timm_wsd
from warmdown.schedules import Scale

_REQUIRED = Parameter.empty
_CYCLES = {"cycle_mul": 1.0, "cycle_decay": 1.0, "cycle_limit": 1}
_WARMUP = {"warmup_t": 0, "warmup_lr_init": 0.0}
_LATE = {"warmup_prefix": False}
_FIRST = {"warmup_prefix": True}
_NOISE = {"noise_range_t": None, "noise_pct": 0.67, "noise_std": 1.0, "noise_seed": 42}
_CLOCK = {"t_in_epochs": True, **_NOISE}
_INITIALIZE = {"initialize": True}
_STAIRS = {"decay_t": _REQUIRED, "decay_rate": 1.0, **_WARMUP, **_FIRST, **_CLOCK, **_INITIALIZE}


class TimmScheduler:
    """What timm's schedulers share: rates of a count that the training loop keeps.

    ``step(epoch)`` writes at the end of an epoch, ``step_update(num_updates)`` after an update; of
    the two the one does nothing, by ``t_in_epochs``.

    Args:
        optimizer: A torch optimizer.
        positional: The arguments of timm's class of the same name, in its order.
        named: The same, by name.

    Raises:
        ScheduleError: An argument is missing, unknown or out of range.
    """

    _kind: ClassVar[str]
    _takes: ClassVar[Mapping[str, Any]]

    optimizer: Any
    noise_range_t: Any
    noise_pct: float
    noise_std: float
    noise_seed: int | None
    t_in_epochs: bool

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of lr {cut(repr(vars(self).get('base_values')), 120)}>"

    def __init__(self, optimizer: Any, *positional: Any, **named: Any) -> None:
        given = _bound(type(self).__name__, self._takes, positional, named)
        self.optimizer = optimizer
        self.metric: float | None = None
        vars(self).update(given)
        self.rule = self._make()  # refuses before the optimizer is touched
        self._field = Field(optimizer, "lr")
        if given["initialize"]:
            self._field.store_initial()
        try:
            self.base_values = [float(rate) for rate in self._field.get_entry("initial_lr")]
        except KeyError:
            raise NoBase(
                f"{type(self).__name__}(initialize=False): a parameter group has no 'initial_lr', "
                "the rate it began with. Load the optimizer's state first, or leave it out."
            ) from None
        self.update_groups(self.values(0))

    @classmethod
    def takes(cls) -> frozenset[str]:
        """Return the names of its arguments."""
        return frozenset(cls._takes)

    def _make(self) -> Scale:
        given = {"warmup_prefix": True, "k_decay": 1.0, **vars(self)}
        if isinstance(given.get("decay_t"), list | tuple):
            given["decay_marks"] = given["decay_t"]
        return timm_wsd(given) if self._kind == "trunk" else RULES[self._kind](given)

    def values(self, t: int) -> list[float]:
        """Return the rate of each group at a count, without noise."""
        return [float(self.rule.value(t, base)) for base in self.base_values]

    def step(self, epoch: int, metric: float | None = None) -> None:
        """Write the rates of an epoch, if epochs are what is counted."""
        self._step_to(epoch, metric, is_due=self.t_in_epochs)

    def step_update(self, num_updates: int, metric: float | None = None) -> None:
        """Write the rates of a number of updates, if updates are what is counted."""
        self._step_to(num_updates, metric, is_due=not self.t_in_epochs)

    def _step_to(self, t: int, metric: Any, *, is_due: bool) -> None:
        self.metric = metric
        if is_due:
            noise = self._noise(t)
            self.update_groups([rate + rate * noise for rate in self.values(t)])

    def update_groups(self, values: Any) -> None:
        """Write one rate for each group, or one for all, times the group's ``lr_scale``."""
        groups = self._field.groups
        row = list(values) if isinstance(values, list | tuple) else [values] * len(groups)
        pairs = zip(row, map(_scale_of, groups), strict=False)
        self._field.write([value * scale for value, scale in pairs])

    def _noise(self, t: int) -> float:
        """Return the share of the rate that is added at a count: the same at each call."""
        bounds = self.noise_range_t
        if bounds is None:
            return 0.0
        first, end = bounds if isinstance(bounds, list | tuple) else (bounds, float("inf"))
        if not first <= t < end:
            return 0.0
        seed = 42 if self.noise_seed is None else self.noise_seed
        generator = torch.Generator().manual_seed(seed + t)
        if vars(self).get("noise_type", "normal") != "normal":
            return (2 * torch.rand(1, generator=generator).item() - 1) * self.noise_pct
        while True:
            noise = torch.randn(1, generator=generator).item() * self.noise_std
            if abs(noise) < self.noise_pct:
                return float(noise)

    def get_cycle_length(self, cycles: int = 0) -> int:
        """Return the length of so many cycles, of all where it is 0, with a prefixed warmup."""
        given = vars(self)
        count, grow = max(1, cycles or given.get("cycle_limit", 1)), given.get("cycle_mul", 1.0)
        length = given["t_initial"]
        whole = length * count if grow == 1 else int(length * (grow**count - 1) / (grow - 1))
        is_first = given.get("warmup_prefix", True)
        return whole + given["warmup_t"] if is_first else whole

    def state_dict(self) -> StateDict:
        """Return the arguments and the base rates; the count is the training loop's."""
        entries = {name: vars(self)[name] for name in self._takes if name != "initialize"}
        return {**entries, "base_values": self.base_values}

    def load_state_dict(self, state_dict: State) -> None:
        """Go on with the arguments and base rates of a state, ours or timm's.

        Raises:
            StateError: It is no state.
        """
        if not isinstance(state_dict, Mapping):
            raise StateError(
                f"{type(self).__name__}.load_state_dict({state_dict!r:.60}): a state is needed. "
                "Give what state_dict() returned."
            )
        known = {*self._takes, "base_values"}
        vars(self).update({key: value for key, value in state_dict.items() if key in known})
        self.rule = self._make()


def _bound(
    who: str, takes: Mapping[str, Any], positional: tuple[Any, ...], named: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the arguments of a call by name, with their defaults.

    Raises:
        ScheduleError: They do not fit.
    """
    kind = Parameter.POSITIONAL_OR_KEYWORD
    signature = Signature([Parameter(name, kind, default=one) for name, one in takes.items()])
    try:
        given = signature.bind(*positional, **named)
    except TypeError as error:
        raise ScheduleError(f"{who}: {error}. It takes {signature}.") from None
    given.apply_defaults()
    return given.arguments


def _scale_of(group: Mapping[str, Any]) -> float:
    return float(group.get("lr_scale", 1.0))


class CosineLRScheduler(TimmScheduler):
    """Half a cosine down to ``lr_min``, in cycles."""

    _kind = "cosine"
    _takes: ClassVar[Mapping[str, Any]] = {
        "t_initial": _REQUIRED, "lr_min": 0.0, **_CYCLES, **_WARMUP, **_LATE, **_CLOCK,
        "k_decay": 1.0, **_INITIALIZE,
    }  # fmt: skip


class TanhLRScheduler(TimmScheduler):
    """A hyperbolic tangent down to ``lr_min``, in cycles."""

    _kind = "tanh"
    _takes: ClassVar[Mapping[str, Any]] = {
        "t_initial": _REQUIRED, "lb": -7.0, "ub": 3.0, "lr_min": 0.0, **_CYCLES, **_WARMUP,
        **_LATE, **_CLOCK, **_INITIALIZE,
    }  # fmt: skip


class PolyLRScheduler(TimmScheduler):
    """A power of the way that is left down to ``lr_min``, in cycles."""

    _kind = "poly"
    _takes: ClassVar[Mapping[str, Any]] = {
        "t_initial": _REQUIRED, "power": 0.5, "lr_min": 0.0, **_CYCLES, **_WARMUP, **_LATE,
        **_CLOCK, "k_decay": 1.0, **_INITIALIZE,
    }  # fmt: skip


class StepLRScheduler(TimmScheduler):
    """A factor on the rate every ``decay_t``."""

    _kind = "step"
    _takes = _STAIRS


class MultiStepLRScheduler(TimmScheduler):
    """A factor on the rate one step before each of ``decay_t``, as timm has it."""

    _kind = "multistep"
    _takes = _STAIRS


class WSDLRScheduler(TimmScheduler):
    """Warmup, a stable phase, and a decay to ``lr_min``."""

    _kind = "trunk"
    _takes: ClassVar[Mapping[str, Any]] = {
        "t_initial": _REQUIRED, "decay_t": _REQUIRED, "lr_min": 0.0, "stable_fn": "constant",
        "stable_timescale": None, "stable_power": 0.5, "decay_fn": "1-sqrt",
        "decay_power": 0.5, "decay_ratio": 0.1, **_WARMUP, **_CLOCK, **_INITIALIZE,
    }  # fmt: skip


class PlateauLRScheduler(TimmScheduler):
    """A factor on the rate whenever a metric has stopped improving; its whole state is saved."""

    _kind = "constant"
    _takes: ClassVar[Mapping[str, Any]] = {
        "decay_rate": 0.1, "patience_t": 10, "threshold": 1e-4, "cooldown_t": 0, **_WARMUP,
        "lr_min": 0.0, "mode": "max", "noise_range_t": None, "noise_type": "normal",
        "noise_pct": 0.67, "noise_std": 1.0, "noise_seed": None, **_INITIALIZE,
    }  # fmt: skip

    warmup_t: int

    def __init__(self, optimizer: Any, *positional: Any, **named: Any) -> None:
        self.t_in_epochs = True
        super().__init__(optimizer, *positional, **named)
        given = vars(self)
        self.lr_scheduler = ReduceLROnPlateau(
            optimizer,
            mode=given["mode"],
            factor=given["decay_rate"],
            patience=given["patience_t"],
            threshold=given["threshold"],
            cooldown=given["cooldown_t"],
            min_lr=given["lr_min"],
        )
        self._without_noise: list[float] | None = None

    def step(self, epoch: int, metric: float | None = None) -> None:
        """Write the rates of the warmup, or take in a metric after it."""
        self.metric = metric
        if self.warmup_t and epoch <= self.warmup_t:
            self.update_groups(self.values(epoch))
            return
        if self._without_noise is not None:
            self._field.write(self._without_noise)
            self._without_noise = None
        if metric is not None:
            self.lr_scheduler.step(metric)
        if noise := self._noise(epoch):
            self._without_noise = self._field.read()
            self._field.write([rate + rate * noise for rate in self._without_noise])

    def state_dict(self) -> StateDict:
        """Return what was seen of the metric."""
        return self.lr_scheduler.state_dict()

    def load_state_dict(self, state_dict: State) -> None:
        """Go on from what was seen of the metric; timm saves a part of it."""
        self.lr_scheduler.load_state_dict({**self.lr_scheduler.state_dict(), **state_dict})


_CLASSES: Mapping[str, type[TimmScheduler]] = {
    "cosine": CosineLRScheduler,
    "tanh": TanhLRScheduler,
    "step": StepLRScheduler,
    "constant": StepLRScheduler,
    "multistep": MultiStepLRScheduler,
    "poly": PolyLRScheduler,
    "wsd": WSDLRScheduler,
    "rsqrt": WSDLRScheduler,
    "plateau": PlateauLRScheduler,
}
_FACTORY = {
    "sched": "cosine", "num_epochs": 300, "decay_epochs": None, "decay_milestones": (90, 180, 270),
    "cooldown_epochs": 0, "patience_epochs": 10, "decay_rate": 0.1, "min_lr": 0.0,
    "warmup_lr": 1e-5, "warmup_epochs": 0, "warmup_prefix": False, "noise": None,
    "noise_pct": 0.67, "noise_std": 1.0, "noise_seed": 42, "cycle_mul": 1.0, "cycle_decay": 0.1,
    "cycle_limit": 1, "k_decay": 1.0, "decay_fn": None, "stable_timescale": None,
    "plateau_mode": "max", "step_on_epochs": True, "updates_per_epoch": 0,
}  # fmt: skip


def create_scheduler_v2(optimizer: Any, *positional: Any, **named: Any) -> tuple[Any, Any]:
    """Return a scheduler by timm's name for it, and the epochs to train: its cycles and cooldown.

    Args:
        optimizer: A torch optimizer.
        positional: timm's arguments, in its order: ``sched``, ``num_epochs`` …
        named: The same, by name.

    Raises:
        ScheduleError: There is no such name, or an argument is unknown or out of range.
    """
    given = _bound("create_scheduler_v2", _FACTORY, positional, named)
    sched, epochs, in_epoch = given["sched"], given["num_epochs"], given["updates_per_epoch"]
    if sched == "none":
        return None, epochs + given["warmup_prefix"] * given["warmup_epochs"]
    made = look_up("sched", sched, _CLASSES)
    if not given["step_on_epochs"] and not in_epoch > 0:
        raise ScheduleError("step_on_epochs=False: give updates_per_epoch.")
    unit = 1 if given["step_on_epochs"] else in_epoch
    is_trunk, decay = sched in ("wsd", "rsqrt"), given["decay_epochs"]
    total, warmup = epochs * unit, given["warmup_epochs"] * unit
    if decay is None:
        decay = 0.2 if is_trunk else 90
    if is_trunk:
        total -= 0 if given["warmup_prefix"] else warmup
        decay_t: Any = round(decay * total if 0 < decay < 1 else decay * unit)
    else:
        decay_t = decay * unit
    if sched == "multistep":
        decay_t = [mark * unit for mark in given["decay_milestones"]]
    timescale, noise = given["stable_timescale"], given["noise"]
    if isinstance(noise, list | tuple):
        noise = [one * epochs * unit for one in noise]
        noise = noise[0] if len(noise) == 1 else noise
    elif noise is not None:
        noise *= epochs * unit
    meant = {
        **given,
        "t_initial": total,
        "warmup_t": warmup,
        "warmup_lr_init": given["warmup_lr"],
        "lr_min": given["min_lr"],
        "decay_t": 1 if sched == "constant" else decay_t,
        "decay_rate": 1.0 if sched == "constant" else given["decay_rate"],
        "power": given["decay_rate"],
        "stable_fn": "rsqrt" if sched == "rsqrt" else "constant",
        "stable_timescale": None if timescale is None else timescale * unit,
        "decay_fn": given["decay_fn"] or ("linear" if sched == "rsqrt" else "1-sqrt"),
        "patience_t": given["patience_epochs"],
        "mode": given["plateau_mode"],
        "t_in_epochs": given["step_on_epochs"],
        "noise_range_t": noise,
    }
    scheduler = made(optimizer, **{key: one for key, one in meant.items() if key in made.takes()})
    if "t_initial" in made.takes():
        whole = scheduler.get_cycle_length() + given["cooldown_epochs"] * unit
        return scheduler, whole if given["step_on_epochs"] else whole // in_epoch
    return scheduler, epochs + given["warmup_prefix"] * given["warmup_epochs"]


_SETTINGS = {
    "num_epochs": ("epochs", 100), "decay_epochs": ("decay_epochs", 30),
    "decay_milestones": ("decay_milestones", [30, 60]), "warmup_epochs": ("warmup_epochs", 5),
    "cooldown_epochs": ("cooldown_epochs", 0), "patience_epochs": ("patience_epochs", 10),
    "decay_rate": ("decay_rate", 0.1), "min_lr": ("min_lr", 0.0), "warmup_lr": ("warmup_lr", 1e-5),
    "warmup_prefix": ("warmup_prefix", False), "noise": ("lr_noise", None),
    "noise_pct": ("lr_noise_pct", 0.67), "noise_std": ("lr_noise_std", 1.0),
    "noise_seed": ("seed", 42), "cycle_mul": ("lr_cycle_mul", 1.0),
    "cycle_decay": ("lr_cycle_decay", 0.1), "cycle_limit": ("lr_cycle_limit", 1),
    "k_decay": ("lr_k_decay", 1.0), "decay_fn": ("lr_decay_fn", None),
    "stable_timescale": ("lr_stable_timescale", None),
}  # fmt: skip
"""Arguments of the factory: what timm's command line calls them, and their defaults there."""


def scheduler_kwargs(cfg: Any, decreasing_metric: bool | None = None) -> dict[str, Any]:
    """Return the arguments of :func:`create_scheduler_v2` that timm's settings mean.

    Args:
        cfg: An object with timm's settings as attributes.
        decreasing_metric: Whether a lower metric is better; ``None`` reads it of its name.
    """
    if decreasing_metric is None:
        decreasing_metric = "loss" in getattr(cfg, "eval_metric", "top1")
    read = {name: getattr(cfg, *setting) for name, setting in _SETTINGS.items()}
    return {
        "sched": cfg.sched,
        **read,
        "plateau_mode": "min" if decreasing_metric else "max",
        "step_on_epochs": not getattr(cfg, "sched_on_updates", False),
    }


def create_scheduler(args: Any, optimizer: Any, updates_per_epoch: int = 0) -> tuple[Any, Any]:
    """Return what :func:`create_scheduler_v2` makes of timm's settings."""
    given = scheduler_kwargs(args)
    return create_scheduler_v2(optimizer, **given, updates_per_epoch=updates_per_epoch)
