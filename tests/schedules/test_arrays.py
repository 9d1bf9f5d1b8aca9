"""One schedule object, whatever its steps come from: NumPy, torch, JAX, and optax on top."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch
from tests.devices import WithoutDoubles
from tests.schedules.test_recipes import _made

import warmdown as wd
from warmdown.schedules.recipes import recipes

STEPS = np.arange(0, 1001, 7)
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
        np.testing.assert_allclose(np.asarray(values), schedule(STEPS), rtol=2e-4, atol=2e-6)


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
