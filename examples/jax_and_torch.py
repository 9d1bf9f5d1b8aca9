"""One schedule object drives an optax optimizer under jit and a torch one, to the same weights."""

import jax
import jax.numpy as jnp
import optax
import torch

import warmdown as wd

schedule = wd.warmup_cosine(warmup="10%", end=0.1).over(wd.Run(total_steps=50))
base = 0.3

# optax asks its schedule inside the compiled update; the schedule answers with JAX arrays
transform = optax.sgd(lambda count: base * schedule(count))
weights = jnp.array([2.0, -3.0])
state = transform.init(weights)


@jax.jit
def update(weights, state):
    """Make one update of ½‖w‖²."""
    changes, state = transform.update(weights, state)
    return optax.apply_updates(weights, changes), state


for _ in range(50):
    weights, state = update(weights, state)

parameter = torch.nn.Parameter(torch.tensor([2.0, -3.0]))
optimizer = torch.optim.SGD([parameter], lr=base)
scheduler = wd.Scheduler(optimizer, lr=schedule)
for _ in range(50):
    optimizer.zero_grad()
    (parameter.square().sum() / 2).backward()
    optimizer.step()
    scheduler.step()

print("optax:", weights.tolist())
print("torch:", parameter.tolist())
assert jnp.allclose(weights, jnp.array(parameter.tolist()), rtol=1e-4)
