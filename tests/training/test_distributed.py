"""Two processes over gloo: one schedule, one checkpoint, resumed on one or two, one is lost."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.training import small

from warmdown import Record
from warmdown.training import Checkpoints

ROOT = Path(__file__).parents[2]


def together(work: str, folder: Path, after: int = 0) -> subprocess.CompletedProcess[str]:
    return launch("tests.training.together", work, str(folder), str(after), cwd=ROOT)


def launch(module: str, *told: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        "-m",
        module,
    ]
    return subprocess.run(
        [*command, *told],
        cwd=cwd, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True,
        timeout=240, check=False,
    )  # fmt: skip


def answers(folder: Path) -> list[dict[str, Any]]:
    return [json.loads((folder / f"answer-{rank}.json").read_text()) for rank in range(2)]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    done = together("train", folder)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.mark.slow
def test_all_processes_end_with_the_same_weights_and_used_the_same_rates(trained: Path) -> None:
    first, second = answers(trained)
    assert first == second
    assert first["updates"] == 39
    assert len(set(first["rates"])) == 39


@pytest.mark.slow
def test_two_processes_make_the_updates_that_one_with_the_whole_batch_makes(trained: Path) -> None:
    """Order and schedule are the same; sums over processes round differently."""
    alone = small.make()
    small.train(alone, train_dataset=small.Plain(), per_device_batch_size=4)
    assert alone.progress.updates == 39
    rates = Record.load(trained / "record.jsonl").curve("lr/0")[1]
    assert rates == [alone.scheduler.value(step) for step in range(39)]


@pytest.mark.slow
def test_one_process_writes_record_and_checkpoints(trained: Path) -> None:
    steps, _ = Record.load(trained / "record.jsonl").curve("lr/0")
    assert steps == list(range(39))
    names = [path.name for path in Checkpoints(trained / "checkpoints").all()]
    assert names == [f"update-{update:08d}" for update in (5, 10, 15, 20, 25, 30, 35, 39)]
    assert Checkpoints(trained / "checkpoints").newest_good()[1] == []


@pytest.mark.slow
def test_what_two_processes_saved_one_goes_on_with(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer = small.make()
    told: dict[str, Any] = {"train_dataset": small.Plain(), "per_device_batch_size": 4}
    small.train(trainer, **told, resume_from=trained / "checkpoints" / "update-00000020")
    assert trainer.progress.updates == 39
    said = capsys.readouterr().out
    assert "at update 20" in said
    assert "1 processes train now, 2 did before." in said


@pytest.mark.slow
def test_what_one_process_saved_two_go_on_with(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="on purpose"):
        small.train(
            small.make(tmp_path, [small.Stop(16)]),
            train_dataset=small.Plain(),
            per_device_batch_size=4,
        )
    done = together("resume", tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "2 processes train now, 1 did before." in done.stdout
    first, second = answers(tmp_path)
    assert first == second
    assert first["updates"] == 39
    assert len(first["rates"]) == 39 - 16


@pytest.mark.slow
def test_two_processes_go_on_bit_for_bit(trained: Path, tmp_path: Path) -> None:
    done = together("tell", tmp_path, 17)
    assert done.returncode != 0
    assert "SIGTERM: stopped after update 18" in done.stdout, done.stdout + done.stderr[-3000:]
    done = together("resume", tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert [one["digest"] for one in answers(tmp_path)] == [
        one["digest"] for one in answers(trained)
    ]


@pytest.mark.slow
def test_two_processes_have_the_same_averages_and_merges_also_when_they_go_on(
    tmp_path: Path,
) -> None:
    done = together("average", tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = (
        json.loads((tmp_path / f"answer-{rank}.json").read_text()) for rank in range(2)
    )
    assert first == second
    whole, resumed = first
    assert resumed == whole
    assert len(whole["digests"]) == 6
    for name in ("ema", "half_life_20pct", "tail_25pct", "merged"):
        assert f"{name}_eval_loss_epoch" in whole["metrics"]


@pytest.mark.slow
def test_a_process_that_dies_leaves_a_state_and_a_clear_message(
    trained: Path, tmp_path: Path
) -> None:
    done = together("die", tmp_path, 13)
    assert done.returncode != 0
    assert "another process is gone" in done.stderr
    assert "update-00000010: resume from there" in done.stderr
    done = together("resume", tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert [one["digest"] for one in answers(tmp_path)] == [
        one["digest"] for one in answers(trained)
    ]


@pytest.mark.slow
def test_processes_end_an_epoch_with_the_first_whose_stream_ends(tmp_path: Path) -> None:
    """One reads 20 batches in a pass, the other 14: both train on 7 each, by one plan."""
    done = together("uneven", tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = answers(tmp_path)
    assert first == second
    assert first["updates"] == 3 * 7
    for path in Checkpoints(tmp_path / "checkpoints").all()[2:]:
        shutil.rmtree(path)
    done = together("uneven-resume", tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "at update 10" in done.stdout
    assert answers(tmp_path)[0]["digest"] == first["digest"]


@pytest.mark.slow
def test_weights_in_pieces_are_saved_whole_and_go_on_bit_for_bit(tmp_path: Path) -> None:
    done = together("shard", tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    whole = answers(tmp_path)[0]["digest"]
    for path in Checkpoints(tmp_path / "checkpoints").all()[4:]:
        shutil.rmtree(path)
    done = together("shard-resume", tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "at update 20" in done.stdout
    assert answers(tmp_path)[0]["digest"] == whole


@pytest.mark.slow
def test_what_was_saved_in_pieces_one_process_goes_on_with(tmp_path: Path) -> None:
    done = together("shard", tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    trainer = small.make(model=small.perceptron, seed=4)
    told: dict[str, Any] = {"train_dataset": small.Plain(), "per_device_batch_size": 4}
    small.train(trainer, **told, resume_from=tmp_path / "checkpoints" / "update-00000020")
    assert trainer.progress.updates == 39
    assert trainer.run_history.get_metric_values("eval_loss_epoch") == pytest.approx(
        answers(tmp_path)[0]["metrics"], rel=1e-4
    )


@pytest.mark.slow
def test_the_command_of_the_page_trains_on_two_processes(tmp_path: Path) -> None:
    """With its default trackers, whose end must not be the end of the process group."""
    (tmp_path / "plan.yaml").write_text(
        "run: {epochs: 2, lr: 0.1}\nlr: {kind: warmup_cosine, warmup: 10%}\n"
    )
    done = launch(
        "warmdown", "train", "plan.yaml", "--out", "two", "--checkpoint-every", "20", cwd=tmp_path
    )
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    assert done.stdout.count("weights of plan: SHA-256") == 1
    told = json.loads((tmp_path / "two" / "result.json").read_text())
    assert told["updates"] == 46
    assert list((tmp_path / "two" / "events").glob("events.out.tfevents.*"))


@pytest.mark.slow
def test_processes_go_back_together_where_one_of_them_had_the_bad_batch(tmp_path: Path) -> None:
    done = together("spike", tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = answers(tmp_path)
    assert first == second
    assert first["updates"] == 220
    (one,) = first["rollbacks"]
    assert (one["spike"], one["to"]) == (137, 100)
    assert len(first["events"]) == 1
    done = together("spike-resume", tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert answers(tmp_path) == [first, second]
