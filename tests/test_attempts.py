"""What people type who come from elsewhere: it works, or its error leads to the right name."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

import warmdown as wd
from warmdown import plot
from warmdown.cli.main import main

YAML = "run: {total_steps: 10}\nlr: {kind: cosine, end: 0.1}\n"


def names(tmp_path: Path) -> dict[str, Any]:
    """Return what an attempt may use: an optimizer, a plan's file, the libraries."""
    file = tmp_path / "plan.yaml"
    file.write_text(YAML)
    optimizer = torch.optim.SGD(torch.nn.Linear(2, 2).parameters(), lr=0.1, momentum=0.9)
    optimizer.step()
    return {"wd": wd, "plot": plot, "torch": torch, "o": optimizer, "file": file, "YAML": YAML}


WORKS = """
wd.Scheduler(o, wd.Constant(0.5)).values()['lr/0'] == 0.05
wd.Scheduler(o, wd.Cosine(), total_steps=10).value(10) == 0.0
wd.Scheduler(o, wd.Cosine(), total_steps=1e1).value(10) == 0.0
wd.Scheduler(o, wd.Cosine(), epochs=2, steps_per_epoch=5).value(10) == 0.0
wd.Scheduler(o, wd.Cosine(), run=wd.Run(steps_per_epoch=5), epochs=2).value(10) == 0.0
wd.Scheduler(o, wd.Cosine(), run=10).value(10) == 0.0
wd.Scheduler(o, wd.Cosine(), run=1e1).value(10) == 0.0
wd.Scheduler(o, wd.Cosine(), run={'total_steps': 10}).value(10) == 0.0
wd.Scheduler(o, wd.Scale(0.5)).value(10) == 0.05
wd.Scheduler(o, wd.Set(0.05)).value(10) == 0.05
wd.Scheduler(o, lr=wd.Set(wd.Linear(start=0.2, end=0.0)), run=10).value(10) == 0.0
wd.Scheduler(o, {'lr': wd.Cosine(), 'momentum': wd.Set(0.1)}, run=10).value(1, 'momentum') == 0.1
wd.Scheduler(o, {'lr': wd.Cosine(), 'momentum': {'set': 0.1}}, run=10).value(1, 'momentum') == 0.1
wd.Scheduler(o, wd.one_cycle(), run=10).value(3) == 0.1
wd.Scheduler(o, wd.one_cycle(peak=0.3), run=10).value(3) == 0.3
wd.Scheduler(o, **wd.one_cycle(max_lr=0.3), run=10).value(3) == 0.3
wd.Scheduler(o, file).value(10) == 0.1 * 0.1
wd.Scheduler(o, str(file)).run.total_steps == 10
wd.Scheduler(o, str(file), total_steps=20).run.total_steps == 20
wd.Scheduler(o, wd.load(file)).run.total_steps == 10
wd.Scheduler(o, wd.load(file), total_steps=20).run.total_steps == 20
wd.Scheduler(o, plan=wd.loads(YAML)).run.total_steps == 10
wd.Scheduler(o, {'run': {'total_steps': 10}, 'lr': {'kind': 'cosine'}}).value(10) == 0.0
wd.Scheduler(o, {'kind': 'cosine', 'end': 0.1}, run=10).value(10) == 0.1 * 0.1
wd.Scheduler(o, 'cosine', run=10).value(10) == 0.0
wd.Scheduler(o, lr='cosine', run=10).value(10) == 0.0
wd.Scheduler(o, lr={'kind': 'cosine'}, run=10).value(10) == 0.0
wd.Scheduler(o, lr={0: wd.Cosine()}, run=10).value(10) == 0.0
wd.Scheduler(o, [{'kind': 'linear', 'steps': 2}, 'cosine'], run=10).value(10) == 0.0
wd.Scheduler([o], wd.Cosine(), run=10).value(10) == 0.0
wd.Scheduler(o, wd.warmup_cosine(peak=0.2, end='10%'), run=10).value(10) == pytest.approx(0.02)
wd.Scheduler(o, wd.warmup_cosine(peak=0.2, end=0.05), run=10).value(10) == 0.05
wd.Scheduler(o, wd.Cosine(), run=10).get_last_lr() == [0.1]
wd.Scheduler(o, wd.Cosine(), run=10).state_dict()['count'] == 0
wd.Constant(0.05)(3) == 0.05
wd.Run(1000).total_steps == 1000
wd.Run(1e4).total_steps == 10_000
wd.Run(epochs=2.0, steps_per_epoch=5.0).total_steps == 10
wd.Milestones([30, 60])(40) == 0.1
wd.Milestones([30, 60], gamma=0.5)(40) == 0.5
wd.Function(lambda step: 0.5**step)(2) == 0.25
wd.Cosine().over(10)(10) == 0.0
wd.Cosine().over(1e1)(10) == 0.0
wd.Cosine().over({'total_steps': 10})(10) == 0.0
wd.Cosine().over(total_steps=10)(10) == 0.0
wd.Cosine(steps='1ep').over(epochs=2, steps_per_epoch=5)(5) == 0.0
wd.Set(wd.Cosine()).over(10).value(10) == 0.0
wd.Plan.of(lr=wd.Cosine(), run=10).over().targets[0].rule.of(10) == 0.0
wd.Plan.of(lr=wd.Cosine()).over(10).run.total_steps == 10
wd.check(wd.Cosine(end=0.1), run=100) == ()
wd.check(wd.Cosine(end=0.1), total_steps=100) == ()
[found.code for found in wd.check(file)] == []
wd.check({'lr': wd.Cosine(end=0.1)}, run=100) == ()
wd.check('cosine', run=100) == ()
plot.view(wd.Cosine(), run=10).stop == 10
plot.view(file).stop == 10
plot.view(str(file)).stop == 10
plot.view({'kind': 'cosine'}, run=10).stop == 10
plot.view(wd.one_cycle(), run=10).stop == 10
plot.view({'first': wd.Cosine(), 'second': 'linear'}, run={'total_steps': 10}).stop == 10
wd.training.Trainer.__name__ == 'Trainer'
wd.compat.lr_scheduler.StepLR.__name__ == 'StepLR'
wd.loads('lr: {kind: knee, peak: 3e-4, end: 10%}').over(10).targets[0].rule.value(10) < 4e-5
wd.triangular(peak=0.2, low=0.05, up=2).value(2) == 0.2
wd.wsd(peak=0.2).over(10).value(5) == 0.2
wd.swa(peak=0.2).over(100).value(99) == pytest.approx(0.01)
wd.tri_stage(peak=0.2).over(100).value(0) == 0.002
wd.with_warmup(wd.Cosine(start=0.2), peak=0.2).over(100).value(5) == 0.2
wd.cosine_restarts(first=2, peak=0.2).value(2) == 0.2
"""

