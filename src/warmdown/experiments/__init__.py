"""Experiments: which rate, which schedule, with evidence."""

from warmdown.experiments.find import *
