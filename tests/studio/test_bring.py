"""Configurations of other programs and their classes, as plans that can be trained with."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from tests.importing.driven import rates_driven
from tests.importing.test_configs import CASES
from tests.studio.pages import Simulated, shown, until

import warmdown as wd
from warmdown.errors import ScheduleError
from warmdown.importing.configs import format_of_text
from warmdown.importing.formats.classes import TORCH_NAMES
from warmdown.planfile.writing import to_yaml
from warmdown.schedules.base import PlainData
from warmdown.studio.draft.catalogue import GalleryEntry, catalogue
from warmdown.studio.draft.document import Draft, read
from warmdown.studio.draft.files import brought, document_from, saved_text
from warmdown.studio.preview.bring import as_factor, import_configuration, turn_classes
from warmdown.studio.preview.torch_code import as_torch

if TYPE_CHECKING:
    from nicegui.testing import User

RUN = {"total_steps": 60, "lr": "1e-3"}
RISE = {"kind": "linear", "start": 0.0, "end": 1.0, "steps": "10%"}
TORCH: list[tuple[str, PlainData]] = [
    ("ConstantLR", {"factor": 0.5, "total_iters": 7}),
    ("CosineAnnealingLR", {"T_max": "%SCHEDULER_STEPS%", "eta_min": "1e-5"}),
    ("CosineAnnealingWarmRestarts", {"T_0": 11, "T_mult": 2}),
    ("CyclicLR", {"base_lr": "%LR% / 10", "max_lr": "%LR%", "step_size_up": 8}),
    ("ExponentialLR", {"gamma": 0.97}),
    ("LinearLR", {"start_factor": 0.2, "total_iters": 9}),
    ("MultiStepLR", {"milestones": [20, "%SCHEDULER_STEPS% // 2"], "gamma": "5e-1"}),
    ("OneCycleLR", {"max_lr": "%LR% * 10", "total_steps": "%SCHEDULER_STEPS%"}),
    ("PolynomialLR", {"total_iters": 40, "power": 2.0}),
    ("StepLR", {"step_size": 15, "gamma": 0.3}),
]


def class_of(kind: str, arguments: PlainData, **more: Any) -> PlainData:
    return {"class_path": f"torch.optim.lr_scheduler.{kind}", "init_args": arguments, **more}


def made_native(data: PlainData, bases: Any = None) -> PlainData:
    """Return the data with warmdown's own schedules for classes."""
    return {**data, **turn_classes({"data": data, "bases": bases})["plan"]}


def optimizer_of(*rates: float, **names: str) -> Any:
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": rate} for rate in rates]
    for group, name in zip(groups, names.values(), strict=False):
        group["name"] = name
    return torch.optim.SGD(groups, momentum=0.9)


def trained(data: PlainData, optimizer: Any, tmp_path: Path) -> Any:
    """Return the rates that training uses with the plan file of the data."""
    path = tmp_path / "plan.yaml"
    path.write_text(saved_text(Draft(document_from(data)), path.name))
    scheduler = wd.Scheduler(optimizer, wd.load(path))
    return rates_driven(optimizer, scheduler, 60)


def rates_of_code(code: str, optimizer: Any, count: int = 60) -> Any:
    """Return the rates that the scheduler of the exported code makes."""
    names: dict[str, Any] = {"optimizer": optimizer}
    exec(code, names)  # noqa: S102 - the code that the page offers
    return rates_driven(optimizer, names["scheduler"], count)


@pytest.mark.parametrize(("name", "arguments"), TORCH, ids=lambda one: str(one)[:30])
def test_a_class_becomes_a_plan_that_trains_with_its_rates(
    name: str, arguments: PlainData, tmp_path: Path
) -> None:
    data: PlainData = {"run": RUN, "lr": class_of(name, arguments)}
    expected = rates_of_code(as_torch(data, None), optimizer_of(1e-3))
    data = made_native(data)
    assert "class_path" not in json.dumps(data)
    np.testing.assert_allclose(
        trained(data, optimizer_of(1e-3), tmp_path), expected, rtol=1e-9, atol=1e-15
    )


