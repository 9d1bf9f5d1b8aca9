"""Text to plan and back: YAML and JSON, placeholders with arithmetic, other libraries' classes by their path."""

from typing import TYPE_CHECKING

from warmdown.planfile.overrides import *
from warmdown.planfile.plans import *
from warmdown.planfile.schedules import drives_several as drives_several
from warmdown.planfile.schedules import shapes as shapes
from warmdown.planfile.text import from_yaml as from_yaml
from warmdown.planfile.writing import *

if TYPE_CHECKING:
    from warmdown.planfile.external import External as External


def __getattr__(name: str) -> object:
    """Load the preview of other libraries' classes when it is asked for."""
    if name != "External":
        raise AttributeError(f"module 'warmdown.planfile' has no attribute {name!r}")
    from warmdown.planfile import external

    return external.External
