"""timm's scheduler classes and factory by their names: signatures, rates, noise and states."""

from __future__ import annotations

import inspect
import warnings
from argparse import Namespace
from typing import Any

import pytest
from tests.compat.loops import rates, sgd
from tests.compat.timm_parts import timm_scheduler

import warmdown.compat.scheduler as named
from warmdown.errors import ScheduleError, StateError

CLASSES: dict[str, dict[str, Any]] = {
    "CosineLRScheduler": {"t_initial": 9, "cycle_limit": 2, "cycle_decay": 0.5, "lr_min": 0.01},
    "TanhLRScheduler": {"t_initial": 12, "lr_min": 0.01},
    "PolyLRScheduler": {"t_initial": 12, "k_decay": 1.5},
    "StepLRScheduler": {"decay_t": 2.4, "decay_rate": 0.5},
    "MultiStepLRScheduler": {"decay_t": [3, 7], "decay_rate": 0.5},
    "WSDLRScheduler": {"t_initial": 12, "decay_t": 4, "stable_fn": "power"},
}
WARM = {"warmup_t": 3, "warmup_lr_init": 0.02, "noise_range_t": (6, 9)}


def used(scheduler: Any, steps: int = 20) -> list[list[float]]:
    seen = []
    for epoch in range(1, steps):
        seen.append(rates(scheduler.optimizer))
        scheduler.step_update(epoch)
        scheduler.step(epoch)
    return seen


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("in_epochs", [True, False])
def test_a_class_of_timm_has_its_rates_its_noise_and_its_layer_decay(
    name: str, in_epochs: bool
) -> None:
    made = []
    for module in (named, timm_scheduler()):
        optimizer = sgd(1.0, 0.5)
        optimizer.param_groups[1]["lr_scale"] = 0.3
        made.append(
            used(getattr(module, name)(optimizer, **CLASSES[name], **WARM, t_in_epochs=in_epochs))
        )
    # what timm's constructor leaves is not scaled
    assert made[0][1:] == [pytest.approx(row, rel=1e-9) for row in made[1][1:]]


@pytest.mark.parametrize("name", [*CLASSES, "PlateauLRScheduler"])
def test_a_class_takes_what_timms_takes(name: str) -> None:
    theirs = inspect.signature(getattr(timm_scheduler(), name)).parameters
    takes = getattr(named, name)._takes
    assert list(takes) == [key for key in theirs if key != "optimizer"]
    assert {key: takes[key] for key in takes} == {key: theirs[key].default for key in takes}


def test_a_state_of_timms_or_ours_goes_on() -> None:
    theirs = timm_scheduler().CosineLRScheduler(sgd(1.0), t_initial=10)
    ours = named.CosineLRScheduler(sgd(0.5), t_initial=20)
    ours.load_state_dict(theirs.state_dict())
    assert used(ours)[1:] == [pytest.approx(row, abs=1e-12) for row in used(theirs)[1:]]
    again = named.CosineLRScheduler(sgd(0.5), t_initial=20)
    again.load_state_dict(ours.state_dict())
    assert again.values(5) == ours.values(5)
    with pytest.raises(StateError, match="Give what state_dict"):
        ours.load_state_dict(None)  # type: ignore[arg-type]


def test_a_plateau_warms_up_falls_and_resumes() -> None:
    def plateau(module: Any) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return module.PlateauLRScheduler(
                sgd(1.0), decay_rate=0.5, patience_t=1, warmup_t=2, mode="min"
            )

    ours, theirs = plateau(named), plateau(timm_scheduler())
    seen: list[list[float]] = []
    for epoch, loss in enumerate((3.0, 2.0, 2.0, 2.0, 2.0, 2.0), start=1):
        for one in (ours, theirs):
            one.step(epoch, loss)
        seen.append(rates(ours.optimizer))
        assert seen[-1] == pytest.approx(rates(theirs.optimizer))
    again = plateau(named)
    again.load_state_dict(ours.state_dict())
    assert again.lr_scheduler.num_bad_epochs == ours.lr_scheduler.num_bad_epochs
    assert min(seen) < max(seen)


def test_a_plateau_has_timms_noise_of_either_kind_and_is_itself_without_it() -> None:
    for kind in ("normal", "uniform"):
        made = []
        for module in (named, timm_scheduler()):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                scheduler = module.PlateauLRScheduler(
                    sgd(1.0), patience_t=9, noise_range_t=(3, 6), noise_type=kind, noise_pct=0.3
                )
            seen = []
            for epoch in range(1, 8):
                scheduler.step(epoch, 1.0)
                seen += rates(scheduler.optimizer)
            made.append(seen)
        assert made[0] == pytest.approx(made[1])
        assert [rate == 1.0 for rate in made[0]] == [True, True, False, False, False, True, True]


