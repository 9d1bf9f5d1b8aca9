"""Draw a program's window with its fields filled in, for ``docs/bring.md``."""

from __future__ import annotations

from pathlib import Path
from xml.sax.saxutils import escape

from warmdown.plot.theme import LIGHT

DOCS = Path(__file__).parent
TITLE = "OneTrainer: Learning Rate Scheduler Settings"
CLASS = "warmdown.compat.lr_scheduler.PlanLR"
PARAMETERS = {"plan": '"plan.yaml"', "total_steps": "%TOTAL_STEPS%"}
"""OneTrainer reads a value as a literal of Python: a text stands in quotes."""
WIDTH, ROW, EDGE, KEY = 640, 40, 16, 150


def main() -> None:
    """Write the picture."""
    folder = DOCS / "bring"
    folder.mkdir(exist_ok=True)
    (folder / "onetrainer.svg").write_text(draw(), encoding="utf-8")


def draw() -> str:
    """Return the picture as SVG, with a description in words."""
    described = ", ".join(f"{key} = {value}" for key, value in PARAMETERS.items())
    parts = [_text(EDGE, 30, TITLE, LIGHT.ink, "sans-serif")]
    top = 48
    parts += _field(top, "Class Name", CLASS, is_key_a_field=False)
    for key, value in PARAMETERS.items():
        top += ROW
        parts += _field(top, key, value, is_key_a_field=True)
    top += ROW
    parts.append(_text(EDGE, top + 22, "+ add parameter", LIGHT.lines[0], "sans-serif"))
    height = top + ROW
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
            f'width="{WIDTH}" height="{height}" role="img" aria-label="{escape(TITLE)}">',
            f" <title>{escape(TITLE)}</title>",
            f" <desc>{escape(f'Class Name {CLASS}; {described}')}</desc>",
            f' <rect width="{WIDTH}" height="{height}" rx="8" fill="{LIGHT.tints[1]}" '
            f'stroke="{LIGHT.quiet}"/>',
            *parts,
            "</svg>",
            "",
        ]
    )


def _field(top: int, key: str, value: str, *, is_key_a_field: bool) -> list[str]:
    """Return a row: a label or a field with the key, and a field with the value."""
    left = EDGE + KEY
    parts = [_box(EDGE, top, KEY - 12)] if is_key_a_field else []
    font = "monospace" if is_key_a_field else "sans-serif"
    return [
        *parts,
        _text(EDGE + 10 * is_key_a_field, top + 20, key, LIGHT.ink, font),
        _box(left, top, WIDTH - left - EDGE),
        _text(left + 10, top + 20, value, LIGHT.ink, "monospace"),
    ]


def _box(left: int, top: int, width: int) -> str:
    return (
        f' <rect x="{left}" y="{top}" width="{width}" height="30" rx="4" fill="{LIGHT.paper}" '
        f'stroke="{LIGHT.quiet}"/>'
    )


def _text(left: int, baseline: int, text: str, colour: str, font: str) -> str:
    return (
        f' <text x="{left}" y="{baseline}" fill="{colour}" font-family="{font}" '
        f'font-size="14">{escape(text)}</text>'
    )


if __name__ == "__main__":
    main()
