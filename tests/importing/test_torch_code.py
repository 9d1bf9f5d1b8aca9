"""The code of plain torch gives a real optimizer the plan's values at every update."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import warmdown as wd
from warmdown.importing.torch_code import NoTorchCode, torch_code
from warmdown.planfile.of_record import recipes_of_record
from warmdown.planfile.plans import plan_from_dict
from warmdown.schedules.base import PlainData

RUN = wd.Run(200, lr=1e-3)
FIELDS = ("lr", "weight_decay", "momentum", "betas")
NOT_IN_TORCH = {"autoresearch": "not seconds", "deepseek-v3-batch": "batch_size: torch's"}
DECAY = wd.Set(wd.Cosine(start=0.1, end=0.0))
WARMUP = wd.Linear(start=0.0, end=1.0, steps=20)


def optimizer_of(plan: wd.Plan, kind: str = "SGD", lr: float = 1e-3) -> torch.optim.Optimizer:
    """Return an optimizer with three groups, of which the plan's patterns name two."""
    named = [t.groups.replace("*", "x") for t in plan.targets if t.groups != "*"]
    names = [name for name in dict.fromkeys([*named, "body", "head"]) if not name.isdigit()][:3]
    groups = [
        {"params": [torch.nn.Parameter(torch.zeros(1))], "name": name, "lr": lr * (at + 1)}
        for at, name in enumerate(names)
    ]
    if kind == "SGD":
        return torch.optim.SGD(groups, lr=lr, momentum=0.9, weight_decay=0.1)
    return torch.optim.AdamW(groups, lr=lr, weight_decay=0.1)


def values_in(optimizer: torch.optim.Optimizer) -> list[float]:
    found: list[float] = []
    for group in optimizer.param_groups:
        for field in FIELDS:
            value = group.get(field, ())
            found += value if isinstance(value, tuple) else [value]
    return found


