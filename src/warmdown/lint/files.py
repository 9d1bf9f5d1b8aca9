"""Python files: found, read, judged, mended."""

from __future__ import annotations

__all__ = ["fix_text", "lint_file", "lint_text", "lint_tree", "python_files"]

import ast
import io
import os
import re
import tokenize
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from warmdown.errors import SpecError
from warmdown.files import write_whole
from warmdown.lint.edits import apply, lines_of
from warmdown.lint.finding import Finding
from warmdown.lint.names import names_in
from warmdown.lint.reader import read
from warmdown.lint.rules import RULES
from warmdown.lint.words import library_of

_SKIPPED = {"__pycache__", "build", "dist", "node_modules", "site-packages", "venv"}
_NOQA = re.compile(r"#\s*noqa(?::\s*(?P<codes>[A-Z]+\d+(?:[,\s]+[A-Z]+\d+)*))?", re.IGNORECASE)
_ROUNDS = 10


def lint_text(
    text: str, *, name: str = "<text>", codes: Iterable[str] = tuple(RULES)
) -> list[Finding]:
    r"""Return the mistakes in a script, in order.

    Args:
        text: The script.
        name: What it is called in an error.
        codes: The rules that are asked.

    Raises:
        SpecError: The text is not Python, or nested too deeply.

    Example:
        >>> from warmdown.lint import lint_text
        >>> script = "from torch.optim.lr_scheduler import StepLR\ns = StepLR(opt, 10, verbose=True)\n"
        >>> [(found.code, found.line) for found in lint_text(script)]
        [('WDL004', 2)]
    """
    lines = lines_of(text)
    try:
        findings = lint_tree(_parsed(text, name), codes, lines)
    except RecursionError:
        raise SpecError(
            [f"{name}: nested too deeply to be read. Split it into functions."]
        ) from None
    return [found for found in findings if not _is_silenced(found, lines)]


def lint_tree(
    tree: ast.Module, codes: Iterable[str] = tuple(RULES), lines: Sequence[str] = ()
) -> list[Finding]:
    """Return the mistakes in a parsed script, each once, in order."""
    if not any(map(library_of, names_in(tree))):
        return []
    scene = read(tree, lines)
    found = {one: None for code in codes for one in RULES[code].look(scene)}
    unique = {(one.line, one.column, one.code): one for one in reversed(found)}
    return [unique[key] for key in sorted(unique)]


def fix_text(
    text: str, *, name: str = "<text>", codes: Iterable[str] = tuple(RULES)
) -> tuple[str, int]:
    """Return a script with every safe edit made, and how many mistakes that mended.

    Raises:
        SpecError: The text is not Python.
    """
    mended = 0
    for _ in range(_ROUNDS):
        fixable = [found for found in lint_text(text, name=name, codes=codes) if found.is_fixable]
        if not fixable:
            break
        text = apply(text, fixable[0].edits)
        mended += 1
    return text, mended


def lint_file(
    path: Path, *, codes: Iterable[str] = tuple(RULES), fix: bool = False
) -> tuple[list[Finding], int]:
    """Return the mistakes that are in a file, and how many were mended in it when ``fix`` is asked for.

    Raises:
        SpecError: The file can not be read, or is not Python.
    """
    text, encoding = _read(path)
    mended = 0
    if fix:
        text, mended = fix_text(text, name=str(path), codes=codes)
        if mended:
            write_whole(path, text.encode(encoding))
    return lint_text(text, name=str(path), codes=codes), mended


def python_files(paths: Iterable[Path]) -> Iterator[Path]:
    """Yield files as they are and folders' Python files, without those of environments and builds.

    Raises:
        SpecError: There is no such path.
    """
    for path in paths:
        if not path.exists():
            raise SpecError(
                [
                    f"{path}: no such file or folder. Give a Python file, a folder, or - "
                    f"for standard input."
                ]
            )
        yield from _inside(path) if path.is_dir() else [path]


def _inside(folder: Path) -> Iterator[Path]:
    for root, folders, files in os.walk(folder):
        folders[:] = sorted(
            name for name in folders if name not in _SKIPPED and not name.startswith(".")
        )
        paths = (Path(root, name) for name in sorted(files) if name.endswith(".py"))
        yield from (
            path for path in paths if path.is_file()
        )  # a pipe of that name would wait for its writer


def _parsed(text: str, name: str) -> ast.Module:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of other people's escape sequences
            return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = getattr(error, "lineno", None) or 1
        raise SpecError([f"{name}:{line}: not Python: {error}. Mend it first."]) from None


def _is_silenced(found: Finding, lines: list[str]) -> bool:
    match = _NOQA.search(lines[found.line - 1]) if found.line <= len(lines) else None
    return match is not None and (match["codes"] is None or found.code in match["codes"].upper())


def _read(path: Path) -> tuple[str, str]:
    try:
        raw = path.read_bytes()
        encoding, _ = tokenize.detect_encoding(io.BytesIO(raw).readline)
        return raw.decode(encoding), encoding
    except (OSError, SyntaxError, UnicodeDecodeError) as error:
        raise SpecError([f"{path}: can not be read as Python: {error}."]) from None
