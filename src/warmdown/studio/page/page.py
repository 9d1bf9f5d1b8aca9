"""The page: built once for each tab, from the parts beside it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, final

from nicegui import ui

from warmdown.studio.draft.model import Draft
from warmdown.studio.draft.stored import from_plain, to_plain
from warmdown.studio.page.edit.choose import show_start
from warmdown.studio.page.edit.editor import Editor
from warmdown.studio.page.files import PlanFiles
from warmdown.studio.page.parts import icon_button, marked, set_text, tag
from warmdown.studio.page.show.chart import CurveChart
from warmdown.studio.page.show.export_panel import ExportPanel
from warmdown.studio.page.show.words import build_findings, build_summary, build_values_table
from warmdown.studio.page.state import AppContext, Studio

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


async def build_design(app: AppContext) -> None:
    """Build the page for one tab."""
    page = DesignPage(Studio(app))
    await ui.context.client.connected()
    await page.begin()


@final
class DesignPage:
    """Everything that a tab shows.

    Args:
        studio: Its state.
    """

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        self.files = PlanFiles(studio)
        self.dark = ui.dark_mode()
        ui.page_title("warmdown studio")
        tag("a", "Skip to the curve", "skip", href="#curve", tabindex="0")
        self._top()
        with tag("div"):  # the framework's page is the main landmark
            self.start = tag("div", classes="room empty")
            with tag("div", classes="room") as self.room:
                editor_place = tag("div")
                with tag("div", classes="view", id="curve", tabindex="-1"):
                    CurveChart(studio)
                    build_findings(studio)
                    self._below()
            with editor_place:
                Editor(studio)
        studio.subscribe("draft", self._show_start)
        for event in ("view", "summary", "file"):
            studio.subscribe(event, self._show_top)
        studio.subscribe("summary", self._store)
        studio.subscribe("focus", self._focus)
        ui.context.client.layout.on("keydown", self._key, js_handler=_KEYS)

    async def begin(self) -> None:
        """Take up a link, or what this tab had before it was reloaded, or the file of the start."""
        found: dict[str, Any] = await ui.run_javascript("warmdown.found()", timeout=10.0) or {}
        self._show_theme(bool(found.get("dark")))
        if found.get("link"):
            self.files.follow(str(found["link"]))
        elif found.get("kept"):
            # what the tab kept may be of another version: then it begins like a new one
            with contextlib.suppress(ValueError, KeyError, TypeError):
                kept = json.loads(str(found["kept"]))
                self.studio.resume(from_plain(kept["draft"]), str(kept["file"]), kept["digest"])
        self.studio.refresh()

    def _top(self) -> None:
        studio = self.studio
        with tag("header", classes="top"):
            with tag("svg", classes="mark", viewBox="0 0 32 32", aria_hidden="true"):
                tag("path", d="M3 27 L9 7 C17 7 17 25 29 26", fill="none", stroke="currentColor",
                    stroke_width="3", stroke_linecap="round", stroke_linejoin="round")  # fmt: skip
            with tag("h1"):
                tag("span", "warmdown")
                tag("span", " studio", "long")
            tag("span", classes="split")
            self.name = tag("span", "", "name small quiet grow")
            self.undo = icon_button("undo", "Undo (Ctrl+Z)", studio.undo, "undo")
            self.redo = icon_button("redo", "Redo (Ctrl+Shift+Z)", studio.redo, "redo")
            tag("span", classes="split")
            if studio.app.watch:
                tag("a", "Runs", "link", href=".")
            icon_button("folder_open", "Open (Ctrl+O)", self.files.open, "open")
            icon_button("save", "Save (Ctrl+S)", self.files.save, "save")
            icon_button("link", "Copy a link with the plan", self.files.link, "link")
            icon_button("add", "New plan", lambda: studio.begin(Draft()), "new")
            self.theme = icon_button(
                "dark_mode", "Dark colours", lambda: self._show_theme(not studio.dark), "theme"
            )

    def _below(self) -> None:
        panels: dict[str, tuple[str, Callable[[Studio], object]]] = {
            "table": ("Table", build_values_table),
            "words": ("In words", build_summary),
            "take": ("Take away", ExportPanel),
        }
        with tag("section", classes="card below", aria_label="Values, words and texts"):
            with ui.tabs().props("dense align=left narrow-indicator no-caps") as tabs:
                for name, (label, _) in panels.items():
                    marked(ui.tab(name, label=label), f"tab-{name}")
            with ui.tab_panels(tabs, value="table").props("animated=false keep-alive"):
                for name, (_, build) in panels.items():
                    with ui.tab_panel(name):
                        build(self.studio)

    def _focus(self) -> None:
        ui.run_javascript(f"warmdown.focus({json.dumps(self.studio.focus_target)})")

    def _key(self, event: Any) -> None:
        acts = {"y": self.studio.redo, "s": self.files.save, "o": self.files.open}
        acts["z"] = self.studio.redo if event.args["shift"] else self.studio.undo
        acts[event.args["key"]]()

    def _show_start(self) -> None:
        """Show the gallery while nothing is chosen, and the two columns afterwards."""
        is_empty = self.studio.draft.is_empty
        self.room.set_visibility(not is_empty)
        self.start.set_visibility(is_empty)
        self.start.clear()
        if is_empty:
            with self.start:
                show_start(self.studio)

    def _show_top(self) -> None:
        studio = self.studio
        self.undo.set_enabled(studio.history.can_undo)
        self.redo.set_enabled(studio.history.can_redo)
        name = studio.file or ("" if studio.draft.is_empty else "not saved yet")
        is_edited = studio.file and studio.draft != studio.saved
        set_text(self.name, f"{name} · edited" if is_edited else name)

    def _store(self) -> None:
        """Keep the draft in the tab's memory, so that it outlives a reload and a restart."""
        kept = {
            "draft": to_plain(self.studio.draft),
            "file": self.studio.file,
            "digest": self.studio.stamp.digest,
        }
        ui.run_javascript(f"warmdown.keep({json.dumps(json.dumps(kept))})")

    def _show_theme(self, is_dark: bool) -> None:
        self.studio.dark = self.dark.value = is_dark
        self.theme.props["icon"] = "light_mode" if is_dark else "dark_mode"
        self.theme.props["aria-label"] = "Light colours" if is_dark else "Dark colours"
        self.studio.emit("theme")
