"""What a plan drives beside the optimizer: under the run's own length, resumed, branched."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tests.training import small

import warmdown as wd
from warmdown import TrainingError
from warmdown.training import RecordCallback, Task, Trainer, TrainerCallback, run_task

PLAN = wd.Plan.of(
    lr=wd.warmup_cosine(warmup="20%", end=0.1),
    drop=wd.Set(wd.Linear(start=0.0, end=0.5)),
    scale=wd.Linear(start=1.0, end=0.25),
)


class Drops(TrainerCallback):
    """Keeps what each update used."""

    def __init__(self) -> None:
        self.used: list[tuple[float, float]] = []

    def on_train_step_start(self, trainer: Any, **kwargs: Any) -> None:
        self.used.append((trainer.model[3].p, trainer.held.scale))


def bound(
    folder: Path | None = None, *, seed: int = 0, callbacks: Any = ()
) -> tuple[Trainer, dict[str, Any]]:
    """Return a trainer, and what binds its dropout and a number on an object."""
    trainer = small.make(folder, callbacks, seed=seed)
    trainer.held = SimpleNamespace(scale=2.0)  # type: ignore[attr-defined]
    bind = {
        "drop": wd.Attribute(trainer.model[3], "p"),  # type: ignore[index]
        "scale": wd.Attribute(trainer.held, "scale"),  # type: ignore[attr-defined]
    }
    return trainer, {"plan": PLAN, "bind": bind}


def test_every_update_uses_what_the_plan_has_for_the_real_length() -> None:
    drops = Drops()
    trainer, told = bound(callbacks=[drops])
    small.train(trainer, **told)
    steps = range(39)
    assert [drop for drop, _ in drops.used] == pytest.approx([0.5 * step / 39 for step in steps])
    scales = [2.0 * (1 - 0.75 * step / 39) for step in steps]
    assert [scale for _, scale in drops.used] == pytest.approx(scales)
    assert (trainer.model[3].p, trainer.held.scale) == (0.5, 0.5)  # type: ignore[index, attr-defined]


def test_a_second_run_begins_from_the_base_that_the_first_found() -> None:
    drops = Drops()
    trainer, told = bound(callbacks=[drops])
    small.train(trainer, **told)
    small.train(trainer, **told)
    assert drops.used[39:] == drops.used[:39]
    trainer.held.scale = 3.0  # type: ignore[attr-defined]
    small.train(trainer, **told)
    assert drops.used[78] == (0.0, 3.0)
    small.train(trainer)  # drives neither: both stay as the run left them
    assert trainer.held.scale == 0.75  # type: ignore[attr-defined]


@pytest.mark.parametrize("after", [1, 17, 26])
def test_a_resumed_run_drives_them_on_bit_for_bit(after: int, tmp_path: Path) -> None:
    drops = Drops()
    whole, told = bound(callbacks=[drops])
    digest = small.train(whole, **told)
    cut, told = bound(tmp_path, callbacks=[small.Stop(after)])
    with pytest.raises(TrainingError, match="on purpose"):
        small.train(cut, **told)
    more = Drops()
    again, told = bound(tmp_path, seed=9, callbacks=[more])
    assert small.train(again, **told, resume_from=tmp_path / "checkpoints") == digest
    assert more.used == drops.used[after:]


def test_a_checkpoint_resumes_with_batches_of_another_size(tmp_path: Path) -> None:
    cut, told = bound(tmp_path, callbacks=[small.Stop(13)])
    with pytest.raises(TrainingError, match="on purpose"):
        small.train(cut, **told)
    reached = cut.model[3].p  # type: ignore[index]
    drops = Drops()
    again, told = bound(tmp_path, callbacks=[drops])
    small.train(again, **told, per_device_batch_size=8, resume_from=tmp_path / "checkpoints")
    assert drops.used[0][0] == pytest.approx(reached)
    assert (again.model[3].p, again.held.scale) == pytest.approx((0.5, 0.5))  # type: ignore[index, attr-defined]


def test_cooldowns_drive_them_and_return_them_to_the_trunk(tmp_path: Path) -> None:
    trainer = small.make(tmp_path, every=13)
    dropout: Any = trainer.model[3]  # type: ignore[index]
    plan = wd.Plan.of(lr=wd.Constant(), drop=wd.Set(wd.Linear(start=0.0, end=0.5)))
    small.train(trainer, plan=plan, bind={"drop": wd.Attribute(dropout, "p")})
    trunk = tmp_path / "checkpoints" / "update-00000013"
    for branch in trainer.branch_cooldowns(trunk, [6, 13]):
        used = branch.record.curve("drop")[1]
        assert used == pytest.approx([0.5 * step / 39 for step in range(13, branch.stop)])
    assert dropout.p == pytest.approx(0.5 * 13 / 39)


def test_a_function_is_driven() -> None:
    seen: list[float] = []
    trainer = small.make(callbacks=[RecordCallback()])
    small.train(
        trainer,
        plan=wd.Plan.of(lr=wd.Cosine(), kl=wd.Set(wd.Linear(start=0.0, end=1.0))),
        bind={"kl": seen.append},
    )
    assert seen == pytest.approx([step / 39 for step in range(40)])


def test_a_list_of_objects_is_driven_again_from_where_it_began(tmp_path: Path) -> None:
    trainer = small.make(tmp_path, every=13)
    blocks = [SimpleNamespace(p=0.4, size=8), SimpleNamespace(p=0.2, size=4)]
    told: dict[str, Any] = {
        "plan": wd.Plan.of(lr=wd.Cosine(), p=wd.Linear(), size=wd.Linear(start=1.0, end=0.5)),
        "bind": {
            "p": [wd.Attribute(block, "p") for block in blocks],
            "size": [wd.Attribute(block, "size") for block in blocks],
        },
    }
    small.train(trainer, **told)
    assert [(block.p, block.size) for block in blocks] == [(0.0, 4), (0.0, 2)]
    halfway = tmp_path / "checkpoints" / "update-00000026"
    small.train(trainer, **told, max_num_train_steps=39, resume_from=halfway, on_change="given")
    assert [(block.p, block.size) for block in blocks] == [(0.0, 4), (0.0, 2)]
    small.train(trainer, **told)
    assert [(block.p, block.size) for block in blocks] == [(0.0, 4), (0.0, 2)]
    trainer.load_training_state(tmp_path / "checkpoints" / "update-00000013")
    assert [block.p for block in blocks] == pytest.approx([0.4 * 26 / 39, 0.2 * 26 / 39])
    assert [block.size for block in blocks] == [7, 3]
    assert all(isinstance(block.size, int) for block in blocks)


@pytest.mark.parametrize("plan", [None, lambda optimizer: None], ids=["none", "factory"])
def test_objects_without_a_plan_are_refused(plan: Any) -> None:
    trainer, told = bound()
    with pytest.raises(TrainingError, match=r"bind={'drop', 'scale': …}\): there is no plan"):
        small.train(trainer, **{**told, "plan": plan})


def test_a_task_brings_along_what_a_plan_may_drive() -> None:
    outcome = run_task("tests.training.test_bind:droppy", PLAN, epochs=1)
    assert outcome.record.curve("drop")[1] == pytest.approx([0.5 * step / 13 for step in range(13)])
    assert run_task("tests.training.test_bind:droppy", wd.Constant(), epochs=1).updates == 13
    assert run_task("tests.training.test_bind:droppy", epochs=1).updates == 13


def droppy() -> Task:
    """Return a task whose dropout and a number can be driven."""
    model: Any = small.network()
    return Task(
        model=model,
        loss=torch.nn.functional.mse_loss,
        train=small.Plain(),
        batch_size=4,
        bind={
            "drop": wd.Attribute(model[3], "p"),
            "scale": wd.Attribute(SimpleNamespace(scale=2.0), "scale"),
        },
    )