LEADS = """
wd.Cosine(T_max=100) | steps
wd.Cosine(eta_min=1e-6) | end
wd.Cosine(decay_steps=100) | steps
wd.Cosine(alpha=0.1) | end
wd.Cosine(num_training_steps=100) | steps
wd.Cosine(warmup_epochs=5) | warmup_cosine
wd.Cosine(warmup_steps=5) | Linear(start=0.0
wd.Cosine(lr=0.1) | peak
wd.Cosine(optimizer=o) | Scheduler(optimizer
wd.Cosine(o, 100) | Give a name
wd.Cosine(1.0, 0.0, 100) | start
wd.Cosine(100) | steps
wd.Cosine(steps=100.0) | '10000%'
wd.Cosine(steps=0.1) | '10%'
wd.Cosine(steps='10 parsecs') | '5%'
wd.Cosine(steps=None) | 'rest'
wd.Cosine(stepz=10) | steps
wd.Cosine(last_epoch=-1) | seek
wd.Linear(start_factor=0.1) | start
wd.Linear(end_factor=0.1) | end
wd.Linear(total_iters=5) | steps
wd.Linear(init_value=0.1) | start
wd.Linear(end_value=0.1) | end
wd.Linear(transition_steps=5) | steps
wd.Milestones(milestones=[30]) | at
wd.Milestones(boundaries=[30]) | at
wd.Milestones([30], 0.1) | gamma
wd.Milestones(30) | list
wd.Milestones([0.3, 0.6]) | '30%'
wd.Staircase(step_size=30) | every
wd.Staircase(decay_rate=0.1) | gamma
wd.ExponentialDecay(decay_rate=0.9) | gamma
wd.Plateau(monitor='val_loss') | metric
wd.Plateau(min_lr=1e-6) | low
wd.Plateau(min_delta=1e-6) | threshold
wd.Function() | call
wd.Function(3) | function
wd.Function(lr_lambda=abs) | call
wd.Schedule() | Use a class
wd.Polynomial(end_learning_rate=0.1) | end
wd.Constant('high') | number
wd.Constant(1, 2) | steps
wd.Constant(lr=0.1) | value
wd.Constant(factor=0.1) | value
wd.warmup_cosine(num_warmup_steps=100) | warmup
wd.warmup_cosine(warmup_epochs=5) | '5ep'
wd.warmup_cosine(warmup_ratio=0.1) | warmup
wd.warmup_cosine(peak_value=3e-4) | peak
wd.warmup_cosine(max_lr=3e-4) | peak
wd.warmup_cosine(lr=3e-4) | peak
wd.warmup_cosine(min_lr=3e-5) | end
wd.warmup_cosine(end_value=3e-5) | end
wd.warmup_cosine(init_value=0.0) | start
wd.warmup_cosine(warmup=0.1).over(10) | '10%'
wd.warmup_cosine(100, 1000) | warmup
wd.warmup_cosine(peak='high') | number above 0
wd.warmup_cosine(peak=0) | number above 0
wd.warmup_cosine(end='low') | '10%'
wd.warmup_cosine(total_steps=1000) | over(1000)
wd.wsd(shape=1) | linear
wd.wsd(decay_type='linear') | shape
wd.wsd(num_decay_steps=10) | decay
wd.wsd(shape='lineal') | linear
wd.slanted_triangular(ratio=0) | other numbers
wd.noam(model_size=512) | d_model
wd.noam() | d_model
wd.noam(d_model='512') | whole number
wd.noam(d_model=512, peak=1.0) | peak=
wd.one_cycle(pct_start=0.3) | warm
wd.one_cycle(div_factor=25) | div
wd.one_cycle(total_steps=100) | over(1000)
wd.one_cycle(peak=1.0, max_lr=1.0) | Give peak
wd.cosine_restarts(T_0=10) | first
wd.cosine_restarts(T_mult=2) | grow
wd.triangular(base_lr=1e-3) | low
wd.triangular(step_size_up=100) | up
wd.Run(steps=1000) | total_steps
wd.Run(max_steps=1000) | total_steps
wd.Run(num_epochs=10) | epochs
wd.Run(batch_size=32) | samples_per_step
wd.Run(10, 500) | epochs
wd.Run('1000') | whole number
wd.Run(1000.5) | whole number
wd.Run(True) | whole number
wd.Plan(lr=wd.Cosine()) | Plan.of(
wd.Plan.of(lr=0.1) | Set(0.1)
wd.Plan.of(lr=wd.Cosine) | call it
wd.Plan.of(lr=wd.Cosine(), run='10ep') | total_steps
wd.Cosine().over('10ep') | total_steps
wd.Cosine().over(steps=100) | total_steps
wd.Cosine().over({'steps': 100}) | total_steps
wd.Cosine().over() | total_steps
wd.Cosine()(5) | over(
wd.Set() | of
wd.Set('0.1') | Constant
wd.Scale(wd.Cosine(), min_lr=1e-5) | low
wd.Scheduler() | optimizer
wd.Scheduler(o) | lr=schedule
wd.Scheduler(o, wd.Cosine()) | total_steps
wd.Scheduler(o, 0.1) | Scale(0.1)
wd.Scheduler(o, lr=0.1) | Set(0.1)
wd.Scheduler(o, 30) | Set(30)
wd.Scheduler(o, wd.Cosine) | call it
wd.Scheduler(o, wd.wsd) | call it
wd.Scheduler(o, lambda step: 0.9**step) | Function(f)
wd.Scheduler(o, lr=lambda step: 0.9**step) | Function(f)
wd.Scheduler(o, [wd.Linear(steps=5), wd.Cosine()], run=10) | first >> second
wd.Scheduler(o, lr=[wd.Linear(steps=5), wd.Cosine()], run=10) | first >> second
wd.Scheduler(wd.Cosine(), o) | Scheduler(optimizer
wd.Scheduler('cosine', o) | Scheduler(optimizer
wd.Scheduler(o, o) | optimizer stands first
wd.Scheduler(o, wd.Run(10)) | run=
wd.Scheduler(o, torch.optim.lr_scheduler.StepLR(o, 3)) | from_torch
wd.Scheduler(o, wd.Cosine(), 100) | run
wd.Scheduler(o, wd.Cosine(), max_steps=100) | total_steps
wd.Scheduler(o, wd.Cosine(), T_max=100) | total_steps
wd.Scheduler(o, wd.Cosine(), num_training_steps=100) | total_steps
wd.Scheduler(o, wd.Cosine(), run='100') | total_steps
wd.Scheduler(o, wd.Cosine(), run=wd.Run(10), total_steps=20) | once
wd.Scheduler(o, wd.Cosine(), last_epoch=-1) | seek
wd.Scheduler(o, T_max=100) | total_steps
wd.Scheduler(o, 'cosin', run=10) | cosine
wd.Scheduler(o, 'no such plan.yaml') | path
wd.Scheduler(o, YAML) | loads
wd.Scheduler(o, {}) | cosine
wd.Scheduler(o, {'kind': 'cosine', 'T_max': 10}) | steps
wd.Scheduler(o, {'lr': wd.Cosine(), 'lr2': wd.Cosine()}, run=10) | lr
wd.Scheduler(o, learning_rate=wd.Cosine(), run=10) | lr
wd.Scheduler(o, wd.Cosine(), run=10).step(0.5) | observe
wd.Scheduler(o, wd.Cosine(), run=10).step(3) | seek
wd.Scheduler(o, wd.Cosine(), run=10).seek(-1) | seek(0)
wd.Scheduler(o, wd.Cosine(), run=10).lr | get_last_lr
wd.Scheduler(o, wd.Cosine(), run=10).last_lr | get_last_lr
wd.check(0.1) | Set(0.1)
wd.check(wd.Cosine) | call it
wd.check(wd.Cosine(), steps=100) | total_steps
plot.view(0.1) | Set(0.1)
plot.view(wd.Cosine) | call it
wd.compare([wd.Cosine()]) | by name
wd.CosineAnnealingLR | compat.lr_scheduler
wd.OneCycleLR(o, 0.1) | one_cycle
wd.StepLR | Staircase
wd.LambdaLR | Function
wd.ReduceLROnPlateau | Plateau
wd.SequentialLR | first >> second
wd.get_cosine_schedule_with_warmup | warmup_cosine
wd.get_scheduler | compat.optimization
wd.CosineLRScheduler | compat.scheduler
wd.create_scheduler_v2 | compat.scheduler
wd.cosine_decay_schedule | Cosine
wd.warmup_cosine_decay_schedule | warmup_cosine
wd.join_schedules | first >> second
wd.PiecewiseConstantDecay | PiecewiseConstant
wd.CosineDecay | Cosine
wd.LearningRateScheduler | Function
wd.LinearWarmupCosineAnnealingLR | warmup_cosine
wd.LRFinder | find_rate
wd.Trainer | warmdown.training
wd.WarmupCosine | warmup_cosine
wd.OneCycle | one_cycle
wd.WSD | wsd
wd.cosine | Cosine
wd.Sheduler | Scheduler
wd.optim.lr_scheduler | compat.lr_scheduler
wd.lr_scheduler.StepLR | compat.lr_scheduler
exec('from warmdown import CosineAnnealingLR') | compat.lr_scheduler
exec('from warmdown import Sheduler') | Scheduler
exec('from warmdown.lr_scheduler import StepLR') | compat.lr_scheduler
exec('import warmdown.optim.lr_scheduler') | compat.lr_scheduler
wd.load('nowhere.yaml') | path
wd.loads('lr: 0.1') | {set: 0.1}
wd.loads('lr: cosin') | cosine
wd.loads('lr: {kind: cosine, T_max: 10}') | steps
wd.loads('lr: {kind: cosine, eta_min: 0.1}') | end
wd.loads('lr: {cosine: {end: 0.1}}') | kind
wd.loads('total_steps: 100\\nlr: {kind: cosine}') | run: {total_steps
wd.loads('epochs: 10\\nlr: {kind: cosine}') | run: {epochs
wd.loads('run: {steps: 10}\\nlr: {kind: cosine}') | total_steps
wd.loads('run: 10ep\\nlr: {kind: cosine}') | total_steps
wd.loads('run: {total_steps: 10}') | lr: {kind
wd.loads('lr: [{kind: warmup_cosine, peak: 1}, cosine]') | Leave peak out
"""


