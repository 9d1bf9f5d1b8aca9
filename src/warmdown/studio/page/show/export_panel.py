"""Texts to copy, and files to download."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from functools import partial

from nicegui import ui

from warmdown.errors import WarmdownError
from warmdown.plan import Plan
from warmdown.planfile.plans import plan_from_dict
from warmdown.plot.export import POINTS, ValueRow, as_csv, rows
from warmdown.plot.page import png_bytes, svg_bytes
from warmdown.plot.view import View
from warmdown.studio.draft.document import class_paths
from warmdown.studio.draft.files import saved_text
from warmdown.studio.draft.wording import message_of
from warmdown.studio.page.bring import native_plan
from warmdown.studio.page.parts import (
    copy_to_clipboard,
    marked,
    plain_button,
    set_text,
    show_pressed,
    tag,
)
from warmdown.studio.page.state import Studio
from warmdown.studio.preview.python_code import as_python
from warmdown.studio.preview.torch_code import as_torch, is_one_class

_FORMS = {
    "YAML": ("yaml", "text/yaml"),
    "JSON": ("json", "application/json"),
    "Python": ("py", "text/x-python"),
    "PyTorch": ("torch.py", "text/x-python"),
}
_PICTURES = {"png": ("image/png", png_bytes), "svg": ("image/svg+xml", svg_bytes)}


def build_export_panel(studio: Studio) -> None:
    """Build the plan in every form."""
    chosen = "YAML"
    writing: asyncio.Task[None] | None = None

    def as_text(plan: Plan | None) -> str:
        if studio.draft.is_empty:
            return "# nothing is chosen yet\n"
        try:
            if chosen == "Python":
                return as_python(plan.to_dict() if plan else studio.reading.data)
            if chosen == "PyTorch":
                return as_torch(studio.reading.data, plan)
            return saved_text(studio.draft, f"plan.{_FORMS[chosen][0]}")
        except WarmdownError as error:
            return f"# {message_of(str(error)).text}\n"

    def is_turned() -> bool:
        """Whether the text is of the plan with schedules of warmdown's own for its classes."""
        is_itself = chosen == "PyTorch" and is_one_class(studio.reading.data)
        return chosen.startswith("Py") and bool(class_paths(studio.document)) and not is_itself

    async def whole_text() -> str:
        if not is_turned():
            return as_text(studio.preview.plan)
        try:
            native = (await native_plan(studio))["plan"]
            return as_text(plan_from_dict({**studio.reading.data, **native}))
        except WarmdownError as error:
            return f"# {message_of(str(error)).text}\n"

    def show() -> None:
        nonlocal writing
        if is_turned():
            writing = asyncio.create_task(write(writing))
        else:
            writing = None
            set_text(text, as_text(studio.preview.plan))

    async def write(before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await asyncio.wait([before])  # a question to the other process is never cancelled
        if asyncio.current_task() is writing:  # else a later one does it
            written = await whole_text()
            if asyncio.current_task() is writing:
                with studio.client:
                    set_text(text, written)

    def choose(form: str) -> None:
        nonlocal chosen
        chosen = form
        for name, button in buttons.items():
            show_pressed(button, name == form)
        show()

    async def copy() -> None:
        text_code = json.dumps(await whole_text())
        await copy_to_clipboard(text_code, "Copied.", " Select the text instead.")

    async def download() -> None:
        ending, kind = _FORMS[chosen]
        ui.download((await whole_text()).encode(), f"plan.{ending}", kind)

    def download_csv() -> None:
        plan, bases = studio.preview.plan, studio.reading.bases
        found = rows(plan, groups=bases or None) if plan else drawn_rows(studio.preview.view)
        ui.download(as_csv(found).encode(), "plan.csv", "text/csv")

    with tag("div", classes="stack"):
        with tag("div", classes="line", role="group", aria_label="Form of the text"):
            buttons = {
                form: plain_button(form, partial(choose, form), mark=f"form-{form}")
                for form in _FORMS
            }
        text = tag("pre", "", "text", tabindex="0", role="region", aria_label="The plan as text")
        marked(text, "text")
        with tag("div", classes="line"):
            plain_button("Copy", copy, icon="content_copy", mark="copy")
            plain_button("Download", download, icon="download", mark="download")
            plain_button("CSV", download_csv, icon="table_view", mark="csv")
            for kind, icon in (("png", "image"), ("svg", "polyline")):
                act = partial(_download_picture, studio, kind)
                plain_button(kind.upper(), act, icon=icon, mark=kind)
        tag(
            "p",
            f"CSV has the value of every update; of a run longer than {POINTS:,} updates, of "
            "every n-th and the last, in no more rows. PNG and SVG hold the picture.",
            "small quiet",
        )
    studio.subscribe("summary", show)
    show_pressed(buttons[chosen], True)


def drawn_rows(seen: View) -> Iterator[ValueRow]:
    """Yield every point that is drawn of a class of another library."""
    for line in seen.lines:
        for step, value in zip(line.steps.tolist(), line.values.tolist(), strict=True):
            yield ValueRow(int(step), line.label, value)


async def _download_picture(studio: Studio, kind: str) -> None:
    view = studio.preview.view
    if not view.lines:
        ui.notify("There is no curve yet.")
        return
    media_type, draw = _PICTURES[kind]
    try:
        content = await asyncio.to_thread(draw, view, dark=studio.dark, log=studio.log)
    except WarmdownError as error:
        ui.notify(str(error), type="warning")
        return
    ui.download(content, f"plan.{kind}", media_type)
