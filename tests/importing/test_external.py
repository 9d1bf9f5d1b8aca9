"""Other libraries' classes, looked at."""

from __future__ import annotations

import subprocess
import sys
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from torch.optim import lr_scheduler

import warmdown as wd
from warmdown.compat import schedulers
from warmdown.errors import ScheduleError, SpecError
from warmdown.importing.imported import MAX_STEPS

RUN = wd.Run(total_steps=30, lr=0.05)


def stepped(make: Any, steps: int = 30, base: float = 0.05) -> list[float]:
    """Return the rates that a scheduler really gives, as a training loop would see them."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=base, momentum=0.9)
    scheduler, rates = make(optimizer), []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


@pytest.mark.parametrize(
    ("name", "init_args"),
    [
        ("StepLR", {"step_size": 7, "gamma": 0.5}),
        ("MultiStepLR", {"milestones": [5, 10], "gamma": 0.5}),
        ("CosineAnnealingLR", {"T_max": 30, "eta_min": 1e-3}),
        ("CosineAnnealingWarmRestarts", {"T_0": 7, "T_mult": 2}),
        ("OneCycleLR", {"max_lr": 0.1, "total_steps": 30}),
        ("CyclicLR", {"base_lr": 0.01, "max_lr": 0.1, "step_size_up": 4}),
        ("PolynomialLR", {"total_iters": 20, "power": 2.0}),
        ("ExponentialLR", {"gamma": 0.9}),
    ],
)
def test_a_preview_is_what_the_real_class_does(name: str, init_args: dict[str, Any]) -> None:
    preview = wd.loads(
        f"lr: {{class_path: torch.optim.lr_scheduler.{name}, init_args: {init_args}}}".replace(
            "'", ""
        ),
        run=RUN,
    ).over()
    values = preview.targets[0].rule.value(np.arange(30), base=0.05)
    np.testing.assert_allclose(
        values, stepped(lambda o: getattr(lr_scheduler, name)(o, **init_args)), rtol=1e-14
    )


def test_schedulers_inside_schedulers_share_the_optimizer() -> None:
    path = "torch.optim.lr_scheduler"
    data = {
        "class_path": f"{path}.SequentialLR",
        "init_args": {
            "schedulers": [
                {
                    "class_path": f"{path}.LinearLR",
                    "init_args": {"start_factor": 0.1, "total_iters": 5},
                },
                {"class_path": f"{path}.ExponentialLR", "init_args": {"gamma": 0.9}},
            ],
            "milestones": [5],
        },
    }

    def real(optimizer: Any) -> Any:
        warmup = lr_scheduler.LinearLR(optimizer, start_factor=0.1, total_iters=5)
        return lr_scheduler.SequentialLR(
            optimizer, [warmup, lr_scheduler.ExponentialLR(optimizer, 0.9)], [5]
        )

    values = wd.from_dict(data).over(RUN)(np.arange(30)) * 0.05
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        np.testing.assert_allclose(values, stepped(real), rtol=1e-14)


def test_a_function_that_makes_a_scheduler_is_previewed_too() -> None:
    transformers = pytest.importorskip("transformers")
    data = {
        "class_path": "transformers.get_linear_schedule_with_warmup",
        "init_args": {"num_warmup_steps": 5, "num_training_steps": 30},
    }
    real = stepped(lambda o: transformers.get_linear_schedule_with_warmup(o, 5, 30))
    np.testing.assert_allclose(wd.from_dict(data).over(RUN)(np.arange(30)) * 0.05, real, rtol=1e-14)


def test_a_class_that_counts_by_itself_is_stepped_once_an_update() -> None:
    theirs = pytest.importorskip("pytorch_accelerated.schedulers")
    init_args = {"total_num_epochs": 3, "num_update_steps_per_epoch": 10}
    data = {
        "class_path": "pytorch_accelerated.schedulers.CosineLrScheduler",
        "init_args": init_args,
    }
    real = stepped(lambda o: theirs.CosineLrScheduler(o, **init_args))
    preview = wd.from_dict(data, allow=["pytorch_accelerated"]).over(RUN)
    np.testing.assert_allclose(preview(np.arange(30)) * 0.05, real, rtol=1e-14)


def test_a_scheduler_of_ours_counts_the_updates_of_the_preview() -> None:
    init_args = {"total_num_epochs": 3, "num_update_steps_per_epoch": 10}
    preview = wd.from_dict(
        {"class_path": "warmdown.compat.schedulers.CosineLrScheduler", "init_args": init_args}
    )
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.05)
    scheduler, real = schedulers.CosineLrScheduler(optimizer, **init_args), []
    for _ in range(30):
        real.append(optimizer.param_groups[0]["lr"])
        optimizer.param_groups[0]["params"][0].grad = torch.zeros(1)
        optimizer.step()
        scheduler.step()
    np.testing.assert_allclose(preview.over(RUN)(np.arange(30)) * 0.05, real, rtol=1e-14)
    assert len(set(real)) > 25


class Told:
    """A scheduler in timm's manner: it is told the number of the step."""

    def __init__(self, optimizer: Any, in_epochs: bool = True) -> None:
        self.optimizer, self.in_epochs = optimizer, in_epochs

    def step(self, epoch: int, metric: float | None = None) -> None:
        """Take the number of epochs that are over."""
        if self.in_epochs:
            self.optimizer.param_groups[0]["lr"] = 1.0 / (1 + epoch)

    def step_update(self, num_updates: int) -> None:
        """Take the number of updates that were made."""
        if not self.in_epochs:
            self.optimizer.param_groups[0]["lr"] = 1.0 / (1 + num_updates)