def lines(text: str) -> list[str]:
    """Return the lines of a table."""
    return text.strip().splitlines()


@pytest.fixture(autouse=True)
def _quiet() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what an attempt means, another test speaks
        yield


@pytest.mark.parametrize("attempt", lines(WORKS))
def test_what_people_type_works(attempt: str, tmp_path: Path) -> None:
    assert eval(attempt, {**names(tmp_path), "pytest": pytest})  # noqa: S307


@pytest.mark.parametrize("line", lines(LEADS))
def test_what_cannot_work_leads_to_the_right_name(line: str, tmp_path: Path) -> None:
    attempt, way_out = line.rsplit(" | ", 1)
    with pytest.raises(wd.WarmdownError) as caught:
        eval(attempt.replace("\\\\n", "\\n"), names(tmp_path))  # noqa: S307
    assert way_out in str(caught.value)


def test_hundreds_of_attempts_are_tried() -> None:
    assert len(lines(WORKS)) + len(lines(LEADS)) >= 200


@pytest.mark.parametrize(
    ("word", "there"), [("plot", "show"), ("lr-find", "find"), ("chek", "check")]
)
def test_a_command_of_another_name_leads_to_ours(word: str, there: str) -> None:
    done = CliRunner().invoke(main, [word, "plan.yaml"])
    assert done.exit_code == 2
    assert there in done.output


