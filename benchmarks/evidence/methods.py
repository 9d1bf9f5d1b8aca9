"""The methods that are compared, each as a plan in which only the base rate is open."""

from __future__ import annotations

__all__ = ["METHODS", "Setting", "settings", "space_of"]

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Lr = Mapping[str, Any]

_CONSTANT: Lr = {"lr": {"kind": "constant", "value": 1.0}}
_COSINE: Lr = {"lr": {"kind": "warmup_cosine", "warmup": "5%"}}
_ONE_CYCLE: Lr = {"targets": {"kind": "one_cycle"}}
_WSD: Lr = {"lr": {"kind": "wsd", "warmup": "5%", "decay": "20%"}}

SHARES = {"17": 100 / 6, "25": 25.0, "33": 100 / 3, "50": 50.0, "67": 200 / 3}
"""Length of a stair as a share of the run, in percent, by its name."""
PATIENCES = (1, 2, 5, 10)
TIMES = (1, 3, 10, 30)
"""Peaks of one-cycle, in best constant rates."""


def _stairs(share: float) -> Lr:
    return {"lr": {"kind": "staircase", "gamma": 0.1, "every": f"{share:.6g}%"}}


def _plateau(patience: int) -> Lr:
    return {"lr": {"kind": "plateau", "metric": "eval_loss", "factor": 0.5, "patience": patience}}


METHODS: Mapping[str, tuple[Lr, float]] = {
    "constant": (_CONSTANT, 1.0),
    "constant, 60 %": (_CONSTANT, 0.6),
    "cosine": (_COSINE, 1.0),
    "cosine, 60 %": (_COSINE, 0.6),
    "one-cycle": (_ONE_CYCLE, 1.0),
    "one-cycle, 60 %": (_ONE_CYCLE, 0.6),
    "wsd": (_WSD, 1.0),
    **{f"step {name} %": (_stairs(share), 1.0) for name, share in SHARES.items()},
    **{f"plateau {patience}": (_plateau(patience), 1.0) for patience in PATIENCES},
}
"""Each method's targets, and its share of the full number of epochs."""


@dataclass(frozen=True)
class Setting:
    """One set of experiments.

    Args:
        name: Of its folder.
        kind: What it speaks about: ``images`` or ``text``.
        description: Data, model and optimizer, in words.
        tune: The task that rates are tuned on.
        judge: The task that methods are judged on.
        epochs: The full length of a run.
        low: Lowest rate that is tried.
        high: Highest rate.
        trials: Trials of each method.
        seeds: Seeds of each method; none of them is used for tuning.
        methods: Which methods.
    """

    name: str
    kind: str
    description: str
    tune: str
    judge: str
    epochs: int
    low: float
    high: float
    trials: int = 8
    seeds: int = 8
    methods: tuple[str, ...] = tuple(METHODS)


_TASKS = "benchmarks.evidence.tasks"
_CORE = (
    "constant",
    "constant, 60 %",
    "cosine",
    "cosine, 60 %",
    "one-cycle",
    "one-cycle, 60 %",
    "wsd",
    "step 33 %",
)

settings: Mapping[str, Setting] = {
    one.name: one
    for one in (
        Setting(
            "fashion",
            "images",
            "5,120 pictures of Fashion-MNIST, a small convolutional network, SGD with momentum, "
            "batches of 64",
            f"{_TASKS}:fashion_tune",
            f"{_TASKS}:fashion_judge",
            25,
            3e-3,
            1.0,
        ),
        Setting(
            "text",
            "text",
            "51,264 bytes of text, a small transformer over bytes, AdamW, batches of 16",
            f"{_TASKS}:text_tune",
            f"{_TASKS}:text_judge",
            20,
            3e-4,
            1e-1,
            trials=16,
            methods=_CORE[:6],
        ),
        Setting(
            "large",
            "images",
            "50,000 pictures of Fashion-MNIST, a residual network, SGD with momentum, batches of "
            "512",
            f"{_TASKS}:large_tune",
            f"{_TASKS}:large_judge",
            30,
            1e-3,
            1.0,
            seeds=16,
            methods=_CORE,
        ),
    )
}


def space_of(method: str, setting: Setting) -> dict[str, Any]:
    """Return the plan of a method with its base rate open."""
    targets, share = METHODS[method]
    rate = {"low": setting.low, "high": setting.high, "log": True}
    return {"run": {"epochs": max(1, round(share * setting.epochs)), "lr": rate}, **targets}
