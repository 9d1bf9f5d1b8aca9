"""A running job is told things: read, agreed, answered, and never half done."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.binding.loops import as_first_of_two, torchrun
from torch.nn.parameter import Parameter

import warmdown as wd
from warmdown.mailbox import COMMANDS, Answer, Mailbox, Request

pytestmark = pytest.mark.filterwarnings("ignore::warmdown.errors.PastEnd")

PLAN = wd.warmup_cosine(warmup=20, end=0.1)
LENGTH = 200


class Job:
    """A loop that writes down the rate of every update."""

    def __init__(self, folder: Path, every: int = 1, plan: Any = PLAN, **options: Any) -> None:
        groups = [{"params": [Parameter(torch.ones(1))], "name": name} for name in ("body", "head")]
        self.optimizer = torch.optim.SGD(groups, lr=0.4)
        commands = wd.Commands(folder, every=every, seconds=0.0)
        self.scheduler = wd.Scheduler(
            self.optimizer, lr=plan, total_steps=LENGTH, commands=commands, **options
        )
        self.used: list[list[float]] = []

    def train(self, updates: int) -> None:
        for _ in range(updates):
            self.used.append([group["lr"] for group in self.optimizer.param_groups])
            self.optimizer.step()
            self.scheduler.step()


def ask(folder: Path, command: str, *, is_trial: bool = False, **arguments: Any) -> Request:
    request = Request(command=command, arguments=arguments, is_trial=is_trial)
    Mailbox(folder).send(request)
    return request


def answer_to(folder: Path, request: Request) -> Answer:
    answer = Mailbox(folder).answer_to(request)
    assert answer is not None
    return answer


def by_hand(at: int, act: Any, updates: int = LENGTH) -> list[list[float]]:
    """Return the rates of a run in which a person's own code does it before update ``at``."""
    groups = [{"params": [Parameter(torch.ones(1))], "name": name} for name in ("body", "head")]
    optimizer = torch.optim.SGD(groups, lr=0.4)
    scheduler = wd.Scheduler(optimizer, lr=PLAN, total_steps=LENGTH)
    used = []
    for update in range(updates):
        if update == at:
            act(scheduler)
        used.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        scheduler.step()
    return used


ACTS: dict[str, tuple[dict[str, Any], Any]] = {
    "decay-now": ({"over": "10%"}, lambda scheduler: scheduler.decay_now("10%")),
    "rescale": ({"factor": 0.5, "group": "head"},
                lambda scheduler: scheduler.rescale(0.5, group="head")),
    "hold": ({"over": "30"}, lambda scheduler: scheduler.hold(30)),
    "extend": ({"total_steps": 300}, lambda scheduler: scheduler.extend(300)),
}  # fmt: skip


@pytest.mark.parametrize("command", ACTS)
@pytest.mark.parametrize("every", [1, 7, 64])
def test_what_is_asked_holds_from_the_update_that_is_answered(
    command: str, every: int, tmp_path: Path
) -> None:
    arguments, act = ACTS[command]
    job = Job(tmp_path, every)
    before = random.randint(1, 100)
    job.train(before)
    request = ask(tmp_path, command, **arguments)
    job.train(LENGTH - before)
    answer = answer_to(tmp_path, request)
    assert answer.outcome == "done"
    assert answer.update is not None
    assert before < answer.update <= before + every + 1
    assert job.used == by_hand(answer.update, act), answer


@pytest.mark.parametrize("command", ACTS)
def test_a_killed_run_that_is_resumed_does_again_what_it_was_told(
    command: str, tmp_path: Path
) -> None:
    arguments, _ = ACTS[command]
    job = Job(tmp_path, every=8)
    job.train(40)
    state = job.scheduler.state_dict(), job.optimizer.state_dict()
    saved = json.loads(json.dumps(state[0])), state[1]
    request = ask(tmp_path, command, **arguments)
    job.train(160)  # killed somewhere in it: nothing of it was saved
    assert answer_to(tmp_path, request).update in range(41, 60)
    again = Job(tmp_path, every=8)
    again.optimizer.load_state_dict(saved[1])
    again.scheduler.load_state_dict(saved[0])
    again.train(160)
    assert again.used == job.used[40:]


