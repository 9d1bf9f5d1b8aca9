"""Checkpoints around each decay of a warmup-stable-decay run."""

from __future__ import annotations

__all__: list[str] = []
