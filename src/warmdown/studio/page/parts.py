"""Small parts that the whole page shares: tags, buttons with a name, headed cards."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias, TypeVar

from nicegui import ui
from nicegui.element import Element

from warmdown.studio.draft.wording import in_words

AnyElement = TypeVar("AnyElement", bound=Element)
Act: TypeAlias = Callable[[], Any]
"""What a press, an event or a change of the draft calls."""


def tag(name: str, text: str = "", classes: str = "", **attributes: str) -> Element:
    """Return an element of plain HTML; its text is shown as text, whatever it holds."""
    element = ui.element(name).classes(classes)
    if text:
        element._text = text
    for attribute, value in attributes.items():
        element.props[attribute.replace("_", "-")] = value
    return element


def set_text(element: Element, text: str) -> None:
    """Show another text; the same text is not sent again."""
    if element._text != text:
        element._text = text
        element.update()


@contextmanager
def card(title: str, mark: str) -> Iterator[Element]:
    """Open a headed section; what is made inside the block stands under its heading."""
    with tag("section", classes="card", aria_labelledby=f"head-{mark}"):
        with tag("div", classes="head") as head:
            tag("h2", title, id=f"head-{mark}")
        yield head


@contextmanager
def top_bar(page: str = "") -> Iterator[Element]:
    """Open the bar at the top: the sign, and the name of the page."""
    with tag("header", classes="top") as bar:
        with tag("svg", classes="mark", viewBox="0 0 32 32", aria_hidden="true"):
            tag("path", d="M3 27 L9 7 C17 7 17 25 29 26", fill="none", stroke="currentColor",
                stroke_width="3", stroke_linecap="round", stroke_linejoin="round")  # fmt: skip
        with tag("h1"):
            tag("span", "warmdown")
            tag("span", f" studio{page}", "long")
        tag("span", classes="split")
        yield bar


def theme_button(act: Callable[[bool], Any]) -> Callable[[bool], None]:
    """Build the button that changes the colours; return what shows dark or light ones."""
    dark_mode = ui.dark_mode()

    def show(is_dark: bool) -> None:
        dark_mode.value = is_dark
        button.props["icon"] = "light_mode" if is_dark else "dark_mode"
        button.props["aria-label"] = "Light colours" if is_dark else "Dark colours"
        act(is_dark)

    button = icon_button("dark_mode", "Dark colours", lambda: show(not dark_mode.value), "theme")
    return show


def icon_button(icon: str, name: str, act: Act, mark: str = "") -> ui.button:
    """Return a button that shows an icon; its name is what it does."""
    button = ui.button(icon=icon, on_click=act, color=None).props("flat dense").classes("icon")
    button.props["aria-label"] = button.props["data-help"] = name
    return marked(button, mark)


def slider(mark: str, name: str, most: str, step: str, act: Callable[[Any], Any]) -> Element:
    """Return the browser's own slider: the framework's cannot be focused where its role is."""
    # as an attribute: as a property it would go back whenever the page is drawn again
    place = {"min": "0", "max": most, "step": step, "^value": "0"}
    element = tag("input", type="range", aria_label=name, **place)
    emit_value = "(event) => emit(event.target.value)"
    element.on("input", act, js_handler=emit_value, throttle=0.05)
    return marked(element, mark)


def plain_button(text: str, act: Act, icon: str | None = None, mark: str = "") -> ui.button:
    """Return a button with a text."""
    button = ui.button(text, icon=icon, on_click=act, color=None)
    button.props("flat dense no-caps").classes("edge").style("padding: 4px 10px")
    return marked(button, mark)


def log_button(act: Callable[[bool], Any]) -> ui.button:
    """Return the switch of the logarithmic axis."""

    def toggle() -> None:
        is_log = button.props["aria-pressed"] == "false"
        show_pressed(button, is_log)
        act(is_log)

    button = ui.button("Log", on_click=toggle, color=None).props("flat dense no-caps")
    button.classes("edge").props["aria-label"] = "Logarithmic values"
    show_pressed(button, False)
    return marked(button, "log")


def show_pressed(button: ui.button, is_pressed: bool) -> None:
    """Show whether a switch is on, to those who do not see it too."""
    button.props["aria-pressed"] = "true" if is_pressed else "false"
    button.classes(add="main") if is_pressed else button.classes(remove="main")


def menu_item(text: str, act: Act, mark: str = "") -> ui.menu_item:
    """Return an item of a menu."""
    item = ui.menu_item(text, act)
    item.props["role"] = "menuitem"  # the framework's own role belongs to lists
    return marked(item, mark)


def marked(element: AnyElement, mark: str) -> AnyElement:
    """Name an element, so that the focus finds it after the page was built again; tests do too."""
    if mark:
        element.props["data-mark"] = mark
        element.mark(mark)
    return element


@contextmanager
def ask_in_dialog(client: Any, title: str, classes: str) -> Iterator[ui.dialog]:
    """Open a dialog: a card with a title and a way out; it is deleted when it is closed."""
    _dismiss_errors(client)
    with client:  # and not in the dialog that asks for it, which takes its parts with it
        dialog = ui.dialog()
    dialog.props["aria-label"] = title
    dialog.on("hide", dialog.delete)
    with dialog, ui.card().classes(classes):
        with tag("div", classes="line head"):
            tag("h2", title, "grow")
            icon_button("close", "Close", dialog.close, "close")
        yield dialog
    dialog.open()


def show_error(text: str) -> None:
    """Show what is wrong until it is closed or a person goes on; the page stays as it is."""
    _dismiss_errors(ui.context.client)
    words = "\n".join(in_words(line) for line in text.splitlines())
    ui.notification(words, type="negative", multi_line=True, timeout=None, close_button="Close")


def _dismiss_errors(client: Any) -> None:
    """Take away what was shown to be wrong: it would lie over the buttons of a dialog."""
    for element in [*client.elements.values()]:
        if isinstance(element, ui.notification):
            element.dismiss()


async def copy_to_clipboard(expression: str, done: str, way_out: str = "") -> None:
    """Copy the text of an expression of the browser's, and notify whether that was allowed."""
    is_copied = await ui.run_javascript(f"warmdown.copy({expression})")
    ui.notify(done if is_copied else f"The browser did not let it be copied.{way_out}")


def spark(path: str) -> Element:
    """Return a small picture of a curve; ``path`` is made from numbers alone."""
    svg = tag(
        "svg", classes="spark", viewBox="0 0 100 32", preserveAspectRatio="none", aria_hidden="true"
    )
    with svg:
        tag("path", d=path)
    return svg


def table_place() -> Element:
    """Return an empty place for a table, which the keyboard can scroll."""
    return tag("div", classes="scroll", tabindex="0", role="region", aria_label="Table of values")


def build_table(
    mark: str, heads: Iterable[str], rows: Iterable[Iterable[str]], wide: str, caption: str = ""
) -> None:
    """Build a table; the first text of a row names it, and the column ``wide`` holds words."""
    columns = [(head, "what" if head == wide else "") for head in heads]
    with marked(tag("table", classes="values"), mark):
        if caption:
            tag("caption", caption)
        with tag("thead"), tag("tr"):
            for head, classes in columns:
                tag("th", head, classes, scope="col")
        with tag("tbody"):
            for first, *others in rows:
                with tag("tr"):
                    tag("th", first, columns[0][1], scope="row")
                    for text, (_, classes) in zip(others, columns[1:], strict=True):
                        tag("td", text, classes)
