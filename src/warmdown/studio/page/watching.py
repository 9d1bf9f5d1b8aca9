"""The page of runs: what they do, as they do it, beside what was planned."""

from __future__ import annotations

__all__ = ["build_runs"]

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any, final

from nicegui import ui

from warmdown.plot.formatting import count
from warmdown.plot.theme import DARK, LIGHT
from warmdown.studio.draft.writing import written
from warmdown.studio.page.parts import card, heading, icon_button, marked, paragraph, tag
from warmdown.studio.page.show.plot import Plot
from warmdown.studio.page.state import Launch
from warmdown.studio.preview.chart import Layer
from warmdown.studio.preview.look import Curve
from warmdown.studio.preview.seeing import see
from warmdown.studio.preview.tables import value_text
from warmdown.studio.preview.watch import Runs, RunSeen

_EVERY = 1.0
_SHOWN_AT_FIRST = 3
_MOST_PANELS = 4
_MOST_HAPPENINGS = 12


async def build_runs(launch: Launch) -> None:
    """Build the page of runs for one tab."""
    page = Watching(launch)
    await ui.context.client.connected()
    found = await ui.run_javascript("warmdown.found()", timeout=10.0) or {}
    page.show_theme(bool(found.get("dark")))
    ui.timer(_EVERY, page.look)


