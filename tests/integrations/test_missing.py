"""What needs a trainer that is not installed names its package, and nothing else loads one."""

from __future__ import annotations

import subprocess
import sys

MISSING = {
    "lightning": (("lightning", "pytorch_lightning"), "lightning: pip install lightning"),
    "transformers": (("transformers",), "transformers: pip install transformers"),
    "accelerate": (("accelerate",), "accelerate: pip install 'warmdown[train]'"),
    "ignite": (("ignite",), "ignite: pip install pytorch-ignite"),
}


def test_a_missing_trainer_is_named_with_its_package() -> None:
    code = f"""
import importlib, sys
import warmdown as wd
for name, (missing, _) in {MISSING}.items():
    sys.modules.update(dict.fromkeys(missing))
    try:
        importlib.import_module(f"warmdown.integrations.{{name}}")
    except wd.MissingExtra as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines() == [
        f"warmdown.integrations.{name} needs {way_out}" for name, (_, way_out) in MISSING.items()
    ], done.stderr


def test_the_room_itself_loads_no_trainer() -> None:
    code = "import sys, warmdown.integrations; print(set(sys.modules) & {'torch', 'ignite'})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "set()\n", done.stderr
