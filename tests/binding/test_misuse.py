"""Each misuse is warned of once, precisely, with the way out; a correct loop never is."""

from __future__ import annotations

import gc
import re
import subprocess
import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.binding.loops import backward, curve, model, repeat, sgd, train, warns

import warmdown as wd
from warmdown.binding.scheduler import _Ended

LINE = wd.Linear(start=1.0, end=0.0, steps=1000)
PLATEAU = wd.Linear(start=0.0, end=1.0, steps=5) >> wd.Plateau(metric="val_loss")


def update(optimizer: Any) -> None:
    optimizer.zero_grad()
    backward(optimizer)
    optimizer.step()


def test_a_step_at_the_top_of_the_loop_is_reported_and_not_counted() -> None:
    optimizer = sgd()
    scheduler = wd.Scheduler(optimizer, lr=LINE)
    used = []
    with warns(wd.StepBeforeUpdate, "before the first optimizer.step()"):
        for _ in range(5):
            scheduler.step()
            backward(optimizer)
            used.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            optimizer.zero_grad()
    assert scheduler.count == 4
    assert used[1:] == curve(LINE, 5)[1:]


def test_a_step_between_backward_and_update_is_reported_and_not_counted() -> None:
    optimizer = sgd()
    scheduler = wd.Scheduler(optimizer, lr=LINE)
    used = []
    with warns(wd.StepBeforeUpdate, "before the first optimizer.step()"):
        for _ in range(5):
            optimizer.zero_grad()
            backward(optimizer)
            scheduler.step()
            used.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
    assert used == curve(LINE, 5)


def test_two_steps_for_each_update_are_reported_and_counted_once() -> None:
    optimizer = sgd()
    scheduler = wd.Scheduler(optimizer, lr=LINE)
    with warns(wd.StepTwice, "called twice for each update"):
        for _ in range(5):
            update(optimizer)
            scheduler.step()
            scheduler.step()
    assert scheduler.count == 5


def test_never_stepping_is_reported_after_many_updates() -> None:
    optimizer = sgd()
    scheduler = wd.Scheduler(optimizer, lr=LINE)
    repeat(lambda: update(optimizer), 100)
    with warns(wd.StepForgotten, "not called for 101 updates"):
        repeat(lambda: update(optimizer), 100)
    assert scheduler.count == 0


def test_stepping_once_per_epoch_is_reported_with_the_ratio_seen() -> None:
    optimizer = sgd()
    scheduler = wd.Scheduler(optimizer, lr=LINE)
    with warns(wd.StepPerEpoch, "called once for every 20 updates"):
        for _ in range(4):
            repeat(lambda: update(optimizer), 20)
            scheduler.step()


def test_stepping_once_per_epoch_on_purpose_is_said_by_counting_attempts() -> None:
    optimizer = sgd()
    scheduler = wd.Scheduler(
        optimizer, lr=wd.Linear(start=1.0, end=0.0, steps=4), count_by="attempts"
    )
    for epoch in range(4):
        assert optimizer.param_groups[0]["lr"] == 1.0 - epoch / 4
        repeat(lambda: update(optimizer), 150)
        scheduler.step()


def test_a_plan_in_epochs_that_is_stepped_per_update_is_reported_with_the_ratio_seen() -> None:
    optimizer = sgd()
    scheduler = wd.Scheduler(optimizer, lr=wd.Cosine(), run=wd.Run(total_steps=3))
    with warns(wd.PastEnd, "past the planned end, 3 updates"):
        train(optimizer, scheduler, 4)
    with warns(wd.StepPerUpdate, "times what the plan has (3)"):
        train(optimizer, scheduler, 300)


@pytest.mark.parametrize("group", [0, 1, 37, 69])
@pytest.mark.parametrize("tensor", [False, True])
def test_an_external_write_is_restored_before_the_update_uses_it_in_any_group(
    group: int, tensor: bool
) -> None:
    rates = [1.0 - index / 100 for index in range(70)]
    optimizer = sgd(*rates)
    if tensor:
        for entries in optimizer.param_groups:
            entries["lr"] = torch.tensor(entries["lr"])
    scheduler = wd.Scheduler(optimizer, lr=LINE)
    train(optimizer, scheduler, 10)
    entries = optimizer.param_groups[group]
    parameter = entries["params"][0]
    if tensor:
        entries["lr"].fill_(7.0)
    else:
        entries["lr"] = 7.0
    before = parameter.detach().clone()
    with warns(wd.ForeignWrite, f"Scheduler(lr/{group}): lr/{group} was set to "):
        update(optimizer)
    planned = scheduler.value(10, group=group)
    assert float(entries["lr"]) == pytest.approx(planned)
    assert torch.allclose(parameter, before - planned * parameter.grad)


