"""What the documents say is true: every block of code of every page, every docstring's example,
every script runs.
"""

from __future__ import annotations

import ast
import doctest
import re
import runpy
import shutil
import time
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.pages import Block, blocks, commands

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "llms.txt", *sorted((ROOT / "docs").glob("*.md"))]
LONG_PAGES = {
    "clusters.md",
    "coming-from-lightning.md",
    "coming-from-optax.md",
    "coming-from-transformers.md",
    "compare.md",
    "find.md",
    "forecast.md",
    "plan-files.md",
    "training.md",
    "tutorial.md",
}
"""Pages that train, compare or fit for seconds, or import whole trainers of others; `LONG_EXAMPLES`
are scripts that do.
"""
SOURCE = ROOT / "src"
MODULES = [
    path
    for path in sorted(SOURCE.rglob("*.py"))
    if path.name != "__main__.py" and ">>> " in path.read_text()
]
EXAMPLES = sorted((ROOT / "examples").rglob("*.py"))
LONG_EXAMPLES = {"own_task.py", "wsd_branch.py"}
SHELLS = ("console", "sh", "bash")
LONGEST = 20.0
"""Seconds of the processor for one block: what needs more is skipped on its page, with the reason.
"""


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty folder that has the repository's examples, as the working directory."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")  # not every system lets one link
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    return tmp_path


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(
            page, id=page.name, marks=[pytest.mark.slow] if page.name in LONG_PAGES else []
        )
        for page in PAGES
    ],
)
def test_every_block_of_a_page_does_what_the_page_says(page: Path, workplace: Path) -> None:
    run_page(page, workplace)


def run_page(page: Path, workplace: Path) -> None:
    """Run the blocks of a page in one namespace; name the place of one that fails."""
    names: dict[str, Any] = {"__name__": f"page_{page.stem}"}
    for block in blocks(page):
        begun = time.process_time()
        try:
            run(block, names, workplace)
        except Exception as error:  # whatever it is, the reader wants to know the place
            raise AssertionError(f"{block.place}: {type(error).__name__}: {error}") from error
        spent = time.process_time() - begun
        assert spent < LONGEST, (
            f"{block.place}: needs {spent:.0f} s. Mark it: <!-- test: skip, reason -->"
        )


def run(block: Block, names: dict[str, Any], workplace: Path) -> None:
    """Run one block, or do what its mark says."""
    if block.mark == "skip":
        assert block.detail, "a reason is needed: <!-- test: skip, needs a GPU -->"
    elif block.mark == "file":
        (workplace / block.detail).write_text(block.text + "\n", encoding="utf-8")
    elif block.language == "python":
        run_python(block, names)
    elif block.language in SHELLS:
        run_shell(block)


def run_python(block: Block, names: dict[str, Any]) -> None:
    """Run a block in the page's namespace; lines of a traceback are lines of the page."""
    text = "\n" * block.line + (
        block.text.replace("…", "...") if block.mark == "fragment" else block.text
    )
    code = compile(ast.parse(text), str(block.page), "exec", dont_inherit=True)
    if block.mark != "fragment":
        with expected(block):
            exec(code, names)  # noqa: S102 - the page is ours


def expected(block: Block) -> AbstractContextManager[Any]:
    """Return what holds a block to the error or the warning that its page tells of."""
    return Expected(block) if block.mark in {"raises", "warns"} else nullcontext()


class Expected(AbstractContextManager[None]):
    """Asks for an error or a warning by the name of its class.

    Args:
        block: The block that tells of it.
    """

    def __init__(self, block: Block) -> None:
        self.mark, self.name = block.mark, block.detail
        self.catch = warnings.catch_warnings(record=True)

    def __enter__(self) -> None:
        self.warned = self.catch.__enter__() or []
        if self.mark == "warns":
            warnings.simplefilter("always")

    def __exit__(self, *raised: Any) -> bool:
        self.catch.__exit__(*raised)
        kind: type[BaseException] | None = raised[0]
        if self.mark == "raises":
            assert kind is not None, f"no {self.name} was raised"
            return kind.__name__ == self.name
        names = [warning.category.__name__ for warning in self.warned]
        assert kind is not None or self.name in names, f"no {self.name} was given, but {names}"
        return False


def run_shell(block: Block) -> None:
    """Run each command of ours in this process; other commands are not ours to test."""
    from click.testing import CliRunner

    from warmdown.cli.main import main

    code = int(block.detail) if block.mark == "exits" else 0
    for words in commands(block):
        if words[0] == "warmdown" and not {"|", ">", "&&"} & set(words):
            assert words[1] != "studio", (
                "it serves until it is stopped. Mark it: <!-- test: skip, reason -->"
            )
            done = CliRunner().invoke(main, words[1:], catch_exceptions=False)
            assert done.exit_code == code, f"{' '.join(words)}\n{done.output}"


def test_pages_have_blocks_that_are_run() -> None:
    assert (
        sum(
            block.language == "python" and not block.mark
            for page in PAGES
            for block in blocks(page)
        )
        > 10
    )