def test_rates_that_lie_there_may_be_gone_on_from() -> None:
    made = []
    for module in (named, timm_scheduler()):
        first = module.CosineLRScheduler(sgd(1.0), t_initial=9)
        first.step(4)
        again = module.CosineLRScheduler(first.optimizer, t_initial=9, initialize=False)
        again.step(5)
        made.append(rates(again.optimizer))
    assert made[0] == pytest.approx(made[1])
    with pytest.raises(
        KeyError, match=r"initialize=False\): a parameter group has no 'initial_lr'"
    ):
        named.CosineLRScheduler(sgd(1.0), t_initial=9, initialize=False)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("CosineLRScheduler", {"cycle_limit": 2, "cycle_decay": 0.5}),
        ("CosineLRScheduler", {"warmup_t": 1.5, "warmup_lr_init": 0.1, "lr_min": 0.01}),
        ("CosineLRScheduler", {"cycle_limit": 2, "cycle_mul": 2.0, "lr_min": 0.01}),
        ("TanhLRScheduler", {"cycle_limit": 3}),
        ("PolyLRScheduler", {}),
    ],
)
def test_a_cycle_may_end_between_two_steps(name: str, arguments: dict[str, Any]) -> None:
    made = [
        used(getattr(module, name)(sgd(1.0), t_initial=4.5, **arguments))
        for module in (named, timm_scheduler())
    ]
    assert made[0][1:] == [pytest.approx(row, rel=1e-9) for row in made[1][1:]]


def test_no_scheduler_and_a_metric_that_is_to_grow_are_settings_too() -> None:
    prefix = {"warmup_prefix": True, "warmup_epochs": 5}
    assert named.create_scheduler_v2(sgd(), "none", 20, **prefix) == (None, 25)
    settings = Namespace(sched="plateau", epochs=20, eval_metric="loss")
    given = timm_scheduler().scheduler_kwargs(settings, decreasing_metric=False)
    ours = named.scheduler_kwargs(settings, decreasing_metric=False)
    assert ours["plateau_mode"] == given["plateau_mode"] == "max"
    assert named.scheduler_kwargs(settings)["plateau_mode"] == "min"


@pytest.mark.parametrize("sched", named._CLASSES)
@pytest.mark.parametrize("on_epochs", [True, False])
def test_the_factory_makes_what_timms_makes(sched: str, on_epochs: bool) -> None:
    if sched == "plateau" and not on_epochs:
        pytest.skip("timm's plateau counts epochs")
    settings = Namespace(
        sched=sched, epochs=20, decay_epochs=4.5, warmup_epochs=2, cooldown_epochs=3, min_lr=0.01,
        sched_on_updates=not on_epochs, lr_noise=[0.5, 0.9], lr_cycle_limit=2,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs, epochs = timm_scheduler().create_scheduler(settings, sgd(1.0), 5)
    ours, count = named.create_scheduler(settings, sgd(1.0), 5)
    assert count == epochs
    assert named.scheduler_kwargs(settings) == timm_scheduler().scheduler_kwargs(settings)
    assert used(ours)[1:] == [pytest.approx(row, rel=1e-9) for row in used(theirs)[1:]]


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: named.create_scheduler_v2(sgd(), "cosin"), "Did you mean 'cosine'"),
        (lambda: named.create_scheduler_v2(sgd(), step_on_epochs=False), "give updates_per_epoch"),
        (lambda: named.CosineLRScheduler(sgd()), "missing a required argument: 't_initial'"),
        (lambda: named.CosineLRScheduler(sgd(), 9, warmup_t=-1), "warmup_t=-1: a finite length"),
        (lambda: named.CosineLRScheduler(sgd(), float("inf")), "t_initial=inf: a finite length"),
        (lambda: named.StepLRScheduler(sgd(), 0), "decay_t=0: a stair needs a length above 0"),
        (lambda: named.WSDLRScheduler(sgd(), 9, 3, decay_fn=lambda share: share), "use one of"),
    ],
)
def test_a_mistake_says_the_way_out(make: Any, says: str) -> None:
    with pytest.raises(ScheduleError, match=says):
        make()
