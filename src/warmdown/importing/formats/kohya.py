"""kohya's sd-scripts: TOML, or the options of its command line."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

from warmdown.compat.names import transformers_schedule
from warmdown.errors import ScheduleError
from warmdown.importing.formats.section import KnownRun, Section, Settings, part_plan, rate_plan
from warmdown.importing.numbers import whole
from warmdown.plan import Plan
from warmdown.planfile.text import describe
from warmdown.schedules import Constant, PiecewiseConstant, Scale

_STEPS = 1600
_RATE = 2e-6
"""What kohya takes where neither is given."""
_NAMES = (
    "constant",
    "constant_with_warmup",
    "linear",
    "cosine",
    "cosine_with_restarts",
    "polynomial",
    "inverse_sqrt",
    "cosine_with_min_lr",
    "warmup_stable_decay",
    "piecewise_constant",
)
_RATES_ELSEWHERE = (
    "block_lr",
    "self_attn_lr",
    "cross_attn_lr",
    "mlp_lr",
    "mod_lr",
    "llm_adapter_lr",
)
"""Rates of parts that lie inside the groups which a plan can name."""


def read_kohya(settings: Settings, known: KnownRun) -> Plan:
    """Read kohya's ``lr_scheduler`` and what stands beside it."""
    given = Section("kohya", _laid_flat(settings))
    for name in _RATES_ELSEWHERE:
        if given.raw(name) is not None:
            raise ScheduleError(f"kohya.{name}: this setting cannot be imported. Take it out.")
    _refuse_rates_of_network(given)
    total = _total_of(given, known)
    lr, parts = _base_rates(given, known)
    name = str(given.raw("lr_scheduler", "constant"))
    warmup = _count_or_share(given, "lr_warmup_steps", total)
    if given.raw("lr_warmup") and not given.raw("lr_warmup_steps"):  # the window's, in percent
        warmup = int(given.number("lr_warmup") / 100 * total)
    more = _arguments_of_class(given)
    if str(given.raw("optimizer_type", "")).lower().endswith("schedulefree"):
        return part_plan(Scale(Constant(1.0)), total, lr, parts)
    own_class = given.raw("lr_scheduler_type")
    if (own_class or name == "constant") and warmup:
        raise ScheduleError(
            f"kohya.lr_warmup_steps={warmup}: {own_class or name} has no warmup there. Set it to "
            "0, or take constant_with_warmup."
        )
    if own_class:
        path = own_class if "." in own_class else f"torch.optim.lr_scheduler.{own_class}"
        config = {"class_path": path, "init_args": more}
        plan = known.read_class(config, total_steps=total, lr=lr)
        return _with_parts(plan, total, lr, parts)
    given.name("lr_scheduler", _NAMES, "constant")
    if name == "piecewise_constant":
        return part_plan(Scale(_steps_of_rules(given, more)), total, lr, parts)
    specific = {**_specific(given, name, warmup, total), **more}
    counts = {"num_warmup_steps": warmup, "num_training_steps": total}
    rule = transformers_schedule(name, **counts, **specific)
    if rule.offset is not None and any(rate != lr for rate in parts.values()):
        rule = Scale(rule.of + rule.offset * (1 / lr))  # there an absolute rate is a share for all
    return part_plan(rule, total, lr, parts)


