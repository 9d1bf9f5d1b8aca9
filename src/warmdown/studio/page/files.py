"""Opening, saving and links. The folder is the one of the start; nothing is overwritten unasked."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from time import monotonic
from typing import Any, final

from nicegui import ui

from warmdown.errors import SpecError
from warmdown.importing.configs import format_of_text, parse_settings
from warmdown.schedules.base import PlainData
from warmdown.studio.draft.document import Draft, class_paths
from warmdown.studio.draft.files import opened, saved_text
from warmdown.studio.draft.links import from_link, to_fragment
from warmdown.studio.page.bring import build_facts, make_native, mistakes_shown, read_configuration
from warmdown.studio.page.parts import (
    Act,
    ask_in_dialog,
    copy_to_clipboard,
    marked,
    plain_button,
    tag,
)
from warmdown.studio.page.state import Studio
from warmdown.studio.security.folder import StaleFile, Stamp

_NAMED_FILE = re.compile(r"\b(?:_BASE_|deepspeed)[\"']?\s*:\s*[\"']?([\w.-]+)")
"""A file that a configuration is read with."""
_MOST_NAMED = 10
_MOMENT = 0.5
"""Seconds for which files are looked into before they are listed."""


@final
class PlanFiles:
    """Everything about files and links.

    Args:
        studio: The tab.
    """

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        self.folder = studio.app.folder
        self.place = self.folder.title

    async def open(self) -> None:
        """Ask which file, and show it."""
        names = self.folder.names()
        formats = await asyncio.to_thread(self._formats, names)
        with self._dialog("Open a plan", f"file-{names[0]}" if names else "close") as dialog:
            none = "" if names else ": none yet. Save one first."
            tag("p", f"Plans and configurations in {self.place}{none}", "small quiet")
            with tag("ul", classes="stack").style("list-style: none"):
                for name in names:
                    with tag("li"):
                        act = partial(self._open, name, dialog)
                        button = ui.button(name, icon="description", on_click=act, color=None)
                        button.props("flat no-caps align=left").style("width: 100%")
                        marked(button, f"file-{name}")
                        with button:
                            tag("span", formats.get(name, ""), "small quiet").style(
                                "margin-left: 1em"
                            )
            link = ui.input("Or paste a link")
            marked(link.props("outlined dense autocomplete=off"), "open-link")

            def follow() -> None:
                dialog.close()
                self.follow((link.value or "").strip())

            link.on("keydown.enter", follow)
            plain_button("Open the link", follow, mark="open-link-yes")

    async def open_named(self, name: str) -> None:
        """Show a file of the folder."""
        with mistakes_shown(self.studio):
            text, stamp = self.folder.read(name)
            await self._take(name, text, stamp)

    def begin(self, draft: Draft) -> None:
        """Show another plan; ask first where the one that is typed would be lost."""
        act = partial(self.studio.begin, draft)
        if self.studio.draft.is_empty or not self.studio.is_edited:
            act()
            return
        with self._dialog("This plan is not saved", "leave-save") as dialog:
            tag("p", "Save it before another one takes its place?")

            def leave(then: Act) -> None:
                dialog.close()
                then()

            save, throw_away = partial(leave, partial(self.save, act)), partial(leave, act)
            with tag("div", classes="line"):
                plain_button("Save", save, mark="leave-save").classes("main")
                plain_button("Throw away", throw_away, mark="leave-lose")
                plain_button("Cancel", dialog.close, mark="leave-cancel")

    def save(self, then: Act | None = None) -> None:
        """Save under the name it has, or ask for one; ``then`` follows when it is saved.

        A class is offered to be turned into a schedule that trains before.
        """
        if class_paths(self.studio.document):
            self._ask_about_classes(then)
        else:
            self._save(then)

    def _ask_about_classes(self, then: Act | None) -> None:
        with self._dialog("This plan cannot be trained yet", "native-save") as dialog:
            tag(
                "p",
                "It names a class of another library, which a plan file only looks at. Turned "
                "into a schedule of warmdown's own, the plan trains and has the same values.",
            )

            async def turn() -> None:
                dialog.close()
                if await make_native(self.studio):
                    self._save(then)

            def keep() -> None:
                dialog.close()
                self._save(then)

            with tag("div", classes="line"):
                plain_button("Turn it and save", turn, mark="native-save").classes("main")
                plain_button("Save as it is", keep, mark="save-class")
                plain_button("Cancel", dialog.close)

    def _save(self, then: Act | None = None) -> None:
        if self.studio.draft.file:
            self._write(self.studio.draft.file, self.studio.draft.stamp, then)
        else:
            self.save_as(then)

    def save_as(self, then: Act | None = None) -> None:
        """Ask for a name, and save."""
        with self._dialog("Save the plan", "save-name") as dialog:
            tag("p", f"In {self.place}, as .yaml or .json.", "small quiet")
            name = ui.input("File name", value=self.studio.draft.file or "plan.yaml")
            marked(name.props("outlined dense"), "save-name")

            def write() -> None:
                plain = (name.value or "").strip()
                try:
                    self.folder.stamp(plain)
                except SpecError as error:  # the dialog stays, with what was typed
                    name.error = str(error)
                    return
                dialog.close()
                # a file of that name was not opened here: it is asked about before it is
                # overwritten
                draft = self.studio.draft
                self._write(plain, draft.stamp if plain == draft.file else None, then)

            name.on("keydown.enter", write)
            with tag("div", classes="line"):
                plain_button("Save", write, mark="save-yes").classes("main")
                plain_button("Cancel", dialog.close)

    async def link(self) -> None:
        """Copy a link that carries the plan where no server sees it, and say where it opens."""
        host = self.studio.client.request.headers.get("host", "127.0.0.1")
        address = f"http://{host}/#{to_fragment(self.studio.document)}"
        await copy_to_clipboard(json.dumps(address), "Link copied.", " Copy it from the field.")
        with self._dialog("A link to this plan", "link-text"):
            text = ui.input("Link", value=address).props("outlined dense readonly")
            marked(text, "link-text")
            tag(
                "p",
                "The link carries the whole plan, and no way into this studio. In this browser it "
                "opens while the studio runs. In another browser, open the address from the "
                "terminal there first. On another machine, start a studio there, press Open and "
                "paste the link.",
            )

    def follow(self, link: str) -> None:
        """Show the plan of a link; one with a class of an unknown library is refused whole."""
        with mistakes_shown(self.studio):
            self.begin(Draft(from_link(link.partition("#")[2])))

    async def take_dropped(self, name: str, text: str) -> None:
        """Show what was dropped on the window, or pasted; a save asks for its name."""
        with mistakes_shown(self.studio):
            if not text:
                raise SpecError(
                    f"{name[:120]}: empty, or too large to be dropped or pasted. Put it into "
                    f"{self.place}: a plan opens from there, and “Predict the loss” shows logs."
                )
            await self._take(name, text)

    async def _open(self, name: str, dialog: ui.dialog) -> None:
        dialog.close()
        await self.open_named(name)

    async def _take(self, name: str, text: str, stamp: Stamp = None) -> None:
        if await asyncio.to_thread(format_of_text, text, name):
            await self._bring(name, text, {}, self._named_in(text) if stamp else {})
            return
        if name.endswith(".py"):
            parse_settings(name, text)  # it is refused, with the way out
        draft = opened(text, name, stamp)
        self.begin(draft if stamp else replace(draft, file=""))

    async def _bring(
        self, name: str, text: str, facts: PlainData, files: Mapping[str, str]
    ) -> None:
        """Show the plan of a configuration; what it leaves open is asked for."""
        try:
            draft = await read_configuration(self.studio, name, text, facts, files)
        except SpecError as error:
            again = partial(self._bring, name, text, files=files)
            self._ask_for_facts(name, facts, "\n".join(error.mistakes[:5]), again)
            return
        self.begin(draft)

    def _ask_for_facts(
        self, name: str, facts: PlainData, mistake: str, bring: Callable[[PlainData], Any]
    ) -> None:
        with self._dialog(f"{name[:80]} leaves something open", "fact-total_steps") as dialog:
            fields = build_facts(facts, mistake)

            async def again() -> None:
                dialog.close()
                given = {fact: field.value for fact, field in fields.items() if field.value}
                await bring(given)

            for field in fields.values():
                field.on("keydown.enter", again)
            with tag("div", classes="line"):
                plain_button("Read it with these", again, mark="facts-yes").classes("main")
                plain_button("Cancel", dialog.close)

    def _named_in(self, text: str) -> dict[str, str]:
        """Return the texts of the folder's files that a configuration of it names."""
        found: dict[str, str] = {}
        for name in _NAMED_FILE.findall(text)[:_MOST_NAMED]:
            with suppress(SpecError):
                found[name] = self.folder.read(name)[0]
        return found

    def _formats(self, names: Sequence[str]) -> dict[str, str]:
        """Return whose configuration each file is, for as many as can be read in a moment."""
        found, until = {}, monotonic() + _MOMENT
        for name in names:
            with suppress(SpecError):
                found[name] = format_of_text(self.folder.read(name)[0], name)
            if monotonic() > until:
                break
        return found

    def _write(self, name: str, expected: Stamp, then: Act | None = None) -> None:
        with mistakes_shown(self.studio):
            text = saved_text(self.studio.draft, name)
            try:
                stamp = self.folder.write(name, text, expected)
            except StaleFile:
                self._ask_to_overwrite(name, then, was_opened=expected is not None)
                return
            self.studio.saved_as(name, stamp, text)
            ui.notify(f"Saved {name}.", type="positive")
            if then:
                then()

    def _ask_to_overwrite(self, name: str, then: Act | None, was_opened: bool) -> None:
        """Ask before a file is overwritten that is not the one opened here."""
        what = "changed on disk" if was_opened else "is there already"
        with self._dialog(f"{name} {what}", "save-other") as dialog:
            why = "It is not the file that was opened here"
            why += ": someone or something wrote it since." if was_opened else "."
            tag("p", f"{why} Overwrite it, open what is there now, or save under another name.")

            def overwrite() -> None:
                dialog.close()
                self._write(name, self.folder.stamp(name), then)

            def other() -> None:
                dialog.close()
                self.save_as(then)

            with tag("div", classes="line"):
                plain_button("Overwrite", overwrite, mark="overwrite")
                plain_button("Open what is there", partial(self._open, name, dialog), mark="reopen")
                plain_button("Save as …", other, mark="save-other").classes("main")

    @contextmanager
    def _dialog(self, title: str, focus: str) -> Iterator[ui.dialog]:
        with ask_in_dialog(self.studio.client, title, "ask stack") as dialog:
            yield dialog
        self.studio.focus(focus)
