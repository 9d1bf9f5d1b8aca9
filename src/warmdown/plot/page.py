"""The picture as a file: SVG, PDF, PNG, and a page that needs nothing else."""

from __future__ import annotations

__all__ = ["html", "notebook", "save", "svg", "svg_of"]

import io
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from warmdown.errors import MissingExtra, RunError, ScheduleError, printable
from warmdown.files import write_whole
from warmdown.formatting import count, number
from warmdown.plan import Plan
from warmdown.plot.document import document_of, element_of, pdf_of
from warmdown.plot.picture import draw_view, figure
from warmdown.plot.summary import summary, table_of
from warmdown.plot.theme import DARK, LIGHT
from warmdown.plot.view import MANY_PHASES, Drawable, Panel, View, ViewOptions, view
from warmdown.record import Record
from warmdown.schedules import Scale, Schedule, Set


def svg(
    plan: Drawable,
    *,
    log: bool = False,
    dark: bool = False,
    title: str = "",
    **options: Unpack[ViewOptions],
) -> str:
    """Return the picture of :func:`figure` as an SVG document with real text.

    Equal pictures are equal documents.

    Args:
        plan: A plan, a schedule, a record, or several of them by name.
        log: Whether values stand on a logarithmic axis.
        dark: Whether the paper is dark.
        title: Above the picture.
        options: ``run``, ``record`` and ``groups``, as :func:`warmdown.plot.view` takes them.

    Example:
        >>> from warmdown import Cosine, Run
        >>> svg(Cosine(), run=Run(total_steps=100)).startswith("<?xml")
        True
    """
    return svg_of(view(plan, **options), log=log, dark=dark, title=title)


def html(
    plan: Drawable,
    *,
    log: bool = False,
    title: str = "",
    **options: Unpack[ViewOptions],
) -> str:
    """Return a page with the picture, its description in words, and its numbers.

    It loads no other file and runs no script.

    Args:
        plan: A plan, a schedule, a record, or several of them by name.
        log: Whether values stand on a logarithmic axis.
        title: Heading of the page.
        options: ``run``, ``record`` and ``groups``, as :func:`warmdown.plot.view` takes them.

    Example:
        >>> from warmdown import Cosine, Run
        >>> page = html(Cosine(), run=Run(total_steps=100), title="Half a wave")
        >>> "<h1>Half a wave</h1>" in page, "<script" in page
        (True, False)
    """
    scene = view(plan, **options)
    return _page(scene, title or _title(scene), log=log)


def save(plan: Drawable, path: str | Path, **how: Any) -> Path:
    """Write the picture to a file; it is there as a whole or not at all.

    Args:
        plan: A plan, a schedule, a record, or several of them by name.
        path: Ends in ``.png``, ``.svg``, ``.pdf`` or ``.html``.
        how: What :func:`figure`, :func:`svg` or :func:`html` take.

    Returns:
        The path.

    Raises:
        ScheduleError: The ending is none of these.
        MissingExtra: matplotlib is not installed.
    """
    path = Path(path)
    write = _WRITERS.get(path.suffix.lower())
    if write is None:
        raise ScheduleError(
            f"save(path={str(path)!r}): not a kind of picture. Use one of {', '.join(_WRITERS)}."
        )
    write_whole(path, write(plan, **how))
    return path


def notebook(given: Drawable) -> str | None:
    """Return what a notebook shows, or ``None`` when there is no picture: then its text is shown.

    Example:
        >>> from warmdown import Cosine
        >>> "<svg" in notebook(Cosine()), Cosine()._repr_html_() == notebook(Cosine())
        (True, True)
    """
    try:
        scene = view(given)
        document = svg_of(scene)
    except (MissingExtra, ScheduleError, RunError):
        return None
    text = (scene.text or summary(scene)) if isinstance(given, View) else repr(given)
    element = element_of(document)
    return f'<div style="max-width: 48rem">{element}<pre>{_markup(text)}</pre></div>'


