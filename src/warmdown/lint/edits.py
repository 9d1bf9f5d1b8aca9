"""Edits that change nothing but the mistake, and their application to a text."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from itertools import accumulate

from warmdown.lint.finding import Edit, Position
from warmdown.lint.script import ScriptModel


def apply(text: str, edits: Iterable[Edit]) -> str:
    """Return the text with edits made that do not overlap, the last first."""
    newline = "\r\n" if "\r\n" in text else "\n"
    # places count bytes
    content = text.encode()
    starts = list(accumulate((len(line.encode()) for line in lines_of(text)), initial=0))
    for edit in sorted(edits, key=lambda edit: edit.start, reverse=True):
        start, stop = (
            starts[min(place.line, len(starts)) - 1] + place.column
            for place in (edit.start, edit.end)
        )
        new = edit.text.replace("\n", newline)
        # new lines after a last line without an end
        if start == len(content) and not text.endswith("\n"):
            new = newline + new
        content = content[:start] + new.encode() + content[stop:]
    return content.decode()


def lines_of(text: str) -> list[str]:
    """Return the lines as :mod:`ast` counts them, each with its end."""
    return re.findall(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+$", text)


def drop(model: ScriptModel, call: ast.Call) -> list[Edit]:
    """Remove a statement that is nothing but the call and has its lines for itself."""
    statement = model.statement_of(call)
    has_others = len(model.block_of(statement)) > 1
    is_call = isinstance(statement, ast.Expr) and statement.value is call
    is_free = has_others and is_call and _owns_its_lines(model, statement)
    return [_without_lines(statement)] if is_free else []


def move_after(model: ScriptModel, statement: ast.stmt, target: ast.stmt) -> list[Edit]:
    """Move a statement of one line, with its comment, to a line of its own after the target."""
    is_line = isinstance(statement, ast.Expr) and statement.lineno == statement.end_lineno
    if not model.lines or not is_line:
        return []
    for moved in (statement, target):
        if _indent(model, moved).strip() or not _owns_its_lines(model, moved):
            return []
    end = Position(Position.end(target).line + 1, 0)
    text = f"{_indent(model, target)}{model.lines[statement.lineno - 1].strip()}\n"
    return [_without_lines(statement), Edit(end, end, text)]


def drop_argument(call: ast.Call, keyword: ast.keyword) -> list[Edit]:
    """Remove a keyword argument and the comma before it, or after it when it is the first."""
    arguments: list[ast.expr | ast.keyword] = [*call.args, *call.keywords]
    arguments.sort(key=Position.start)
    index = arguments.index(keyword)
    start, end = Position.start(keyword), Position.end(keyword)
    if index:
        start = Position.end(arguments[index - 1])
    elif len(arguments) > 1:
        end = Position.start(arguments[1])
    return [Edit(start, end, "")]


def _without_lines(statement: ast.stmt) -> Edit:
    end = Position.end(statement).line + 1
    return Edit(Position(statement.lineno, 0), Position(end, 0), "")


def _indent(model: ScriptModel, statement: ast.stmt) -> str:
    """Return the text before a statement on its line."""
    return model.lines[statement.lineno - 1].encode()[: statement.col_offset].decode()


def _owns_its_lines(model: ScriptModel, statement: ast.stmt) -> bool:
    lines = {statement.lineno, statement.end_lineno}
    return not any(
        lines & {other.lineno, other.end_lineno}
        for other in model.block_of(statement)
        if other is not statement
    )
