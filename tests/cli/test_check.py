"""``warmdown check``."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner, Result

from warmdown.checks import CODES
from warmdown.cli.main import main


def check(*words: str) -> Result:
    """Return what ``warmdown check`` did."""
    return CliRunner().invoke(main, ["check", *words])


def test_a_clean_plan_is_said_to_be_with_code_nought(tmp_path: Path) -> None:
    (tmp_path / "plan.yaml").write_text("lr: {kind: warmup_cosine, start: 0.01}")
    result = check(str(tmp_path / "plan.yaml"), "--total-steps", "10000")
    assert (result.exit_code, result.stdout) == (0, "clean: nothing is wrong with it.\n")


def test_a_note_is_told_and_is_no_fault() -> None:
    result = check("warmup_cosine", "--total-steps", "10000")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "note[zero-first-update] lr: update 0 uses 0 and changes nothing. A start above 0 would "
        "use it.",
        "clean: nothing is wrong with it.",
    ]


def test_a_finding_has_code_numbers_and_way_out_with_code_one() -> None:
    result = check("cosine", "--param", "steps=500", "--total-steps", "1000")
    assert result.exit_code == 1
    assert result.stdout == (
        "warning[holds-early] lr: its decay ends at update 500, and the last 50% of the run (500 "
        "updates) use 0, which "
        "changes nothing. Let the last phase take the 'rest', or shorten the run.\n"
    )


def test_a_plan_that_cannot_be_used_has_code_two() -> None:
    result = check("cosine", "--param", "steps=500", "--total-steps", "100")
    assert result.exit_code == 2
    assert result.stdout.startswith("error[does-not-fit] lr: ")
    assert check("cosine").exit_code == 2
    assert check("cosin").exit_code == 2
    assert (
        check("cosin").stderr
        == "Error: 'cosin': neither a file nor a shape. Did you mean 'cosine'?\n"
    )


def test_json_holds_the_same() -> None:
    result = check("cosine", "--param", "steps=500", "--total-steps", "1000", "--json")
    (finding,) = json.loads(result.stdout)
    assert (result.exit_code, finding["code"], finding["step"]) == (1, "holds-early", 500)
    assert finding["numbers"] == {"value": 0.0, "updates": 500}
    assert (
        json.loads(
            check("warmup_cosine", "--param", "start=0.1", "--total-steps", "1000", "--json").stdout
        )
        == []
    )


def test_explain_tells_what_a_code_means() -> None:
    assert (
        CODES["zero-first-update"]
        in check("warmup_cosine", "--total-steps", "1000", "--explain").stdout
    )
