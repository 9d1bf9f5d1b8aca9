"""Lint and fix texts, files and folders."""

from __future__ import annotations

import ast
import io
import os
import re
import tokenize
import warnings
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from fnmatch import fnmatch
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from warmdown.errors import SpecError
from warmdown.files import write_whole
from warmdown.lint.edits import apply, lines_of
from warmdown.lint.finding import Finding
from warmdown.lint.names import names_in
from warmdown.lint.notebooks import read_notebook
from warmdown.lint.patterns import SCHEDULER, SCHEDULERS, matches
from warmdown.lint.reader import read_script
from warmdown.lint.rules import RULES

_SKIPPED_FOLDERS = {"__pycache__", "build", "dist", "node_modules", "site-packages", "venv"}
_NOQA = re.compile(r"#\s*noqa(?::\s*(?P<codes>[A-Z]+\d+(?:[,\s]+[A-Z]+\d+)*))?", re.IGNORECASE)
_WORD = re.compile(r"[^\W\d]\w*")
_MOST_FIXES = 10
HINTS = ("LR", "ched", "CosineAnnealing")
"""Each name of a scheduler has one of these in it; most files have none."""
FEW = 64
"""So many files are read sooner by one process than by several that have to start."""
_NAMES = {path.rpartition(".")[-1] for path in SCHEDULERS}


def lint_text(
    text: str, *, name: str = "<text>", codes: Iterable[str] = tuple(RULES)
) -> list[Finding]:
    r"""Return the mistakes in a script, in order.

    Args:
        text: The script.
        name: Its name in an error.
        codes: The rules that are checked.

    Raises:
        SpecError: The text is not Python, or nested too deeply.

    Example:
        >>> from warmdown.lint import lint_text
        >>> script = "from torch.optim.lr_scheduler import StepLR\nStepLR(opt, 10, verbose=True)\n"
        >>> [(found.code, found.line) for found in lint_text(script)]
        [('WDL004', 2)]
    """
    tree = _parse_script(text, name)
    # most files name no scheduler: their text tells it sooner than their tree
    if not any(hint in text for hint in HINTS) or not _names_schedulers(_WORD.findall(text)):
        return []
    lines = lines_of(text)
    try:
        findings = lint_tree(tree, codes, lines)
    except RecursionError:
        raise SpecError(
            [f"{name}: nested too deeply to be read. Split it into functions."]
        ) from None
    return [found for found in findings if not _is_silenced(found, lines)]


def lint_tree(
    tree: ast.Module, codes: Iterable[str] = tuple(RULES), lines: Sequence[str] = ()
) -> list[Finding]:
    """Return the mistakes in a parsed script, each once, in order."""
    if not _names_schedulers(words := names_in(tree)):
        return []
    model = read_script(tree, lines, words)
    findings: dict[tuple[int, int, str], Finding] = {}
    for code in codes:
        for node, message, *edits in RULES[code].check(model):
            found = Finding(code, node.lineno, node.col_offset + 1, message, tuple(edits))
            findings.setdefault((found.line, found.column, code), found)
    return [findings[key] for key in sorted(findings)]


def _names_schedulers(words: Iterable[str]) -> bool:
    words = set(words)
    return not _NAMES.isdisjoint(words) or matches(SCHEDULER, words)


def fix_text(
    text: str, *, name: str = "<text>", codes: Iterable[str] = tuple(RULES)
) -> tuple[str, int]:
    """Return a script with every safe edit made, and the number of mistakes fixed by them.

    Raises:
        SpecError: The text is not Python.
    """
    for fixed in range(_MOST_FIXES):
        fixable = [found for found in lint_text(text, name=name, codes=codes) if found.is_fixable]
        if not fixable:
            return text, fixed
        # one finding a round: its edits may move what the next one is about
        text = apply(text, fixable[0].edits)
    return text, _MOST_FIXES


def lint_file(
    path: Path, *, codes: Iterable[str] = tuple(RULES), fix: bool = False
) -> tuple[list[Finding], int]:
    """Return the mistakes in a file, and the number of those that ``fix`` has fixed in it.

    A notebook (``.ipynb``) is read and never edited.

    Raises:
        SpecError: The file can not be read, or is not Python.
    """
    try:
        raw = path.read_bytes()
        encoding, _ = tokenize.detect_encoding(io.BytesIO(raw).readline)
        text = raw.decode(encoding)
    except (OSError, SyntaxError, UnicodeDecodeError) as error:
        raise SpecError([f"{path}: can not be read as Python: {error}."]) from None
    fixed = 0
    if path.suffix == ".ipynb":
        notebook = read_notebook(text, name=str(path))
        findings = lint_text(notebook.script, name=str(path), codes=codes)
        return list(map(notebook.locate, findings)), fixed
    if fix:
        text, fixed = fix_text(text, name=str(path), codes=codes)
        if fixed:
            # in the encoding that the file declares
            write_whole(path, text.encode(encoding))
    return lint_text(text, name=str(path), codes=codes), fixed


def lint_files(
    paths: Sequence[Path], *, codes: Iterable[str] = tuple(RULES), fix: bool = False
) -> Iterator[tuple[list[Finding], int] | list[str]]:
    """Yield what :func:`lint_file` returns for each file, or why it was not read.

    Many files are read by several processes.
    """
    lint = partial(_lint_or_error, codes=tuple(codes), fix=fix)
    if len(paths) <= FEW:
        yield from map(lint, paths)
        return
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        yield from pool.map(lint, paths, chunksize=16)


def _lint_or_error(
    path: Path, codes: Sequence[str], fix: bool
) -> tuple[list[Finding], int] | list[str]:
    try:
        return lint_file(path, codes=codes, fix=fix)
    except SpecError as error:
        return list(error.mistakes)


def python_files(paths: Iterable[Path], *, exclude: Sequence[str] = ()) -> Iterator[Path]:
    """Yield files, and the scripts and notebooks of folders without environments and builds.

    Args:
        paths: Files and folders.
        exclude: Globs of what is left out of folders: of a name (``"test_*.py"``), or of a path
            from the folder (``"legacy/*"``).

    Raises:
        SpecError: There is no such path.
    """
    for path in paths:
        if not path.exists():
            raise SpecError(
                [
                    f"{path}: no such file or folder. Give a Python file, a folder, or - for "
                    "standard input."
                ]
            )
        if not path.is_dir():
            yield path
        for root, folders, files in os.walk(path):
            # os.walk visits the folders that are left in this list
            kept = {name for name in folders if not name.startswith(".")} - _SKIPPED_FOLDERS
            inside = Path(root).relative_to(path)
            folders[:] = sorted(name for name in kept if not _is_excluded(inside / name, exclude))
            names = (name for name in sorted(files) if name.endswith((".py", ".ipynb")))
            scripts = (
                Path(root, name) for name in names if not _is_excluded(inside / name, exclude)
            )
            # reading a pipe of that name would wait for its writer
            yield from filter(Path.is_file, scripts)


def _is_excluded(path: Path, globs: Iterable[str]) -> bool:
    paths = (path.name, path.as_posix())
    return any(fnmatch(one, glob.strip("/")) for glob in globs for one in paths)


def _parse_script(text: str, name: str) -> ast.Module:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of other people's escape sequences
            return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = getattr(error, "lineno", None) or 1
        raise SpecError([f"{name}:{line}: not Python: {error}. Fix it first."]) from None


def _is_silenced(found: Finding, lines: list[str]) -> bool:
    match = _NOQA.search(lines[found.line - 1]) if found.line <= len(lines) else None
    return match is not None and (match["codes"] is None or found.code in match["codes"].upper())
