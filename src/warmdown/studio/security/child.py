"""The process in which the page runs code of other libraries."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping

from warmdown.importing.fence_worker import Task, serve
from warmdown.system import end_with_parent


def answer_the_page() -> None:
    """Answer until the page is gone."""
    end_with_parent()
    serve(_tasks)


def _tasks() -> Mapping[str, Task]:
    from warmdown.studio.preview.bring import import_configuration, turn_classes
    from warmdown.studio.preview.foreign import describe_class, look_at

    return {
        "describe": describe_class,
        "look": look_at,
        "native": turn_classes,
        "read": import_configuration,
    }


if __name__ == "__main__":
    sys.path[:] = json.loads(sys.argv[1])
    answer_the_page()
