"""Pages of the site that no file in ``docs/`` has, and links that are right on it and on GitHub.

The API reference is made of what each door of the package offers; files of the repository's root
that a page links to become pages; formulas become MathML, which browsers draw without a script.
"""

from __future__ import annotations

import inspect
import logging
import posixpath
import re
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the tests of what stands here need no builder
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
from docs import make_gallery  # noqa: E402 - found by the line above, wherever this is started from

log = logging.getLogger("mkdocs.hooks.site_pages")

FROM_THE_ROOT = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "benchmarks/README.md": "benchmarks.md",
    "README.md": "index.md",
    "examples": "examples.md",
    "llms.txt": "llms.txt",
}
"""Files of the repository, and where they stand on the site."""


@dataclass(frozen=True)
class Door:
    """A page of the API reference.

    Args:
        page: Name of its file.
        title: Its heading.
        rooms: Modules whose public names stand on it.
        only: Which of their names, where not all.
    """

    page: str
    title: str
    rooms: tuple[str, ...]
    only: Callable[[str, Any], bool] = lambda name, thing: True

    def names(self) -> Iterator[tuple[str, str, str]]:
        """Yield each public name: the module to import it from, the name, and its full path."""
        for room in self.rooms:
            module = import_module(room)
            for name in public_names(module):
                thing = getattr(module, name)
                if self.only(name, thing):
                    yield room, name, path_of(name, thing)


def is_recipe(name: str, thing: Any) -> bool:
    """Return whether a name of ``warmdown.schedules`` is a recipe, and no shape.

    Args:
        name: Its public name.
        thing: Itself.
    """
    return ".recipes" in thing.__module__


DOORS = (
    Door("schedules", "Schedules", ("warmdown.schedules",), lambda n, t: not is_recipe(n, t)),
    Door("recipes", "Recipes", ("warmdown.schedules", "warmdown.schedules.recipes"), is_recipe),
    Door("plan", "Plan, run, record", ("warmdown.plan", "warmdown.run", "warmdown.record")),
    Door("scheduler", "Scheduler", ("warmdown.binding", "warmdown.binding.commands")),
    Door("tell", "Speak to a running job", ("warmdown.mailbox",)),
    Door("planfile", "Plan files", ("warmdown.planfile", "warmdown.placeholders")),
    Door("plot", "Pictures", ("warmdown.plot",)),
    Door("checks", "Checks", ("warmdown.checks",)),
    Door("lint", "Lint", ("warmdown.lint",)),
    Door("training", "Training", ("warmdown.training",)),
    Door("experiments", "Experiments", ("warmdown.experiments",)),
    Door(
        "forecast",
        "Forecast",
        ("warmdown.forecast", "warmdown.forecast.scaling", "warmdown.forecast.seesaw"),
    ),
    Door("importing", "Importing", ("warmdown.importing",)),
    Door("studio", "Studio", ("warmdown.studio",)),
    Door("compat-torch", "torch's names", ("warmdown.compat.lr_scheduler",)),
    Door("compat-transformers", "transformers' names", ("warmdown.compat.optimization",)),
    Door("compat-timm", "timm's names", ("warmdown.compat.scheduler",)),
    Door(
        "compat-pytorch-accelerated",
        "pytorch-accelerated's names",
        ("warmdown.compat.schedulers",),
    ),
    Door("compat-names", "Names as schedules", ("warmdown.compat.names",)),
    Door("errors", "Errors and warnings", ("warmdown.errors",)),
    Door(
        "integrations",
        "Integrations",
        tuple(
            f"warmdown.integrations.{name}"
            for name in ("lightning", "transformers", "accelerate", "ignite")
        ),
    ),
)
"""Every page of the API reference; what imports whole trainers of others comes last."""


def public_names(module: ModuleType) -> list[str]:
    """Return what a room offers: its ``__all__``, or what it has from its own files.

    Args:
        module: The room.
    """
    names = getattr(module, "__all__", None) or [
        name
        for name in dir(module)
        if is_from(module.__name__, getattr(module, name)) and not name.startswith("_")
    ]
    return [name for name in names if is_documented(getattr(module, name))]


def is_from(room: str, thing: Any) -> bool:
    """Return whether a class or function was written in a room, and is offered by its file.

    Args:
        room: Name of the module.
        thing: What stands in it.
    """
    home = getattr(thing, "__module__", None) or ""
    return home == room or home.startswith(f"{room}.")


def is_documented(thing: Any) -> bool:
    """Return whether the reference shows it: a class or a function of ours, no constant or alias.

    Args:
        thing: What a public name stands for.
    """
    ours = str(getattr(thing, "__module__", "")).startswith("warmdown.")
    return ours and hasattr(thing, "__qualname__")


def path_of(name: str, thing: Any) -> str:
    """Return where a class or function is written; one that a function made has only a name.

    Args:
        name: Its public name.
        thing: The class or the function.
    """
    return f"{thing.__module__}.{name if '<locals>' in thing.__qualname__ else thing.__qualname__}"


