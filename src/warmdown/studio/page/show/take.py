"""Taking away: texts to copy, files to download, a link to send."""

from __future__ import annotations

__all__ = ["TakeAway"]

import asyncio
import json
from collections.abc import Callable
from typing import final

from nicegui import ui

from warmdown.errors import WarmdownError
from warmdown.studio.page.parts import marked, paragraph, plain_button, tag
from warmdown.studio.page.state import Studio
from warmdown.studio.preview.export import as_csv, as_json, as_picture, as_python, as_yaml
from warmdown.studio.preview.torch_code import as_torch

_TEXTS = {"YAML": ("yaml", "text/yaml"), "JSON": ("json", "application/json"),
          "Python": ("py", "text/x-python"), "PyTorch": ("torch.py", "text/x-python")}  # fmt: skip


@final
class TakeAway:
    """The plan in every form.

    Args:
        studio: The tab.
    """

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        self.form = "YAML"
        with tag("div", classes="stack"):
            with tag("div", classes="line", role="group", aria_label="Form of the text"):
                self.buttons = {form: self._form(form) for form in _TEXTS}
            self.text = marked(
                tag("pre", "", "text", tabindex="0", role="region", aria_label="The plan as text"),
                "text",
            )
            with tag("div", classes="line"):
                plain_button("Copy", self._copy, icon="content_copy", mark="copy")
                plain_button("Download", self._download, icon="download", mark="download")
                plain_button("CSV", self._csv, icon="table_view", mark="csv")
                plain_button("PNG", lambda: self._picture("png"), icon="image", mark="png")
                plain_button("SVG", lambda: self._picture("svg"), icon="polyline", mark="svg")
            paragraph("CSV holds the values, PNG and SVG the picture.", "small quiet")
        studio.on("told", self.show)
        self._press()

    def show(self) -> None:
        """Show the text of what is typed now."""
        text = self._written()
        if self.text._text != text:
            self.text._text = text
            self.text.update()

    def _form(self, form: str) -> ui.button:
        def choose() -> None:
            self.form = form
            self._press()
            self.show()

        return plain_button(form, choose, mark=f"form-{form}")

    def _press(self) -> None:
        for form, button in self.buttons.items():
            button.props["aria-pressed"] = "true" if form == self.form else "false"
            button.classes(add="main") if form == self.form else button.classes(remove="main")

    def _written(self) -> str:
        studio = self.studio
        if studio.draft.is_empty:
            return "# nothing is chosen yet\n"
        forms: dict[str, Callable[[], str]] = {
            "YAML": lambda: as_yaml(studio.draft),
            "JSON": lambda: as_json(studio.draft),
            "Python": lambda: as_python(studio.draft),
            "PyTorch": lambda: as_torch(studio.draft, studio.plan),
        }
        try:
            return forms[self.form]()
        except WarmdownError as error:
            return f"# {error}\n"

    async def _copy(self) -> None:
        done = await ui.run_javascript(f"warmdown.copy({_quoted(self._written())})")
        ui.notify(
            "Copied." if done else "The browser did not let it be copied. Select the text instead."
        )

    def _download(self) -> None:
        ending, kind = _TEXTS[self.form]
        ui.download(self._written().encode(), f"plan.{ending}", kind)

    def _csv(self) -> None:
        ui.download(as_csv(self.studio.look).encode(), "plan.csv", "text/csv")

    async def _picture(self, kind: str) -> None:
        studio = self.studio
        if not studio.look.curves:
            ui.notify("There is no curve yet.")
            return
        try:
            made = await asyncio.to_thread(
                as_picture, studio.look, kind, dark=studio.dark, log=studio.log
            )
        except WarmdownError as error:
            ui.notify(str(error), type="warning")
            return
        ui.download(made, f"plan.{kind}", "image/png" if kind == "png" else "image/svg+xml")


def _quoted(text: str) -> str:
    return json.dumps(text)
