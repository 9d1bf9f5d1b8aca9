"""Training: a trainer on accelerate that gets schedules, checkpoints and resume right."""

from warmdown.training.branch import *
from warmdown.training.callbacks import *
from warmdown.training.checkpoint import *
from warmdown.training.curves import *
from warmdown.training.history import *
from warmdown.training.planning import *
from warmdown.training.progress import *
from warmdown.training.tasks import *
from warmdown.training.trainer import *
from warmdown.training.weights import *
