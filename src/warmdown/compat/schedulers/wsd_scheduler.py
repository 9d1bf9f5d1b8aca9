"""What ``pytorch_accelerated.schedulers.wsd_scheduler`` has."""

__all__ = ["WSDLrScheduler", "estimate_checkpoint_steps"]

from warmdown.compat.schedulers.wsd import WSDLrScheduler, estimate_checkpoint_steps