def test_an_external_write_of_an_element_is_restored_in_any_group() -> None:
    groups = [{"params": [torch.nn.Parameter(torch.ones(2))]} for _ in range(4)]
    optimizer = torch.optim.Adam(groups, lr=0.1)
    scheduler = wd.Scheduler(optimizer, momentum=wd.Set(wd.Linear(start=0.8, end=0.9, steps=10)))
    train(optimizer, scheduler, 3)
    optimizer.param_groups[2]["betas"] = (0.5, 0.999)
    with warns(wd.ForeignWrite, "momentum/2 was set to 0.5"):
        update(optimizer)
    assert optimizer.param_groups[2]["betas"] == (scheduler.value(3, "momentum", 2), 0.999)


def test_an_external_write_in_a_constant_phase_is_reported_and_the_plan_restored() -> None:
    optimizer = sgd()
    scheduler = wd.Scheduler(optimizer, lr=wd.Constant(value=1.0))
    train(optimizer, scheduler, 10)
    optimizer.param_groups[0]["lr"] = 7.0
    with warns(wd.ForeignWrite, "(planned: 1) and has been restored"):
        assert train(optimizer, scheduler, 2) == [
            7.0,
            1.0,
        ]  # the loop looked before the update, which used 1.0


def test_another_scheduler_on_the_same_field_is_reported() -> None:
    optimizer = sgd()
    scheduler = wd.Scheduler(optimizer, lr=LINE)
    rival = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
    with warns(wd.ForeignWrite, "Scheduler(lr/0)"):
        for _ in range(5):
            update(optimizer)
            scheduler.step()
            rival.step()


def test_a_tensor_that_others_fill_or_replace_is_reported_and_restored() -> None:
    damages: list[Callable[[Any], object]] = [
        lambda group: group["lr"].fill_(7.0),
        lambda group: group.update(lr=torch.tensor(7.0)),
    ]
    for damage in damages:
        optimizer = torch.optim.Adam(model().parameters(), lr=torch.tensor(1.0))
        scheduler = wd.Scheduler(optimizer, lr=LINE)
        train(optimizer, scheduler, 3)
        damage(optimizer.param_groups[0])
        with warns(wd.ForeignWrite, "lr/0 was set to something else outside the scheduler"):
            update(optimizer)
        scheduler.step()
        assert float(optimizer.param_groups[0]["lr"]) == pytest.approx(LINE(4))
        train(optimizer, scheduler, 3)


def test_an_optimizer_that_is_never_stepped_is_reported() -> None:
    net = model()
    driven, stepped = (torch.optim.SGD(net.parameters(), lr=1.0) for _ in range(2))
    scheduler = wd.Scheduler(driven, lr=LINE)
    with warns(wd.OptimizerUnused, "Scheduler(SGD): training goes on"):
        for _ in range(10):
            stepped.zero_grad()
            net(torch.ones(3, 2)).square().mean().backward()
            stepped.step()
            scheduler.step()


def test_an_optimizer_of_another_model_is_reported() -> None:
    net, other = model(), model()
    stepped = torch.optim.SGD(net.parameters(), lr=1e-3)
    scheduler = wd.Scheduler(torch.optim.SGD(other.parameters(), lr=1.0), lr=LINE)
    with warns(wd.OptimizerUnused, "this optimizer has made no update"):
        for _ in range(120):
            stepped.zero_grad()
            net(torch.ones(3, 2)).square().mean().backward()
            stepped.step()
            scheduler.step()


def test_an_automatic_scheduler_that_is_not_kept_is_reported() -> None:
    optimizer = sgd()
    wd.Scheduler(optimizer, lr=LINE, auto=True)
    gc.collect()
    with warns(wd.SchedulerLost, "Keep it in a variable"):
        repeat(lambda: update(optimizer), 3)
    optimizer.load_state_dict(optimizer.state_dict())  # its hooks are still there


