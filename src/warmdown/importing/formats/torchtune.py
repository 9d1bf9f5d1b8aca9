"""torchtune's YAML: ``lr_scheduler`` and ``optimizer`` with a ``_component_``."""

from __future__ import annotations

from warmdown.errors import ScheduleError
from warmdown.importing.formats.section import KnownRun, Section, Settings, refuse_rates
from warmdown.importing.formats.training_arguments import named_plan
from warmdown.importing.numbers import count_of_setting
from warmdown.plan import Plan
from warmdown.planfile.text import describe

_COSINE = "get_cosine_schedule_with_warmup"


def read_torchtune(settings: Settings, known: KnownRun) -> Plan:
    """Read torchtune's cosine after a warmup; without an ``lr_scheduler`` the rate is constant.

    Raises:
        ScheduleError: It is another scheduler, or the run's length is not known.
    """
    given = Section("torchtune", settings)
    optimizer = given.part("optimizer")
    lr = known.lr or optimizer.number("lr")
    total = _updates_of_recipe(given, known)
    refuse_rates("torchtune", settings, ("lr_scheduler",), known)
    scheduler = given.part("lr_scheduler")
    if not scheduler.entries:
        return named_plan("constant", warmup=0, total=total, lr=lr, kwargs={}, known=known)
    path = str(scheduler.raw("_component_"))
    if path.rpartition(".")[2] != _COSINE:
        raise ScheduleError(
            f"torchtune.lr_scheduler._component_={describe(path)}: {_COSINE} is the only one that "
            "is read. Import a class by its class_path."
        )
    scheduler.raw("last_epoch")
    warmup = scheduler.count("num_warmup_steps")
    kwargs = {"num_cycles": scheduler.number("num_cycles", 0.5)}
    scheduler.refuse_rest()
    return named_plan("cosine", warmup=warmup, total=total, lr=lr, kwargs=kwargs, known=known)


def _updates_of_recipe(given: Section, known: KnownRun) -> int:
    if known.total_steps:
        return known.total_steps
    most = count_of_setting(given.entries, "max_steps_per_epoch")
    if most is not None and known.steps_per_epoch is None:
        known.tell(f"max_steps_per_epoch={most}: the data is taken to have at least as many.")
    each = min(filter(None, (most, known.steps_per_epoch)), default=None)
    return given.count("epochs", known.epochs) * (each or known.updates(1))
