"""A document from a plan file and back, with the comments, the order and the spelling kept."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from io import StringIO
from pathlib import Path as FilePath
from typing import Any

from warmdown.errors import MissingExtra, SpecError, WarmdownError
from warmdown.planfile.plans import TARGETS, plan_from_dict
from warmdown.planfile.text import from_yaml, is_json, parse
from warmdown.planfile.writing import to_json, to_yaml
from warmdown.schedules.base import PlainData
from warmdown.studio.draft.document import (
    NOT_TARGETS,
    Draft,
    expanded,
    is_schedule,
    phases_of,
    read,
    schedules_in,
    targets_in,
)
from warmdown.studio.draft.fields import shown
from warmdown.studio.security.folder import Stamp
from warmdown.studio.security.limits import LONGEST_TEXT, MOST_PHASES, MOST_SCHEDULES

_COMMENTS = ("groups", "loader")
"""What a plan file has no key for stands in comments at its head: ``# groups: {head: …}``."""
_LONGEST_COMMENT = 10_000
_MOST_GROUPS = 100
_DASH = re.compile(r"^( *)[^ \n][^\n]*:(?: *| +#[^\n]*)\n( *)- ", re.MULTILINE)
"""A key, and the dash of the list under it."""
_POWER = re.compile(r"[-+]?\d+(?:\.\d*)?[eE][-+]?\d{1,3}")
_WIDTH = 4_000
"""Characters of a line of YAML that is kept as it was."""


def opened(text: str, name: str | FilePath = "plan.yaml", stamp: Stamp = None) -> Draft:
    """Return the draft of a plan file, which its name makes YAML or JSON.

    Raises:
        SpecError: It is no plan, or larger than the page can show.
    """
    if len(text) > LONGEST_TEXT:
        raise _too_large(f"{len(text):,} characters")
    document = document_from(parse(name, text).data, _comments_in(text))
    return Draft(document, FilePath(name).name, stamp, "" if is_json(name) else text)


def brought(data: PlainData, report: Sequence[str], source: str) -> Draft:
    """Return the draft of a plan that was read from another program's configuration.

    It has no file; the report stands in comments at the head of what is saved.

    Args:
        data: The plan's data.
        report: Lines for a person.
        source: Where it is from, in words.
    """
    notes = (f"From {source}.", *(" ".join(line.split()) for line in report))
    draft = Draft(document_from(data), report=notes)
    head = "".join(f"# {line}\n" for line in notes)
    return replace(draft, source=head + saved_text(draft, "plan.yaml"))


def document_from(data: Any, beside: PlainData | None = None) -> PlainData:
    """Return the document of a plan as plain data.

    Args:
        data: As in a plan file.
        beside: ``groups`` and ``loader``, where they are known.

    Raises:
        SpecError: It is no plan, or larger than the page can show.

    Example:
        >>> document_from("cosine")["plan"]
        {'lr': {'kind': 'cosine'}}
    """
    plan = plan_from_dict(_without_classes(data))
    if not isinstance(data, Mapping) or is_schedule(data):
        facts = {key: data[key] for key in NOT_TARGETS if key in data} if is_schedule(data) else {}
        rest = {key: data[key] for key in data if key not in facts} if facts else data
        data = {**facts, "lr": expanded(rest) if isinstance(rest, str) else rest}
    elif TARGETS in data:  # a recipe for several fields: each is edited by itself
        data = plan.to_dict()
    run = {**(data.get("run") or {})}
    loader = {
        "batches": run.pop("steps_per_epoch", None),
        "batch_size": run.pop("samples_per_step", None),
    }
    samples = plan.run.samples_per_step or 1
    tokens = run.pop("tokens_per_step", None)
    loader["tokens"] = None if tokens is None else (plan.run.tokens_per_step or 0) / samples
    rate = run.pop("lr", None)
    document: PlainData = {
        "plan": {**({"run": run} if run else {}), **{k: v for k, v in data.items() if k != "run"}},
        "groups": [{"lr": shown(rate)} if rate is not None else {}],
        "loader": {
            name: shown(_plain_number(fact)) for name, fact in loader.items() if fact is not None
        },
    }
    beside = beside or {}
    if beside.get("groups"):
        document["groups"] = beside["groups"]
    if beside.get("loader") and _is_current(document, beside["loader"]):
        document["loader"] = beside["loader"]
    _require_shown(document)
    return document


def saved_text(draft: Draft, name: str) -> str:
    """Return a draft as the text of a file: YAML with what it was opened with kept, or JSON.

    Raises:
        MissingExtra: ruamel.yaml is not installed.
    """
    data = read(draft.document).data
    if is_json(name):
        return to_json(data)
    head = _head(draft.document)
    body = _text_with(draft.source, data) if draft.source else ""
    return head + (body or to_yaml(data))


def _head(document: PlainData) -> str:
    """Return the comments for what a plan file has no key for; each is one line."""
    rows: dict[str, Any] = {}
    if any(group.get("name") for group in document["groups"]):
        rows["groups"] = {
            str(group.get("name", "")) or f"group {at}": {
                field: base for field, base in group.items() if field != "name"
            }
            for at, group in enumerate(document["groups"])
        }
    if document["loader"].keys() & {"accumulation", "processes"}:
        rows["loader"] = document["loader"]
    lines = (f"# {name}: {to_yaml(row, in_one_line=True)}" for name, row in rows.items())
    return "".join(f"{' '.join(line.split())}\n" for line in lines)


