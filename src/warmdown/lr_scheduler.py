"""The path where torch has its schedulers: it leads to those of the same names here."""

from warmdown.errors import UnknownImport

raise UnknownImport(
    "warmdown.lr_scheduler: there is no such module. Torch's schedulers are in "
    "warmdown.compat.lr_scheduler, by their names: from warmdown.compat.lr_scheduler import StepLR."
)
