"""What looks on while a trainer works: progress, metrics, records, checkpoints, early ends."""

from warmdown.training.callbacks.base import *
from warmdown.training.callbacks.ema import *
from warmdown.training.callbacks.modules import *
from warmdown.training.callbacks.monitor import *
from warmdown.training.callbacks.progress import *
from warmdown.training.callbacks.saving import *
from warmdown.training.callbacks.stopping import *
from warmdown.training.callbacks.usual import *
from warmdown.training.callbacks.watching import *
from warmdown.training.callbacks.wsd import *
