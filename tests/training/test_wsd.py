"""A trunk and its decays: saved before and after each, gone on with, branched, made longer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.training import small

import warmdown as wd
from warmdown import Record, TrainingError
from warmdown.compat.schedulers import WSDLrScheduler
from warmdown.training import (
    RecordCallback,
    SaveTrainingStateCallback,
    Trainer,
    TrainerCallback,
    WSDCheckpointCallback,
    digest_of_weights,
)

DECAYS = wd.wsd_s(warmup=4, periods=[20, 20], decay=0.25, shape="linear", end=0.1)
TRUNK = wd.Linear(start=0.0, end=1.0, steps=4) >> wd.Constant()


def run(*callbacks: Any, **told: Any) -> Trainer:
    trainer = small.make(
        callbacks=[RecordCallback(), *callbacks], model=small.linear, seed=told.pop("seed", 0)
    )
    small.train(trainer, **told)
    return trainer


def rates(trainer: Trainer) -> list[float]:
    (recorder,) = (one for one in trainer.callback_handler if isinstance(one, RecordCallback))
    return recorder.record.curve("lr/0")[1]


def test_everything_is_saved_before_the_first_decayed_update_and_the_model_after_the_last(
    tmp_path: Path,
) -> None:
    run(WSDCheckpointCallback(tmp_path), plan=DECAYS, max_num_train_steps=40)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "checkpoint_15_pre_decay", "checkpoint_20_post_decay.pt",
        "checkpoint_35_pre_decay", "checkpoint_40_post_decay.pt",
    ]  # fmt: skip


def test_the_drop_in_scheduler_has_its_decays_saved_too(tmp_path: Path) -> None:
    factory = WSDLrScheduler.create_scheduler_fn(num_warmup_epochs=0, num_checkpoints=2)
    run(WSDCheckpointCallback(tmp_path), plan=None, create_scheduler_fn=factory, num_epochs=4)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [
        "checkpoint_24_pre_decay", "checkpoint_26_post_decay.pt",
        "checkpoint_50_pre_decay", "checkpoint_52_post_decay.pt",
    ]  # fmt: skip


def test_the_state_before_a_decay_resumes_bit_for_bit(tmp_path: Path) -> None:
    whole = run(WSDCheckpointCallback(tmp_path), plan=DECAYS, max_num_train_steps=40)
    again = run(
        plan=DECAYS,
        max_num_train_steps=40,
        resume_from=tmp_path / "checkpoint_35_pre_decay",
        seed=3,
    )
    assert digest_of_weights(again.model) == digest_of_weights(whole.model)


@pytest.mark.parametrize("name", ["checkpoint_35_pre_decay", "checkpoint_40_post_decay.pt"])
def test_another_run_begins_from_before_or_after_a_decay(name: str, tmp_path: Path) -> None:
    first = run(WSDCheckpointCallback(tmp_path), plan=DECAYS, max_num_train_steps=40)
    flat = wd.Constant(steps=10).named("stable") >> wd.Linear(start=1.0, end=0.0, steps=5).named(
        "decay"
    )
    callback = WSDCheckpointCallback(tmp_path / "next", initial_checkpoint=tmp_path / name)
    second = run(callback, plan=flat, max_num_train_steps=15, seed=9)
    assert rates(second)[:10] == pytest.approx([0.02] * 10)
    assert second.progress.updates == 15
    moments = second.optimizer.state_dict()["state"][0]["step"].item()
    assert moments == (35 if "pre" in name else 40) + 15
    assert digest_of_weights(first.model) != digest_of_weights(second.model)


@pytest.mark.filterwarnings("ignore:WSDLrScheduler:UserWarning")
def test_the_drop_in_scheduler_goes_on_with_a_fresh_stable_phase(tmp_path: Path) -> None:
    first = WSDLrScheduler.create_scheduler_fn(num_warmup_epochs=0)
    run(WSDCheckpointCallback(tmp_path), plan=None, create_scheduler_fn=first, num_epochs=3)
    again = WSDLrScheduler.create_scheduler_fn(
        is_continuation_from_checkpoint=True, decay_phase_ratio=0.2
    )
    callback = WSDCheckpointCallback(
        tmp_path / "next", initial_checkpoint=tmp_path / "checkpoint_39_post_decay.pt"
    )
    second = run(callback, plan=None, create_scheduler_fn=again, num_epochs=2)
    assert rates(second)[:20] == pytest.approx([0.02] * 20)
    assert rates(second)[-1] < 0.015


AGAIN = WSDLrScheduler.create_scheduler_fn(
    is_continuation_from_checkpoint=True, decay_phase_ratio=0.2
)
FLAT = wd.Constant(steps=20).named("stable") >> wd.Linear(start=1.0, end=0.0, steps="rest").named(
    "decay"
)


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with its two checkpoints, made by the drop-in scheduler."""
    folder = tmp_path_factory.mktemp("before")
    factory = WSDLrScheduler.create_scheduler_fn(num_warmup_epochs=0)
    run(WSDCheckpointCallback(folder), plan=None, create_scheduler_fn=factory, num_epochs=3)
    return folder


