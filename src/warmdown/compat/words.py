"""What other libraries call things, and what they are called here: for errors that lead there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

ARGUMENTS: Mapping[str, tuple[str, ...]] = {
    "steps": (
        "T_max", "t_max", "T_0", "t_initial", "total_iters", "decay_steps", "transition_steps",
        "num_training_steps", "num_steps", "n_steps", "max_steps", "max_iters", "max_epochs",
        "num_epochs", "epochs", "iterations", "duration", "length", "total", "total_steps",
        "training_steps", "period", "max_decay_steps", "first_decay_steps",
    ),
    "total_steps": (
        "steps", "max_steps", "num_training_steps", "num_steps", "num_train_steps", "iterations",
        "max_iters", "length", "T_max", "total", "num_updates", "updates", "train_steps",
    ),
    "epochs": ("num_epochs", "n_epochs", "max_epochs", "num_train_epochs", "epoch"),
    "steps_per_epoch": (
        "len_loader", "updates_per_epoch", "batches_per_epoch", "iters_per_epoch",
        "num_batches", "num_update_steps_per_epoch", "n_batches",
    ),
    "samples_per_step": ("batch_size", "global_batch_size", "train_batch_size"),
    "end": (
        "eta_min", "lr_min", "min_lr", "final_lr", "end_lr", "end_value", "end_factor", "lr_end",
        "alpha", "end_learning_rate", "min_lr_ratio", "min_lr_rate", "final", "stop", "lr_final",
        "min_value", "minimum", "cooldown_lr", "to",
    ),
    "low": ("base_lr", "min_lr", "eta_min", "lr_min", "minimum", "lower", "min"),
    "high": ("max_lr", "upper", "maximum", "max"),
    "peak": (
        "peak_value", "peak_lr", "max_lr", "lr", "learning_rate", "base_lr", "max_value", "lr_max",
        "warmup_target", "target_lr", "max_learning_rate", "base_value",
    ),
    "start": (
        "init_value", "initial_learning_rate", "initial_lr", "base_lr", "start_factor",
        "warmup_lr_init", "init_lr", "lr_start", "initial", "begin", "start_lr", "lr_max",
        "warmup_start_lr", "warmup_init_lr", "warmup_start", "max_lr", "from_", "warmup_min_lr",
    ),
    "warmup": (
        "num_warmup_steps", "warmup_steps", "warmup_epochs", "warmup_t", "warmup_ratio",
        "warmup_iters", "warmup_prefix", "warmup_updates", "warmup_proportion", "warmup_pct",
        "warm_up", "warmup_fraction", "n_warmup", "num_warmup", "warmup_length", "lr_warmup",
    ),
    "warm": ("pct_start", "warmup", "warmup_pct"),
    "decay": (
        "num_decay_steps", "cooldown_steps", "num_cooldown_steps", "decay_steps", "cooldown",
        "cooldown_t", "decay_ratio", "cooldown_fraction", "gamma", "m_mul", "cycle_decay",
    ),
    "grow": ("T_mult", "t_mul", "cycle_mul"),
    "first": ("T_0", "first_decay_steps", "t_initial", "first_cycle_steps"),
    "cycles": ("num_cycles", "n_cycles", "cycle_limit"),
    "gamma": ("decay_rate", "decay", "factor", "decay_factor", "drop", "lr_decay"),
    "every": ("step_size", "decay_t", "decay_epochs", "drop_every", "epochs_drop", "steps",
              "transition_steps", "decay_steps", "period"),
    "at": ("milestones", "boundaries", "decay_t", "steps", "epochs", "schedule_steps"),
    "values": ("lrs", "rates", "factors"),
    "value": ("factor", "lr", "c", "rate", "scale", "learning_rate", "constant", "swa_lr"),
    "div": ("div_factor",),
    "final_div": ("final_div_factor",),
    "shape": ("anneal_strategy", "decay_type", "lr_decay_style", "anneal_func", "curve", "mode"),
    "momentum": ("base_momentum", "max_momentum", "cycle_momentum", "moms"),
    "up": ("step_size_up", "step_size", "stepsize"),
    "down": ("step_size_down",),
    "power": ("poly_exp", "exp"),
    "metric": ("monitor", "quantity"),
    "patience": ("patience_t", "wait", "patient"),
    "threshold": ("min_delta", "improvement_threshold", "rtol"),
    "call": ("lr_lambda", "schedule", "fn", "func", "function", "f", "lr_fn"),
    "factor": ("annealing_factor", "gamma", "decay_rate"),
    "timescale": ("shift", "timescale_steps"),
    "d_model": ("model_size", "dim_embed", "hidden_size"),
}  # fmt: skip
"""Names of other libraries' arguments, by ours."""

