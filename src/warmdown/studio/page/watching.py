"""The page of runs: what was recorded, as it is written, beside what was planned."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, final

from nicegui import ui

from warmdown.errors import WarmdownError
from warmdown.forecast import Law, fit_loss
from warmdown.formatting import count
from warmdown.mailbox import Answer
from warmdown.plot.theme import DARK, LIGHT
from warmdown.studio.draft.document import read
from warmdown.studio.page.parts import (
    Act,
    build_table,
    card,
    log_button,
    marked,
    plain_button,
    set_text,
    slider,
    table_place,
    tag,
    theme_button,
    top_bar,
)
from warmdown.studio.page.show.law import download_law
from warmdown.studio.page.show.plot import PlotElement
from warmdown.studio.page.state import AppContext
from warmdown.studio.page.tell import TellDialog
from warmdown.studio.preview.compared import Look, compare_runs, mark_of_run
from warmdown.studio.preview.preview import preview, value_text
from warmdown.studio.preview.watch import RunFolder, WatchedRun, is_rate, time_text

_EVERY = 1.0
_SHOWN_AT_FIRST = 3
_MOST_SHOWN = 12
_MOST_EVENTS = 12
_AXES = {"updates": "Updates", "epochs": "Epochs", "time": "Time"}


async def build_runs(app: AppContext) -> None:
    """Build the page of runs for one tab."""
    page = _RunsPage(app)
    page.build()
    await ui.context.client.connected()
    found = await ui.run_javascript("warmdown.found()", timeout=10.0) or {}
    page.show_theme(bool(found.get("dark")))
    ui.timer(_EVERY, page.read_on)


@final
class _RunsPage:
    """One tab.

    Args:
        app: What it shares with others.
    """

    def __init__(self, app: AppContext) -> None:
        self.folder = RunFolder(app.watch or app.folder.path)
        self.plan = preview(read(app.start.document).data, {}).plan
        self.look, self.log, self.sought = Look(), False, ""
        self.numbers: dict[Path, int] = {}
        self.rows: dict[Path, _Row] = {}
        self.law: Law | None = app.law
        self.may_tell = not app.is_read_only
        self.answers: dict[Path, str] = {}
        self.has_chosen = self.is_reading = self.is_due = False
        self.is_dark = False
        self.shown_events: object = None

    def build(self) -> None:
        """Build what stays as long as the tab is open."""
        place = self.folder.path
        ui.page_title("Runs · warmdown studio")
        with top_bar(" · runs"):
            tag("span", place.name or str(place), "name small quiet grow")
            tag("a", "Design a plan", "link", href="design")
            self.show_theme = theme_button(self._take_theme)
        with tag("div", classes="room"):
            with tag("div", classes="side"):
                with card("Runs", "runs"):
                    self._build_list()
                with card("What happened", "happened"):
                    name = "Phases, events and warnings"
                    self.events = tag("div", classes="stack", role="log", aria_label=name)
            with tag("div", classes="view"):
                with card("Recorded and planned", "curves") as head:
                    with head.classes("line"):
                        self._build_tools()
                    self.plot = PlotElement()
                    self.notes = tag("p", "", "quiet small", role="status")
                with card("Latest values", "latest"):
                    self.latest = table_place()

    async def read_on(self) -> None:
        """Read on, and show what is new."""
        self.is_reading = True
        try:
            news = await asyncio.to_thread(self._look)
        finally:
            self.is_reading = False
        if news or self.is_due:
            self.show()

    async def fit(self) -> None:
        """Fit the law of the loss to the runs that are ticked."""
        runs = [self.folder.runs[path] for path in self.rows if path in self.numbers]
        names = ", ".join(run.name for run in runs)
        without = [run.name for run in runs if not any(map(is_rate, run.points))]
        if without or not runs:
            why = f"{', '.join(without)}: no rate is recorded. Untick it, or record the rate too."
            set_text(self.law_words, why if without else "Tick a run first.")
            return
        set_text(self.law_words, f"The law is fitted to {names} …")
        try:
            self.law = await asyncio.to_thread(fit_loss, [run.path for run in runs])
            words = f"A law fitted to {names} predicts the loss, with a 90 % interval."
        except WarmdownError as error:
            words = str(error)
        set_text(self.law_words, words)

    def save_law(self) -> None:
        """Let the browser save the law as a file."""
        if self.law is None:
            set_text(self.law_words, "There is no law yet. Fit one to ticked runs first.")
        else:
            download_law(self.law)

    def forget_law(self) -> None:
        """Predict nothing any more."""
        self.law = None
        set_text(self.law_words, "")

    def _look(self) -> bool:
        news = self.folder.read_on()
        for path in self.numbers.keys() & self.folder.runs.keys():
            news = self.folder.runs[path].predict(self.law, self.plan) or news
        return news

    def show(self) -> None:
        """Show the runs as they are now; what a person is at keeps its place."""
        self.is_due = self.is_reading  # another thread changes them meanwhile
        if self.is_due:
            return
        runs = self.folder.runs
        self.numbers = {path: number for path, number in self.numbers.items() if path in runs}
        if not self.has_chosen:
            for path in sorted(
                runs, key=lambda path: (not runs[path].is_at_work, -runs[path].changed)
            ):
                if len(self.numbers) < _SHOWN_AT_FIRST:
                    self._give_number(path)
        self._show_list(runs)
        shown = {self.numbers[path]: runs[path] for path in self.rows if path in self.numbers}
        seen = compare_runs(shown, self.look, self.plan)
        self.plot.draw(seen.layers, seen.stop, log=self.log, dark=self.is_dark, clock=seen.unit)
        states = [f"{run.name}: {_words_of(run)}" for run in shown.values()]
        self.plot.name("; ".join(states) or "No run is shown.")
        set_text(self.notes, " ".join(seen.notes))
        self.latest.clear()
        with self.latest:
            _fill_latest(shown.values())
        events = _lately(shown.values())
        if events != self.shown_events:
            self.shown_events = events
            self.events.clear()
            with self.events:
                _fill_events(events)

    def choose(self, path: Path, event: Any) -> None:
        """Show a run, or do not; a run keeps its colour and its mark meanwhile."""
        if event.value == (path in self.numbers):
            return
        self.has_chosen = True
        if not event.value:
            del self.numbers[path]
        elif len(self.numbers) < _MOST_SHOWN:
            self._give_number(path)
        else:
            ui.notify(f"{_MOST_SHOWN} runs are shown at most. Untick another one first.")
        self.show()

    def speak_to(self, path: Path) -> None:
        """Ask what a job is to do, and keep its answer beside the run."""
        if self.may_tell and path in self.folder.runs:
            run, take = self.folder.runs[path], partial(self._take_answer, path)
            TellDialog(self.folder, run, self.law, self.is_dark, take)

    def _take_answer(self, path: Path, answer: Answer) -> None:
        self.answers[path] = answer.text
        self.show()

    def tick(self, is_ticked: bool) -> None:
        """Tick all runs that the filter leaves, or none of them."""
        for row in [row for row in self.rows.values() if row.element.visible]:
            if is_ticked and len(self.numbers) == _MOST_SHOWN:
                break
            row.box.value = is_ticked

    def seek(self, event: Any) -> None:
        """List the runs whose names have every word that is typed."""
        self.sought = str(event.value or "").casefold()
        self._show_list(self.folder.runs)

    def look_at(self, **how: Any) -> None:
        """Look at the runs in another way."""
        self.look = replace(self.look, **how)
        self.show()

    def _smooth(self, event: Any) -> None:
        self.look_at(smoothing=min(max(float(event.args), 0.0), 0.99))

    def show_log(self, is_log: bool) -> None:
        """Show values on a logarithmic axis, or on a linear one."""
        self.log = is_log
        self.show()

    def _take_theme(self, is_dark: bool) -> None:
        self.is_dark = is_dark
        self.show()

    def _give_number(self, path: Path) -> None:
        taken = set(self.numbers.values())
        self.numbers.setdefault(path, min(set(range(_MOST_SHOWN)) - taken))

    def _build_list(self) -> None:
        seek = ui.input("Filter by name", on_change=self.seek).props("outlined dense clearable")
        marked(seek, "filter")
        with tag("div", classes="line").style("margin: 8px 0"):
            plain_button("Tick all", partial(self.tick, True), mark="tick-all")
            plain_button("Untick all", partial(self.tick, False), mark="tick-none")
            fit = plain_button("Fit the law to the ticked runs", self.fit, mark="law-fit")
            fit.props["aria-describedby"] = "law-words"
            plain_button("Save the law", self.save_law, mark="law-save")
            plain_button("Predict nothing", self.forget_law, mark="law-forget")
        words = "The given law predicts the loss, with a 90 % interval." if self.law else ""
        self.law_words = tag("p", words, "small", role="status", id="law-words")
        self.none = tag("p", "", "quiet small", role="status")
        self.list = tag("ul", classes="stack").style("list-style: none")

    def _build_tools(self) -> None:
        axes = ui.toggle(
            _AXES, value="updates", on_change=lambda event: self.look_at(axis=event.value)
        )
        axes.props("dense flat no-caps role=group aria-label='Horizontal axis'")
        marked(axes, "axis")
        with tag("label", classes="line small"):
            tag("span", "Smoothing")
            slider("smoothing", "Smoothing", "0.99", "0.01", self._smooth)
        log_button(self.show_log)

    def _show_list(self, runs: Mapping[Path, WatchedRun]) -> None:
        """Show every run in the list; a row that is there is changed and not built again."""
        for path in [path for path in self.rows if path not in runs]:
            self.rows.pop(path).element.delete()
        for place, path in enumerate(sorted(runs, key=lambda path: runs[path].name)):
            if path not in self.rows:
                with self.list:
                    speak_to = partial(self.speak_to, path) if self.may_tell else None
                    self.rows[path] = _Row(runs[path], partial(self.choose, path), speak_to)
                self.rows[path].element.move(self.list, place)
        colours = (DARK if self.is_dark else LIGHT).lines
        listed = 0
        for path, row in self.rows.items():
            number = self.numbers.get(path)
            row.show(runs[path], number, "" if number is None else colours[number % len(colours)])
            set_text(row.answer, self.answers.get(path, ""))
            name = runs[path].name.casefold()
            is_listed = all(word in name for word in self.sought.split())
            listed += is_listed
            row.element.set_visibility(is_listed)
        text = f"{listed} of {len(runs)} runs have a name like that." if self.sought else ""
        none = "No run yet: it appears as soon as one writes a record or TensorBoard's events."
        set_text(self.none, text if runs else none)


class _Row:
    """One run in the list.

    Args:
        run: The run.
        choose: Called when it is ticked or unticked.
        speak_to: Called to ask something of its job; ``None`` where that is not allowed.
    """

    def __init__(self, run: WatchedRun, choose: Any, speak_to: Act | None) -> None:
        with tag("li", classes="run") as self.element:
            self.swatch = tag("span", classes="swatch", aria_hidden="true")
            self.box = marked(ui.checkbox(run.name).props("dense"), f"run-{run.name}")
            self.box.on_value_change(choose)
            with tag("div").style("padding-left: 30px"):
                self.words = tag("p", "", "small quiet state")
                self.bar = tag("progress", max="1", value="0", aria_label=f"Updates of {run.name}")
                self.answer = tag("p", "", "small", role="status")
                with tag("div", classes="line"):
                    self.link = tag("a", "Plan", "link small", target="_blank", rel="noopener")
                    self.link.props["aria-label"] = f"Plan of {run.name}, on a page of its own"
                    marked(self.link, f"plan-{run.name}")
                    self.tell = speak_to and plain_button(
                        "Speak to it …", speak_to, mark=f"tell-{run.name}"
                    )
                    if self.tell:
                        self.tell.props["aria-label"] = f"Speak to {run.name}"

    def show(self, run: WatchedRun, number: int | None, colour: str) -> None:
        """Show the run as it is now; what stays the same is not sent again."""
        self.box.value = number is not None
        set_text(self.swatch, "" if number is None else mark_of_run(number).text)
        self.swatch.style(f"color: {colour or 'transparent'}")
        set_text(self.words, _words_of(run))
        self.element.classes(replace=f"run {run.condition.state}")
        self.bar.set_visibility(run.length is not None)
        if run.length is not None:
            _set_props(self.bar, max=str(run.length), value=str(min(run.updates, run.length)))
        if self.tell:
            self.tell.set_visibility(run.is_at_work)
        self.link.set_visibility(bool(run.plan_link))
        _set_props(self.link, href=f"design{run.plan_link}")


def _set_props(element: Any, **props: str) -> None:
    if any(element.props.get(name) != value for name, value in props.items()):
        element.props.update(props)


def _words_of(run: WatchedRun) -> str:
    """Return how far a run is, and whether it is at work."""
    of_all = "" if run.length is None else f" of {count(run.length)}"
    left = run.seconds_left
    parts = [
        run.condition.state,
        run.condition.why,
        f"{count(run.updates)}{of_all} updates" if run.last else "",
        run.phase,
        "" if left is None else f"about {time_text(left)} left",
        f"{count(run.unread)} lines could not be read" if run.unread else "",
    ]
    return " · ".join(part for part in parts if part)


def _fill_latest(runs: Iterable[WatchedRun]) -> None:
    shown = list(runs)
    has_law = any(run.outlook.forecast for run in shown)
    targets = list(dict.fromkeys(target for run in shown for target in run.last))
    rows = [
        [
            run.name,
            run.condition.state,
            count(run.updates),
            "–" if run.length is None else count(run.length),
            *([run.outlook.final or "–"] if has_law else []),
            *(value_text(run.last[name][1]) if name in run.last else "–" for name in targets),
        ]
        for run in shown
    ]
    if targets:
        heads = ["Run", "State", "Updates", "Of", *["Predicted final loss"] * has_law, *targets]
        build_table("latest", heads, rows, "Run")


def _lately(runs: Iterable[WatchedRun]) -> list[tuple[int, str, str]]:
    """Return what happened last in the runs: update, run and words."""
    found = [
        (row.step, run.name, f"{row.reason} begins" if row.target == "phase" else
         f"{row.target}: {row.reason}")
        for run in runs for row in run.events
    ]  # fmt: skip
    return sorted(found, key=lambda event: -event[0])[:_MOST_EVENTS]


def _fill_events(events: Sequence[tuple[int, str, str]]) -> None:
    if not events:
        tag("p", "Nothing yet.", "quiet small")
    for step, name, what in events:
        with tag("p", classes="small"):
            tag("b", f"{count(step)} ")
            tag("span", f"{name}: {what}")
