"""One schedule object, whatever its steps come from: NumPy, torch, JAX, and optax on top."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.devices import WithoutDoubles
from tests.lazily import Lazily
from tests.schedules.test_recipes import _made
from tests.strategies import schedules

import warmdown as wd
from warmdown.schedules.recipes import recipes

jax: Any = Lazily("jax")
jnp: Any = Lazily("jax.numpy")
optax: Any = Lazily("optax")

STEPS = np.arange(0, 1001, 7)
LONG = schedules(st.integers(2**31, 2**40))
HALF_A_DIGIT = 2.0**-24
"""Half a unit in the last place of a single, relative to the value."""
PLAN = wd.warmup_cosine(warmup="10%", end=0.1).over(wd.Run(total_steps=1000))


@pytest.mark.parametrize("name", recipes())
def test_a_torch_tensor_of_steps_gives_the_same_numbers_as_numpy(name: str) -> None:
    for schedule in _made(name):
        values = schedule(torch.from_numpy(STEPS))
        assert isinstance(values, torch.Tensor)
        assert values.dtype == torch.float64
        np.testing.assert_allclose(values.numpy(), schedule(STEPS), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", recipes())
def test_a_jax_array_of_steps_gives_single_precision_under_jit(name: str) -> None:
    for schedule in _made(name):
        values = jax.jit(schedule)(jnp.asarray(STEPS))
        assert isinstance(values, jax.Array)
        _assert_rounded_once(values, schedule(STEPS))


@settings(max_examples=15)
@given(schedule=LONG, steps=st.lists(st.integers(0, 2**31 - 1), min_size=4, max_size=4))
def test_jax_gives_numpys_values_rounded_once_in_a_run_of_any_length(
    schedule: wd.Schedule, steps: list[int]
) -> None:
    whole = jnp.asarray(steps, dtype=jnp.int32)
    far = jnp.asarray(steps, dtype=jnp.float32) * 999
    whole_values, far_values = jax.jit(lambda: (schedule(whole), schedule(far)))()
    _assert_rounded_once(whole_values, schedule(steps))
    _assert_rounded_once(far_values, schedule(np.asarray(far)))


def test_jax_without_jit_gives_the_same_values_as_with_it() -> None:
    schedule = wd.Linear(steps=2**35).repeat(8) >> wd.Cosine(steps=2**40)
    steps = jnp.asarray([0, 2**24 + 1, 2**31 - 1])
    assert jnp.array_equal(schedule(steps), jax.jit(schedule)(steps))
    assert schedule(steps).dtype == jnp.float32
    assert schedule(steps.astype(jnp.bfloat16)).dtype == jnp.bfloat16
    assert jnp.asarray(0.0).dtype == jnp.float32  # the caller's own numbers are left alone


@given(schedule=LONG, steps=st.lists(st.integers(0, 2**41), min_size=4, max_size=4))
def test_torch_gives_numpys_values_in_a_run_of_any_length(
    schedule: wd.Schedule, steps: list[int]
) -> None:
    whole = schedule(torch.tensor(steps))
    np.testing.assert_allclose(whole.numpy(), schedule(steps), rtol=1e-12, atol=1e-15)
    small = torch.tensor(steps, dtype=torch.int64).clamp(max=2**31 - 1).int()
    np.testing.assert_allclose(
        schedule(small).numpy(), schedule(small.numpy()), rtol=1e-12, atol=1e-15
    )
    singles = torch.tensor(steps, dtype=torch.float32)
    assert schedule(singles).dtype == torch.float32
    _assert_rounded_once(schedule(singles), schedule(singles.numpy()))


def test_whole_steps_of_a_long_run_are_singles_in_jax_on_a_device_without_doubles(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("jax")
    monkeypatch.setattr("jax.default_backend", lambda: "tpu")
    schedule = wd.Linear(steps=2**31) >> wd.Cosine(steps=2**40)
    assert "f64[]" not in str(jax.make_jaxpr(schedule)(jnp.int32(2**30)))
    np.testing.assert_allclose(schedule(jnp.int32(2**30)), 0.5, rtol=1e-6)


@pytest.mark.parametrize(
    "whole",
    [
        torch.tensor,
        lambda step: torch.tensor(step, dtype=torch.int32),
        lambda step: jnp.int32(step),
    ],
)
def test_a_whole_step_is_exact_at_the_end_of_a_long_cycle(whole: Callable[[int], Any]) -> None:
    schedule = wd.Linear(steps=2**31).repeat(8)
    assert float(schedule(whole(2**31 - 1))) == schedule(2**31 - 1) == 2.0**-31


def test_jax_that_cannot_mix_widths_computes_in_singles(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("jax")
    monkeypatch.setattr("jax.__version_info__", (0, 7, 1))
    assert "f64" not in str(jax.make_jaxpr(PLAN)(jnp.int32(50)))
    np.testing.assert_allclose(jax.jit(PLAN)(jnp.int32(50)), PLAN(50), rtol=1e-6)


def test_a_single_is_the_step_that_it_was_rounded_to() -> None:
    schedule = wd.Linear(steps=2**31).repeat(8)
    assert float(schedule(torch.tensor(2.0**31 - 1))) == schedule(2**31) == 1.0


def test_a_tensor_keeps_its_shape_and_a_float_tensor_its_precision() -> None:
    assert PLAN(torch.zeros(2, 3, dtype=torch.int64)).shape == (2, 3)
    assert PLAN(torch.tensor(7.0)).dtype == torch.float32


def test_whole_steps_become_singles_on_a_device_without_doubles() -> None:
    steps = torch.arange(0, 1000, 13, device="meta")
    with WithoutDoubles():
        assert PLAN(steps).dtype == torch.float32
    assert PLAN(steps).dtype == torch.float64


def test_a_compiled_formula_equals_the_plain_one() -> None:
    compiled = torch.compile(
        lambda step: PLAN.evaluate(step, _torch_names()), backend="eager", fullgraph=True
    )
    steps = torch.arange(0, 1000, 13, dtype=torch.float64)
    assert torch.equal(compiled(steps), PLAN(steps))


def test_the_same_schedule_drives_an_optax_optimizer_and_a_torch_one() -> None:
    start, target = np.array([1.0, -2.0]), np.array([0.3, 0.4])
    np.testing.assert_allclose(_with_optax(start, target), _with_torch(start, target), rtol=1e-5)


def _with_optax(start: Any, target: Any) -> Any:
    optimizer = optax.sgd(learning_rate=lambda count: 0.1 * PLAN(count))
    weights = jnp.asarray(start)
    state = optimizer.init(weights)

    def update(weights: Any, state: Any) -> Any:
        gradient = jax.grad(lambda w: ((w - target) ** 2).sum())(weights)
        change, state = optimizer.update(gradient, state)
        return optax.apply_updates(weights, change), state

    compiled: Any = jax.jit(update)
    for _ in range(200):
        weights, state = compiled(weights, state)
    return np.asarray(weights)


def _with_torch(start: Any, target: Any) -> Any:
    weights = torch.tensor(start, dtype=torch.float32, requires_grad=True)
    optimizer = torch.optim.SGD([weights], lr=0.1)
    scheduler = wd.Scheduler(optimizer, lr=PLAN)
    for _ in range(200):
        optimizer.zero_grad()
        torch.autograd.backward(((weights - torch.from_numpy(target).float()) ** 2).sum())
        optimizer.step()
        scheduler.step()
    return weights.detach().numpy()


def _torch_names() -> Any:
    import array_api_compat.torch

    return array_api_compat.torch


def _assert_rounded_once(values: Any, expected: Any) -> None:
    np.testing.assert_allclose(np.asarray(values), expected, rtol=1.01 * HALF_A_DIGIT, atol=1e-12)