_OURS: dict[str, list[str]] = {}
for _own, _others in ARGUMENTS.items():
    for _other in _others:
        _OURS.setdefault(_other, []).append(_own)

_HINTS: Mapping[str, str] = {
    "warmup": (
        "A warmup is a phase before: Linear(start=0.0, end=1.0, steps=…) >> …; warmup_cosine(), "
        "warmup_linear() and wsd() have one."
    ),
    "peak": (
        "A schedule alone scales the optimizer's rate; warmup_cosine(peak=…) and the other "
        "recipes, or Set(schedule), give absolute values."
    ),
    "total_steps": "The run has it: schedule.over(1000), or Scheduler(…, total_steps=1000).",
    "last_epoch": "To go on, load the scheduler's state, or call seek(count).",
    "verbose": "Print scheduler.get_last_lr() where the rate is to be seen.",
    "optimizer": "A schedule knows no optimizer: Scheduler(optimizer, lr=schedule) binds it.",
}
"""What there is instead where a class has no such argument at all."""

_DROP_INS: Mapping[str, tuple[str, ...]] = {
    "lr_scheduler": (
        "ChainedScheduler", "ConstantLR", "CosineAnnealingLR", "CosineAnnealingWarmRestarts",
        "CyclicLR", "ExponentialLR", "LRScheduler", "LambdaLR", "LinearLR", "MultiStepLR",
        "MultiplicativeLR", "OneCycleLR", "PolynomialLR", "ReduceLROnPlateau", "SWALR",
        "SequentialLR", "StepLR", "_LRScheduler",
    ),
    "scheduler": (
        "CosineLRScheduler", "MultiStepLRScheduler", "PlateauLRScheduler", "PolyLRScheduler",
        "StepLRScheduler", "TanhLRScheduler", "WSDLRScheduler", "create_scheduler",
        "create_scheduler_v2", "scheduler_kwargs",
    ),
    "optimization": (
        "SchedulerType", "get_adafactor_schedule", "get_constant_schedule",
        "get_constant_schedule_with_warmup", "get_cosine_schedule_with_warmup",
        "get_cosine_with_hard_restarts_schedule_with_warmup",
        "get_cosine_with_min_lr_schedule_with_warmup",
        "get_cosine_with_min_lr_schedule_with_warmup_lr_rate", "get_greedy_schedule",
        "get_inverse_sqrt_schedule", "get_linear_schedule_with_warmup",
        "get_polynomial_decay_schedule_with_warmup", "get_reduce_on_plateau_schedule",
        "get_scheduler", "get_wsd_schedule",
    ),
    "schedulers": (
        "CosineLrScheduler", "SchedulerBase", "StatefulSchedulerBase", "WSDLrScheduler",
        "estimate_checkpoint_steps",
    ),
}  # fmt: skip
"""The files of ``warmdown.compat`` that have a name with its signature."""

