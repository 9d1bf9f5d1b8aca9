"""What a project asks of the linter, in ``[tool.warmdown.lint]`` of its ``pyproject.toml``."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path

from warmdown.errors import SpecError, nearest
from warmdown.lint.rules import RULES


@dataclass(frozen=True, kw_only=True)
class LintSettings:
    """The settings of a project.

    Args:
        exclude: Globs of files and folders that are left out.
        select: The rules that are checked; all of them where there is none.
        ignore: Rules that are left out.
    """

    exclude: tuple[str, ...] = ()
    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()

    @property
    def codes(self) -> list[str]:
        """The rules that are checked, in order."""
        return [code for code in self.select or RULES if code not in self.ignore]


def read_settings(folder: Path) -> LintSettings:
    """Return the settings of the nearest ``pyproject.toml``, from a folder upwards.

    Raises:
        SpecError: A setting is unknown or of the wrong kind, or the file is not TOML.
    """
    for place in (folder, *folder.absolute().parents):
        path = place / "pyproject.toml"
        if path.is_file():
            return _read_section(path)
    return LintSettings()


def _read_section(path: Path) -> LintSettings:
    try:
        section = tomllib.loads(path.read_text(encoding="utf-8"))
        for key in ("tool", "warmdown", "lint"):
            section = section.get(key, {})
        given = dict(section)
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise SpecError([f"{path}: can not be read: {error}. Fix it first."]) from None
    known = [field.name for field in fields(LintSettings)]
    for key, value in given.items():
        who = f"{path}: tool.warmdown.lint({key}={value!r})"
        if key not in known:
            raise SpecError([f"{who}: there is no such setting. {nearest(key, known)}"])
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            raise SpecError([f"{who}: not a list of texts. Write {key} = [...]."])
        given[key] = tuple(value) if key == "exclude" else read_codes(value, who)
    return LintSettings(**given)


def read_codes(codes: Iterable[str], who: str) -> tuple[str, ...]:
    """Return codes of rules in capitals.

    Raises:
        SpecError: There is no such rule.
    """
    given = tuple(code.strip().upper() for code in codes if code.strip())
    for code in given:
        if code not in RULES:
            raise SpecError([f"{who}: there is no rule {code!r}. {nearest(code, RULES)}"])
    return given