def test_going_on_past_the_planned_end_is_reported_once() -> None:
    optimizer = sgd()
    scheduler = wd.Scheduler(optimizer, lr=wd.Cosine(end=0.1), run=wd.Run(total_steps=10))
    train(optimizer, scheduler, 10)
    with warns(wd.PastEnd, "past the planned end, 10 updates"):
        assert train(optimizer, scheduler, 3) == pytest.approx([0.1] * 3)


def test_a_plan_that_only_warms_up_has_no_end_to_pass() -> None:
    optimizer = sgd()
    scheduler = wd.Scheduler(optimizer, lr=wd.Linear(start=0.0, end=1.0, steps=3))
    train(optimizer, scheduler, 10)


def test_past_the_end_a_plan_may_raise_instead() -> None:
    optimizer = sgd()
    scheduler = wd.Scheduler(
        optimizer, lr=wd.Cosine(), run=wd.Run(total_steps=3), after_end="raise"
    )
    train(optimizer, scheduler, 3)
    with pytest.raises(wd.ScheduleError, match=r"ended at 3 updates.*extend\(total_steps\)"):
        train(optimizer, scheduler, 1)


def test_finishing_before_the_planned_end_is_reported_and_after_saving_not() -> None:
    optimizer = sgd()
    scheduler = wd.Scheduler(optimizer, lr=wd.Cosine(), run=wd.Run(total_steps=10))
    train(optimizer, scheduler, 4)
    with warns(wd.StoppedEarly, "ended at 4 of 10 updates"):
        scheduler.finish()
    scheduler = wd.Scheduler(optimizer, lr=wd.Cosine(), run=wd.Run(total_steps=10))
    train(optimizer, scheduler, 4)
    scheduler.state_dict()
    scheduler.finish()
    train(optimizer, scheduler, 6)
    scheduler.finish()


@pytest.mark.parametrize(
    ("updates", "total"), [(2, None), (10, 100), (20, 20), (100, 100)], ids=str
)
def test_a_run_that_never_stepped_is_reported_so_as_it_ends(
    updates: int, total: int | None
) -> None:
    optimizer = sgd()
    plan = wd.Cosine() if total else wd.Linear(start=0.0, end=1.0, steps=5)
    scheduler = wd.Scheduler(optimizer, lr=plan, run=wd.Run(total_steps=total))
    repeat(lambda: update(optimizer), updates)
    scheduler.state_dict()
    with warns(wd.StepForgotten, f"not called for {updates} updates"):
        scheduler.finish()


def test_a_run_that_stepped_too_seldom_is_reported_so_as_it_ends() -> None:
    optimizer = sgd()
    scheduler = wd.Scheduler(optimizer, lr=wd.Cosine(), run=wd.Run(total_steps=24))
    train(optimizer, scheduler, 16)
    repeat(lambda: update(optimizer), 8)
    with warns(wd.StepForgotten, "not called for 8 updates"):
        scheduler.finish()


@pytest.mark.parametrize("epochs", [1, 2])
def test_a_run_that_stepped_once_per_epoch_is_reported_so_as_it_ends(epochs: int) -> None:
    optimizer = sgd()
    scheduler = wd.Scheduler(optimizer, lr=wd.Cosine(), run=wd.Run(total_steps=8 * epochs))
    for _ in range(epochs):
        repeat(lambda: update(optimizer), 8)
        scheduler.step()
    scheduler.state_dict()
    with warns(wd.StepPerEpoch, "every 8 updates, and the plan counts updates. Call it after"):
        scheduler.finish()


def test_an_epoch_of_the_length_that_the_run_names_is_enough_to_report_a_step_per_epoch() -> None:
    optimizer = sgd()
    scheduler = wd.Scheduler(optimizer, lr=LINE, run=wd.Run(total_steps=1000, steps_per_epoch=8))
    repeat(lambda: update(optimizer), 8)
    scheduler.step()
    with warns(wd.StepPerEpoch, '{"scheduler": …, "interval": "step"}'):
        update(optimizer)


