"""Texts to copy, and files to download."""

from __future__ import annotations

import asyncio
import json
from functools import partial

from nicegui import ui

from warmdown.errors import WarmdownError
from warmdown.plot.export import as_csv
from warmdown.plot.page import png_bytes, svg_bytes
from warmdown.studio.page.parts import (
    copy_to_clipboard,
    marked,
    plain_button,
    set_text,
    show_pressed,
    tag,
)
from warmdown.studio.page.state import Studio
from warmdown.studio.preview.export import drawn_rows, plan_json, plan_yaml
from warmdown.studio.preview.python_code import as_python
from warmdown.studio.preview.torch_code import as_torch

_FORMS = {
    "YAML": ("yaml", "text/yaml", plan_yaml),
    "JSON": ("json", "application/json", plan_json),
    "Python": ("py", "text/x-python", as_python),
    "PyTorch": ("torch.py", "text/x-python", None),
}
_PICTURES = {"png": ("image/png", png_bytes), "svg": ("image/svg+xml", svg_bytes)}


def build_export_panel(studio: Studio) -> None:
    """Build the plan in every form."""
    chosen = "YAML"

    def as_text() -> str:
        draft, write = studio.draft, _FORMS[chosen][2]
        if draft.is_empty:
            return "# nothing is chosen yet\n"
        try:
            return write(draft) if write else as_torch(draft, studio.preview.plan)
        except WarmdownError as error:
            return f"# {error}\n"

    def show() -> None:
        set_text(text, as_text())

    def choose(form: str) -> None:
        nonlocal chosen
        chosen = form
        for name, button in buttons.items():
            show_pressed(button, name == form)
        show()

    async def copy() -> None:
        text_code = json.dumps(as_text())
        await copy_to_clipboard(text_code, "Copied.", " Select the text instead.")

    def download() -> None:
        ending, kind, _ = _FORMS[chosen]
        ui.download(as_text().encode(), f"plan.{ending}", kind)

    def download_csv() -> None:
        rows = as_csv(drawn_rows(studio.preview.view))
        ui.download(rows.encode(), "plan.csv", "text/csv")

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
        tag("p", "CSV holds the values, PNG and SVG the picture.", "small quiet")
    studio.subscribe("summary", show)
    show_pressed(buttons[chosen], True)


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
