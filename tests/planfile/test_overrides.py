"""Values put into data by their path."""

from __future__ import annotations

import pytest

from warmdown.errors import SpecError
from warmdown.planfile import with_overrides

DATA = {"lr": [{"kind": "linear", "steps": 5}, {"kind": "cosine"}], "betas[0]": {"set": 0.9}}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("lr[0].steps", {**DATA, "lr": [{"kind": "linear", "steps": 9}, {"kind": "cosine"}]}),
        (
            "lr[1].end",
            {**DATA, "lr": [{"kind": "linear", "steps": 5}, {"kind": "cosine", "end": 9}]},
        ),
        ("lr[1]", {**DATA, "lr": [{"kind": "linear", "steps": 5}, 9]}),
        ("betas[0].set", {**DATA, "betas[0]": {"set": 9}}),
        ("betas[1].set", {**DATA, "betas[1]": {"set": 9}}),
        ("run.total_steps", {**DATA, "run": {"total_steps": 9}}),
        ("lr", {**DATA, "lr": 9}),
    ],
)
def test_a_path_leads_to_one_value(path: str, value: object) -> None:
    assert with_overrides(DATA, {path: 9}) == value


def test_the_data_given_is_not_touched() -> None:
    before = repr(DATA)
    with_overrides(DATA, {"lr[0].steps": 9, "run.lr": 1})
    assert repr(DATA) == before


def test_every_path_that_leads_nowhere_is_told() -> None:
    with pytest.raises(SpecError) as caught:
        with_overrides(DATA, {"lr[2].end": 1, "lr.end": 1, "lr[0].kind.x": 1, ".": 1})
    assert [mistake.split(":")[0] for mistake in caught.value.mistakes] == [
        "lr[2].end",
        "lr.end",
        "lr[0].kind.x",
        ".",
    ]