SCRIPT = """
import torch, warmdown as wd
net = torch.nn.Linear(2, 1)
optimizer = torch.optim.SGD(net.parameters(), lr=1e-3)
scheduler = wd.Scheduler(optimizer, lr=wd.Cosine(), run=wd.Run(total_steps=10))
for _ in range({updates}):
    net(torch.ones(3, 2)).square().mean().backward()
    optimizer.step()
    scheduler.step()
{last}
"""


@pytest.mark.parametrize(
    ("updates", "last", "warned"),
    [
        (4, "", True),
        pytest.param(10, "", False, marks=pytest.mark.slow),
        pytest.param(4, "state = scheduler.state_dict()", False, marks=pytest.mark.slow),
        pytest.param(4, "raise SystemError", False, marks=pytest.mark.slow),
    ],
)
def test_a_script_that_stops_early_is_warned_as_it_ends(
    updates: int, last: str, warned: bool
) -> None:
    script = SCRIPT.format(updates=updates, last=last)
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120
    )
    assert ("StoppedEarly" in ended.stderr) is warned


@pytest.fixture
def end_process(monkeypatch: pytest.MonkeyPatch) -> Callable[[], object]:
    """Give what the schedulers made from here on do as the process ends."""
    registered: list[Callable[[], object]] = []
    monkeypatch.setattr("atexit.register", registered.append)
    monkeypatch.setattr("warmdown.binding.scheduler._ALIVE", weakref.WeakSet())
    monkeypatch.setattr("warmdown.binding.scheduler._ENDED", _Ended())
    return lambda: [end() for end in registered]


@pytest.mark.parametrize(
    ("updates", "what", "warned"),
    [
        (4, "", True), (10, "", False), (4, "saved", False), (4, "error", False), (0, "", False),
        (4, "gone", True), (10, "gone", False), (4, "several", False),
    ],
)  # fmt: skip
def test_as_a_process_ends_a_run_that_stopped_early_is_named_once(
    updates: int,
    what: str,
    warned: bool,
    end_process: Callable[[], object],
    capsys: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def run() -> wd.Scheduler:
        optimizer = sgd()
        scheduler = wd.Scheduler(optimizer, lr=wd.Cosine(), run=wd.Run(total_steps=10))
        train(optimizer, scheduler, updates)
        return scheduler

    kept = [run()]
    if what == "saved":
        kept[0].state_dict()
    elif what == "error":
        monkeypatch.setattr(sys, "last_value", SystemError(), raising=False)
    elif what == "several":
        kept.clear()
        run()
    elif what == "gone":
        kept.clear()
    end_process()
    said = capsys.readouterr().err
    assert said.count("StoppedEarly: Scheduler: the run ended at 4 of 10 updates") == warned
    assert bool(said) is warned


@pytest.mark.parametrize(("runs", "warned"), [(1, True), (2, False)])
@pytest.mark.slow
def test_a_run_of_a_function_is_warned_at_the_exit_and_several_runs_are_not(
    runs: int, warned: bool
) -> None:
    body = "".join(f"    {line}\n" for line in SCRIPT.format(updates=4, last="").splitlines())
    script = f"def main():\n{body}\n" + "main()\n" * runs + "print('after')\n"
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120
    )
    assert ended.stdout == "after\n"
    assert ended.stderr.count("ended at 4 of 10 updates") == warned


def test_a_metric_that_never_comes_is_missed() -> None:
    optimizer = sgd()
    scheduler = wd.Scheduler(
        optimizer, lr=PLATEAU, run=wd.Run(total_steps=1000, steps_per_epoch=50)
    )
    train(optimizer, scheduler, 90)
    with warns(wd.MetricForgotten, "the plan follows 'val_loss', and in"):
        train(optimizer, scheduler, 300)


def test_a_metric_that_no_schedule_takes_is_reported() -> None:
    scheduler = wd.Scheduler(sgd(), lr=LINE)
    with warns(
        wd.MetricUnused,
        "Scheduler.observe(val_loss): no schedule follows it. No schedule of this plan",
    ):
        scheduler.observe(val_loss=0.3)


def test_a_metric_under_another_name_is_reported_with_the_known_one() -> None:
    scheduler = wd.Scheduler(sgd(), lr=PLATEAU)
    with warns(wd.MetricUnused, "The plan follows 'val_loss'. Did you mean 'val_loss'?"):
        scheduler.observe(valloss=0.3)
    scheduler.observe(train_loss=0.1, val_loss=0.3)