def test_a_state_saved_after_it_has_it_once(tmp_path: Path) -> None:
    job = Job(tmp_path)
    job.train(10)
    ask(tmp_path, "rescale", factor=0.5)
    job.train(20)
    state = job.scheduler.state_dict()
    again = Job(tmp_path)
    again.scheduler.load_state_dict(state)
    again.train(30)
    job.train(30)
    assert again.used == job.used[30:]


def test_what_was_not_read_before_a_kill_is_done_by_the_resumed_run(tmp_path: Path) -> None:
    job = Job(tmp_path)
    job.train(10)
    state = job.scheduler.state_dict()
    request = ask(tmp_path, "hold", over=5)
    again = Job(tmp_path)
    again.scheduler.load_state_dict(state)
    again.train(3)
    assert answer_to(tmp_path, request).outcome == "done"


def test_a_new_run_refuses_what_another_was_asked_and_forgets_what_it_did(tmp_path: Path) -> None:
    job = Job(tmp_path)
    job.train(10)
    ask(tmp_path, "rescale", factor=0.5)
    job.train(10)
    stale = ask(tmp_path, "stop")
    new = Job(tmp_path)
    new.train(5)
    state = new.scheduler.state_dict()
    answer = answer_to(tmp_path, stale)
    assert answer.outcome == "refused"
    assert "before this run began" in answer.text
    assert not new.scheduler.requests
    resumed = Job(tmp_path)
    resumed.scheduler.load_state_dict(state)
    resumed.train(LENGTH - 5)
    assert new.used + resumed.used == by_hand(-1, None)


def test_the_loop_is_told_what_only_it_can_do(tmp_path: Path) -> None:
    job = Job(tmp_path)
    job.train(3)
    request = ask(tmp_path, "checkpoint")
    job.train(2)
    assert job.scheduler.requests == {"checkpoint"}
    assert answer_to(tmp_path, request).update in (4, 5)


