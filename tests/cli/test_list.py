"""``warmdown list``."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner, Result
from tests.strategies import OURS

import warmdown as wd
from warmdown.cli.main import main
from warmdown.studio.draft.catalogue import example_data, example_schedule


def listed(*words: str) -> Result:
    """Return what ``warmdown list`` did."""
    return CliRunner(env={"COLUMNS": "100"}).invoke(main, ["list", *words])


def test_every_shape_and_recipe_has_one_line_with_a_sparkline() -> None:
    lines = listed().stdout.splitlines()
    for name in OURS:
        (line,) = [line for line in lines if line.startswith(f"  {name} ")]
        assert set(line.split()[1]) <= set("▁▂▃▄▅▆▇█")
        assert len(line.split()[1]) == 16
        assert len(line) <= 100


def test_words_narrow_the_list() -> None:
    assert [
        line.split()[0] for line in listed("restarts").stdout.splitlines() if line[:1] == " "
    ] == [
        "cosine_restarts",
        "cosine_waves",
    ]
    assert listed("nosuchword").stdout == "nothing has nosuchword in its name or description.\n"


def test_json_tells_parameters_and_values() -> None:
    found = {shape["name"]: shape for shape in json.loads(listed("--json").stdout)}
    assert found["cosine"]["parameters"] == {
        "start": "1.0",
        "end": "0.0",
        "steps": "rest",
        "k": "1.0",
        "exponent": "1.0",
    }
    assert found["noam"]["parameters"]["d_model"] is None
    assert (found["wsd"]["type"], found["linear"]["type"]) == ("recipe", "shape")
    assert found["linear"]["values"][10] == 0.5


@pytest.mark.parametrize("kind", OURS)
def test_every_example_is_measured_and_finite(kind: str) -> None:
    example = example_schedule(example_data(kind))
    assert isinstance(example, wd.Schedule)
    assert example.is_resolved
    assert all(0 <= example(step) < 20 for step in range(0, 1001, 7))
