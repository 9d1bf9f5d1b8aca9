"""Seeing: a plan, a schedule or a record as a picture, a page, a line of blocks, or plain sentences."""

from warmdown.plot.formatting import *
from warmdown.plot.page import *
from warmdown.plot.picture import *
from warmdown.plot.summary import *
from warmdown.plot.terminal import *
from warmdown.plot.view import *