HOSTILE: dict[str, tuple[str, str]] = {
    "no JSON": ("{", "cannot be read"),
    "a list": ("[]", "no request"),
    "another tool's": ('{"command": "stop"}', "no request"),
    "a long number": ('{"format": "warmdown command 1", "factor": 1' + "0" * 5000 + "}", ""),
    "deep": ("[" * 20_000, "cannot be read"),
    "huge": (" " * 100_000, "no small file"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_what_is_no_request_is_refused_in_words(case: str, tmp_path: Path) -> None:
    text, expected = HOSTILE[case]
    job = Job(tmp_path)
    name = f"{Request(command='stop').id}.json"
    Path(tmp_path, "commands").mkdir()
    Path(tmp_path, "commands", name).write_text(text)
    job.train(LENGTH)
    answer = json.loads(
        Path(tmp_path, "commands", name.replace(".json", ".answer.json")).read_text()
    )
    assert answer["outcome"] == "refused"
    assert expected in answer["text"]
    assert job.used == by_hand(-1, None)


def test_a_copy_and_a_link_are_refused(tmp_path: Path) -> None:
    job = Job(tmp_path)
    request = Request(command="rescale", arguments={"factor": 0.5})
    folder = tmp_path / "commands"
    folder.mkdir()
    (folder / f"{Request(command='stop').id}.json").write_text(request.to_text())
    (tmp_path / "outside.json").write_text(request.to_text())
    (folder / f"{request.id}.json").symlink_to(tmp_path / "outside.json")
    job.train(5)
    answers = [json.loads(path.read_text()) for path in folder.glob("*.answer.json")]
    assert [answer["outcome"] for answer in answers] == ["refused", "refused"]
    assert job.used == by_hand(-1, None, 5)


@pytest.mark.parametrize(
    ("command", "arguments", "expected"),
    [
        ("rescale", {"factor": 0.5, "target": "momentum"}, "nothing drives it"),
        ("rescale", {"factor": 0.5, "group": "tail"}, "no such group"),
        ("decay-now", {"over": "3 apples"}, ""),
        ("decay-now", {"over": "10%", "curve": "parabola"}, "no such curve"),
        ("hold", {"over": "rest"}, "at least 1 update"),
        ("extend", {"total_steps": 300, "on_change": "somehow"}, ""),
    ],
)
def test_what_cannot_be_done_is_refused_and_changes_nothing(
    command: str, arguments: dict[str, Any], expected: str, tmp_path: Path
) -> None:
    job = Job(tmp_path)
    job.train(5)
    request = ask(tmp_path, command, **arguments)
    job.train(LENGTH - 5)
    answer = answer_to(tmp_path, request)
    assert answer.outcome == "refused"
    assert expected in answer.text
    assert job.used == by_hand(-1, None)
    assert not job.scheduler.events


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("fly", {}),
        ("rescale", {}),
        ("rescale", {"factor": -1}),
        ("rescale", {"factor": "much"}),
        ("rescale", {"factor": float("nan")}),
        ("hold", {"over": 0}),
        ("hold", {"over": ""}),
        ("extend", {"total_steps": 1.5}),
        ("stop", {"over": 3}),
        ("decay-now", {"over": True}),
    ],
)
def test_a_request_that_is_none_is_refused_before_it_is_sent(
    command: str, arguments: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(wd.TrainingError, match=r"tell\("):
        wd.tell(tmp_path, command, wait=0, **arguments)
    assert not list(tmp_path.iterdir())


def test_a_folder_is_found_by_its_lock(tmp_path: Path) -> None:
    with pytest.raises(wd.TrainingError, match="no job works"):
        wd.tell(tmp_path / "nowhere", "stop")
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / ".lock.json").touch()
        if name == "a":
            assert wd.tell(tmp_path, "stop", wait=0).outcome == "waiting"
    with pytest.raises(wd.TrainingError, match="several jobs work"):
        wd.tell(tmp_path, "stop")
    assert wd.tell(tmp_path / "b", "stop", wait=0).outcome == "waiting"
    assert [len(list((tmp_path / name / "commands").iterdir())) for name in "ab"] == [1, 1]


def test_a_trial_shows_the_curves_and_changes_nothing(tmp_path: Path) -> None:
    job = Job(tmp_path)
    job.train(50)
    request = ask(tmp_path, "rescale", is_trial=True, factor=0.5, target="lr/head")
    job.train(10)
    answer = answer_to(tmp_path, request)
    assert answer.outcome == "shown"
    assert answer.curves is not None
    assert answer.curves["lines"]["lr/body"]["before"] == answer.curves["lines"]["lr/body"]["after"]
    at, curve = answer.curves["steps"].index(100), answer.curves["lines"]["lr/head"]
    assert curve["after"][at] == 0.5 * curve["before"][at] == 0.5 * job.scheduler.value(100)
    assert job.used == by_hand(-1, None, 60)


def test_an_answer_has_the_length_of_the_run_and_the_last_one_is_known(tmp_path: Path) -> None:
    assert Mailbox(tmp_path).end() is None
    job = Job(tmp_path)
    job.train(10)
    ask(tmp_path, "extend", total_steps=300)
    job.train(10)
    shown = ask(tmp_path, "hold", is_trial=True, over=20)
    job.train(10)
    assert answer_to(tmp_path, shown).end == 320
    assert Mailbox(tmp_path).end() == 300
    ask(tmp_path, "checkpoint")
    job.train(10)
    assert Mailbox(tmp_path).end() == 300


def test_a_folder_of_requests_that_is_a_link_is_not_written_to(tmp_path: Path) -> None:
    job = Job(tmp_path / "run")
    (tmp_path / "other").mkdir()
    (tmp_path / "run" / "commands").symlink_to(tmp_path / "other")
    with pytest.raises(wd.errors.TrainingError, match="commands is a link"):
        wd.tell(tmp_path / "run", "stop", wait=0)
    assert list((tmp_path / "other").iterdir()) == []
    job.train(1)


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # it may have threads
def test_a_second_process_does_what_the_first_one_reads(tmp_path: Path) -> None:
    def used_by(rank: int) -> list[list[float]]:
        job = Job(tmp_path)
        if rank == 0:
            ask(tmp_path, "rescale", factor=0.5)
        job.train(4)
        return job.used

    expected = by_hand(1, lambda scheduler: scheduler.rescale(0.5), 4)

    def second() -> None:
        assert used_by(1) == expected

    with as_first_of_two(second, tmp_path):
        assert used_by(0) == expected


