"""What ``pytorch_accelerated.schedulers.cosine_scheduler`` has."""

__all__ = ["CosineLrScheduler"]

from warmdown.compat.schedulers.cosine import CosineLrScheduler
