"""A state that was edited and adds up all the same is read, or refused as a state: nothing between.

Every value in a whole state is replaced in turn, inside its texts too.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterator
from typing import Any

import pytest
from tests.binding.test_identities import DOWN, RUN, head_and_body

import warmdown as wd
from warmdown.binding.joining import POLICIES
from warmdown.binding.state import checksum
from warmdown.plan import fingerprint_of_data

TEXTS = ("events", "seen", "plan", "bases")
PLATEAU = wd.Cosine() * wd.Plateau(metric="loss", patience=0, factor=0.5)
PLAN = wd.Plan.of(lr={"head": PLATEAU, "*": DOWN}, weight_decay=PLATEAU, run=RUN)
OTHERS: list[Any] = [None, True, -1, 0, 10**30, 1e308, math.inf, math.nan, "", "x", [], {}, [[]]]


def eventful() -> dict[str, Any]:
    """Return a whole state in which everything has happened, its texts read."""
    before = wd.Scheduler(head_and_body(), PLAN)
    before.seek(10)
    before.observe(loss=1.0)
    before.rescale(0.5, group="head")
    longer = wd.Plan.of(lr={"head": PLATEAU, "*": DOWN}, weight_decay=PLATEAU)
    scheduler = wd.Scheduler(head_and_body(), longer, run=wd.Run(total_steps=150))
    scheduler.load_state_dict(before.state_dict(), "given")
    scheduler.seek(20)
    scheduler.observe(loss=1.0)
    scheduler.extend(200, "continue")
    scheduler.decay_now(50, group="body")
    state = scheduler.state_dict()
    return {key: json.loads(value) if key in TEXTS else value for key, value in state.items()}


def leaves(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    pairs = data.items() if isinstance(data, dict) else enumerate(data)
    for key, value in pairs:
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from leaves(value, (*path, key))


def edited(state: dict[str, Any], path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    """Return the state with another value at a path, its texts written and its checksum right."""
    changed = json.loads(json.dumps(state))
    place = changed
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    if path[0] == "plan" and isinstance(changed["plan"], dict):
        changed["print"] = fingerprint_of_data(changed["plan"])
    for key in TEXTS:
        changed[key] = json.dumps(changed[key])
    return {**changed, "check": checksum(changed)}


@pytest.mark.parametrize(("part", "policy"), [(0, "saved"), (1, "given"), (2, "fit")])
@pytest.mark.filterwarnings("ignore::warmdown.errors.WarmdownWarning")
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_an_edited_state_is_read_or_refused_and_never_half(part: int, policy: Any) -> None:
    refused, state = 0, eventful()
    optimizer = head_and_body()
    scheduler = wd.Scheduler(optimizer, PLAN)
    for place, path in list(enumerate(leaves(state)))[part::7]:
        value = OTHERS[place % len(OTHERS)]
        before = str((scheduler.state_dict(), optimizer.param_groups))
        try:
            scheduler.load_state_dict(edited(state, path, value), policy)
        except wd.StateError:
            refused += 1
            assert str((scheduler.state_dict(), optimizer.param_groups)) == before, path
            continue
        assert all(map(math.isfinite, scheduler.values().values())), (path, value)
        optimizer.step()
        scheduler.step()
        optimizer = head_and_body()
        scheduler = wd.Scheduler(optimizer, PLAN)
    assert refused > 9


@pytest.mark.parametrize("key", TEXTS)
@pytest.mark.parametrize("text", ["{", "[" * 100_000, "NaN", '"x"', "[1]", "1" * 5_000])
def test_a_text_that_is_no_data_is_refused(key: str, text: str) -> None:
    scheduler = wd.Scheduler(head_and_body(), PLAN)
    state = {**scheduler.state_dict(), key: text}
    with pytest.raises(wd.StateError):
        scheduler.load_state_dict({**state, "check": checksum(state)})


LINEAR, COSINE = wd.Linear(start=1.0, end=0.2), wd.Cosine(end=0.1)
PLANS = [
    wd.Plan.of(lr=COSINE, run=RUN),
    wd.Plan.of(lr={"head": LINEAR, "*": COSINE}, run=RUN),
    wd.Plan.of(lr={"*": COSINE, "head": LINEAR}, run=RUN),
    wd.Plan.of(weight_decay=wd.Set(LINEAR), lr=LINEAR, run=RUN),
    wd.Plan.of(lr=wd.Scale(COSINE, offset=wd.Constant(value=0.01), low=0.02), run=RUN),
    wd.Plan.of(lr=COSINE, run=wd.Run(clock="tokens", budget="1000tok", tokens_per_step=10)),
]


@pytest.mark.filterwarnings("ignore::warmdown.errors.WarmdownWarning")
@pytest.mark.parametrize("given", range(len(PLANS)))
@pytest.mark.parametrize("saved", range(len(PLANS)))
def test_any_two_plans_give_the_values_of_the_one_that_wins_or_a_refusal(
    saved: int, given: int
) -> None:
    first = head_and_body()
    trunk = wd.Scheduler(first, PLANS[saved])
    for _ in range(5):
        first.step()
        trunk.step()
    states = copy.deepcopy(first.state_dict()), trunk.state_dict()
    for place, policy in enumerate(POLICIES):
        optimizer = head_and_body()
        if (saved + given + place) % 2:
            optimizer.load_state_dict(states[0])
        scheduler = wd.Scheduler(optimizer, PLANS[given])
        before = str((scheduler.state_dict(), optimizer.param_groups))
        try:
            scheduler.load_state_dict(states[1], policy)  # type: ignore[arg-type]
        except wd.StateError:
            assert str((scheduler.state_dict(), optimizer.param_groups)) == before
            assert saved != given
            continue
        assert scheduler.count == 5
        if policy in ("saved", "given", "error"):
            winner = PLANS[given if policy == "given" else saved]
            oracle = wd.Scheduler(head_and_body(), winner)
            oracle.seek(5 if winner.run.clock == "updates" else 50)
            assert scheduler.values() == pytest.approx(oracle.values())
        optimizer.step()
        scheduler.step()