def test_a_place_where_no_folder_can_be_and_no_update_between_looks_are_refused(
    tmp_path: Path,
) -> None:
    with pytest.raises(wd.errors.TrainingError, match=r"Commands\(every=0\): at least 1 update"):
        wd.Commands(tmp_path, every=0)
    (tmp_path / "file").touch()
    with pytest.raises(wd.errors.TrainingError, match=r"no folder can be made there: .+ Give ano"):
        wd.Commands(tmp_path / "file" / "run")


@pytest.mark.slow
def test_all_processes_do_it_at_one_update(tmp_path: Path) -> None:
    torchrun("told.py", tmp_path, 2)
    used, other = (
        [float(line) for line in (tmp_path / f"used-{rank}.txt").read_text().split()]
        for rank in (0, 1)
    )
    assert used == other
    answers = [
        json.loads(path.read_text()) for path in sorted(tmp_path.glob("commands/*.answer.json"))
    ]
    first, second, stop = (answer["update"] for answer in answers)
    assert 20 < first <= 31
    assert 90 < second <= 101
    assert 140 < stop <= 151
    factors = [0.5 ** ((step >= first) + (step >= second)) for step in range(stop)]
    expected = [factor * (1 - step / 200) for step, factor in enumerate(factors)]
    assert used == pytest.approx(expected, rel=1e-15)


def test_every_command_is_tried_here() -> None:
    assert {*ACTS, "checkpoint", "stop"} == set(COMMANDS)


@pytest.mark.parametrize("at", [0, 5, 20, 100, 199])
def test_a_hold_puts_the_rest_off(at: int) -> None:
    held = by_hand(at, lambda scheduler: scheduler.hold(30), 230)
    plain = by_hand(-1, None, 200)
    assert held[: at + 1] == plain[: at + 1]
    assert held[at : at + 31] == [plain[at]] * 31
    assert held[at + 30 :] == plain[at:]


def test_a_hold_moves_the_end_of_a_decay_and_of_the_run() -> None:
    job = by_hand(120, lambda scheduler: (scheduler.decay_now(40), scheduler.hold(10)), 171)
    assert job[120:131] == [job[120]] * 11
    assert job[170] == [0.0, 0.0]
    optimizer = torch.optim.SGD([Parameter(torch.ones(1))], lr=0.4)
    scheduler = wd.Scheduler(optimizer, lr=PLAN, total_steps=LENGTH)
    scheduler.seek(120)
    scheduler.hold(10)
    assert scheduler.writer.timeline.end == 210
    scheduler.extend(300)
    assert scheduler.writer.timeline.end == 300
    assert scheduler.value(299) == pytest.approx(0.04, abs=1e-4)
    again = wd.Scheduler(torch.optim.SGD([Parameter(torch.ones(1))], lr=0.4), lr=PLAN,
                         total_steps=LENGTH)  # fmt: skip
    again.load_state_dict(scheduler.state_dict())
    assert [again.value(step) for step in range(310)] == [
        scheduler.value(step) for step in range(310)
    ]


def test_a_hold_of_one_field_leaves_the_others() -> None:
    optimizer = torch.optim.AdamW([Parameter(torch.ones(1))], lr=0.4, weight_decay=0.1)
    scheduler = wd.Scheduler(optimizer, lr=PLAN, weight_decay=PLAN, total_steps=LENGTH)
    plain = [scheduler.value(step, "weight_decay") for step in range(LENGTH)]
    scheduler.seek(50)
    scheduler.hold(10, "lr")
    assert [scheduler.value(step, "weight_decay") for step in range(LENGTH)] == plain
    assert scheduler.value(60) == scheduler.value(50)
