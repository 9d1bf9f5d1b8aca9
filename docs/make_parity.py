"""Write the tables of ``coming-from-torch.md``: every class beside the original, from a run."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

PAGE = Path(__file__).parent / "coming-from-torch.md"
CASES, STEPS = 60, 30
_QUIETLY = settings(
    max_examples=CASES,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=[*HealthCheck],
)


def main() -> None:
    """Write the page."""
    PAGE.write_text(whole(), encoding="utf-8")


def whole() -> str:
    """Return the page with its tables as a run gives them now."""
    page = PAGE.read_text(encoding="utf-8")
    for name, table in (("values", values()), ("differences", differences())):
        begin, end = f"<!-- {name}: made -->\n", f"<!-- /{name} -->"
        before, rest = page.split(begin)
        page = f"{before}{begin}{table}{end}{rest.split(end)[1]}"
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


def differences() -> str:
    """Return the table of differences, each with what both do."""
    from tests.compat.differences import DIFFERENCES

    lines = ["| class | what | why | torch | ours |", "| --- | --- | --- | --- | --- |"]
    lines += [
        f"| {d.on} | {d.name} | {d.why} | {_cell(d.torch)} | {_cell(d.ours)} |" for d in DIFFERENCES
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
