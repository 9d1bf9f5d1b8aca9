"""``warmdown explain``: every code that a person meets has its section."""

from __future__ import annotations

import pytest
from click.testing import CliRunner, Result

from warmdown import errors
from warmdown.checks import CODES
from warmdown.cli.main import main

WARNINGS = [
    kind.code
    for kind in vars(errors).values()
    if isinstance(kind, type)
    and issubclass(kind, errors.WarmdownWarning)
    and kind is not errors.WarmdownWarning
]


def explained(*words: str) -> Result:
    return CliRunner().invoke(main, ["explain", *words])


@pytest.mark.parametrize("code", sorted({*WARNINGS, *CODES, "WDL001"}))
def test_every_code_is_explained(code: str) -> None:
    result = explained(code)
    assert result.exit_code == 0, result.output
    assert len(result.output.split()) > 10


def test_what_a_scheduler_and_a_check_say_of_one_thing_stands_together() -> None:
    assert explained("zero-base").stdout.count("zero-base\n") == 2


def test_all_codes_are_listed_and_an_unknown_one_leads_to_the_nearest() -> None:
    assert {*WARNINGS, *CODES, "wdl001"} <= set(explained().stdout.split())
    result = explained("step-twise")
    assert result.exit_code == 2
    assert "Did you mean 'step-twice'?" in result.output
