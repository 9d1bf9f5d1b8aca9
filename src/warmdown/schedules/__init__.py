"""Schedules: pure functions from a step to a number, and the ways to compose them."""

from warmdown.schedules.base import *
from warmdown.schedules.compose import *
from warmdown.schedules.curves import *
from warmdown.schedules.cycles import *
from warmdown.schedules.feedback import *
from warmdown.schedules.piecewise import *
from warmdown.schedules.plateau import *
from warmdown.schedules.recipes import *
from warmdown.schedules.rule import *
from warmdown.schedules.time import *
from warmdown.schedules.value import *