_SHAPES: Mapping[str, str] = {
    # torch
    "ChainedScheduler": "first * second",
    "ConstantLR": "PiecewiseConstant(values=[1/3, 1.0], at=[5])",
    "CosineAnnealingLR": "Cosine(steps=…)",
    "CosineAnnealingWarmRestarts": "cosine_restarts(first=…, grow=…)",
    "CyclicLR": "triangular(low=…, high=…, up=…)",
    "ExponentialLR": "ExponentialDecay(gamma=…)",
    "LambdaLR": "Function(f)",
    "LinearLR": "Linear(start=…, end=…, steps=…)",
    "MultiStepLR": "Milestones([30, 60], gamma=0.1)",
    "MultiplicativeLR": "ExponentialDecay(gamma=…)",
    "OneCycleLR": "one_cycle(peak=…)",
    "PolynomialLR": "Polynomial(power=…, steps=…)",
    "ReduceLROnPlateau": "Plateau(metric='val_loss')",
    "SWALR": "swa()",
    "SequentialLR": "first >> second",
    "StepLR": "Staircase(every=30, gamma=0.1)",
    "LRScheduler": "Scheduler(optimizer, schedule)",
    # transformers
    "get_constant_schedule": "Constant()",
    "get_constant_schedule_with_warmup": "warmup_constant(warmup=…)",
    "get_cosine_schedule_with_warmup": "warmup_cosine(warmup=…)",
    "get_cosine_with_hard_restarts_schedule_with_warmup": "cosine_restarts(warmup=…)",
    "get_cosine_with_min_lr_schedule_with_warmup": "warmup_cosine(warmup=…, end=…)",
    "get_inverse_sqrt_schedule": "warmup_inverse_sqrt(warmup=…)",
    "get_linear_schedule_with_warmup": "warmup_linear(warmup=…)",
    "get_polynomial_decay_schedule_with_warmup": "warmup_polynomial(warmup=…)",
    "get_reduce_on_plateau_schedule": "Plateau(metric='val_loss')",
    "get_wsd_schedule": "wsd(warmup=…, decay=…)",
    # timm
    "CosineLRScheduler": "warmup_cosine(warmup=…)",
    "MultiStepLRScheduler": "Milestones([30, 60], gamma=0.1)",
    "PlateauLRScheduler": "Plateau(metric='val_loss')",
    "PolyLRScheduler": "warmup_polynomial(warmup=…)",
    "StepLRScheduler": "Staircase(every=…, gamma=…)",
    "TanhLRScheduler": "Tanh(steps=…)",
    "WSDLRScheduler": "wsd()",
    "CosineLrScheduler": "warmup_cosine(warmup=…)",
    "WSDLrScheduler": "wsd_s()",
    # optax
    "constant_schedule": "Constant(value)",
    "cosine_decay_schedule": "Cosine(steps=…)",
    "cosine_onecycle_schedule": "one_cycle(peak=…)",
    "exponential_decay": "ExponentialDecay(gamma=…), or Exponential(end=…, steps=…)",
    "inject_hyperparams": "Scheduler(optimizer, lr=…, weight_decay=…)",
    "join_schedules": "first >> second",
    "linear_onecycle_schedule": "one_cycle(peak=…, shape='linear')",
    "linear_schedule": "Linear(start=…, end=…, steps=…)",
    "piecewise_constant_schedule": "PiecewiseConstant(values=[…], at=[…])",
    "piecewise_interpolate_schedule": "piecewise(values=[…], lengths=[…])",
    "polynomial_schedule": "Polynomial(start=…, end=…, power=…, steps=…)",
    "sgdr_schedule": "cosine_restarts(first=…, grow=…)",
    "warmup_constant_schedule": "warmup_constant(warmup=…, peak=…)",
    "warmup_cosine_decay_schedule": "warmup_cosine(warmup=…, peak=…, end=…)",
    "warmup_exponential_decay_schedule": "tri_stage(warmup=…, hold=…, peak=…)",
    "reduce_on_plateau": "Plateau(metric='val_loss')",
    # Keras
    "CosineDecay": "Cosine(steps=…)",
    "CosineDecayRestarts": "cosine_restarts(first=…, grow=…)",
    "InverseTimeDecay": "InverseTime()",
    "LearningRateSchedule": "Schedule",
    "LearningRateScheduler": "Scheduler(optimizer, Function(f))",
    "PiecewiseConstantDecay": "PiecewiseConstant(values=[…], at=[…])",
    "PolynomialDecay": "Polynomial(power=…, steps=…)",
    "LinearDecay": "Linear(steps=…)",
    "StepDecay": "Staircase(every=…, gamma=…)",
    "WarmupDecay": "warmup_cosine()",
    # frameworks, and words that people try
    "LearningRateFinder": "find_rate(train_step, optimizer)",
    "LRFinder": "find_rate(train_step, optimizer)",
    "lr_find": "find_rate(train_step, optimizer)",
    "lr_finder": "find_rate(train_step, optimizer)",
    "LearningRateMonitor": "Record",
    "LinearWarmupCosineAnnealingLR": "warmup_cosine(warmup=…)",
    "WarmupCosineSchedule": "warmup_cosine(warmup=…)",
    "WarmupLinearSchedule": "warmup_linear(warmup=…)",
    "GradualWarmupScheduler": "with_warmup(schedule, warmup=…)",
    "CosineAnnealing": "Cosine(steps=…)",
    "CosineAnnealingWarmupRestarts": "cosine_restarts(first=…, warmup=…)",
    "CosineAnnealingLRWarmup": "warmup_cosine(warmup=…)",
    "NoamLR": "noam(d_model=…)",
    "Noam": "noam(d_model=…)",
    "NoamScheduler": "noam(d_model=…)",
    "PolyLR": "Polynomial(power=…)",
    "Poly": "Polynomial(power=…)",
    "WarmupLR": "warmup_constant(warmup=…)",
    "WarmupDecayLR": "warmup_linear(warmup=…)",
    "WarmupCosineLR": "warmup_cosine(warmup=…)",
    "Warmup": "with_warmup(schedule, warmup=…)",
    "LinearWarmup": "with_warmup(schedule, warmup=…)",
    "warmup": "with_warmup(schedule, warmup=…)",
    "linear_warmup": "with_warmup(schedule, warmup=…)",
    "WSD": "wsd()",
    "Step": "Staircase(every=30, gamma=0.1)",
    "MultiStep": "Milestones([30, 60], gamma=0.1)",
    "StepSchedule": "Staircase(every=30, gamma=0.1)",
    "Lambda": "Function(f)",
    "Sequential": "first >> second",
    "SequentialSchedule": "first >> second",
    "sequence": "first >> second",
    "chain": "first >> second",
    "concat": "first >> second",
    "CosineWithWarmup": "warmup_cosine(warmup=…)",
    "cosine_with_warmup": "warmup_cosine(warmup=…)",
    "linear_with_warmup": "warmup_linear(warmup=…)",
    "onecycle": "one_cycle(peak=…)",
    "OneCycle": "one_cycle(peak=…)",
    "fit_one_cycle": "one_cycle(peak=…)",
    "SGDR": "cosine_restarts(first=…, grow=…)",
    "Cyclic": "triangular(low=…, high=…, up=…)",
    "Piecewise": "PiecewiseConstant(values=[…], at=[…])",
    "LRSchedule": "Schedule",
    "Annealing": "Cosine(steps=…)",
    "load_plan": "load(path)",
    "read": "load(path)",
    "from_yaml": "loads(text)",
    "from_file": "load(path)",
    "parse": "loads(text)",
    "dump": "save(plan, path)",
}
"""What is nearest here to a class or function of another library, as an example of its use."""

