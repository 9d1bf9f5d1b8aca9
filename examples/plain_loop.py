"""A plain loop: see the schedule, train under it, and see what the optimizer was given."""

import torch

import warmdown as wd
from warmdown import plot

torch.manual_seed(0)
inputs = torch.randn(512, 16)
targets = inputs @ torch.randn(16, 1) + 0.1 * torch.randn(512, 1)
model = torch.nn.Linear(16, 1)
optimizer = torch.optim.AdamW(model.parameters(), lr=0.05)

plan = wd.Plan.of(lr=wd.warmup_cosine(warmup="10%", end=0.01), run=wd.Run(total_steps=200, lr=0.05))
print(plot.terminal(plan, width=80, height=8))

scheduler = wd.Scheduler(optimizer, plan)
record = wd.Record()
for step in range(200):
    rows = torch.randint(0, 512, (64,))
    loss = torch.nn.functional.mse_loss(model(inputs[rows]), targets[rows])
    record.add(step, "lr", optimizer.param_groups[0]["lr"])  # what this update uses
    record.add(step, "loss", loss.item())
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    scheduler.step()  # after the optimizer, once per update

print(plot.summary(plan, record=record))
