"""Write ``docs/gallery.md`` and its pictures: ``python docs/make_gallery.py``."""

from __future__ import annotations

import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS.parent))

from docs import gallery_examples  # noqa: E402 - found by the line above, wherever this is started from

import warmdown as wd  # noqa: E402
from warmdown import plot  # noqa: E402

RUN = wd.Run(total_steps=1000)
SHORT_RUNS = {"Chebyshev": wd.Run(total_steps=64)}
LOGARITHMIC = {"range_test"}
INTRODUCTION = """\
# Gallery

Every shape and every recipe, over a run of 1,000 updates. The value of a recipe multiplies each
group's base value (`× base`); a shape is a value on its own, for any number: a rate, a momentum,
a weight of a loss. Lengths are updates (`500`), shares of the run (`"5%"`), epochs (`"10ep"`),
tokens (`"2e9tok"`), or `"rest"`.

Recipes are functions that return expressions of shapes; what they return is printed below each of
them. Shapes compose: `a >> b` one after the other, `a * b`, `a + b`, and the verbs `clip`,
`delay`, `graft`, `named`, `noisy`, `repeat`, `scale`, `skip`, `stretch`, `take`. In a plan file a
shape's name is its `kind`.

This page is written by `python docs/make_gallery.py`.

```python
import numpy as np

import warmdown as wd

assert isinstance(wd.recipes()["warmup_cosine"](), wd.Schedule)  # every recipe, by its name
```
"""
SECTIONS = {
    "Recipes": "Named wholes, the words that people search for.",
    "Curves": "One move each, from a start to an end, or falling without end.",
    "Steps": "Values that stand, and then stand elsewhere.",
    "Cycles": "What comes again.",
    "Compositions": "Schedules made of schedules. Each has an operator or a verb; the class is "
    "what it returns.",
    "Feedback": "Schedules that answer to a metric.",
    "Other libraries": "A preview of another library's class, by its path.",
}


@dataclass(frozen=True)
class Entry:
    """One picture of the gallery.

    Args:
        name: Public name.
        section: Heading it stands under.
        example: What returns the schedule that is drawn; its body is printed.
    """

    name: str
    section: str
    example: Callable[[], Any]

    @property
    def shown(self) -> Any:
        """The recipe or the class."""
        return getattr(wd, self.name)

    @property
    def picture(self) -> str:
        """Name of the picture's file; shapes and recipes differ by more than a letter's size."""
        return f"{'recipe' if self.section == 'Recipes' else 'shape'}-{self.name.lower()}.svg"

    @property
    def line(self) -> str:
        """What it is, in one line."""
        line = (
            (inspect.getdoc(self.shown) or "")
            .splitlines()[0]
            .removeprefix("Return ")
            .replace("``", "`")
        )
        return line[0].upper() + line[1:]

    def plan(self) -> wd.Plan:
        """Return what is drawn."""
        given, run = self.example(), SHORT_RUNS.get(self.name, RUN)
        if isinstance(given, Mapping):
            return wd.Plan.of(**given, run=run)
        if self.section == "Recipes":
            return wd.Plan.of(lr=given, run=run)
        return wd.Plan.of(value=wd.Set(given), run=run)


def main() -> None:
    """Write the page and every picture; remove pictures of what is gone."""
    found = list(entries())
    (DOCS / "gallery.md").write_text(page(found), encoding="utf-8")
    for entry in found:
        (DOCS / "gallery" / entry.picture).write_text(picture(entry), encoding="utf-8")
    for path in (DOCS / "gallery").glob("*.svg"):
        if path.name not in {entry.picture for entry in found}:
            path.unlink()


def entries() -> Iterator[Entry]:
    """Yield the examples in the order and under the headings in which their file has them."""
    source = inspect.getsource(gallery_examples)
    heads = [
        (match.start(), match[1].capitalize())
        for match in re.finditer(
            r"(?m)^# -- ([a-z "
            r"]+?) -+$",
            source,
        )
    ]
    for match in re.finditer(r"(?m)^def (\w+)\(", source):
        section = [head for start, head in heads if start < match.start()][-1]
        yield Entry(match[1], section, getattr(gallery_examples, match[1]))


def picture(entry: Entry) -> str:
    """Return the picture of an entry, as SVG."""
    scene = plot.view(entry.plan(), points=500)
    return plot.svg_of(scene, log=entry.name in LOGARITHMIC, title=entry.name, width=6.0)


def page(found: list[Entry]) -> str:
    """Return the text of the page."""
    parts = [INTRODUCTION]
    anchors = dict(_anchors(found))
    for section, told in SECTIONS.items():
        mine = [entry for entry in found if entry.section == section]
        rows = [f"| [`{e.name}`](#{anchors[e.name]}) | `{_spark(e)}` | {e.line} |" for e in mine]
        parts += [
            f"## {section}\n\n{told}\n\n| name | | |\n| --- | --- | --- |\n"
            + "\n".join(rows)
            + "\n"
        ]
        parts += [_told(entry) for entry in mine]
    return "\n".join(parts)


def _anchors(found: list[Entry]) -> Iterator[tuple[str, str]]:
    """Yield the anchor of each heading; a second one of the same letters ends in ``-1``."""
    seen: dict[str, int] = {}
    for entry in found:
        plain = entry.name.lower()
        yield entry.name, f"{plain}-{seen[plain]}" if plain in seen else plain
        seen[plain] = seen.get(plain, 0) + 1


