"""A picture in the browser that is drawn anew in the time between two keys."""

from __future__ import annotations

__all__ = ["Plot"]

from collections.abc import Sequence
from typing import final

from nicegui import ui
from nicegui.json import dumps  # the fast one, where there is one

from warmdown.studio.page.parts import marked, tag
from warmdown.studio.preview.chart import Layer, moved, options


@final
class Plot:
    """An ECharts picture with a name for those who do not see it."""

    def __init__(self) -> None:
        with tag("div", role="img") as self.frame:
            self.chart = ui.echart({}).classes("plot")
        marked(self.chart, "plot")
        self._drawn = self._size = ""

    def draw(
        self, layers: Sequence[Layer], stop: int, *, log: bool, dark: bool, clock: str
    ) -> None:
        """Send the curves; what stays the same is not sent again."""
        option = options(layers, stop, log=log, dark=dark, clock=clock)
        shape = (
            dumps([[one["name"], one["yAxisIndex"]] for one in option["series"]])
            + f"{log}{dark}{clock}"
        )
        is_new = shape != self._drawn
        sent = dumps(option if is_new else moved(option))
        self.chart.client.run_javascript(f"warmdown.draw({self.chart.id}, {sent}, {dumps(is_new)})")
        if is_new:
            self.chart.classes(add=f"of-{len(option['grid'])}", remove=self._size)
            self._size = f"of-{len(option['grid'])}"
        self._drawn = shape

    def call(self, said: str) -> None:
        """Tell it what it says to those who do not see it."""
        if self.frame.props.get("aria-label") != said:
            self.frame.props["aria-label"] = said

    def zoom(self, start: float, end: float) -> None:
        """Show a stretch of the steps."""
        self.chart.client.run_javascript(f"warmdown.zoom({self.chart.id}, {start}, {end})")

    def point(self, step: float) -> None:
        """Show the values at a step."""
        self.chart.client.run_javascript(f"warmdown.show({self.chart.id}, {step})")