def _comments_in(text: str) -> PlainData:
    """Return what the comments at the head of a file hold."""
    found: PlainData = {}
    for line in text.lstrip("\ufeff").splitlines():
        if not line.startswith("# "):
            break
        name, _, rest = line.removeprefix("# ").partition(": ")
        if name in _COMMENTS and len(rest) <= _LONGEST_COMMENT:
            try:
                data = from_yaml(rest).data
            except SpecError:
                continue
            if isinstance(data, dict):
                found[name] = data
    if "groups" in found:
        rows = list(found["groups"].items())[:_MOST_GROUPS]
        found["groups"] = [
            {"name": str(name), **{str(field): str(base) for field, base in bases.items()}}
            for name, bases in rows
            if isinstance(bases, dict)
        ]
    if "loader" in found:
        found["loader"] = {str(name): str(value) for name, value in found["loader"].items()}
    return found


def _is_current(document: PlainData, loader: PlainData) -> bool:
    """Whether the loader of a comment gives the facts that the file has; else it is out of date."""
    with_comment = {**document, "loader": loader}
    return read(with_comment).data.get("run") == read(document).data.get("run")


def _text_with(source: str, data: PlainData) -> str:
    """Return a file's text with other data in it; nothing where it would not read back as these."""
    try:
        from ruamel.yaml import YAML
        from ruamel.yaml.error import YAMLError
    except ImportError:
        raise MissingExtra("studio", "ruamel.yaml", "studio") from None
    lines = source.lstrip("\ufeff").splitlines(keepends=True)
    kept = [line for line in lines if not line.startswith(tuple(f"# {one}: " for one in _COMMENTS))]
    round_trip = YAML()  # comments, order, quotes and the style of each list stay
    round_trip.preserve_quotes = True
    round_trip.width = _WIDTH
    text, out = "".join(kept), StringIO()
    dash = _DASH.search(text)
    offset = len(dash[2]) - len(dash[1]) if dash else 0
    round_trip.indent(sequence=offset + 2, offset=offset)
    try:
        tree = round_trip.load(text)
        was = from_yaml(text).data
        if was == data and _order_of_keys(was) == _order_of_keys(data):
            return text
        if not isinstance(tree, dict) or is_schedule(was):
            return ""
        _merge(tree, was, _with_plain_numbers(data, round_trip))
        round_trip.dump(tree, out)
        again = from_yaml(out.getvalue()).data
        return (
            out.getvalue()
            if again == data and _order_of_keys(again) == _order_of_keys(data)
            else ""
        )
    except (YAMLError, WarmdownError, ValueError, TypeError, KeyError):
        return ""


def _merge(tree: Any, was: Any, data: Any) -> None:
    """Put data into a tree that ruamel read, and leave alone what stayed the same."""
    if isinstance(tree, dict):
        for key in [key for key in tree if key not in data]:
            del tree[key]
        for at, key in enumerate(data):
            if key not in tree:
                tree.insert(at, key, None)  # type: ignore[attr-defined]  # ruamel's own mapping
        places = [(key, key in was, data[key]) for key in data]
    else:
        del tree[len(data) :]
        for value in data[len(tree) :]:
            tree.append(value)
        places = [(at, True, value) for at, value in enumerate(data)]
    for place, is_there, value in places:
        old = _member(was, place)
        if is_there and (old == value or old == str(value)):
            continue
        is_alike = isinstance(value, dict) and isinstance(old, dict)
        is_alike |= isinstance(value, list) and isinstance(old, list)
        if is_there and is_alike:
            _merge(tree[place], old, value)
        else:
            tree[place] = value


def _with_plain_numbers(data: Any, round_trip: Any) -> Any:
    """Return data whose texts such as ``1e-4`` are written without quotes, as a person does."""
    if isinstance(data, dict):
        return {key: _with_plain_numbers(value, round_trip) for key, value in data.items()}
    if isinstance(data, list):
        return [_with_plain_numbers(value, round_trip) for value in data]
    is_number = isinstance(data, str) and _POWER.fullmatch(data)
    return round_trip.load(data) if is_number else data


def _order_of_keys(data: Any) -> Any:
    """Return the keys of data in their order, which is that of the groups too."""
    if isinstance(data, dict):
        return [(key, _order_of_keys(value)) for key, value in data.items()]
    return [_order_of_keys(value) for value in data] if isinstance(data, list) else None


def _member(node: Any, place: Any) -> Any:
    try:
        return node[place]
    except (KeyError, IndexError, TypeError):
        return None


def _require_shown(document: PlainData) -> None:
    rows = targets_in(document)
    if max([len(rows), *(len(phases_of(document, row)) for row in rows)]) > MOST_PHASES:
        raise _too_large(f"more than {MOST_PHASES} phases")
    if sum(1 for _ in schedules_in(document["plan"])) > MOST_SCHEDULES:
        raise _too_large(f"more than {MOST_SCHEDULES:,} schedules")


def _without_classes(data: Any) -> Any:
    """Return the data with a plain shape in place of each foreign class."""
    if isinstance(data, list):
        return [_without_classes(one) for one in data]
    if not isinstance(data, Mapping):
        return data
    if "class_path" in data:
        name = {"name": data["name"]} if "name" in data else {}
        return {"kind": "constant", "steps": data.get("steps", "rest"), **name}
    return {key: _without_classes(value) for key, value in data.items()}


def _plain_number(number: Any) -> Any:
    return int(number) if isinstance(number, float) and not number % 1 else number


def _too_large(what: str) -> SpecError:
    return SpecError(f"{what}: more than the page shows. Use 'warmdown show'.")
