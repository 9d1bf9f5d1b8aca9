"""What a handle of the curve moves, and what stays as it was written."""

from __future__ import annotations

from typing import Any

import pytest

from warmdown.planfile import plan_from_dict
from warmdown.schedules.base import PlainData
from warmdown.studio.draft.document import get, read, targets_in
from warmdown.studio.draft.files import document_from
from warmdown.studio.draft.joints import inserted
from warmdown.studio.page.show.handles import Handle, handles_of, moved, pressed

RISE = {"kind": "linear", "start": 0, "end": 1, "steps": "5%"}


def handles(data: PlainData) -> tuple[PlainData, tuple[Handle, ...], PlainData]:
    """Return the document, its handles and how they are moved."""
    document = document_from({"run": {"total_steps": 1000, "lr": 1e-3}, **data})
    found = read(document)
    plan = plan_from_dict(found.data)
    (row,) = targets_in(document)
    return document, handles_of(document, row, plan, found.bases), {"row": row, **vars(found)}


def move(data: PlainData, at: int, x: float, y: float) -> Any:
    """Return the rule after a handle was moved."""
    document, found, how = handles(data)
    changed = moved(document, how["row"], found[at], x, y, total=1000, bases=how["bases"])
    return get(changed, how["row"].path)


def test_a_handle_stands_where_the_curve_begins_and_where_each_phase_ends() -> None:
    _, found, _ = handles({"lr": [RISE, {"kind": "cosine", "end": 0.1}]})
    assert [(one.x, one.y) for one in found] == [(0, 0.0), (50, 1e-3), (1000, 1e-4)]


def test_a_joint_stays_joined_and_a_share_stays_a_share() -> None:
    first, second = move({"lr": [RISE, {"kind": "cosine"}]}, 1, 103.0, 8.123e-4)
    assert (first["steps"], first["end"], second["start"]) == ("10.5%", 0.81, 0.81)


def test_a_joint_runs_through_a_phase_that_holds_and_a_length_at_the_end_is_moved() -> None:
    hold = {"kind": "constant", "value": 1, "steps": 100}
    phases = [RISE, hold, {"kind": "cosine", "steps": 200}]
    rise, hold, fall = move({"lr": phases}, 1, 50.0, 5e-4)
    assert (rise["end"], hold["value"], fall["start"]) == (0.5, 0.5, 0.5)
    assert move({"lr": phases}, 3, 501.0, 0.0)[2]["steps"] == 350


def test_a_joint_that_was_parted_has_two_handles_and_each_moves_alone() -> None:
    lr = [RISE, {"kind": "cosine"}]
    document, _, how = handles({"lr": lr})
    parted, plan = {"plan.lr[1].start"}, plan_from_dict(how["data"])
    found = handles_of(document, how["row"], plan, how["bases"], parted)
    assert [(one.x, one.y) for one in found] == [(0, 0.0), (50, 1e-3), (50, 1e-3), (1000, 0.0)]
    changed = moved(
        document, how["row"], found[2], 50.0, 5e-4, total=1000, bases=how["bases"], parted=parted
    )
    first, second = changed["plan"]["lr"]
    assert (first["end"], second["start"]) == (1, 0.5)


def test_one_more_phase_begins_where_the_last_one_ends_and_finds_room() -> None:
    document, _, how = handles({"lr": [RISE, {"kind": "cosine", "end": 0.1}]})
    changed = inserted(document, how["row"], 2, {"kind": "linear"}, share=95.0)
    _, fall, more = changed["plan"]["lr"]
    assert (fall["steps"], more) == ("47.5%", {"kind": "linear", "start": 0.1})
    assert plan_from_dict(read(changed).data).length == 1000


def test_phases_that_were_parted_stay_parted() -> None:
    first, second = move({"lr": [RISE, {"kind": "cosine", "start": 0.5}]}, 1, 50.0, 8e-4)
    assert (first["end"], second["start"]) == (0.8, 0.5)


def test_a_length_in_updates_is_made_round_and_stays_inside_the_run() -> None:
    phases = [{**RISE, "steps": 50}, {"kind": "cosine"}]
    assert move({"lr": phases}, 1, 123.4, 1e-3)[0]["steps"] == 120
    assert move({"lr": phases}, 1, 5000.0, 1e-3)[0]["steps"] == 1000
    assert move({"lr": phases}, 1, -5.0, 1e-3)[0]["steps"] == 1


def test_a_value_that_is_set_is_in_its_own_unit() -> None:
    rule = {"momentum": {"set": {"kind": "cosine", "start": 0.95, "end": 0.85}}}
    assert move(rule, 1, 1000.0, 0.7777)["set"]["end"] == 0.78


@pytest.mark.parametrize(("key", "x", "y"), [("ArrowRight", 60, 1e-3), ("ArrowUp", 50, 1.05e-3)])
def test_arrow_keys_move_a_handle(key: str, x: float, y: float) -> None:
    _, found, _ = handles({"lr": [RISE, {"kind": "cosine"}]})
    assert pressed(found[1], key, total=1000, top=1e-3) == pytest.approx((x, y))


@pytest.mark.parametrize("lr", ["wsd", {"kind": "sum", "terms": ["cosine", "linear"]}])
def test_what_has_no_ends_of_its_own_has_no_handles(lr: Any) -> None:
    assert handles({"lr": lr})[1] == ()