def test_a_metric_that_is_no_number_is_reported_and_passed_over() -> None:
    scheduler = wd.Scheduler(sgd(), lr=wd.Plateau(metric="val_loss", patience=0, factor=0.5))
    with warns(wd.MetricUnusable, "observe(val_loss=nan)"):
        for _ in range(5):
            scheduler.observe(val_loss=float("nan"))
    assert scheduler.get_last_lr() == [1.0]


def test_a_metric_given_to_step_that_no_schedule_follows_is_refused_with_the_way_out() -> None:
    scheduler = wd.Scheduler(sgd(), lr=LINE)
    with pytest.raises(wd.BindingError, match=r"step\(0.3\).*observe\(val_loss=…\)"):
        scheduler.step(0.3)


def test_strict_raises_what_would_be_said() -> None:
    optimizer = sgd()
    scheduler = wd.Scheduler(optimizer, lr=LINE, strict=True)
    update(optimizer)
    scheduler.step()
    scheduler.step()
    update(optimizer)
    scheduler.step()
    with pytest.raises(wd.StepTwice, match="step-twice"):
        scheduler.step()
    with pytest.raises(wd.MetricUnused):
        scheduler.observe(loss=1.0)


def adamw(*decays: float, lr: float = 1e-3, **more: Any) -> torch.optim.Optimizer:
    """Return an optimizer with a group for each weight decay: ``matrices`` and ``biases``."""
    names = ("matrices", "biases", "norms")
    groups = [
        {"params": [torch.nn.Parameter(torch.ones(2))], "weight_decay": decay, "name": name}
        for name, decay in zip(names, decays or (0.01,), strict=False)
    ]
    return torch.optim.AdamW(groups, lr=lr, **more)


RUN = wd.Run(total_steps=1000)
RAISED = wd.Set(wd.Cosine(start=0.04, end=0.4))
PLAIN = torch.nn.Linear(1, 1)
PLAIN.kl = 0.0  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("kind", "words", "optimizer", "targets"),
    [
        (
            wd.ZeroBase,
            "Scheduler(lr/matrices): its base value is 0",
            lambda: adamw(lr=0.0),
            {"lr": wd.noam(d_model=512, warmup=10)},
        ),
        (
            wd.ZeroBase,
            "Scheduler(lr/1, lr/2): its base value is 0",
            lambda: sgd(0.1, 0.0, 0.0),
            {"lr": wd.Cosine()},
        ),
        (
            wd.ZeroBase,
            "weight_decay/matrices, weight_decay/biases",
            lambda: adamw(0.0, 0.0),
            {"weight_decay": wd.Cosine(start=1.0, end=2.0)},
        ),
        (
            wd.ZeroBase,
            "Scheduler(kl): its base value is 0",
            adamw,
            {"kl": wd.Linear(start=0.0, end=1.0), "bind": {"kl": wd.Attribute(PLAIN, "kl")}},
        ),
        (
            wd.ZeroOverwritten,
            "weight_decay/biases, weight_decay/norms): had 0, and is given up to 0.4",
            lambda: adamw(0.04, 0.0, 0.0),
            {"weight_decay": RAISED},
        ),
        (
            wd.FarBelowBase,
            "its largest factor is 2.997e-4, and a schedule multiplies the base "
            "value (at most 8.991e-8 here)",
            lambda: adamw(lr=3e-4),
            {"lr": wd.Linear(start=0.0, end=3e-4)},
        ),
        (wd.FactorsAsValues, "peaks at a rate of 1", adamw, {"lr": wd.Set(wd.warmup_cosine())}),
        (wd.FactorsAsValues, "peaks at a rate of 1", adamw, {"lr": wd.Set(wd.Plateau())}),
        (
            wd.NegativeValue,
            "is -0.1 at update 4: such a step goes uphill",
            lambda: sgd(0.1),
            {"lr": wd.Linear(start=1.0, end=-1.0, steps=4), "run": None},
        ),
        (
            wd.NegativeValue,
            "Scheduler(weight_decay/matrices): is -0.0998 at update 999",
            adamw,
            {"weight_decay": wd.Set(wd.Linear(start=0.1, end=-0.1))},
        ),
        (
            wd.NegativeValue,
            "Scheduler(lr/0): is -0.009998 at update 999",
            lambda: sgd(1.0, 0.1),
            {"lr": {"0": wd.Cosine() + -0.01, "*": wd.Cosine()}},
        ),
        (
            wd.OutOfRange,
            "Scheduler(momentum/matrices): is 1.08 at update 999",
            adamw,
            {"momentum": wd.Linear(start=1.0, end=1.2)},
        ),
        (
            wd.OutOfRange,
            "is 1 at update 0",
            adamw,
            {"betas[1]": wd.Set(wd.Linear(start=1.0, end=0.9))},
        ),
    ],
)
def test_a_value_that_is_hardly_meant_is_reported_when_the_scheduler_is_made(
    kind: type[wd.WarmdownWarning], words: str, optimizer: Callable[[], Any], targets: Any
) -> None:
    with pytest.raises(kind):
        wd.Scheduler(optimizer(), strict=True, **{"run": RUN, **targets})
    with warns(kind, words):
        wd.Scheduler(optimizer(), **{"run": RUN, **targets})


