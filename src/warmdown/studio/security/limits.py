"""How much a page, a link or a file may ask for."""

from __future__ import annotations

LONGEST_TEXT = 200_000
"""Characters of a plan, whether it comes as a file, a link or from the tab's memory."""
MOST_SCHEDULES = 1_000
"""Schedules in one plan on the page; what has more is shown by the command line."""
MOST_PHASES = 100
"""Phases of one target on the page."""
MOST_FOREIGN_STEPS = 200_000
"""Updates for which a class of another library is stepped; further ones are not drawn."""
