"""One move each: a value that travels once from start to end, or keeps falling without end."""

from warmdown.schedules.curves.bent import *
from warmdown.schedules.curves.endless import *
from warmdown.schedules.curves.plain import *