@pytest.mark.filterwarnings("ignore:WSDLrScheduler:UserWarning")
@pytest.mark.parametrize(
    "told", [{"plan": None, "create_scheduler_fn": AGAIN}, {"plan": FLAT}], ids=["drop-in", "plan"]
)
@pytest.mark.parametrize("name", ["checkpoint_36_pre_decay", "checkpoint_39_post_decay.pt"])
def test_a_continuation_that_is_broken_off_twice_does_not_begin_afresh_again(
    name: str, told: dict[str, Any], before: Path, tmp_path: Path
) -> None:
    def go_on(*more: Any, **resumed: Any) -> Trainer:
        begins = WSDCheckpointCallback(tmp_path / "next", initial_checkpoint=before / name)
        kept = SaveTrainingStateCallback(tmp_path / "kept")
        return run(
            begins, *more, *([kept] if more or resumed else []), num_epochs=2, **told, **resumed
        )

    whole = go_on()
    with pytest.raises(TrainingError, match="update 7 is saved"):
        go_on(small.Stop(7))
    with pytest.raises(TrainingError, match="update 22 is saved"):
        go_on(small.Stop(22), resume_from=tmp_path / "kept")
    last = go_on(resume_from=tmp_path / "kept")
    assert rates(whole)[19] == pytest.approx(0.02)
    assert rates(whole)[-1] < 0.015
    assert rates(last) == rates(whole)[22:]
    assert digest_of_weights(last.model) == digest_of_weights(whole.model)


def test_the_run_before_a_continuation_is_no_place_to_resume_it_from(before: Path) -> None:
    with pytest.raises(
        TrainingError,
        match=r"of the run before it\. Begin from that one by "
        r"WSDCheckpointCallback",
    ):
        run(
            plan=None,
            create_scheduler_fn=AGAIN,
            num_epochs=4,
            resume_from=before / "checkpoint_36_pre_decay",
        )


def test_weights_alone_are_enough_to_go_on_from(tmp_path: Path) -> None:
    bare = WSDCheckpointCallback(tmp_path, save_optimizer=False, save_scheduler=False)
    run(bare, plan=DECAYS, max_num_train_steps=40)
    for told in ({"plan": None, "create_scheduler_fn": AGAIN}, {"plan": FLAT}):
        begins = WSDCheckpointCallback(
            tmp_path / "next", initial_checkpoint=tmp_path / "checkpoint_40_post_decay.pt"
        )
        second = run(begins, num_epochs=2, **told)
        assert rates(second)[:20] == pytest.approx([0.02] * 20)


def test_a_plan_without_a_decay_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no decay that it could save before"):
        run(WSDCheckpointCallback(tmp_path), plan=wd.Constant())