def _laid_flat(settings: Settings) -> Settings:
    """Return the settings of all sections side by side, as kohya does; an empty text is none."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        flat |= value if isinstance(value, Mapping) else {name: value}
    return {name: None if value == "" else value for name, value in flat.items()}


def _total_of(given: Section, known: KnownRun) -> int:
    epochs = known.epochs or given.count("max_train_epochs", 0)
    if known.total_steps is None and epochs:
        return known.updates(epochs)
    return known.total_steps or given.count("max_train_steps", 0) or _STEPS


def _count_or_share(given: Section, name: str, total: int) -> int:
    """Return updates: a whole number, or a share of the run as a fraction or in percent."""
    value = given.raw(name, 0)
    if isinstance(value, str) and value.strip().endswith("%"):
        return int(float(value.strip()[:-1]) / 100 * total)
    amount = given.number(name, 0)
    return int(amount if amount == int(amount) else amount * total)


def _arguments_of_class(given: Section) -> dict[str, Any]:
    """Return ``lr_scheduler_args``, each of them ``key=value``."""
    found = given.raw("lr_scheduler_args", [])
    arguments: dict[str, Any] = {}
    for entry in found.split() if isinstance(found, str) else found:
        name, is_given, value = str(entry).partition("=")
        try:
            if not is_given:
                raise ValueError
            arguments[name.strip()] = ast.literal_eval(value.strip())
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            raise ScheduleError(
                f"kohya.lr_scheduler_args={describe(entry)}: name=value is needed, with a text in "
                "quotes."
            ) from None
    return arguments


def _specific(given: Section, name: str, warmup: int, total: int) -> dict[str, Any]:
    """Return the arguments that kohya gives to a schedule of this name."""
    cycles = given.number("lr_scheduler_num_cycles", 1)
    low = given.raw("lr_scheduler_min_lr_ratio")
    ratio = None if low is None else given.number("lr_scheduler_min_lr_ratio")
    match name:
        case "cosine_with_restarts":
            return {"num_cycles": cycles}
        case "polynomial":
            return {"power": given.number("lr_scheduler_power", 1.0)}
        case "inverse_sqrt":
            return {"timescale": whole(given.raw("lr_scheduler_timescale"))}
        case "cosine_with_min_lr":
            return {"num_cycles": cycles / 2, "min_lr_rate": ratio}
        case "warmup_stable_decay":
            decay = _count_or_share(given, "lr_decay_steps", total)
            if warmup + decay > total:
                raise ScheduleError(
                    f"kohya.lr_decay_steps={decay}: with the warmup it is longer than the run."
                )
            return {
                "num_stable_steps": total - warmup - decay,
                "num_decay_steps": decay,
                "num_cycles": cycles / 2,
                "min_lr_ratio": ratio or 0.0,
            }
    return {}


def _steps_of_rules(given: Section, more: Mapping[str, Any]) -> PiecewiseConstant:
    """Return the stairs of ``step_rules=1:10,0.1:20,0.01``: factors, each until its step."""
    rules = str(more.get("step_rules", "")).split(",")
    try:
        pairs = sorted((int(step), float(value)) for value, step in
                       (rule.split(":") for rule in rules[:-1]))  # fmt: skip
        last = float(rules[-1])
    except ValueError:
        raise ScheduleError(
            f"kohya.lr_scheduler_args={describe(given.raw('lr_scheduler_args'))}: "
            'step_rules="1:10,0.1:20,0.01" is needed.'
        ) from None
    values = (*(value for _, value in pairs), last)
    return PiecewiseConstant(values=values, at=tuple(step for step, _ in pairs))


def _base_rates(given: Section, known: KnownRun) -> tuple[float, dict[str, float]]:
    """Return the rate that most groups have, and the rates of parts that have another."""
    lr = known.lr or given.number("learning_rate", _RATE)
    texts = _rates_of_texts(given)
    unet = None if given.raw("unet_lr") is None else given.number("unet_lr")
    if given.raw("network_train_unet_only"):
        return unet or lr, {}
    if given.raw("network_train_text_encoder_only") and len(texts) < 2:
        return next(iter(texts.values()), lr), {}
    own = texts if unet is None else {"unet": unet, **texts}
    if unet is not None and texts and set(own.values()) == {unet}:
        return unet, {}  # learning_rate is not used then
    return lr, {name: rate for name, rate in own.items() if rate}  # 0 is not trained


def _rates_of_texts(given: Section) -> dict[str, float]:
    """Return the rates of the text encoders, by each of their names."""
    rates = {}
    own = {"learning_rate_te": "text_encoder", "learning_rate_te1": "text_encoder1",
           "learning_rate_te2": "text_encoder2", "learning_rate_te3": "text_encoder3"}  # fmt: skip
    for key, name in own.items():
        if given.raw(key) is not None:
            rates[name] = given.number(key)
    found = given.raw("text_encoder_lr")
    if isinstance(found, list):
        values = given.numbers("text_encoder_lr")
        if len(set(values)) > 1:
            return rates | {f"text_encoder{at}": rate for at, rate in enumerate(values, start=1)}
        return {**rates, "text_encoder": values[0]} if values else rates
    return rates if found is None else {**rates, "text_encoder": given.number("text_encoder_lr")}


def _refuse_rates_of_network(given: Section) -> None:
    found = given.raw("network_args", [])
    for entry in found.split() if isinstance(found, str) else found:
        name = str(entry).partition("=")[0]
        if "lr" in name.split("_"):
            raise ScheduleError(
                f"kohya.network_args={describe(entry)}: this setting cannot be imported. Take it "
                "out."
            )


def _with_parts(plan: Plan, total: int, lr: float, parts: Mapping[str, float]) -> Plan:
    """Return the plan of a class for parts with rates of their own, too."""
    if not any(rate != lr for rate in parts.values()):
        return plan
    if len(plan.targets) > 1:
        raise ScheduleError(
            f"kohya.{next(iter(parts))}: a part's own rate beside this class cannot be imported. "
            "Take it out."
        )
    return (
        part_plan(plan.targets[0].rule, total, lr, parts)
        if parts
        else rate_plan(plan.targets[0].rule, total, lr)
    )
