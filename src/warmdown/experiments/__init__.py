"""Experiments: which rate, which schedule, with evidence."""

from warmdown.experiments.compare import *
from warmdown.experiments.comparison import *
from warmdown.experiments.find import *
from warmdown.experiments.search import *
