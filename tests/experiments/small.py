"""The smallest task, as the text of a module: workers in other processes import it from a file."""

SMALL = """
import os, sys, time
import torch
from warmdown.training import Task

def small():
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(96, 4, generator=generator)
    data = torch.utils.data.TensorDataset(inputs, (inputs.sum(1) > 0).long())
    return Task(model=torch.nn.Linear(4, 2), loss=torch.nn.functional.cross_entropy,
                train=data, test=data,
                metrics={"accuracy": lambda out, y: (out.argmax(-1) == y).float().mean()},
                lr=0.1, epochs=2, batch_size=16)

def slow():
    time.sleep(0.5)
    return small()
"""
