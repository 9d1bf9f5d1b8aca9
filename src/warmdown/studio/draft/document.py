"""What a page edits: a plan file's data, the optimizer's groups and the data loader, by path."""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias, final

from warmdown.plan import EVERY_GROUP, OPTIONS
from warmdown.planfile.text import join_path
from warmdown.schedules.base import PlainData
from warmdown.studio.security.folder import Stamp

Path: TypeAlias = tuple[str | int, ...]
"""The way to a value: ``("plan", "lr", 1, "end")``."""
ByMark: TypeAlias = dict[str, str]
"""A text about a value, by the mark of its path."""

NOT_TARGETS = ("run", *OPTIONS)
OF_LOADER = {
    "steps_per_epoch": "batches",
    "samples_per_step": "batch_size",
    "tokens_per_step": "tokens",
}
"""The field of the loader that a fact of the run is typed in."""
_FLAGS = {"yes": True, "true": True, "on": True, "no": False, "false": False, "off": False}
_INTEGER = re.compile(r"[+-]?(?:0|[1-9]\d{0,29})")
_DECIMAL = re.compile(r"[+-]?(?:\d{1,40}\.\d{0,40}|\.\d{1,40})")
_LONGEST_LITERAL = 500
_LARGEST = 1e15


def _nothing() -> PlainData:
    return {"plan": {}, "groups": [{}], "loader": {}}


