"""Checks: what is wrong with a plan, found before it runs."""

from warmdown.checks.finding import *
from warmdown.checks.whole import *
