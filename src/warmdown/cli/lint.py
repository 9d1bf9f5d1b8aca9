"""``warmdown lint``: find scheduler mistakes in Python code."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click
from click import option

from warmdown.cli.options import PATH, json_option
from warmdown.cli.say import say, say_json
from warmdown.errors import SpecError
from warmdown.lint import (
    RULES,
    Finding,
    LintSettings,
    fix_text,
    lint_files,
    lint_text,
    page_of,
    python_files,
    read_codes,
    read_settings,
)

_STDIN = Path("-")


@click.command(name="lint")
@click.argument("paths", nargs=-1, type=PATH)
@option("--fix", is_flag=True, help="Make the fixes that are safe, in place.")
@option("--select", metavar="CODES", default="", help="Ask these rules only: WDL001,WDL004.")
@option("--ignore", metavar="CODES", default="", help="Leave these rules out.")
@option("--exclude", metavar="GLOB", multiple=True, help="Leave these files of folders out.")
@json_option
@option("--rules", "list_rules", is_flag=True, help="List the rules and stop.")
def command(
    paths: tuple[Path, ...],
    fix: bool,
    select: str,
    ignore: str,
    exclude: tuple[str, ...],
    as_json: bool,
    list_rules: bool,
) -> None:
    """Find scheduler mistakes in scripts, notebooks and folders; - is standard input.

    Exclude, select and ignore have their defaults in [tool.warmdown.lint] of pyproject.toml.

    Exits with 0 when nothing is found, 1 when something is, 2 when a file could not be read.
    """
    if list_rules and as_json:
        say_json([{"code": c, "name": r.name, "page": page_of(c)} for c, r in RULES.items()])
        return
    if list_rules:
        for code, rule in RULES.items():
            say(f"{code}  {rule.name}  ({page_of(code)})")
        return
    if not paths:
        raise click.UsageError("give a Python file, a folder, or - for standard input.")
    try:
        settings = read_settings(Path())
        settings = LintSettings(
            exclude=settings.exclude + exclude,
            select=read_codes(select.split(","), "--select") or settings.select,
            ignore=settings.ignore + read_codes(ignore.split(","), "--ignore"),
        )
    except SpecError as error:
        raise click.UsageError(str(error)) from None
    sys.exit(_lint(paths, settings, fix, as_json))


def _lint(paths: Sequence[Path], settings: LintSettings, fix: bool, as_json: bool) -> int:
    rows: list[tuple[str, Finding]] = []
    broken: list[str] = []
    fixed = 0
    codes, has_input = settings.codes, _STDIN in paths
    named = (path for path in paths if path != _STDIN)
    files = list(python_files(named, exclude=settings.exclude))
    results = zip(files, lint_files(files, codes=codes, fix=fix), strict=True)
    inputs = [(_STDIN, _lint_standard_input(codes, fix))] if has_input else []
    for path, result in (*inputs, *results):
        if isinstance(result, list):
            broken += result
            continue
        findings, count = result
        rows += [(str(path), finding) for finding in findings]
        fixed += count
    # the fixed script is on standard output, so the findings go beside it
    _print_findings(rows, fixed, broken, as_json, err=has_input and fix)
    for mistake in broken:
        say(mistake, err=True)
    return 2 if broken else 1 if rows else 0


def _lint_standard_input(codes: Sequence[str], fix: bool) -> tuple[list[Finding], int] | list[str]:
    """Lint standard input; with ``fix`` the fixed script goes to standard output."""
    text, fixed = sys.stdin.read(), 0
    try:
        if fix:
            text, fixed = fix_text(text, name="-", codes=codes)
            click.echo(text, nl=False)
        return lint_text(text, name="-", codes=codes), fixed
    except SpecError as error:
        return list(error.mistakes)


def _print_findings(
    rows: list[tuple[str, Finding]], fixed: int, broken: list[str], as_json: bool, *, err: bool
) -> None:
    if as_json:
        data = [{"path": path, **finding.to_dict()} for path, finding in rows]
        say_json({"findings": data, "fixed": fixed, "errors": broken}, err=err)
        return
    for path, finding in rows:
        place = f"{path}:{finding.place}"
        mark = " [--fix corrects it]" if finding.is_fixable else ""
        say(f"{place}: {finding.code} {finding.message}{mark}", err=err)
    total = f"{len(rows)} finding{'' if len(rows) == 1 else 's'}" if rows else "nothing found"
    say(f"{total}{f', {fixed} fixed' if fixed else ''}.", err=True)
