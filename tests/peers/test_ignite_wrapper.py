"""ignite's LRScheduler drives our names by hand, as it drives torch's: whole runs and resumes."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from tests.compat.loops import rates
from tests.compat.torch_names import ARGUMENTS, momentum, torchs, wlr
from torch.optim import swa_utils

from warmdown.errors import BindingError

ignite: Any = pytest.importorskip("ignite.handlers.param_scheduler")

CLASSES = {
    "step": "StepLR",
    "multi": "MultiStepLR",
    "linear": "LinearLR",
    "exponential": "ExponentialLR",
    "polynomial": "PolynomialLR",
    "cosine": "CosineAnnealingLR",
    "restarts": "CosineAnnealingWarmRestarts",
    "cyclic": "CyclicLR",
    "one cycle": "OneCycleLR",
    "swa": "SWALR",
    "constant": "ConstantLR",
    "lambda": "LambdaLR",
    "multiplicative": "MultiplicativeLR",
}
GIVEN = {
    **ARGUMENTS,
    "one cycle": (0.5, 40),
    "constant": (0.5, 4),
    "lambda": (lambda step: 0.9**step,),
    "multiplicative": (lambda step: 0.9,),
}
Handler = Callable[[Any], Any]


def scheduler(names: Any, kind: str) -> Any:
    """Return a scheduler of ours or torch's, on an optimizer of its own."""
    home = swa_utils if names is torchs and kind == "swa" else names
    return getattr(home, CLASSES[kind])(momentum(), *GIVEN[kind])


def warmed(wrapped: Any) -> Any:
    return ignite.create_lr_scheduler_with_warmup(wrapped, 0.0, 4)


def warmed_higher(wrapped: Any) -> Any:
    return ignite.create_lr_scheduler_with_warmup(wrapped, 0.01, 3, warmup_end_value=0.7)


def concatenated(wrapped: Any) -> Any:
    later = ignite.PiecewiseLinear(wrapped.optimizer, "lr", [(0, 0.2), (9, 0.1)])
    return ignite.ConcatScheduler([ignite.LRScheduler(wrapped), later], [5])


HANDLERS: dict[str, Handler] = {
    "wrapped": ignite.LRScheduler,
    "warmed": warmed,
    "warmed higher": warmed_higher,
    "concatenated": concatenated,
}


def driven(handler: Any, optimizer: Any, events: int) -> list[list[float]]:
    """Return the rates after each event that the handler was attached to."""
    used = []
    for _ in range(events):
        handler(None)
        used.append(rates(optimizer))
        optimizer.step()
    return used


def broken_off(names: Any, kind: str, handler: Handler, at: int, *, with_rates: bool) -> Any:
    """Return the rates of a run that is saved after so many events, and goes on from the file."""
    first = scheduler(names, kind)
    whole = handler(first)
    before = driven(whole, first.optimizer, at)
    file = io.BytesIO()
    torch.save({"handler": whole.state_dict(), "optimizer": first.optimizer.state_dict()}, file)
    file.seek(0)
    saved = torch.load(file, weights_only=False)
    again = scheduler(names, kind)
    resumed = handler(again)
    if with_rates:
        again.optimizer.load_state_dict(saved["optimizer"])
    resumed.load_state_dict(saved["handler"])
    return before + driven(resumed, again.optimizer, 12)


@pytest.mark.parametrize("handler", HANDLERS.values(), ids=HANDLERS)
@pytest.mark.parametrize("kind", CLASSES)
def test_a_whole_run_has_the_rates_of_torchs(kind: str, handler: Handler) -> None:
    ours, theirs = scheduler(wlr, kind), scheduler(torchs, kind)
    used = driven(handler(ours), ours.optimizer, 20)
    expected = driven(handler(theirs), theirs.optimizer, 20)
    np.testing.assert_allclose(used, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("with_rates", [True, False], ids=["with the optimizer", "alone"])
@pytest.mark.parametrize("at", [0, 1, 3, 6])
@pytest.mark.parametrize("handler", [ignite.LRScheduler, warmed], ids=["wrapped", "warmed"])
@pytest.mark.parametrize("kind", CLASSES)
def test_a_saved_run_goes_on_with_the_rates_of_torchs(
    kind: str, handler: Handler, at: int, with_rates: bool
) -> None:
    ours = broken_off(wlr, kind, handler, at, with_rates=with_rates)
    theirs = broken_off(torchs, kind, handler, at, with_rates=with_rates)
    np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kind", [kind for kind in CLASSES if kind not in ("lambda", "restarts")])
def test_simulated_values_are_those_of_torchs_and_leave_no_trace(kind: str) -> None:
    def simulated(names: Any) -> Any:
        one = scheduler(names, kind)
        values = ignite.LRScheduler.simulate_values(9, one)
        return [value[1:] for value in values] + driven(ignite.LRScheduler(one), one.optimizer, 9)

    np.testing.assert_allclose(simulated(wlr), simulated(torchs), rtol=1e-9, atol=1e-12)


def test_the_legacy_order_is_torchs() -> None:
    def legacy(names: Any) -> list[list[float]]:
        one = scheduler(names, "cosine")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            handler = ignite.LRScheduler(one, use_legacy=True)
        return driven(handler, one.optimizer, 10)

    np.testing.assert_allclose(legacy(wlr), legacy(torchs), rtol=1e-9)


def composed(names: Any, name: str) -> Any:
    optimizer = momentum()
    parts = [names.ExponentialLR(optimizer, 0.5), names.ExponentialLR(optimizer, 0.9)]
    if name == "ChainedScheduler":
        return names.ChainedScheduler(parts)
    return names.SequentialLR(optimizer, parts, [3])


@pytest.mark.parametrize("name", ["ChainedScheduler", "SequentialLR"])
def test_what_is_composed_is_refused_with_the_way_out_where_torchs_fails(name: str) -> None:
    with pytest.raises(NotImplementedError):
        driven(ignite.LRScheduler(composed(torchs, name)), None, 1)
    handler = ignite.LRScheduler(composed(wlr, name))
    with pytest.raises(BindingError, match=rf"{name}\(last_epoch=1\).*add_event_handler"):
        driven(handler, scheduler(wlr, "step").optimizer, 2)
