"""One trunk, three cooldowns, a cosine run of each length: what a cooldown costs and gives.

A small language model over the bytes of Python's documentation. ``python examples/wsd_branch.py
600`` takes about a minute on one core; without a number, 40 updates show how it goes. More text, on
Debian: ``apt-get install python3.11-doc``, then
``WARMDOWN_TEXT=/usr/share/doc/python3.11/html/_sources``.
"""

import sys
from pathlib import Path

import torch

import warmdown as wd
from warmdown import plot
from warmdown.training import (
    RecordCallback,
    SaveTrainingStateCallback,
    Trainer,
    curves,
    run_task,
    task_of,
)

UPDATES = int(sys.argv[1]) if len(sys.argv) == 2 and sys.argv[1].isdecimal() else 40
OUT = Path("runs/wsd")
LENGTHS = ["5%", "10%", "20%"]

torch.set_num_threads(1)
torch.manual_seed(0)
task = task_of("text")
trunk = RecordCallback(OUT / "trunk.jsonl")
trainer = Trainer(
    task.model,
    task.loss,
    task.optimizer(task.model, task.lr),
    [trunk, SaveTrainingStateCallback(OUT / "trunk")],
    seed=0,
)
trainer.train(
    task.train,
    num_epochs=1,
    max_num_train_steps=UPDATES,
    eval_dataset=task.test,
    per_device_batch_size=task.batch_size,
    plan=wd.Linear(start=0.0, end=1.0, steps="5%") >> wd.Constant(value=1.0).named("stable"),
)
print(
    f"trunk         {UPDATES:5} updates  test loss "
    f"{trainer.run_history.get_latest_metric('eval_loss_epoch'):.3f}"
)

records = {"trunk": trunk.record}
for branch in trainer.branch_cooldowns(OUT / "trunk", LENGTHS, curve="1-sqrt", out_dir=OUT):
    cosine = run_task("text", wd.warmup_cosine(warmup="5%"), max_steps=branch.stop, seed=0)
    print(
        f"cooldown {branch.length:4} {branch.stop:5} updates  test loss "
        f"{branch.metrics['eval_loss_epoch']:.3f}",
        end="",
    )
    print(
        f"   cosine of the same length, all {branch.stop} updates anew: "
        f"{cosine.metrics['eval_loss']:.3f}"
    )
    records |= {f"cooldown {branch.length}": branch.record, f"cosine {branch.stop}": cosine.record}

shown = {}
for name, record in records.items():
    shown[name] = wd.Record()
    for row in curves(record):
        # the fall of the first updates would flatten the rest
        if row.target == "lr" or (row.target == "training loss" and row.step >= UPDATES // 4):
            shown[name].add(row.step, row.target, row.value)
print(plot.save(shown, OUT / "wsd.html", title="One trunk, three cooldowns"))
