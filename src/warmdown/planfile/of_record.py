"""Recipes of record: plan files of published runs, which come with the package."""

from __future__ import annotations

__all__ = ["RecipeOfRecord", "recipes_of_record"]

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from warmdown.errors import SpecError, nearest

_FOLDER = Path(__file__).parent / "recipes_of_record"
_AS_IT_IS, _STRETCHED = "recipe:", "stretched:"


@dataclass(frozen=True)
class RecipeOfRecord:
    """A published run's plan file, with where its numbers stand.

    The facts are the comments at the top of the file, ``# source: …``.

    Args:
        name: The file's stem.
        path: The file.
        purpose: What it is for.
        source: Paper or repository, and the place in it.
        url: The source's address.
        date: Year, month and perhaps day of the source.
        note: What else a person should know, or nothing.
        fixed: Which lengths the source states as numbers, so that no other run fits; or nothing.
    """

    name: str
    path: Path
    purpose: str
    source: str
    url: str
    date: str
    note: str = ""
    fixed: str = ""

    def text(self) -> str:
        """Return the file's text."""
        return self.path.read_text(encoding="utf-8")


class AskedRecipe(NamedTuple):
    """A recipe that was asked for by name.

    Args:
        recipe: The recipe.
        is_stretched: Whether it is to take the length of any run.
    """

    recipe: RecipeOfRecord
    is_stretched: bool


@cache
def recipes_of_record() -> Mapping[str, RecipeOfRecord]:
    """Return every recipe of record by its name.

    Example:
        >>> recipes_of_record()["llama3-405b"].source
        'The Llama 3 Herd of Models, section 3.4.1'
    """
    files = sorted(_FOLDER.glob("*.yaml"))
    return MappingProxyType({file.stem: _read_facts(file) for file in files})


def asked_recipe(given: object) -> AskedRecipe | None:
    """Return the recipe that ``recipe:NAME`` or ``stretched:NAME`` means; ``None`` of all else.

    Raises:
        SpecError: There is no recipe of this name.
    """
    text = given if isinstance(given, str) else ""
    for prefix in (_AS_IT_IS, _STRETCHED):
        if text.startswith(prefix):
            name, known = text.removeprefix(prefix), recipes_of_record()
            if name not in known:
                raise SpecError(f"{text[:60]!r}: no recipe of record. {nearest(name[:60], known)}")
            return AskedRecipe(known[name], prefix == _STRETCHED)
    return None


def _read_facts(file: Path) -> RecipeOfRecord:
    lines = file.read_text(encoding="utf-8").splitlines()
    pairs = (line[2:].split(": ", 1) for line in lines if line.startswith("# "))
    facts = {"purpose" if name == "for" else name: fact for name, fact in pairs}
    facts.pop("groups", None)  # base values of each group, which the studio reads
    return RecipeOfRecord(file.stem, file, **facts)
