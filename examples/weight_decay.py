"""Weight decay and the second beta beside the learning rate, under one clock."""

import torch

import warmdown as wd
from warmdown import plot

model = torch.nn.Linear(16, 1)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.04, betas=(0.9, 0.95))

plan = wd.Plan.of(
    lr=wd.warmup_cosine(warmup="10%"),  # a bare schedule scales what the optimizer was given
    weight_decay=wd.Cosine(start=1.0, end=10.0),  # of each group's own: biases at 0 stay at 0
    **{"betas[1]": wd.Set(wd.Linear(start=0.95, end=0.999))},  # Set says the value itself
    run=wd.Run(total_steps=100, lr=1e-3),
)
print(plot.terminal(plan, width=80))

scheduler = wd.Scheduler(optimizer, plan)
for step in range(100):
    loss = model(torch.randn(8, 16)).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    scheduler.step()
    if step in (0, 49, 99):
        group = optimizer.param_groups[0]
        print(
            step,
            f"lr {group['lr']:.2e}  weight decay {group['weight_decay']:.3f}  beta 2 "
            f"{group['betas'][1]:.4f}",
        )
