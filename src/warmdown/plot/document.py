"""A figure as a document with real text: SVG and PDF."""

from __future__ import annotations

import io
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SETTINGS_LOCK = threading.Lock()
"""matplotlib has one set of settings for the process: two threads that change them at the same time
restore each other's."""


def element_of(document: str) -> str:
    """Return the SVG element of a document."""
    return document[document.index("<svg ") :]


def document_of(picture: Figure) -> str:
    """Return any figure as an SVG document with real text; equal figures are equal documents."""
    import matplotlib

    # identifiers and dates do not differ from one drawing to the next
    settings: dict[Any, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": "warmdown",
        "font.family": ["DejaVu Sans"],
    }
    dates: dict[str, Any] = {"Date": None, "Creator": None, "Format": None, "Type": None}
    document = io.StringIO()
    with _SETTINGS_LOCK, matplotlib.rc_context(settings):
        picture.savefig(document, format="svg", metadata=dates)
    return document.getvalue().replace("'DejaVu Sans'", "'DejaVu Sans', Verdana, sans-serif")


def pdf_of(picture: Figure) -> bytes:
    """Return any figure as a PDF document; equal figures are equal documents."""
    import matplotlib

    # letters as outlines of a font that the document brings: journals refuse bitmap fonts
    settings: dict[Any, Any] = {"pdf.fonttype": 42, "font.family": ["DejaVu Sans"]}
    dates: dict[str, Any] = {"CreationDate": None, "Creator": None, "Producer": None}
    document = io.BytesIO()
    with _SETTINGS_LOCK, matplotlib.rc_context(settings):
        picture.savefig(document, format="pdf", metadata=dates)
    return document.getvalue()