def notebook_dict(given: Mapping[Any, Any]) -> str | None:
    """Return what a notebook shows of a ``dict``: ``None`` unless all its values can be drawn."""
    drawn = (Plan, Schedule, Scale, Set, Record)
    is_drawn = bool(given) and all(isinstance(value, drawn) for value in given.values())
    return notebook(given) if is_drawn else None


def svg_of(
    scene: View, *, log: bool = False, dark: bool = False, title: str = "", width: float = 8.0
) -> str:
    """Return the SVG document of a view, with a title and a description for screen readers."""
    document = document_of(draw_view(scene, log=log, dark=dark, title=title, width=width))
    declaration, _, _ = document.partition("<!DOCTYPE")
    tag, _, content = element_of(document).partition(">")
    title = _markup(title or _title(scene))
    texts = f"<title>{title}</title>\n <desc>{_markup(summary(scene))}</desc>"
    return f'{declaration}{tag} role="img" aria-label="{title}">\n {texts}{content}'


def png_bytes(plan: Drawable, **how: Any) -> bytes:
    """Return the picture of :func:`figure` as a PNG file."""
    content = io.BytesIO()
    figure(plan, **how).savefig(content, format="png")
    return content.getvalue()


def pdf_bytes(plan: Drawable, **how: Any) -> bytes:
    """Return the picture of :func:`figure` as a PDF file with real text."""
    return pdf_of(figure(plan, **how))


def svg_bytes(plan: Drawable, **how: Any) -> bytes:
    """Return the picture of :func:`svg` as a file."""
    return svg(plan, **how).encode()


_WRITERS: Mapping[str, Callable[..., bytes | str]] = {
    ".png": png_bytes,
    ".svg": svg,
    ".pdf": pdf_bytes,
    ".html": html,
}


def _inline(document: str) -> str:
    """Return the SVG element alone, as wide as its place, with the reader's colour scheme."""
    # without a size of its own it is as wide as its place
    element = re.sub(r'width="[\d.]+pt" height="[\d.]+pt"', "", element_of(document), count=1)
    return element.replace("</title>", f"</title>\n <style>{_dark_rules()}</style>", 1)


def _dark_rules() -> str:
    # matplotlib writes each colour into a style attribute, where only a rule by its text finds it
    names = ("paper", "ink", "quiet", "grid")
    pairs = [(getattr(LIGHT, name), getattr(DARK, name)) for name in names]
    pairs += zip((*LIGHT.lines, *LIGHT.tints), (*DARK.lines, *DARK.tints), strict=True)
    rules = (
        f'svg [style*="{kind}: {light}"]{{{kind}:{dark} !important}}'
        for light, dark in pairs
        for kind in ("fill", "stroke")
    )
    return f"@media (prefers-color-scheme: dark){{{''.join(rules)}}}"


_STYLE = f"""
:root {{ color-scheme: light dark; --paper: {LIGHT.paper}; --ink: {LIGHT.ink};
  --quiet: {LIGHT.quiet}; --grid: {LIGHT.grid}; }}
@media (prefers-color-scheme: dark) {{
  :root {{ --paper: {DARK.paper}; --ink: {DARK.ink};
  --quiet: {DARK.quiet}; --grid: {DARK.grid}; }} }}
body {{ background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif;
  max-width: 56rem; margin: 2rem auto; padding: 0 1rem; }}
h1 {{ font-size: 1.5rem; }}
h2 {{ font-size: 1.1rem; margin-top: 2rem; }}
svg {{ width: 100%; min-width: 36rem; height: auto; }}
.wide {{ overflow-x: auto; margin: 0; }}
pre {{ white-space: pre-wrap; }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; }}
caption {{ text-align: left; color: var(--quiet); padding-bottom: .4rem; }}
th, td {{ padding: .25rem .9rem .25rem 0; border-bottom: 1px solid var(--grid); text-align: left; }}
.number {{ text-align: right; white-space: nowrap; }}
"""


