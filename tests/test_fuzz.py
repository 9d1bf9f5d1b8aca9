"""Mutated real data: a reader raises no error but ours and leaves nothing half done."""

from __future__ import annotations

import copy
import json
import warnings
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from tests.hostile import EVIL, TEXTS
from tests.strategies import plans

import warmdown as wd
from warmdown.binding import state as states
from warmdown.errors import WarmdownError
from warmdown.experiments.runs import Result, RunSpec, Store
from warmdown.planfile import dumps, load, loads, plan_from_dict
from warmdown.record import Record

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::RuntimeWarning")]
fuzz = settings(
    max_examples=600,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
    database=None,
)

RUN = wd.Run(total_steps=100, steps_per_epoch=10, lr=0.1)
PLAN = """
run: {total_steps: 1000, steps_per_epoch: 10, lr: 0.1}
lr:
  groups:
    head: [{kind: linear, start: 0, end: 1, steps: 5%}, {kind: cosine, end: "1e-1"}]
    "*": {scale: {kind: plateau, metric: loss, patience: 2ep}, low: 0.1}
weight_decay: {set: {kind: milestones, start: 0.1, gamma: 0.5, at: [3, 50%]}}
momentum:
  set:
    kind: repeat
    of: {kind: triangle, low: 0.8, high: 0.9, up: 5, down: "%TOTAL_STEPS% // 100"}
after_end: hold
count: updates
"""
FOREIGN = (
    "lr: {class_path: torch.optim.lr_scheduler.StepLR, "
    'init_args: {step_size: 3, gamma: "0.5"}, steps: 9}\n'
)

leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.just(10**400),
    st.sampled_from([2**31, 2**63, -(2**63), 10**18, -1, 0]),
    st.floats(),
    st.text(max_size=12),
    st.sampled_from(
        [
            EVIL,
            "rest",
            "5%",
            "1e999",
            "%LR%",
            "cosine",
            "chain",
            "*",
            "0",
            *(make(300) for make in TEXTS.values()),
        ]
    ),
    st.sampled_from([[], {}, [[]], {"kind": "cosine"}, [1, 2, 3], {"a": None}]),
)