def test_a_name_that_is_not_there_is_still_none_for_those_who_ask() -> None:
    assert not hasattr(wd, "CosineAnnealingLR")
    assert getattr(wd, "StepLR", None) is None


@pytest.mark.parametrize(("rule", "rate"), [("wd.Set(3e-4)", 0.1), ("wd.Set(0.3)", 1e-3)])
def test_a_peak_far_from_the_optimizers_rate_is_named_when_the_scheduler_is_made(
    rule: str, rate: float
) -> None:
    optimizer = torch.optim.SGD(torch.nn.Linear(2, 2).parameters(), lr=rate)
    with pytest.warns(wd.FarFromBase, match="optimizer's rate is"):
        wd.Scheduler(optimizer, eval(rule, {"wd": wd}))  # noqa: S307


@pytest.mark.parametrize(
    ("rule", "rate"),
    [
        (wd.noam(d_model=512), 1.0),
        (wd.Set(wd.range_test()), 1e-3),
        (wd.Set(3e-3), 0.1),
        (wd.warmup_cosine(), 1e-3),
    ],
)
def test_noam_a_range_test_and_what_is_near_are_not_warned_of(rule: Any, rate: float) -> None:
    optimizer = torch.optim.SGD(torch.nn.Linear(2, 2).parameters(), lr=rate)
    with warnings.catch_warnings():
        warnings.simplefilter("error", wd.FarFromBase)
        wd.Scheduler(optimizer, rule, run=10_000)


@pytest.mark.slow
@pytest.mark.parametrize(
    "attempt",
    [
        "wd.Scheduler",
        "wd.find_rate",
        "wd.compare",
        "wd.from_torch",
        "wd.layerwise_decay",
        "wd.training",
        "wd.compat.lr_scheduler",
        "from warmdown import Scheduler",
        "from warmdown.training import Trainer",
        "from warmdown.compat.lr_scheduler import StepLR",
        "from warmdown.compat.schedulers import WSDLrScheduler",
        "from warmdown.compat.scheduler import CosineLRScheduler",
        "from warmdown.compat.optimization import get_scheduler",
        "from warmdown.binding import Scheduler",
        "from warmdown.experiments import search",
        "from warmdown.importing import from_torch",
    ],
)
def test_without_torch_its_extra_is_named(attempt: str) -> None:
    script = (
        "import sys; sys.modules['torch'] = None\nimport warmdown as wd\n"
        f"try:\n    {attempt}\nexcept wd.MissingExtra as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert "pip install 'warmdown[torch]'" in done.stdout, done.stderr
