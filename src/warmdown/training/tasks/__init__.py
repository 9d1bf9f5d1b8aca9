"""Tasks: what to train on, built by name, and a run of one under a plan."""

from warmdown.training.tasks.run import *
from warmdown.training.tasks.task import *
