"""A plan as a file: read it, look at it, find what is wrong with it, train under it."""

from pathlib import Path

import torch

import warmdown as wd
from warmdown import plot

Path("plan.yaml").write_text("""
run: {epochs: 10, steps_per_epoch: 20, lr: 1e-3}
lr:
  - {kind: linear, start: 0.0, end: 1.0, steps: 1ep, name: warmup}
  - {kind: cosine, end: 0.1}
weight_decay: {kind: cosine, start: 1.0, end: 2.0}
""")

plan = wd.load("plan.yaml")
print(plot.summary(plan))
print(wd.dumps(plan))  # the same plan, as text again
plot.save(plan, "plan.html", title="The plan")  # a page for a browser; .png and .svg too

model = torch.nn.Linear(4, 1)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
scheduler = wd.Scheduler(optimizer, plan)
for _ in range(200):
    loss = model(torch.randn(8, 4)).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    scheduler.step()
print("after the last update:", scheduler.values())

try:
    wd.loads("lr: {kind: cosin, end: 0.1}")
except wd.SpecError as error:
    print("refused:", error)
