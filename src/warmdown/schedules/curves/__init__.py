"""One move each: a value that travels once from start to end, or keeps falling without end."""

from warmdown.schedules.curves.basic import *
from warmdown.schedules.curves.rare import *
from warmdown.schedules.curves.unbounded import *