def test_a_checkpoint_to_begin_from_that_is_not_there_is_named(tmp_path: Path) -> None:
    callback = WSDCheckpointCallback(tmp_path, initial_checkpoint=tmp_path / "lost.pt")
    with pytest.raises(TrainingError, match=r"lost\.pt'\): it is not there"):
        run(callback, plan=DECAYS, max_num_train_steps=40)


def trunk(folder: Path) -> Trainer:
    callback = SaveTrainingStateCallback(folder, save_every_n_steps=20)
    return run(callback, plan=TRUNK, max_num_train_steps=40)


def test_one_trunk_gives_a_cooldown_of_each_length(tmp_path: Path) -> None:
    trainer = trunk(tmp_path / "trunk")
    branches = trainer.branch_cooldowns(
        tmp_path / "trunk", ["10%", "20%", 12], out_dir=tmp_path / "out"
    )
    assert [(branch.start, branch.stop) for branch in branches] == [(40, 44), (40, 48), (40, 52)]
    for branch in branches:
        steps, values = branch.record.curve("lr/0")
        count = branch.stop - branch.start
        assert steps == list(range(40, branch.stop))
        assert values == pytest.approx([0.02 * (1 - step / count) for step in range(count)])
        assert branch.metrics["eval_loss_epoch"] > 0
        assert branch.path is not None
        assert branch.path.is_file()
    assert len({branch.digest for branch in branches}) == 3
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "cooldown-10pct",
        "cooldown-12",
        "cooldown-20pct",
    ]


def test_a_branch_that_is_made_again_has_a_record_of_its_own(tmp_path: Path) -> None:
    trainer = trunk(tmp_path / "trunk")
    trainer.branch_cooldowns(tmp_path / "trunk" / "update-00000020", [4], out_dir=tmp_path / "out")
    (branch,) = trainer.branch_cooldowns(tmp_path / "trunk", [4], out_dir=tmp_path / "out")
    assert branch.record.curve("lr/0")[0] == [40, 41, 42, 43]
    assert Record.load(tmp_path / "out" / "cooldown-4" / "record.jsonl").curve("lr/0")[0] == [
        40,
        41,
        42,
        43,
    ]


def test_branches_leave_the_trunk_as_it_was(tmp_path: Path) -> None:
    trainer = trunk(tmp_path)
    digest = digest_of_weights(trainer.model)
    before = sorted(path.name for path in tmp_path.iterdir())
    first = trainer.branch_cooldowns(tmp_path, ["10%"])
    assert digest_of_weights(trainer.model) == digest
    assert trainer.progress.updates == 40
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    second = trainer.branch_cooldowns(tmp_path, ["20%", "10%"])
    assert second[1].digest == first[0].digest


def test_a_branch_leaves_an_earlier_checkpoint_too(tmp_path: Path) -> None:
    trainer = trunk(tmp_path)
    (branch,) = trainer.branch_cooldowns(tmp_path / "update-00000020", ["50%"], curve="1-sqrt")
    assert (branch.start, branch.stop) == (20, 40)
    _, values = branch.record.curve("lr/0")
    assert values == pytest.approx([0.02 * (1 - (step / 20) ** 0.5) for step in range(20)])


def test_branching_needs_a_trunk_and_a_length(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="has not trained yet"):
        small.make().branch_cooldowns(tmp_path, ["10%"])
    with pytest.raises(TrainingError, match="at least one update"):
        trunk(tmp_path).branch_cooldowns(tmp_path, ["0%"])
    plain = run(plan=None)
    with pytest.raises(TrainingError, match="no plan to leave"):
        plain.branch_cooldowns(tmp_path, ["10%"])


def test_a_stable_run_is_made_longer_as_if_it_had_been_so_from_the_start() -> None:
    longer = run(plan=TRUNK, max_num_train_steps=60)
    trainer = run(plan=TRUNK, max_num_train_steps=40)
    trainer.extend(60)
    assert trainer.progress.updates == 60
    assert digest_of_weights(trainer.model) == digest_of_weights(longer.model)
    assert rates(trainer) == rates(longer)
    with pytest.raises(TrainingError, match="60 were made already"):
        trainer.extend(60)


