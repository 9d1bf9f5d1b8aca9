"""Every edit can be undone: the drafts that were, and the one that is."""

from __future__ import annotations

from dataclasses import replace

from warmdown.studio.draft.document import Draft
from warmdown.studio.security.folder import Stamp

_REMEMBERED = 500


class History:
    """The drafts of one page, in order.

    Typing in one field is one edit, however many keys it takes: edits with the same ``burst``
    follow each other as one.

    Args:
        draft: The first.

    Example:
        >>> from warmdown.studio.draft.document import put
        >>> history = History(Draft())
        >>> for epochs in ("2", "20"):
        ...     document = put(history.now.document, ("plan", "run", "epochs"), epochs)
        ...     history.edit(replace(history.now, document=document), burst="run.epochs")
        >>> history.undo().document["plan"], history.redo().document["plan"]
        ({}, {'run': {'epochs': '20'}})
    """

    def __init__(self, draft: Draft) -> None:
        self._drafts = [draft]
        self._at = 0
        self._burst = ""

    @property
    def now(self) -> Draft:
        """The draft that is."""
        return self._drafts[self._at]

    @property
    def can_undo(self) -> bool:
        """Whether an edit can be taken back."""
        return self._at > 0

    @property
    def can_redo(self) -> bool:
        """Whether an edit that was taken back can be made again."""
        return self._at < len(self._drafts) - 1

    def edit(self, draft: Draft, burst: str = "") -> None:
        """Go on to a new draft; what was taken back before is forgotten."""
        if draft == self.now:
            return
        goes_on = bool(burst) and burst == self._burst and self.can_undo and not self.can_redo
        self._drafts = [*self._drafts[: self._at + (0 if goes_on else 1)], draft][-_REMEMBERED:]
        self._at = len(self._drafts) - 1
        self._burst = burst

    def name_file(self, file: str, stamp: Stamp, source: str) -> None:
        """Note where the plan was saved, in every state of it that undo can bring back."""
        lineage = self.now.lineage
        self._drafts = [
            replace(draft, file=file, stamp=stamp, source=source)
            if draft.lineage == lineage
            else draft
            for draft in self._drafts
        ]

    def undo(self) -> Draft:
        """Take the last edit back."""
        self._at, self._burst = max(self._at - 1, 0), ""
        return self.now

    def redo(self) -> Draft:
        """Make the edit again that was taken back."""
        self._at, self._burst = min(self._at + 1, len(self._drafts) - 1), ""
        return self.now
