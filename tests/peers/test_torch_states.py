"""States that six versions of torch have saved go on in ours, and ours have what they look for."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from tests.compat.loops import through_a_file
from tests.compat.parity import OURS
from tests.compat.torch_names import momentum
from tests.peers.make_torch_states import FILE, MADE, STEPS, walk

SAVED = json.loads(FILE.read_text(encoding="utf-8"))


def as_saved(value: Any) -> Any:
    """Return an entry as it was saved: methods as functions, milestones counted."""
    if isinstance(value, dict) and set(value) == {"method"}:
        return lambda *arguments: arguments
    if isinstance(value, dict) and all(key.isdigit() for key in value):
        return Counter({int(key): count for key, count in value.items()})
    return value


@pytest.mark.parametrize("name", MADE)
@pytest.mark.parametrize("version", SAVED)
def test_a_state_of_any_version_goes_both_ways(version: str, name: str) -> None:
    saved = SAVED[version][name]
    scheduler = getattr(OURS, name)(momentum(), *MADE[name])
    for group, held in zip(scheduler.optimizer.param_groups, saved["groups"], strict=True):
        group.update(held)
    scheduler.load_state_dict({key: as_saved(value) for key, value in saved["state"].items()})
    assert walk(scheduler, len(saved["next"])) == [
        pytest.approx(row, rel=1e-12, abs=1e-15) for row in saved["next"]
    ]
    ours = getattr(OURS, name)(momentum(), *MADE[name])
    walk(ours, STEPS)
    given_back = through_a_file(ours.state_dict())
    changing = {"last_epoch", "_last_lr", "base_lrs", "T_cur", "T_i"}
    for key in changing & saved["state"].keys():
        assert given_back[key] == pytest.approx(saved["state"][key], rel=1e-12), key
