"""What the commands print of a hostile file: its words, and nothing that a terminal obeys."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.hostile import EVIL

from warmdown.cli.main import main
from warmdown.errors import printable

NAME = json.dumps("\x1b]0;evil\x07\x1b[2J\u202e")
PLAN = f"""
run: {{total_steps: 20, lr: 0.1}}
lr:
  - {{kind: linear, start: 0, end: 1, steps: 5, name: {NAME}}}
  - {{kind: cosine, name: {NAME}}}
{NAME}:
  groups: {{{NAME}: {{kind: cosine, name: {NAME}}}}}
"""
WRONG = (
    f"{NAME}: {{kind: {NAME}, {NAME}: {NAME}}}\n"
    f"lr: {{groups: {{{NAME}: {{kind: cosine, steps: {NAME}}}}}}}\n"
)
SCRIPT = "from torch.optim.lr_scheduler import StepLR\ns = StepLR(opt, 10, verbose=True)\n"


def printed(*words: str | Path) -> str:
    """Return all that a command prints where colours are wanted."""
    result = CliRunner().invoke(main, [str(word) for word in words], color=True)
    assert result.exit_code in (0, 1, 2), result.stderr
    return result.output + result.stderr


@pytest.mark.parametrize(
    "words", [("show",), ("show", "--format", "table"), ("show", "--format", "csv"), ("check",)]
)
@pytest.mark.parametrize("text", [PLAN, WRONG], ids=["plan", "wrong"])
def test_a_plan_s_names_reach_the_terminal_and_are_not_obeyed(
    tmp_path: Path, words: tuple[str, ...], text: str
) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(text, encoding="utf-8")
    output = printed(words[0], path, *words[1:])
    assert "\\x1b]0;evil\\x07\\x1b[2J\\u202e" in output
    assert_obeys_nothing(output)


def test_a_settings_file_s_texts_are_not_obeyed(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    for settings in (
        {"learning_rate_scheduler": EVIL},
        {"lr_scheduler_type": EVIL},
        {EVIL: 1},
        {"class_path": EVIL},
    ):
        path.write_text(json.dumps(settings), encoding="utf-8")
        assert_obeys_nothing(printed("import", path, "--total-steps", "10"))


def test_a_file_s_name_is_not_obeyed(tmp_path: Path) -> None:
    script = tmp_path / "evil\x1b[2J\x07.py"
    for text in (SCRIPT, "("):
        script.write_text(text, encoding="utf-8")
        output = printed("lint", script)
        assert "evil\\x1b[2J\\x07.py" in output
        assert_obeys_nothing(output)
    assert_obeys_nothing(printed("search", tmp_path / "none\x1b[2J"))
    assert_obeys_nothing(printed("show", "none\x1b[2J"))
    assert_obeys_nothing(printed("none\x1b[2J"))


@pytest.mark.parametrize("command", ["train", "compare"])
def test_a_training_under_hostile_names_is_not_led_by_them(tmp_path: Path, command: str) -> None:
    path = tmp_path / "evil\x1b[2J.yaml"
    path.write_text(PLAN.split(f"\n{NAME}:")[0], encoding="utf-8")
    few: list[str | Path] = ["--max-steps", "20", "--out", tmp_path / "out"]
    more = ["--track", "none"] if command == "train" else ["--seeds", "1", "--engine", "serial"]
    output = printed(command, path, *few, *more)
    assert "evil\\x1b[2J" in output
    assert_obeys_nothing(output)


def assert_obeys_nothing(output: str) -> None:
    """Only our own colours are left when the names are out."""
    for colour in (0, *range(30, 38), *range(90, 98)):
        output = output.replace(f"\x1b[{colour}m", "")
    assert printable(output) == output
    assert output
