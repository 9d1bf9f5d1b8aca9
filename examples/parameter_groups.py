"""Two parameter groups: each has its own base rate, and the head its own schedule."""

import torch

import warmdown as wd
from warmdown import plot

torch.manual_seed(0)
backbone, head = torch.nn.Linear(16, 16), torch.nn.Linear(16, 1)
optimizer = torch.optim.AdamW(
    [
        {"params": backbone.parameters(), "lr": 1e-4, "name": "backbone"},
        {"params": head.parameters(), "lr": 1e-3, "name": "head"},
    ]
)

plan = wd.Plan.of(
    lr={
        # frozen for a fifth of the run, then warmed up to a tenth of what the head has
        "backbone": wd.Constant(value=0.0, steps="20%").named("frozen")
        >> wd.warmup_cosine(warmup="10%"),
        "head": wd.Cosine(end=0.1),
    },
    run=wd.Run(total_steps=100),
)
scheduler = wd.Scheduler(optimizer, plan)

for step in range(100):
    if step % 20 == 0:
        print(step, {target: f"{value:.2e}" for target, value in scheduler.values().items()})
    loss = head(backbone(torch.randn(8, 16)).relu()).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    scheduler.step()

print(plot.terminal(plan, groups={"backbone": 1e-4, "head": 1e-3}, width=80, height=8, log=True))
