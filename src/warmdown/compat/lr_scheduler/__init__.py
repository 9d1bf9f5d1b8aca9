"""The names of ``torch.optim.lr_scheduler``, right where torch's own are wrong."""

from warmdown.compat.lr_scheduler.base import *
from warmdown.compat.lr_scheduler.composed import *
from warmdown.compat.lr_scheduler.curves import *
from warmdown.compat.lr_scheduler.cycles import *
from warmdown.compat.lr_scheduler.functions import *
from warmdown.compat.lr_scheduler.plateau import *
