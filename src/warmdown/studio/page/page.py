"""The page: built once for each tab, from the parts beside it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from nicegui import ui

from warmdown.schedules.base import PlainData
from warmdown.studio.draft.document import Draft
from warmdown.studio.draft.links import from_plain, to_plain
from warmdown.studio.page.bring import build_report
from warmdown.studio.page.edit.choose import show_start
from warmdown.studio.page.edit.editor import build_editor
from warmdown.studio.page.files import PlanFiles
from warmdown.studio.page.parts import (
    Act,
    card,
    icon_button,
    marked,
    set_text,
    tag,
    theme_button,
    top_bar,
)
from warmdown.studio.page.show.chart import build_curve
from warmdown.studio.page.show.export_panel import build_export_panel
from warmdown.studio.page.show.law import LawChoice
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
    studio = Studio(app)
    files = PlanFiles(studio)
    ui.page_title("warmdown studio")
    tag("a", "Skip to the curve", "skip", href="#curve", tabindex="0")
    show_theme = _build_top(studio, files)
    _build_room(studio)
    for event in ("summary", "file"):
        studio.subscribe(event, partial(_store, studio))
    studio.subscribe("kept", partial(_store_kept, studio))
    studio.subscribe("focus", partial(_focus, studio))
    act = partial(_press, studio, files)
    ui.on("dropped", partial(_take_dropped, studio, files))
    ui.on("linked", lambda event: files.follow(str(event.args)))
    ui.context.client.layout.on("keydown", act, js_handler=_KEYS)
    await ui.context.client.connected()
    found: PlainData = await ui.run_javascript("warmdown.found()", timeout=10.0) or {}
    show_theme(bool(found.get("dark")))
    await _take_up(studio, files, found)
    studio.refresh()


async def _take_dropped(studio: Studio, files: PlanFiles, event: Any) -> None:
    name, text = str(event.args["name"]), str(event.args["text"])
    await LawChoice(studio).take_dropped(name, text, partial(files.take_dropped, name, text))


async def _take_up(studio: Studio, files: PlanFiles, found: PlainData) -> None:
    """Take up what this tab had before it was reloaded, or the file of the start; then a link."""
    # what the tab kept may be of another version: then it begins like a new one
    with contextlib.suppress(ValueError, KeyError, TypeError):
        kept = json.loads(str(found.get("kept") or "{}"))
        document = from_plain(kept["document"])
        file, stamp, source = (str(kept[name] or "") for name in ("file", "stamp", "source"))
        report = tuple(map(str, kept.get("report", ())))
        draft = Draft(document, file, stamp or None, source, report=report)
        studio.resume(draft, is_edited=bool(kept.get("edited", True)))
    with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):
        plans = json.loads(str(found.get("plans") or "{}"))
        studio.resume_kept({str(name): from_plain(plan) for name, plan in plans.items()})
    if found.get("link"):
        files.follow(str(found["link"]))
    elif studio.app.bring and studio.draft.is_empty:
        await files.open_named(studio.app.bring)


def _build_top(studio: Studio, files: PlanFiles) -> Callable[[bool], None]:
    """Build the bar at the top; return what shows dark or light colours."""

    def show_theme(is_dark: bool) -> None:
        studio.dark = is_dark
        studio.emit("theme")

    def show() -> None:
        undo.set_enabled(studio.history.can_undo)
        redo.set_enabled(studio.history.can_redo)
        file = studio.draft.file
        text = file or ("" if studio.draft.is_empty else "not saved yet")
        set_text(name, f"{text} · edited" if file and studio.is_edited else text)

    with top_bar():
        name = tag("span", "", "name small quiet grow")
        undo = icon_button("undo", "Undo (Ctrl+Z)", studio.undo, "undo")
        redo = icon_button("redo", "Redo (Ctrl+Shift+Z)", studio.redo, "redo")
        tag("span", classes="split")
        if studio.app.watch:
            tag("a", "Runs", "link", href=".")
        icon_button("folder_open", "Open (Ctrl+O)", files.open, "open")
        icon_button("save", "Save (Ctrl+S)", files.save, "save")
        icon_button("save_as", "Save under another name", files.save_as, "save-as")
        icon_button("link", "Copy a link with the plan", files.link, "link")
        icon_button("add", "New plan", lambda: files.begin(Draft()), "new")
        change_theme = theme_button(show_theme)
    for event in ("view", "summary", "file"):
        studio.subscribe(event, show)
    return change_theme


def _build_room(studio: Studio) -> None:
    """Build the gallery that is shown while nothing is chosen, and the two columns."""

    def show() -> None:
        is_empty = studio.draft.is_empty
        room.set_visibility(not is_empty)
        start.set_visibility(is_empty)
        start.clear()
        if is_empty:
            with start:
                show_start(studio)

    with tag("div"):  # the framework's page is the main landmark
        start = tag("div", classes="room empty")
        with tag("div", classes="room") as room:
            editor_place = tag("div")
            with tag("div", classes="view", id="curve", tabindex="-1"):
                build_curve(studio)
                build_findings(studio)
                build_report(studio)
                with card("As text", "take"):
                    build_export_panel(studio)
                _build_panels(studio)
        with editor_place:
            build_editor(studio)
    studio.subscribe("draft", show)


def _build_panels(studio: Studio) -> None:
    panels: dict[str, tuple[str, Callable[[Studio], None]]] = {
        "table": ("Table", build_values_table),
        "words": ("In words", build_summary),
    }
    with tag("section", classes="card below", aria_label="Values and words"):
        with ui.tabs().props("dense align=left narrow-indicator no-caps") as tabs:
            for name, (label, _) in panels.items():
                marked(ui.tab(name, label=label), f"tab-{name}")
        with ui.tab_panels(tabs, value="table").props("animated=false keep-alive"):
            for name, (_, build) in panels.items():
                with ui.tab_panel(name):
                    build(studio)


def _focus(studio: Studio) -> None:
    ui.run_javascript(f"warmdown.focus({json.dumps(studio.focus_target)})")


async def _press(studio: Studio, files: PlanFiles, event: Any) -> None:
    acts: dict[str, Act] = {"y": studio.redo, "s": files.save, "o": files.open}
    acts["z"] = studio.redo if event.args["shift"] else studio.undo
    if (opening := acts[event.args["key"]]()) is not None:
        await opening


def _store(studio: Studio) -> None:
    """Keep the draft in the tab's memory, so that it outlives a reload and a restart."""
    draft = studio.draft
    kept: PlainData = {"document": to_plain(draft.document), "file": draft.file}
    kept |= {"stamp": draft.stamp, "source": draft.source, "edited": studio.is_edited}
    kept["report"] = draft.report
    is_unsaved = json.dumps(studio.is_edited and not draft.is_empty)
    ui.run_javascript(f"warmdown.unsaved = {is_unsaved}")
    ui.run_javascript(f"warmdown.keep('draft', {json.dumps(json.dumps(kept))})")


def _store_kept(studio: Studio) -> None:
    """Keep the plans of the comparison in the tab's memory too."""
    kept = json.dumps({one.name: to_plain(one.document) for one in studio.kept})
    ui.run_javascript(f"warmdown.keep('plans', {json.dumps(kept)})")
