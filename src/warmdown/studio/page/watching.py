"""The page of runs: what was recorded, as it is written, beside what was planned."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any, final

from nicegui import ui

from warmdown.plot.formatting import count
from warmdown.plot.theme import DARK, LIGHT
from warmdown.plot.view import Line
from warmdown.studio.draft.writing import written
from warmdown.studio.page.parts import (
    build_table,
    card,
    icon_button,
    log_button,
    marked,
    table_place,
    tag,
)
from warmdown.studio.page.show.plot import PlotElement
from warmdown.studio.page.state import AppContext
from warmdown.studio.preview.chart import Layer
from warmdown.studio.preview.preview import preview, value_text
from warmdown.studio.preview.watch import RunFolder, WatchedRun

_EVERY = 1.0
_SHOWN_AT_FIRST = 3
_MOST_PANELS = 4
_MOST_EVENTS = 12


async def build_runs(app: AppContext) -> None:
    """Build the page of runs for one tab."""
    page = RunsPage(app)
    await ui.context.client.connected()
    found = await ui.run_javascript("warmdown.found()", timeout=10.0) or {}
    page.show_theme(bool(found.get("dark")))
    ui.timer(_EVERY, page.read_on)


@final
class RunsPage:
    """Everything that the page of runs shows.

    Args:
        app: What tabs share; its folder of runs is watched.
    """

    def __init__(self, app: AppContext) -> None:
        self.folder = RunFolder(app.watch or app.folder.path)
        self.plan = preview(written(app.start).data, {}).plan
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
                    self.events = tag(
                        "div", classes="stack", role="log", aria_label="Phases, events and warnings"
                    )
            with tag("div", classes="view"):
                with card("Recorded and planned", "curves") as head:
                    with head:
                        log_button(self._show_log)
                    self.plot = PlotElement()
                with card("Latest values", "latest"):
                    self.latest = table_place()

    async def read_on(self) -> None:
        """Read on, and show what is new."""
        news = await asyncio.to_thread(self.folder.read_on)
        now = ({run.name: run.is_going for run in self.folder.runs.values()}, set(self.chosen))
        if news or now != self.shown:
            self.shown = now
            self.show()

    def show(self) -> None:
        """Show everything."""
        runs = sorted(self.folder.runs.values(), key=lambda run: (not run.is_going, run.name))
        if not self.chosen:
            self.chosen = {run.name for run in runs[:_SHOWN_AT_FIRST]}
        chosen = [run for run in runs if run.name in self.chosen]
        self._show_list(runs, chosen)
        self._draw(chosen)
        self._show_latest(chosen)
        self._show_events(chosen)

    def show_theme(self, is_dark: bool) -> None:
        """Show light or dark colours."""
        self.is_dark = self.dark.value = is_dark
        self.show()

    def _top(self) -> None:
        with tag("header", classes="top"):
            with tag("h1"):
                tag("span", "warmdown")
                tag("span", " studio · runs", "long")
            tag("span", self.folder.path.name or str(self.folder.path), "name small quiet")
            tag("a", "Design a plan", "link", href="design")
            icon_button(
                "dark_mode", "Other colours", lambda: self.show_theme(not self.is_dark), "theme"
            )

    def _show_log(self, is_log: bool) -> None:
        self.log = is_log
        self.show()

    def _show_list(self, runs: Sequence[WatchedRun], chosen: Sequence[WatchedRun]) -> None:
        colours = (DARK if self.is_dark else LIGHT).lines
        self.list.clear()
        with self.list:
            if not runs:
                none = "No record yet: they appear as soon as a run writes one (record.jsonl)."
                tag("p", none, "quiet small")
            for run in runs:
                colour = "transparent"
                if run in chosen:
                    colour = colours[chosen.index(run) % len(colours)]
                with tag("li", classes="run"):
                    tag("span", classes="swatch", aria_hidden="true").style(f"background: {colour}")
                    box = ui.checkbox(run.name, value=run in chosen).props("dense")
                    box.on_value_change(partial(self._choose, run.name))
                    marked(box, f"run-{run.name}")
                    tag("p", _state_of(run), "small quiet").style("padding-left: 30px")

    def _choose(self, name: str, event: Any) -> None:
        self.chosen = self.chosen | {name} if event.value else self.chosen - {name}
        self.show()

    def _draw(self, runs: Sequence[WatchedRun]) -> None:
        layers: list[Layer] = []
        for number, run in enumerate(runs):
            recorded = _drawn_lines(run)
            units = {line.unit for line in recorded}
            planned = [line for line in run.planned_lines(self.plan) if line.unit in units]
            name = run.name if len(runs) > 1 else ""
            layers.append(Layer(recorded, name, number=number))
            layers.append(Layer(planned, f"{name} planned".strip(), is_faint=True, number=number))
        stop = max((line.stop for layer in layers for line in layer.lines), default=1)
        self.plot.draw(layers, stop, log=self.log, dark=self.is_dark, clock="updates")
        self.plot.name("; ".join(f"{run.name}: {_state_of(run)}" for run in runs) or "No run yet.")

    def _show_latest(self, runs: Sequence[WatchedRun]) -> None:
        targets = list(dict.fromkeys(target for run in runs for target in run.last))
        self.latest.clear()
        if not targets:
            return
        rows = [
            [
                run.name,
                count(run.step),
                *(value_text(run.last[name][1]) if name in run.last else "–" for name in targets),
            ]
            for run in runs
        ]
        with self.latest:
            build_table("latest", ["Run", "Update", *targets], rows, "Run")

    def _show_events(self, runs: Sequence[WatchedRun]) -> None:
        rows = [(event, run.name) for run in runs for event in run.events]
        self.events.clear()
        with self.events:
            if not rows:
                tag("p", "Nothing yet.", "quiet small")
            for event, name in sorted(rows, key=lambda row: -row[0].step)[:_MOST_EVENTS]:
                what = f"{event.target}: {event.reason}"
                if event.target == "phase":
                    what = f"{event.reason} begins"
                with tag("p", classes="small"):
                    tag("b", f"{count(event.step)} ")
                    tag("span", f"{name}: {what}" if len(runs) > 1 else what)


def _drawn_lines(run: WatchedRun) -> list[Line]:
    """Return what is drawn: rates, losses, then the rest as far as there is room."""
    lines = sorted(run.lines(), key=_rank)
    units = list(dict.fromkeys(line.unit for line in lines))[:_MOST_PANELS]
    return [line for line in lines if line.unit in units]


def _rank(line: Line) -> tuple[int, str]:
    name = line.label.partition("/")[0]
    return (0 if name == "lr" else 1 if "loss" in name else 2, name)


def _state_of(run: WatchedRun) -> str:
    parts = [f"update {count(run.step)}", run.phase, "running" if run.is_going else "stopped"]
    if run.unread:
        parts.append(f"{count(run.unread)} lines could not be read")
    return " · ".join(part for part in parts if part)
