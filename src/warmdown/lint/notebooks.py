"""The code cells of a Jupyter notebook as one script, and the way back to its cells."""

from __future__ import annotations

import ast
import json
import re
import warnings
from dataclasses import dataclass, replace
from itertools import accumulate

from warmdown.errors import SpecError
from warmdown.lint.finding import Finding

_MAGIC = re.compile(r"(?P<indent>\s*)([%!?].*|.*\?\s*|(?P<target>[\w\s,.]+=)\s*[%!].*)")
_PYTHON_CELLS = {"%%capture", "%%time", "%%timeit", "%%prun"}
"""Magics whose cell is Python; that of any other, such as ``%%bash``, is not."""


@dataclass(frozen=True)
class Notebook:
    """A notebook's code.

    Args:
        script: The code of its cells, one after the other; lines that are no Python are ``pass``.
        starts: The line of the script before each cell's first, with the number of that cell among
            all cells, from 1.
    """

    script: str
    starts: tuple[tuple[int, int], ...]

    def locate(self, found: Finding) -> Finding:
        """Return a finding with its cell and the line in it; a notebook is not edited."""
        before, cell = max(start for start in self.starts if start[0] < found.line)
        return replace(found, cell=cell, line=found.line - before, edits=())


def read_notebook(text: str, *, name: str) -> Notebook:
    """Return the code of a notebook.

    Raises:
        SpecError: The text is not a notebook.
    """
    try:
        cells = json.loads(text)["cells"]
        codes = {
            number: _python_of("".join(cell["source"]))
            for number, cell in enumerate(cells, 1)
            if cell["cell_type"] == "code"
        }
    except (ValueError, LookupError, TypeError, RecursionError):
        raise SpecError([f"{name}: not a Jupyter notebook. Save it as nbformat 4."]) from None
    lines = (code.count("\n") + 1 for code in codes.values())
    starts = zip(accumulate(lines, initial=0), codes, strict=False)
    return Notebook("\n".join(codes.values()), tuple(starts))


def _python_of(source: str) -> str:
    """Return a cell with each line kept in its place; one that is not Python is left blank."""
    lines = source.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    first = lines[0].split()[:1]
    is_other = bool(first) and first[0].startswith("%%") and first[0] not in _PYTHON_CELLS
    code = "\n".join(map(_without_magic, lines))
    if is_other or not _is_python(code):
        return "\n" * (len(lines) - 1)
    return code


def _without_magic(line: str) -> str:
    match = _MAGIC.fullmatch(line)
    if match is None or line.lstrip().startswith("#"):
        return line
    return f"{match['target']} None" if match["target"] else f"{match['indent']}pass"


def _is_python(code: str) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of other people's escape sequences
            ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True
