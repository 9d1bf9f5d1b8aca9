"""One cycle: the rate up and down, the momentum against it."""

import torch

import warmdown as wd
from warmdown import plot

torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(2, 32), torch.nn.Tanh(), torch.nn.Linear(32, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.95)  # the base rate is the peak

run = wd.Run(total_steps=300, lr=0.5)
targets = wd.one_cycle(warm="30%", div=25.0, momentum=(0.85, 0.95))  # {"lr": …, "momentum": Set(…)}
scheduler = wd.Scheduler(optimizer, **targets, run=run)
print(plot.terminal(scheduler.plan, width=80))

for step in range(300):
    points = torch.rand(64, 2) * 2 - 1
    inside = (points.square().sum(1, keepdim=True) < 0.5).float()
    loss = torch.nn.functional.binary_cross_entropy_with_logits(model(points), inside)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    scheduler.step()
    if step % 75 == 74:
        print(f"update {step}: loss {loss.item():.3f}")
