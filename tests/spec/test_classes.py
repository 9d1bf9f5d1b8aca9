"""What a class path may import, and what it may be called with."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

import warmdown as wd
from warmdown.errors import ScheduleError, SpecError
from warmdown.spec import classes
from warmdown.spec.classes import find, misfits

SCHEDULER = """
raise_marker = open({marker!r}, "w").close()

class Mine:
    def __init__(self, optimizer, size, gamma=0.1):
        self.optimizer = optimizer

class NoScheduler:
    def __init__(self, size):
        pass

def remove(path):
    pass
"""


@pytest.fixture
def marker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the path of a file that appears when the module ``foreign`` is imported."""
    marker = tmp_path / "imported"
    (tmp_path / "foreign.py").write_text(SCHEDULER.format(marker=str(marker)))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "foreign", raising=False)
    return marker


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("os.system", "not imported, because a file could run anything this way. Allowed are torch.optim"),
        ("subprocess.Popen", "not imported"),
        ("torch.hub.load", "not imported"),
        ("torch.optimizers.X", "not imported"),
        ("foreign.Mine", "not imported"),
        ("warmdown", "not imported"),
        ("builtins.eval", "not imported"),
        ("", "not a dotted path"),
        ("a..b", "not a dotted path"),
        ("torch.optim.lr_scheduler._LRScheduler", "not a dotted path"),
        ("warmdown.__loader__", "not a dotted path"),
        ("torch.optim.lr_scheduler.StepLR(1)", "not a dotted path"),
        ("x" * 300, "not a dotted path"),
        ("torch.optim.lr_scheduler.partial", "is borrowed from functools.partial"),
        ("torch.optim.lr_scheduler.warnings.warn", "there is no module 'torch.optim.lr_scheduler.warnings' here"),
        ("torch.optim.lr_scheduler.StepLRR", "there is no such class. Did you mean 'StepLR'?"),
        ("torch.optim.SGD", "takes no 'optimizer', so it is no scheduler"),
        ("warmdown.load", "takes no 'optimizer', so it is no scheduler"),
        ("warmdown.nowhere.X", "there is no module 'warmdown.nowhere' here. Install it, or mend the path"),
    ],
)
def test_nothing_but_schedulers_of_known_modules_is_found(path: str, said: str) -> None:
    with pytest.raises(ScheduleError) as caught:
        find(path)
    assert said in str(caught.value)


def test_a_refused_module_is_not_even_imported(marker: Path) -> None:
    with pytest.raises(SpecError, match=r"class_path: 'foreign\.Mine': not imported.*--allow foreign\.Mine"):
        wd.from_dict({"class_path": "foreign.Mine", "init_args": {"size": 3}})
    assert not marker.exists()


@pytest.mark.parametrize("allow", ["foreign", "foreign.Mine"])
def test_the_caller_allows_by_name(marker: Path, allow: str) -> None:
    assert find("foreign.Mine", [allow]).__name__ == "Mine"
    assert marker.exists()


@pytest.mark.usefixtures("marker")
def test_what_is_allowed_must_still_be_a_scheduler() -> None:
    for path in ("foreign.NoScheduler", "foreign.remove"):
        with pytest.raises(ScheduleError, match="takes no 'optimizer'"):
            find(path, ["foreign"])
    with pytest.raises(ScheduleError, match="not imported"):
        find("foreign.Mine", ["fore", "foreign.Min"])


@pytest.mark.usefixtures("marker")
def test_an_installed_entry_point_is_allowed_by_its_name_and_its_path(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint(name="mine", value="foreign:Mine", group=classes.GROUP)
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [point] if group == classes.GROUP else [])
    assert find("mine") is find("foreign.Mine")
    with pytest.raises(ScheduleError, match="not imported"):
        find("foreign.NoScheduler")


def test_a_library_that_is_missing_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    for module in [name for name in sys.modules if name.startswith("torch.optim")]:
        monkeypatch.delitem(sys.modules, module)
    with pytest.raises(ScheduleError, match=r"pip install 'warmdown\[torch\]'"):
        find("torch.optim.lr_scheduler.StepLR")


def test_a_module_that_fails_on_import_is_said_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_one.py").write_text("1 / 0")
    (tmp_path / "needs_one.py").write_text("import not_there_at_all")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ScheduleError, match="cannot be imported: ZeroDivisionError: division by zero"):
        find("broken_one.X", ["broken_one"])
    with pytest.raises(ScheduleError, match=r"its module needs 'not_there_at_all'\. Install it"):
        find("needs_one.X", ["needs_one"])


@pytest.mark.usefixtures("marker")
def test_arguments_are_held_against_the_signature() -> None:
    mine = find("foreign.Mine", ["foreign"])
    assert dict(misfits(mine, "Mine", {"size": 3})) == {}
    assert dict(misfits(mine, "Mine", {"sice": 3, "optimizer": 1})) == {
        "sice": "Mine has no 'sice'. Did you mean 'size'?",
        "optimizer": "the optimizer is not given in a file. Leave it out.",
        "": "Mine needs 'size'. Give it.",
    }
