"""Schedules, runs and plans are what configuration systems fill, as they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
import tyro
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from jsonargparse import ArgumentError, ArgumentParser, set_parsing_settings
from omegaconf import OmegaConf
from pydantic import TypeAdapter, ValidationError

import warmdown as wd

CHAIN = wd.Linear(start=0.0, end=1.0, steps="10%") >> wd.Cosine(end=0.1)
DATA = """
run: {total_steps: 100}
lr:
  - {kind: linear, start: 0.0, end: 1.0, steps: 10%}
  - {kind: cosine, end: 0.1}
"""


def bound(*given: Any, **how: Any) -> wd.Scheduler:
    return wd.Scheduler(torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.1), *given, **how)


def test_a_configuration_of_omegaconf_is_a_plan_where_data_are() -> None:
    config = OmegaConf.create(DATA)
    assert bound(config).plan == bound(wd.Plan.of(lr=CHAIN, run=wd.Run(100))).plan
    assert bound(config.lr, run=100).value(5) == pytest.approx(0.05)
    assert bound(lr=config.lr, run=100).value(5) == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("{_target_: warmdown.Cosine, end: 0.1, steps: 90}", wd.Cosine(end=0.1, steps=90)),
        ("{_target_: warmdown.warmup_cosine, warmup: 5%}", wd.warmup_cosine(warmup="5%")),
        ("{_target_: warmdown.Run, total_steps: 10, clock: updates}", wd.Run(10)),
        (
            "{_target_: warmdown.Plan.of, lr: {_target_: warmdown.Cosine}, "
            "weight_decay: {_target_: warmdown.Set, of: {_target_: warmdown.Linear}}}",
            wd.Plan.of(lr=wd.Cosine(), weight_decay=wd.Set(wd.Linear())),
        ),
        (
            "{_target_: warmdown.Chain, _convert_: all, members: [{_target_: warmdown.Linear, "
            "start: 0.0, end: 1.0, steps: 10%}, {_target_: warmdown.Cosine, end: 0.1}]}",
            CHAIN,
        ),
    ],
)
def test_hydra_makes_what_python_makes(text: str, wanted: object) -> None:
    assert instantiate(OmegaConf.create(text)) == wanted


def test_hydra_passes_our_error_on() -> None:
    with pytest.raises(InstantiationException, match="Did you mean 'start'"):
        instantiate({"_target_": "warmdown.Cosine", "strat": 1.0})


def test_a_structured_configuration_of_a_shape_is_the_shape() -> None:
    config = OmegaConf.merge(OmegaConf.structured(wd.Cosine), {"steps": "90%"})
    assert OmegaConf.to_object(config) == wd.Cosine(steps="90%")


@pytest.fixture
def _schedules_as_defaults() -> Any:
    set_parsing_settings(subclasses_enabled=[wd.Schedule])


def parsed(kind: Any, *words: str, **how: Any) -> Any:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--x", type=kind, **how)
    return parser.instantiate(parser.parse_args([f"--x{word}" for word in words])).x


@pytest.mark.usefixtures("_schedules_as_defaults")
def test_jsonargparse_makes_what_python_makes(tmp_path: Path) -> None:
    short = wd.Cosine(end=0.5, steps="90%")
    assert parsed(wd.Cosine, ".end=0.5", ".steps=90%") == short
    assert parsed(wd.Schedule, "=warmdown.Cosine", ".end=0.5", ".steps=90%") == short
    assert parsed(wd.Schedule, ".end=0.5", default=wd.Cosine(steps="90%")) == short
    assert parsed(wd.Schedule, "=warmdown.wsd", ".warmup=5%") == wd.wsd(warmup="5%")
    assert parsed(wd.Run, ".total_steps=9", ".clock=updates") == wd.Run(9)
    (tmp_path / "plan.yaml").write_text(DATA)
    assert parsed(wd.Plan, "=warmdown.load", f".path={tmp_path / 'plan.yaml'}") == wd.loads(DATA)


@pytest.mark.parametrize("words", [("=warmdown.Cosine", ".edn=1"), ("=warmdown.Cosinus",)])
def test_jsonargparse_names_what_is_wrong(words: Sequence[str]) -> None:
    with pytest.raises(ArgumentError, match=r"'edn' is not accepted|Did you mean 'Cosine'"):
        parsed(wd.Schedule, *words)


@pytest.mark.slow
@pytest.mark.usefixtures("_schedules_as_defaults")
@pytest.mark.filterwarnings("ignore")
def test_lightnings_command_line_fills_a_module() -> None:
    pytest.importorskip("typeshed_client", reason="LightningCLI needs jsonargparse[signatures]")
    from lightning.pytorch import LightningModule
    from lightning.pytorch.cli import LightningCLI

    class Model(LightningModule):  # type: ignore[misc]
        def __init__(self, schedule: wd.Schedule, run: wd.Run) -> None:
            super().__init__()
            self.schedule, self.run = schedule, run

    words = ["--model.schedule=warmdown.warmup_cosine", "--model.schedule.end=0.1"]
    cli = LightningCLI(Model, run=False, args=[*words, "--model.run.total_steps=50"])
    assert cli.model.schedule == wd.warmup_cosine(end=0.1)
    assert bound(cli.model.schedule, run=cli.model.run).plan.run.total_steps == 50


@dataclass(frozen=True)
class Settings:
    lr: wd.Cosine | wd.Linear = field(default_factory=wd.Cosine)
    run: wd.Run = field(default_factory=wd.Run)


def test_tyro_makes_what_python_makes() -> None:
    words = ["--run.total-steps", "40", "--run.clock", "updates", "lr:linear", "--lr.steps", "90%"]
    assert tyro.cli(Settings, args=words) == Settings(wd.Linear(steps="90%"), wd.Run(40))
    assert tyro.cli(wd.Cosine, args=["--steps", "90"]) == wd.Cosine(steps=90)
    assert tyro.cli(wd.wsd, args=["--warmup", "5%"]) == wd.wsd(warmup="5%")


@pytest.mark.parametrize(
    ("kind", "words", "shown"),
    [(wd.Cosine, ["--edn", "1"], "--end FLOAT"), (wd.Run, ["--total-steps", "-5"], "at least 1")],
)
def test_tyro_names_what_is_wrong(
    kind: Any, words: list[str], shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        tyro.cli(kind, args=words)
    written = capsys.readouterr()
    assert shown in written.out + written.err


@pytest.mark.parametrize(
    ("kind", "data", "wanted"),
    [
        (wd.Schedule, {"kind": "cosine", "end": "1e-1"}, wd.Cosine(end=0.1)),
        (wd.Schedule, "cosine", wd.Cosine()),
        (wd.Schedule, {"kind": "warmup_cosine", "warmup": "5%"}, wd.warmup_cosine(warmup="5%")),
        (wd.Cosine, {"end": 0.1, "steps": "90%"}, wd.Cosine(end=0.1, steps="90%")),
        (wd.Cosine, {"class_path": "warmdown.Cosine"}, wd.Cosine()),
        (wd.Chain, wd.warmup_cosine(), wd.warmup_cosine()),
        (wd.Run, {"total_steps": 9, "clock": "updates"}, wd.Run(9)),
        (wd.Plan, {"lr": {"kind": "cosine"}}, wd.Plan.of(lr=wd.Cosine())),
    ],
)
def test_pydantic_reads_objects_and_data_and_writes_data(
    kind: Any, data: Any, wanted: object
) -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(kind)
    found = adapter.validate_python(data)
    assert found == wanted
    assert adapter.validate_json(adapter.dump_json(found)) == wanted
    assert adapter.json_schema() is not None


@pytest.mark.parametrize(
    ("kind", "data", "words"),
    [
        (wd.Schedule, {"kind": "cosine", "edn": 1}, "Did you mean 'end'"),
        (wd.Cosine, {"edn": 1}, "Did you mean 'end'"),
        (wd.Cosine, wd.Linear(), "a Cosine is needed, not a Linear"),
        (wd.Plan, {"lr": {"kind": "cosine", "edn": 1}}, "lr.edn: Cosine has no 'edn'"),
        (wd.Plan, "plan.yaml", "a plan is a mapping"),
        (wd.Plan, wd.Cosine(), "a Plan is needed, not a Cosine"),
        (wd.Run, {"total_step": 9}, "total_step\n"),
        (wd.Run, {"total_steps": -9}, "at least 1"),
    ],
)
def test_pydantic_names_what_is_wrong(kind: Any, data: Any, words: str) -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(kind)
    with pytest.raises(ValidationError) as caught:
        adapter.validate_python(data)
    assert words in str(caught.value)
