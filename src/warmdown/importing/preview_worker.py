"""The process that previews of other libraries' classes run in: ``python -m`` starts it."""

from __future__ import annotations

import json
import sys

from warmdown.importing.external import TASKS
from warmdown.importing.fence_worker import serve

if __name__ == "__main__":
    sys.path[:] = json.loads(sys.argv[1])
    serve(lambda: TASKS)