def _page(scene: View, title: str, *, log: bool) -> str:
    if scene.text:
        words = f"<pre>{_markup(scene.text)}</pre>"
    else:
        paragraphs = summary(scene).split("\n\n")
        words = "\n".join(f"<p>{_markup(text)}</p>" for text in paragraphs)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{_markup(title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<main>
<h1>{_markup(title)}</h1>
<figure class="wide" tabindex="0" role="group" aria-label="Picture">
{_inline(svg_of(scene, log=log))}
</figure>
<h2>In words</h2>
{words}
{_tables(scene)}
</main>
</body>
</html>
"""


def _title(scene: View) -> str:
    if scene.title:
        return scene.title
    labels = list(dict.fromkeys(line.label for line in scene.lines))
    shown = ", ".join(labels[:4])
    if len(labels) > 4:
        shown += " …"
    return f"{shown} over {count(scene.stop)} {scene.x}"


def _tables(scene: View) -> str:
    if not scene.text:
        return f"<h2>Phases</h2>\n{_phase_table(scene)}\n<h2>Values</h2>\n{_value_table(scene)}"
    tables = [
        html_table(caption, heads, rows, len(heads))
        for caption, (heads, rows) in scene.tables.items()
    ]
    tables += [_point_table(panel, scene.x) for panel in scene.panels]
    return "\n".join(["<h2>Values</h2>", *tables])


def _phase_table(scene: View) -> str:
    rows = []
    for line in scene.lines:
        for phase in line.phases[:MANY_PHASES]:
            ends = phase.start, phase.until(line.stop)
            values = (number(line.at(end)) for end in ends)
            rows.append([line.label, phase.name, *map(count, ends), *values])
    if not rows:
        return "<p>No phase has a name.</p>"
    caption = f"Named stretches, in {scene.x}; the last of each is the one before “to”."
    heads = ["target", "phase", "from", "to", "value from", "value to"]
    return html_table(caption, heads, rows, numbers_from=2)


def _value_table(scene: View) -> str:
    moments = table_of(scene, extra=(round(scene.stop * tenth / 10) for tenth in range(11)))
    labels = [line.label for line in scene.lines]
    rows = [
        [count(moment.step), moment.what, *(number(moment.values[label], 6) for label in labels)]
        for moment in moments
    ]
    caption = (
        "Where something happens, and every tenth of the way; beside step k stands what update k "
        "uses."
    )
    return html_table(caption, ["step", "what happens", *labels], rows, numbers_from=2)


def _point_table(panel: Panel, x: str) -> str:
    """Return a dozen points of each line, with its band."""
    rows = []
    for line in panel.lines:
        for index in np.unique(np.linspace(0, line.steps.size - 1, 12).astype(int)):
            point = line.steps[index], line.values[index]
            edges = [edge[index] for edge in (line.low, line.high) if edge is not None]
            rows.append([line.label, *map(number, point), " … ".join(map(number, edges))])
    heads = ["curve", x, panel.unit, "band"]
    return html_table(f"Points of {panel.unit}", heads, rows, numbers_from=1)


def html_table(caption: str, heads: list[str], rows: Iterable[list[str]], numbers_from: int) -> str:
    """Return a table that a screen reader can follow; where it is too wide, it scrolls."""
    caption = _markup(caption)
    head = _table_row(heads, numbers_from, 'th scope="col"', 'th scope="col"')
    body = "\n".join(_table_row(row, numbers_from, 'th scope="row"', "td") for row in rows)
    return (
        f'<div class="wide" tabindex="0" role="group" aria-label="{caption}">\n'
        f"<table>\n<caption>{caption}</caption>\n"
        f"<thead>{head}</thead>\n<tbody>\n{body}\n</tbody>\n</table></div>"
    )


def _table_row(cells: list[str], numbers_from: int, first: str, other: str) -> str:
    parts = []
    for index, text in enumerate(cells):
        tag = other if index else first
        kind = ' class="number"' if index >= numbers_from else ""
        parts.append(f"<{tag}{kind}>{_markup(text)}</{tag[:2]}>")
    return f"<tr>{''.join(parts)}</tr>"


def _markup(text: str) -> str:
    r"""Return a text as HTML and SVG show it, whatever is in it.

    Example:
        >>> _markup("<b>\x1b[2J")
        '&lt;b&gt;\\x1b[2J'
    """
    from html import escape  # loads a table of every entity

    return escape(printable(text))
