"""Text equivalents of the chart, for screen readers and copying: findings, a table, sentences."""

from __future__ import annotations

from typing import final

from nicegui import ui

from warmdown.studio.page.parts import marked, tag
from warmdown.studio.page.state import Studio
from warmdown.studio.preview.preview import row_texts

_MOST = 12
_ICONS = {"error": "error", "warning": "warning", "note": "info"}


@final
class FindingsList:
    """What is wrong, and what is probably not meant.

    Args:
        studio: The tab.
    """

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        self.list = tag("div", classes="stack findings", role="status", aria_label="Findings")
        self.shown: object = None
        studio.subscribe("summary", self.show)

    def show(self) -> None:
        """Show them, where they changed: a screen reader reads the list out again."""
        studio = self.studio
        findings = [] if studio.mistakes else self._findings()
        notes = () if studio.mistakes else studio.preview.view.notes
        rows = [*self._mistakes(), *findings]
        if (now := (rows, notes, studio.is_asking)) == self.shown:
            return
        self.shown = now
        self.list.clear()
        with self.list:
            if studio.is_asking:
                with tag("p", classes="line quiet small"):
                    ui.spinner(size="sm")
                    tag("span", "Looking at the class, in a process of its own …")
            for severity, text, code in rows:
                with tag("div", classes=f"finding {severity}"):
                    ui.icon(_ICONS[severity])
                    with tag("p"):
                        tag("span", text)
                        if code:
                            tag("code", f"  {code}", "small")
            for note in notes:
                tag("p", note, "small quiet")

    def _mistakes(self) -> list[tuple[str, str, str]]:
        """Return the mistakes that stand beside no field, and how many do."""
        mistakes = self.studio.mistakes
        rows = [("error", what, "") for key, what in mistakes.items() if key.startswith("#")]
        if beside := len(mistakes) - len(rows):
            several = "One field needs" if beside == 1 else f"{beside} fields need"
            text = f"{several} another value; the reason stands beside it."
            return [*rows[:_MOST], ("error", text, "")]
        return rows[:_MOST]

    def _findings(self) -> list[tuple[str, str, str]]:
        several = len(self.studio.draft.targets) > 1
        rows: list[tuple[str, str, str]] = []
        for finding in self.studio.summary.findings[:_MOST]:
            where = f"{finding.target}: " if finding.target and several else ""
            rows.append((finding.severity, f"{where}{finding.message}", finding.code))
        return rows


@final
class ValuesTable:
    """The table of values at the steps where they change.

    Args:
        studio: The tab.
    """

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        self.place = tag(
            "div", classes="scroll", tabindex="0", role="region", aria_label="Table of values"
        )
        studio.subscribe("summary", self.show)

    def show(self) -> None:
        """Show it."""
        summary, clock = self.studio.summary, self.studio.preview.view.x
        self.place.clear()
        if not summary.rows:
            return
        with self.place, marked(tag("table", classes="values"), "values"):
            tag("caption", "Values at the steps where they change; + means from there on.")
            with tag("thead"), tag("tr"):
                for label in (clock.removesuffix("s").capitalize(), *summary.labels):
                    tag("th", label, scope="col")
                tag("th", "What happens", "what", scope="col")
            with tag("tbody"):
                for step, *values, what in row_texts(summary):
                    with tag("tr"):
                        tag("th", step, scope="row")
                        for value in values:
                            tag("td", value)
                        tag("td", what, "what")


@final
class SummaryText:
    """The same in sentences.

    Args:
        studio: The tab.
    """

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        self.place = tag("div", classes="words")
        studio.subscribe("summary", self.show)

    def show(self) -> None:
        """Show them."""
        self.place.clear()
        with self.place:
            for sentence in self.studio.summary.text.split("\n\n"):
                tag("p", sentence)
