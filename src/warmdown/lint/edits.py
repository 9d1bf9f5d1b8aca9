"""Edits that keep a script's meaning apart from the mistake, and how a text is changed by them."""

from __future__ import annotations

__all__ = ["apply", "drop", "drop_argument", "lines_of", "move_after"]

import ast
import re
from collections.abc import Iterable

from warmdown.lint.finding import Edit, Place
from warmdown.lint.scene import Scene


def apply(text: str, edits: Iterable[Edit]) -> str:
    """Return ``text`` with edits made, the last first; one that overlaps another is left for a second round."""
    newline = "\r\n" if "\r\n" in text else "\n"
    lines = lines_of(text)
    free: Place | None = None
    for edit in sorted(set(edits), key=lambda one: (one.start, one.end), reverse=True):
        if free is None or edit.end <= free:
            _splice(lines, edit, newline)
            free = edit.start
    return "".join(lines)


def lines_of(text: str) -> list[str]:
    """Return the lines as :mod:`ast` counts them, each with its end."""
    return re.findall(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+$", text)


def _splice(lines: list[str], edit: Edit, newline: str) -> None:
    first, last = edit.start.line - 1, min(edit.end.line - 1, len(lines))
    head = lines[first].encode()[: edit.start.column].decode() if first < len(lines) else ""
    tail = lines[last].encode()[edit.end.column :].decode() if last < len(lines) else ""
    if first == len(lines) and lines and not lines[-1].endswith("\n"):
        head = newline
    lines[first : last + 1] = lines_of(head + edit.text.replace("\n", newline) + tail)


def drop(scene: Scene, call: ast.Call) -> list[Edit]:
    """Remove a statement that is nothing but ``call`` and has its lines for itself."""
    statement = scene.statement_of(call)
    is_alone = (
        isinstance(statement, ast.Expr)
        and statement.value is call
        and len(scene.block_of(statement)) > 1
    )
    return [_without_lines(statement)] if is_alone and _owns_its_lines(scene, statement) else []


def move_after(scene: Scene, statement: ast.stmt, target: ast.stmt) -> list[Edit]:
    """Take ``statement`` from its line, with its comment, and put it on a line of its own after ``target``."""
    alone = _owns_its_lines(scene, statement) and _owns_its_lines(scene, target)
    indent = _before(scene, target)
    if not alone or not _is_blank(indent) or not _is_blank(_before(scene, statement)):
        return []
    if not isinstance(statement, ast.Expr) or statement.lineno != statement.end_lineno:
        return []
    end = Place((target.end_lineno or target.lineno) + 1, 0)
    text = f"{indent}{scene.lines[statement.lineno - 1].strip()}\n"
    return [_without_lines(statement), Edit(end, end, text)]


def drop_argument(call: ast.Call, keyword: ast.keyword) -> list[Edit]:
    """Remove a keyword argument and the comma before it, or after it when it is the first."""
    others: list[ast.expr | ast.keyword] = sorted([*call.args, *call.keywords], key=Place.start)
    index = others.index(keyword)
    if index:
        return [Edit(Place.end(others[index - 1]), Place.end(keyword), "")]
    end = Place.start(others[1]) if len(others) > 1 else Place.end(keyword)
    return [Edit(Place.start(keyword), end, "")]


def _without_lines(statement: ast.stmt) -> Edit:
    return Edit(
        Place(statement.lineno, 0), Place((statement.end_lineno or statement.lineno) + 1, 0), ""
    )


def _before(scene: Scene, statement: ast.stmt) -> str | None:
    """Return what stands on a statement's line before it; ``None`` when the text is not at hand."""
    if not scene.lines:
        return None
    return scene.lines[statement.lineno - 1].encode()[: statement.col_offset].decode()


def _is_blank(indent: str | None) -> bool:
    return indent is not None and not indent.strip()


def _owns_its_lines(scene: Scene, statement: ast.stmt) -> bool:
    lines = {statement.lineno, statement.end_lineno}
    others = (other for other in scene.block_of(statement) if other is not statement)
    return not any(lines & {other.lineno, other.end_lineno} for other in others)