def run_code(plan: wd.Plan, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    names: dict[str, Any] = {"optimizer": optimizer}
    exec(torch_code(plan), names)  # noqa: S102 - the code that is exported
    return names


def plan_of(**targets: Any) -> wd.Plan:
    return wd.Plan.of(run=RUN, **targets)


PLANS: dict[str, tuple[str, wd.Plan]] = {
    "a factor": ("SGD", plan_of(lr=wd.warmup_cosine(warmup=10))),
    "a rate that is set": ("SGD", plan_of(lr=wd.Set(wd.Linear(start=1e-2, end=1e-4)))),
    "a floor": ("SGD", plan_of(lr=wd.Scale(wd.Cosine(), low=1e-4))),
    "a floor that moves": ("SGD", plan_of(lr=wd.Scale(wd.Cosine(), low=wd.Linear(start=1e-4)))),
    "an offset": ("SGD", plan_of(lr=wd.Scale(wd.Cosine(), offset=wd.Constant(1e-5)))),
    "two groups": ("SGD", plan_of(lr={"head": wd.Cosine(), "*": wd.Linear()})),
    "by index": ("SGD", plan_of(lr={"1": wd.Cosine(), "*": wd.Linear()})),
    "a pattern": ("SGD", plan_of(lr={"dec.*": wd.Cosine()})),
    "weight decay": ("SGD", plan_of(lr=wd.Cosine(), weight_decay=DECAY)),
    "decay alone": ("AdamW", plan_of(weight_decay=wd.Cosine(end=0.5))),
    "momentum": ("SGD", plan_of(lr=wd.Cosine(), momentum=wd.Set(wd.Linear(start=0.8, end=0.95)))),
    "momentum of Adam": ("AdamW", plan_of(lr=wd.Cosine(), momentum=wd.Set(wd.Linear(start=0.8)))),
    "betas": ("AdamW", plan_of(**{"betas[1]": wd.Set(wd.Linear(start=0.9, end=0.99))})),
    "everything": (
        "AdamW",
        plan_of(
            lr={"head": wd.Set(wd.Cosine(start=1e-2)), "*": wd.wsd(warmup=10)},
            weight_decay={"head": DECAY},
            **{"betas[0]": wd.Scale(wd.Linear(start=1.0, end=0.9))},
        ),
    ),
}


@pytest.mark.parametrize(("kind", "plan"), PLANS.values(), ids=PLANS.keys())
def test_the_code_gives_what_our_scheduler_gives_at_every_update(kind: str, plan: wd.Plan) -> None:
    theirs, ours = optimizer_of(plan, kind), optimizer_of(plan, kind)
    names, scheduler = run_code(plan, theirs), wd.Scheduler(ours, plan)
    for _ in range(RUN.total_steps or 0):
        np.testing.assert_allclose(values_in(theirs), values_in(ours), rtol=1e-9, atol=1e-15)
        for optimizer in (theirs, ours):
            optimizer.step()
        names["scheduler"].step()
        scheduler.step()


@pytest.mark.parametrize("name", recipes_of_record())
def test_every_recipe_of_record_has_code_with_its_values(name: str) -> None:
    plan = wd.loads(recipes_of_record()[name].text())
    if name in NOT_IN_TORCH:
        with pytest.raises(NoTorchCode, match=NOT_IN_TORCH[name]):
            torch_code(plan)
        return
    kind = "AdamW" if any(one.name.startswith("betas") for one in plan.targets) else "SGD"
    theirs, ours = (optimizer_of(plan, kind, plan.run.lr or 1.0) for _ in range(2))
    names, scheduler = run_code(plan, theirs), wd.Scheduler(ours, plan)
    each = plan.run.tokens_per_step if plan.run.clock == "tokens" else 1
    last = int((plan.length or 1_000) / (each or 1))
    bounds = {
        int(bound / (each or 1)) + by
        for target in plan.over().targets
        for phase in target.phases()
        for bound in (phase.start, phase.stop or 0)
        for by in (-1, 0, 1)
    }
    updates = sorted({*bounds, *range(60), *np.linspace(0, last, 60, dtype=int).tolist()})
    theirs.step()
    for update in (one for one in updates if 0 <= one <= last):
        names["scheduler"].last_epoch = update - 1  # as after loading a state
        names["scheduler"].step()
        scheduler.seek(update * (each or 1))
        np.testing.assert_allclose(values_in(theirs), values_in(ours), rtol=1e-8, atol=1e-12)


PLATEAU = wd.Plateau(metric="val_loss", factor=0.5, patience=2, cooldown=1)
FOLLOWING: dict[str, wd.Plan] = {
    "alone": plan_of(lr=PLATEAU),
    "with a smallest factor": plan_of(lr=wd.Plateau(metric="val_loss", patience=0, low=0.01)),
    "with a smallest rate": plan_of(lr=wd.Scale(PLATEAU, low=3e-4)),
    "for more is better": plan_of(lr=wd.Plateau(mode="max", threshold_mode="abs", patience=1)),
    "after a warmup": plan_of(lr=WARMUP >> PLATEAU.named("follow")),
    "with decay beside it": plan_of(lr=PLATEAU, weight_decay=DECAY),
    "with both": plan_of(lr=wd.Scale(WARMUP >> PLATEAU, low=2e-4), weight_decay=DECAY),
}


@pytest.mark.parametrize("plan", FOLLOWING.values(), ids=FOLLOWING.keys())
def test_a_rate_that_follows_a_metric_is_torchs_reduce_on_plateau(plan: wd.Plan) -> None:
    theirs, ours = optimizer_of(plan), optimizer_of(plan)
    names, scheduler = run_code(plan, theirs), wd.Scheduler(ours, plan)
    plateau, steps = names.get("plateau", names["scheduler"]), "plateau" in names
    losses = np.random.default_rng(0).normal(1.0, 0.2, 200) - np.minimum(np.arange(200), 60) / 100
    is_warm = not any("warmup" in phase.name for one in plan.targets for phase in one.phases())
    for update, loss in enumerate(losses.tolist(), start=1):
        for optimizer in (theirs, ours):
            optimizer.step()
        if steps:
            names["scheduler"].step()
        scheduler.step()
        if update % 5 == 0:
            scheduler.observe(val_loss=loss, loss=loss)
            if is_warm or update >= 20:
                plateau.step(loss)
        np.testing.assert_allclose(values_in(theirs), values_in(ours), rtol=1e-9, atol=1e-15)
    assert ours.param_groups[0]["lr"] < 1e-3


@pytest.mark.parametrize(
    ("lr", "reason"),
    [
        (wd.Greedy(), "never raises it while the metric improves"),
        (wd.Plateau(factor=2.0, high=8.0), "only lowers the rate"),
        (wd.Plateau(compare="last"), "not with the last one"),
        (wd.Plateau(patience="20steps"), "give patience and cooldown without a unit"),
        (wd.Cosine() * wd.Plateau(), "multiplies nothing"),
        (wd.Set(wd.Plateau()), "multiplies the optimizer's own rate"),
        ({"head": wd.Plateau(), "*": wd.Cosine()}, "all groups, and not lr/head"),
        ({"head": wd.Cosine(), "*": wd.Plateau()}, "moves the rate of all groups"),
    ],
)
def test_what_follows_a_metric_in_another_way_is_refused_with_the_reason(
    lr: Any, reason: str
) -> None:
    with pytest.raises(NoTorchCode, match=f"torch has nothing for lr.*{reason}.*Use the Python"):
        torch_code(plan_of(lr=lr))


def test_a_group_that_the_optimizer_lacks_is_an_error_and_not_another_groups_rate() -> None:
    plan = plan_of(lr={"tail": wd.Cosine(), "*": wd.Linear()})
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1e-3)
    with pytest.raises(KeyError, match="no group 'tail'"):
        run_code(plan, optimizer)


