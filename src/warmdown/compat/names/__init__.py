"""Schedules by the names that other libraries give them."""

from warmdown.compat.names.onetrainer import *
from warmdown.compat.names.timm import *
from warmdown.compat.names.transformers import *