@pytest.mark.parametrize(
    ("optimizer", "targets"),
    [
        (lambda: adamw(lr=1.0), {"lr": wd.noam(d_model=512, warmup=10)}),
        (lambda: adamw(lr=1e-3), {"lr": wd.noam(d_model=512, warmup=10), "run": wd.Run(lr=1.0)}),
        (lambda: adamw(lr=0.0), {"lr": wd.Set(wd.noam(d_model=512, warmup=10))}),
        (lambda: adamw(lr=0.0), {"lr": wd.Scale(wd.Cosine(), offset=wd.Constant(value=1e-4))}),
        (lambda: adamw(0.04, 0.0), {"weight_decay": wd.Cosine(start=1.0, end=10.0)}),
        (lambda: adamw(0.0, 0.0), {"weight_decay": wd.Constant()}),
        (lambda: adamw(0.0, 0.0), {"weight_decay": RAISED}),
        (lambda: adamw(0.04, 0.0), {"weight_decay": {"matrices": RAISED}}),
        (lambda: adamw(0.04, 0.0), {"weight_decay": wd.Set(wd.Constant(value=0.0))}),
        (lambda: [sgd(0.1), adamw()], {"weight_decay": RAISED}),
        (adamw, {"lr": wd.Set(wd.range_test(start=1e-6, end=1.0))}),
        (adamw, {"lr": wd.range_test(start=1e-6, end=100.0)}),
        (lambda: sgd(1.0), {"lr": wd.Set(wd.warmup_cosine())}),
        (lambda: sgd(0.1), {"lr": wd.Set(wd.Cosine(start=5.0))}),
        (lambda: sgd(10.0), {"lr": wd.warmup_cosine()}),
        (adamw, {"lr": wd.Set(wd.Constant(value=1.0))}),
        (lambda: adamw(0.01, 0.01), {"lr": {"biases": wd.Constant(value=0.01), "*": wd.Cosine()}}),
        (
            adamw,
            {"t": wd.Set(wd.Cosine(start=1.0, end=-1.0)), "bind": {"t": lambda value: None}},
        ),
        (adamw, {"lr": wd.Function(call=lambda step: -1.0)}),
        (adamw, {"betas[0]": wd.Set(wd.Linear(start=0.95, end=1.0))}),
    ],
)
def test_what_may_well_be_meant_is_no_finding(optimizer: Callable[[], Any], targets: Any) -> None:
    wd.Scheduler(optimizer(), **{"run": RUN, **targets})


def test_every_warning_has_a_code_of_its_own_and_a_section_that_names_it() -> None:
    page = (Path(__file__).parents[2] / "docs" / "misuse.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^## ([\w-]+)\n\n`(\w+)`:", page, re.MULTILINE))
    assert sections == {kind.code: kind.__name__ for kind in wd.WarmdownWarning.__subclasses__()}


def test_the_warning_points_at_the_line_of_the_loop() -> None:
    scheduler = wd.Scheduler(sgd(), lr=LINE)
    with pytest.warns(wd.MetricUnused) as said:
        scheduler.observe(loss=1.0)
    assert said[0].filename == __file__


