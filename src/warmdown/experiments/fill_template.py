"""A space's own text with numbers in place of its ranges; the rest stays as it was written."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import yaml

from warmdown.errors import SpecError
from warmdown.planfile.text import from_json, from_yaml, join_path
from warmdown.planfile.writing import to_yaml

Cut: TypeAlias = tuple[int, int, str]
"""Start and stop of a piece of text, and what replaces it."""


def fill_template(text: str, data: Any, values: Mapping[str, Any], *, as_json: bool = False) -> str:
    """Return a text with values in place of ranges, its comments and layout unchanged.

    Args:
        text: The space as it was written.
        data: What the filled text must mean; this is written out instead where it does not.
        values: A value for each range, by its path.
        as_json: Whether the text is JSON, else YAML.

    Example:
        >>> text = "lr: {kind: cosine, end: {low: 0, high: 0.2}}  # how far down"
        >>> fill_template(text, {"lr": {"kind": "cosine", "end": 0.05}}, {"lr.end": 0.05})
        'lr: {kind: cosine, end: 0.05}  # how far down'
    """
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        # from the back, so that earlier places stay
        for start, stop, word in sorted(_cuts(node, "", values, as_json), reverse=True):
            text = text[:start] + word + text[stop:]
        if (from_json if as_json else from_yaml)(text).data == data:
            return text
    except (yaml.YAMLError, SpecError):
        pass  # YAML does not read tabs in JSON, for one
    return plain_text(data, as_json=as_json)


def plain_text(data: Any, *, as_json: bool = False) -> str:
    """Return plain data as YAML that a person would write, or as JSON."""
    if as_json:
        return json.dumps(data, indent=2, ensure_ascii=False) + "\n"
    return to_yaml(data)


def _cuts(
    node: yaml.Node | None, path: str, values: Mapping[str, Any], as_json: bool
) -> Iterator[Cut]:
    """Yield the cuts in and under a node."""
    if node is not None and path in values:
        yield node.start_mark.index, _end_index(node), _scalar_text(values[path], as_json)
    elif isinstance(node, yaml.MappingNode):
        for key, part in node.value:
            inner = join_path(path, key.value)
            if inner in values:
                # from the key on: a range in lines of its own begins on the next line
                text = f": {_scalar_text(values[inner], as_json)}"
                yield key.end_mark.index, _end_index(part), text
            else:
                yield from _cuts(part, inner, values, as_json)
    elif isinstance(node, yaml.SequenceNode):
        for index, part in enumerate(node.value):
            yield from _cuts(part, f"{path}[{index}]", values, as_json)


def _end_index(node: yaml.Node) -> int:
    """Return the end of a node's last word: YAML counts the gap behind a block to it."""
    if not isinstance(node, yaml.CollectionNode) or node.flow_style or not node.value:
        return int(node.end_mark.index)
    last = node.value[-1]
    return _end_index(last[1] if isinstance(last, tuple) else last)


def _scalar_text(value: Any, as_json: bool) -> str:
    if as_json:
        return json.dumps(value, ensure_ascii=False)
    text = yaml.safe_dump(
        value, sort_keys=False, default_flow_style=True, allow_unicode=True, width=10_000
    )
    return text.removesuffix("\n").removesuffix("\n...")
