"""Every rule finds its loops, and none speaks about a loop that is right."""

from __future__ import annotations

import re
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from warmdown.errors import SpecError
from warmdown.lint import RULES, fix_text, lint_text

HERE = Path(__file__).parent
LIBRARIES = Path(sysconfig.get_paths()["purelib"])
PEERS = (
    "accelerate",
    "diffusers",
    "examples",
    "ignite",
    "lightning",
    "pytorch_accelerated",
    "timm",
    "transformers",
)


def blocks(name: str) -> Iterator[tuple[str, list[str]]]:
    """Yield each heading of a page with its blocks of code."""
    for section in re.split(r"^## ", (HERE / name).read_text(encoding="utf-8"), flags=re.MULTILINE)[
        1:
    ]:
        title, _, rest = section.partition("\n")
        yield title, re.findall(r"```(?:python|fixed)\n(.*?)```", rest, flags=re.DOTALL)


RIGHT = list(blocks("right.md"))
WRONG = list(blocks("wrong.md"))
MENDED = [(title, code) for title, code in WRONG if len(code) == 2]


def codes(text: str) -> list[str]:
    return sorted({found.code for found in lint_text(text)})


@pytest.mark.parametrize(("title", "code"), RIGHT, ids=[title for title, _ in RIGHT])
def test_nothing_is_reported_about_a_loop_that_is_right(title: str, code: list[str]) -> None:
    assert lint_text(code[0]) == []


@pytest.mark.parametrize(("title", "code"), WRONG, ids=[title for title, _ in WRONG])
def test_a_wrong_loop_is_reported_by_its_rule_alone(title: str, code: list[str]) -> None:
    assert codes(code[0]) == re.findall(r"WDL\d+", title)


@pytest.mark.parametrize(("title", "code"), MENDED, ids=[title for title, _ in MENDED])
def test_a_safe_fix_gives_the_text_that_a_person_would_write(title: str, code: list[str]) -> None:
    assert fix_text(code[0])[0] == code[1]
    assert lint_text(code[1]) == []


def test_every_rule_has_a_wrong_loop_and_a_section_of_the_page() -> None:
    reported = {code for title, _ in WRONG for code in re.findall(r"WDL\d+", title)}
    page = (HERE.parents[1] / "docs" / "lint.md").read_text(encoding="utf-8")
    assert reported == set(RULES)
    assert re.findall(r'^## <a id="(wdl\d+)"></a>', page, flags=re.MULTILINE) == [
        code.lower() for code in RULES
    ]


@pytest.mark.slow
@pytest.mark.parametrize("library", PEERS)
def test_nothing_is_reported_about_the_code_of_installed_libraries(library: str) -> None:
    root = LIBRARIES / library
    if not root.exists():
        pytest.skip(f"{library} is not installed")
    reported = []
    for path in root.rglob("*.py"):
        text = path.read_text(encoding="utf-8", errors="ignore")
        if "sched" in text:
            reported += [(str(path), found.line, found.code) for found in lint_text(text)]
    assert reported == []


def test_one_mistake_in_a_function_called_twice_is_reported_once() -> None:
    script = """
from torch.optim.lr_scheduler import ReduceLROnPlateau
def end(scheduler):
    scheduler.step()
first, second = ReduceLROnPlateau(a), ReduceLROnPlateau(b)
end(first)
end(second)
"""
    assert [(found.code, found.line) for found in lint_text(script)] == [("WDL003", 4)]


def test_of_the_functions_that_a_name_may_be_the_first_in_the_file_is_read() -> None:
    others = range(1, 40)
    functions = "".join(f"def advance_{number}():\n    pass\n" for number in others)
    choice = " ".join(f"advance_{number} if kind == {number} else" for number in others)
    script = f"""
from torch.optim.lr_scheduler import StepLR
def advance_0():
    optimizer.step()
{functions}
scheduler = StepLR(optimizer, 10)
advance = {choice} advance_0
for batch in loader:
    scheduler.step()
    advance()
"""
    assert codes(script) == ["WDL001"]


def test_a_comment_silences_one_rule_or_all() -> None:
    line = "from torch.optim.lr_scheduler import StepLR\ns = StepLR(o, 1, verbose=True)"
    assert codes(line) == ["WDL004"]
    assert codes(f"{line}  # noqa") == codes(f"{line}  # noqa: E501, WDL004") == []
    assert codes(f"{line}  # noqa: WDL001") == ["WDL004"]


def test_a_script_that_calls_itself_without_end_is_read_in_finite_time() -> None:
    calls = "\n".join(
        f"def f{i}(s):\n    f{i + 1}(s)\n    f{i + 1}(s)\n    f{i + 1}(s)" for i in range(40)
    )
    script = (
        f"from torch.optim.lr_scheduler import StepLR\n{calls}\n"
        "def f40(s):\n    f0(s)\nf0(StepLR(o, 1))"
    )
    assert lint_text(script) == []


@pytest.mark.parametrize("text", ["def", "x = (", "a\0b", "-" * 30_000 + "1", "(" * 5_000])
def test_what_is_not_python_is_refused_with_its_line(text: str) -> None:
    with pytest.raises(SpecError, match=r"script\.py:\d+: not Python"):
        lint_text(text, name="script.py")
