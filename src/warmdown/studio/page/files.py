"""Opening and saving in the folder the studio was started in, and links; nothing is overwritten unasked."""

from __future__ import annotations

__all__ = ["Files"]

import json
from functools import partial
from typing import Any, final

from nicegui import ui

from warmdown.errors import SpecError
from warmdown.studio.draft.opening import opened
from warmdown.studio.draft.stored import from_fragment, to_fragment
from warmdown.studio.page.asking import needs_yes
from warmdown.studio.page.parts import heading, icon_button, marked, paragraph, plain_button, tag
from warmdown.studio.page.state import Studio
from warmdown.studio.preview.export import as_json, as_yaml
from warmdown.studio.security.folder import StaleFile, Stamp


@final
class Files:
    """What has to do with files and links.

    Args:
        studio: The tab.
    """

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        self.folder = studio.launch.folder

    def open(self) -> None:
        """Ask which file, and show it."""
        names = self.folder.names()
        with _dialog(
            self.studio, "Open a plan", f"file-{names[0]}" if names else "close"
        ) as dialog:
            where = f"Plan files in {self.folder.path.name or self.folder.path}"
            paragraph(where if names else f"{where}: none yet. Save one first.", "small quiet")
            with tag("ul", classes="stack").style("list-style: none"):
                for name in names:
                    with tag("li"):
                        button = ui.button(
                            name,
                            icon="description",
                            on_click=partial(self._open, name, dialog),
                            color=None,
                        )
                        marked(
                            button.props("flat no-caps align=left").style("width: 100%"),
                            f"file-{name}",
                        )

    def save(self) -> None:
        """Save under the name it has, or ask for one."""
        if self.studio.file:
            self._write(self.studio.file, self.studio.stamp)
        else:
            self.save_as()

    def save_as(self) -> None:
        """Ask for a name, and save."""
        with _dialog(self.studio, "Save the plan", "save-name") as dialog:
            paragraph(
                f"In {self.folder.path.name or self.folder.path}, as .yaml or .json.", "small quiet"
            )
            name = ui.input("File name", value=self.studio.file or "plan.yaml").props(
                "outlined dense"
            )
            marked(name, "save-name")

            def write() -> None:
                dialog.close()
                plain = (name.value or "").strip()
                # a file of that name was not opened here: it is asked about before it is
                # overwritten
                self._write(plain, self.studio.stamp if plain == self.studio.file else Stamp(None))

            name.on("keydown.enter", write)
            with tag("div", classes="line"):
                plain_button("Save", write, mark="save-yes").classes("main")
                plain_button("Cancel", dialog.close)

    async def link(self) -> None:
        """Copy a link that carries the plan where no server sees it."""
        fragment = json.dumps(f"#{to_fragment(self.studio.draft)}")
        done = await ui.run_javascript(f"warmdown.copy(location.origin + '/' + {fragment})")
        ui.notify(
            "Link copied: it carries the plan itself."
            if done
            else "The browser did not let it be copied."
        )

    def follow(self, fragment: str) -> bool:
        """Show the plan of a link; one that names a class outside the known libraries is refused whole."""
        try:
            draft = from_fragment(fragment)
        except SpecError as error:
            _say(error)
            return False
        if foreign := [path for path in draft.foreign() if path and needs_yes(path)]:
            ui.notify(
                f"This link names a class that is not of a known library: {foreign[0][:80]}. Links "
                f"may not do that; "
                "type the class here if you trust it.",
                type="negative", multi_line=True, timeout=0, close_button="Close",
            )  # fmt: skip
            return False
        self.studio.begin(draft)
        return True

    def _open(self, name: str, dialog: ui.dialog) -> None:
        dialog.close()
        try:
            file = self.folder.read(name)
            draft = opened(file.text, is_json=name.lower().endswith(".json"))
        except SpecError as error:
            _say(error)
            return
        self.studio.begin(draft, name, file.stamp)

    def _write(self, name: str, expected: Stamp) -> None:
        studio = self.studio
        text = as_json(studio.draft) if name.lower().endswith(".json") else as_yaml(studio.draft)
        try:
            stamp = self.folder.write(name, text, expected)
        except StaleFile:
            self._ask(name)
            return
        except SpecError as error:
            _say(error)
            return
        studio.saved_as(name, stamp)
        ui.notify(f"Saved {name}.", type="positive")

    def _ask(self, name: str) -> None:
        """Ask before a file is overwritten that is not the one opened here."""
        with _dialog(self.studio, f"{name} changed on disk", "save-other") as dialog:
            paragraph(
                "It is not the file that was opened here: someone or something wrote it since. "
                "Overwrite it, open what is there now, or save under another name."
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


class _dialog:
    """A dialog with a title, open until it is closed, gone afterwards; the keyboard's focus goes to what is marked."""

    def __init__(self, studio: Studio, title: str, mark: str) -> None:
        self.studio = studio
        self.title = title
        self.mark = mark

    def __enter__(self) -> ui.dialog:
        with (
            self.studio.client
        ):  # and not in the dialog that asks for it, which takes what it holds with it
            self.dialog = ui.dialog()
        self.dialog.props["aria-label"] = self.title
        self.dialog.on("hide", self.dialog.delete)
        self.dialog.__enter__()
        self.card = ui.card().classes("ask stack")
        self.card.__enter__()
        with tag("div", classes="line"):
            heading(2, self.title, "grow")
            icon_button("close", "Close", self.dialog.close, "close")
        return self.dialog

    def __exit__(self, *error: Any) -> None:
        self.card.__exit__(*error)
        self.dialog.__exit__(*error)
        self.dialog.open()
        self.studio.focus(self.mark)


def _say(error: SpecError) -> None:
    text = "\n".join(error.mistakes[:5])
    ui.notify(text, type="negative", multi_line=True, timeout=0, close_button="Close")
