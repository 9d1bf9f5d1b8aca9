"""What a person takes away: the plan as YAML, JSON or Python, the values as CSV, the picture as SVG or PNG."""

from __future__ import annotations

__all__ = ["as_csv", "as_json", "as_picture", "as_python", "as_yaml", "groups_in"]

import json
from typing import Any

import numpy as np
import yaml

from warmdown.errors import ScheduleError, SpecError
from warmdown.planfile.text import from_yaml
from warmdown.plot import Line, View, export
from warmdown.plot.page import png_bytes, svg_bytes
from warmdown.schedules import Phase
from warmdown.studio.draft.fields import shapes
from warmdown.studio.draft.pieces import Draft, Group
from warmdown.studio.draft.writing import written
from warmdown.studio.preview.look import Curve, Look

_WIDTH = 110
_GROUPS = "# groups: "


def as_yaml(draft: Draft) -> str:
    """Return the plan as a file; the groups' base values, which belong to the optimizer, stand in a comment.

    Example:
        >>> from warmdown.studio.draft.pieces import Piece, Track
        >>> print(as_yaml(Draft(tracks=(Track(phases=(Piece("cosine", (("end", "0.1"),)),)),))))
        lr: {kind: cosine, end: 0.1}
        <BLANKLINE>
    """
    text: str = yaml.safe_dump(
        written(draft).data,
        sort_keys=False,
        default_flow_style=None,
        allow_unicode=True,
        width=_WIDTH,
    )
    return f"{_groups_line(draft)}{text}"


def as_json(draft: Draft) -> str:
    """Return the plan as JSON."""
    return json.dumps(written(draft).data, indent=2, ensure_ascii=False) + "\n"


def groups_in(text: str) -> tuple[Group, ...]:
    """Return the groups that a file's comment tells of, or none.

    Example:
        >>> [group.name for group in groups_in('# groups: {unet: {lr: 1e-4}, embedding: {lr: 1e-3}}')]
        ['unet', 'embedding']
    """
    first = text.lstrip("\ufeff").partition("\n")[0]
    if not first.startswith(_GROUPS) or len(first) > 10_000:
        return ()
    try:
        data = from_yaml(first.removeprefix(_GROUPS)).data
    except SpecError:
        return ()
    rows = data.items() if isinstance(data, dict) else ()
    kept = [(str(name), bases) for name, bases in rows if isinstance(bases, dict)]
    return tuple(
        Group(name, tuple((str(f), str(base)) for f, base in bases.items()))
        for name, bases in kept[:100]
    )


def as_csv(look: Look) -> str:
    """Return the curves as columns: step, target, value, as ``warmdown show`` writes them."""
    return export.as_csv(
        export.ValueRow(int(step), curve.label, float(value))
        for curve in look.curves
        for step, value in curve.points
    )


def as_picture(look: Look, kind: str, *, dark: bool, log: bool) -> bytes:
    """Return the picture, ``"svg"`` or ``"png"``, of what is seen: another library's classes too.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    picture = {"svg": svg_bytes, "png": png_bytes}[kind]
    return picture(_view(look), dark=dark, log=log)


def as_python(draft: Draft) -> str:
    """Return the plan as Python that makes it.

    Example:
        >>> from warmdown.studio.draft.pieces import Piece, Track
        >>> print(as_python(Draft(tracks=(Track(warmup="5%", phases=(Piece("cosine", (("end", "0.1"),)),)),))))
        import warmdown as wd
        <BLANKLINE>
        plan = wd.Plan.of(
            lr=wd.Linear(start=0.0, end=1.0, steps='5%').named('warmup') >> wd.Cosine(end=0.1),
        )
        scheduler = wd.Scheduler(optimizer, plan)
        <BLANKLINE>
    """
    data = dict(written(draft).data)
    lines = ["import warmdown as wd", "", "plan = wd.Plan.of("]
    if "run" in data:
        facts = ", ".join(f"{name}={fact!r}" for name, fact in data.pop("run").items())
        lines.append(f"    run=wd.Run({facts}),")
    options = {name: data.pop(name) for name in ("after_end", "count") if name in data}
    lines += [f"    {name}={value!r}," for name, value in options.items()]
    if all(name.isidentifier() for name in data):
        lines += [f"    {name}={_target(target)}," for name, target in data.items()]
    else:
        lines.append(
            f"    **{{{', '.join(f'{name!r}: {_target(target)}' for name, target in data.items())}}},"
        )
    return "\n".join([*lines, ")", "scheduler = wd.Scheduler(optimizer, plan)", ""])


def _view(look: Look) -> View:
    lines = tuple(_line(curve) for curve in look.curves)
    return View(lines=lines, x=look.clock, notes=look.notes)


def _line(curve: Curve) -> Line:
    steps, values = np.asarray(curve.points, dtype=np.float64).T
    phases = tuple(Phase(name, start, end) for name, start, end in curve.phases)
    return Line(
        curve.label, curve.unit, steps, values, phases, lambda at: np.interp(at, steps, values)
    )


def _target(data: Any) -> str:
    if isinstance(data, dict) and "groups" in data:
        return f"{{{', '.join(f'{group!r}: {_target(one)}' for group, one in data['groups'].items())}}}"
    if isinstance(data, dict) and "set" in data:
        return f"wd.Set({_schedule(data['set'])})"
    if isinstance(data, dict) and "scale" in data:
        offset = f", offset={_schedule(data['offset'])}" if "offset" in data else ""
        low = f", low={data['low']!r}" if "low" in data else ""
        return f"wd.Scale({_schedule(data['scale'])}{offset}{low})"
    return _schedule(data)


def _schedule(data: Any) -> str:
    if isinstance(data, list):
        return " >> ".join(_schedule(one) for one in data)
    if not isinstance(data, dict):
        return repr(data)
    given = dict(data)
    name = given.pop("name", None)
    if "class_path" in given:
        text = f"wd.External(class_path={given['class_path']!r}, init_args={given.get('init_args', {})!r})"
    else:
        text = f"wd.{_word(str(given.pop('kind')))}({_arguments(given)})"
    return f"{text}.named({name!r})" if name is not None else text


def _word(kind: str) -> str:
    known = shapes().get(kind)
    if known is None:
        raise ScheduleError(f"{kind[:60]!r}: there is no such shape, so there is no code for it.")
    return kind if known.is_recipe else "".join(part.title() for part in kind.split("_"))


def _arguments(given: dict[str, Any]) -> str:
    """Return keyword arguments; what is no name could turn text into other code."""
    if wrong := next((name for name in given if not name.isidentifier()), None):
        raise ScheduleError(
            f"{wrong[:60]!r}: not a name of a parameter, so there is no code for it."
        )
    return ", ".join(f"{name}={_value(value)}" for name, value in given.items())


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return _schedule(value)
    if isinstance(value, list):
        inside = ", ".join(_value(one) for one in value)
        return f"({inside},)" if len(value) == 1 else f"({inside})"
    return repr(value)


def _groups_line(draft: Draft) -> str:
    rows = {
        group.name: {f: base for f, base in group.bases if base.strip()}
        for group in draft.groups
        if group.name
    }
    if not any(rows.values()):
        return ""
    line: str = yaml.safe_dump(
        rows, default_flow_style=True, width=10**6, allow_unicode=True, sort_keys=False
    )
    # a base value of a link may have lines, and a comment is one
    return f"{_GROUPS}{' '.join(line.splitlines())}\n"
