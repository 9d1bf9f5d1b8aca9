"""Files are found, read and fixed from the shell, from flake8 and from Python."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from warmdown import SpecError
from warmdown.cli.lint import command
from warmdown.lint import files, fix_text, lint_files, lint_text
from warmdown.lint.files import HINTS
from warmdown.lint.flake8 import Plugin
from warmdown.lint.patterns import SCHEDULERS
from warmdown.lint.reader import read_script
from warmdown.lint.rules import RULES

WRONG = """\
from torch.optim.lr_scheduler import ReduceLROnPlateau, StepLR
one = StepLR(optimizer, 10, verbose=True)
two = ReduceLROnPlateau(optimizer)
two.step()
"""
MENDED = WRONG.replace(", verbose=True", "")


def lint(*arguments: str | Path, text: str | None = None) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments], input=text)


def test_the_rules_are_listed_for_people_and_for_programs() -> None:
    lines = lint("--rules").output.splitlines()
    rows = json.loads(lint("--rules", "--json").output)
    assert lines == [f"{row['code']}  {row['name']}  ({row['page']})" for row in rows]
    assert len(rows) == len(RULES)
    assert lint().exit_code == 2


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


def notebook(*cells: tuple[str, str]) -> str:
    rows = [{"cell_type": kind, "source": text.splitlines(True)} for kind, text in cells]
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": rows})


MAGICS = """\
%matplotlib inline
!pip install torch
files = !ls
for name in files:
    !cat {name}
torch.optim?
from torch.optim.lr_scheduler import StepLR"""
CELLS = [
    ("code", MAGICS),
    ("markdown", "# Train\nscheduler.step("),
    ("code", "%%bash\nscheduler.step() ("),
    ("code", "this is no Python"),
    ("code", "%%time\none = StepLR(opt, 1, verbose=True)"),
]


def test_the_code_cells_of_a_notebook_are_read_and_found_by_cell_and_line(tmp_path: Path) -> None:
    path = tmp_path / "train.ipynb"
    path.write_text(notebook(*CELLS))
    result = lint("--fix", tmp_path)
    assert f"{path}:cell 5:2:22: WDL004" in result.stdout
    assert "--fix corrects it" not in result.stdout
    assert path.read_text() == notebook(*CELLS)
    (row,) = json.loads(lint("--json", path).stdout)["findings"]
    assert (row["cell"], row["line"], row["column"], row["fixable"]) == (5, 2, 22, False)


def test_a_loop_in_one_cell_is_judged_with_the_scheduler_of_another(tmp_path: Path) -> None:
    path = tmp_path / "train.ipynb"
    made = "from torch.optim.lr_scheduler import StepLR\nscheduler = StepLR(optimizer, 30)"
    loop = "for batch in loader:\n    scheduler.step()\n    optimizer.step()"
    path.write_text(notebook(("code", made), ("code", loop)))
    assert f"{path}:cell 2:2:5: WDL001" in lint(path).stdout


@pytest.mark.parametrize("text", ["", "[]", '{"cells": [{}]}', '{"worksheets": []}'])
def test_what_is_no_notebook_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "train.ipynb").write_text(text)
    result = lint(tmp_path)
    assert result.exit_code == 2
    assert "train.ipynb: not a Jupyter notebook" in result.stderr


@pytest.mark.parametrize("glob", ["old", "old/*", "old/deep/train.py", "train*", "old/"])
def test_files_and_folders_can_be_left_out_by_globs(tmp_path: Path, glob: str) -> None:
    (tmp_path / "old" / "deep").mkdir(parents=True)
    (tmp_path / "old" / "deep" / "train.py").write_text(WRONG)
    (tmp_path / "other.py").write_text(WRONG)
    rows = json.loads(lint("--json", "--exclude", glob, tmp_path).stdout)["findings"]
    assert {row["path"] for row in rows} == {str(tmp_path / "other.py")}
    assert lint("--exclude", glob, tmp_path / "old" / "deep" / "train.py").exit_code == 1


def test_a_project_has_its_settings_and_the_command_line_adds_to_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pyproject.toml").write_text(
        '[tool.warmdown.lint]\nexclude = ["old"]\nselect = ["wdl003", "WDL004"]\n'
        'ignore = ["WDL003"]\n'
    )
    for folder in ("old", "new"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "train.py").write_text(WRONG)
    monkeypatch.chdir(tmp_path / "new")
    found = json.loads(lint("--json", tmp_path).stdout)["findings"]
    assert [(Path(row["path"]).parent.name, row["code"]) for row in found] == [("new", "WDL004")]
    assert lint("--ignore", "WDL004", tmp_path).exit_code == 0
    assert lint("--select", "WDL001", tmp_path).exit_code == 0
    assert lint("--exclude", "train.py", tmp_path).exit_code == 0


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("exclud = []", r"lint\(exclud=\[\]\): there is no such setting. Did you mean 'exclude'"),
        ('ignore = "WDL001"', r"lint\(ignore='WDL001'\): not a list of texts. Write ignore ="),
        ('select = ["WDL01"]', "there is no rule 'WDL01'. Did you mean"),
        ("select = [", "pyproject.toml: can not be read: "),
    ],
)
def test_a_setting_that_is_wrong_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, error: str
) -> None:
    (tmp_path / "pyproject.toml").write_text(f"[tool.warmdown.lint]\n{line}\n")
    monkeypatch.chdir(tmp_path)
    result = lint("train.py")
    assert result.exit_code == 2
    assert re.search(error, result.output)


def test_every_name_of_a_scheduler_is_seen_before_a_file_is_read() -> None:
    for path in SCHEDULERS:
        name = path.rpartition(".")[-1]
        module = "warmdown" if name == "Scheduler" else "torch.optim.lr_scheduler"
        if SCHEDULERS[path] == "transformers":
            module = "transformers"
        made = f"from {module} import {name}\ns = {name}(optimizer=Adam(net.parameters()))\n"
        assert read_script(ast.parse(made), [], frozenset()).schedulers, path
        assert any(hint in name for hint in HINTS), path


def test_many_files_are_read_by_several_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [tmp_path / f"{number}.py" for number in range(3)]
    for path in paths[:2]:
        path.write_text(WRONG)
    paths[2].write_text("def (")
    one = list(lint_files(paths))
    monkeypatch.setattr(files, "FEW", 1)
    assert list(lint_files(paths)) == one
    assert "2.py:1: not Python" in str(one[2])
