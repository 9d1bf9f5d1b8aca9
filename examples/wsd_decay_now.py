"""A trunk at a constant rate that decays on demand; and the same trunk, branched another way."""

import copy

import torch

import warmdown as wd
from warmdown import plot

torch.manual_seed(0)
model = torch.nn.Linear(8, 1)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
scheduler = wd.Scheduler(optimizer, lr=wd.warmup_constant(warmup=20), run=wd.Run(total_steps=300))


def train(updates: int) -> list[float]:
    """Train, and return the rate that each update used."""
    rates = []
    for _ in range(updates):
        rates.append(optimizer.param_groups[0]["lr"])
        loss = (model(torch.randn(32, 8)) - 1.0).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
    return rates


trunk = train(200)
saved = copy.deepcopy((model.state_dict(), optimizer.state_dict(), scheduler.state_dict()))

for over in (30, 90):  # two cooldowns from one trunk
    for part, state in zip((model, optimizer, scheduler), copy.deepcopy(saved), strict=True):
        part.load_state_dict(state)
    scheduler.decay_now(over=over)
    rates = trunk + train(over)
    print(
        f"decay over {over:2}: {plot.sparkline(rates, width=60)}  {len(rates)} updates, last "
        f"rate {rates[-1]:.1e}"
    )
