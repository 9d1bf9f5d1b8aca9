"""What the picture says to those who do not see it, and to those who copy: findings, a table, sentences."""

from __future__ import annotations

__all__ = ["Findings", "Values", "Words"]

from typing import final

from nicegui import ui

from warmdown.studio.page.parts import marked, paragraph, tag
from warmdown.studio.page.state import Studio
from warmdown.studio.preview.tables import changes, step_text, value_text

_MOST = 12
_ICONS = {"error": "error", "warning": "warning", "note": "info"}


@final
class Findings:
    """What is wrong, and what is probably not meant.

    Args:
        studio: The tab.
    """

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        self.list = tag("div", classes="stack findings", role="status", aria_label="Findings")
        self.shown: tuple[object, ...] = ()
        studio.on("told", self.show)

    def show(self) -> None:
        """Show them."""
        studio = self.studio
        general = [what for key, what in studio.mistakes.items() if key.startswith("#")]
        beside = len(studio.mistakes) - len(general)
        findings = studio.told.findings if not studio.mistakes else ()
        now = (tuple(general), beside, findings, studio.look.notes, studio.is_asking)
        if now == self.shown:
            return
        self.shown = now
        self.list.clear()
        with self.list:
            if studio.is_asking:
                with tag("p", classes="line quiet small"):
                    ui.spinner(size="sm")
                    tag("span", "Looking at the class, in a process of its own …")
            for what in general[:_MOST]:
                self._finding(what, "", "error")
            if beside:
                several = "One field needs" if beside == 1 else f"{beside} fields need"
                self._finding(f"{several} another value; the reason stands beside it.", "", "error")
            for finding in findings[:_MOST]:
                where = (
                    f"{finding.target}: " if finding.target and len(studio.draft.tracks) > 1 else ""
                )
                self._finding(where + finding.text, finding.code, finding.severity)
            for note in studio.look.notes if not studio.mistakes else ():
                paragraph(note, "small quiet")

    @staticmethod
    def _finding(text: str, code: str, severity: str) -> None:
        with tag("div", classes=f"finding {severity}"):
            ui.icon(_ICONS[severity])
            with tag("p"):
                tag("span", text)
                if code:
                    tag("code", f"  {code}", "small")


@final
class Values:
    """The table of values at the steps where they change.

    Args:
        studio: The tab.
    """

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        self.place = tag(
            "div", classes="scroll", tabindex="0", role="region", aria_label="Table of values"
        )
        studio.on("told", self.show)

    def show(self) -> None:
        """Show it."""
        told = self.studio.told
        self.place.clear()
        if not told.rows:
            return
        rows = changes(told)
        with self.place, marked(tag("table", classes="values"), "values"):
            tag("caption", "Values at the steps where they change; + means from there on.")
            with tag("thead"), tag("tr"):
                tag("th", self.studio.look.clock.removesuffix("s").capitalize(), scope="col")
                for label in told.labels:
                    tag("th", label, scope="col")
                tag("th", "What happens", "what", scope="col")
            with tag("tbody"):
                for row in rows:
                    with tag("tr"):
                        tag("th", step_text(row), scope="row")
                        for value in row.values:
                            tag("td", value_text(value))
                        tag("td", row.what, "what")


@final
class Words:
    """The same in sentences.

    Args:
        studio: The tab.
    """

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        self.place = tag("div", classes="words")
        studio.on("told", self.show)

    def show(self) -> None:
        """Show them."""
        self.place.clear()
        with self.place:
            for sentence in self.studio.told.summary.split("\n\n"):
                paragraph(sentence)
