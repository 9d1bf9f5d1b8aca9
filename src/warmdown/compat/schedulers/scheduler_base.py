"""What ``pytorch_accelerated.schedulers.scheduler_base`` has."""

__all__ = ["SchedulerBase", "StatefulSchedulerBase"]

from warmdown.compat.schedulers.base import SchedulerBase, StatefulSchedulerBase
