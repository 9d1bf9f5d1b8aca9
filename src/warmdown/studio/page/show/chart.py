"""The curve: drawn at every key, read by pointer or by the slider under it."""

from __future__ import annotations

from functools import partial
from typing import final

import numpy as np

from warmdown.plot.formatting import count, number
from warmdown.studio.page.parts import icon_button, log_button, marked, plain_button, set_text, tag
from warmdown.studio.page.show.plot import PlotElement
from warmdown.studio.page.state import Studio
from warmdown.studio.preview.chart import Layer
from warmdown.studio.preview.preview import area_under, value_text

_MOST_FACTS = 6


@final
class CurveChart:
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
                    log_button(self._show_log)
                    zoom_in, zoom_out = partial(self._zoom, 0.125), partial(self._zoom, 1.0)
                    icon_button("zoom_in", "Zoom in around the cursor", zoom_in, "zoom-in")
                    icon_button("zoom_out_map", "Show the whole run", zoom_out, "zoom-out")
                    plain_button("Keep", studio.keep, icon="bookmark_add", mark="keep")
                self.plot = PlotElement()
            with tag("div", classes="under stack"):
                self._reading()
                self.facts = tag("dl", classes="facts")
                self.kept = tag("ul", classes="chips", aria_label="Kept for comparison")
        studio.subscribe("view", self.draw)
        studio.subscribe("typed", self.draw)
        studio.subscribe("theme", self.draw)
        studio.subscribe("kept", self._show_kept)
        studio.subscribe("summary", self._show_summary)

    def draw(self) -> None:
        """Draw the curves, and behind them those that were kept."""
        studio, seen = self.studio, self.studio.preview.view
        kept = [Layer(one.view.lines, one.name, is_faint=True) for one in studio.kept]
        stop = max([studio.preview.stop, *(one.view.stop for one in studio.kept)])
        self.plot.draw(
            [Layer(seen.lines), *kept], stop, log=studio.log, dark=studio.dark, clock=seen.x
        )

    def _reading(self) -> None:
        """Build the slider that reads the curve by keyboard and by touch."""
        with tag("div", classes="reading"):
            # the browser's own slider: the framework's cannot be focused where its role is
            self.cursor = tag(
                "input", type="range", min="0", max="1", value="0",
                aria_label="Step to read the values at",
            )  # fmt: skip
            self.cursor.on(
                "input",
                lambda event: self._read(int(event.args)),
                js_handler="(event) => emit(event.target.value)",
            )
            marked(self.cursor, "cursor")
            self.readout = tag("p", "Move along to read the values", "small quiet", role="status")

    def _show_log(self, is_log: bool) -> None:
        self.studio.log = is_log
        self.draw()

    def _zoom(self, share: float) -> None:
        stop, at = self.studio.preview.stop, self.at or 0
        self.plot.zoom(max(at - stop * share, 0.0), min(at + stop * share, float(stop)))

    def _read(self, step: int) -> None:
        self.at = step
        self._show_reading(step)
        self.plot.point(step)

    def _show_reading(self, step: int) -> None:
        seen = self.studio.preview.view
        texts = [
            f"{line.label} {value_text(float(np.interp(step, line.steps, line.values)))}"
            for line in seen.lines[:_MOST_FACTS]
        ]
        unit = seen.x.removesuffix("s").capitalize()
        set_text(self.readout, f"{unit} {count(step)}: {', '.join(texts)}" if texts else "")

    def _show_summary(self) -> None:
        seen = self.studio.preview.view
        self.plot.name(self.studio.summary.text or "No curve yet.")
        stop = self.studio.preview.stop
        self.cursor.props["max"] = str(max(stop, 1))
        if self.at is not None:
            self._show_reading(min(self.at, stop))
        self.facts.clear()
        with self.facts:
            for line in seen.lines[:_MOST_FACTS]:
                first, last = value_text(line.values[0]), value_text(line.values[-1])
                top = value_text(float(np.max(line.values)))
                way = [first, last] if top in (first, last) else [first, top, last]
                _show_fact(line.label, " → ".join(way))
                _show_fact(f"area under {line.label}", number(area_under(line)))

    def _show_kept(self) -> None:
        studio = self.studio
        self.kept.clear()
        with self.kept:
            for number_of_kept, candidate in enumerate(studio.kept):
                name, mark = candidate.name, f"back-{number_of_kept}"
                with tag("li", classes="chip"):
                    tag("span", name)
                    back = partial(studio.change, candidate.draft)
                    icon_button("replay", f"Go back to {name}", back, mark)
                    icon_button("close", f"Forget {name}", partial(studio.drop, candidate))
        self.draw()


def _show_fact(name: str, value: str) -> None:
    with tag("div"):
        tag("dt", name)
        tag("dd", value)
