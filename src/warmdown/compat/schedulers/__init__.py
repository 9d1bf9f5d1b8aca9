"""pytorch-accelerated's schedulers by their names, right where their own documentation is."""

from warmdown.compat.schedulers.base import *
from warmdown.compat.schedulers.cosine import *
from warmdown.compat.schedulers.wsd import *