def test_a_scheduler_patches_nothing_and_goes_when_it_is_let_go() -> None:
    optimizer = sgd()
    before = set(vars(optimizer))
    scheduler = wd.Scheduler(optimizer, lr=LINE)
    train(optimizer, scheduler, 3)
    assert set(vars(optimizer)) == before
    gc.disable()
    try:
        alive = weakref.ref(scheduler)
        del scheduler
        assert alive() is None  # at once: nothing in a circle holds it
    finally:
        gc.enable()
    assert not optimizer._optimizer_step_post_hooks
    assert not optimizer._optimizer_step_pre_hooks


def test_an_optimizer_goes_when_it_is_let_go_with_its_scheduler() -> None:
    optimizer = sgd()
    scheduler = wd.Scheduler(optimizer, lr=LINE)
    train(optimizer, scheduler, 3)
    gc.disable()
    try:
        alive = weakref.ref(optimizer)
        del optimizer, scheduler
        assert alive() is None
    finally:
        gc.enable()


def test_gradient_clipping_evaluation_and_other_hooks_are_no_misuse() -> None:
    net = model()
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-2)
    calls: list[int] = []
    optimizer.register_step_post_hook(lambda *_: calls.append(1))
    scheduler = wd.Scheduler(optimizer, lr=LINE, weight_decay=LINE)
    for step in range(30):
        optimizer.zero_grad()
        net(torch.ones(3, 2)).square().mean().backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        scheduler.step()
        if step % 10 == 9:
            with torch.no_grad():
                net(torch.ones(3, 2))
            scheduler.state_dict()
    assert scheduler.count == len(calls) == 30


@pytest.mark.parametrize("auto", [False, True])
@pytest.mark.parametrize(
    "plan", [LINE, wd.Linear(start=0.0, end=1.0, steps=1000)], ids=["full", "zero"]
)
@pytest.mark.parametrize("kind", [torch.optim.AdamW, torch.optim.SGD])
@pytest.mark.parametrize("tensor", [False, True])
def test_an_update_that_a_distributed_checkpoint_makes_for_the_states_sake_is_none(
    auto: bool, plan: wd.Schedule, kind: Any, tensor: bool
) -> None:
    from torch.distributed.checkpoint import state_dict

    layer = model()
    before = [one.detach().clone() for one in layer.parameters()]
    optimizer = kind(layer.parameters(), lr=torch.tensor(0.5) if tensor else 0.5, weight_decay=0.5)
    scheduler = wd.Scheduler(optimizer, lr=plan, auto=auto)
    state_dict.get_state_dict(layer, optimizer)
    assert scheduler.count == 0
    assert scheduler.values() == {"lr/0": 0.5 * plan(0)}
    assert all(map(torch.equal, layer.parameters(), before))  # no rate was put back under its hands
    for _ in range(3):
        update(optimizer)
        if not auto:
            scheduler.step()
    optimizer.zero_grad()
    state_dict.get_state_dict(layer, optimizer)
    assert scheduler.count == 3


@pytest.mark.parametrize("auto", [False, True])
def test_updates_with_gradients_of_zero_at_a_rate_of_zero_are_updates(auto: bool) -> None:
    optimizer = sgd(momentum=0.9)
    plan = wd.Constant(value=0.0, steps=4) >> wd.Linear(start=0.0, end=1.0, steps=4)
    scheduler = wd.Scheduler(optimizer, lr=plan, auto=auto)
    for step in range(8):
        for entry in optimizer.param_groups[0]["params"]:
            entry.grad = torch.zeros_like(entry)
        assert optimizer.param_groups[0]["lr"] == plan(step)
        optimizer.step(closure=None)
        scheduler.step()
    assert scheduler.count == 8


def test_micro_batches_with_manual_gradients_are_not_counted_before_the_first_update() -> None:
    optimizer = sgd()
    scheduler = wd.Scheduler(optimizer, lr=LINE)
    parameter = optimizer.param_groups[0]["params"][0]
    for micro_batch in range(4):
        parameter.grad = torch.ones_like(parameter)
        if micro_batch == 3:
            assert scheduler.count == 0
            optimizer.step()
        scheduler.step()
    assert scheduler.count == 1
