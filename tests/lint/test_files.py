"""Files are found, read and fixed from the shell, from flake8 and from Python."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from warmdown import SpecError
from warmdown.cli.lint import command
from warmdown.lint import fix_text, lint_text
from warmdown.lint.flake8 import Plugin

WRONG = """\
from torch.optim.lr_scheduler import ReduceLROnPlateau, StepLR
one = StepLR(optimizer, 10, verbose=True)
two = ReduceLROnPlateau(optimizer)
two.step()
"""
MENDED = WRONG.replace(", verbose=True", "")


def lint(*arguments: str | Path, text: str | None = None) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments], input=text)


def test_a_finding_names_file_line_column_rule_and_way_out(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(WRONG)
    result = lint(script)
    assert result.exit_code == 1
    assert f"{script}:2:29: WDL004 torch has dropped verbose=" in result.stdout
    assert "Remove it, and log" in result.stdout
    assert f"{script}:4:1: WDL003 " in result.stdout
    assert "2 findings." in result.stderr


def test_a_clean_file_exits_with_zero(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("import torch\n")
    result = lint(tmp_path)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "nothing found.\n")


def test_json_is_for_scripts(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(WRONG)
    reported = json.loads(lint("--json", tmp_path).stdout)
    assert [(row["code"], row["line"], row["fixable"]) for row in reported["findings"]] == [
        ("WDL004", 2, True),
        ("WDL003", 4, False),
    ]
    assert reported["findings"][0]["page"] == "docs/lint.md#wdl004"


def test_fix_edits_what_is_safe_and_keeps_the_rest_of_the_file_and_its_permissions(
    tmp_path: Path,
) -> None:
    script = tmp_path / "train.py"
    script.write_text(WRONG)
    script.chmod(0o754)
    result = lint("--fix", script)
    assert (result.exit_code, script.read_text()) == (1, MENDED)
    assert "1 finding, 1 fixed." in result.stderr
    assert script.stat().st_mode & 0o777 == 0o754
    assert list(tmp_path.iterdir()) == [script]


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1"])
def test_fix_keeps_line_ends_and_encoding(tmp_path: Path, newline: str, encoding: str) -> None:
    head = "# -*- coding: latin-1 -*-\n" if encoding == "latin-1" else ""
    text = head + WRONG.replace("one =", "é = 'ü'; one =")
    script = tmp_path / "train.py"
    script.write_bytes(text.replace("\n", newline).encode(encoding))
    lint("--fix", script)
    assert script.read_bytes() == text.replace(", verbose=True", "").replace("\n", newline).encode(
        encoding
    )


def test_a_file_without_safe_fixes_is_not_written(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(MENDED)
    os.utime(script, (1, 1))
    lint("--fix", script)
    assert script.stat().st_mtime == 1


def test_a_failed_write_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "train.py"
    script.write_text(WRONG)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    result = lint("--fix", script)
    assert isinstance(result.exception, OSError)
    assert (script.read_text(), list(tmp_path.iterdir())) == (WRONG, [script])


def test_a_broken_file_is_named_and_the_others_are_still_judged(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("def broken(:\n")
    (tmp_path / "b.py").write_text(WRONG)
    result = lint(tmp_path)
    assert result.exit_code == 2
    assert "a.py:1: not Python" in result.stderr
    assert "WDL003" in result.stdout


def test_folders_of_environments_and_builds_are_left_out(tmp_path: Path) -> None:
    for folder in ("src", ".venv", "build", "node_modules"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "train.py").write_text(WRONG)
    assert {row["path"] for row in json.loads(lint("--json", tmp_path).stdout)["findings"]} == {
        str(tmp_path / "src" / "train.py")
    }


def test_standard_input_is_a_dash_and_its_fix_goes_to_standard_output() -> None:
    assert "-:2:29: WDL004" in lint("-", text=WRONG).stdout
    result = lint("--fix", "-", text=WRONG)
    assert result.stdout == MENDED
    assert "-:4:1: WDL003" in result.stderr


def test_rules_can_be_chosen_and_left_out(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(WRONG)
    assert "WDL003" not in lint("--select", "WDL004", tmp_path).stdout
    assert "WDL003" not in lint("--ignore", "wdl003", tmp_path).stdout
    result = lint("--select", "WDL01", tmp_path)
    assert result.exit_code == 2
    assert "there is no rule 'WDL01'. Did you mean 'WDL0" in result.stderr


def test_a_path_that_is_not_there_is_said(tmp_path: Path) -> None:
    result = lint(tmp_path / "nothing.py")
    assert "nothing.py: no such file or folder" in str(result.exception) + result.output


def test_fixing_again_changes_nothing() -> None:
    once, fixed = fix_text(WRONG)
    assert fixed == 1
    assert fix_text(once) == (once, 0)


def test_the_plugin_reports_to_flake8_what_the_command_reports() -> None:
    reported = [
        (line, column + 1, text[:6]) for line, column, text, _ in Plugin(ast.parse(WRONG)).run()
    ]
    assert reported == [(found.line, found.column, found.code) for found in lint_text(WRONG)]


def test_flake8_itself_runs_the_plugin(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(WRONG)
    call = [sys.executable, "-m", "flake8", "--isolated", "--select", "WDL", "train.py"]
    reported = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert [line.split(":")[1] for line in reported.stdout.splitlines()] == ["2", "4"], (
        reported.stderr
    )


def test_reading_a_script_imports_neither_it_nor_torch(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("raise SystemExit('was run')\n" + WRONG)
    code = "import sys; from warmdown.lint import lint_file; from pathlib import Path; "
    code += "assert lint_file(Path('train.py'))[0]; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)


@pytest.mark.parametrize(
    "loop",
    [
        "for batch in loader: scheduler.step(); optimizer.step()",
        "for batch in loader:\n    scheduler.step(); optimizer.step()",
        "for batch in loader:\n    scheduler.step()\n    if batch is None: continue\n    "
        "optimizer.step()",
    ],
)
def test_what_can_not_be_moved_safely_is_reported_and_left(loop: str) -> None:
    text = (
        f"from torch.optim.lr_scheduler import StepLR\nscheduler = StepLR(optimizer, 1)\n{loop}\n"
    )
    (found,) = lint_text(text)
    assert (found.code, found.is_fixable) == ("WDL001", False)


def test_a_fix_counts_lines_as_python_does_and_keeps_tabs() -> None:
    text = "# \x0c a form feed \u2028 is no new line\n" + WRONG.replace("two.step()", "")
    text += "for b in loader:\n\tone.step()\t# é\n\toptimizer.step()"
    fixed = text.replace(", verbose=True", "").replace("\tone.step()\t# é\n\toptimizer.step()", "")
    assert fix_text(text)[0] == fixed + "\toptimizer.step()\n\tone.step()\t# é\n"


def test_a_script_that_is_nested_too_deeply_is_refused() -> None:
    script = WRONG + "if a: pass\n" + "elif b: pass\n" * 900
    with pytest.raises(SpecError, match=r"nested too deeply to be read\. Split"):
        lint_text(script)


def test_what_is_no_file_is_left_out_without_waiting_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.py")
    (tmp_path / "folder.py").mkdir()
    (tmp_path / "gone.py").symlink_to(tmp_path / "nowhere")
    assert lint(tmp_path).exit_code == 0
