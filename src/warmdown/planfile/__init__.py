"""Text to plan and back: YAML and JSON, placeholders, other libraries' classes by their path."""

from warmdown.planfile.of_record import *
from warmdown.planfile.overrides import *
from warmdown.planfile.plans import *
from warmdown.planfile.schedules import drives_several as drives_several
from warmdown.planfile.schedules import shapes as shapes
from warmdown.planfile.text import from_yaml as from_yaml
from warmdown.planfile.writing import *
