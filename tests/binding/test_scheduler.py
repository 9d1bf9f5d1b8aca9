"""A plan bound to an optimizer: what it writes, what it returns, and what it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.binding.loops import curve, each_rate, model, sgd, train, warns
from tests.strategies import schedules

import warmdown as wd

RUN = wd.Run(total_steps=1000)


def test_construction_writes_the_first_value() -> None:
    optimizer = sgd(0.5, 0.25)
    wd.Scheduler(optimizer, lr=wd.Linear(start=0.1, end=1.0, steps=10))
    assert each_rate(optimizer) == [0.05, 0.025]


LONG_RUN = wd.Run(total_steps=10_000, steps_per_epoch=100)


def fits(schedule: wd.Schedule) -> bool:
    """Tell whether a run takes the schedule; one that is too long is refused elsewhere."""
    try:
        schedule.over(LONG_RUN)
    except wd.ScheduleError:
        return False
    return True


@given(schedule=schedules().filter(fits), start=st.integers(0, 3000))
@settings(max_examples=40)
def test_what_is_written_step_by_step_is_what_a_seek_writes_bit_for_bit(
    schedule: wd.Schedule, start: int
) -> None:
    optimizer, other = sgd(0.3, 0.7), sgd(0.3, 0.7)
    plan = wd.Plan.of(lr=schedule, run=LONG_RUN)
    stepped, sought = wd.Scheduler(optimizer, plan, count_by="attempts"), wd.Scheduler(other, plan)
    stepped.seek(start)
    for step in range(start, start + 200):
        if (step - start) % 64 in (0, 1, 63):  # the windows of values meet at 64 and 192
            sought.seek(step)
            assert each_rate(optimizer) == each_rate(other)
            assert stepped.count == step
        stepped.step()


@given(schedule=schedules().filter(fits), start=st.integers(0, 500), size=st.integers(1, 100))
@settings(max_examples=100)
def test_what_looks_flat_by_its_form_is_flat(schedule: wd.Schedule, start: int, size: int) -> None:
    whole = wd.Constant(value=0.5, steps=start // 2) >> (wd.Constant(steps=40) >> schedule).clip(
        low=0.01
    )
    if whole.is_flat(start, start + size):
        assert len(set(whole(np.arange(start, start + size + 1)))) == 1
    assert wd.wsd(warmup=10, decay=10).over(RUN).is_flat(10, 989)
    assert not wd.wsd(warmup=10, decay=10).over(RUN).is_flat(10, 990)


def test_values_are_those_of_the_schedule_at_a_million_steps() -> None:
    schedule = wd.Linear(start=0.0, end=1.0, steps=1000) >> wd.Cosine(
        start=1.0, end=0.1, steps=999_000
    )
    optimizer = sgd()
    scheduler = wd.Scheduler(optimizer, lr=schedule, count_by="attempts")
    values = []
    for _ in range(20_000):
        values.append(optimizer.param_groups[0]["lr"])
        scheduler.step()
    np.testing.assert_allclose(values, schedule(np.arange(20_000)), rtol=1e-15)


class Watched(dict[str, Any]):
    """A parameter group that counts what is written into it."""

    writes = 0

    def __setitem__(self, key: str, value: Any) -> None:
        self.writes += key == "lr"
        super().__setitem__(key, value)


@pytest.mark.parametrize(
    ("schedule", "steps", "writes"),
    [
        (wd.Constant(), 5000, 0),
        (wd.wsd(warmup=10, decay=10), 900, 0),
        (wd.Staircase(gamma=0.5, every=300), 900, 3),
        (wd.Linear(steps=1000), 300, 300),
    ],
)
def test_a_phase_in_which_nothing_moves_writes_nothing(
    schedule: wd.Schedule, steps: int, writes: int
) -> None:
    optimizer = sgd()
    optimizer.param_groups[0] = Watched(optimizer.param_groups[0])
    scheduler = wd.Scheduler(optimizer, lr=schedule, run=RUN, count_by="attempts")
    scheduler.seek(20)
    before = optimizer.param_groups[0].writes  # type: ignore[attr-defined]
    for _ in range(steps):
        scheduler.step()
    assert optimizer.param_groups[0].writes - before == writes  # type: ignore[attr-defined]


def test_groups_of_one_base_hold_the_very_same_number() -> None:
    optimizer = sgd(*[0.5] * 50)
    scheduler = wd.Scheduler(optimizer, lr=wd.Linear(steps=100))
    for _ in range(10):
        scheduler.step()
    assert len({id(group["lr"]) for group in optimizer.param_groups}) == 1


@pytest.mark.parametrize("groups", [1, 300])
def test_memory_does_not_grow_with_the_run(groups: int) -> None:
    optimizer = sgd(*np.linspace(0.1, 1.0, groups).tolist())
    scheduler = wd.Scheduler(optimizer, lr=wd.Cosine(steps=10**9), count_by="attempts")
    values = []
    for _ in range(3):
        for _ in range(5000):
            scheduler.step()
        writer = scheduler.writer
        width = writer.targets[0].width(writer.timeline, writer.position)
        values.append(width * writer.last)
    assert max(values) <= 70_000


@pytest.mark.parametrize(("schedule", "ahead"), [(wd.Linear(steps=100), 4), (wd.Constant(), 128)])
def test_as_many_values_are_read_ahead_as_there_is_memory_for_and_none_where_nothing_moves(
    schedule: wd.Schedule, ahead: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("warmdown.binding.targets._CELLS", 4)
    scheduler = wd.Scheduler(sgd(0.5), lr=schedule, count_by="attempts")
    most = 0
    for step in range(70):
        assert scheduler.get_last_lr() == [0.5 * schedule(step)]
        scheduler.step()
        most = max(most, scheduler.writer.last)
    assert most == ahead


def test_of_an_optimizer_without_a_rate_there_is_none_to_list() -> None:
    class Tempered:
        def __init__(self) -> None:
            self.param_groups: Any = [{"params": [], "temperature": 2.0}]

    both: Any = [sgd(0.5), Tempered()]
    line = wd.Linear(start=1.0, end=0.0, steps=4)
    scheduler = wd.Scheduler(both, lr=line, temperature=line, count_by="attempts")
    assert scheduler.last_values() == {}  # no update was made
    scheduler.step()
    assert (scheduler.get_last_lr(), scheduler.base_lrs) == ([0.375], [0.5])
    assert both[1].param_groups[0]["temperature"] == 1.5


def test_a_persons_function_is_asked_once_a_step_and_not_ahead_of_it() -> None:
    asked: list[int] = []

    def halving(step: int) -> float:
        asked.append(step)
        return 0.5**step

    optimizer = sgd()
    scheduler = wd.Scheduler(optimizer, lr=wd.Function(call=halving))
    assert train(optimizer, scheduler, 6) == [0.5**step for step in range(6)]
    assert max(asked) == 6


def test_a_set_is_the_value_itself_and_a_scale_each_groups_own() -> None:
    optimizer = sgd(0.5, 0.25)
    wd.Scheduler(
        optimizer,
        lr={0: wd.Set(wd.Constant(value=0.01)), 1: wd.Scale(wd.Constant(value=0.5), low=0.2)},
    )
    assert each_rate(optimizer) == [0.01, 0.2]


def test_an_absolute_offset_is_the_same_for_every_group() -> None:
    optimizer = sgd(1.0, 0.01)
    floor = wd.Linear(start=0.0, end=0.001, steps=10)
    scheduler = wd.Scheduler(optimizer, lr=wd.Scale(wd.Linear(steps=10), offset=floor))
    scheduler.seek(10)
    assert each_rate(optimizer) == [0.001, 0.001]


def test_a_group_whose_rate_an_earlier_schedule_brought_to_zero_has_its_base_back() -> None:
    optimizer = sgd(0.5)
    first = wd.Scheduler(optimizer, lr=wd.Linear(steps=3))
    train(optimizer, first, 3)
    assert each_rate(optimizer) == [0.0]
    del first
    wd.Scheduler(optimizer, lr=wd.Linear(start=0.1, end=1.0, steps=3))
    assert each_rate(optimizer) == [0.05]


def test_a_rate_that_was_set_by_others_is_the_base_of_a_new_scheduler() -> None:
    optimizer = sgd(0.5)
    first = wd.Scheduler(optimizer, lr=wd.Linear(steps=10))
    train(optimizer, first, 3)
    del first
    optimizer.param_groups[0]["lr"] = 0.125  # torch would go back to its initial_lr
    with warns(wd.BaseDiffers, "lr/0): it holds 0.125, and a schedule wrote 0.35 there"):
        second = wd.Scheduler(optimizer, lr=wd.Constant())
    assert second.base_lrs == [0.125]
    assert optimizer.param_groups[0]["initial_lr"] == 0.125


def test_it_tells_count_phase_values_and_plan() -> None:
    optimizer = sgd(0.5)
    scheduler = wd.Scheduler(optimizer, lr=wd.wsd(warmup=100, decay="10%"), run=RUN)
    assert scheduler.phase == wd.Phase("warmup", 0, 100)
    scheduler.seek(950)
    assert (scheduler.count, scheduler.last_epoch) == (950, 950)
    assert scheduler.phase == wd.Phase("decay", 900, 1000)
    assert [phase.name for phase in scheduler.phases] == ["warmup", "stable", "decay"]
    assert scheduler.values() == {"lr/0": each_rate(optimizer)[0]}
    assert scheduler.get_last_lr() == each_rate(optimizer)
    assert scheduler.base_lrs == [0.5]
    assert scheduler.run == RUN
    assert scheduler.plan.length == 1000
    scheduler.seek(2000)
    assert scheduler.phase is None


def test_what_an_update_uses_can_be_asked_for_before_and_after_it() -> None:
    optimizer = sgd(0.5)
    scheduler = wd.Scheduler(optimizer, lr=wd.warmup_cosine(warmup=10), run=wd.Run(total_steps=50))
    asked = [scheduler.value(step) for step in range(50)]
    assert train(optimizer, scheduler, 50) == asked == [scheduler.value(step) for step in range(50)]


def test_it_is_taken_for_a_scheduler_of_torch_and_patches_nothing() -> None:
    optimizer = sgd()
    step = type(optimizer).step
    scheduler = wd.Scheduler(optimizer, lr=wd.Linear(steps=10))
    assert isinstance(scheduler, torch.optim.lr_scheduler.LRScheduler)
    assert type(optimizer).step is step
    assert "step" not in vars(optimizer)


@pytest.mark.slow  # its import alone takes seconds
def test_lightning_takes_it() -> None:
    lightning = pytest.importorskip("lightning.pytorch.core.optimizer")
    optimizer = torch.optim.SGD(model().parameters(), lr=0.5)
    scheduler = wd.Scheduler(optimizer, lr=wd.Linear(steps=10))
    configs = lightning._configure_schedulers_automatic_opt([scheduler], monitor=None)
    assert configs[0].scheduler is scheduler


SCHEDULER: Any = wd.Scheduler
"""The same without its types, for what a type checker would refuse."""


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (lambda: wd.Scheduler(sgd()), wd.ScheduleError, "one of the two is needed"),
        (
            lambda: SCHEDULER(sgd(), wd.Cosine(steps=3), lr=wd.Cosine(steps=3)),
            wd.ScheduleError,
            r"Several make one: "
            r"Plan.of\(lr=…\)",
        ),
        (
            lambda: wd.Scheduler(sgd(), wd.Plan.of(lr=wd.Cosine(steps=3)), lr=wd.Cosine()),
            wd.ScheduleError,
            "one of",
        ),
        (
            lambda: SCHEDULER(sgd(), lr=0.1),
            wd.ScheduleError,
            r"A fixed number is "
            r"Set\(Constant\(value=…\)\)",
        ),
        (lambda: wd.Scheduler(sgd(), lr=wd.Cosine()), wd.ScheduleError, r"'rest' of what\?"),
        (
            lambda: wd.Scheduler(sgd(), lr=wd.Cosine(steps=2000), run=RUN),
            wd.ScheduleError,
            "do not fit",
        ),
        (
            lambda: wd.Scheduler(sgd(), lr=wd.Linear(steps="5ep"), run=RUN),
            wd.RunError,
            "steps_per_epoch",
        ),
        (
            lambda: wd.Scheduler(sgd(), momentun=wd.Linear(steps=5)),
            wd.BindingError,
            "Did you mean 'momentum'",
        ),
        (
            lambda: wd.Scheduler(object(), lr=wd.Linear(steps=5)),
            wd.BindingError,
            "has no param_groups",
        ),
        (
            lambda: SCHEDULER(sgd(), lr=wd.Linear(steps=5), count_by="all"),
            wd.ScheduleError,
            r"count='all'",
        ),
    ],
)
def test_what_cannot_be_bound_is_refused_at_the_door(make: Any, kind: Any, message: str) -> None:
    with pytest.raises(kind, match=message):
        make()


def test_a_refused_scheduler_leaves_the_optimizer_as_it_was() -> None:
    optimizer = sgd(0.5)
    before = dict(optimizer.param_groups[0])
    with pytest.raises(wd.BindingError):
        wd.Scheduler(
            optimizer, lr=wd.Linear(start=0.0, end=1.0, steps=5), momentun=wd.Linear(steps=5)
        )
    assert optimizer.param_groups[0] == before
    assert not optimizer._optimizer_step_post_hooks


def test_a_plan_brings_its_own_facts_and_new_ones_may_replace_them() -> None:
    plan = wd.Plan.of(lr=wd.Linear(), run=wd.Run(total_steps=10), count="attempts")
    assert wd.Scheduler(sgd(), plan).plan.count == "attempts"
    assert wd.Scheduler(sgd(), plan, run=wd.Run(total_steps=20)).value(10) == 0.5


def test_a_curve_of_the_whole_run_is_what_training_uses() -> None:
    optimizer = sgd()
    schedule = wd.Linear(start=0.0, end=1.0, steps=5)
    assert train(optimizer, wd.Scheduler(optimizer, lr=schedule), 8) == curve(schedule, 8)


def test_the_former_names_of_arguments_are_read_and_warn() -> None:
    former: dict[str, Any] = {"count": "attempts", "everywhere": lambda own: [own]}
    with pytest.warns(DeprecationWarning, match="goes in 0.2") as warned:
        scheduler = wd.Scheduler(sgd(), lr=wd.Cosine(steps=4), **former)
    assert [str(warning.message).split(";")[0] for warning in warned] == [
        "Scheduler(count=) is now count_by=",
        "Scheduler(everywhere=) is now all_gather=",
    ]
    assert {warning.filename for warning in warned} == {__file__}
    assert scheduler.plan.count == "attempts"
    wd.Scheduler(sgd(), lr=wd.Cosine(steps=4), on_change="ask")


def test_extending_by_a_policy_that_joins_nothing_is_refused() -> None:
    scheduler = wd.Scheduler(sgd(), lr=wd.Cosine(), run=RUN)
    for policy in ("saved", "error"):
        with pytest.raises(wd.StateError, match=f"on_change='{policy}'.*Use one of given"):
            scheduler.extend(2000, on_change=policy)
    assert scheduler.events == ()
