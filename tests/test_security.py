"""What SECURITY.md promises is held by tests that are there."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
NAMED = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)
SOURCES = sorted((ROOT / "src").rglob("*.py"))
FORBIDDEN = re.compile(
    r"(eval|exec|compile|__import__|os\.(system|popen|exec\w+|spawn\w+)|(c?[pP]ickle|marshal|dill|joblib)\.loads?"
    r"|pickle\.Unpickler|shelve\.open|runpy\.\w+|yaml\.(load|load_all|unsafe_load\w*|full_load\w*))"
)


def test_every_row_names_a_test() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| ")][2:]
    assert len(rows) > 10
    assert [row for row in rows if "::test_" not in row] == []


@pytest.mark.parametrize(("path", "name"), NAMED)
def test_every_test_that_is_named_is_there(path: str, name: str) -> None:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


ALLOWED = {
    # the person's own script, which is named on the command line
    ("transformers.py", "runpy.run_path"),
}


def calls() -> Iterator[tuple[str, ast.Call]]:
    """Yield every call of the source, with its function as it is written."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and (path.name, ast.unparse(node.func)) not in ALLOWED:
                yield ast.unparse(node.func), node


def test_no_source_runs_text_or_opens_a_pickle() -> None:
    for function, call in calls():
        told = {word.arg: word.value for word in call.keywords}
        assert not FORBIDDEN.fullmatch(function), ast.unparse(call)
        assert "shell" not in told, ast.unparse(call)
        if function == "torch.load":
            assert ast.unparse(told["weights_only"]) == "True"


def test_no_other_variable_of_the_environment_is_read() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in SOURCES)
    asked = set(
        re.findall(
            r"""environ(?:\.get\(|\[)["'](\w+)|["'](\w+)["'] (?:not )?in os\.environ""", text
        )
    )
    variables = {name for pair in asked for name in pair if name}
    (row,) = (line for line in PAGE.splitlines() if line.startswith("| environment"))
    assert variables == set(re.findall(r"`([A-Z_]+)`", row.split("|")[1]))
    assert "getenv" not in text