def cards(page: str) -> str:
    """Return the page with a card and its curve for each row of its tables, as the site has them.

    Args:
        page: What ``docs/gallery.md`` holds; there a row has a curve of blocks.
    """
    found = {entry.name: entry for entry in entries()}
    row = re.compile(r"\| \[`(\w+)`\]\((#[\w-]+)\) \| `[^`]*` \| (.*) \|")

    def card(match: re.Match[str]) -> str:
        name, anchor, line = match[1], match[2], match[3]
        picture = f"[![](gallery/{found[name].picture}){{ loading=lazy }}]({anchor})"
        return f"-   {picture}\n\n    [`{name}`]({anchor})\n\n    {line}\n"

    def listed(match: re.Match[str]) -> str:
        made = "\n".join(card(each) for each in row.finditer(match[0]))
        return f'<div class="grid cards curves" markdown>\n\n{made}\n</div>\n'

    table = re.compile(rf"\| name \| \| \|\n\| --- \| --- \| --- \|\n(?:{row.pattern}\n)+")
    return re.sub(r"#(\w+)-(\d)\)", r"#\1_\2)", table.sub(listed, page))


def _spark(entry: Entry) -> str:
    return plot.sparkline(plot.view(entry.plan(), points=500).lines[0].values, width=20)


def _told(entry: Entry) -> str:
    said = plot.summary(entry.plan()).splitlines()[0].replace('"', "'")
    parts = [f"### `{entry.name}`\n", f"{entry.line}\n"]
    if formula := _formula(entry.shown):
        parts.append(f"```math\n{formula}\n```\n")
    parts += [
        f'<img src="gallery/{entry.picture}" alt="{said}" width="620">\n',
        f"```python\n{_code(entry)}\n```\n",
    ]
    if arguments := _arguments(entry.shown):
        parts.append(f"{arguments}\n")
    return "\n".join(parts)


def _formula(shown: Any) -> str:
    match = re.search(r"\.\. math:: (.*?)\n\n", inspect.getdoc(shown) or "", flags=re.DOTALL)
    return with_whole_words(textwrap.dedent(" " * 100 + match[1]).strip()) if match else ""


def with_whole_words(formula: str) -> str:
    """Set words as words: without this, TeX takes ``steps`` for a product of five letters."""
    parts = re.split(r"(\\(?:text|mathrm|operatorname)\{[^}]*\})", formula)
    words = re.compile(r"(?<![\\A-Za-z])([a-z]{2,})(?![A-Za-z])")
    return "".join(
        part if index % 2 else words.sub(r"\\mathit{\1}", part) for index, part in enumerate(parts)
    )


def _arguments(shown: Any) -> str:
    from docstring_parser import parse

    told = parse(inspect.getdoc(shown) or "").params
    names = set(inspect.signature(shown).parameters)
    rows = [
        f"- `{one.arg_name}`: {_in_one_line(one.description)}"
        for one in told
        if one.arg_name in names
    ]
    return "\n".join(rows)


def _in_one_line(text: str | None) -> str:
    return re.sub(r":\w+:`~?([^`]+)`", r"`\1`", " ".join((text or "").split())).replace("``", "`")


def _code(entry: Entry) -> str:
    """Return the body of an example, and for a recipe the expression that it is."""
    source = inspect.getsource(entry.example)
    body = textwrap.dedent(source[source.index(":\n") + 2 :]).rstrip()
    body = re.sub(r"(?m)^return ", "", body)
    given = entry.example()
    if entry.section != "Recipes" or not isinstance(given, wd.Schedule):
        return body
    members = given.members if isinstance(given, wd.Chain) else (given,)
    expression = "\n    >> ".join(_in_brackets(member) for member in members)
    return f"recipe = {body}\nassert recipe == (\n    {expression}\n)"


def written(schedule: wd.Schedule) -> str:
    """Return a schedule as the expression that a person would write."""
    match schedule:
        case wd.Chain(members=parts):
            return " >> ".join(_in_brackets(part) for part in parts)
        case wd.Product(factors=parts):
            return " * ".join(_in_brackets(part) for part in parts)
        case wd.Sum(terms=parts):
            return " + ".join(_in_brackets(part) for part in parts)
        case wd.Constant(value=value, steps="rest"):
            return f"wd.Constant(value={value})"
        case wd.Named(of=inner, name=name):
            return f"{_in_brackets(inner)}.named({name!r})".replace("'", '"')
        case wd.Repeat(of=inner):
            return f"{_in_brackets(inner)}.repeat({_given(schedule, positional=('times',))})"
        case (
            wd.Truncated(of=inner)
            | wd.Skipped(of=inner)
            | wd.Stretched(of=inner)
            | wd.Delayed(of=inner)
        ):
            verb = {
                "Truncated": "take",
                "Skipped": "skip",
                "Stretched": "stretch",
                "Delayed": "delay",
            }
            return (
                f"{_in_brackets(inner)}.{verb[type(schedule).__name__]}({_literal(schedule.steps)})"
            )
        case wd.Grafted(of=inner, tail=tail, at=at):
            return f"{_in_brackets(inner)}.graft({written(tail)}, at={_literal(at)})"
    return f"wd.{type(schedule).__name__}({_given(schedule)})"


def _given(schedule: wd.Schedule, positional: tuple[str, ...] = ()) -> str:
    """Return the fields that were not left at their defaults."""
    told = []
    for field in fields(schedule):
        value = getattr(schedule, field.name)
        left_out = field.default is not MISSING and value == field.default
        if field.name != "of" and not left_out:
            told.append(
                _literal(value) if field.name in positional else f"{field.name}={_literal(value)}"
            )
    return ", ".join(told)


def _literal(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else repr(value)


def _in_brackets(schedule: wd.Schedule) -> str:
    compound = isinstance(schedule, wd.Chain | wd.Product | wd.Sum)
    return f"({written(schedule)})" if compound else written(schedule)


if __name__ == "__main__":
    main()
