"""The studio: a page on which a plan is designed and runs are watched; NiceGUI loads with it."""

import sys
import types
from typing import Any

from warmdown.studio.notebook import studio as studio


class _CallableModule(types.ModuleType):
    """``warmdown.studio`` is this room and the public function of that name, older than it."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Show the studio in a notebook's cell; see :func:`warmdown.studio.notebook.studio`."""
        return studio(*args, **kwargs)


sys.modules[__name__].__class__ = _CallableModule
