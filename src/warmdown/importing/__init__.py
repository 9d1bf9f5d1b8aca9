"""Other libraries' schedulers as plans of ours."""

from warmdown.importing.entry import *
from warmdown.importing.settings import *
