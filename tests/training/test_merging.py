"""A mean of checkpoints that stands for a decay: exact where it can be, and refused in words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from tests.training import small

import warmdown as wd
from warmdown.cli.main import main
from warmdown.cli.schema import schema_of
from warmdown.errors import ScheduleError, StateError, TrainingError
from warmdown.forecast.weights import shares_of_checkpoints
from warmdown.training import (
    AveragedWeightsCallback,
    MergedWeightsCallback,
    SaveTrainingStateCallback,
    Trainer,
    TrainerCallback,
    digest_of_weights,
    read_weights,
    write_weights,
)
from warmdown.training import merging as module

UPDATES = 40
CURVES: dict[str, Any] = {
    "1-sqrt 10": wd.Sqrt(steps=10),
    "linear 25%": wd.Linear(start=1.0, end=0.0, steps=10),
    "cosine 100%": wd.Cosine(steps=40),
    "to a tenth": wd.Linear(start=1.0, end=0.1, steps=12),
    "flat, then down": wd.Constant(steps=5) >> wd.Cosine(steps=9),
    "it rises again": wd.Linear(start=1.0, end=0.2, steps=7)
    >> wd.Linear(start=0.2, end=0.9, steps=5),
    "stairs": wd.PiecewiseConstant(values=(1.0, 0.3, 0.1), at=(4, 9)).take(15),
}


def trained(factors: np.ndarray[Any, Any], folder: Path | None, momentum: float) -> torch.Tensor:
    """Return the weights after updates by fixed gradients; a checkpoint is kept after each."""
    made = torch.Generator().manual_seed(5)
    weight = torch.nn.Parameter(torch.randn(7, generator=made, dtype=torch.float64))
    optimizer = torch.optim.SGD([weight], lr=0.3, momentum=momentum)
    for update, factor in enumerate(factors.tolist()):
        if folder is not None and update == 0:
            torch.save({"w": weight.detach().clone()}, folder / "step_0.pt")
        optimizer.param_groups[0]["lr"] = 0.3 * factor
        weight.grad = torch.randn(7, generator=made, dtype=torch.float64)
        optimizer.step()
        if folder is not None:
            torch.save({"w": weight.detach().clone()}, folder / f"step_{update + 1}.pt")
    return weight.detach()


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_with_a_checkpoint_each_update_and_fixed_gradients_the_merge_is_the_cooled_run(
    momentum: float, tmp_path: Path
) -> None:
    trained(np.ones(UPDATES), tmp_path, momentum)
    for name, curve in CURVES.items():
        factors = np.r_[np.ones(UPDATES - curve.length), curve(np.arange(curve.length))]
        cooled = trained(factors, None, momentum)
        merged = wd.merge_checkpoints(tmp_path, name if name[-1] in "0%" else curve)
        torch.testing.assert_close(merged.weights["w"], cooled, rtol=0, atol=1e-12)
        assert merged.error < 1e-12
        assert (merged.start, merged.stop) == (UPDATES - curve.length, UPDATES)
        assert sum(merged.shares.values()) == pytest.approx(1.0)


def test_the_merge_ends_at_the_checkpoint_that_is_asked_for(tmp_path: Path) -> None:
    trained(np.ones(UPDATES), tmp_path, 0.0)
    cooled = trained(np.r_[np.ones(20), wd.Sqrt(steps=10)(np.arange(10))], None, 0.0)
    merged = wd.merge_checkpoints(tmp_path, "1-sqrt 10", at=30)
    torch.testing.assert_close(merged.weights["w"], cooled, rtol=0, atol=1e-12)


@given(
    factors=st.lists(st.floats(0.0, 2.0), min_size=1, max_size=30),
    before=st.integers(0, 10),
    kept=st.sets(st.integers(1, 29)),
)
def test_shares_stand_for_the_nearest_stairs_and_their_error_is_the_distance(
    factors: list[float], before: int, kept: set[int]
) -> None:
    curve = np.array(factors)
    start, stop = before, before + curve.size
    found = shares_of_checkpoints(curve, sorted({0, stop} | {one for one in kept if one < stop}))
    assert found is not None
    assert found.shares.sum() == pytest.approx(1.0)
    # each update is in every checkpoint after it
    stood = [found.shares[np.array(found.steps) > update].sum() for update in range(stop)]
    wanted = np.r_[np.ones(start), curve]
    assert np.sum(stood) == pytest.approx(wanted.sum())
    assert found.error == pytest.approx(np.sqrt(np.square(stood - wanted).sum() / curve.size))
    for first, last in zip(found.steps, found.steps[1:], strict=False):
        np.testing.assert_allclose(stood[first:last], wanted[first:last].mean(), atol=1e-9)


def test_fewer_checkpoints_are_reported_by_the_error_of_their_curve(tmp_path: Path) -> None:
    trained(np.ones(UPDATES), tmp_path, 0.0)
    curve = wd.Linear(start=1.0, end=0.0, steps=20)
    errors = [
        wd.merge_checkpoints([tmp_path / f"step_{n}.pt" for n in range(20, 41, every)], curve).error
        for every in (1, 2, 4, 10, 20)
    ]
    # n steps of a straight line, each with the spread of `every` equal numbers
    assert errors == pytest.approx([np.std(np.arange(n) / 20) for n in (1, 2, 4, 10, 20)])
    assert "to within 14.36%" in str(
        wd.merge_checkpoints({20: tmp_path / "step_20.pt", 30: tmp_path / "step_30.pt",
                              40: tmp_path / "step_40.pt"}, curve)
    )  # fmt: skip


def test_integers_and_truths_are_those_of_the_last_checkpoint_and_kinds_are_kept(
    tmp_path: Path,
) -> None:
    table = torch.arange(4.0)
    for update in (1, 2, 3):
        weights = {
            "in": table * update,
            "half": torch.full((2,), float(update), dtype=torch.bfloat16),
            "num_batches_tracked": torch.tensor(10 * update),
            "mask": torch.tensor([update == 3]),
        }
        write_weights(tmp_path / f"step_{update}.safetensors", weights | {"out": weights["in"]})
    merged = wd.merge_checkpoints(tmp_path, "linear 3")
    weights = merged.weights
    torch.testing.assert_close(weights["in"], 2 * table)
    assert weights["out"] is weights["in"]
    assert weights["num_batches_tracked"] == 30
    assert weights["mask"].tolist() == [True]
    assert weights["half"].dtype == torch.bfloat16
    merged.save(tmp_path / "out" / "model.safetensors")
    assert digest_of_weights(read_weights(tmp_path / "out" / "model.safetensors")) == (
        digest_of_weights(weights)
    )


def test_sums_can_be_kept_in_double_precision(tmp_path: Path) -> None:
    for update in range(1, 65):
        torch.save({"w": torch.tensor([1.0 + update * 1e-6])}, tmp_path / f"step_{update}.pt")
    exact = np.mean([np.float32(1.0 + update * 1e-6) for update in range(1, 65)], dtype=np.float64)
    merged = wd.merge_checkpoints(tmp_path, "linear 64", in_float64=True)
    assert merged.weights["w"].item() == np.float32(exact)
    assert merged.weights["w"].dtype == torch.float32


def test_one_model_is_read_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import weakref

    alive: list[weakref.ref[Any]] = []
    most = 0

    class Model(dict[str, torch.Tensor]):
        pass

    def read(path: Path) -> Mapping[str, torch.Tensor]:
        nonlocal most
        model = Model(w=torch.zeros(1000))
        alive.append(weakref.ref(model["w"]))
        most = max(most, sum(one() is not None for one in alive))
        return model

    for update in range(1, 8):
        (tmp_path / f"step_{update}.pt").touch()
    monkeypatch.setattr(module, "weights_in", read)
    wd.merge_checkpoints(tmp_path, "linear 7")
    assert len(alive) == 7
    assert most == 1


def some(folder: Path, *updates: int) -> Path:
    for update in updates:
        torch.save({"w": torch.zeros(2)}, folder / f"step_{update}.pt")
    return folder


@pytest.mark.parametrize(
    ("asked", "error", "words"),
    [
        ({"decay": "1-sqrt"}, TrainingError, r"it has no length\. Give a shape and its length"),
        ({"decay": "1-sqr 10%"}, ScheduleError, r"no such curve\. Did you mean '1-sqrt'"),
        ({"decay": "1-sqrt 0.1%"}, TrainingError, "that is no update of 40"),
        ({"decay": "cosine 10yards"}, wd.RunError, "not a duration"),
        ({"decay": 0.5}, TrainingError, "no curve"),
        ({"decay": wd.Linear(steps=0)}, TrainingError, "it has no length. Give a"),
        ({"decay": wd.Linear(steps=41)}, ScheduleError, "41 steps do not fit into the 40"),
        ({"decay": wd.wsd(decay="50%", warmup=0)}, TrainingError, "Keep more of them"),
        ({"decay": "linear 21"}, TrainingError,
         r"begins after update 19 of 40, and the oldest checkpoint is of update 30\. Keep more"),
        ({"at": 35}, TrainingError, r"at=35\): there is no checkpoint of that update\. .*30"),
    ],
)  # fmt: skip
def test_what_cannot_be_merged_is_refused_with_the_way_out(
    asked: dict[str, Any], error: type[Exception], words: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=words):
        wd.merge_checkpoints(some(tmp_path, 30, 40), **asked)


def test_a_folder_without_checkpoints_and_a_name_without_a_number_are_refused(
    tmp_path: Path,
) -> None:
    for place in (tmp_path, tmp_path / "none"):
        with pytest.raises(TrainingError, match=r"there is no checkpoint\. Give the folder"):
            wd.merge_checkpoints(place)
    torch.save({"w": torch.zeros(1)}, tmp_path / "last.pt")
    with pytest.raises(TrainingError, match=r"has no number of updates\. Give a mapping"):
        wd.merge_checkpoints([tmp_path / "last.pt"])
    some(tmp_path, 20)
    torch.save({}, tmp_path / "again_20.pt")
    with pytest.raises(TrainingError, match="both seem to be of update 20"):
        wd.merge_checkpoints(tmp_path)


def test_checkpoints_of_another_model_and_foreign_files_are_named(tmp_path: Path) -> None:
    some(tmp_path, 1, 2)
    torch.save({"w": torch.zeros(3)}, tmp_path / "step_3.pt")
    with pytest.raises(StateError, match=r"update 3 is of another model: w is \(3,\) there, and"):
        wd.merge_checkpoints(tmp_path, "linear 3")
    torch.save({"v": torch.zeros(2)}, tmp_path / "step_3.pt")
    with pytest.raises(StateError, match=r"v is \(2,\) there, and missing in .*1 more"):
        wd.merge_checkpoints(tmp_path, "linear 3")
    torch.save([torch.zeros(2)], tmp_path / "step_3.pt")
    with pytest.raises(StateError, match=r"step_3\.pt: it holds no tensors by name"):
        wd.merge_checkpoints(tmp_path, "linear 3")
    (tmp_path / "step_3.pt").write_bytes(b"no archive")
    with pytest.raises(StateError, match=r"step_3\.pt"):
        wd.merge_checkpoints(tmp_path, "linear 3")
    with pytest.raises(StateError, match=r"lost\.pt: no file of weights"):
        wd.merge_checkpoints({1: tmp_path / "step_1.pt", 2: tmp_path / "lost.pt"}, "linear 2")


def test_folders_of_transformers_and_states_under_usual_names_are_read(tmp_path: Path) -> None:
    for update in (10, 20):
        weights = {"w": torch.full((2,), float(update))}
        (tmp_path / "hf" / f"checkpoint-{update}").mkdir(parents=True)
        write_weights(tmp_path / "hf" / f"checkpoint-{update}" / "model.safetensors", weights)
        (tmp_path / "other").mkdir(exist_ok=True)
        torch.save(
            {"state_dict": weights, "epoch": 3}, tmp_path / "other" / f"e3-step={update}.ckpt"
        )
    for folder in ("hf", "other"):
        merged = wd.merge_checkpoints(tmp_path / folder, "linear 10")
        assert merged.shares == pytest.approx({10: 0.45, 20: 0.55})
        assert merged.weights["w"].tolist() == pytest.approx([15.5, 15.5])


TRUNK = wd.Linear(start=0.0, end=1.0, steps=4) >> wd.Constant()


def trunk(folder: Path, *callbacks: TrainerCallback, every: int = 1, **how: Any) -> Trainer:
    saving = SaveTrainingStateCallback(folder, save_every_n_steps=every)
    trainer = small.make(callbacks=[saving, *callbacks], model=small.network)
    small.train(trainer, plan=TRUNK, max_num_train_steps=30, **how)
    return trainer


def test_branches_by_merge_end_at_the_checkpoint_and_are_measured(tmp_path: Path) -> None:
    trainer = trunk(tmp_path / "trunk")
    before, rows = digest_of_weights(trainer.model), trainer.run_history.latest_metrics()
    short, long = trainer.branch_cooldowns(
        tmp_path / "trunk", ["10%", 12], "1-sqrt", tmp_path / "out", by="merge"
    )
    assert [(one.start, one.stop) for one in (short, long)] == [(27, 30), (18, 30)]
    merged = wd.merge_checkpoints(tmp_path / "trunk", "1-sqrt 12")
    assert long.digest == digest_of_weights(merged.weights)
    assert long.error == pytest.approx(0.0, abs=1e-12)
    assert long.path is not None
    assert digest_of_weights(read_weights(long.path)) == long.digest
    again = Trainer(small.network(), torch.nn.functional.mse_loss, trainer.optimizer, callbacks=())
    again.model.load_state_dict(merged.weights)
    again.evaluate(small.Plain(16), per_device_batch_size=4)
    assert long.metrics == again.run_history.latest_metrics()
    assert wd.Record.load(tmp_path / "out" / "cooldown-12" / "record.jsonl").curve(
        "eval_loss_epoch"
    ) == ([29], [long.metrics["eval_loss_epoch"]])
    assert digest_of_weights(trainer.model) == before
    assert trainer.run_history.latest_metrics() == rows
    trainer.extend(35)
    assert trainer.progress.updates == 35


def test_a_branch_by_merge_of_a_checkpoint_that_is_not_the_last_ends_there(tmp_path: Path) -> None:
    trainer = trunk(tmp_path, every=5)
    (branch,) = trainer.branch_cooldowns(tmp_path / "update-00000020", [10], by="merge")
    assert (branch.start, branch.stop) == (10, 20)
    assert branch.error == pytest.approx(np.std(np.arange(5) / 10))
    with pytest.raises(TrainingError, match="Keep more of them"):
        trainer.branch_cooldowns(tmp_path / "update-00000005", [5], by="merge")
    with pytest.raises(TrainingError, match="'training' or 'merge'"):
        trainer.branch_cooldowns(tmp_path, [5], by="magic")  # type: ignore[arg-type]


def test_the_loss_of_the_merge_is_logged_while_the_trunk_goes_on_untouched(tmp_path: Path) -> None:
    plain = trunk(tmp_path / "plain")
    watched = trunk(tmp_path / "watched", MergedWeightsCallback("linear 30%"))
    assert digest_of_weights(watched.model) == digest_of_weights(plain.model)
    history = watched.run_history
    assert history.get_metric_values("eval_loss_epoch") == (
        plain.run_history.get_metric_values("eval_loss_epoch")
    )
    losses = history.get_metric_values("merged_eval_loss_epoch")
    assert len(losses) == len(history.get_metric_values("merged_error")) == 3
    assert history.get_metric_values("merged_error") == pytest.approx([0.0] * 3, abs=1e-12)
    (branch,) = watched.branch_cooldowns(tmp_path / "watched", [9], by="merge")
    assert branch.metrics["eval_loss_epoch"] == losses[-1]


def test_the_loss_of_a_merge_is_left_out_until_checkpoints_reach_back(tmp_path: Path) -> None:
    trainer = trunk(tmp_path, MergedWeightsCallback("linear 50%"), every=12)
    # evaluated after 13, 26 and 30 updates
    errors = trainer.run_history.get_metric_values("merged_error")
    assert len(errors) == 2
    assert errors[0] > 0.1


@pytest.mark.parametrize("decay", ["1-sqrt 2%", wd.Cosine(steps=26)], ids=str)
def test_a_decay_that_has_no_place_in_the_run_yet_is_left_out(decay: Any, tmp_path: Path) -> None:
    trainer = trunk(tmp_path, MergedWeightsCallback(decay))  # evaluated after 13, 26, 30 updates
    assert len(trainer.run_history.get_metric_values("merged_error")) == 2


@pytest.mark.parametrize(
    ("decay", "words"),
    [("1-sqr 10%", "no such curve"), ("cosine 1ep", "steps_per_epoch"), ("cosine", "no length")],
)
def test_a_decay_that_is_none_is_refused_before_the_run(decay: str, words: str) -> None:
    with pytest.raises(wd.WarmdownError, match=words):
        MergedWeightsCallback(decay)


def test_a_run_that_keeps_too_few_checkpoints_is_reported_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saving = SaveTrainingStateCallback(tmp_path, save_every_n_steps=2, max_checkpoints=3)
    small.train(small.make(callbacks=[saving, MergedWeightsCallback("cosine 50%")]), plan=TRUNK)
    printed = capsys.readouterr().out
    assert printed.count("before the oldest of the 3 checkpoints that are kept. Keep more") == 1


def test_a_damaged_checkpoint_is_refused_by_a_merge_and_left_out_of_a_running_one(
    tmp_path: Path,
) -> None:
    class Damage(TrainerCallback):
        def on_train_update_end(self, trainer: Trainer, update: int = 0, **kwargs: Any) -> None:
            if update == 24:
                (tmp_path / "update-00000022" / "model.safetensors").write_bytes(b"no weights")

    trainer = trunk(tmp_path, Damage(), MergedWeightsCallback("linear 50%"))
    errors = trainer.run_history.get_metric_values("merged_error")
    assert errors[0] == pytest.approx(0.0, abs=1e-12)
    assert errors[1] > 0.001
    with pytest.raises(
        StateError, match=r"update-00000022: model\.safetensors has 10 bytes.*name the"
    ):
        wd.merge_checkpoints(tmp_path, "linear 50%")


@pytest.mark.parametrize(
    "callback", [MergedWeightsCallback(), AveragedWeightsCallback(0.9)], ids=lambda one: str(one)
)
def test_weights_in_pieces_are_refused(
    callback: TrainerCallback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("warmdown.training.callbacks.averaging.is_sharded", lambda trainer: True)
    with pytest.raises(TrainingError, match="the weights lie in pieces"):
        trunk(tmp_path, callback)


def test_a_run_without_checkpoints_has_nothing_to_merge() -> None:
    trainer = small.make(callbacks=[MergedWeightsCallback()])
    with pytest.raises(TrainingError, match="keeps no checkpoints to merge"):
        small.train(trainer)


def test_the_command_writes_the_merge_and_prints_what_it_stands_for(tmp_path: Path) -> None:
    trunk(tmp_path / "run" / "checkpoints", every=3)
    out = tmp_path / "model.safetensors"
    call = ["merge", str(tmp_path / "run"), "--as", "1-sqrt 40%", "--out", str(out)]
    done = CliRunner().invoke(main, call)
    assert done.exit_code == 0, done.output
    merged = wd.merge_checkpoints(tmp_path / "run", "1-sqrt 40%")
    assert digest_of_weights(read_weights(out)) == digest_of_weights(merged.weights)
    assert str(merged) in done.output
    data = json.loads(CliRunner().invoke(main, [*call, "--json"]).stdout)
    Draft202012Validator(schema_of("merge")).validate(data)
    assert data == {**merged.to_dict(), "written": str(out)}
    refused = CliRunner().invoke(main, [*call[:3], "1-sqrt 90%", *call[4:], "--at", "12"])
    assert refused.exit_code == 2
    assert "Keep more of them" in refused.output
    assert digest_of_weights(read_weights(out)) == digest_of_weights(merged.weights)


def test_the_command_measures_what_a_decay_now_would_be_worth(tmp_path: Path) -> None:
    call = ["train", "constant", "--max-steps", "12", "--out", str(tmp_path / "out")]
    options = ["--checkpoint-every", "2", "--merge", "1-sqrt 50%", "--keep", "9", "--track", "none"]
    done = CliRunner().invoke(main, [*call, *options, "--json"])
    assert done.exit_code == 0, done.output
    (run,) = json.loads(done.stdout)["runs"]
    assert run["metrics"]["merged_accuracy"] > 0
    assert 0 < run["metrics"]["merged_error"] < 0.3
