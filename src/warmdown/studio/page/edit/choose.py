"""Choosing: situations with their reasons, recipes and shapes with their pictures, and classes of other libraries."""

from __future__ import annotations

__all__ = ["Chooser", "start"]

from collections.abc import Callable, Sequence
from functools import partial
from typing import final

from nicegui import ui
from nicegui.element import Element

from warmdown.studio.draft.catalogue import Entry, catalogue, path_of_situation, searched
from warmdown.studio.draft.pieces import FOREIGN, Piece
from warmdown.studio.draft.presets import PRESETS
from warmdown.studio.page.parts import heading, icon_button, marked, paragraph, spark, tag
from warmdown.studio.page.state import Studio

Pick = Callable[[Piece], None]

_CLASS = "Class of another library"
_CLASS_WHY = (
    "torch, transformers, timm, or your own: type its path, and its parameters become fields."
)


def start(studio: Studio, pick: Pick) -> None:
    """Build what an empty page shows: where to begin."""
    with tag("section", classes="card start", aria_labelledby="head-start"):
        heading(2, "Start with your situation").props["id"] = "head-start"
        paragraph(
            "Each is a whole plan to change as you like: a schedule, how long the run is, and the "
            "reason. "
            "Or choose a single schedule below, or name any class.",
            "quiet intro",
        )
        with tag("ul", classes="tiles large"):
            for number, preset in enumerate(PRESETS):
                with tag("li", classes="tile"):
                    _tile(
                        preset.title,
                        preset.why,
                        path_of_situation(preset),
                        partial(studio.begin, preset.draft),
                        f"preset-{number}",
                    )
    with tag("section", classes="card start", aria_labelledby="head-all"):
        heading(2, "All schedules").props["id"] = "head-all"
        Shelf(pick)


@final
class Chooser:
    """A dialog with every schedule, for one more phase or another one.

    Args:
        studio: The tab.
        pick: Called with what was chosen.
        title: What it is chosen for.
    """

    def __init__(self, studio: Studio, pick: Pick, title: str) -> None:
        def picked(piece: Piece) -> None:
            self.dialog.close()
            pick(piece)

        with (
            studio.client,
            ui.dialog().props("maximized") as self.dialog,
            ui.card().classes("chooser"),
        ):
            self.dialog.props["aria-label"] = title
            with tag("div", classes="line head"):
                heading(2, title, "grow")
                icon_button("close", "Close", self.dialog.close)
            Shelf(picked)
        self.dialog.on("hide", self.dialog.delete)
        self.dialog.open()


@final
class Shelf:
    """A searchable list of everything that can be chosen.

    Args:
        pick: Called with what was chosen.
    """

    def __init__(self, pick: Pick) -> None:
        self.pick = pick
        search = ui.input(
            "Search",
            placeholder="cosine, warmup, wsd …",
            on_change=lambda event: self._show(event.value or ""),
        )
        search.props("outlined dense stack-label clearable type=search autocomplete=off").style(
            "max-width: 420px"
        )
        marked(search, "search")
        self.found = tag("div", classes="only-read", role="status")
        self.list = tag("div")
        self._show("")

    def _show(self, words: str) -> None:
        hits = searched(words) if words.strip() else catalogue()
        self.list.clear()
        with self.list:
            self._foreign()
            self._shelf("Recipes", [entry for entry in hits if entry.shape.is_recipe])
            self._shelf("Shapes", [entry for entry in hits if not entry.shape.is_recipe])
            if not hits:
                paragraph(
                    f"No schedule of ours is called “{words[:60]}”. Other libraries' classes go by "
                    f"their path.",
                    "quiet",
                )
        self.found._text = f"{len(hits)} found"
        self.found.update()

    def _foreign(self) -> None:
        with tag("ul", classes="tiles").style("margin-top: 12px"), tag("li", classes="tile"):
            _tile(_CLASS, _CLASS_WHY, "", lambda: self.pick(Piece(FOREIGN)), "pick-class")

    def _shelf(self, title: str, entries: Sequence[Entry]) -> None:
        if not entries:
            return
        heading(3, title)
        with tag("ul", classes="tiles"):
            for entry in entries:
                with tag("li", classes="tile"):
                    _tile(
                        entry.shape.label,
                        entry.shape.summary,
                        entry.path,
                        partial(self.pick, entry.example),
                        f"pick-{entry.shape.kind}",
                    )


def _tile(name: str, why: str, path: str, act: Callable[[], None], mark: str) -> Element:
    button = ui.button(on_click=act, color=None).props("flat no-caps")
    with marked(button, mark):
        if path:
            spark(path)
        tag("span", name, "name")
        tag("span", why, "why")
    return button
