"""The page inside a notebook, from a process of its own; a static picture where it cannot be."""

from __future__ import annotations

import atexit
from html import escape
from importlib.util import find_spec
from pathlib import Path
from typing import final

from warmdown.errors import SpecError
from warmdown.plan import Plan
from warmdown.schedules import Schedule
from warmdown.studio.draft.document import Draft
from warmdown.studio.draft.files import document_from
from warmdown.studio.draft.links import to_fragment
from warmdown.studio.process import Server, start_server


def studio(
    plan: Plan | Schedule | None = None, *, folder: str | Path = ".", height: int = 820
) -> Shown:
    """Show the studio in a notebook's cell, with a plan to change.

    The page is served to this machine alone. Where it cannot be shown (NiceGUI is not installed, or
    the notebook was opened later or elsewhere) the cell shows the plan's picture instead.

    Args:
        plan: The plan, or a schedule (it drives ``lr``); ``None`` starts with situations to choose
            from.
        folder: Where plans are opened and saved, and nowhere else.
        height: Of the cell, in pixels.

    Raises:
        SpecError: The plan holds code, or more than the page shows.

    Example:
        >>> import warmdown as wd
        >>> page = wd.studio(wd.warmup_cosine(), height=600)
        >>> page.close()
    """
    whole = Plan.of(lr=plan) if isinstance(plan, Schedule) else plan
    draft = Draft() if whole is None else Draft(document_from(whole.to_dict()))
    return Shown(whole, draft, Path(folder), height)


@final
class Shown:
    """The page in a cell.

    Its process starts when the cell is shown, and ends with :meth:`close` or the notebook.

    Args:
        plan: The plan, for its picture.
        draft: What the page begins with.
        folder: Where plans are opened and saved.
        height: In pixels.
    """

    def __init__(self, plan: Plan | None, draft: Draft, folder: Path, height: int) -> None:
        if not folder.is_dir():
            raise SpecError(
                f"studio(folder={str(folder)!r}): there is no such folder. Make it, "
                f"or give another one."
            )
        self.plan = plan
        self.height = height
        self._draft = draft
        self._folder = folder
        self._server: Server | None = None

    @property
    def address(self) -> str:
        """Where the page is, once it was shown; nothing where it cannot be."""
        if self._server is None and find_spec("nicegui") is not None:
            link = () if self._draft.is_empty else (f"#{to_fragment(self._draft.document)}",)
            self._server = start_server(self._folder, "--framed", *link)
            atexit.register(self.close)
        return "" if self._server is None else self._server.address

    def close(self) -> None:
        """End the page's process."""
        if self._server is not None:
            self._server.close()
        atexit.unregister(self.close)
        self._server = None

    def _repr_html_(self) -> str:
        picture = "<p>warmdown studio: the page is not there. Run the cell again.</p>"
        if self.plan is not None:
            picture = self.plan._repr_html_() or f"<pre>{escape(repr(self.plan))}</pre>"
        if not self.address:
            return picture
        # an object is empty where its page cannot be had, later or on another machine: then one
        # sees what lies behind
        place = f"position: relative; min-height: {int(self.height)}px; overflow: hidden"
        above = f"position: absolute; inset: 0; width: 100%; height: {int(self.height)}px"
        page = (
            f'<object data="{escape(self.address)}" type="text/html" '
            f'aria-label="warmdown studio" style="{above}">'
        )
        return f'<div style="{place}">{picture}{page}</object></div>'

    def __repr__(self) -> str:
        return f"Shown({self.address or 'not shown'})"
