"""The page: built once for each tab, from the parts beside it."""

from __future__ import annotations

__all__ = ["build", "prepare"]

import contextlib
import json
from pathlib import Path
from typing import Any, final

from nicegui import ui

from warmdown.studio.draft.edits import add_phase
from warmdown.studio.draft.fields import shape
from warmdown.studio.draft.opening import with_targets
from warmdown.studio.draft.pieces import Draft, Piece
from warmdown.studio.draft.stored import from_plain, to_plain
from warmdown.studio.page.edit.choose import start
from warmdown.studio.page.edit.editor import Editor
from warmdown.studio.page.files import Files
from warmdown.studio.page.parts import icon_button, marked, tag
from warmdown.studio.page.show.chart import Chart
from warmdown.studio.page.show.take import TakeAway
from warmdown.studio.page.show.words import Findings, Values, Words
from warmdown.studio.page.state import Launch, Studio

_HERE = Path(__file__).parent
_KEYS = (
    "(event) => { if ((event.ctrlKey || event.metaKey) && !event.altKey) { const key = "
    "event.key.toLowerCase(); "
    "if (['z', 'y', 's', 'o'].includes(key)) { event.preventDefault(); emit({key, shift: "
    "event.shiftKey}); } } }"
)
"""Undo works in fields too: what is typed is part of the plan."""


def prepare() -> None:
    """Put our style and our few lines of script into every page."""
    ui.add_css((_HERE / "studio.css").read_text(encoding="utf-8"), shared=True)
    script = (_HERE / "studio.js").read_text(encoding="utf-8")
    ui.add_head_html(f"<script>{script}</script>", shared=True)


async def build(launch: Launch) -> None:
    """Build the page for one tab."""
    page = Page(Studio(launch))
    await ui.context.client.connected()
    await page.begin()


