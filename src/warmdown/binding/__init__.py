"""Schedules on live objects: the only room that writes to an optimizer."""

from warmdown.binding.field import *
from warmdown.binding.scheduler import *