@pytest.mark.parametrize("in_epochs", [True, False])
def test_a_class_in_timms_manner_is_told_the_step(in_epochs: bool) -> None:
    preview = wd.External(
        class_path=f"{__name__}.Told", init_args={"in_epochs": in_epochs}, allow=(__name__,)
    )
    sys.modules.setdefault(__name__, sys.modules[Told.__module__])
    np.testing.assert_allclose(
        preview.over(wd.Run(total_steps=5))(np.arange(5)), [1, 1 / 2, 1 / 3, 1 / 4, 1 / 5]
    )


@pytest.mark.parametrize(
    ("name", "init_args", "said"),
    [
        ("ReduceLROnPlateau", {}, "its step needs metrics, which only a run can tell"),
        ("LambdaLR", {"lr_lambda": "x"}, "TypeError: 'str' object is not callable"),
        ("OneCycleLR", {"max_lr": 0.1, "total_steps": 10}, "ValueError: Tried to step 11 times"),
        ("StepLR", {}, "StepLR needs 'step_size'. Give it"),
    ],
)
def test_what_the_class_refuses_is_told_in_its_words(
    name: str, init_args: dict[str, Any], said: str
) -> None:
    preview = wd.External(class_path=f"torch.optim.lr_scheduler.{name}", init_args=init_args).over(
        RUN
    )
    with pytest.raises(ScheduleError, match=said):
        preview(0)


def test_arguments_are_checked_when_the_text_is_read() -> None:
    path = "torch.optim.lr_scheduler"
    inner = {"class_path": f"{path}.LinearLR", "init_args": {"total_iter": 5}}
    with pytest.raises(SpecError) as caught:
        wd.loads(
            f"lr: {{class_path: {path}.StepLR, init_args: {{step_sice: 3}}}}\n"
            f"wd: {{class_path: {path}.SequentialLR, "
            f"init_args: {{schedulers: [{inner}], milestones: [.nan]}}}}"
        )
    assert [mistake.split(": ")[0] for mistake in caught.value.mistakes] == [
        "lr.init_args.step_sice",
        "lr.init_args",
        "wd.init_args.schedulers[0].init_args.total_iter",
        "wd.init_args.milestones[0]",
    ]


def test_placeholders_stand_in_arguments() -> None:
    data = {
        "class_path": "torch.optim.lr_scheduler.OneCycleLR",
        "init_args": {
            "max_lr": "%LR% * 10",
            "total_steps": "%TOTAL_STEPS%",
            "anneal_strategy": "linear",
        },
    }
    preview = wd.from_dict(data, run=RUN)
    assert preview.to_dict()["init_args"] == {
        "max_lr": 0.5,
        "total_steps": 30,
        "anneal_strategy": "linear",
    }
    assert max(preview.over(RUN)(np.arange(30))) == pytest.approx(10)