@pytest.mark.parametrize(("name", "arguments"), TORCH, ids=lambda one: str(one)[:30])
def test_a_class_between_other_phases_keeps_its_curve(name: str, arguments: PlainData) -> None:
    given = json.loads(json.dumps(arguments).replace("%SCHEDULER_STEPS%", "30"))
    one = class_of(name, given, steps=30, name="theirs")
    data: PlainData = {"run": RUN, "lr": [RISE, one, {"kind": "linear"}]}
    native = made_native(data)
    plan = wd.plan_from_dict(native)
    was, now = (
        one.over().targets[0].rule.value(np.arange(60.0), 1e-3)
        for one in (wd.plan_from_dict(data), plan)
    )
    np.testing.assert_allclose(now, was, rtol=1e-9)
    code = as_torch(native, plan)
    np.testing.assert_allclose(rates_of_code(code, optimizer_of(1e-3))[0], was, rtol=1e-9)


def test_two_groups_with_rates_of_their_own_are_two_plans(tmp_path: Path) -> None:
    bases = {"LoRA": {"lr": 1e-4}, "embedding": {"lr": 1e-3}}
    one = class_of("OneCycleLR", {"max_lr": ["1e-4", "1e-3"], "total_steps": 60})
    data = made_native({"run": RUN, "lr": one}, bases)
    theirs = optimizer_of(1e-4, 1e-3)
    cycle = torch.optim.lr_scheduler.OneCycleLR(theirs, max_lr=[1e-4, 1e-3], total_steps=60)
    expected = rates_driven(theirs, cycle, 60)
    code = as_torch({"run": RUN, "lr": one}, None)
    np.testing.assert_array_equal(rates_of_code(code, optimizer_of(1e-4, 1e-3)), expected)
    ours = optimizer_of(1e-4, 1e-3, one="LoRA", two="embedding")
    np.testing.assert_allclose(trained(data, ours, tmp_path), expected, rtol=1e-9)
    unnamed = made_native(
        {"run": RUN, "lr": one}, {"group 0": {"lr": 1e-4}, "group 1": {"lr": 1e-3}}
    )
    np.testing.assert_allclose(
        trained(unnamed, optimizer_of(1e-4, 1e-3), tmp_path), expected, rtol=1e-9
    )


def test_a_placeholder_is_one_number_for_all_groups() -> None:
    bases = {"a": {"lr": 1e-4}, "b": {"lr": 1e-3}}
    one = class_of("OneCycleLR", {"max_lr": "%LR% * 10", "total_steps": 60})
    data: PlainData = {"run": {"total_steps": 60, "lr": 1e-4}, "lr": one}
    rule = made_native(data, bases)["lr"]
    assert rule["set"]["members"][0]["end"] == 1e-3
    assert "max_lr=0.001, " in as_torch(data, None)


def test_what_differs_from_the_documentation_is_told_and_what_a_metric_moves_is_a_plateau() -> None:
    late = class_of("CosineAnnealingLR", {"T_max": 30})
    answer = turn_classes({"data": {"run": RUN, "lr": late}})
    assert "climbs back after T_max" in answer["report"][0]
    plateau = turn_classes({"data": {"run": RUN, "lr": class_of("ReduceLROnPlateau", {})}})
    assert plateau["plan"]["lr"]["kind"] == "plateau"
    inside = {"kind": "repeat", "of": class_of("StepLR", {"step_size": 3}, steps=10)}
    assert "class_path" not in json.dumps(turn_classes({"data": {"run": RUN, "lr": inside}}))
    with pytest.raises(ScheduleError, match="StepLR"):
        turn_classes({"data": {"run": RUN, "lr": class_of("StepLR", {"step_size": "x"})}})


