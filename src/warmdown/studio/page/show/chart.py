"""The curve: drawn at every key, read by pointer or by the slider under it."""

from __future__ import annotations

__all__ = ["Chart"]

from functools import partial
from typing import final

import numpy as np
from nicegui import ui

from warmdown.plot.formatting import count, number
from warmdown.studio.page.parts import icon_button, marked, plain_button, tag
from warmdown.studio.page.show.plot import Plot
from warmdown.studio.page.state import Candidate, Studio
from warmdown.studio.preview.chart import Layer
from warmdown.studio.preview.look import Look
from warmdown.studio.preview.tables import value_text

_MOST_FACTS = 6


@final
class Chart:
    """The picture with its tools.

    Args:
        studio: The tab.
    """

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        self.at: int | None = None
        with tag("section", classes="card curve", aria_labelledby="head-curve"):
            with tag("div", classes="pinned"):
                with tag("div", classes="head line"):
                    tag("h2", "Curve", "grow", id="head-curve")
                    self._tools()
                self.plot = Plot()
            with tag("div", classes="under stack"):
                self._reading()
                self.facts = tag("dl", classes="facts")
                self.kept = tag("ul", classes="chips", aria_label="Kept for comparison")
        studio.on("look", self.draw)
        studio.on("typed", self.draw)
        studio.on("kept", self._show_kept)
        studio.on("theme", self.draw)
        studio.on("told", self._tell)

    def draw(self) -> None:
        """Draw the curves, and behind them those that were kept."""
        studio, look = self.studio, self.studio.look
        layers = [
            Layer(look.curves),
            *(Layer(kept.look.curves, kept.name, is_faint=True) for kept in studio.kept),
        ]
        stop = max([look.stop, *(kept.look.stop for kept in studio.kept)])
        self.plot.draw(layers, stop, log=studio.log, dark=studio.dark, clock=look.clock)

    def _tools(self) -> None:
        log = (
            ui.button("Log", on_click=self._toggle_log, color=None)
            .props("flat dense no-caps")
            .classes("edge")
        )
        log.props["aria-pressed"] = "false"
        log.props["aria-label"] = "Logarithmic values"
        self.log = marked(log, "log")
        icon_button("zoom_in", "Zoom in around the cursor", lambda: self._zoom(0.5), "zoom-in")
        icon_button("zoom_out_map", "Show the whole run", lambda: self._zoom(0), "zoom-out")
        plain_button("Keep", self._keep, icon="bookmark_add", mark="keep")

    def _reading(self) -> None:
        """Build the slider that reads the curve, for hands without a pointer too."""
        with tag("div", classes="reading"):
            # the browser's own slider: the framework's cannot be focused where its role is
            self.cursor = tag(
                "input",
                type="range",
                min="0",
                max="1",
                value="0",
                aria_label="Step to read the values at",
            )
            self.cursor.on(
                "input",
                lambda event: self._read(int(event.args)),
                js_handler="(event) => emit(event.target.value)",
            )
            marked(self.cursor, "cursor")
            self.readout = tag("p", "Move along to read the values", "small quiet", role="status")

    def _toggle_log(self) -> None:
        self.studio.log = not self.studio.log
        self.log.props["aria-pressed"] = "true" if self.studio.log else "false"
        self.log.classes(toggle="main")
        self.draw()

    def _zoom(self, share: float) -> None:
        stop, at = self.studio.look.stop, float(self.at or 0)
        start, end = (0.0, float(stop))
        if share:
            half = stop * share / 4
            start, end = max(at - half, 0), min(at + half, stop)
        self.plot.zoom(start, end)

    def _keep(self) -> None:
        if self.studio.look.curves:
            self.studio.keep(f"kept {len(self.studio.kept) + 1}")

    def _read(self, step: int) -> None:
        self.at = step
        self._show_reading(self.studio.look, step)
        self.plot.point(step)

    def _show_reading(self, look: Look, step: int) -> None:
        told = [
            f"{curve.label} {value_text(_at(curve.points, step))}"
            for curve in look.curves[:_MOST_FACTS]
        ]
        unit = look.clock.removesuffix("s").capitalize()
        self.readout._text = f"{unit} {count(step)}: {', '.join(told)}" if told else ""
        self.readout.update()

    def _tell(self) -> None:
        look = self.studio.look
        self.plot.call(self.studio.told.summary or "No curve yet.")
        if self.cursor.props.get("max") != str(max(look.stop, 1)):
            self.cursor.props["max"] = str(max(look.stop, 1))
        if self.at is not None:
            self._show_reading(look, min(self.at, look.stop))
        self._show_facts(look)

    def _show_facts(self, look: Look) -> None:
        self.facts.clear()
        with self.facts:
            for curve in look.curves[:_MOST_FACTS]:
                values = [value for _, value in curve.points]
                first, top, last = (
                    value_text(values[0]),
                    value_text(max(values)),
                    value_text(values[-1]),
                )
                self._fact(
                    curve.label,
                    f"{first} → {top} → {last}"
                    if top not in (first, last)
                    else f"{first} → {last}",
                )
                self._fact(f"area under {curve.label}", number(curve.area))

    @staticmethod
    def _fact(name: str, value: str) -> None:
        with tag("div"):
            tag("dt", name)
            tag("dd", value)

    def _show_kept(self) -> None:
        self.kept.clear()
        with self.kept:
            for number, candidate in enumerate(self.studio.kept):
                with tag("li", classes="chip"):
                    tag("span", candidate.name)
                    icon_button(
                        "replay",
                        f"Go back to {candidate.name}",
                        partial(self._return, candidate),
                        f"back-{number}",
                    )
                    icon_button(
                        "close", f"Forget {candidate.name}", partial(self.studio.drop, candidate)
                    )
        self.draw()

    def _return(self, candidate: Candidate) -> None:
        self.studio.change(candidate.draft)


def _at(points: object, step: int) -> float:
    """Return a curve's value at a step, between its points on a straight line."""
    steps, values = np.asarray(points, dtype=float).T
    return float(np.interp(step, steps, values))