@final
class Watching:
    """Everything that the page of runs shows.

    Args:
        launch: What tabs share; its folder of runs is watched.
    """

    def __init__(self, launch: Launch) -> None:
        self.runs = Runs(launch.watch or launch.folder.path)
        self.plan = see(written(launch.start).data, {}).plan
        self.chosen: set[str] = set()
        self.log = self.is_dark = False
        self.dark = ui.dark_mode()
        self.shown: object = None
        ui.page_title("Runs · warmdown studio")
        self._top()
        with tag("div", classes="room"):
            with tag("div", classes="side"):
                with card("Runs", "runs"):
                    self.list = tag("ul", classes="stack").style("list-style: none")
                with card("What happened", "happened"):
                    self.happened = tag(
                        "div", classes="stack", role="log", aria_label="Phases, events and warnings"
                    )
            with tag("div", classes="view"):
                with tag("section", classes="card", aria_labelledby="head-curves"):
                    with tag("div", classes="head"):
                        heading(2, "Recorded and planned").props["id"] = "head-curves"
                        self._log_button()
                    self.plot = Plot()
                with card("Latest values", "latest"):
                    self.latest = tag(
                        "div",
                        classes="scroll",
                        tabindex="0",
                        role="region",
                        aria_label="Table of values",
                    )

    async def look(self) -> None:
        """Read on, and show what is new."""
        news = await asyncio.to_thread(self.runs.look)
        now = (
            sorted((run.name, run.is_going) for run in self.runs.seen.values()),
            tuple(sorted(self.chosen)),
        )
        if news or now != self.shown:
            self.shown = now
            self.show()

    def show(self) -> None:
        """Show everything."""
        runs = sorted(self.runs.seen.values(), key=lambda run: (not run.is_going, run.name))
        if not self.chosen:
            self.chosen = {run.name for run in runs[:_SHOWN_AT_FIRST]}
        chosen = [run for run in runs if run.name in self.chosen]
        self._show_list(runs)
        self._draw(chosen)
        self._show_latest(chosen)
        self._show_happenings(chosen)

    def show_theme(self, is_dark: bool) -> None:
        """Show light or dark colours."""
        self.is_dark = self.dark.value = is_dark
        self.show()

    def _top(self) -> None:
        with tag("header", classes="top"):
            with tag("h1"):
                tag("span", "warmdown")
                tag("span", " studio · runs", "long")
            tag("span", self.runs.folder.name or str(self.runs.folder), "name small quiet")
            tag("a", "Design a plan", "link", href="design")
            icon_button(
                "dark_mode", "Other colours", lambda: self.show_theme(not self.is_dark), "theme"
            )

    def _log_button(self) -> None:
        def toggle() -> None:
            self.log = not self.log
            button.props["aria-pressed"] = "true" if self.log else "false"
            button.classes(toggle="main")
            self.show()

        button = (
            ui.button("Log", on_click=toggle, color=None)
            .props("flat dense no-caps")
            .classes("edge")
        )
        button.props["aria-pressed"] = "false"
        button.props["aria-label"] = "Logarithmic values"
        marked(button, "log")

    def _show_list(self, runs: Sequence[RunSeen]) -> None:
        self.list.clear()
        with self.list:
            if not runs:
                paragraph(
                    "No record yet: they appear as soon as a run writes one (record.jsonl).",
                    "quiet small",
                )
            drawn = [run for run in runs if run.name in self.chosen]
            for run in runs:
                with tag("li", classes="run"):
                    colour = (
                        _colour(drawn.index(run), self.is_dark) if run in drawn else "transparent"
                    )
                    tag("span", classes="swatch", aria_hidden="true").style(f"background: {colour}")
                    box = ui.checkbox(run.name, value=run.name in self.chosen).props("dense")
                    box.on_value_change(partial(self._choose, run))
                    marked(box, f"run-{run.name}")
                    tag("p", _state(run), "small quiet").style("padding-left: 30px")

    def _choose(self, run: RunSeen, event: Any) -> None:
        self.chosen = (self.chosen | {run.name}) if event.value else (self.chosen - {run.name})
        self.show()

    def _draw(self, runs: Sequence[RunSeen]) -> None:
        several = len(runs) > 1
        layers: list[Layer] = []
        for number, run in enumerate(runs):
            recorded = _panels(run)
            units = {curve.unit for curve in recorded}
            planned = [curve for curve in run.planned(self.plan) if curve.unit in units]
            name = run.name if several else ""
            layers.append(Layer(recorded, name, number=number))
            layers.append(Layer(planned, f"{name} planned".strip(), is_faint=True, number=number))
        stop = max(
            (int(curve.points[-1][0]) for layer in layers for curve in layer.curves), default=1
        )
        self.plot.draw(layers, stop, log=self.log, dark=self.is_dark, clock="updates")
        self.plot.call("; ".join(f"{run.name}: {_state(run)}" for run in runs) or "No run yet.")

    def _show_latest(self, runs: Sequence[RunSeen]) -> None:
        targets = list(dict.fromkeys(target for run in runs for target in run.last))
        self.latest.clear()
        if not targets:
            return
        with self.latest, marked(tag("table", classes="values"), "latest"):
            with tag("thead"), tag("tr"):
                tag("th", "Run", "what", scope="col")
                tag("th", "Update", scope="col")
                for target in targets:
                    tag("th", target, scope="col")
            with tag("tbody"):
                for run in runs:
                    with tag("tr"):
                        tag("th", run.name, "what", scope="row")
                        tag("td", count(run.step))
                        for target in targets:
                            tag(
                                "td", value_text(run.last[target][1]) if target in run.last else "–"
                            )

    def _show_happenings(self, runs: Sequence[RunSeen]) -> None:
        rows = [(one.step, run.name, one) for run in runs for one in run.happenings]
        self.happened.clear()
        with self.happened:
            if not rows:
                paragraph("Nothing yet.", "quiet small")
            for step, name, one in sorted(rows, key=lambda row: -row[0])[:_MOST_HAPPENINGS]:
                with tag("p", classes="small"):
                    tag("b", f"{count(step)} ")
                    what = (
                        f"{one.reason} begins"
                        if one.target == "phase"
                        else f"{one.target}: {one.reason}"
                    )
                    tag("span", f"{name}: {what}" if len(runs) > 1 else what)


def _colour(number: int, is_dark: bool) -> str:
    lines = (DARK if is_dark else LIGHT).lines
    return lines[number % len(lines)]


def _panels(run: RunSeen) -> list[Curve]:
    """Return what is drawn: rates, losses, then the rest as far as there is room."""
    curves = sorted(run.curves(), key=lambda curve: _rank(curve.label))
    units = list(dict.fromkeys(curve.unit for curve in curves))[:_MOST_PANELS]
    return [curve for curve in curves if curve.unit in units]


def _rank(label: str) -> tuple[int, str]:
    name = label.partition("/")[0]
    return (0 if name == "lr" else 1 if "loss" in name else 2, name)


def _state(run: RunSeen) -> str:
    """Say how far a run is."""
    told = [f"update {count(run.step)}", *([run.phase] if run.phase else [])]
    told.append("going on" if run.is_going else "at rest")
    if run.unread:
        told.append(f"{count(run.unread)} lines could not be read")
    return " · ".join(told)
