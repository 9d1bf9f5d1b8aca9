"""A module of classes that mean harm, to be written into a folder; its import leaves a file."""

from __future__ import annotations

HOSTILE = '''
import os, sys, time
from pathlib import Path

Path(__file__).with_name("ran").touch()

class Hangs:
    def __init__(self, optimizer): time.sleep(1000)
    def step(self): ...

class HangsHard:
    def __init__(self, optimizer):
        while True: pass
    def step(self): ...

class Allocates:
    def __init__(self, optimizer): self.all = [bytearray(2**28) for _ in range(100)]
    def step(self): ...

class Exits:
    def __init__(self, optimizer): os._exit(3)
    def step(self): ...

class Raises:
    def __init__(self, optimizer): sys.exit("gone")
    def step(self): ...

class Prints:
    def __init__(self, optimizer, amount: float = 0.5):
        print('{"ready": false}'); os.write(1, b'{"look": 1}\\n'); sys.stderr.write("x" * 100_000)
        self.optimizer = optimizer
    def step(self):
        for group in self.optimizer.param_groups: group["lr"] *= 0.9

class Halves:
    def __init__(self, optimizer): self.optimizer = optimizer
    def step(self):
        for group in self.optimizer.param_groups: group["lr"] /= 2

class Takes:
    """Takes anything.

    Args:
        rate: How fast, "<b>bold</b>".
    """
    def __init__(self, optimizer, rate: float = 0.5, *, mode: "Literal['a', 'b']" = "a", **more):
        self.optimizer = optimizer
    def step(self): ...
'''
