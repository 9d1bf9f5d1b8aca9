"""The picture as a file: SVG, PNG, and a page that needs nothing else."""

from __future__ import annotations

__all__ = ["html", "notebook", "save", "svg", "svg_of"]

import io
import re
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from warmdown.errors import MissingExtra, RunError, ScheduleError
from warmdown.files import write_whole
from warmdown.plan import Plan
from warmdown.plot.formatting import count, number
from warmdown.plot.groups import Groups
from warmdown.plot.picture import drawn, figure
from warmdown.plot.summary import summary_of, table_of, value_at
from warmdown.plot.theme import DARK, LIGHT, Look
from warmdown.plot.view import MANY_PHASES, Drawable, Line, View, view
from warmdown.printable import markup
from warmdown.record import Record
from warmdown.run import Run
from warmdown.schedules import Phase, Schedule

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_ONE_AT_A_TIME = threading.Lock()
"""matplotlib keeps the settings of SVG for the whole process."""


def svg(
    plan: Drawable,
    *,
    run: Run | None = None,
    log: bool = False,
    groups: Groups | None = None,
    dark: bool = False,
    record: Record | None = None,
    title: str = "",
) -> str:
    """Return the picture of :func:`figure` as an SVG document whose texts are texts; equal pictures are equal texts.

    Args:
        plan: A plan, a schedule, a record, or several of them by name.
        run: Facts about the run, when the plan has none.
        log: Whether values stand on a logarithmic axis.
        groups: Base values of each parameter group.
        dark: Whether the paper is dark.
        record: What was really written, drawn beside the plan.
        title: Above the picture.

    Example:
        >>> from warmdown import Cosine, Run
        >>> svg(Cosine(), run=Run(total_steps=100)).startswith("<?xml")
        True
    """
    scene = view(plan, run=run, record=record, groups=groups)
    return svg_of(scene, log=log, look=DARK if dark else LIGHT, title=title)


def html(
    plan: Drawable,
    *,
    run: Run | None = None,
    log: bool = False,
    groups: Groups | None = None,
    record: Record | None = None,
    title: str = "",
) -> str:
    """Return a page with the picture, what it shows in words, and its numbers; it loads nothing and runs nothing.

    Args:
        plan: A plan, a schedule, a record, or several of them by name.
        run: Facts about the run, when the plan has none.
        log: Whether values stand on a logarithmic axis.
        groups: Base values of each parameter group.
        record: What was really written, drawn beside the plan.
        title: Heading of the page.

    Example:
        >>> from warmdown import Cosine, Run
        >>> page = html(Cosine(), run=Run(total_steps=100), title="Half a wave")
        >>> "<h1>Half a wave</h1>" in page, "<script" in page
        (True, False)
    """
    scene = view(plan, run=run, record=record, groups=groups)
    return _page(scene, title or _title(scene), log=log)


def save(plan: Drawable, path: str | Path, **how: Any) -> Path:
    """Write the picture to a file; it is there as a whole or not at all.

    Args:
        plan: A plan, a schedule, a record, or several of them by name.
        path: Ends in ``.png``, ``.svg`` or ``.html``.
        how: What :func:`figure`, :func:`svg` or :func:`html` take.

    Returns:
        The path.

    Raises:
        ScheduleError: The ending is none of these.
        MissingExtra: matplotlib is not installed.
    """
    path = Path(path)
    if path.suffix.lower() not in _WRITERS:
        raise ScheduleError(
            f"save(path={str(path)!r}): not a kind of picture. Use one of {', '.join(_WRITERS)}."
        )
    write_whole(path, _WRITERS[path.suffix.lower()](plan, **how))
    return path


def notebook(plan: Plan | Schedule) -> str | None:
    """Return what a notebook shows for a plan or a schedule, or ``None`` when there is no picture: then its text shows.

    Example:
        >>> from warmdown import Cosine
        >>> "<svg" in notebook(Cosine()), Cosine()._repr_html_() == notebook(Cosine())
        (True, True)
    """
    try:
        scene = view(plan)
        document = svg_of(scene)
    except (MissingExtra, ScheduleError, RunError):
        return None
    return f'<div style="max-width: 48rem">{document[document.index("<svg ") :]}<pre>{markup(repr(plan))}</pre></div>'


def svg_of(
    scene: View, *, log: bool = False, look: Look = LIGHT, title: str = "", width: float = 8.0
) -> str:
    """Return the SVG document of a view."""
    document = document_of(drawn(scene, log=log, look=look, title=title, width=width))
    return _spoken(document, title or _title(scene), summary_of(scene))


def document_of(picture: Figure) -> str:
    """Return any figure as an SVG document whose texts are texts; equal figures are equal documents."""
    import matplotlib

    # identifiers and dates do not differ from one drawing to the next
    settings: dict[Any, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": "warmdown",
        "font.family": ["DejaVu Sans"],
    }
    dates: dict[str, Any] = {"Date": None, "Creator": None, "Format": None, "Type": None}
    document = io.StringIO()
    with _ONE_AT_A_TIME, matplotlib.rc_context(settings):
        picture.savefig(document, format="svg", metadata=dates)
    return document.getvalue().replace("'DejaVu Sans'", "'DejaVu Sans', Verdana, sans-serif")


def _png(plan: Drawable, **how: Any) -> bytes:
    page = io.BytesIO()
    figure(plan, **how).savefig(page, format="png")
    return page.getvalue()


_WRITERS: Mapping[str, Callable[..., bytes]] = {
    ".png": _png,
    ".svg": lambda plan, **how: svg(plan, **how).encode(),
    ".html": lambda plan, **how: html(plan, **how).encode(),
}


