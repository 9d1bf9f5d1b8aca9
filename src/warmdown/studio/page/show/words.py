"""Text equivalents of the chart, for screen readers and copying: findings, a table, sentences."""

from __future__ import annotations

from functools import partial
from typing import TypeAlias

from nicegui import ui

from warmdown.studio.draft.document import is_under, mark_of, targets_in
from warmdown.studio.draft.wording import in_words
from warmdown.studio.page.parts import build_table, plain_button, table_place, tag
from warmdown.studio.page.state import Studio
from warmdown.studio.preview.preview import row_texts

Row: TypeAlias = tuple[str, str, str, str]
"""Severity, text, code, and the mark of the place that is out of sight, if any."""
_MOST = 12
_ICONS = {"error": "error", "warning": "warning", "note": "info"}


def build_findings(studio: Studio) -> None:
    """Build the list of mistakes and findings."""
    place = tag("div", classes="stack findings", role="status", aria_label="Findings")
    shown: object = None

    def show() -> None:
        nonlocal shown
        rows = _mistake_rows(studio)
        notes: tuple[str, ...] = ()
        if not studio.mistakes:
            rows += _finding_rows(studio)
            notes = studio.preview.view.notes
        # a screen reader reads the list out again whenever it is built
        if (now := (rows, notes, studio.is_asking)) == shown:
            return
        shown = now
        place.clear()
        with place:
            if studio.is_asking:
                with tag("p", classes="line quiet small"):
                    ui.spinner(size="sm")
                    tag("span", "Looking at the class, in a process of its own …")
            for severity, text, code, mark in rows:
                with tag("div", classes=f"finding {severity}"):
                    ui.icon(_ICONS[severity])
                    with tag("p"):
                        tag("span", text)
                        if code:
                            tag("code", f"  {code}", "small")
                    if mark:
                        plain_button("Show it", partial(studio.go_to, mark), mark=f"to-{mark}")
            for note in notes:
                tag("p", note, "small quiet")

    studio.subscribe("summary", show)


def _mistake_rows(studio: Studio) -> list[Row]:
    """Return the mistakes that stand beside no field, and how many do."""
    rows: list[Row] = []
    beside = 0
    targets = targets_in(studio.document)
    for mark, what in studio.mistakes.items():
        home = next((row for row in targets if is_under(mark, mark_of(row.path))), None)
        if studio.is_shown(mark) or (home and home == studio.row):
            beside += 1
        elif home:
            rows.append(("error", f"{home.label}: {what}", "", mark))
        else:
            place = "" if mark.startswith("#") else f"{mark.removeprefix('plan.')}: "
            rows.append(("error", f"{place}{what}", "", ""))
    rows = rows[:_MOST]
    if beside:
        several = "One field needs" if beside == 1 else f"{beside} fields need"
        text = f"{several} another value; the reason stands beside it."
        rows.append(("error", text, "", ""))
    return rows


def _finding_rows(studio: Studio) -> list[Row]:
    several = len(targets_in(studio.document)) > 1
    rows: list[Row] = []
    for finding in studio.summary.findings[:_MOST]:
        where = f"{finding.target}: " if finding.target and several else ""
        rows.append((finding.severity, f"{where}{in_words(finding.message)}", finding.code, ""))
    return rows


def build_values_table(studio: Studio) -> None:
    """Build the table of values at the steps where they change."""
    place = table_place()

    def show() -> None:
        summary, clock = studio.summary, studio.preview.view.x
        place.clear()
        if not summary.rows:
            return
        heads = [clock.removesuffix("s").capitalize(), *summary.labels, "What happens"]
        caption = "Values at the steps where they change; + means from there on."
        with place:
            build_table("values", heads, row_texts(summary), heads[-1], caption)

    studio.subscribe("summary", show)


def build_summary(studio: Studio) -> None:
    """Build the sentences that say the same as the table."""
    place = tag("div", classes="words")

    def show() -> None:
        place.clear()
        with place:
            for sentence in studio.summary.text.split("\n\n"):
                tag("p", sentence)

    studio.subscribe("summary", show)
