"""A space's own text with numbers where its ranges stood: what else a person wrote stays as they wrote it."""

from __future__ import annotations

__all__ = ["filled_text", "plain_text"]

import json
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import yaml

from warmdown.errors import SpecError
from warmdown.planfile.text import from_json, from_yaml
from warmdown.planfile.writing import to_yaml

Cut: TypeAlias = tuple[int, int, str]
"""From where to where a text is replaced, and by what."""


def filled_text(text: str, data: Any, values: Mapping[str, Any], *, as_json: bool = False) -> str:
    """Return a text in which values stand where ranges stood, comments and layout kept.

    Args:
        text: The space as it was written.
        data: What the text shall mean then; when the text cannot be made to mean it, this is
            written out instead.
        values: A value for each range, by its path.
        as_json: Whether the text is JSON, else YAML.

    Example:
        >>> text = "lr: {kind: cosine, end: {low: 0, high: 0.2}}  # how far down"
        >>> filled_text(text, {"lr": {"kind": "cosine", "end": 0.05}}, {"lr.end": 0.05})
        'lr: {kind: cosine, end: 0.05}  # how far down'
    """
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        for start, stop, word in sorted(_cuts(node, "", values, as_json), reverse=True):
            text = text[:start] + word + text[stop:]
        if (from_json if as_json else from_yaml)(text).data == data:
            return text
    except (yaml.YAMLError, SpecError):
        pass  # tabs in JSON, for one, are nothing that YAML reads
    return plain_text(data, as_json=as_json)


def plain_text(data: Any, *, as_json: bool = False) -> str:
    """Return plain data as YAML that a person would write, or as JSON."""
    if as_json:
        return json.dumps(data, indent=2, ensure_ascii=False) + "\n"
    return to_yaml(data)


def _cuts(
    node: yaml.Node | None, path: str, values: Mapping[str, Any], as_json: bool
) -> Iterator[Cut]:
    """Yield what is replaced, in and under a node; paths are written as a space writes them."""
    if node is not None and path in values:
        yield node.start_mark.index, _end(node), _word(values[path], as_json)
    elif isinstance(node, yaml.MappingNode):
        for key, part in node.value:
            inner = f"{path}.{key.value}" if path else str(key.value)
            if (
                inner in values
            ):  # from the key on: a range in lines of its own begins on the next one
                yield key.end_mark.index, _end(part), f": {_word(values[inner], as_json)}"
            else:
                yield from _cuts(part, inner, values, as_json)
    elif isinstance(node, yaml.SequenceNode):
        for index, part in enumerate(node.value):
            yield from _cuts(part, f"{path}[{index}]", values, as_json)


def _end(node: yaml.Node) -> int:
    """Return where the last word of a node ends: a node in lines of its own reaches to the next one's first word."""
    if not isinstance(node, yaml.CollectionNode) or node.flow_style or not node.value:
        return int(node.end_mark.index)
    last = node.value[-1]
    return _end(last[1] if isinstance(last, tuple) else last)


def _word(value: Any, as_json: bool) -> str:
    if as_json:
        return json.dumps(value, ensure_ascii=False)
    word = yaml.safe_dump(
        value, sort_keys=False, default_flow_style=True, allow_unicode=True, width=10_000
    )
    return word.removesuffix("\n").removesuffix("\n...")
