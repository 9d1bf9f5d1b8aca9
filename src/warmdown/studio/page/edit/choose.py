"""Choosing: situations with their reasons, recipes and shapes with their pictures, and classes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

from nicegui import ui

from warmdown.planfile.plans import TARGETS
from warmdown.schedules.base import PlainData
from warmdown.studio.draft.catalogue import path_of_situation, searched
from warmdown.studio.draft.document import mark_of, put, targets_in, with_phases
from warmdown.studio.draft.fields import known_shapes
from warmdown.studio.draft.files import document_from
from warmdown.studio.draft.presets import PRESETS
from warmdown.studio.page.parts import Act, ask_in_dialog, marked, set_text, spark, tag
from warmdown.studio.page.state import Studio

Pick: TypeAlias = Callable[[PlainData], None]

_CLASS = "Class of another library"
_CLASS_WHY = (
    "torch, transformers, timm, or your own: type its path, and its parameters become fields."
)


def show_start(studio: Studio) -> None:
    """Build what an empty page shows: where to begin."""
    with tag("section", classes="card start", aria_labelledby="head-start"):
        tag("h2", "Start with your situation", id="head-start")
        tag(
            "p",
            "Each is a whole plan to change as you like: a schedule, how long the run is, and the "
            "reason. Or choose a single schedule below, or name any class.",
            "quiet intro",
        )
        with tag("ul", classes="tiles large"):
            for number, preset in enumerate(PRESETS):
                act = partial(studio.begin, preset.draft)
                path = path_of_situation(preset)
                _tile(preset.title, preset.why, path, act, f"preset-{number}")
    with tag("section", classes="card start", aria_labelledby="head-all"):
        tag("h2", "All schedules", id="head-all")
        _build_gallery(partial(choose, studio))


def choose(studio: Studio, schedule: PlainData, number: int | None = None) -> None:
    """Put a schedule in the place of a phase, or after the last one, and open it.

    A recipe for several fields takes the place of the targets that it drives.
    """
    shape = known_shapes().get(schedule.get("kind", ""))
    if shape and shape.drives_several:
        made = document_from({TARGETS: schedule})["plan"]
        plan = {**studio.document["plan"], **made}
        studio.change(put(studio.document, ("plan",), plan))
        studio.focus("phase-0")
        return
    if not targets_in(studio.document):
        studio.open_phase = 0
        studio.put(("plan", "lr"), schedule)
    else:
        phases = [studio.get(path) for path in studio.phases]
        studio.open_phase = len(phases) if number is None else number
        phases[studio.open_phase : studio.open_phase + 1] = [schedule]
        studio.change(with_phases(studio.document, studio.row, phases))
    is_class = "class_path" in schedule
    path = studio.phases[studio.open_phase]
    focus = mark_of((*path, "class_path")) if is_class else f"phase-{studio.open_phase}"
    studio.focus(focus)


def open_gallery(studio: Studio, title: str, number: int | None = None) -> None:
    """Open a dialog with every schedule, for one more phase or in the place of one."""

    def pick(schedule: PlainData) -> None:
        dialog.close()
        choose(studio, schedule, number)

    with ask_in_dialog(studio.client, title, "chooser") as dialog:
        dialog.props("maximized")
        _build_gallery(pick)


def _build_gallery(pick: Pick) -> None:
    """Build a searchable list of everything that can be chosen; ``pick`` is called with it."""

    def show(words: str = "") -> None:
        hits = searched(words)
        rows.clear()
        with rows:
            with tag("ul", classes="tiles").style("margin-top: 12px"):
                act = partial(pick, {"class_path": ""})
                _tile(_CLASS, _CLASS_WHY, "", act, "pick-class")
            for title, is_recipe in (("Recipes", True), ("Shapes", False)):
                entries = [entry for entry in hits if entry.shape.is_recipe == is_recipe]
                if not entries:
                    continue
                tag("h3", title)
                with tag("ul", classes="tiles"):
                    for entry in entries:
                        shape, act = entry.shape, partial(pick, entry.example)
                        _tile(shape.label, shape.summary, entry.path, act, f"pick-{shape.kind}")
            if not hits:
                tag(
                    "p",
                    f"No schedule of ours is called “{words[:60]}”. Other libraries' classes go by "
                    f"their path.",
                    "quiet",
                )
        set_text(found, f"{len(hits)} found")

    search = ui.input(
        "Search",
        placeholder="cosine, warmup, wsd …",
        on_change=lambda event: show(event.value or ""),
    )
    search.props("outlined dense stack-label clearable type=search autocomplete=off")
    marked(search.style("max-width: 420px"), "search")
    found = tag("div", classes="only-read", role="status")
    rows = tag("div")
    show()


def _tile(name: str, why: str, path: str, act: Act, mark: str) -> None:
    with tag("li", classes="tile"):
        button = ui.button(on_click=act, color=None).props("flat no-caps")
        with marked(button, mark):
            if path:
                spark(path)
            tag("span", name, "name")
            tag("span", why, "why")
