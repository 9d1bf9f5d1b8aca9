"""A plan by the path of ``PlanLR`` in other programs' factories: every update, and resumed."""

from __future__ import annotations

import ast
import logging
import warnings
from collections.abc import Iterator
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from docs import make_fields
from torch.optim.lr_scheduler import LambdaLR, SequentialLR
from torch.utils.data import DataLoader, TensorDataset

import warmdown as wd
from warmdown.compat.lr_scheduler import PlanLR
from warmdown.errors import PastEnd

PATH, RATE, STEPS = "warmdown.compat.lr_scheduler.PlanLR", 1e-2, 12
PLAN = wd.Plan.of(
    lr=wd.warmup_cosine(warmup=3, end=0.1),
    weight_decay=wd.Set(wd.Linear(start=0.1, end=0.0)),
)


@pytest.fixture(autouse=True)
def _quiet_programs() -> Iterator[None]:
    """Let other libraries say what they like of their own doings; ours must stay silent."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.filterwarnings("error", category=wd.WarmdownWarning)
        logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
        yield


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return wd.save(PLAN, tmp_path / "plan.yaml")


def adamw() -> Any:
    return torch.optim.AdamW([torch.nn.Parameter(torch.ones(2))], lr=RATE)


def values(optimizer: Any) -> tuple[float, float]:
    group = optimizer.param_groups[0]
    return group["lr"], group["weight_decay"]


def trained(optimizer: Any, scheduler: Any, updates: int) -> list[tuple[float, float]]:
    """Return rate and weight decay of each update."""
    used = []
    for _ in range(updates):
        used.append(values(optimizer))
        optimizer.param_groups[0]["params"][0].square().sum().backward()
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
    return used


def whole() -> list[tuple[float, float]]:
    optimizer = adamw()
    return trained(optimizer, wd.Scheduler(optimizer, PLAN, total_steps=STEPS), STEPS)


def onetrainer(
    optimizer: Any, name: str, parameters: dict[str, str], *, global_step: int = 0, warmup: int = 0
) -> Any:
    """Make a custom scheduler as OneTrainer does: literals and placeholders from a window."""
    module, _, cls = name.rpartition(".")
    known = {"%LR%": RATE, "%TOTAL_STEPS%": STEPS, "%SCHEDULER_STEPS%": STEPS - warmup}
    arguments = {
        key: known[text] if text in known else ast.literal_eval(text)
        for key, text in parameters.items()
    }
    last = global_step - 1
    made = getattr(import_module(module), cls)(optimizer=optimizer, last_epoch=last, **arguments)
    if warmup:
        before = LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / warmup), last_epoch=last)
        made = SequentialLR(optimizer, [before, made], [warmup], last_epoch=last)
    return made


def from_the_picture(file: Path) -> dict[str, str]:
    """Return the fields as the page shows them, with the path of this run's plan."""
    return {
        key: value.replace("plan.yaml", str(file)) for key, value in make_fields.PARAMETERS.items()
    }


def test_onetrainers_window_makes_it_and_a_backup_goes_on(file: Path) -> None:
    optimizer = adamw()
    scheduler = onetrainer(optimizer, make_fields.CLASS, from_the_picture(file))
    used = trained(optimizer, scheduler, 5)
    assert scheduler.get_last_lr() == [values(optimizer)[0]]  # what it logs
    backup = optimizer.state_dict()  # it saves no scheduler
    again = adamw()
    again.load_state_dict(backup)
    resumed = onetrainer(again, make_fields.CLASS, from_the_picture(file), global_step=5)
    assert used + trained(again, resumed, STEPS - 5) == whole()


def test_onetrainers_own_warmup_stands_before_the_plan(file: Path) -> None:
    wd.save(wd.Plan.of(lr=wd.Cosine(end=0.1)), file)
    parameters = {"plan": f'"{file}"', "total_steps": "%SCHEDULER_STEPS%"}
    optimizer = adamw()
    scheduler = onetrainer(optimizer, PATH, parameters, warmup=4)
    rates = [rate for rate, _ in trained(optimizer, scheduler, STEPS)]
    alone = adamw()
    after = trained(alone, wd.Scheduler(alone, lr=wd.Cosine(end=0.1), total_steps=8), 8)
    expected = [RATE * (step + 1) / 4 for step in range(4)] + [rate for rate, _ in after]
    assert rates == pytest.approx(expected, rel=1e-12)


def kohya(optimizer: Any, kind: str, arguments: list[str]) -> Any:
    """Make it as kohya's scripts do: ``--lr_scheduler_type`` and NAME=LITERAL."""
    module, _, cls = kind.rpartition(".")
    given = dict(one.split("=", 1) for one in arguments)
    literals = {name: ast.literal_eval(text) for name, text in given.items()}
    home: Any = import_module(module) if module else torch.optim.lr_scheduler
    return getattr(home, cls)(optimizer, **literals)