def reference(door: Door) -> str:
    """Return a page of the API reference, as Markdown for mkdocstrings.

    Args:
        door: What stands on it.
    """
    listed = list(dict.fromkeys(door.names()))
    rooms = {room: [row for row in listed if row[0] == room] for room in door.rooms}
    parts = [f"# {door.title}\n"]
    for room, rows in rooms.items():
        if not rows:
            continue
        if len([rows for rows in rooms.values() if rows]) > 1:
            parts.append(f"## `{room}`\n")
        parts.append(f"{first_line(import_module(room))}\n")
        parts.append("| name | |\n| --- | --- |")
        parts += [
            f"| {link(room, name, path)} | {first_line(getattr(import_module(room), name))} |"
            for _, name, path in rows
        ]
        parts.append("")
        parts += [
            described(name, path, getattr(import_module(room), name))
            for _, name, path in rows
            if home_of(path) == door.page
        ]
    return "\n".join(parts)


@cache
def home_of(path: str) -> str:
    """Return the page that describes a name; the others that offer it have only a link.

    Args:
        path: Where it is written.
    """
    return next(door.page for door in DOORS if path in {path for _, _, path in door.names()})


def described(name: str, path: str, thing: Any) -> str:
    """Return what has a class or function described on a page.

    Args:
        name: Its public name.
        path: Where it is written.
        thing: Itself; one that a function made is described from what it is, not from its text.
    """
    if "<locals>" not in thing.__qualname__:
        return f"::: {path}\n"
    signature = re.sub(r"<function (\w+).*?>", r"\1", f"{name}{inspect.signature(thing)}")
    told = as_markdown(inspect.getdoc(thing) or "")
    return f"### {name}\n\n```python\n{signature}\n```\n\n{told}\n"


def link(room: str, name: str, path: str, before: str = "") -> str:
    """Return a link to where a name is described.

    Args:
        room: The module that offers it.
        name: Its public name.
        path: Where it is written.
        before: What is set before the name.
    """
    made = "<locals>" in getattr(import_module(room), name).__qualname__
    aim = f"({home_of(path)}.md#{name.lower()})" if made else f"[{path}]"
    return f"[`{before}{name}`]{aim}"


def first_line(thing: Any) -> str:
    """Return what a docstring says in its first sentence, as Markdown for a cell of a table.

    Args:
        thing: A module, a class or a function.
    """
    text = as_markdown(inspect.getdoc(thing) or "").split("\n\n")[0]
    return " ".join(text.split()).replace("|", "\\|")


def index_of_doors() -> str:
    """Return the first page of the API reference: every door, and the names that it offers."""
    parts = [
        "# API reference\n",
        "`import warmdown as wd` has the names that are marked with `wd.`; the others are imported "
        "from the module that stands before them. Each has its formula, the range of its "
        "arguments, what it raises, and an example that is run by a test.\n",
    ]
    import warmdown as wd

    for door in DOORS:
        parts.append(f"## [{door.title}]({door.page}.md)\n")
        for room in door.rooms:
            rows = [
                link(room, name, path, "wd." if name in wd.__all__ else "")
                for of, name, path in dict.fromkeys(door.names())
                if of == room
            ]
            if rows:
                parts.append(f"`{room}`: {', '.join(rows)}\n")
    return "\n".join(parts)


def examples() -> str:
    """Return the page with every script and plan of ``examples/``."""
    parts = [
        "# Examples\n",
        "Each script is short, runs as it stands, and prints what it does: a test runs them all. "
        "Copy one that is near to your loop.\n",
    ]
    folder = ROOT / "examples"
    for path in sorted([*folder.rglob("*.py"), *folder.rglob("*.yaml")]):
        language = {".py": "python", ".yaml": "yaml"}[path.suffix]
        text = path.read_text(encoding="utf-8").strip()
        parts.append(f"## {path.relative_to(folder).as_posix()}\n\n```{language}\n{text}\n```\n")
    return "\n".join(parts)