@pytest.mark.parametrize(
    "preset", [one for one in catalogue() if one.text], ids=lambda preset: preset.mark
)
def test_every_situation_can_be_bound_from_its_file(preset: GalleryEntry, tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(saved_text(preset.draft, path.name))
    assert format_of_text(path.read_text(), path.name) == ""
    plan, size = wd.load(path), SimpleNamespace(batch_size=1)
    groups = [
        {"params": [torch.nn.Parameter(torch.ones(1))], **bases, **({"name": name} if name else {})}
        for name, bases in (read(preset.draft.document).bases or {"": {}}).items()
    ]
    ours = torch.optim.SGD(groups, lr=1e-3, momentum=0.9, weight_decay=0.1)
    bind = {"batch_size": wd.Attribute(size, "batch_size")}
    names = {target.name for target in plan.targets}
    scheduler = wd.Scheduler(ours, plan, bind={name: bind[name] for name in names & bind.keys()})
    ours.step()
    # an update of a batch that moves has a number of tokens that only the loop knows
    has_own_tokens = plan.run.clock == "tokens" and "batch_size" in names
    scheduler.step(tokens=1 if has_own_tokens else None)
    assert scheduler.count == 1


@pytest.mark.parametrize("case", CASES)
def test_every_configuration_is_known_and_its_draft_is_its_plan(case: str) -> None:
    settings, known, *_ = CASES[case]
    text = json.dumps(settings)
    assert format_of_text(text, "settings.json")
    question = {"name": "settings.json", "text": text, "known": known, "beside": {}, "files": {}}
    answer = json.loads(json.dumps(import_configuration(question)))
    draft = brought(answer["plan"], answer["report"], "settings.json")
    plan = wd.import_config(settings, report=None, **known)
    assert draft.file == ""
    assert wd.plan_from_dict(read(draft.document).data) == plan
    saved = saved_text(draft, "plan.yaml")
    assert saved.startswith("# From settings.json.\n")
    assert wd.loads(saved) == plan
    (target,) = plan.targets
    rates = rates_of_code(as_torch(plan.to_dict(), plan), optimizer_of(plan.run.lr or 1.0), 1200)
    expected = target.rule.over(plan.run).value(np.arange(1200.0), plan.run.lr or 1.0)
    np.testing.assert_allclose(rates[0], expected, rtol=1e-9, atol=1e-15)


def test_a_plan_is_no_configuration() -> None:
    plans = ["cosine", "lr: cosine", "run: {total_steps: 9}\nlr: {class_path: timm.scheduler.X}"]
    plans += ["lr: {class_path: torch.optim.lr_scheduler.StepLR, init_args: {step_size: 2}}"]
    plans += [to_yaml({"lr": [RISE, "cosine"], "weight_decay": "cosine"}), "[", "- 1\n- 2"]
    assert [format_of_text(text, "plan.yaml") for text in plans] == [""] * len(plans)
    assert format_of_text("_target_: torch.optim.lr_scheduler.StepLR\nstep_size: 2", "a.yaml")
    assert format_of_text("python train.py --learning_rate 2e-5 --max_steps 9", "pasted.yaml")


def test_the_short_names_of_torch_are_torchs() -> None:
    theirs = {
        name
        for name in torch.optim.lr_scheduler.__all__
        if name.endswith(("LR", "Restarts", "Plateau")) and name != "LRScheduler"
    }
    assert theirs <= TORCH_NAMES


def test_a_file_that_a_configuration_names_is_read_with_it_or_told() -> None:
    deepspeed = {"scheduler": {"type": "WarmupLR", "params": {"warmup_num_steps": 10}}}
    arguments = {"deepspeed": "ds.json", "learning_rate": 1e-3, "max_steps": 50}
    arguments["per_device_train_batch_size"] = 8
    question: PlainData = {"name": "a.json", "text": json.dumps(arguments), "known": {}}
    question |= {"beside": {}, "files": {"ds.json": json.dumps(deepspeed)}}
    with_file, without = (
        import_configuration(question),
        import_configuration({**question, "files": {}}),
    )
    assert with_file["plan"] != without["plan"]
    assert any("ds.json was not read" in line for line in without["report"])
    assert not any("not read" in line for line in with_file["report"])


COMPOSER = """scheduler: {name: cosine_with_warmup, t_warmup: 10ba, alpha_f: 0.1}
optimizer: {lr: 6e-4}
max_duration: 100ba
"""
EPOCHS = """lr_scheduler_type: cosine
learning_rate: 2e-5
num_train_epochs: 3
"""


@pytest.mark.usefixtures("answered_here")
def test_a_configuration_of_the_folder_opens_as_a_new_plan(
    page_of: Callable[..., Simulated],
) -> None:
    page = page_of()
    path = page.app.folder.path / "llm.yaml"
    path.write_text(COMPOSER)

    async def act(user: User) -> None:
        user.find(marker="open").click()
        await until(lambda: "composer" in shown(user))
        user.find(marker="file-llm.yaml").click()
        await until(lambda: "From llm.yaml." in shown(user), 60)
        assert "not saved yet" in shown(user)
        user.find(marker="save").click()
        await until(lambda: "As .yaml" in shown(user) or "as .yaml" in shown(user))
        user.find(marker="save-yes").click()
        await until(lambda: (path.parent / "plan.yaml").exists())

    page.visit(act)
    assert path.read_text() == COMPOSER
    assert wd.load(path.parent / "plan.yaml") == wd.import_config(path, report=None)


@pytest.mark.usefixtures("answered_here")
def test_what_a_configuration_leaves_open_is_asked_for(page_of: Callable[..., Simulated]) -> None:
    page = page_of()
    page.app.bring = "args.yaml"
    (page.app.folder.path / "args.yaml").write_text(EPOCHS)

    async def act(user: User) -> None:
        await until(lambda: "“Updates in an epoch”" in shown(user), 60)
        assert "--" not in shown(user)
        user.find(marker="fact-steps_per_epoch").type("many")
        user.find(marker="facts-yes").click()
        await until(lambda: "a number is needed" in shown(user))
        user.find(marker="fact-steps_per_epoch").clear().type("100")
        user.find(marker="facts-yes").click()
        await until(lambda: "From args.yaml." in shown(user), 60)
        await until(lambda: "total_steps: 300" in shown(user))

    page.visit(act)


def test_a_plan_with_a_class_is_turned_before_it_is_saved(
    page_of: Callable[..., Simulated],
) -> None:
    one = class_of("MultiStepLR", {"milestones": [20, 40], "gamma": 0.5})
    page = page_of(Draft(document_from({"run": RUN, "lr": [RISE, one]})))
    path = page.app.folder.path / "plan.yaml"

    async def act(user: User) -> None:
        await until(lambda: "MultiStepLR" in shown(user), 60)
        user.find(marker="save").click()
        await until(lambda: "cannot be trained yet" in shown(user))
        user.find(marker="native-save").click()
        await until(lambda: "It does the same at every update." in shown(user), 60)
        await until(lambda: "as .yaml" in shown(user))
        user.find(marker="save-yes").click()
        await until(path.exists)
        user.find(marker="undo").click()
        await until(lambda: "class_path" in shown(user))

    page.visit(act)
    ours = optimizer_of(1e-3)
    rates = rates_driven(ours, wd.Scheduler(ours, wd.load(path)), 60)[0]
    assert rates[[0, 6, 25, 26, 45, 46]].tolist() == pytest.approx(
        [0.0, 1e-3, 1e-3, 5e-4, 5e-4, 2.5e-4]
    )


def test_classes_with_rates_of_their_own_under_group_patterns_are_refused() -> None:
    cycle = class_of("OneCycleLR", {"max_lr": "%LR% * 10", "total_steps": 60})
    rules = {"groups": {"a": cycle, "*": "cosine"}}
    bases = {"a": {"lr": 1e-4}, "b": {"lr": 1e-3}}
    with pytest.raises(ScheduleError, match="Name one group's base value, and turn its class by"):
        turn_classes({"data": {"run": RUN, "lr": rules}, "bases": bases})


def test_a_factor_keeps_its_shape_where_it_can_and_a_floor_that_moves_is_none() -> None:
    noisy = wd.Noisy(of=wd.Cosine(), spread=0.1, seed=1)
    assert as_factor(wd.Set(wd.Constant(value=0.5)), 0.5, 10)(3) == 1.0
    assert as_factor(wd.Set(noisy), 2.0, 10).over(10)(4) == noisy.over(10)(4) / 2.0
    with pytest.raises(ScheduleError, match="a floor that moves is no factor"):
        as_factor(wd.Scale(wd.Cosine(), low=wd.Cosine(end=0.1)), 1.0, 10)
