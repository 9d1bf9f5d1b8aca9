"""Write the tables of the pages ``coming-from-…``: every class beside the original, from a run."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

DOCS = Path(__file__).parent
PAGES = {
    "coming-from-torch.md": ("values", "torch"),
    "coming-from-others.md": ("ignite",),
    "coming-from-timm.md": ("timm",),
    "coming-from-transformers.md": ("transformers",),
    "coming-from-pytorch-accelerated.md": ("pytorch-accelerated",),
}
"""The tables of each page: the values of torch's classes, or a library's differences."""
CASES, STEPS = 60, 30
_QUIETLY = settings(
    max_examples=CASES,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=[*HealthCheck],
)


def main() -> None:
    """Write the pages."""
    for page in PAGES:
        (DOCS / page).write_text(whole(page), encoding="utf-8")


def whole(name: str) -> str:
    """Return a page with its tables as a run gives them now."""
    page = (DOCS / name).read_text(encoding="utf-8")
    for table in PAGES[name]:
        begin, end = f"<!-- {table}: made -->\n", f"<!-- /{table} -->"
        before, rest = page.split(begin)
        rows = values() if table == "values" else differences(table)
        page = f"{before}{begin}{rows}{end}{rest.split(end)[1]}"
    return page


def values() -> str:
    """Return the table of classes: cases, the largest difference, how many are listed."""
    from tests.compat.differences import DIFFERENCES
    from tests.compat.parity import ARGUMENTS

    lines = [
        "| class | cases | largest difference | listed below |",
        "| --- | --- | --- | --- |",
    ]
    for name in ARGUMENTS:
        cases, largest = _run(name)
        listed = sum(each.on == name for each in DIFFERENCES)
        lines.append(f"| `{name}` | {cases} | {_bound(largest)} | {listed} |")
    return "\n".join([*lines, ""])


def differences(library: str) -> str:
    """Return the table of a library's differences, each with what both do."""
    from tests.compat.differences import DIFFERENCES
    from tests.compat.differences_others import LIBRARIES

    listed = DIFFERENCES if library == "torch" else LIBRARIES[library].differences
    lines = [f"| class | what | why | {library} | ours |", "| --- | --- | --- | --- | --- |"]
    lines += [
        f"| {d.on} | {d.name} | {d.why} | {_cell(d.theirs)} | {_cell(d.ours)} |" for d in listed
    ]
    return "\n".join([*lines, ""])


def _run(name: str) -> tuple[int, float]:
    """Return how many cases were compared over all steps, and the largest difference."""
    from tests.compat.parity import ARGUMENTS, OURS, TORCH, adam, furthest, made, rates, trace

    seen: list[float] = []

    @seed(0)
    @_QUIETLY
    @given(arguments=ARGUMENTS[name], groups=rates, kind=st.sampled_from(["float", "tensor"]))
    def compare(arguments: dict[str, Any], groups: list[float], kind: str) -> None:
        pair = [
            trace(made(names, name, adam(groups, kind), arguments), STEPS)
            for names in (OURS, TORCH)
        ]
        seen.append(furthest(*pair))

    compare()
    return len(seen), max(seen)


def _bound(largest: float) -> str:
    """Return a power of ten above the difference: another processor gives the same page."""
    return "below 1e-12" if largest < 1e-12 else f"below 1e{math.ceil(math.log10(largest) + 0.3)}"


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(_cell(one) for one in value)
    return value if isinstance(value, str) else f"{value:g}"


if __name__ == "__main__":
    main()