@final
@dataclass(frozen=True)
class Draft:
    """A state of the page that undo can bring back.

    Args:
        document: ``plan``: the data of the plan file, with what cannot be read yet as it was typed.
            ``groups``: name and base values of each parameter group. ``loader``: ``batches``,
            ``accumulation``, ``processes``, ``batch_size``, ``tokens`` of the data loader.
        file: Name of the file that it is from; empty for none.
        stamp: State of that file when it was read or written.
        source: Text of that file, whose comments and spelling a save keeps.
        lineage: Number of the plan on this page: a save names all of its states.
        report: What the reader of another program's configuration reports.
    """

    document: PlainData = field(default_factory=_nothing)
    file: str = ""
    stamp: Stamp = None
    source: str = ""
    lineage: int = 0
    report: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether no schedule was chosen yet."""
        return not targets_in(self.document)


@final
@dataclass(frozen=True)
class TargetRow:
    """A number that is driven.

    Args:
        field: ``lr``, ``weight_decay``, ``betas[0]`` …
        groups: Name or pattern of its groups.
        path: Where its rule stands.
    """

    field: str
    groups: str
    path: Path

    @property
    def label(self) -> str:
        """The name in pictures and lists: ``lr``, or ``lr/decoder.*``."""
        return self.field if self.groups == EVERY_GROUP else f"{self.field}/{self.groups}"


def mark_of(path: Path) -> str:
    """Return the name of a path on the page; of a plan's value it ends as an error's path does.

    Example:
        >>> mark_of(("plan", "lr", 1, "end"))
        'plan.lr[1].end'
    """
    mark = ""
    for step in path:
        mark = f"{mark}[{step}]" if isinstance(step, int) else join_path(mark, step)
    return mark


def is_at(mark: str, field: str) -> bool:
    """Whether a mark is that of a field, or of a part of its value: ``plan.lr.at[2]``."""
    return mark == field or mark.startswith(f"{field}[")


def is_under(mark: str, part: str) -> bool:
    """Whether a mark is that of a part, or of something inside it."""
    return mark.startswith((f"{part}.", f"{part}[")) or mark == part


def get(node: Any, path: Path) -> Any:
    """Return what stands at a path, or ``None``."""
    for step in path:
        try:
            node = node[step] if isinstance(step, int) else expanded(node)[step]
        except (KeyError, IndexError, TypeError):
            return None
    return node


def put(node: Any, path: Path, value: Any) -> Any:
    """Return the data with a value at a path; an empty text or ``None`` takes it out of a mapping.

    Example:
        >>> put({"lr": ["cosine"]}, ("lr", 0, "end"), 0.1)
        {'lr': [{'kind': 'cosine', 'end': 0.1}]}
    """
    if not path:
        return value
    step, rest = path[0], path[1:]
    inside = put(get(node, path[:1]), rest, value)
    if isinstance(step, int):
        rows = list(node or ())
        rows[step : step + 1] = [inside]
        return rows
    entries = {**expanded(node), step: inside}
    if inside is None or inside == "":
        del entries[step]
    return entries


def expanded(node: Any) -> PlainData:
    """Return the mapping that a short form stands for: a shape's name, a number, a list.

    Example:
        >>> expanded("cosine"), expanded(0.1)
        ({'kind': 'cosine'}, {'kind': 'constant', 'value': 0.1})
    """
    if isinstance(node, Mapping):
        return dict(node)
    if node is None:
        return {}
    if isinstance(node, list | tuple):
        return {"kind": "chain", "members": list(node)}
    is_word = isinstance(node, str) and node.isidentifier()
    return {"kind": node} if is_word else {"kind": "constant", "value": node}


def is_schedule(node: Any) -> bool:
    """Whether data are one schedule, and no list, rule or groups."""
    return isinstance(node, Mapping) and bool(node.keys() & {"kind", "class_path"})


def targets_in(document: PlainData) -> tuple[TargetRow, ...]:
    """Return a row for each number that is driven."""
    rows: list[TargetRow] = []
    for name, rule in document["plan"].items():
        if name in NOT_TARGETS:
            continue
        path: Path = ("plan", name)
        if isinstance(rule, Mapping) and "groups" in rule and not is_schedule(rule):
            groups = rule["groups"] if isinstance(rule["groups"], Mapping) else {}
            rows += [TargetRow(name, pattern, (*path, "groups", pattern)) for pattern in groups]
        else:
            rows.append(TargetRow(name, EVERY_GROUP, path))
    return tuple(rows)


def meaning_of(document: PlainData, row: TargetRow) -> str:
    """Return whether the value is a factor on the base value (``scale``) or itself (``set``)."""
    rule = get(document, row.path)
    is_set = isinstance(rule, Mapping) and "set" in rule and not is_schedule(rule)
    return "set" if is_set else "scale"


def chain_path(document: PlainData, row: TargetRow) -> Path:
    """Return where the phases of a row stand: one schedule, or a list of them."""
    path, rule = row.path, get(document, row.path)
    if isinstance(rule, Mapping) and not is_schedule(rule):
        path = (*path, "set" if "set" in rule else "scale")
        rule = get(document, path)
    if isinstance(rule, Mapping) and rule.get("kind") == "chain" and "name" not in rule:
        path = (*path, "members")
    return path


def phases_of(document: PlainData, row: TargetRow) -> tuple[Path, ...]:
    """Return the path of each phase of a row, in order."""
    path = chain_path(document, row)
    chain = get(document, path)
    if isinstance(chain, list):
        return tuple((*path, at) for at in range(len(chain)))
    return () if chain in (None, "", {}) else (path,)


def with_phases(document: PlainData, row: TargetRow, phases: Sequence[Any]) -> PlainData:
    """Return the document with other phases in a row; without any, the row goes."""
    path = chain_path(document, row)
    if not phases:
        return without_target(document, row)
    is_list = len(phases) > 1 or path[-1] == "members"
    changed: PlainData = put(document, path, list(phases) if is_list else phases[0])
    return changed


def with_meaning(document: PlainData, row: TargetRow, meaning: str) -> PlainData:
    """Return the document with a row whose value is a factor, or is itself."""
    chain = get(document, chain_path(document, row))
    changed: PlainData = put(document, row.path, {"set": chain} if meaning == "set" else chain)
    return changed


def without_target(document: PlainData, row: TargetRow) -> PlainData:
    """Return the document without a row."""
    changed = put(document, row.path, None)
    if row.path[-2:-1] == ("groups",) and not get(changed, row.path[:-1]):
        changed = put(changed, row.path[:2], None)
    return changed  # type: ignore[no-any-return]


def with_target(document: PlainData, field: str, groups: str, rule: Any) -> PlainData:
    """Return the document with one more rule; a named group stands before all others.

    The first pattern that fits a group counts.
    """
    path: Path = ("plan", field)
    there = get(document, path)
    if there is None and groups == EVERY_GROUP:
        return put(document, path, rule)  # type: ignore[no-any-return]
    is_by_group = isinstance(there, Mapping) and "groups" in there and not is_schedule(there)
    by_group = dict(there["groups"]) if is_by_group else {}
    if there is not None and not is_by_group:
        by_group[EVERY_GROUP] = there
    last = {EVERY_GROUP: by_group.pop(EVERY_GROUP)} if EVERY_GROUP in by_group else {}
    whole = {**by_group, **last, groups: rule} if groups == EVERY_GROUP else {
        **by_group, groups: rule, **last}  # fmt: skip
    return put(document, path, {"groups": whole})  # type: ignore[no-any-return]


def renamed(document: PlainData, row: TargetRow, groups: str) -> PlainData:
    """Return the document with the rule of a row for other groups, if these have none yet."""
    groups = groups.strip() or EVERY_GROUP
    taken = {other.groups for other in targets_in(document) if other.field == row.field}
    if groups in taken:
        return document
    rule = get(document, row.path)
    return with_target(without_target(document, row), row.field, groups, rule)


def schedules_in(node: Any, path: Path = ()) -> Iterator[tuple[Path, PlainData]]:
    """Yield every schedule that is written as a mapping, at any depth, with its path."""
    if is_schedule(node):
        yield path, node
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield from schedules_in(value, (*path, key))
    elif isinstance(node, list):
        for at, value in enumerate(node):
            yield from schedules_in(value, (*path, at))


def class_paths(document: PlainData) -> dict[str, list[Path]]:
    """Return the class paths in a document, each with the paths of the schedules that name it."""
    found: dict[str, list[Path]] = {}
    for path, schedule in schedules_in(document["plan"], ("plan",)):
        if "class_path" in schedule:
            found.setdefault(str(schedule["class_path"] or ""), []).append(path)
    return found


def typed(widget: str, text: str) -> Any:
    """Return the value of a text in a field; what YAML would not read as a number stays a text.

    Example:
        >>> typed("number", "0.1"), typed("number", "1e-4"), typed("durations", "50, 80%")
        (0.1, '1e-4', [50, '80%'])
        >>> typed("flag", "yes"), typed("value", "50,100"), typed("text", "12")
        (True, [50, 100], '12')
    """
    plain = text.strip()
    return _READERS.get(widget, str)(plain) if plain else None


def _scalar(text: str) -> Any:
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _DECIMAL.fullmatch(text) else text


def _scalars(text: str) -> list[Any]:
    return [_scalar(part.strip()) for part in text.strip("[]()").split(",") if part.strip()]


def _untyped(text: str) -> Any:
    """Return what a person means who types a value for a parameter of unknown type."""
    if text.lower() in _FLAGS:
        return _FLAGS[text.lower()]
    if text[0] in "[({'\"" or text == "None":
        try:
            # as in a file: tuples are lists, and names are texts
            value = ast.literal_eval(text) if len(text) <= _LONGEST_LITERAL else text
            return json.loads(json.dumps(value))
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            return text
    if "," in text:
        return [_untyped(part.strip()) for part in text.split(",") if part.strip()]
    return _scalar(text)


_READERS: Mapping[str, Callable[[str], Any]] = {
    **dict.fromkeys(("number", "count", "duration"), _scalar),
    **dict.fromkeys(("numbers", "counts", "durations"), _scalars),
    "flag": lambda text: _FLAGS.get(text.lower(), text),
    "value": _untyped,
}


@final
@dataclass
class Reading:
    """A document as the reader of plan files takes it.

    Args:
        data: The plan file's data, with the facts of the loader and the first group in ``run``.
        bases: Base values of each group that has any, by field.
        mistakes: What is wrong with the loader and the groups, by the mark of its field.
    """

    data: PlainData
    bases: dict[str, dict[str, float]] = field(default_factory=dict)
    mistakes: ByMark = field(default_factory=dict)


def read(document: PlainData) -> Reading:
    """Return a document as the reader of plan files takes it.

    Example:
        >>> document = {"plan": {"lr": "cosine"}, "groups": [{"lr": "1e-4"}],
        ...             "loader": {"batches": "10", "accumulation": "4"}}
        >>> read(document).data
        {'run': {'steps_per_epoch': 3, 'lr': '1e-4'}, 'lr': 'cosine'}
    """
    out = Reading({})
    run = {**get(document, ("plan", "run"))} if get(document, ("plan", "run")) else {}
    run |= _facts_of_loader(document["loader"], out.mistakes)
    _add_bases(out, document["groups"])
    rates = [group["lr"] for group in document["groups"] if group.get("lr")]
    if rates and not any(mark.endswith(".lr") for mark in out.mistakes):
        run["lr"] = _scalar(str(rates[0]).strip())
    out.data = {"run": run} if run else {}
    out.data |= {name: value for name, value in document["plan"].items() if name != "run"}
    return out


def _facts_of_loader(loader: Mapping[str, str], mistakes: ByMark) -> PlainData:
    """Return the facts of the run that follow from the data loader."""

    def number(name: str, *, is_whole: bool = True) -> Any:
        text = re.sub(r"[,_\s]", "", str(loader.get(name, "")))
        if not text:
            return None
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if 0 < value <= _LARGEST and (not is_whole or value % 1 == 0):
            return int(value) if value % 1 == 0 else value
        needed = "A whole number of at least 1" if is_whole else "A number above 0"
        mistakes[f"loader.{name}"] = f"{needed} is needed."
        return None

    accumulation = number("accumulation") or 1
    per_update = accumulation * (number("processes") or 1)
    batches, batch_size = number("batches"), number("batch_size", is_whole=False)
    tokens = number("tokens", is_whole=False)
    facts = {
        "steps_per_epoch": batches and math.ceil(batches / accumulation),
        "samples_per_step": batch_size and batch_size * per_update,
        "tokens_per_step": tokens and tokens * (batch_size or 1) * per_update,
    }
    return {name: value for name, value in facts.items() if value is not None}


def _add_bases(out: Reading, groups: Sequence[Mapping[str, Any]]) -> None:
    """Add each group's base values."""
    for at, group in enumerate(groups):
        name = str(group.get("name", "")).strip() or (f"group {at}" if len(groups) > 1 else "")
        for field_name, text in group.items():
            if field_name == "name" or not str(text).strip():
                continue
            try:
                value = float(text)
            except ValueError:
                value = math.nan
            if not 0 <= value < math.inf:
                mark = mark_of(("groups", at, field_name))
                out.mistakes[mark] = "A number of at least 0 is needed, like 1e-4."
                continue
            out.bases.setdefault(name, {})[field_name] = value
