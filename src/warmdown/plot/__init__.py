"""Pictures of a plan, a schedule or a record: a chart, a page, a line of blocks, sentences."""

from warmdown.plot.formatting import *
from warmdown.plot.page import *
from warmdown.plot.picture import *
from warmdown.plot.summary import *
from warmdown.plot.terminal import *
from warmdown.plot.view import *
