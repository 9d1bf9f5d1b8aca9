"""What a logger sends to real trackers: true updates, what they used, each once."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import make_dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import pytest
import torch

import warmdown as wd
from warmdown.errors import BindingError

Rows = dict[str, list[tuple[int, float]]]

UPDATES = 12
BLOCK, WHOLE, LAST = 32768, 1, 4


def made(**how: Any) -> wd.Scheduler:
    """Return the scheduler of two groups with a rate and two betas that move."""
    groups = [{"params": [torch.nn.Parameter(torch.ones(2))], "lr": lr} for lr in (0.1, 0.2)]
    optimizer = torch.optim.AdamW(groups, lr=0.1)
    targets: dict[str, Any] = {
        "lr": wd.warmup_cosine(warmup=3),
        "betas[0]": wd.Linear(start=1.0, end=0.5),
    }
    return wd.Scheduler(optimizer, **targets, **{"run": UPDATES, **how})


def train(scheduler: wd.Scheduler, logger: wd.ValueLogger, updates: int) -> Rows:
    """Make updates, and return what each really used."""
    used: Rows = {}
    for _ in range(updates):
        for name, value in scheduler.values().items():
            used.setdefault(name, []).append((scheduler.count, value))
        for group in scheduler.optimizer.param_groups:
            group["params"][0].grad = torch.ones(2)
        scheduler.optimizer.step()
        scheduler.step()
        logger.log()
    return used


def resumed(at: int) -> wd.Scheduler:
    """Return a scheduler as a new process has it that goes on at an update."""
    before, scheduler = made(), made()
    before.seek(at)
    scheduler.load_state_dict(before.state_dict())
    return scheduler


def both(first: Rows, second: Rows, at: int) -> Rows:
    """Return the rows of a run that was stopped, and of another that went on at an update."""
    return {name: [*[row for row in first[name] if row[0] < at], *second[name]] for name in first}


def close(found: Rows, wanted: Rows, tolerance: float = 1e-12) -> bool:
    return found.keys() == wanted.keys() and all(
        [step for step, _ in rows] == [step for step, _ in wanted[name]]
        and [value for _, value in rows]
        == pytest.approx([value for _, value in wanted[name]], rel=tolerance)
        for name, rows in found.items()
    )


class Sink:
    """Keeps what a function is called with."""

    def __init__(self) -> None:
        self.rows: Rows = {}

    def __call__(self, values: dict[str, float], update: int) -> None:
        for name, value in values.items():
            self.rows.setdefault(name, []).append((update, value))


def test_each_update_is_sent_once_at_its_number_with_what_it_used() -> None:
    scheduler, sink = made(), Sink()
    logger = wd.ValueLogger(scheduler, sink)
    logger.log()
    assert sink.rows == {}
    used = train(scheduler, logger, UPDATES)
    logger.log()
    assert used.keys() == {"lr/0", "lr/1", "betas[0]/0", "betas[0]/1"}
    assert close(sink.rows, used)


def test_events_and_metrics_between_an_update_and_its_row_change_nothing_of_it() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(2))], lr=0.1)
    scheduler = wd.Scheduler(optimizer, lr=wd.Plateau(metric="loss", patience=0, factor=0.5))
    sink = Sink()
    logger = wd.ValueLogger(scheduler, sink)
    used = []
    for update in range(8):
        used.append((update, scheduler.values()["lr/0"]))
        optimizer.step()
        scheduler.step()
        scheduler.observe(loss=1.0 + update)
        if update == 4:
            scheduler.rescale(0.1)
        logger.log()
    assert close(sink.rows, {"lr/0": used})
    assert used[-1][1] < 1e-3


@pytest.mark.parametrize("schedule", [wd.Linear(steps="rest"), wd.Plateau(metric="loss")])
def test_with_a_clock_of_tokens_the_axis_is_the_update(schedule: wd.Schedule) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(2))], lr=0.1)
    run = wd.Run(budget="1000tok", clock="tokens")
    scheduler, sink = wd.Scheduler(optimizer, lr=schedule, run=run), Sink()
    logger = wd.ValueLogger(scheduler, sink)
    used = []
    for update, tokens in enumerate([50, 200, 100, 100, 300]):
        used.append((update, scheduler.values()["lr/0"]))
        optimizer.step()
        scheduler.step(tokens=tokens)
        if schedule.kind == "plateau":
            scheduler.observe(loss=1.0)
        logger.log()
    assert close(sink.rows, {"lr/0": used})


def test_every_thins_by_the_number_of_the_update() -> None:
    scheduler, sink = made(), Sink()
    train(scheduler, wd.ValueLogger(scheduler, sink, every=5), UPDATES)
    assert [step for step, _ in sink.rows["lr/0"]] == [0, 5, 10]


def test_an_update_that_was_skipped_sends_nothing() -> None:
    scheduler, sink = made(), Sink()
    logger = wd.ValueLogger(scheduler, sink)
    train(scheduler, logger, 3)
    scheduler.step()  # no update came before
    logger.log()
    assert [step for step, _ in sink.rows["lr/0"]] == [0, 1, 2]


@pytest.mark.parametrize("clock", ["updates", "tokens"])
def test_right_after_a_load_nothing_is_sent(clock: str) -> None:
    run = wd.Run(UPDATES) if clock == "updates" else wd.Run(budget="1000tok", clock="tokens")
    before, scheduler, sent = made(run=run), made(run=run), list[int]()
    before.optimizer.step()
    before.step(**({} if clock == "updates" else {"tokens": 50}))
    scheduler.load_state_dict(before.state_dict())
    wd.ValueLogger(scheduler, lambda values, update: sent.append(update)).log()
    assert sent == []


def events(folder: Path) -> Rows:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    files = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    files.Reload()
    return {
        tag: [(row.step, row.value) for row in files.Scalars(tag)]
        for tag in files.Tags()["scalars"]
    }


def test_tensorboard_shows_a_resumed_run_once(tmp_path: Path, monkeypatch: Any) -> None:
    from tensorboard.summary.writer.event_file_writer import AtomicCounter
    from torch.utils.tensorboard import SummaryWriter

    # files are read in the order of their names, which end in second, process and a counter
    monkeypatch.setattr(
        "tensorboard.summary.writer.event_file_writer._global_uid", AtomicCounter(100)
    )
    scheduler = made()
    with SummaryWriter(str(tmp_path)) as writer:
        first = train(scheduler, wd.ValueLogger(scheduler, writer), 8)
    scheduler = resumed(5)
    with SummaryWriter(str(tmp_path)) as writer:
        second = train(scheduler, wd.ValueLogger(scheduler, writer), UPDATES - 5)
    assert close(events(tmp_path), both(first, second, 5), 1e-6)


def test_a_run_from_its_beginning_hides_no_other_rows_of_the_folder(tmp_path: Path) -> None:
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(tmp_path), filename_suffix=".a") as writer:
        writer.add_scalar("loss", 0.5, 3)
    scheduler = made()
    with SummaryWriter(str(tmp_path), filename_suffix=".b") as writer:
        used = train(scheduler, wd.ValueLogger(scheduler, writer), 4)
    assert close(events(tmp_path), {"loss": [(3, 0.5)], **used}, 1e-6)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")
def test_mlflow_has_a_resumed_run_once(tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow")
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'mlflow.db'}")
    with pytest.raises(BindingError, match=r"no active run\. Begin one first: mlflow.start_run"):
        wd.ValueLogger(made(), mlflow)
    with mlflow.start_run() as run:
        scheduler = made()
        first = train(scheduler, wd.ValueLogger(scheduler, mlflow), 8)
    with mlflow.start_run(run_id=run.info.run_id) as again:
        scheduler = resumed(5)
        second = train(scheduler, wd.ValueLogger(scheduler, again), UPDATES - 5)
    wanted = {name: first[name] + second[name][3:] for name in first}
    client = mlflow.MlflowClient()
    found: Rows = {}
    for name in wanted:
        short = name.replace("[0]", "_0_")
        rows = client.get_metric_history(run.info.run_id, short)
        found[name] = [(row.step, row.value) for row in rows]
    assert close(found, wanted)


def test_trackio_has_a_resumed_run_once(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path))
    trackio = pytest.importorskip("trackio")
    monkeypatch.setattr("trackio.sqlite_storage.TRACKIO_DIR", tmp_path, raising=False)
    how = {"project": "schedules", "name": "one", "embed": False}
    run = trackio.init(**how)
    run.log({"loss": 1.0}, step=100)  # a row of a loop that counts otherwise
    scheduler = made()
    first = train(scheduler, wd.ValueLogger(scheduler, trackio, every=2), 8)
    run.finish()
    run = trackio.init(**how, resume="must")
    scheduler = resumed(5)
    second = train(scheduler, wd.ValueLogger(scheduler, run, every=2), UPDATES - 5)
    run.finish()
    wanted = {name: (first[name] + second[name][3:])[::2] for name in first}
    found: Rows = {}
    for row in trackio.sqlite_storage.SQLiteStorage.get_logs("schedules", "one"):
        for name in wanted.keys() & row.keys():
            found.setdefault(name, []).append((row["step"], row[name]))
    assert close(found, wanted)


@pytest.mark.slow
def test_wandb_has_the_update_as_its_axis(tmp_path: Path, monkeypatch: Any) -> None:
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_SILENT", "true")
    with wandb.init(mode="offline", dir=tmp_path, project="schedules") as run:
        scheduler = made()
        logger = wd.ValueLogger(scheduler, run, every=2)
        used = train(scheduler, logger, 5)
        run.log({"loss": 1.0}, step=4)  # into the row of that update
        used = {name: used[name] + rows for name, rows in train(scheduler, logger, 1).items()}
        for _ in range(20):  # rows of a loop that counts otherwise
            run.log({"loss": 1.0})
        for name, rows in train(scheduler, logger, UPDATES - 6).items():
            used[name] += rows
        again = wd.ValueLogger(made(), run)
        assert again._lasts == [UPDATES - 2]
    wandb.teardown()  # its process writes the end of the file
    found: Rows = {}
    axes, steps, joined = {}, {}, []
    for record in wandb_records(tmp_path):
        if record.metric.name:
            axes[record.metric.name] = record.metric.step_metric
        items = record.history.item
        row = {one.key or one.nested_key[0]: json.loads(one.value_json) for one in items}
        for name in row.keys() & used.keys():
            found.setdefault(name, []).append((row["update"], row[name]))
        if "update" in row:
            steps[row["update"]] = row["_step"]
            joined += [row["update"]] if "loss" in row else []
    assert close(found, {name: rows[::2] for name, rows in used.items()})
    assert axes == {"update": "", **dict.fromkeys(used, "update")}
    # W&B's own is the update, until other rows have taken it
    assert {update: step for update, step in steps.items() if update < 6} == {0: 0, 2: 2, 4: 4}
    assert all(steps[update] > 20 for update in (6, 8, 10))
    assert joined == [4]


def wandb_records(folder: Path) -> Iterator[Any]:
    """Read the file of an offline run: blocks of records, as LevelDB has them."""
    from wandb.proto.wandb_internal_pb2 import Record

    (file,) = folder.glob("wandb/offline-run-*/*.wandb")
    content, place, message = file.read_bytes(), 7, b""
    while place < len(content):
        left = BLOCK - place % BLOCK
        if left < 7:
            place += left
            continue
        length, part = int.from_bytes(content[place + 4 : place + 6], "little"), content[place + 6]
        message += content[place + 7 : place + 7 + length]
        place += 7 + length
        if part in (WHOLE, LAST):
            yield Record.FromString(message)
            message = b""


class WandbRun:
    """A run of W&B as its log has it: a row a step, and rows of steps before its own are lost."""

    __module__ = "wandb.sdk.wandb_run"

    def __init__(self) -> None:
        self.step, self.summary = 0, {}  # type: ignore[var-annotated]
        self.rows: dict[int, dict[str, Any]] = {}
        self.axes: dict[str, Any] = {}

    def define_metric(self, name: str, step_metric: str = "", hidden: bool = False) -> None:
        self.axes[name] = "hidden" if hidden else step_metric

    def log(self, values: dict[str, Any], step: int | None = None) -> None:
        at = self.step if step is None else step
        if at >= self.step:
            self.rows.setdefault(at, {}).update(values)
            self.summary.update(values)
            self.step = at + (step is None)


def test_a_run_whose_own_step_went_ahead_has_the_update_as_its_axis() -> None:
    run, scheduler = WandbRun(), made()
    used = train(scheduler, wd.ValueLogger(scheduler, run), 3)
    for _ in range(20):  # rows of a loop that counts otherwise
        run.log({"loss": 1.0})
    again = resumed(2)
    later = train(again, wd.ValueLogger(again, run), 4)  # update 2 was sent before
    found: Rows = {}
    for row in run.rows.values():
        for name in used.keys() & row.keys():
            found.setdefault(name, []).append((row["update"], row[name]))
    assert close(found, {name: rows + later[name][1:] for name, rows in used.items()})
    assert run.axes == {"update": "hidden", **dict.fromkeys(used, "update")}
    assert [step for step, row in run.rows.items() if "update" in row] == [0, 1, 2, 22, 23, 24]


class ServedRun:
    """A run of trackio on a server: what it answers with is the last step of all rows."""

    __module__ = "trackio.run"
    _is_local, _next_step = False, 5

    def __init__(self) -> None:
        self.rows: Rows = {}

    def log(self, values: dict[str, float], step: int) -> None:
        for name, value in values.items():
            self.rows.setdefault(name, []).append((step, value))


def test_a_run_on_a_server_is_sent_what_comes_after_its_last_step() -> None:
    run, scheduler = ServedRun(), resumed(2)
    used = train(scheduler, wd.ValueLogger(scheduler, run), UPDATES - 2)
    assert close(run.rows, {name: rows[3:] for name, rows in used.items()})


class MlflowClient:
    """The store of MLflow, which refuses brackets in a name."""

    rows: ClassVar[dict[str, dict[str, list[Any]]]] = {}

    def get_metric_history(self, run: str, name: str) -> list[Any]:
        return self.rows.get(run, {}).get(name, [])

    def log_batch(self, run: str, metrics: list[Any]) -> None:
        for metric in metrics:
            assert not {*"[]"} & {*metric.key}
            self.rows.setdefault(run, {}).setdefault(metric.key, []).append(metric)


def test_a_store_that_takes_no_brackets_has_each_update_of_a_resumed_run_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mlflow, entities = ModuleType("mlflow"), ModuleType("mlflow.entities")
    entry = make_dataclass("Metric", ["key", "value", "timestamp", "step"])
    vars(mlflow).update(MlflowClient=MlflowClient, active_run=lambda: None)
    vars(entities).update(Metric=entry)
    monkeypatch.setitem(sys.modules, "mlflow", mlflow)
    monkeypatch.setitem(sys.modules, "mlflow.entities", entities)
    with pytest.raises(BindingError, match=r"no active run\. Begin one first: mlflow.start_run"):
        wd.ValueLogger(made(), mlflow)
    run = SimpleNamespace(info=SimpleNamespace(run_id="7"))
    vars(mlflow)["active_run"] = lambda: run
    scheduler, again = made(), resumed(5)
    first = train(scheduler, wd.ValueLogger(scheduler, mlflow), 8)
    second = train(again, wd.ValueLogger(again, mlflow), UPDATES - 5)
    found = {
        name.replace("_0_", "[0]"): [(row.step, row.value) for row in rows]
        for name, rows in MlflowClient.rows["7"].items()
    }
    assert close(found, {name: first[name] + second[name][3:] for name in first})


@pytest.fixture
def accelerator(tmp_path: Path) -> Iterator[Any]:
    accelerate: Any = pytest.importorskip("accelerate")
    accelerator = accelerate.Accelerator(cpu=True, log_with=["tensorboard"], project_dir=tmp_path)
    accelerator.init_trackers("schedules")
    yield accelerator
    accelerator.end_training()


def test_an_accelerator_sends_to_its_trackers(accelerator: Any, tmp_path: Path) -> None:
    scheduler = made()
    used = train(scheduler, wd.ValueLogger(scheduler, accelerator), UPDATES)
    accelerator.end_training()
    assert close(events(tmp_path / "schedules"), used, 1e-6)


@pytest.mark.parametrize(("to", "words"), [(3, "no tracker. Give a SummaryWriter"), (None, "None")])
def test_what_is_no_tracker_is_refused(to: Any, words: str) -> None:
    with pytest.raises(BindingError, match=words):
        wd.ValueLogger(made(), to)


def test_the_arguments_are_checked() -> None:
    with pytest.raises(BindingError, match="It stands first"):
        wd.ValueLogger(print, made())  # type: ignore[arg-type]
    with pytest.raises(BindingError, match="every=0"):
        wd.ValueLogger(made(), print, every=0)
