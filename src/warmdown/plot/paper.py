"""The figure that a notebook shows without pyplot."""

from __future__ import annotations

from matplotlib.figure import Figure

from warmdown.plot.document import document_of, element_of


class Picture(Figure):
    """A matplotlib figure like any other; a notebook shows it as SVG."""

    def _repr_html_(self) -> str:
        return f'<div style="max-width: 48rem">{element_of(document_of(self))}</div>'