# -- what the builder calls -----------------------------------------------------------------------


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Set what a plain file cannot name: functions.

    Args:
        config: What ``mkdocs.yml`` says.
    """
    from pymdownx.slugs import slugify

    config.mdx_configs["toc"]["slugify"] = slugify(case="lower")
    config.mdx_configs.setdefault("pymdownx.superfences", {})["custom_fences"] = [
        {"name": "math", "class": "math", "format": formula}
    ]
    pages: list[dict[str, str]] = [{door.title: f"api/{door.page}.md"} for door in DOORS]
    if config.nav:
        config.nav.append({"API": ["api/index.md", *pages]})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made.

    Args:
        files: What stands in ``docs/``.
        config: The site.
    """
    from mkdocs.structure.files import File, InclusionLevel

    made = {f"api/{door.page}.md": reference(door) for door in DOORS}
    made |= {"api/index.md": index_of_doors(), "examples.md": examples()}
    for source, page in FROM_THE_ROOT.items():
        if page not in made and page != "index.md":
            made[page] = (ROOT / source).read_text(encoding="utf-8")
    for name, text in made.items():
        files.append(File.generated(config, name, content=text, inclusion=InclusionLevel.INCLUDED))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn the links of a page into those of the site, and the gallery's lists into cards.

    Args:
        markdown: The page.
        page: Where it stands.
        config: The site.
        files: Every page and picture.
    """
    name = page.file.src_uri
    if name == "gallery.md":
        markdown = make_gallery.cards(markdown)
    there = {page: source for source, page in FROM_THE_ROOT.items()}
    source = f"docs/{name}" if (ROOT / "docs" / name).exists() else there.get(name, f"docs/{name}")
    parts = re.split(r"(?ms)(^ *```.*?^ *```)", markdown)
    return "".join(
        part
        if index % 2
        else links_of_the_site(part, source, name, files, config.extra["repository"])
        for index, part in enumerate(parts)
    )


def links_of_the_site(text: str, source: str, name: str, files: Files, repository: str) -> str:
    """Return Markdown whose links to files of the repository lead to pages of the site.

    Args:
        text: Markdown without blocks of code.
        source: Path of the page in the repository.
        name: Path of the page on the site.
        files: Every page and picture of the site.
        repository: Where files are shown that are no pages.
    """

    def replaced(match: re.Match[str]) -> str:
        path, _, anchor = match[2].partition("#")
        aim = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
        script = re.fullmatch(r"examples/(.+\.(?:py|yaml))", aim)
        if script:
            aim, anchor = "examples", re.sub(r"[^\w-]", "", script[1].lower())
        page = FROM_THE_ROOT.get(aim, aim.removeprefix("docs/"))
        if files.get_file_from_path(page) is None:
            return f"{match[1]}{repository}/blob/main/{aim}{match[3]}"
        link = posixpath.relpath(page, posixpath.dirname(name) or ".")
        return f"{match[1]}{link}{'#' + anchor if anchor else ''}{match[3]}"

    return re.sub(r"(\]\()((?!\w+:|#)[^)\s]+)(\))", replaced, text)


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> None:
    """Refuse a page that a reader's browser could not show without the network.

    Args:
        output: The page, as HTML.
        page: Where it stands.
        config: The site.
    """
    if fetched := fetched_by(output):
        log.warning("%s fetches from the network: %s", page.file.src_uri, ", ".join(fetched))


def fetched_by(html: str) -> list[str]:
    """Return what a page fetches from the network when it is opened; links are not fetched.

    Args:
        html: The page.
    """
    tags = re.findall(r"<(?:script|img|iframe|source|link)\b[^>]*>", html)
    asked = (re.search(r"\b(?:src|href)=[\"']?((?:https?:)?//[^\"'\s>]+)", tag) for tag in tags)
    return [match[1] for match in asked if match]


# -- docstrings and formulas --------------------------------------------------------------------


def as_markdown(text: str) -> str:
    """Return a docstring as Markdown: formulas in fences, roles as code.

    Args:
        text: The docstring, without the indentation of its lines.
    """
    fenced = _FORMULA.sub(lambda match: f"```math\n{textwrap.dedent(match[1])}\n```", text)
    named = _ROLE.sub(r"`\1`", fenced)
    sources = _REFERENCE.sub(lambda match: " ".join(match[0].split()), named)
    return re.sub(r"(?m)^Example:$", "Examples:", sources)


_FORMULA = re.compile(r"(?m)^\.\. math:: (.+(?:\n[ \t]+\S.*)*)")
_REFERENCE = re.compile(r"(?m)^References?: .+(?:\n[ \t]+\S.*)*")
_ROLE = re.compile(r":\w+:`~?\.?([\w.]+)`")


def formula(source: str, language: str, css_class: str, options: Any, md: Any, **_: Any) -> str:
    """Return a formula as MathML: browsers draw it without a script or a font of its own.

    Args:
        source: TeX, as docstrings have it.
        language: ``math``.
        css_class: Class of the element.
        options: Nothing.
        md: The Markdown reader.
    """
    return f'<div class="{css_class}">{mathml(source)}</div>'


@cache
def mathml(source: str) -> str:
    """Return TeX as MathML whose words are words, not products of letters.

    Args:
        source: TeX.
    """
    from latex2mathml.converter import convert

    text = make_gallery.with_whole_words(" ".join(source.split()))
    drawn = convert(text, display="block")
    spelled = re.compile(r'(?:<mi mathvariant="italic">\w</mi>){2,}')
    letter = re.compile(r">(\w)<")
    return spelled.sub(lambda run: f"<mi>{''.join(letter.findall(run[0]))}</mi>", drawn)
