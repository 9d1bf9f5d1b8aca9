"""Text to plan and back: YAML and JSON, placeholders with arithmetic, other libraries' classes by their path."""

from typing import TYPE_CHECKING

from warmdown.spec.changing import *
from warmdown.spec.plans import *
from warmdown.spec.reading import from_yaml as from_yaml
from warmdown.spec.schedules import drives_several as drives_several
from warmdown.spec.schedules import shapes as shapes
from warmdown.spec.writing import *

if TYPE_CHECKING:
    from warmdown.spec.external import External as External


def __getattr__(name: str) -> object:
    """Load the preview of other libraries' classes when it is asked for."""
    if name != "External":
        raise AttributeError(f"module 'warmdown.spec' has no attribute {name!r}")
    from warmdown.spec import external

    return external.External
