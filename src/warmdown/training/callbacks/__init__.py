"""What may follow a training: progress, metrics, records, checkpoints, early ends."""

from warmdown.training.callbacks.averaging import *
from warmdown.training.callbacks.modules import *
from warmdown.training.callbacks.monitor import *
from warmdown.training.callbacks.progress import *
from warmdown.training.callbacks.saving import *
from warmdown.training.callbacks.stopping import *
