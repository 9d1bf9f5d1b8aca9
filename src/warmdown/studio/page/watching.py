"""The page of runs: what was recorded, as it is written, beside what was planned."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from nicegui import ui

from warmdown.formatting import count
from warmdown.plan import Plan
from warmdown.plot.theme import DARK, LIGHT
from warmdown.plot.view import Line
from warmdown.studio.draft.document import read
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
    folder = RunFolder(app.watch or app.folder.path)
    plan = preview(read(app.start.document).data, {}).plan
    chosen: set[str] = set()
    is_log, dark_mode = False, ui.dark_mode()
    shown: object = None

    def show() -> None:
        runs = sorted(folder.runs.values(), key=lambda run: (not run.is_going, run.name))
        if not chosen:
            chosen.update(run.name for run in runs[:_SHOWN_AT_FIRST])
        shown_runs = [run for run in runs if run.name in chosen]
        is_dark = bool(dark_mode.value)
        colours = (DARK if is_dark else LIGHT).lines
        drawn = {run.name: colours[at % len(colours)] for at, run in enumerate(shown_runs)}
        for place, fill in (
            (run_list, partial(_fill_list, runs, drawn, choose)),
            (latest, partial(_fill_latest, shown_runs)),
            (events, partial(_fill_events, shown_runs)),
        ):
            place.clear()
            with place:
                fill()
        layers = _layers(shown_runs, plan)
        stop = max((line.stop for layer in layers for line in layer.lines), default=1)
        plot.draw(layers, stop, log=is_log, dark=is_dark, clock="updates")
        states = [f"{run.name}: {_state_of(run)}" for run in shown_runs]
        plot.name("; ".join(states) or "No run yet.")

    def choose(name: str, event: Any) -> None:
        (chosen.add if event.value else chosen.discard)(name)
        show()

    def show_log(now: bool) -> None:
        nonlocal is_log
        is_log = now
        show()

    def show_theme(is_dark: bool) -> None:
        dark_mode.value = is_dark
        show()

    async def read_on() -> None:
        """Read on, and show what is new."""
        nonlocal shown
        news = await asyncio.to_thread(folder.read_on)
        now = ({run.name: run.is_going for run in folder.runs.values()}, set(chosen))
        if news or now != shown:
            shown = now
            show()

    ui.page_title("Runs · warmdown studio")
    with tag("header", classes="top"):
        with tag("h1"):
            tag("span", "warmdown")
            tag("span", " studio · runs", "long")
        tag("span", folder.path.name or str(folder.path), "name small quiet")
        tag("a", "Design a plan", "link", href="design")
        icon_button("dark_mode", "Other colours", lambda: show_theme(not dark_mode.value), "theme")
    with tag("div", classes="room"):
        with tag("div", classes="side"):
            with card("Runs", "runs"):
                run_list = tag("ul", classes="stack").style("list-style: none")
            with card("What happened", "happened"):
                name = "Phases, events and warnings"
                events = tag("div", classes="stack", role="log", aria_label=name)
        with tag("div", classes="view"):
            with card("Recorded and planned", "curves") as head:
                with head:
                    log_button(show_log)
                plot = PlotElement()
            with card("Latest values", "latest"):
                latest = table_place()
    await ui.context.client.connected()
    found = await ui.run_javascript("warmdown.found()", timeout=10.0) or {}
    show_theme(bool(found.get("dark")))
    ui.timer(_EVERY, read_on)


def _fill_list(
    runs: Sequence[WatchedRun], drawn: Mapping[str, str], choose: Callable[[str, Any], None]
) -> None:
    """Show every run, and in which colour it is drawn."""
    if not runs:
        none = "No record yet: they appear as soon as a run writes one (record.jsonl)."
        tag("p", none, "quiet small")
    for run in runs:
        colour = drawn.get(run.name, "transparent")
        with tag("li", classes="run"):
            tag("span", classes="swatch", aria_hidden="true").style(f"background: {colour}")
            box = ui.checkbox(run.name, value=run.name in drawn).props("dense")
            box.on_value_change(partial(choose, run.name))
            marked(box, f"run-{run.name}")
            tag("p", _state_of(run), "small quiet").style("padding-left: 30px")


def _layers(runs: Sequence[WatchedRun], plan: Plan | None) -> list[Layer]:
    """Return the curves of each run: what was recorded, and what was planned behind it."""
    layers: list[Layer] = []
    for number, run in enumerate(runs):
        recorded = _drawn_lines(run)
        units = {line.unit for line in recorded}
        planned = [line for line in run.planned_lines(plan) if line.unit in units]
        name = run.name if len(runs) > 1 else ""
        layers.append(Layer(recorded, name, number=number))
        layers.append(Layer(planned, f"{name} planned".strip(), is_faint=True, number=number))
    return layers


def _fill_latest(runs: Sequence[WatchedRun]) -> None:
    targets = list(dict.fromkeys(target for run in runs for target in run.last))
    rows = [
        [
            run.name,
            count(run.step),
            *(value_text(run.last[name][1]) if name in run.last else "–" for name in targets),
        ]
        for run in runs
    ]
    if targets:
        build_table("latest", ["Run", "Update", *targets], rows, "Run")


def _fill_events(runs: Sequence[WatchedRun]) -> None:
    rows = [(event, run.name) for run in runs for event in run.events]
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
