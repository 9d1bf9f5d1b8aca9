"""Pictures of a plan, a schedule or a record: a chart, a page, a line of blocks, sentences.

The room itself is called for the chart: ``warmdown.plot(schedule)`` is :func:`figure`.
"""

import sys
from types import ModuleType
from typing import Any

from warmdown.formatting import *
from warmdown.plot.page import *
from warmdown.plot.picture import *
from warmdown.plot.summary import *
from warmdown.plot.terminal import *
from warmdown.plot.view import *


class _CalledRoom(ModuleType):
    def __call__(self, plan: Drawable, **how: Any) -> Any:
        return figure(plan, **how)


sys.modules[__name__].__class__ = _CalledRoom
