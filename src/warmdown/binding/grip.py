"""Everything that one scheduler drives: it finds the fields, and finds them again when an optimizer changes."""

from __future__ import annotations

__all__ = ["Grip"]

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch

from warmdown.binding.course import Course
from warmdown.binding.drive import Drive
from warmdown.binding.field import Call, Field, Groups
from warmdown.errors import BindingError, nearest
from warmdown.plan import EVERY_GROUP, Target
from warmdown.schedules import Scale


class Grip:
    """The fields of some optimizers and objects that a plan's targets name.

    Args:
        optimizers: Torch optimizers, or what wraps them.
        bound: Plain objects by target name.
        course: The plan underway.

    Raises:
        BindingError: A target names a field or a group that is not there.
    """

    def __init__(self, optimizers: Iterable[Any], bound: Mapping[str, Any], course: Course) -> None:
        self._bound = bound
        self.groups = Groups(optimizers)
        self.drives: list[Drive] = []
        self.take(course)

    def take(self, course: Course) -> None:
        """Drive what the course's plan names; what is driven already keeps its base values."""
        before, targets = {drive.field_key: drive for drive in self.drives}, course.plan.targets
        for target in targets:
            self._require_group(target)
        self.drives = self._bind(targets, {}, [])
        for drive in self.drives:
            if old := before.get(drive.field_key):
                drive.carry_on(old)

    def regroup(self, course: Course) -> None:
        """Follow the groups that were added or removed; those known keep their base value and their line."""
        before = {drive.field_key: drive for drive in self.drives}
        self.groups = Groups(self.groups.optimizers)
        self.drives = self._bind(course.plan.targets, _known(self.drives), self.drives)
        for drive in self.drives:
            if old := before.get(drive.field_key):
                drive.keep_findings(old)

    def reload(self, optimizer: Any, course: Course) -> None:
        """Follow an optimizer to the groups that loading a state has made; its tensors are the same as before."""
        known, was = _known(self.drives), self.groups
        for drive in self.drives:
            if isinstance(drive.field, Field) and drive.field.optimizer is optimizer:
                drive.field.restore_tensors()
        self.groups = Groups(was.optimizers)
        for (_, _, new), (_, _, old) in zip(self.groups.every, was.every, strict=True):
            known.update(
                {
                    (name, id(new)): fact
                    for (name, group), fact in list(known.items())
                    if group == id(old)
                }
            )
        self.drives = self._bind(course.plan.targets, known, self.drives)

    def find(self, target: str, group: int | str) -> tuple[Drive, int]:
        """Return the drive of a target, and the group's place in it.

        Raises:
            BindingError: No such number is driven.
        """
        mine = [
            (drive, place)
            for drive in self.drives
            if drive.name == target
            for place in range(len(drive.labels))
        ]
        if isinstance(group, int) and 0 <= group < len(mine):
            return mine[group]
        for drive, place in mine:
            if drive.labels[place] == f"{target}/{group}":
                return drive, place
        known = [label for drive in self.drives for label in drive.labels]
        asked = f"{target}/{group}"
        raise BindingError(
            f"Scheduler({asked!r}): no such number is driven. {nearest(asked, known)}"
        )

    def bases_of(self, course: Course) -> dict[str, float]:
        """Return the base values that the course scales, by label."""
        return {
            label: base
            for drive in self.drives
            for label, base, line in zip(drive.labels, drive.bases, drive.lines, strict=True)
            if isinstance(course.lines[line].rule, Scale)
        }

    def read(self, name: str | None = None) -> dict[str, float]:
        """Return what is held now by label, of one target or of all."""
        mine = [drive for drive in self.drives if name in (None, drive.name)]
        return {
            label: held
            for drive in mine
            for label, held in zip(drive.labels, drive.field.read(), strict=True)
        }

    def _bind(
        self, targets: Sequence[Target], known: _Known, before: Sequence[Drive]
    ) -> list[Drive]:
        drives: list[Drive] = []
        for name in dict.fromkeys(target.name for target in targets):
            mine = {line: target for line, target in enumerate(targets) if target.name == name}
            if name in self._bound:
                bound = self._bound[name]
                old = next((drive.bases[0] for drive in before if drive.name == name), None)
                drives.append(
                    Drive(
                        name,
                        bound if hasattr(bound, "ahead") else Call(bound),
                        [name],
                        [*mine][:1],
                        [old],
                    )
                )
            else:
                drives += self._on_optimizers(name, mine, known, before)
        return drives

    def _on_optimizers(
        self, name: str, targets: Mapping[int, Target], known: _Known, before: Sequence[Drive]
    ) -> list[Drive]:
        several = len(self.groups.optimizers) > 1
        labelled = list(zip(self.groups.every, self.groups.names, strict=True))
        drives: list[Drive] = []
        for optimizer in self.groups.optimizers:
            driven: list[tuple[int, str, int, float | None]] = []
            for place, ((owner, index, group), label) in enumerate(labelled):
                if owner is optimizer and not (several and not Field.fits(name, group)):
                    line, base = known.get(
                        (name, id(group)), (_line_of(targets, place, label), None)
                    )
                    if line is not None:
                        driven.append(
                            (
                                index,
                                f"{name}/{label}",
                                line,
                                _base_shared(group, name, before, base),
                            )
                        )
            if driven:
                mine = [one.field for one in before if one.field_key == (name, id(optimizer))]
                old = next((field for field in mine if isinstance(field, Field)), None)
                indices, labels, lines, bases = zip(*driven, strict=True)
                curves = list(zip(lines, bases, strict=True))
                field = Field(optimizer, name, indices, curves=curves, instead_of=old)
                drives.append(Drive(name, field, labels, lines, bases))
        if not drives and not before:
            raise BindingError(
                f"Scheduler({name}=…): no optimizer has it. A plain object is bound: "
                f"bind={{{name!r}: Attribute(…)}}."
            )
        return drives

    def _require_group(self, target: Target) -> None:
        names = self.groups.names
        fits = any(target.fits(label, place) for place, label in enumerate(names))
        if not fits and target.groups != EVERY_GROUP and target.name not in self._bound:
            raise BindingError(
                f"Scheduler({target.name}={{{target.groups!r}: …}}): no parameter group has this "
                f"name or index. "
                f"{nearest(target.groups, names)}"
            )


_Known = dict[tuple[str, int], tuple[int, float]]
"""By field and group's identity: the line that the group follows, and its base value."""


def _known(drives: Sequence[Drive]) -> _Known:
    return {
        (drive.name, id(group)): (line, base)
        for drive in drives
        if isinstance(drive.field, Field)
        for group, line, base in zip(drive.field.groups, drive.lines, drive.bases, strict=True)
    }


def _base_shared(
    group: Any, name: str, before: Sequence[Drive], base: float | None
) -> float | None:
    """Return the base of a group that joins with a known group's tensor: torch gives its default to both."""
    if base is not None:
        return base
    for drive in before:
        if drive.name == name and isinstance(drive.field, Field):
            for held, known in zip(drive.field.raw_values(), drive.bases, strict=True):
                if isinstance(held, torch.Tensor) and any(
                    held is value for value in group.values()
                ):
                    return known
    return None


def _line_of(targets: Mapping[int, Target], place: int, label: str) -> int | None:
    """Return the line of the first target that fits the group."""
    return next((line for line, target in targets.items() if target.fits(label, place)), None)