def test_a_preview_is_a_value() -> None:
    data = {
        "class_path": "torch.optim.lr_scheduler.StepLR",
        "init_args": {"step_size": "7", "gamma": "1e-1"},
    }
    preview = wd.from_dict(data)
    same = wd.External(class_path=data["class_path"], init_args={"step_size": 7, "gamma": 0.1})  # type: ignore[arg-type]
    assert preview == same
    assert hash(preview) == hash(same)
    assert eval(repr(preview), {"External": wd.External}) == preview  # noqa: S307  # a repr can be evaluated
    for one in (preview, preview.over(RUN), preview.named("stairs")):
        assert wd.from_dict(one.to_dict()) == one
    assert [phase.name for phase in preview.over(RUN).phases()] == ["StepLR"]


def test_a_preview_goes_into_a_chain_and_past_its_end_it_holds() -> None:
    data = [{"kind": "linear", "start": 0.0, "end": 1.0, "steps": 10},
            {"class_path": "torch.optim.lr_scheduler.StepLR",
             "init_args": {"step_size": 10, "gamma": 0.5}}]  # fmt: skip
    chain = wd.from_dict(data).over(RUN)
    assert chain([0, 5, 10, 19, 20, 29, 30, 99]).tolist() == [0, 0.5, 1, 1, 0.5, 0.5, 0.25, 0.25]


def test_a_run_without_a_rate_is_previewed_from_one() -> None:
    preview = wd.External(
        class_path="torch.optim.lr_scheduler.ExponentialLR", init_args={"gamma": 0.5}
    )
    assert preview.over(wd.Run(total_steps=3))([0, 1, 2]).tolist() == [1, 0.5, 0.25]


def test_a_preview_walks_no_further_than_it_may() -> None:
    preview = wd.External(
        class_path="torch.optim.lr_scheduler.ExponentialLR", init_args={"gamma": 0.5}
    )
    with pytest.raises(
        ScheduleError,
        match=r"walks at most 1,000,000 steps\. Preview a shorter "
        r"run",
    ):
        preview.over(wd.Run(total_steps=MAX_STEPS + 1))


def test_a_preview_is_not_for_tensors() -> None:
    preview = wd.External(
        class_path="torch.optim.lr_scheduler.ExponentialLR", init_args={"gamma": 0.5}
    ).over(RUN)
    with pytest.raises(
        ScheduleError,
        match=r"a preview is not asked with a Tensor\. Train with "
        r"the class itself",
    ):
        preview(torch.arange(3))


def test_a_preview_does_not_drive_a_run() -> None:
    data = [{"kind": "linear", "steps": 5}, {"class_path": "torch.optim.lr_scheduler.ExponentialLR",
             "init_args": {"gamma": 0.5}}]  # fmt: skip
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    with pytest.raises(
        ScheduleError,
        match=r"Scheduler\(lr\): a preview.*Train with the class "
        r"itself, or use a shape",
    ):
        wd.Scheduler(optimizer, wd.plan_from_dict({"lr": data}), run=RUN)


def test_what_was_allowed_is_not_part_of_the_data() -> None:
    preview = wd.External(class_path="os.system", init_args={"command": "true"}, allow=("nowhere",))
    assert "allow" not in preview.to_dict()
    with pytest.raises(ScheduleError, match="not imported"):
        preview.over(RUN)(0)


def test_without_torch_the_extra_is_named() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import warmdown as wd\n"
        "try: wd.loads('lr: {class_path: torch.optim.lr_scheduler.ExponentialLR, init_args: "
        "{gamma: 0.5}}')\n"
        "except wd.SpecError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "needs torch: pip install 'warmdown[torch]'" in done.stdout


@pytest.mark.parametrize(
    ("path", "init_args", "name"),
    [
        ("get_polynomial_decay_schedule_with_warmup", {"lr_end": 0.1}, "lr_end"),
        (
            "get_scheduler",
            {"name": "cosine_with_min_lr", "scheduler_specific_kwargs": {"min_lr": 0.1}},
            "min_lr",
        ),
    ],
)
def test_an_absolute_rate_needs_the_base_rate(
    path: str, init_args: dict[str, Any], name: str
) -> None:
    steps = {"num_warmup_steps": 0, "num_training_steps": 10}
    preview = wd.External(class_path=f"transformers.{path}", init_args={**init_args, **steps})
    with pytest.raises(ScheduleError, match=rf"{name}=.*base learning rate.*lr="):
        preview.over(wd.Run(total_steps=10))
    assert preview.over(wd.Run(total_steps=10, lr=0.5))(10) == pytest.approx(0.2)
