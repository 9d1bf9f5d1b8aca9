"""``warmdown lint``: find scheduler mistakes in Python code."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path

import click
from click import option

from warmdown.cli.options import PATH, json_option
from warmdown.cli.say import say
from warmdown.errors import SpecError, nearest
from warmdown.lint import RULES, Finding, fix_text, lint_file, lint_text, page_of, python_files

_STDIN = Path("-")


@click.command(name="lint")
@click.argument("paths", nargs=-1, type=PATH)
@option("--fix", is_flag=True, help="Make the fixes that are safe, in place.")
@option("--select", metavar="CODES", default="", help="Ask these rules only: WDL001,WDL004.")
@option("--ignore", metavar="CODES", default="", help="Leave these rules out.")
@json_option
@option("--rules", "list_rules", is_flag=True, help="List the rules and stop.")
def command(
    paths: tuple[Path, ...], fix: bool, select: str, ignore: str, as_json: bool, list_rules: bool
) -> None:
    """Find scheduler mistakes in Python files and folders; - is standard input.

    Exits with 0 when nothing is found, 1 when something is, 2 when a file could not be read.
    """
    if list_rules:
        for code, rule in RULES.items():
            say(f"{code}  {rule.name}  ({page_of(code)})")
        return
    if not paths:
        raise click.UsageError("give a Python file, a folder, or - for standard input.")
    codes = _codes(select) or list(RULES)
    hushed = set(_codes(ignore))
    sys.exit(_lint(paths, [code for code in codes if code not in hushed], fix, as_json))


def _lint(paths: Iterable[Path], codes: list[str], fix: bool, as_json: bool) -> int:
    rows: list[tuple[str, Finding]] = []
    broken: list[str] = []
    fixed = 0
    writes_script = False
    for path in _files_of(paths):
        try:
            if path == _STDIN:
                writes_script = fix
                findings, count = _lint_standard_input(codes, fix)
            else:
                findings, count = lint_file(path, codes=codes, fix=fix)
        except SpecError as error:
            broken += error.mistakes
            continue
        rows += [(str(path), finding) for finding in findings]
        fixed += count
    # the fixed script is on standard output, so the findings go beside it
    _print_findings(rows, fixed, as_json, err=writes_script)
    for mistake in broken:
        say(mistake, err=True)
    return 2 if broken else 1 if rows else 0


def _files_of(paths: Iterable[Path]) -> Iterable[Path]:
    for path in paths:
        yield from [path] if path == _STDIN else python_files([path])


def _lint_standard_input(codes: list[str], fix: bool) -> tuple[list[Finding], int]:
    """Lint standard input; with ``fix`` the fixed script goes to standard output."""
    text, fixed = sys.stdin.read(), 0
    if fix:
        text, fixed = fix_text(text, name="-", codes=codes)
        click.echo(text, nl=False)
    return lint_text(text, name="-", codes=codes), fixed


def _print_findings(
    rows: list[tuple[str, Finding]], fixed: int, as_json: bool, *, err: bool
) -> None:
    if as_json:
        data = [{"path": path, **finding.to_dict()} for path, finding in rows]
        say(json.dumps({"findings": data, "fixed": fixed}, indent=2), err=err)
        return
    for path, finding in rows:
        place = f"{path}:{finding.line}:{finding.column}"
        mark = " [--fix corrects it]" if finding.is_fixable else ""
        say(f"{place}: {finding.code} {finding.message}{mark}", err=err)
    total = f"{len(rows)} finding{'' if len(rows) == 1 else 's'}" if rows else "nothing found"
    say(f"{total}{f', {fixed} fixed' if fixed else ''}.", err=True)


def _codes(text: str) -> list[str]:
    codes = [code.strip().upper() for code in text.split(",") if code.strip()]
    for code in codes:
        if code not in RULES:
            raise click.UsageError(f"there is no rule {code!r}. {nearest(code, RULES)}")
    return codes
