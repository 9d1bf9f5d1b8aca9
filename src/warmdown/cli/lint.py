"""``warmdown lint``: find scheduler mistakes in Python code."""

from __future__ import annotations

__all__ = ["command"]

import json
import sys
from collections.abc import Iterable
from pathlib import Path

import click

from warmdown.cli.say import say
from warmdown.errors import SpecError, nearest
from warmdown.lint import RULES, Finding, fix_text, lint_file, lint_text, page_of, python_files

_STDIN = Path("-")


@click.command(name="lint")
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
@click.option("--fix", is_flag=True, help="Make the fixes that are safe, in place.")
@click.option("--select", metavar="CODES", default="", help="Ask these rules only: WDL001,WDL004.")
@click.option("--ignore", metavar="CODES", default="", help="Leave these rules out.")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@click.option("--rules", "list_rules", is_flag=True, help="List the rules and stop.")
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
    found: list[tuple[str, Finding]] = []
    broken: list[str] = []
    mended = 0
    for path in _named(paths):
        try:
            findings, count = (
                _standard_input(codes, fix)
                if path == _STDIN
                else lint_file(path, codes=codes, fix=fix)
            )
        except SpecError as error:
            broken += error.mistakes
            continue
        found += [(str(path), one) for one in findings]
        mended += count
    _say(found, mended, as_json, quiet=fix and _STDIN in paths)
    for mistake in broken:
        say(mistake, err=True)
    return 2 if broken else 1 if found else 0


def _named(paths: Iterable[Path]) -> Iterable[Path]:
    for path in paths:
        yield from [path] if path == _STDIN else python_files([path])


def _standard_input(codes: list[str], fix: bool) -> tuple[list[Finding], int]:
    """Judge standard input; with ``fix`` the mended script goes to standard output."""
    text, mended = sys.stdin.read(), 0
    if fix:
        text, mended = fix_text(text, name="-", codes=codes)
        click.echo(text, nl=False)
    return lint_text(text, name="-", codes=codes), mended


def _say(found: list[tuple[str, Finding]], mended: int, as_json: bool, *, quiet: bool) -> None:
    if as_json:
        rows = [{"path": path, **one.to_dict()} for path, one in found]
        say(json.dumps({"findings": rows, "fixed": mended}, indent=2), err=quiet)
        return
    for path, one in found:
        mark = " [--fix mends it]" if one.is_fixable else ""
        say(f"{path}:{one.line}:{one.column}: {one.code} {one.message}{mark}", err=quiet)
    told = f"{len(found)} finding{'' if len(found) == 1 else 's'}" if found else "nothing found"
    say(f"{told}{f', {mended} fixed' if mended else ''}.", err=True)


def _codes(text: str) -> list[str]:
    codes = [code.strip().upper() for code in text.split(",") if code.strip()]
    for code in codes:
        if code not in RULES:
            raise click.UsageError(f"there is no rule {code!r}. {nearest(code, RULES)}")
    return codes
