"""Opening, saving and links. The folder is the one of the start; nothing is overwritten unasked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import final

from nicegui import ui

from warmdown.errors import SpecError
from warmdown.studio.draft.document import Draft
from warmdown.studio.draft.files import opened, saved_text
from warmdown.studio.draft.links import from_link, to_fragment
from warmdown.studio.page.parts import (
    ask_in_dialog,
    copy_to_clipboard,
    marked,
    plain_button,
    tag,
)
from warmdown.studio.page.state import Studio
from warmdown.studio.security.folder import StaleFile, Stamp


@final
class PlanFiles:
    """Everything about files and links.

    Args:
        studio: The tab.
    """

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        self.folder = studio.app.folder
        self.place = self.folder.path.name or str(self.folder.path)

    def open(self) -> None:
        """Ask which file, and show it."""
        names = self.folder.names()
        with self._dialog("Open a plan", f"file-{names[0]}" if names else "close") as dialog:
            none = "" if names else ": none yet. Save one first."
            tag("p", f"Plan files in {self.place}{none}", "small quiet")
            with tag("ul", classes="stack").style("list-style: none"):
                for name in names:
                    with tag("li"):
                        act = partial(self._open, name, dialog)
                        button = ui.button(name, icon="description", on_click=act, color=None)
                        button.props("flat no-caps align=left").style("width: 100%")
                        marked(button, f"file-{name}")

    def save(self) -> None:
        """Save under the name it has, or ask for one."""
        if self.studio.draft.file:
            self._write(self.studio.draft.file, self.studio.draft.stamp)
        else:
            self.save_as()

    def save_as(self) -> None:
        """Ask for a name, and save."""
        with self._dialog("Save the plan", "save-name") as dialog:
            tag("p", f"In {self.place}, as .yaml or .json.", "small quiet")
            name = ui.input("File name", value=self.studio.draft.file or "plan.yaml")
            marked(name.props("outlined dense"), "save-name")

            def write() -> None:
                dialog.close()
                plain = (name.value or "").strip()
                # a file of that name was not opened here: it is asked about before it is
                # overwritten
                draft = self.studio.draft
                self._write(plain, draft.stamp if plain == draft.file else None)

            name.on("keydown.enter", write)
            with tag("div", classes="line"):
                plain_button("Save", write, mark="save-yes").classes("main")
                plain_button("Cancel", dialog.close)

    async def link(self) -> None:
        """Copy a link that carries the plan where no server sees it."""
        # as a word of JavaScript, which no character of a plan can leave
        fragment = json.dumps(f"#{to_fragment(self.studio.document)}")
        address = f"location.origin + '/' + {fragment}"
        await copy_to_clipboard(address, "Link copied: it carries the plan itself.")

    def follow(self, fragment: str) -> None:
        """Show the plan of a link; one with a class of an unknown library is refused whole."""
        with _mistakes_shown():
            self.studio.begin(Draft(from_link(fragment)))

    def take_dropped(self, name: str, text: str) -> None:
        """Show a file that was dropped on the window; a save asks for its name."""
        with _mistakes_shown():
            if not text:
                raise SpecError(f"{name[:120]}: empty, or too large for a plan. Drop another one.")
            draft = opened(text, name)
            self.studio.begin(replace(draft, file=""))

    def _open(self, name: str, dialog: ui.dialog) -> None:
        dialog.close()
        with _mistakes_shown():
            text, stamp = self.folder.read(name)
            self.studio.begin(opened(text, name, stamp))

    def _write(self, name: str, expected: Stamp) -> None:
        with _mistakes_shown():
            text = saved_text(self.studio.draft, name)
            try:
                stamp = self.folder.write(name, text, expected)
            except StaleFile:
                self._ask_to_overwrite(name)
                return
            self.studio.saved_as(name, stamp, text)
            ui.notify(f"Saved {name}.", type="positive")

    def _ask_to_overwrite(self, name: str) -> None:
        """Ask before a file is overwritten that is not the one opened here."""
        with self._dialog(f"{name} changed on disk", "save-other") as dialog:
            tag(
                "p",
                "It is not the file that was opened here: someone or something wrote it since. "
                "Overwrite it, open what is there now, or save under another name.",
            )

            def overwrite() -> None:
                dialog.close()
                self._write(name, self.folder.stamp(name))

            def other() -> None:
                dialog.close()
                self.save_as()

            with tag("div", classes="line"):
                plain_button("Overwrite", overwrite, mark="overwrite")
                plain_button("Open what is there", partial(self._open, name, dialog), mark="reopen")
                plain_button("Save as …", other, mark="save-other").classes("main")

    @contextmanager
    def _dialog(self, title: str, focus: str) -> Iterator[ui.dialog]:
        with ask_in_dialog(self.studio.client, title, "ask stack") as dialog:
            yield dialog
        self.studio.focus(focus)


@contextmanager
def _mistakes_shown() -> Iterator[None]:
    """Show what is wrong with a file or a link; the page stays as it is."""
    try:
        yield
    except SpecError as error:
        text = "\n".join(error.mistakes[:5])
        ui.notify(text, type="negative", multi_line=True, timeout=0, close_button="Close")
