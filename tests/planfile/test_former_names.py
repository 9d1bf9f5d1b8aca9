"""Modules under their former names still give what they gave, and warn."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest

import warmdown as wd
from warmdown import importing, planfile


@pytest.mark.parametrize(
    ("former", "name", "today"),
    [
        ("warmdown.spec", "loads", planfile.loads),
        ("warmdown.spec", "shapes", planfile.shapes),
        ("warmdown.spec", "External", wd.External),
        ("warmdown.compat.importing", "from_settings", importing.from_settings),
        ("warmdown.compat.importing", "from_torch", wd.from_torch),
    ],
)
def test_a_former_module_gives_the_same_object_and_warns(
    former: str, name: str, today: Any
) -> None:
    with pytest.warns(DeprecationWarning, match=rf"{former} is now .*; the old name goes in 0\.2"):
        assert getattr(import_module(former), name) is today


@pytest.mark.parametrize("former", ["warmdown.spec", "warmdown.compat.importing"])
def test_a_former_module_has_no_other_names(former: str) -> None:
    with (
        pytest.warns(DeprecationWarning, match="the old name goes"),
        pytest.raises(AttributeError, match="has no attribute 'nothing'"),
    ):
        _ = import_module(former).nothing
    for asked in ("__path__", "__wrapped__"):  # by tools, of every module
        assert not hasattr(import_module(former), asked)