class DecayAfter(TrainerCallback):
    """Begins the decay after so many updates, as one does who has looked at the losses."""

    def __init__(self, after: int, over: Any = 6) -> None:
        self.after, self.over = after, over

    def on_train_update_end(self, trainer: Trainer, update: int = 0, **kwargs: Any) -> None:
        if update + 1 == self.after:
            trainer.scheduler.decay_now(over=self.over)


@pytest.mark.parametrize("told", [{}, {"max_num_train_steps": 30}], ids=["epochs", "updates"])
@pytest.mark.parametrize("accumulated", [1, 3])
def test_the_run_ends_with_the_decay_that_was_begun_on_the_way(
    accumulated: int, told: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = SaveTrainingStateCallback(tmp_path)
    trainer = run(DecayAfter(3), kept, plan=TRUNK, gradient_accumulation_steps=accumulated, **told)
    planned = trainer.run_config.total_updates
    assert (trainer.progress.updates, trainer.progress.finished, trainer.stopped_by) == (
        9,
        True,
        "",
    )
    assert rates(trainer)[3:] == pytest.approx([0.02 * 0.75 * (1 - step / 6) for step in range(6)])
    assert [path.name for path in tmp_path.iterdir()] == ["update-00000009"]
    assert trainer.run_history.get_latest_metric("eval_loss_epoch") > 0
    assert f"and the run with it: 9 updates, {planned} were planned." in capsys.readouterr().out


def test_a_decay_that_is_longer_than_what_is_left_is_made_to_its_end() -> None:
    trainer = run(DecayAfter(36, over=20), plan=TRUNK)
    assert (trainer.progress.updates, trainer.progress.finished) == (56, True)
    assert rates(trainer)[-1] == pytest.approx(0.02 / 20)


def test_a_decay_may_be_begun_after_an_evaluation_the_last_one_too() -> None:
    class AfterEpoch(TrainerCallback):
        def on_training_run_epoch_end(self, trainer: Trainer, **kwargs: Any) -> None:
            if trainer.progress.epoch == 3 and not trainer.scheduler.events:
                trainer.scheduler.decay_now(over=5)

    assert run(AfterEpoch(), plan=TRUNK).progress.updates == 44


@pytest.mark.parametrize("accumulated", [1, 3])
@pytest.mark.parametrize("after", [4, 7, 10])
def test_a_run_that_is_broken_off_around_its_decay_ends_where_the_unbroken_one_does(
    after: int, accumulated: int, tmp_path: Path
) -> None:
    told: dict[str, Any] = {"plan": TRUNK, "gradient_accumulation_steps": accumulated}
    whole = run(DecayAfter(5), **told)
    kept = SaveTrainingStateCallback(tmp_path)
    with pytest.raises(TrainingError, match=f"update {after} is saved"):
        run(DecayAfter(5), small.Stop(after), kept, **told)
    again = run(DecayAfter(5), kept, seed=3, **told, resume_from=tmp_path)
    assert again.progress == whole.progress
    assert again.progress.updates == 11
    assert digest_of_weights(again.model) == digest_of_weights(whole.model)
    assert run(kept, **told, resume_from=tmp_path).progress.updates == 11  # and nothing more


def test_a_run_that_a_decay_has_ended_is_gone_on_with_when_it_is_told_to(tmp_path: Path) -> None:
    trainer = run(
        DecayAfter(10), SaveTrainingStateCallback(tmp_path), plan=TRUNK, max_num_train_steps=30
    )
    given = {"plan": wd.Constant(), "max_num_train_steps": 30, "on_change": "given"}
    assert trainer.progress.updates == 16
    assert run(**given, resume_from=tmp_path).progress.updates == 30


def test_a_decay_that_is_begun_on_the_way_is_kept_like_a_planned_one(tmp_path: Path) -> None:
    run(DecayAfter(10), WSDCheckpointCallback(tmp_path), plan=DECAYS, max_num_train_steps=40)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["checkpoint_10_pre_decay", "checkpoint_16_post_decay.pt"]
