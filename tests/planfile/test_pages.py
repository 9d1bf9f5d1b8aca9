"""The pages about plan files and checks, held to what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import warmdown as wd
from warmdown.checks import CODES
from warmdown.expressions import PLACEHOLDERS
from warmdown.planfile import shapes

DOCS = Path(__file__).parents[2] / "docs"
PLAN_FILES = (DOCS / "plan-files.md").read_text(encoding="utf-8")
CHECKS = (DOCS / "checks.md").read_text(encoding="utf-8")
RUN = wd.Run(total_steps=10_000, lr=3e-4)


def yaml_blocks(text: str) -> list[str]:
    """Return the YAML of a page."""
    return re.findall(r"```yaml\n(.*?)```", text, flags=re.DOTALL)


@pytest.mark.parametrize("text", yaml_blocks(PLAN_FILES))
def test_every_plan_of_the_page_is_one_that_can_be_run(text: str) -> None:
    plan = wd.loads(text) if "run:" in text else wd.loads(text, run=RUN)
    assert [finding for finding in wd.check(plan) if finding.severity == "error"] == []
    assert wd.loads(wd.dumps(plan)) == plan


def test_the_mistakes_on_the_page_are_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("plan.yaml").write_text(
        "run: {total_step: 5}\nlr:\n- {kind: linaer}\n- {kind: cosine, end: ten}\n",
        encoding="utf-8",
    )
    with pytest.raises(wd.SpecError) as caught:
        wd.load("plan.yaml")
    assert f"```text\n{caught.value}\n```" in PLAN_FILES


def test_every_placeholder_is_on_the_page() -> None:
    told = {name for name in PLACEHOLDERS if f"%{name}%" in PLAN_FILES}
    assert PLACEHOLDERS.keys() - told == {"PER_PROCESS_NUM_UPDATE_STEPS_PER_EPOCH"}


SECTIONS = dict(re.findall(r"^### (\S+)\n(.*?)(?=^##|\Z)", CHECKS, flags=re.MULTILINE | re.DOTALL))


def test_every_code_has_its_section() -> None:
    assert SECTIONS.keys() == CODES.keys()


@pytest.mark.parametrize("code", sorted(CODES))
def test_the_plan_of_a_section_gets_its_finding(code: str) -> None:
    (text,) = yaml_blocks(SECTIONS[code])
    found = {finding.code: finding for finding in wd.check(wd.loads(text))}
    assert code in found
    headings = {"error": "Errors", "warning": "Warnings", "note": "Notes"}
    before = CHECKS[: CHECKS.index(f"### {code}\n")]
    assert (
        re.findall(r"^## (\w+)$", before, flags=re.MULTILINE)[-1] == headings[found[code].severity]
    )


def test_no_page_names_a_shape_that_is_not_there() -> None:
    assert (
        set(re.findall(r"\bkind: (\w+)[,}]", PLAN_FILES + CHECKS)) - {"linaer"} <= shapes().keys()
    )
