"""Pictures of a plan, a schedule or a record: a chart, a page, a line of blocks, sentences.

The room itself is called for the chart: ``warmdown.plot(schedule)`` is :func:`figure`.
"""

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from warmdown.formatting import *
from warmdown.plot.page import *
from warmdown.plot.picture import *
from warmdown.plot.summary import *
from warmdown.plot.terminal import *
from warmdown.plot.view import *


class CalledRoom(ModuleType):
    """This room, which is called for a chart; a type checker sees its functions here too."""

    if TYPE_CHECKING:
        figure = staticmethod(figure)
        html = staticmethod(html)
        notebook = staticmethod(notebook)
        planned_line = staticmethod(planned_line)
        save = staticmethod(save)
        sparkline = staticmethod(sparkline)
        summary = staticmethod(summary)
        svg = staticmethod(svg)
        svg_of = staticmethod(svg_of)
        table = staticmethod(table)
        terminal = staticmethod(terminal)
        unit_of = staticmethod(unit_of)
        view = staticmethod(view)

    def __call__(self, plan: Drawable, **how: Any) -> Any:
        """Return the matplotlib figure of :func:`figure`."""
        return figure(plan, **how)


sys.modules[__name__].__class__ = CalledRoom