def test_every_link_between_pages_leads_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_every_example_of_a_docstring_says_what_happens(path: Path, workplace: Path) -> None:
    told: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    for example in examples_of(path):
        runner.run(example, out=told.append)
    assert not runner.failures, "".join(told)
    assert runner.tries


def examples_of(path: Path) -> Iterator[doctest.DocTest]:
    """Yield the examples in a module's docstrings."""
    name = ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")
    module = import_module(name)
    for found in doctest.DocTestFinder(exclude_empty=True).find(module, extraglobs={"np": np}):
        if found.examples:
            yield found


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(
            path,
            id=str(path.relative_to(ROOT)),
            marks=[pytest.mark.slow] if path.name in LONG_EXAMPLES else [],
        )
        for path in EXAMPLES
    ],
)
def test_every_example_script_runs(
    path: Path, workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = path.read_text(encoding="utf-8").splitlines()[0]
    if first.startswith("# test: skip, "):
        pytest.skip(first.removeprefix("# test: skip, "))
    beside = workplace / "script"
    shutil.copytree(
        path.parent,
        beside,
        ignore=lambda _, names: [n for n in names if (path.parent / n).is_dir()],
    )
    runpy.run_path(str(beside / path.name), run_name="__main__")
    assert capsys.readouterr().out, "an example shows what it does"


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: str(path.relative_to(ROOT)))
def test_an_example_script_is_short(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 80


MARKED = """\
<!-- test: skip, needs a GPU -->

```python
1 / 0
```

Text between, and a row | <!-- test: skip, shown --> | that marks nothing.

```console
$ warmdown list   # a comment
output
$ warmdown show \\
    wsd
```
"""


def test_marks_hold_for_the_next_block_alone(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(MARKED, encoding="utf-8")
    first, second = blocks(page)
    assert (first.line, first.language, first.mark, first.detail) == (
        3,
        "python",
        "skip",
        "needs a GPU",
    )
    assert (second.line, second.language, second.mark) == (9, "console", "")
    assert list(commands(second)) == [["warmdown", "list"], ["warmdown", "show", "wsd"]]


def test_a_mark_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- test: ignore -->\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"page\.md:1: no such mark"):
        list(blocks(page))


def test_the_page_for_models_lists_every_command_and_every_shape() -> None:
    from warmdown.cli.main import COMMANDS
    from warmdown.planfile import shapes

    page = (ROOT / "llms.txt").read_text(encoding="utf-8")
    listed = re.findall(r"^- `([\w-]+)`: (.+)$", page, re.MULTILINE)
    assert listed == [(name, entry.help) for name, entry in COMMANDS.items()]
    ours = {name: shape for name, shape in shapes().items() if shape.__module__[:9] == "warmdown."}
    for is_shape, paragraph in zip(
        (True, False), re.findall(r"^`\w+`, [^.]+\.$", page, re.M), strict=True
    ):
        named = [name for name, shape in ours.items() if isinstance(shape, type) == is_shape]
        assert re.findall(r"`(\w+)`", paragraph) == sorted(named)


def test_a_block_that_fails_tells_its_page_and_line(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Page\n\n```python\n1 / 0\n```\n", encoding="utf-8")
    with pytest.raises(AssertionError, match=r"page\.md:3: ZeroDivisionError"):
        run_page(page, tmp_path)


@pytest.mark.parametrize(
    ("mark", "body"), [("raises KeyError", "pass"), ("warns UserWarning", "pass")]
)
def test_a_mark_that_is_not_true_fails(tmp_path: Path, mark: str, body: str) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"<!-- test: {mark} -->\n```python\n{body}\n```\n", encoding="utf-8")
    with pytest.raises(AssertionError, match=r"no (KeyError|UserWarning)"):
        run_page(page, tmp_path)


def test_the_map_of_the_house_names_every_room_and_no_other() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    told = {
        name.strip("`/").removesuffix(".py")
        for name in re.findall(r"(?m)^\| (`\w+(?:\.py|/)`) \|", page)
    }
    rooms = {
        path.stem
        for path in (SOURCE / "warmdown").iterdir()
        if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert told == rooms - {"__init__", "__main__"}


WALKS = re.findall(
    r"(?m)^\d+\. `([\w/]+\.py)` `(\w+)`",
    (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8"),
)


@pytest.mark.parametrize(("path", "name"), sorted(set(WALKS)))
def test_every_step_of_a_walk_is_where_the_page_says(path: str, name: str) -> None:
    tree = ast.parse((SOURCE / "warmdown" / path).read_text(encoding="utf-8"))
    assert name in {getattr(node, "name", "") for node in tree.body}


def test_every_file_that_the_map_names_is_there() -> None:
    for name in ("architecture", "style"):
        page = (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")
        for path in re.findall(r"`((?:\w+/)+(?:\w+\.py)?)`", page):
            assert (ROOT / path).exists() or (SOURCE / "warmdown" / path).exists(), (
                f"{name}.md: {path}"
            )
