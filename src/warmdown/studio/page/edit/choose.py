"""Choosing: whole plans with their sources, torch's classes, recipes and shapes, and classes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeAlias

from nicegui import ui

from warmdown.schedules.base import PlainData
from warmdown.studio.draft.catalogue import (
    OF_RECORD,
    RECIPES,
    SHAPES,
    SITUATIONS,
    TORCH,
    GalleryEntry,
    searched,
)
from warmdown.studio.draft.document import mark_of, put, targets_in, with_phases
from warmdown.studio.page.parts import Act, ask_in_dialog, marked, set_text, spark, tag
from warmdown.studio.page.state import Studio

Pick: TypeAlias = Callable[[PlainData], None]

_CLASS = "Class of another library"
_CLASS_WHY = (
    "torch, transformers, timm, or your own: type its path, and its parameters become fields."
)


def show_start(studio: Studio) -> None:
    """Build what an empty page shows: where to begin."""
    _build_gallery(partial(choose, studio), lambda entry: studio.begin(entry.draft))


def choose(studio: Studio, targets: PlainData, number: int | None = None) -> None:
    """Put a schedule in the place of a phase, or after the last one, and open it.

    One that drives several numbers takes the place of theirs.
    """
    if targets.keys() != {"lr"}:
        studio.open_phase = 0
        studio.change(put(studio.document, ("plan",), {**studio.document["plan"], **targets}))
        studio.focus("phase-0")
        return
    chosen = targets["lr"]
    if not targets_in(studio.document):
        studio.open_phase = 0
        studio.put(("plan", "lr"), chosen)
    else:
        phases = [studio.get(path) for path in studio.phases]
        if number is None and not isinstance(chosen, list):
            studio.insert(len(phases), chosen)
        else:
            studio.open_phase = len(phases) if number is None else number
            added = chosen if isinstance(chosen, list) else [chosen]
            phases[studio.open_phase : studio.open_phase + 1] = added
            studio.change(with_phases(studio.document, studio.row, phases))
    is_class = "class_path" in chosen
    path = studio.phases[studio.open_phase]
    focus = mark_of((*path, "class_path")) if is_class else f"phase-{studio.open_phase}"
    studio.focus(focus)


def open_gallery(studio: Studio, title: str, number: int | None = None) -> None:
    """Open a dialog with every schedule, for one more phase or in the place of one."""

    def pick(targets: PlainData) -> None:
        dialog.close()
        choose(studio, targets, number)

    with ask_in_dialog(studio.client, title, "chooser") as dialog:
        dialog.props("maximized")
        _build_gallery(pick)


def _build_gallery(pick: Pick, begin: Callable[[GalleryEntry], None] | None = None) -> None:
    """Build a searchable list of everything that can be chosen.

    Args:
        pick: Called with the targets of a schedule.
        begin: Called with a whole plan; without it there are none.
    """

    def show(words: str = "") -> None:
        hits = searched(words)
        rows.clear()
        with rows:
            if begin:
                with tag("section", classes="card start", aria_labelledby="head-start"):
                    tag("h2", "Start with your situation", id="head-start")
                    _build_part(hits, SITUATIONS, begin)
                    _build_part(hits, OF_RECORD, begin)
            with tag("section", classes="card start", aria_labelledby="head-all"):
                tag("h2", "Choose a schedule", id="head-all")
                with tag("ul", classes="tiles"):
                    _tile(
                        _CLASS, _CLASS_WHY, partial(pick, {"lr": {"class_path": ""}}), "pick-class"
                    )
                for part in (TORCH, RECIPES, SHAPES):
                    _build_part(hits, part, lambda entry: pick(entry.targets))
            if not hits:
                tag(
                    "p",
                    f"Nothing of ours is called “{words[:60]}”. Other libraries' classes go by "
                    f"their path.",
                    "quiet",
                )
        count = sum(entry.text == "" or begin is not None for entry in hits)
        set_text(found, f"{count} found")

    search = ui.input(
        "Search",
        placeholder="cosine, MultiStepLR, one cycle, llama …",
        on_change=lambda event: show(event.value or ""),
    )
    search.props("outlined dense stack-label clearable type=search autocomplete=off")
    marked(search.classes("search"), "search")
    found = tag("div", classes="only-read", role="status")
    rows = tag("div", classes="gallery")
    show()


def _build_part(
    hits: Sequence[GalleryEntry], part: str, act: Callable[[GalleryEntry], None]
) -> None:
    """Build the tiles of a part of the gallery, under its heading; nothing where none is left."""
    entries = [entry for entry in hits if entry.part == part]
    if not entries:
        return
    mark = f"part-{part.rpartition(' ')[2]}"
    tag("h3", part, id=mark)
    with tag("ul", classes="tiles", aria_labelledby=mark):
        for entry in entries:
            _tile(entry.name, entry.about, partial(act, entry), entry.mark, entry)


def _tile(name: str, about: str, act: Act, mark: str, entry: GalleryEntry | None = None) -> None:
    with tag("li", classes="tile"):
        button = ui.button(on_click=act, color=None).props("flat no-caps")
        with marked(button, mark):
            if entry and entry.path:
                spark(entry.path)
            tag("span", name, "name")
            tag("span", about, "why")
            if entry and entry.source:
                tag("span", entry.source, "why source")