def _spoken(document: str, title: str, description: str) -> str:
    """Give the document a title and a description, for those who hear it."""
    document = re.sub(r"<!DOCTYPE[^>]*>\n?", "", document, count=1)
    told = f"<title>{markup(title)}</title>\n <desc>{markup(description)}</desc>"
    opening = re.search(r"<svg [^>]*>", document, flags=re.DOTALL)
    assert opening is not None
    spoken = opening[0][:-1] + f' role="img" aria-label="{markup(title)}">\n {told}'
    return document[: opening.start()] + spoken + document[opening.end() :]


def _inline(document: str) -> str:
    """Return the SVG element alone, as wide as its place, turning dark where the reader's screen is."""
    element = document[document.index("<svg ") :]
    element = re.sub(r'width="[\d.]+pt" height="[\d.]+pt"', "", element, count=1)
    return element.replace("</title>", f"</title>\n <style>{_dark_rules()}</style>", 1)


def _dark_rules() -> str:
    pairs = [
        (LIGHT.paper, DARK.paper),
        (LIGHT.ink, DARK.ink),
        (LIGHT.quiet, DARK.quiet),
        (LIGHT.grid, DARK.grid),
    ]
    pairs += [
        *zip(LIGHT.lines, DARK.lines, strict=True),
        *zip(LIGHT.tints, DARK.tints, strict=True),
    ]
    rules = (
        f'svg [style*="{kind}: {light}"]{{{kind}:{dark} !important}}'
        for light, dark in pairs
        for kind in ("fill", "stroke")
    )
    return f"@media (prefers-color-scheme: dark){{{''.join(rules)}}}"


_STYLE = f"""
:root {{ color-scheme: light dark; --paper: {LIGHT.paper}; --ink: {LIGHT.ink}; --quiet: {LIGHT.quiet};
  --grid: {LIGHT.grid}; }}
@media (prefers-color-scheme: dark) {{
  :root {{ --paper: {DARK.paper}; --ink: {DARK.ink}; --quiet: {DARK.quiet}; --grid: {DARK.grid}; }} }}
body {{ background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif;
  max-width: 56rem; margin: 2rem auto; padding: 0 1rem; }}
h1 {{ font-size: 1.5rem; }}
h2 {{ font-size: 1.1rem; margin-top: 2rem; }}
svg {{ width: 100%; min-width: 36rem; height: auto; }}
.wide {{ overflow-x: auto; margin: 0; }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; }}
caption {{ text-align: left; color: var(--quiet); padding-bottom: .4rem; }}
th, td {{ padding: .25rem .9rem .25rem 0; border-bottom: 1px solid var(--grid); text-align: left; }}
.number {{ text-align: right; white-space: nowrap; }}
"""


def _page(scene: View, title: str, *, log: bool) -> str:
    paragraphs = "\n".join(f"<p>{markup(text)}</p>" for text in summary_of(scene).split("\n\n"))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{markup(title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<main>
<h1>{markup(title)}</h1>
<figure class="wide" tabindex="0" role="group" aria-label="Picture">
{_inline(svg_of(scene, log=log))}
</figure>
<h2>In words</h2>
{paragraphs}
<h2>Phases</h2>
{_phases_table(scene)}
<h2>Values</h2>
{_values_table(scene)}
</main>
</body>
</html>
"""


def _title(scene: View) -> str:
    labels = list(dict.fromkeys(line.label for line in scene.lines))
    named = ", ".join(labels[:4]) + (" …" if len(labels) > 4 else "")
    return f"{named} over {count(scene.stop)} {scene.clock}"


def _phases_table(scene: View) -> str:
    rows = [
        [
            line.label,
            phase.name,
            count(phase.start),
            count(phase.stop or scene.stop),
            number(first),
            number(last),
        ]
        for line in scene.lines
        for phase, first, last in _ends(line)
    ]
    if not rows:
        return "<p>No phase has a name.</p>"
    caption = f"Named stretches, in {scene.clock}; the last of each is the one before “to”."
    return _table(
        caption, ["target", "phase", "from", "to", "value from", "value to"], rows, numbers_from=2
    )


def _ends(line: Line) -> list[tuple[Phase, float, float]]:
    return [
        (phase, value_at(line, phase.start), value_at(line, phase.stop or line.stop))
        for phase in line.phases[:MANY_PHASES]
    ]


def _values_table(scene: View) -> str:
    moments = table_of(scene, on_the_way=(round(scene.stop * tenth / 10) for tenth in range(11)))
    labels = [line.label for line in scene.lines]
    rows = [
        [count(moment.step), moment.what, *(number(moment.values[label], 6) for label in labels)]
        for moment in moments
    ]
    caption = "Where something happens, and every tenth of the way; beside step k stands what update k uses."
    return _table(caption, ["step", "what happens", *labels], rows, numbers_from=2)


def _table(caption: str, heads: list[str], rows: Iterable[list[str]], numbers_from: int) -> str:
    kinds = (' class="number"' if index >= numbers_from else "" for index in range(len(heads)))
    head = "".join(
        f'<th scope="col"{kind}>{markup(text)}</th>'
        for kind, text in zip(kinds, heads, strict=True)
    )
    body = "\n".join(f"<tr>{_cells(row, numbers_from)}</tr>" for row in rows)
    return (
        f'<div class="wide" tabindex="0" role="group" aria-label="{markup(caption)}">\n'
        f"<table>\n<caption>{markup(caption)}</caption>\n"
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table></div>"
    )


def _cells(row: list[str], numbers_from: int) -> str:
    first = f'<th scope="row">{markup(row[0])}</th>'
    kinds = (' class="number"' if index >= numbers_from else "" for index in range(1, len(row)))
    return first + "".join(
        f"<td{kind}>{markup(text)}</td>" for kind, text in zip(kinds, row[1:], strict=True)
    )
