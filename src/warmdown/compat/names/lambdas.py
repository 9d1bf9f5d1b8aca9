"""A native scheduler that shows its curve as torch's ``LambdaLR`` does: factors, one a group."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

from warmdown.binding import Scheduler
from warmdown.errors import BindingError
from warmdown.schedules import Scale, Set

Factor: TypeAlias = Callable[[int], float]

_COMPARED = (*range(16), *(2**power for power in range(4, 17)))
"""Steps at which a function that is assigned is compared with the plan."""


@dataclass(frozen=True)
class PlannedFactor:
    """What a plan multiplies a group's base rate by, as a function of the step; it is picklable.

    Args:
        rule: The plan's, for the group's rate.
        base: The group's base rate.
    """

    rule: Scale | Set
    base: float

    def __call__(self, step: int) -> float:
        """Return the factor at a step; a base of 0 has the factor of a base of 1."""
        base = self.base or 1.0
        return float(self.rule.value(step, base)) / base


class LambdaScheduler(Scheduler):
    """The scheduler that ``get_scheduler`` returns, with transformers' ``lr_lambdas``."""

    _wrapped: list[Factor] | None = None
    """What was assigned."""

    @property
    def lr_lambdas(self) -> list[Factor]:
        """The factor of each group, as a function of the step.

        Others that give the same, such as wrappers of these, can be assigned.

        Raises:
            BindingError: They do not.
        """
        if self._wrapped is not None:
            return self._wrapped
        rule = self.plan.targets[0].rule
        return [PlannedFactor(rule, base) for base in self.base_lrs]

    @lr_lambdas.setter
    def lr_lambdas(self, functions: Iterable[Factor]) -> None:
        self._wrapped = None
        planned, given = self.lr_lambdas, list(functions)
        if len(given) != len(planned) or not all(map(_agree, planned, given)):
            raise BindingError(
                f"{type(self).__name__}(lr_lambdas={given!r:.60}): they are not the plan's own "
                "factors, one for each group, and it follows its plan alone. For functions of your "
                "own use warmdown.compat.lr_scheduler.LambdaLR."
            )
        self._wrapped = given


def _agree(planned: Factor, given: object) -> bool:
    if not callable(given):
        return False
    return all(math.isclose(planned(step), given(step), abs_tol=1e-12) for step in _COMPARED)
