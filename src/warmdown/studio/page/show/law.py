"""The law that the loss is predicted by: chosen, fitted to logs of the folder, or dropped."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, final

from nicegui import ui

from warmdown.errors import SpecError
from warmdown.studio.page.bring import mistakes_shown
from warmdown.studio.page.parts import Act, ask_in_dialog, marked, plain_button, tag
from warmdown.studio.page.state import Studio
from warmdown.studio.preview.outlook import (
    LARGEST_LOG,
    LAW_ENDINGS,
    LOG_ENDINGS,
    law_or_log,
    read_law,
)

if TYPE_CHECKING:
    from warmdown.forecast import Law


def download_law(law: Law) -> None:
    """Let the browser save a law, as the file that the option ``--law`` reads."""
    ui.download(law.to_json().encode(), "law.json", "application/json")


@final
class LawChoice:
    """Everything about the law of a tab.

    Args:
        studio: The tab.
    """

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        self.folder = studio.app.folder

    async def ask(self) -> None:
        """Ask which law to predict the loss by."""
        found = await asyncio.to_thread(self._laws_and_logs)
        law, place = self.studio.law, self.folder.title
        with ask_in_dialog(self.studio.client, "Predict the loss", "ask stack") as dialog:
            tag(
                "p",
                "A law says what a plan will do to the loss. It is fitted to the logs of one or "
                "two runs of the same model and data, or comes from a file of warmdown forecast.",
                "small quiet",
            )
            if law is not None:
                names = ", ".join(pilot.name for pilot in law.pilots) or "published numbers"
                with tag("p", classes="line"):
                    tag("span", f"In use: {law.name}, from {names}.", "grow")
                    drop = partial(self._take, {}, dialog)
                    save = partial(download_law, law)
                    plain_button("Save as a file", save, icon="download", mark="law-save")
                    plain_button("Predict no loss", drop, icon="close", mark="law-drop")
            if not found["law"] and not found["log"]:
                tag("p", f"No law and no log lies in {place}. Drop one on the window.", "small")
            for name in found["law"]:
                button = plain_button(
                    name, partial(self._take, [name], dialog), icon="insights", mark=f"law-{name}"
                )
                button.props("align=left")
            if found["log"]:
                tag("h3", f"Logs in {place}")
                boxes = {
                    name: marked(ui.checkbox(name).props("dense"), f"log-{name}")
                    for name in found["log"]
                }

                async def fit() -> None:
                    await self._take([name for name, box in boxes.items() if box.value], dialog)

                plain_button("Fit a law to them", fit, mark="law-fit").classes("main")
        self.studio.focus("close")

    async def take_dropped(self, name: str, text: str, open_plan: Act) -> None:
        """Take a law or a log that was dropped on the window, and open anything else.

        Of a file that is a configuration too, a person is asked which.
        """
        kind = text and law_or_log(name, text)
        if not kind:
            await open_plan()  # it says what is wrong with a file without a text
        elif kind == "log" and not name.lower().endswith(LOG_ENDINGS):
            self._ask_which(name, text, open_plan)
        else:
            await self._read({name: text})

    def _ask_which(self, name: str, text: str, open_plan: Act) -> None:
        with ask_in_dialog(self.studio.client, "A plan and a log", "ask stack") as dialog:
            tag("p", f"{name[:80]} has the schedule of a run, and its losses.")

            async def take(act: Act) -> None:
                dialog.close()
                await act()

            with tag("div", classes="line"):
                show = partial(take, open_plan)
                plain_button("Open its schedule", show, mark="take-plan").classes("main")
                fit = partial(take, partial(self._read, {name: text}))
                plain_button("Fit a law to its losses", fit, mark="take-log")
        self.studio.focus("take-plan")

    def _laws_and_logs(self) -> dict[str, list[str]]:
        """Return the names of what the folder has of each kind."""
        found: dict[str, list[str]] = {"law": [], "log": [], "": []}
        for name in self.folder.names(LAW_ENDINGS):
            is_log = not name.lower().endswith(".json")
            with suppress(SpecError):
                text = "" if is_log else self.folder.read(name, LAW_ENDINGS, LARGEST_LOG)[0]
                found[law_or_log(name, text)].append(name)
        return found

    async def _take(self, names: Any, dialog: ui.dialog) -> None:
        dialog.close()
        with mistakes_shown(self.studio):
            texts = {name: self.folder.read(name, LAW_ENDINGS, LARGEST_LOG)[0] for name in names}
            if texts:
                await self._read(texts)
            else:
                self.studio.take_law(None)

    async def _read(self, texts: dict[str, str]) -> None:
        with mistakes_shown(self.studio):
            law = await asyncio.to_thread(read_law, texts)
            self.studio.take_law(law)
            with self.studio.client:
                ui.notify(f"The loss is predicted by the {law.name} law.", type="positive")