def test_a_resumed_scheduler_goes_on_with_the_plans_values() -> None:
    plan = FOLLOWING["with both"]
    first = optimizer_of(plan)
    names = run_code(plan, first)
    for _ in range(30):
        first.step()
        names["scheduler"].step()
    names["plateau"].num_bad_epochs = 9
    names["plateau"].step(2.0)
    again = optimizer_of(plan)
    resumed = run_code(plan, again)
    again.load_state_dict(first.state_dict())
    resumed["scheduler"].load_state_dict(names["scheduler"].state_dict())
    for optimizer, scheduler in ((first, names["scheduler"]), (again, resumed["scheduler"])):
        optimizer.step()
        scheduler.step()
    assert values_in(again) == values_in(first)


def test_a_run_in_tokens_has_its_updates_counted_in_them() -> None:
    data: PlainData = {
        "run": {"clock": "tokens", "budget": "1e6tok", "tokens_per_step": 4096, "lr": 1.0},
        "lr": "cosine",
    }
    plan = plan_from_dict(data)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    names = run_code(plan, optimizer)
    for update in range(245):
        expected = plan.over().targets[0].rule.value(update * 4096.0, 1.0)
        assert optimizer.param_groups[0]["lr"] == pytest.approx(expected, abs=1e-12)
        optimizer.step()
        names["scheduler"].step()
    with pytest.raises(NoTorchCode, match="how many an update takes is not known"):
        torch_code(wd.Plan.of(lr=wd.Cosine(), run=wd.Run(budget="1h", clock="seconds")))


def test_a_long_run_of_any_shape_is_a_formula_and_no_long_table() -> None:
    for schedule in (wd.Cosine(k=2.0, exponent=1.5), wd.Cosine(steps=250).repeat(grow=2.0)):
        assert len(torch_code(wd.Plan.of(lr=schedule, run=wd.Run(10**6)))) < 2_000
    with pytest.raises(NoTorchCode, match="a table of 1,000,000 updates is too long"):
        torch_code(wd.Plan.of(lr=wd.Noisy(of=wd.Cosine(), spread=0.1), run=wd.Run(10**6)))