@final
class Page:
    """Everything that a tab shows.

    Args:
        studio: Its state.
    """

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        self.files = Files(studio)
        self.dark = ui.dark_mode()
        ui.page_title("warmdown studio")
        skip = tag("a", "Skip to the curve", "skip", href="#curve")
        skip.props["tabindex"] = "0"
        self._top()
        with tag("div"):  # the framework's page is the main landmark
            self.start = tag("div", classes="room empty")
            with tag("div", classes="room") as self.room:
                editor_place = tag("div")
                with tag("div", classes="view", id="curve", tabindex="-1"):
                    self.chart = Chart(studio)
                    Findings(studio)
                    self._below()
            with editor_place:
                self.editor = Editor(studio)
        self._listen()

    async def begin(self) -> None:
        """Take up a link, or what this tab had before it was loaded again, or the file that was named at the start."""
        found: dict[str, Any] = await ui.run_javascript("warmdown.found()", timeout=10.0) or {}
        self.studio.dark = bool(found.get("dark"))
        self._show_theme()
        if found.get("link"):
            self.files.follow(str(found["link"]))
        elif found.get("kept"):
            self._take_up(str(found["kept"]))
        self.studio.refresh()
        self._show_file()

    def _top(self) -> None:
        studio = self.studio
        with tag("header", classes="top"):
            with tag("svg", classes="mark", viewBox="0 0 32 32", aria_hidden="true"):
                tag("path", d="M3 27 L9 7 C17 7 17 25 29 26", fill="none", stroke="currentColor", stroke_width="3",
                    stroke_linecap="round", stroke_linejoin="round")  # fmt: skip
            with tag("h1"):
                tag("span", "warmdown")
                tag("span", " studio", "long")
            tag("span", classes="split")
            self.name = tag("span", "", "name small quiet grow")
            self.undo = icon_button("undo", "Undo (Ctrl+Z)", studio.undo, "undo")
            self.redo = icon_button("redo", "Redo (Ctrl+Shift+Z)", studio.redo, "redo")
            tag("span", classes="split")
            if studio.launch.watch:
                tag("a", "Runs", "link", href=".")
            icon_button("folder_open", "Open (Ctrl+O)", self.files.open, "open")
            icon_button("save", "Save (Ctrl+S)", self.files.save, "save")
            icon_button("link", "Copy a link with the plan", self.files.link, "link")
            icon_button("add", "New plan", self._new, "new")
            self.theme = icon_button("dark_mode", "Dark colours", self._toggle_theme, "theme")

    def _below(self) -> None:
        with tag("section", classes="card below", aria_label="Values, words and texts"):
            with ui.tabs().props("dense align=left narrow-indicator no-caps") as tabs:
                values = marked(ui.tab("Table"), "tab-table")
                words = marked(ui.tab("In words"), "tab-words")
                take = marked(ui.tab("Take away"), "tab-take")
            with ui.tab_panels(tabs, value=values).props("animated=false keep-alive"):
                with ui.tab_panel(values):
                    Values(self.studio)
                with ui.tab_panel(words):
                    Words(self.studio)
                with ui.tab_panel(take):
                    TakeAway(self.studio)

    def _listen(self) -> None:
        studio = self.studio
        studio.on("draft", self._show_start)
        studio.on("look", self._show_undo)
        studio.on("told", self._show_undo)
        studio.on("told", self._keep)
        studio.on("file", self._show_file)
        studio.on("focus", lambda: ui.run_javascript(f"warmdown.focus({json.dumps(studio.wish)})"))
        ui.context.client.layout.on("keydown", self._key, js_handler=_KEYS)

    def _key(self, event: Any) -> None:
        acts = {"y": self.studio.redo, "s": self.files.save, "o": self.files.open}
        acts["z"] = self.studio.redo if event.args["shift"] else self.studio.undo
        acts[event.args["key"]]()

    def _show_start(self) -> None:
        """Show where to begin while nothing is chosen, and the two columns afterwards."""
        is_empty = self.studio.draft.is_empty
        self.room.set_visibility(not is_empty)
        self.start.set_visibility(is_empty)
        self.start.clear()
        if is_empty:
            with self.start:
                start(self.studio, self._choose)

    def _choose(self, piece: Piece) -> None:
        known = None if piece.is_foreign else shape(piece.kind)
        if known and known.drives_several:
            self.studio.change(with_targets(self.studio.draft, piece))
        else:
            self.studio.change(add_phase(self.studio.draft, self.studio.track, piece))
        self.studio.focus("t0.p0.@path" if piece.is_foreign else "phase-0")

    def _new(self) -> None:
        self.studio.begin(Draft())

    def _show_undo(self) -> None:
        self.undo.set_enabled(self.studio.history.can_undo)
        self.redo.set_enabled(self.studio.history.can_redo)
        self._show_file()

    def _show_file(self) -> None:
        name = self.studio.file or ("not saved yet" if not self.studio.draft.is_empty else "")
        told = f"{name} · edited" if self.studio.file and self.studio.is_edited else name
        if self.name._text != told:
            self.name._text = told
            self.name.update()

    def _keep(self) -> None:
        """Keep the draft in the tab's own memory, so that it outlives a reload and a restart of the server."""
        kept = {
            "draft": to_plain(self.studio.draft),
            "file": self.studio.file,
            "digest": self.studio.stamp.digest,
        }
        ui.run_javascript(f"warmdown.keep({json.dumps(json.dumps(kept))})")

    def _take_up(self, text: str) -> None:
        with contextlib.suppress(ValueError, KeyError, TypeError):
            kept = json.loads(text)
            self.studio.resume(from_plain(kept["draft"]), str(kept["file"]), kept["digest"])

    def _toggle_theme(self) -> None:
        self.studio.dark = not self.studio.dark
        self._show_theme()

    def _show_theme(self) -> None:
        self.dark.value = self.studio.dark
        self.theme.props["icon"] = "light_mode" if self.studio.dark else "dark_mode"
        self.theme.props["aria-label"] = "Light colours" if self.studio.dark else "Dark colours"
        self.studio.say("theme")
