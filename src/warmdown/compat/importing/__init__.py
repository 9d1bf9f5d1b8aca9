"""Other libraries' schedulers as plans of ours."""

from warmdown.compat.importing.entry import *
from warmdown.compat.importing.settings import *