def paths(data: Any, here: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of everything inside plain data."""
    inside = (
        data.items()
        if isinstance(data, dict)
        else enumerate(data)
        if isinstance(data, list)
        else ()
    )
    for key, value in inside:
        yield (*here, key)
        yield from paths(value, (*here, key))


@st.composite
def changed(draw: st.DrawFn, data: Any) -> Any:
    """Return a copy of plain data in which a few places are changed, gone, or there twice."""
    data = copy.deepcopy(data)
    for _ in range(draw(st.integers(1, 3))):
        places = list(paths(data))
        if not places:
            break
        *way, key = draw(st.sampled_from(places))
        holder = data
        for step in way:
            holder = holder[step]
        what = draw(st.sampled_from(["replace", "replace", "replace", "remove", "rename", "swap"]))
        if what == "remove":
            del holder[key]
        elif what == "rename" and isinstance(holder, dict):
            holder[
                draw(st.text(max_size=5) | st.sampled_from(["kind", "steps", "of", "seen", "name"]))
            ] = holder.pop(key)
        elif what == "swap":
            other = data
            for step in draw(st.sampled_from(places)):
                try:
                    other = other[step]
                except (LookupError, TypeError):
                    break
            holder[key] = copy.deepcopy(other)
        else:
            holder[key] = copy.deepcopy(draw(leaves))
    return data


@st.composite
def torn(draw: st.DrawFn, content: bytes) -> bytes:
    """Return bytes of which some are other ones, are gone or stand twice."""
    torn = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(len(torn) - 1, 0)))
        end = draw(st.integers(at, min(at + 40, len(torn))))
        what = draw(st.sampled_from(["flip", "cut", "remove", "double", "insert"]))
        if what == "flip" and torn:
            torn[at] = draw(st.integers(0, 255))
        elif what == "cut":
            del torn[at:]
        elif what == "remove":
            del torn[at:end]
        elif what == "double":
            torn[at:at] = torn[at:end]
        else:
            torn[at:at] = draw(
                st.binary(max_size=20) | st.sampled_from([b"[" * 60, b"{a: ", b"\x00", b"9" * 500])
            )
    return bytes(torn)


def try_to(read: Any, *what: Any, **how: Any) -> Any:
    """Return what a reader makes of its data, or nothing where it refuses it in our words."""
    with suppress(WarmdownError):
        return read(*what, **how)
    return None


@fuzz
@given(
    content=torn((PLAN + FOREIGN).encode())
    | torn(json.dumps(plan_from_dict({"lr": "cosine"}).to_dict()).encode())
)
def test_the_bytes_of_a_plan_are_read_or_refused(
    content: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    for name in ("plan.yaml", "plan.json"):
        path = tmp_path_factory.getbasetemp() / name
        path.write_bytes(content)
        use(try_to(load, path))


@fuzz
@given(
    data=plans().flatmap(lambda plan: changed(plan.to_dict()))
    | changed(loads(PLAN, run=RUN).to_dict())
)
def test_the_data_of_a_plan_are_read_or_refused(data: Any) -> None:
    use(try_to(plan_from_dict, data))


@fuzz
@given(
    text=st.text(max_size=300)
    | st.text("{}[]:,-?&*!|>'\"%@` \n\tlrkindcosetp0123456789.e", max_size=300)
)
def test_any_text_is_read_or_refused(text: str) -> None:
    use(try_to(loads, text))


def use(plan: wd.Plan | None) -> None:
    """Measure, evaluate, write and check a plan that was read: it raises nothing but our own."""
    if plan is None:
        return
    try_to(wd.check, plan)
    try_to(dumps, plan)
    measured = try_to(plan.over, RUN)
    for target in () if measured is None else measured.targets:
        try_to(target.rule.value, 7, 0.1)
        target.fits("head", 0)


def scheduler() -> wd.Scheduler:
    """Return a scheduler of two groups that has counted updates and seen a metric."""
    groups = [
        {"params": [torch.nn.Parameter(torch.zeros(1))], "name": name} for name in ("head", "body")
    ]
    optimizer = torch.optim.SGD(groups, lr=0.1, momentum=0.9, weight_decay=0.01)
    made = wd.Scheduler(optimizer, loads(PLAN, run=RUN))
    for step in range(12):
        optimizer.step()
        made.step()
        made.observe(loss=1.0 + step)
    return made


def eventful() -> wd.Scheduler:
    """Return a scheduler to which everything happened that can."""
    made = scheduler()
    made.rescale(0.5)
    made.extend(120, on_change="rescale")
    made.decay_now(over=5, target="weight_decay")
    return made


STATES = [scheduler().state_dict(), scheduler().state_dict(plan=False), eventful().state_dict()]


def all_of(made: wd.Scheduler) -> Any:
    """Return everything that a load may change."""
    written = [
        {name: value for name, value in group.items() if name != "params"}
        for group in made.optimizers[0].param_groups
    ]
    return repr((made.state_dict(), made.values(), made.count, written))


@fuzz
@given(
    state=st.sampled_from(STATES).flatmap(changed),
    adds_up=st.booleans(),
    policy=st.sampled_from(["ask", "given", "saved", "rescale", "continue", "rewarm", "fit"]),
)
def test_a_state_is_loaded_as_a_whole_or_not_at_all(state: Any, adds_up: bool, policy: Any) -> None:
    if adds_up and isinstance(state, dict):
        state["check"] = states.checksum(state)
    made = scheduler()
    before = all_of(made)
    try:
        made.load_state_dict(state, on_change=policy)
    except WarmdownError:
        assert all_of(made) == before
    with warnings.catch_warnings():  # an edited count may lie past the plan's end
        warnings.simplefilter("ignore", wd.PastEnd)
        warnings.simplefilter("ignore", wd.StepPerUpdate)
        for _ in range(3):  # either goes on
            made.optimizers[0].step()
            made.step()


def record_text() -> bytes:
    """Return a record's file."""
    rows = [
        (step, target, 0.1 * step, "warmup" if target == "phase" else "")
        for step in range(6)
        for target in ("lr/0", "phase")
    ]
    entries = [
        {"step": step, "target": target, "value": value, **({"reason": reason} if reason else {})}
        for step, target, value, reason in rows
    ]
    return "".join(f"{json.dumps(entry)}\n" for entry in entries).encode()


@fuzz
@given(
    content=torn(record_text())
    | changed([json.loads(line) for line in record_text().splitlines()]).map(
        lambda rows: "\n".join(map(json.dumps, rows)).encode()
    )
)
def test_a_record_is_read_or_refused(
    content: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "record.jsonl"
    path.write_bytes(content)
    record = try_to(Record.load, path)
    if record is not None:
        assert [row.step for row in record] == [row.step for row in record.rows]
    resumed = try_to(Record.resume, path, 3)
    if resumed is None:
        assert path.read_bytes() == content  # what cannot be read is left alone
    else:
        assert all(row.step < 3 for row in Record.load(path))


RESULT = Result(
    spec=RunSpec(plan=loads("lr: cosine").to_dict(), task="digits", seed=1, settings={"epochs": 1}),
    status="finished",
    metrics={"accuracy": 0.9},
    evaluations={"accuracy": ([10, 20], [0.5, 0.9])},
    curves={"loss": ([0, 10], [2.0, 1.0]), "lr/0": ([0, 10], [0.1, 0.0])},
    area=1.5,
    updates=20,
    seconds=0.5,
    digest="00",
    made_with={"torch": "2"},
)


@fuzz
@given(
    content=torn(json.dumps(RESULT.to_dict()).encode())
    | changed(RESULT.to_dict()).map(lambda data: json.dumps(data).encode())
)
def test_a_stored_result_is_read_or_counts_for_nothing(
    content: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp() / "store"
    folder.mkdir(exist_ok=True)
    (folder / f"{RESULT.key}.json").write_bytes(content)
    found = Store(folder).load(RESULT.spec)
    assert found is None or found.key == RESULT.key
    for result in Store(folder):
        result.record()
        json.dumps(result.to_dict())
