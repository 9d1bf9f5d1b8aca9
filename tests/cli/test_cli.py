"""The command line as a whole: its names, its errors, and how little it loads."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from warmdown import __version__
from warmdown.cli.main import COMMANDS, Entry, LazyGroup, main


def run(*words: str) -> Result:
    """Return what a command did."""
    return CliRunner().invoke(main, words)


def test_every_command_is_listed_without_being_loaded() -> None:
    help_text = run("--help").output
    for name, entry in COMMANDS.items():
        assert f"\n  {name} " in help_text
        assert entry.help.split()[0] in help_text


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_that_is_there_has_help(name: str) -> None:
    result = run(name, "--help")
    assert result.exit_code == 0
    assert result.output.startswith(f"Usage: main {name}")
    assert "\\b" not in result.output


def test_the_version_is_told() -> None:
    assert run("--version").output == f"warmdown, version {__version__}\n"


def test_a_misspelt_command_is_met_with_the_nearest() -> None:
    result = run("shwo")
    assert result.exit_code == 2
    assert "there is no command 'shwo'. Did you mean 'show'?" in result.stderr


def test_an_unknown_option_is_a_usage_error() -> None:
    assert run("--colour").exit_code == 2


GROUP = LazyGroup(
    entries={
        "absent": Entry("Not there."),
        "broken": Entry("Needs a library.", "train"),
        "show": Entry("There."),
    }
)


def test_a_command_that_is_not_part_of_an_installation_says_so() -> None:
    result = CliRunner().invoke(GROUP, ["absent"])
    assert result.exit_code == 2
    assert (
        result.stderr
        == f"Error: warmdown absent: this command is not part of warmdown {__version__}. Upgrade "
        f"it.\n"
    )


def test_a_command_whose_library_is_missing_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "broken.py").write_text("import not_installed_at_all")
    import warmdown.cli as commands

    monkeypatch.setattr(commands, "__path__", [*commands.__path__, str(tmp_path)])
    result = CliRunner().invoke(GROUP, ["broken"])
    assert result.exit_code == 2
    assert (
        result.stderr
        == "Error: warmdown broken needs not_installed_at_all: pip install 'warmdown[train]'\n"
    )


def test_a_missing_module_of_ours_is_a_defect_with_its_traceback(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "broken.py").write_text("import warmdown.not_there")
    import warmdown.cli as commands

    monkeypatch.setattr(commands, "__path__", [*commands.__path__, str(tmp_path)])
    result = CliRunner().invoke(GROUP, ["broken"])
    assert result.exit_code == 70
    assert result.stderr.endswith("No module named 'warmdown.not_there'\n")


def test_an_error_of_ours_ends_as_a_message_on_the_other_stream_and_code_two() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "warmdown", "show", "none.yaml"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert (
        done.stderr
        == "Error: none.yaml: cannot be read: No such file or directory. Check the path.\n"
    )


def test_a_defect_of_the_program_keeps_its_traceback_and_has_a_code_of_its_own() -> None:
    @click.command()
    def command() -> None:
        raise ZeroDivisionError

    group = LazyGroup(entries={})
    group.get_command = lambda ctx, name: command  # type: ignore[method-assign,assignment]
    group.entries = {"x": Entry("")}
    result = CliRunner().invoke(group, ["x"])
    assert result.exit_code == 70
    assert result.stderr.splitlines()[-1] == "ZeroDivisionError"
    with pytest.raises(ZeroDivisionError):
        group.main(["x"], standalone_mode=False)


@pytest.mark.parametrize(
    ("words", "unloaded"),
    [
        (["--help"], ["numpy", "yaml", "torch", "matplotlib"]),
        (["--version"], ["numpy", "yaml", "torch", "matplotlib"]),
        (["list"], ["torch", "matplotlib", "docstring_parser"]),
        (["show", "wsd", "--total-steps", "100"], ["torch", "matplotlib"]),
        (
            ["show", "wsd", "--total-steps", "100", "--format", "csv"],
            ["torch", "matplotlib", "plotille"],
        ),
        (["check", "warmup_cosine", "--total-steps", "100"], ["torch", "matplotlib", "plotille"]),
    ],
)
def test_a_command_loads_only_what_it_needs(words: list[str], unloaded: list[str]) -> None:
    code = f"import sys; from warmdown.cli.main import main; main({words!r}, standalone_mode=False)"
    loaded = f"print('LOADED', [name for name in {unloaded!r} if name in sys.modules])"
    script = f"import sys\ntry:\n    {code}\nexcept SystemExit:\n    pass\n{loaded}"
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        errors="replace",  # the words before are in the encoding of the system
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "LOADED []"


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_a_terminal_without_braille_shows_the_curve_in_ascii(encoding: str) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "utf8=0", "-m", "warmdown", "show", "wsd", "--total-steps", "100"],
        env={**os.environ, "PYTHONIOENCODING": encoding},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0
    picture = done.stdout.decode(encoding).split("\n\n")[0].split("\n")
    assert re.fullmatch(r"learning rate \([×x] base\) over 100 updates", picture[0])
    assert re.fullmatch(r" +1 \+ +\|-{50,}\|", picture[1].rstrip())
    assert picture[-1].strip() == "|warmup"
