"""Small parts that the whole page shares: icons that say their name, headed cards, lines of choices."""

from __future__ import annotations

__all__ = [
    "card",
    "heading",
    "icon_button",
    "marked",
    "menu_item",
    "paragraph",
    "plain_button",
    "spark",
    "tag",
]

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from nicegui import ui
from nicegui.element import Element


def tag(name: str, text: str = "", classes: str = "", **attributes: str) -> Element:
    """Return an element of plain HTML; its text is shown as text, whatever it holds."""
    element = ui.element(name).classes(classes)
    if text:
        element._text = text
    for attribute, value in attributes.items():
        element.props[attribute.replace("_", "-")] = value
    return element


def heading(level: int, text: str, classes: str = "") -> Element:
    """Return a heading."""
    return tag(f"h{level}", text, classes)


def paragraph(text: str, classes: str = "") -> Element:
    """Return a paragraph."""
    return tag("p", text, classes)


@contextmanager
def card(title: str, mark: str) -> Iterator[Element]:
    """Open a headed section; what is made inside the block stands under its heading."""
    with tag("section", classes="card", aria_labelledby=f"head-{mark}"):
        with tag("div", classes="head") as head:
            heading(2, title).props["id"] = f"head-{mark}"
        yield head


def icon_button(icon: str, says: str, act: Callable[[], Any], mark: str = "") -> ui.button:
    """Return a button that shows an icon and says what it does."""
    button = ui.button(icon=icon, on_click=act, color=None).props("flat dense").classes("icon")
    button.props["aria-label"] = says
    with button:
        ui.tooltip(says).props("delay=400")
    return marked(button, mark) if mark else button


def plain_button(
    text: str, act: Callable[[], Any], icon: str | None = None, mark: str = ""
) -> ui.button:
    """Return a button with a text."""
    button = (
        ui.button(text, icon=icon, on_click=act, color=None)
        .props("flat dense no-caps")
        .classes("edge")
    )
    button.style("padding: 4px 10px")
    return marked(button, mark) if mark else button


def menu_item(text: str, act: Callable[[], Any], mark: str = "") -> ui.menu_item:
    """Return an item of a menu, which is told as one."""
    item = ui.menu_item(text, act)
    item.props["role"] = "menuitem"  # the framework's own role belongs to lists
    return marked(item, mark) if mark else item


def marked(element: Any, mark: str) -> Any:
    """Give an element a name by which the focus finds it again after the page was built anew; tests find it too."""
    element.props["data-mark"] = mark
    return element.mark(mark)


def spark(path: str) -> Element:
    """Return a small picture of a curve; ``path`` is made from numbers alone."""
    svg = tag(
        "svg", classes="spark", viewBox="0 0 100 32", preserveAspectRatio="none", aria_hidden="true"
    )
    with svg:
        tag("path", d=path)
    return svg
