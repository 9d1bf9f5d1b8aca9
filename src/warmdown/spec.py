"""The former name of :mod:`warmdown.planfile`, which goes in 0.2."""

from typing import Any

from warmdown.errors import warn_renamed


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(f"module 'warmdown.spec' has no attribute {name!r}")
    import warmdown
    from warmdown import planfile

    warn_renamed("warmdown.spec", "warmdown.planfile")
    return getattr(warmdown if name == "External" else planfile, name)
