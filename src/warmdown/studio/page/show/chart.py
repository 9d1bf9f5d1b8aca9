"""The curve: drawn at every key, read by pointer or by the slider under it."""

from __future__ import annotations

from functools import partial
from math import ceil
from typing import Any

from nicegui import ui
from nicegui.element import Element

from warmdown.formatting import count, number
from warmdown.plot.view import View
from warmdown.studio.page.parts import (
    icon_button,
    log_button,
    marked,
    plain_button,
    set_text,
    slider,
    tag,
)
from warmdown.studio.page.show.handles import Handle, handles_of, moved, pressed
from warmdown.studio.page.show.law import LawChoice
from warmdown.studio.page.show.plot import PlotElement
from warmdown.studio.page.state import Candidate, Studio
from warmdown.studio.preview.chart import Layer, lines_in
from warmdown.studio.preview.outlook import Outlook
from warmdown.studio.preview.preview import value_text

_MOST_FACTS = 6
_NARROWEST = 10
"""Steps of the narrowest window."""


def build_curve(studio: Studio) -> None:
    """Build the picture with its tools."""
    at: int | None = None
    law = LawChoice(studio)
    handles: tuple[Handle, ...] = ()
    predicted: list[tuple[Candidate, Element]] = []

    def draw() -> None:
        """Draw the curves, and behind them those that were kept."""
        views = {"": studio.preview.view, **{one.name: one.view for one in studio.kept}}
        layers = [
            Layer(
                (
                    *lines_in(view, studio.window),
                    *_outlook_text(studio, name, view).lines(studio.window),
                ),
                name,
                is_faint=bool(name),
            )
            for name, view in views.items()
        ]
        # a kept plan may be over tokens, and the one on the page over updates
        clock = " / ".join(dict.fromkeys(view.x for view in views.values()))
        plot.draw(layers, whole(), log=studio.log, dark=studio.dark, clock=clock)

    def whole() -> int:
        """Return the last step of all that is drawn."""
        return max([studio.preview.view.stop, *(one.view.stop for one in studio.kept)])

    def show_window(event: Any) -> None:
        """Evaluate the lines again for the window that the browser shows."""
        low, high = int(float(event.args[0])), ceil(float(event.args[1]))
        studio.zoom((low, high) if 0 <= low < high and high - low < whole() else None)
        first, last = studio.window or (0, max(studio.preview.view.stop, 1))
        cursor.props.update(min=str(first), max=str(last))
        draw()

    def show_handles() -> None:
        """Show the handles of the row; they take longer than a curve, and follow a key later."""
        nonlocal handles
        plan, handles = studio.preview.plan, ()
        if plan is not None and not studio.draft.is_empty and not studio.mistakes:
            handles = handles_of(
                studio.document, studio.row, plan, studio.reading.bases, studio.parted
            )
        lines = studio.preview.view.lines
        units = list(dict.fromkeys(line.unit for line in lines))
        field = studio.row.field if handles else ""
        unit = next((line.unit for line in lines if line.label.partition("/")[0] == field), "")
        panel = units.index(unit) if unit in units else 0
        points = [{"x": one.x, "y": one.y, "name": one.name, "panel": panel} for one in handles]
        plot.show_handles(
            points, "Handles of the phases: arrow keys move them, Enter parts or joins"
        )

    def move(event: Any) -> None:
        """Take a move of a handle, from the pointer or a key."""
        given = event.args
        at = int(given.get("at", -1))
        plan = studio.preview.plan
        if not 0 <= at < len(handles) or plan is None:
            return
        handle, total = handles[at], plan.length or 1
        if given.get("key") == "Enter":
            studio.toggle_joint(handle.joint)
            return
        if "key" in given:
            tops = [line.totals.high for line in studio.preview.view.lines]
            x, y = pressed(handle, str(given["key"]), total=total, top=max(tops, default=1.0))
        else:
            x, y = float(given["x"]), float(given["y"])
        changed = moved(
            studio.document, studio.row, handle, x, y,
            total=total, bases=studio.reading.bases, parted=studio.parted,
        )  # fmt: skip
        studio.drag(changed, handle.phase)
        set_text(readout, handles[at].name if at < len(handles) else handle.name)

    def show_log(is_log: bool) -> None:
        studio.log = is_log
        draw()

    def zoom_in() -> None:
        low, high = studio.window or (0, whole())
        width = max((high - low) // 4, min(_NARROWEST, whole()))
        middle = at or 0 if low <= (at or 0) <= high else (low + high) // 2
        first = min(max(middle - width // 2, 0), whole() - width)
        studio.zoom((first, first + width))  # a second press may come before the browser answers
        plot.zoom(first, first + width)

    def read(event: Any) -> None:
        nonlocal at
        at = int(event.args)
        set_text(readout, _reading_at(studio.preview.view, at))
        plot.point(at)

    def show_summary() -> None:
        seen = studio.preview.view
        stop = seen.stop
        plot.name(studio.summary.text or "No curve yet.")
        cursor.props["max"] = str(studio.window[1] if studio.window else max(stop, 1))
        if at is not None:
            set_text(readout, _reading_at(seen, min(at, stop)))
        facts.clear()
        with facts:
            for line in seen.lines[:_MOST_FACTS]:
                first, last = value_text(line.values[0]), value_text(line.values[-1])
                top = value_text(line.totals.high)
                way = [first, last] if top in (first, last) else [first, top, last]
                _show_fact(line.label, " → ".join(way))
                _show_fact(f"area under {line.label}", number(line.totals.area))

    def show_forecast() -> None:
        set_text(said, "" if studio.law is None else studio.outlook.text)
        for candidate, final in predicted:
            outlook = studio.outlooks.get(candidate.view, Outlook())
            set_text(final, f"loss {outlook.final}" if outlook.final else "")
        draw()

    def show_kept() -> None:
        kept.clear()
        predicted.clear()
        with kept:
            for place, candidate in enumerate(studio.kept):
                name, back = candidate.name, partial(studio.change, candidate.document)
                with tag("li", classes="chip"):
                    field = tag("input", aria_label="Name of the kept plan", **{"^value": name})
                    rename = partial(_rename, studio, candidate)
                    field.on("change", rename, js_handler="(event) => emit(event.target.value)")
                    marked(field, f"kept-{place}")
                    predicted.append((candidate, marked(tag("span", ""), f"loss-{place}")))
                    icon_button("replay", f"Go back to {name}", back, f"back-{place}")
                    forget = partial(studio.drop, candidate)
                    icon_button("close", f"Forget {name}", forget, f"forget-{place}")
        show_forecast()

    with tag("section", classes="card curve", aria_labelledby="head-curve"):
        with tag("div", classes="pinned"):
            with tag("div", classes="head line"):
                tag("h2", "Curve", "grow", id="head-curve")
                log_button(show_log)
                icon_button("zoom_in", "Zoom in around the cursor", zoom_in, "zoom-in")
                icon_button(
                    "zoom_out_map", "Show the whole run", lambda: plot.zoom(0, whole()), "zoom-out"
                )
                plain_button("Keep", studio.keep, icon="bookmark_add", mark="keep")
            plot = PlotElement()
            ui.on("handle", move)
            ui.on("zoomed", show_window)
        with tag("div", classes="under stack"):
            with tag("div", classes="reading"):
                cursor = slider("cursor", "Step to read the values at", "1", "1", read)
                readout = tag("p", "Move along to read the values", "small quiet", role="status")
            facts = tag("dl", classes="facts")
            with tag("div", classes="line"):
                plain_button("Predict the loss …", law.ask, icon="insights", mark="law")
                said = marked(tag("p", "", "small grow", role="status"), "law-says")
            kept = tag("ul", classes="chips", aria_label="Kept for comparison")
    for event in ("view", "typed", "theme"):
        studio.subscribe(event, draw)
    studio.subscribe("view", show_handles)
    studio.subscribe("moved", show_handles)
    studio.subscribe("summary", show_handles)
    studio.subscribe("kept", show_kept)
    studio.subscribe("forecast", show_forecast)
    studio.subscribe("summary", show_summary)


def _rename(studio: Studio, candidate: Candidate, event: Any) -> None:
    studio.rename(candidate, str(event.args))


def _outlook_text(studio: Studio, name: str, view: View) -> Outlook:
    """Return what the law predicts for the plan on the page, which has no name, or a kept one."""
    return studio.outlooks.get(view, Outlook()) if name else studio.outlook


def _reading_at(view: View, step: int) -> str:
    """Return the values of the lines at a step, as a sentence."""
    texts = [f"{line.label} {value_text(line.at(step))}" for line in view.lines[:_MOST_FACTS]]
    unit = view.x.removesuffix("s").capitalize()
    return f"{unit} {count(step)}: {', '.join(texts)}" if texts else ""


def _show_fact(name: str, value: str) -> None:
    with tag("div"):
        tag("dt", name)
        tag("dd", value)
