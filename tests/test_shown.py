"""Objects in words: what `repr` and `str` give."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from mypy import api
from tests.strategies import schedules

import warmdown as wd
from warmdown.binding import Attribute
from warmdown.experiments.comparison import Comparison
from warmdown.experiments.find import RangeTest
from warmdown.experiments.rules import Suggestion
from warmdown.experiments.runs import Result, RunSpec
from warmdown.plan import Target
from warmdown.plot import view
from warmdown.training import Checkpoints, Trainer

NAMES: dict[str, Any] = {**vars(wd.schedules), **{name: getattr(wd, name) for name in wd.__all__}}
WARM_COSINE = wd.Linear(start=0.0, end=1.0, steps="5%") >> wd.Cosine(start=1.0, end=0.1)
BETAS: dict[str, Any] = {"betas[0]": wd.Set(wd.Linear())}
SCREEN = 4000


def evaluated(text: str) -> Any:
    return eval(text, {**NAMES, "Target": Target})  # noqa: S307  # our own repr


@given(schedules())
def test_the_repr_of_a_schedule_makes_an_equal_one(schedule: wd.Schedule) -> None:
    assert evaluated(repr(schedule)) == schedule


def test_a_repr_has_no_argument_that_is_a_default() -> None:
    assert repr(wd.Cosine(start=1.0, end=0.0)) == "Cosine()"
    assert repr(wd.Run(total_steps=10)) == "Run(total_steps=10)"
    assert repr(wd.Set(wd.Constant(value=0.05))) == "Set(of=Constant(value=0.05))"
    assert repr(wd.Scale(wd.Cosine(), low=0.1)) == "Scale(of=Cosine(), low=0.1)"


def test_a_repr_tells_a_number_from_an_equal_one_of_another_type() -> None:
    assert "steps=1" in repr(wd.Delayed(of=wd.Cosine(), steps=1))
    assert "levels" not in repr(wd.Plateau())


@pytest.mark.parametrize(
    "plan",
    [
        wd.Plan.of(lr=WARM_COSINE, run=wd.Run(total_steps=100)),
        wd.Plan.of(lr={"head": wd.Linear(), "*": wd.Cosine()}, weight_decay=wd.Set(wd.Linear())),
        wd.Plan.of(**BETAS, lr=wd.Cosine(), after_end="raise"),
        wd.Plan(
            targets=(
                Target("lr", "a", wd.Scale(wd.Linear())),
                Target("momentum", "*", wd.Set(wd.Constant(value=0.9))),
                Target("lr", "b", wd.Scale(wd.Linear(), low=1e-5)),
            )
        ),
        wd.Plan(targets=(Target("count", "*", wd.Scale(wd.Linear())),)),
    ],
)
def test_the_repr_of_a_plan_makes_an_equal_one(plan: wd.Plan) -> None:
    assert evaluated(repr(plan)) == plan


@pytest.mark.parametrize(
    ("schedule", "text"),
    [
        (WARM_COSINE, "Linear(0 -> 1, '5%') >> Cosine(1 -> 0.1)"),
        (wd.warmup_cosine(end=0.1), "Linear(0 -> 1, '5%') >> Cosine(1 -> 0.1)"),
        (WARM_COSINE * 0.5, "(Linear(0 -> 1, '5%') >> Cosine(1 -> 0.1)) * 0.5"),
        ((wd.Linear() + 1.0) * 2.0, "(Linear(1 -> 0) + 1) * 2"),
        (wd.Linear() * 2.0 + 1.0, "Linear(1 -> 0) * 2 + 1"),
        (WARM_COSINE.repeat(3), "(Linear(0 -> 1, '5%') >> Cosine(1 -> 0.1)).repeat(times=3)"),
        (wd.Linear(steps=5).delay(2).clip(0.1), "Linear(1 -> 0, 5).delay(2).clip(low=0.1)"),
        (wd.Cosine(k=2.0).named("fall"), "Cosine(1 -> 0, k=2)"),
        (wd.Constant(value=3e-4), "Constant(0.0003)"),
        (wd.Milestones(at=(10, 20)), "Milestones(at=(10, 20))"),
    ],
)
def test_a_schedule_reads_as_spoken(schedule: wd.Schedule, text: str) -> None:
    assert str(schedule) == text


def test_a_plan_reads_target_by_target() -> None:
    plan = wd.Plan.of(
        lr=wd.Cosine(), weight_decay=wd.Set(wd.Constant(value=0.05)), run=wd.Run(total_steps=2000)
    )
    assert str(plan).splitlines() == [
        "lr: Cosine(1 -> 0)",
        "weight_decay: Set(Constant(0.05))",
        "over 2,000 updates",
    ]


def scheduler_of(groups: int = 1, **targets: Any) -> wd.Scheduler:
    weights = [{"params": [torch.nn.Parameter(torch.zeros(1))]} for _ in range(groups)]
    optimizer = torch.optim.SGD(weights, lr=0.5)
    return wd.Scheduler(optimizer, run=wd.Run(total_steps=100), **targets)


def test_a_scheduler_shows_count_phase_and_values() -> None:
    scheduler = scheduler_of(lr=wd.warmup_cosine(warmup=10))
    scheduler.seek(5)
    assert str(scheduler) == "<Scheduler at 5 of 100 updates, warmup: lr/0 = 0.25>"
    scheduler.close()
    assert "closed" in repr(scheduler)
    assert "not yet" in repr(wd.Scheduler.__new__(wd.Scheduler))


def result_of(seed: int) -> Result:
    plan = wd.Plan.of(lr=wd.Cosine())
    curve = list(range(5000)), [0.5] * 5000
    return Result(
        spec=RunSpec.of(plan, "digits", seed, {}, ()),
        status="finished",
        metrics={"accuracy": 0.5 + seed / 100},
        evaluations={"accuracy": curve},
        curves={"loss": curve, "lr/0": curve},
        updates=5000,
    )


def comparison() -> Comparison:
    results = {name: {seed: result_of(seed) for seed in range(8)} for name in ("cosine", "linear")}
    return Comparison.of(results, task="digits")


def range_test(updates: int = 100) -> RangeTest:
    rates = np.geomspace(1e-5, 1.0, 100)
    losses = (np.linspace(2.0, 1.0, updates),)
    found = {"steepest": Suggestion("steepest", 0.1, 0.05, 0.2, "")}
    return RangeTest("lr", 0.1, rates, losses, ("",), 0.03, found)


def record_of(rows: int) -> wd.Record:
    record = wd.Record()
    for step in range(rows):
        record.add(step, "lr/0", 0.1)
        record.add(step, "loss", 1.0)
    return record


def long_ones() -> dict[str, object]:
    long = wd.PiecewiseConstant(values=(0.123456789,) * 5000, at=tuple(range(1, 5000)))
    model = torch.nn.Sequential(*(torch.nn.Dropout() for _ in range(500)))
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    plan = wd.Plan.of(lr={str(group): wd.warmup_cosine() for group in range(200)})
    return {
        "schedule": long,
        "chain": wd.Chain.of(*(wd.Linear(steps=5) for _ in range(400))),
        "rule": wd.Set(long),
        "plan": plan,
        "comparison": comparison(),
        "range test": range_test(),
        "result": result_of(0),
        "record": record_of(3000),
        "view": view(wd.Cosine(), run=wd.Run(total_steps=1000)),
        "scheduler": scheduler_of(groups=200, lr=wd.Cosine()),
        "trainer": Trainer(model, None, optimizer, callbacks=()),
        "checkpoints": Checkpoints("runs", keep=3),
        "attribute": Attribute(model[0], "p"),
    }


def test_no_repr_is_longer_than_a_screen() -> None:
    texts = {what: repr(value) for what, value in long_ones().items()}
    assert {what for what, text in texts.items() if len(text) > SCREEN} == set()
    assert {what for what, text in texts.items() if " object at 0x" in text} == set()


def test_a_result_that_is_printed_is_its_table() -> None:
    text = str(comparison())
    assert "difference" in text
    assert "8/8" in text
    assert "steepest" in str(range_test())


def test_a_range_test_that_ended_too_early_is_printed_all_the_same() -> None:
    assert "before the loss diverged" in str(range_test(updates=3))


def test_a_picture_is_a_method_away_and_a_notebook_shows_it() -> None:
    plot: Any = wd.plot
    scheduler = scheduler_of(lr=wd.warmup_cosine(warmup=10))
    scheduler.seek(50)
    plan = wd.Plan.of(lr=wd.Cosine(), run=wd.Run(total_steps=100))
    for figure in (
        wd.Cosine(steps=50).plot(),
        plan.plot(title="Half a wave"),
        record_of(10).plot(),
        scheduler.plot(),
        plot({"fast": wd.Cosine(), "slow": wd.Linear()}, run=wd.Run(total_steps=100)),
    ):
        assert figure.axes[0].get_title(loc="left").startswith("learning rate")
        assert "<svg" in figure._repr_html_()
    for shown in (scheduler, record_of(10), view({"a": wd.Cosine(), "b": wd.Linear()})):
        assert "<svg" in shown._repr_html_()
    assert "at 50 of 100 updates" in scheduler._repr_html_()


def test_a_schedulers_picture_has_its_events_and_where_it_stands() -> None:
    scheduler = scheduler_of(lr=wd.Constant(), groups=2)
    assert "now" not in {text.get_text() for text in scheduler.plot().axes[0].texts}
    scheduler.seek(40)
    scheduler.rescale(0.5)
    scheduler.seek(60)
    (axes,) = scheduler.plot().axes
    assert {text.get_text() for text in axes.texts} >= {"rescale", "now"}
    line = next(line for line in axes.lines if line.get_label() == "lr/0")
    values = dict(zip(*line.get_data(), strict=True))
    assert (values[39], values[40]) == (0.5, 0.25)


def test_a_schedulers_history_is_what_its_updates_used() -> None:
    scheduler = scheduler_of(lr=wd.Linear(start=1.0, end=0.0, steps=100))
    scheduler.seek(30)
    scheduler.rescale(0.5)
    scheduler.seek(60)
    steps, values = scheduler.history.curve("lr/0")
    assert len(steps) == 61  # an event is a row of its own
    rows = {row.step: row.value for row in scheduler.history if not row.reason}
    assert rows == {step: scheduler.value(step) for step in range(60)}
    assert [row.step for row in scheduler.history if row.reason == "rescale"] == [30]
    assert values


def test_a_history_is_bounded_and_empty_at_the_start() -> None:
    scheduler = scheduler_of(lr=wd.InverseSqrt())
    assert len(scheduler.history) == 0
    scheduler.seek(10**7)
    assert len(scheduler.history) == 1000


def test_a_record_becomes_csv_that_no_spreadsheet_computes(tmp_path: Path) -> None:
    record = wd.Record()
    record.add(0, "lr/=1+1", 0.1)
    record.add(1, "=1+1", 1 / 3, "event")
    text = record.to_csv(tmp_path / "record.csv")
    assert text.splitlines() == [
        "step,target,value,reason",
        "0,lr/=1+1,0.1,",
        "1,'=1+1,0.3333333333333333,event",
    ]
    assert (tmp_path / "record.csv").read_text(encoding="utf-8") == text


def test_a_record_becomes_a_frame_where_pandas_is(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = SimpleNamespace(DataFrame=lambda columns: columns)
    monkeypatch.setitem(sys.modules, "pandas", frames)
    assert record_of(1).to_pandas() == {
        "step": [0, 0],
        "target": ["lr/0", "loss"],
        "value": [0.1, 1.0],
        "reason": ["", ""],
    }
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(wd.MissingExtra, match=r"pandas: pip install 'warmdown\[pandas\]'"):
        record_of(1).to_pandas()


def test_only_the_rate_has_a_warmup() -> None:
    rising = wd.Linear(start=0.0, end=1.0, steps=10)
    one_cycle: dict[str, Any] = wd.one_cycle(warm=10)
    plan = wd.Plan.of(**one_cycle, weight_decay=rising, run=wd.Run(total_steps=30)).over()
    names = {target.name: [phase.name for phase in target.phases()] for target in plan.targets}
    assert names == {
        "lr": ["up", "down"],
        "momentum": ["falling", "rising"],
        "weight_decay": ["rising"],
    }
    assert scheduler_of(weight_decay=wd.Set(rising)).phases[0].name == "rising"


def test_a_recipe_of_several_targets_overlays_a_schedule() -> None:
    scene = view(
        {"one cycle": wd.one_cycle(), "cosine": wd.warmup_cosine()}, run=wd.Run(total_steps=100)
    )
    assert [line.label for line in scene.panels[0].lines] == ["one cycle: lr", "cosine: lr"]


def test_a_picture_for_papers_is_a_pdf_with_letters(tmp_path: Path) -> None:
    path = wd.plot.save(wd.Cosine(steps=10), tmp_path / "x.pdf")
    content = path.read_bytes()
    assert content.startswith(b"%PDF")
    assert b"/FontFile2" in content
    wd.plot.save(wd.Cosine(steps=10), tmp_path / "y.pdf")
    assert (tmp_path / "y.pdf").read_bytes() == content


def test_a_notebook_draws_a_dict_of_schedules_once_the_extension_is_loaded() -> None:
    shell = pytest.importorskip("IPython.core.interactiveshell").InteractiveShell()
    wd.load_ipython_extension(shell)
    show = shell.display_formatter.format
    assert "<svg" in show({"a": wd.Cosine(), "b": wd.warmup_cosine()})[0]["text/html"]
    assert "<svg" in show(dict(wd.one_cycle()))[0]["text/html"]
    for other in ({}, {"a": 1}, {"a": "x"}, {"a": wd.Cosine(), "b": 3}, {"kind": "cosine"}):
        assert "text/html" not in show(other)[0]


@pytest.mark.slow
def test_a_type_checker_accepts_the_room_of_pictures_as_a_function(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import warmdown as wd\nwd.plot(wd.warmup_cosine(), run=wd.Run(total_steps=10))\n"
        "text: str = wd.plot.terminal(wd.Cosine(), run=wd.Run(total_steps=10))\n"
    )
    said, _, rc = api.run(["--strict", "--cache-dir", str(tmp_path / "cache"), str(script)])
    assert rc == 0, said