_PLACES: Mapping[str, str] = {
    **dict.fromkeys(
        ("optim", "lr_scheduler"),
        "Torch's schedulers are in warmdown.compat.lr_scheduler, by their names.",
    ),
    "optimization": "Transformers' functions are in warmdown.compat.optimization, by their names.",
    "scheduler": "Timm's schedulers are in warmdown.compat.scheduler, by their names.",
    "schedulers": "The schedules are names of warmdown itself, as warmdown.Cosine.",
    "callbacks": "The Trainer's callbacks are in warmdown.training.",
    "Trainer": "It is in warmdown.training.",
    "Task": "It is in warmdown.training.",
    "search": "It is in warmdown.experiments.",
}
"""Where other things are."""


def own_argument(word: str, known: Iterable[str]) -> str:
    """Return what an argument of another library is called here, as a sentence; empty if unknown.

    Args:
        word: The name that was given.
        known: Names that can be given.

    Example:
        >>> own_argument("T_max", ["start", "end", "steps"])
        "Did you mean 'steps'?"
    """
    own = _OURS.get(word, [])
    for name in own:
        if name in known:
            is_epochs = "epoch" in word and name in ("steps", "warmup", "every", "decay", "first")
            more = f" In epochs: {name}='5ep'." if is_epochs else ""
            return f"Did you mean {name!r}?{more}"
    if "targets" in known:
        return "A plan takes targets by their names so: Plan.of(lr=schedule, run=…)."
    hints = (_HINTS[name] for name in (word, *own) if name in _HINTS)
    return next(hints, "")


def own_name(word: str) -> str:
    """Return what another library's class, function or module is here, as a sentence.

    Example:
        >>> own_name("NoamLR")
        'Here it is noam(d_model=…).'
    """
    if word in _PLACES:
        return _PLACES[word]
    shape = _SHAPES.get(word, "")
    own = f"here it is {shape}" if shape else ""
    drop_ins = [
        f"warmdown.compat.{file}.{word} has its signature"
        for file, names in _DROP_INS.items()
        if word in names
    ]
    text = "; ".join(filter(None, [own, *drop_ins]))
    return f"{text}." if drop_ins and not own else f"{text[:1].upper()}{text[1:]}." if text else ""
