"""Scaling rules: a rate, a batch or a weight decay for another run, from those of a tuned one."""

from __future__ import annotations

__all__ = [
    "scale_batch_with_data",
    "scale_decay_with_batch_and_data",
    "scale_rate_linearly",
    "scale_rate_with_sqrt",
]

import math
from typing import Any

from warmdown.errors import ForecastError


def scale_rate_linearly(lr: float, *, batch: float, tuned_batch: float) -> float:
    r"""Return the rate for another batch, in proportion to it: the rule for SGD.

    .. math:: \eta = \eta_0 \frac{B}{B_0}

    Args:
        lr: Rate that was tuned, above 0.
        batch: Samples or tokens in an update of the new run.
        tuned_batch: The same of the run in which the rate was tuned, in the same unit.

    Raises:
        ForecastError: A number is not above 0.

    Example:
        >>> scale_rate_linearly(5e-4, batch=1024, tuned_batch=512)
        0.001

    Reference: Goyal et al. 2017, https://arxiv.org/abs/1706.02677; DeiT's is per 512 images.
    """
    _require_positive("scale_rate_linearly", lr=lr, batch=batch, tuned_batch=tuned_batch)
    return lr * batch / tuned_batch


def scale_rate_with_sqrt(lr: float, *, batch: float, tuned_batch: float) -> float:
    r"""Return the rate for another batch, with its square root: the rule for Adam and its like.

    .. math:: \eta = \eta_0 \sqrt{B / B_0}

    Args:
        lr: Rate that was tuned, above 0.
        batch: Samples or tokens in an update of the new run.
        tuned_batch: The same of the run in which the rate was tuned, in the same unit.

    Raises:
        ForecastError: A number is not above 0.

    Example:
        >>> scale_rate_with_sqrt(0.02, batch=2**21, tuned_batch=2**19)
        0.04

    Reference: Malladi et al. 2022, https://arxiv.org/abs/2205.10287, which changes Adam's betas and
    epsilon with the batch too; nanochat takes the rate alone, and for Muon as an assumption.
    """
    _require_positive("scale_rate_with_sqrt", lr=lr, batch=batch, tuned_batch=tuned_batch)
    return lr * math.sqrt(batch / tuned_batch)


def scale_batch_with_data(
    batch: float, *, tokens: float, tuned_tokens: float, exponent: float = 0.383
) -> float:
    r"""Return the batch for a run over more or fewer tokens.

    .. math:: B = B_0 (D / D_0)^{exponent}

    Args:
        batch: Batch that was tuned, in any unit; the result has the same, and is not rounded.
        tokens: Tokens of the new run.
        tuned_tokens: Tokens of the run in which the batch was tuned.
        exponent: How fast the batch grows.

    Raises:
        ForecastError: A number is not above 0.

    Example:
        >>> round(scale_batch_with_data(2**19, tokens=8e9, tuned_tokens=1e9) / 2**19, 3)
        2.218

    Reference: Bergsma et al. 2025, https://arxiv.org/abs/2505.13738, have the exponent; nanochat
    begins from a tuned batch, as here, and takes the nearest power of two.
    """
    who = "scale_batch_with_data"
    _require_positive(who, batch=batch, tokens=tokens, tuned_tokens=tuned_tokens, exponent=exponent)
    return batch * math.pow(tokens / tuned_tokens, exponent)


def scale_decay_with_batch_and_data(
    weight_decay: float,
    *,
    batch: float,
    tuned_batch: float,
    tokens: float,
    tuned_tokens: float,
) -> float:
    r"""Return the weight decay for another batch and other data, under a rate that grows with both.

    .. math:: \lambda = \lambda_0 \sqrt{B / B_0}\; \frac{D_0}{D}

    It keeps :math:`B / (\eta \lambda D)`, the epochs that weights remember, where the rate follows
    :func:`scale_rate_with_sqrt`.

    Args:
        weight_decay: Decay that was tuned, above 0.
        batch: Samples or tokens in an update of the new run.
        tuned_batch: The same of the run in which the decay was tuned, in the same unit.
        tokens: Tokens of the new run.
        tuned_tokens: Tokens of the run in which the decay was tuned.

    Raises:
        ForecastError: A number is not above 0.

    Example:
        >>> scale_decay_with_batch_and_data(
        ...     0.28, batch=2**21, tuned_batch=2**19, tokens=4e9, tuned_tokens=1e9
        ... )
        0.14

    Reference: Wang & Aitchison 2024, https://arxiv.org/abs/2405.13698, for AdamW; the formula is
    nanochat's, for Muon.
    """
    who = "scale_decay_with_batch_and_data"
    given = {"batch": batch, "tuned_batch": tuned_batch, "tokens": tokens}
    _require_positive(who, weight_decay=weight_decay, **given, tuned_tokens=tuned_tokens)
    return weight_decay * math.sqrt(batch / tuned_batch) * (tuned_tokens / tokens)


def _require_positive(who: str, **numbers: Any) -> None:
    for name, value in numbers.items():
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not (is_number and 0 < value < float("inf")):
            raise ForecastError(f"{who}({name}={value!r}): a number above 0 is needed. Correct it.")
