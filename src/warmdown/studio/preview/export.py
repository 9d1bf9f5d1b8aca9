"""The draft as a file: YAML or JSON, with the groups in a comment; the drawn values as rows."""

from __future__ import annotations

from collections.abc import Iterator

from warmdown.errors import SpecError
from warmdown.planfile.text import from_yaml
from warmdown.planfile.writing import to_json, to_yaml
from warmdown.plot.export import ValueRow
from warmdown.plot.view import View
from warmdown.studio.draft.model import Draft, Group
from warmdown.studio.draft.writing import written

_GROUPS = "# groups: "


def plan_yaml(draft: Draft) -> str:
    """Return the plan as a file; base values belong to the optimizer and stand in a comment.

    Example:
        >>> from warmdown.studio.draft.model import ScheduleDraft, TargetDraft
        >>> cosine = ScheduleDraft("cosine", (("end", "0.1"),))
        >>> print(plan_yaml(Draft(targets=(TargetDraft(phases=(cosine,)),))))
        lr: {kind: cosine, end: 0.1}
        <BLANKLINE>
    """
    rows = {
        group.name: {field: base for field, base in group.bases if base.strip()}
        for group in draft.groups
        if group.name
    }
    comment = ""
    if any(rows.values()):
        line = to_yaml(rows, in_one_line=True)
        # a base value of a link may have lines, and a comment is one
        comment = f"{_GROUPS}{' '.join(line.splitlines())}\n"
    return f"{comment}{to_yaml(written(draft).data)}"


def plan_json(draft: Draft) -> str:
    """Return the plan as JSON."""
    return to_json(written(draft).data)


def groups_in(text: str) -> tuple[Group, ...]:
    """Return the groups in the comment of a file, or none.

    Example:
        >>> [group.name for group in groups_in('# groups: {unet: {lr: 1e-4}, head: {lr: 1e-3}}')]
        ['unet', 'head']
    """
    first = text.lstrip("\ufeff").partition("\n")[0]
    if not first.startswith(_GROUPS) or len(first) > 10_000:
        return ()
    try:
        data = from_yaml(first.removeprefix(_GROUPS)).data
    except SpecError:
        return ()
    rows = list(data.items())[:100] if isinstance(data, dict) else []
    return tuple(
        Group(str(name), tuple((str(field), str(base)) for field, base in bases.items()))
        for name, bases in rows
        if isinstance(bases, dict)
    )


def drawn_rows(seen: View) -> Iterator[ValueRow]:
    """Yield every point that is drawn, of another library's classes too."""
    for line in seen.lines:
        for step, value in zip(line.steps.tolist(), line.values.tolist(), strict=True):
            yield ValueRow(int(step), line.label, value)
