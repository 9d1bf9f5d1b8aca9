"""What is seen of a draft: the view of its plan, and the same in words and numbers.

Both come from this process, or as plain data from the one in which foreign classes run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TypeAlias, final

from warmdown.checks import Finding, check
from warmdown.errors import SpecError, WarmdownError
from warmdown.formatting import number
from warmdown.plan import Plan
from warmdown.planfile.plans import plan_from_dict
from warmdown.plot.summary import summary, table_of
from warmdown.plot.view import View, view
from warmdown.schedules.base import PlainData
from warmdown.studio.draft.document import NOT_TARGETS, mark_of, schedules_in
from warmdown.studio.draft.wording import without_call

Bases: TypeAlias = Mapping[str, Mapping[str, float]]
"""Base values of each parameter group, by field."""
Window: TypeAlias = tuple[int, int]
"""First and last step of the stretch that is shown."""

POINTS = 700
"""Points of a line: about one for each pixel; more only take longer."""
_MOST_LOCATED = 100
_FEWEST = 8
_NOTHING = View(lines=())


@final
@dataclass(frozen=True, eq=False)
class Preview:
    """The lines of a plan, or the mistakes in it.

    Args:
        view: What is drawn; empty while nothing can be.
        plan: Of this process; ``None`` where another process drew it.
        mistakes: ``path: what is wrong``.
    """

    view: View = _NOTHING
    plan: Plan | None = None
    mistakes: tuple[str, ...] = ()


@final
@dataclass(frozen=True)
class Summary:
    """Text equivalent of the view, for screen readers and for copying.

    Args:
        text: Sentences.
        labels: Columns of the table.
        rows: Step, what happens there, and the value of each column.
        findings: What is probably not meant.
    """

    text: str = ""
    labels: tuple[str, ...] = ()
    rows: tuple[tuple[int, str, tuple[float, ...]], ...] = ()
    findings: tuple[Finding, ...] = ()


def preview(data: PlainData, bases: Bases) -> Preview:
    """Return what is seen of a plan in the shape of the file."""
    if not data.keys() - {*NOT_TARGETS}:
        return Preview()
    try:
        plan = plan_from_dict(data)
        points = max(POINTS * 8 // max(len(plan.targets) * len(bases), 8), 140)
        return Preview(view(plan, groups=bases or None, points=points), plan)
    except WarmdownError as error:
        return Preview(mistakes=tuple(_with_path(one, data) for one in mistakes_of(error)))


def _with_path(mistake: str, data: PlainData) -> str:
    """Return a mistake with its path, where it names only the schedule that does not fit.

    It is the innermost one that fails alone in the same way.
    """
    if re.split(r"[.\[:]", mistake)[0] in data:
        return mistake
    targets = {name: rule for name, rule in data.items() if name not in NOT_TARGETS}
    places = sorted(schedules_in(targets), key=lambda place: -len(place[0]))[:_MOST_LOCATED]
    for path, schedule in places:
        try:
            alone = {"run": data.get("run", {}), "lr": schedule}
            view(plan_from_dict(alone), points=_FEWEST)
        except WarmdownError as error:
            if mistake in mistakes_of(error):
                _, text = without_call(mistake)
                quoted = [name for name, value in schedule.items() if text.startswith(f"'{value}'")]
                length = ["steps"] if "steps do not fit" in text and "steps" in schedule else []
                return f"{mark_of((*path, *(quoted or length)[:1]))}: {text}"
    rows = [name for name, rule in targets.items() if isinstance(rule, list)]
    return f"{rows[0]}: {mistake}" if len(rows) == 1 else mistake


def mistakes_of(error: WarmdownError) -> tuple[str, ...]:
    """Return each mistake that an error names."""
    return error.mistakes if isinstance(error, SpecError) else (str(error),)


def summarize(seen: View, *plans: Plan) -> Summary:
    """Return the same in words and numbers, and the findings of the plans that it shows."""
    labels = tuple(line.label for line in seen.lines)
    rows = [
        (moment.step, moment.what, tuple(moment.values[label] for label in labels))
        for moment in table_of(seen)
    ]
    findings = dict.fromkeys(finding for plan in plans for finding in check(plan))
    return Summary(summary(seen), labels, tuple(rows), tuple(findings))


def row_texts(summary: Summary) -> list[tuple[str, ...]]:
    """Return the rows of the table as texts: step, values, what happens.

    Where the values rest at the end, the row from which they do stands for all that follow.

    Example:
        >>> rows = ((0, "start", (1.0,)), (50, "changes", (0.5,)), (99, "last update", (0.5,)))
        >>> row_texts(Summary("", ("lr",), rows))
        [('0', '1', 'start'), ('50+', '0.5', 'changes')]
    """
    rows = list(summary.rows)
    while len(rows) > 1 and rows[-1][2] == rows[-2][2]:
        rows.pop()
    texts = [(f"{step:,}", *map(value_text, values), what) for step, what, values in rows]
    if len(rows) < len(summary.rows):
        step, *others = texts[-1]
        texts[-1] = (f"{step}+", *others)
    return texts


def value_text(value: float) -> str:
    """Return a value as people write rates.

    Example:
        >>> [value_text(value) for value in (1e-3, 1.25e-5, 0.05, 1.0)]
        ['1e-3', '1.25e-5', '0.05', '1']
    """
    if value != value:
        return "–"
    if 0 < abs(value) < 1e-2:
        mantissa, _, exponent = f"{value:.3e}".partition("e")
        return f"{float(mantissa):g}e{int(exponent)}"
    return number(value)


def view_to_plain(seen: View) -> PlainData:
    """Return a view as plain data, without what only this process can compute."""
    lines = [
        {
            "label": line.label,
            "unit": line.unit,
            "steps": line.steps.tolist(),
            "values": line.values.tolist(),
            "phases": list(map(asdict, line.phases)),
        }
        for line in seen.lines
    ]
    return {"lines": lines, "x": seen.x, "notes": seen.notes}
