"""What a lower room uses of an upper one: the package names it, and its first use loads it."""

from __future__ import annotations

__all__ = ["Modelled", "Pictured", "provide", "provided"]

from collections.abc import Callable
from typing import Any

_LOADERS: dict[str, Callable[[], Any]] = {}


def provide(name: str, load: Callable[[], Any]) -> None:
    """Register how an object of an upper room is loaded."""
    _LOADERS[name] = load


def provided(name: str) -> Any:
    """Return the object that an upper room registered under ``name``.

    Raises:
        LookupError: No room has registered the name.
    """
    return _LOADERS[name]()


class Pictured:
    """What has a picture: a schedule, a plan, a record, a scheduler."""

    def plot(self, **how: Any) -> Any:
        """Return the matplotlib figure of :func:`warmdown.plot.figure`.

        Args:
            how: What that function takes: ``run``, ``record``, ``groups``, ``log``, ``title`` …

        Raises:
            MissingExtra: matplotlib is not installed.
        """
        return provided("plot").figure(self, **how)

    def _repr_html_(self) -> Any:
        """Return the picture that a notebook shows; ``None`` shows the text."""
        return provided("plot").notebook(self)


class Modelled:
    """What a field of a pydantic model may be, as an object or as data of a plan file."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        return provided("pydantic_schema")(cls)
