"""Other people's names: constructors and spellings, never a formula, never a loop over groups."""

from collections.abc import Mapping
from typing import Any, TypeAlias

State: TypeAlias = Mapping[str, Any]
"""A scheduler's state, or some of its attributes, by their names."""
StateDict: TypeAlias = dict[str, Any]
"""What ``state_dict()`` returns."""
