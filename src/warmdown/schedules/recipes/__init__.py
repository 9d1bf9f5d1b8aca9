"""Named wholes that people search for: each is an expression of curves and compositions, nothing more."""

from warmdown.schedules.recipes.cyclic import *
from warmdown.schedules.recipes.registry import *
from warmdown.schedules.recipes.warmup import *
from warmdown.schedules.recipes.wsd import *
