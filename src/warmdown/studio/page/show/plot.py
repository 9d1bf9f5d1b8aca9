"""A picture in the browser that is drawn again in the time between two keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

from nicegui import ui
from nicegui.json import dumps  # the fast one, where there is one

from warmdown.schedules.base import PlainData
from warmdown.studio.page.parts import marked, tag
from warmdown.studio.preview.chart import Layer, changing_options, options


@final
class PlotElement:
    """An ECharts picture with a name for those who do not see it.

    Args:
        mark: Of the picture.
    """

    def __init__(self, mark: str = "plot") -> None:
        with tag("div", classes="plot-box"):
            with tag("div", role="img") as self.frame:
                self.chart = ui.echart({}).classes("plot")
            self.layer = tag("div", classes="handles", role="group", aria_label="Handles")
        marked(self.chart, mark)
        self._drawn = self._size = self._handles = ""
        self._series: list[str] = []

    def draw(
        self, layers: Sequence[Layer], stop: float, *, log: bool, dark: bool, clock: str
    ) -> None:
        """Send the curves; what stays the same is not sent again."""
        option = options(layers, stop, log=log, dark=dark, clock=clock)
        names = [(one["type"], one["name"], one["yAxisIndex"]) for one in option["series"]]
        shape = dumps([names, log, dark, clock])
        is_new = shape != self._drawn
        changing = changing_options(option)
        series = [dumps(one) for one in changing["series"]]
        sent = dumps(option)
        if not is_new:
            changed = [one if one != before else "{}"
                       for one, before in zip(series, self._series, strict=True)]  # fmt: skip
            sent = f'{{"xAxis": {dumps(changing["xAxis"])}, "series": [{", ".join(changed)}]}}'
        self._series = series
        self._call("draw", f"{sent}, {dumps(is_new)}")
        if is_new:
            size = f"of-{len(option['grid'])}"
            # not of the picture: whatever of it changes, the framework draws it anew, and empty
            self.frame.classes(add=size, remove=self._size)
            self._size = size
        self._drawn = shape

    def name(self, text: str) -> None:
        """Set its text equivalent for those who do not see it."""
        if self.frame.props.get("aria-label") != text:
            self.frame.props["aria-label"] = text

    def zoom(self, start: float, end: float) -> None:
        """Show a stretch of the steps."""
        self._call("zoom", f"{start}, {end}")

    def point(self, step: float) -> None:
        """Show the values at a step."""
        self._call("show", str(step))

    def show_handles(self, points: Sequence[PlainData], name: str) -> None:
        """Show points that can be moved; the browser emits ``handle`` events with their number."""
        sent = f"{self.layer.id}, {dumps(points)}, {dumps(name)}"
        if sent != self._handles:
            self._handles = sent
            self._call("handles", sent)

    def _call(self, function: str, arguments: str) -> None:
        self.chart.client.run_javascript(f"warmdown.{function}({self.chart.id}, {arguments})")
