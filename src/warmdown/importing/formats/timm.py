"""timm's ``args.yaml``."""

from __future__ import annotations

from math import prod

from warmdown.compat.names.timm import TIMM_NAMES
from warmdown.errors import ScheduleError
from warmdown.importing.formats.section import KnownRun, Section, Settings, rate_plan, value_table
from warmdown.plan import Plan
from warmdown.schedules import Set


def read_timm(settings: Settings, known: KnownRun) -> Plan:
    """Read timm's ``args.yaml``, whose rates change once an epoch, or with ``sched_on_updates``."""
    given = Section("timm", settings)
    kind = given.name("sched", (*TIMM_NAMES, "none"), "cosine")
    lr = known.lr or _rate_of_batch(given, known)
    by_update = bool(given.raw("sched_on_updates", False))
    each = known.updates(1)
    epochs = known.epochs or given.number("epochs", 300)
    if given.raw("layer_decay"):
        known.tell(
            "timm.layer_decay: it is in each group's lr_scale, by which a Scheduler multiplies too."
        )
    if kind == "none":
        kind, warmup = "constant", 0.0
    else:
        warmup = given.number("warmup_epochs", 5)
    noise = given.raw("lr_noise")
    if noise is not None and by_update:
        raise ScheduleError("timm.lr_noise: noise of every update cannot be imported. Take it out.")
    import torch  # to know what a file is takes neither

    from warmdown.compat.scheduler import create_scheduler_v2

    optimizer = torch.optim.SGD([torch.zeros(1)], lr=lr)
    scheduler, last = create_scheduler_v2(
        optimizer,
        kind,
        num_epochs=epochs,
        warmup_epochs=warmup,
        warmup_lr=given.number("warmup_lr", 1e-5),
        warmup_prefix=bool(given.raw("warmup_prefix", False)),
        cooldown_epochs=given.count("cooldown_epochs", 0),
        min_lr=given.number("min_lr", 0.0),
        decay_epochs=None if given.raw("decay_epochs") is None else given.number("decay_epochs"),
        decay_milestones=given.numbers("decay_milestones", [90, 180, 270]),
        decay_rate=given.number("decay_rate", 0.1),
        cycle_mul=given.number("lr_cycle_mul", 1.0),
        cycle_decay=given.number("lr_cycle_decay", 0.5),
        cycle_limit=given.count("lr_cycle_limit", 1),
        k_decay=given.number("lr_k_decay", 1.0),
        decay_fn=given.raw("lr_decay_fn"),
        stable_timescale=given.raw("lr_stable_timescale"),
        noise=given.numbers("lr_noise") if isinstance(noise, list | str) else noise,
        noise_pct=given.number("lr_noise_pct", 0.67),
        noise_std=given.number("lr_noise_std", 1.0),
        noise_seed=given.count("seed", 42),
        step_on_epochs=not by_update,
        updates_per_epoch=each,
    )
    if by_update:
        return rate_plan(scheduler.rule, int(last) * each, lr)
    rates = []
    for epoch in range(int(last)):
        if epoch:  # what the constructor left is used first
            scheduler.step(epoch)
        rates.append(optimizer.param_groups[0]["lr"])
    return rate_plan(Set(value_table(rates, every=each)), int(last) * each, lr)


def _rate_of_batch(given: Section, known: KnownRun) -> float:
    """Return the rate, or what timm makes of its base for a batch."""
    if given.raw("lr"):
        return given.number("lr")
    base, size = given.number("lr_base", 0.1), given.number("lr_base_size", 256)
    counts = {"batch_size": 128, "grad_accum_steps": 1, "world_size": 1}
    batch = prod(given.count(name, default) for name, default in counts.items())
    adapts = any(word in str(given.raw("opt", "sgd")).lower() for word in ("ada", "lamb"))
    scale = given.raw("lr_base_scale") or ("sqrt" if adapts else "linear")
    lr: float = base * (batch / size) ** (0.5 if scale == "sqrt" else 1.0)
    known.tell(f"timm.lr: {lr:g}, from lr_base for a batch of {batch}; world_size says how many.")
    return lr
