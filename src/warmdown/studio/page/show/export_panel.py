"""Texts to copy, and files to download."""

from __future__ import annotations

import asyncio
import json
from functools import partial
from typing import final

from nicegui import ui

from warmdown.errors import WarmdownError
from warmdown.plot.export import as_csv
from warmdown.plot.page import png_bytes, svg_bytes
from warmdown.studio.page.parts import marked, plain_button, set_text, show_pressed, tag
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


@final
class ExportPanel:
    """The plan in every form.

    Args:
        studio: The tab.
    """

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        self.form = "YAML"
        with tag("div", classes="stack"):
            with tag("div", classes="line", role="group", aria_label="Form of the text"):
                self.buttons = {
                    form: plain_button(form, partial(self._choose, form), mark=f"form-{form}")
                    for form in _FORMS
                }
            self.text = tag(
                "pre", "", "text", tabindex="0", role="region", aria_label="The plan as text"
            )
            marked(self.text, "text")
            with tag("div", classes="line"):
                plain_button("Copy", self._copy, icon="content_copy", mark="copy")
                plain_button("Download", self._download, icon="download", mark="download")
                plain_button("CSV", self._csv, icon="table_view", mark="csv")
                for kind, icon in (("png", "image"), ("svg", "polyline")):
                    plain_button(kind.upper(), partial(self._picture, kind), icon=icon, mark=kind)
            tag("p", "CSV holds the values, PNG and SVG the picture.", "small quiet")
        studio.subscribe("summary", self.show)
        show_pressed(self.buttons[self.form], True)

    def show(self) -> None:
        """Show the text of what is typed now."""
        set_text(self.text, self._as_text())

    def _choose(self, form: str) -> None:
        self.form = form
        for name, button in self.buttons.items():
            show_pressed(button, name == form)
        self.show()

    def _as_text(self) -> str:
        draft = self.studio.draft
        if draft.is_empty:
            return "# nothing is chosen yet\n"
        write = _FORMS[self.form][2]
        try:
            return write(draft) if write else as_torch(draft, self.studio.preview.plan)
        except WarmdownError as error:
            return f"# {error}\n"

    async def _copy(self) -> None:
        if await ui.run_javascript(f"warmdown.copy({json.dumps(self._as_text())})"):
            ui.notify("Copied.")
        else:
            ui.notify("The browser did not let it be copied. Select the text instead.")

    def _download(self) -> None:
        ending, kind, _ = _FORMS[self.form]
        ui.download(self._as_text().encode(), f"plan.{ending}", kind)

    def _csv(self) -> None:
        text = as_csv(drawn_rows(self.studio.preview.view))
        ui.download(text.encode(), "plan.csv", "text/csv")

    async def _picture(self, kind: str) -> None:
        studio = self.studio
        if not studio.preview.view.lines:
            ui.notify("There is no curve yet.")
            return
        media_type, draw = _PICTURES[kind]
        try:
            content = await asyncio.to_thread(
                draw, studio.preview.view, dark=studio.dark, log=studio.log
            )
        except WarmdownError as error:
            ui.notify(str(error), type="warning")
            return
        ui.download(content, f"plan.{kind}", media_type)