def test_kohyas_scripts_make_it_and_accelerates_state_goes_on(file: Path, tmp_path: Path) -> None:
    accelerate = pytest.importorskip("accelerate")
    used = []
    for resumes in (False, True):
        accelerator = accelerate.Accelerator(cpu=True)
        inner = adamw()
        made = kohya(inner, PATH, [f"plan='{file}'", f"total_steps={STEPS}"])
        optimizer, scheduler = accelerator.prepare(inner, made)
        if resumes:
            accelerator.load_state(str(tmp_path / "state"))
        used += trained(optimizer, scheduler, STEPS // 2)
        if not resumes:
            assert scheduler.get_last_lr() == [values(inner)[0]]
            accelerator.save_state(str(tmp_path / "state"))
        accelerator.free_memory()
    assert used == whole()


@pytest.mark.parametrize("nested", [False, True])
def test_hydra_instantiates_it_from_a_file_or_from_the_plan_itself(
    nested: bool, file: Path
) -> None:
    utils = pytest.importorskip("hydra.utils")
    omegaconf = pytest.importorskip("omegaconf")
    plan: Any = str(file)
    if nested:
        rate = {"kind": "warmup_cosine", "warmup": 3, "end": 0.1}
        decay = {"set": {"kind": "linear", "start": 0.1, "end": 0.0}}
        plan = {"lr": rate, "weight_decay": decay}
    config = omegaconf.OmegaConf.create(
        {"_target_": PATH, "_partial_": True, "plan": plan, "total_steps": STEPS}
    )
    optimizer = adamw()
    scheduler = utils.instantiate(config)(optimizer)
    used = trained(optimizer, scheduler, 5)
    again = adamw()
    resumed = utils.instantiate(config)(again)
    again.load_state_dict(optimizer.state_dict())
    resumed.load_state_dict(scheduler.state_dict())
    assert used + trained(again, resumed, STEPS - 5) == whole()


def test_ignites_wrapper_drives_it_saves_it_and_goes_on(file: Path) -> None:
    ignite: Any = pytest.importorskip("ignite.handlers.param_scheduler")
    used: list[tuple[float, float]] = []
    states: Any = None
    for updates in (5, STEPS - 5):
        optimizer = adamw()
        handler = ignite.LRScheduler(PlanLR(optimizer, str(file), total_steps=STEPS))
        if states is not None:
            optimizer.load_state_dict(states[0])
            handler.load_state_dict(states[1])
        for _ in range(updates):
            handler(None)  # before each iteration
            used.append(values(optimizer))
            optimizer.step()
        states = optimizer.state_dict(), handler.state_dict()
    assert [rate for rate, _ in used] == pytest.approx([rate for rate, _ in whole()])


def test_pytorch_accelerateds_trainer_makes_it_and_goes_on(file: Path, tmp_path: Path) -> None:
    theirs: Any = pytest.importorskip("pytorch_accelerated")
    used: list[tuple[float, float]] = []
    warnings.filterwarnings("ignore", category=PastEnd)  # resumed, it makes more than is left

    class Trainer(theirs.Trainer):  # type: ignore[misc]
        def optimizer_step(self) -> None:
            used.append(values(self.optimizer))
            super().optimizer_step()

        def train_epoch_start(self) -> None:
            super().train_epoch_start()
            if self.run_history.current_epoch == 3 and not state.exists():
                self.save_training_state(str(state))

    data = TensorDataset(torch.ones(6, 2), torch.ones(6, 1))
    state = tmp_path / "state"
    for resumed in ({}, {"resume_from": str(state)}):
        model = torch.nn.Linear(2, 1)
        optimizer = torch.optim.AdamW(model.parameters(), lr=RATE)
        trainer = Trainer(model, torch.nn.functional.mse_loss, optimizer, callbacks=())
        trainer.train(
            data,
            num_epochs=4,
            per_device_batch_size=2,
            create_scheduler_fn=partial(PlanLR, plan=str(file), total_steps=STEPS),
            train_dataloader_kwargs={"num_workers": 0},
            **resumed,
        )
    assert used[: STEPS + 6] == whole() + whole()[6:]


def test_lightnings_command_line_makes_it_and_goes_on(file: Path, tmp_path: Path) -> None:
    pytest.importorskip("typeshed_client")  # jsonargparse[signatures], which that needs
    cli = pytest.importorskip("lightning.pytorch.cli")
    lightning = pytest.importorskip("lightning")
    used: list[tuple[float, float]] = []

    class Module(lightning.LightningModule):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(2, 1)

        def training_step(self, batch: Any) -> Any:
            return self.layer(batch[0]).square().mean()

        def on_before_optimizer_step(self, optimizer: Any) -> None:
            used.append(values(optimizer))

        def train_dataloader(self) -> Any:
            return DataLoader(TensorDataset(torch.ones(6, 2)))

    config = tmp_path / "config.yaml"
    config.write_text(
        f"""
optimizer: {{class_path: torch.optim.AdamW, init_args: {{lr: {RATE}}}}}
lr_scheduler:
  class_path: {PATH}
  init_args: {{plan: {file}, total_steps: {STEPS}, auto: true}}
trainer: {{accelerator: cpu, logger: false, enable_progress_bar: false}}
""",
        encoding="utf-8",
    )
    folder = f"--trainer.default_root_dir={tmp_path}"
    fit = ["fit", "--config", str(config), folder]
    first = cli.LightningCLI(
        Module, args=[*fit, "--trainer.max_epochs=1"], save_config_callback=None
    )
    first.trainer.save_checkpoint(tmp_path / "half.ckpt")
    again = [*fit, "--trainer.max_epochs=2", f"--ckpt_path={tmp_path / 'half.ckpt'}"]
    cli.LightningCLI(Module, args=again, save_config_callback=None)
    assert used == whole()


def test_the_picture_of_the_window_is_the_one_that_is_drawn() -> None:
    kept = make_fields.DOCS / "bring" / "onetrainer.svg"
    assert kept.read_text(encoding="utf-8") == make_fields.draw(), "python docs/make_fields.py"
