"""Numbers that only a training run knows: arithmetic with them before it starts."""

__all__ = ["Facts", "Placeholder", "TrainerPlaceholderValues", "resolve"]

from warmdown.expressions import Facts as Facts
from warmdown.expressions import Placeholder as Placeholder
from warmdown.expressions import TrainerPlaceholderValues as TrainerPlaceholderValues
from warmdown.expressions import resolve as resolve
