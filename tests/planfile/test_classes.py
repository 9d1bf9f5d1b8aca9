"""What a class path may import, and what it may be called with."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.compat.timm_parts import timm_scheduler

import warmdown as wd
from warmdown.cli.main import main
from warmdown.errors import ScheduleError, SpecError
from warmdown.planfile import classes
from warmdown.planfile.classes import argument_errors, find_class

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
        ("os.system", "not imported, because a file could run anything this way. Allowed are the"),
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
        ("torch.optim.lr_scheduler.warnings.warn", "not imported"),
        ("torch.optim.lr_scheduler.StepLRR", "there is no such class. Did you mean 'StepLR'?"),
        ("torch.optim.SGD", "not imported"),
        (
            "torch.optim.swa_utils.AveragedModel",
            "no scheduler: neither a class derived from a scheduler of torch",
        ),
        ("torch.optim.swa_utils.update_bn", "no scheduler"),
        ("warmdown.load", "no scheduler"),
        ("warmdown.find_rate", "no scheduler: neither a class derived from a scheduler of torch"),
        ("warmdown.training.Trainer", "not imported"),
        ("warmdown.Plan", "known to make one. Name a scheduler."),
        ("warmdown.Scheduler", "no scheduler"),
        ("warmdown.External", "no scheduler"),
        ("warmdown.Function", "no scheduler"),
        ("warmdown.nowhere.X", "not imported"),
        ("warmdown.cli.main.main", "not imported"),
        ("warmdown.schedules.nothing", "there is no such class"),
        ("timm.models.resume_checkpoint", "not imported"),
        ("timm.optim.create_optimizer", "not imported"),
        (
            "transformers.Trainer",
            "known to make one. Name a scheduler, or allow its very module or path.",
        ),
        ("transformers.AutoModel", "no scheduler"),
        ("transformers.optimization.Adafactor", "no scheduler"),
        (
            "transformers.optimization.LambdaLR",
            "is borrowed from torch.optim.lr_scheduler.LambdaLR",
        ),
    ],
)
def test_nothing_but_schedulers_of_known_modules_is_found(path: str, said: str) -> None:
    with pytest.raises(ScheduleError) as caught:
        find_class(path)
    assert said in str(caught.value)


def test_a_refused_module_is_not_even_imported(marker: Path) -> None:
    with pytest.raises(
        SpecError,
        match=r"class_path: 'foreign\.Mine': not imported.*--allow "
        r"foreign\.Mine",
    ):
        wd.from_dict({"class_path": "foreign.Mine", "init_args": {"size": 3}})
    assert not marker.exists()


@pytest.mark.parametrize("allow", ["foreign", "foreign.Mine"])
def test_the_caller_allows_by_name(marker: Path, allow: str) -> None:
    assert find_class("foreign.Mine", [allow]).__name__ == "Mine"
    assert marker.exists()


@pytest.mark.usefixtures("marker")
def test_what_is_allowed_must_still_be_a_scheduler() -> None:
    for path in ("foreign.NoScheduler", "foreign.remove"):
        with pytest.raises(ScheduleError, match="takes no 'optimizer'"):
            find_class(path, ["foreign"])
    with pytest.raises(ScheduleError, match="not imported"):
        find_class("foreign.Mine", ["fore", "foreign.Min"])


@pytest.mark.parametrize(
    "path",
    [
        "torch.optim.lr_scheduler.ReduceLROnPlateau",
        "torch.optim.swa_utils.SWALR",
        "transformers.get_wsd_schedule",
        "transformers.optimization.get_scheduler",
        "transformers.optimization.AdafactorSchedule",
        "transformers.optimization.GreedyLR",
        "timm.scheduler.CosineLRScheduler",
        "timm.scheduler.cosine_lr.CosineLRScheduler",
        "timm.scheduler.create_scheduler_v2",
        "pytorch_accelerated.schedulers.WSDLrScheduler",
        "warmdown.compat.lr_scheduler.StepLR",
        "warmdown.compat.schedulers.CosineLrScheduler",
        "warmdown.schedules.recipes.wsd",
        "warmdown.Plateau",
    ],
)
def test_schedulers_of_every_known_module_are_found_by_the_names_people_write(path: str) -> None:
    if path.startswith("timm"):
        timm_scheduler()
    pytest.importorskip(path.split(".")[0])
    assert find_class(path).__name__ == path.rsplit(".", 1)[1]


def test_a_name_that_is_refused_imports_nothing_of_a_library_that_imports_on_demand() -> None:
    code = (
        "import sys, transformers; before = set(sys.modules)\n"
        "from warmdown.planfile.classes import find_class\n"
        "try: find_class('transformers.BertModel')\n"
        "except ValueError: print([name for name in set(sys.modules) - before if "
        "name.startswith('transformers')])\n"
    )
    pytest.importorskip("transformers")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_an_allowed_package_lends_only_what_is_derived_from_a_scheduler() -> None:
    timm_scheduler()
    with pytest.raises(ScheduleError, match="no scheduler: neither a class"):
        find_class("timm.scheduler.scheduler_factory.create_scheduler")
    assert find_class("timm.scheduler.scheduler.Scheduler", ["timm"]).__name__ == "Scheduler"
    with pytest.raises(ScheduleError, match="no scheduler: neither a class"):
        find_class("timm.scheduler.scheduler_factory.create_scheduler", ["timm"])
    with pytest.raises(ScheduleError, match="no scheduler: neither a class"):
        find_class("warmdown.find_rate", ["warmdown", "warmdown.find_rate"])


RUNS = "import pathlib\npathlib.Path({marker!r}).touch()\n"
RESUMES = """
import subprocess
def resume_checkpoint(
    model, checkpoint_path, optimizer=None, loss_scaler=None, log_info=True, weights_only=False
):
    subprocess.run(checkpoint_path, shell=True, check=True)
"""


def said_of(plan: str, command: str, folder: Path) -> str:
    """Return what a command says of a plan in a folder, where it refuses the plan."""
    (folder / "plan.yaml").write_text(plan)
    given = [sys.executable, "-m", "warmdown", command, "plan.yaml"]
    done = subprocess.run(given, cwd=folder, capture_output=True, text=True)
    assert done.returncode not in (0, -9), done.stdout
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.mark.parametrize("command", ["show", "check"])
def test_a_plan_calls_nothing_of_a_library_but_its_schedulers(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library, marker = tmp_path / "library" / "timm", tmp_path / "ran"
    library.mkdir(parents=True)
    (library / "__init__.py").write_text(RUNS.format(marker=str(marker)))
    (library / "models.py").write_text(RESUMES)
    monkeypatch.syspath_prepend(str(library.parent))
    for name in [name for name in sys.modules if name.partition(".")[0] == "timm"]:
        monkeypatch.delitem(sys.modules, name)
    given = f"{{model: x, checkpoint_path: 'touch {marker}'}}"
    call = f"{{class_path: timm.models.resume_checkpoint, init_args: {given}}}"
    outer = f"{{milestones: [5], schedulers: [{call}]}}"
    nested = f"{{class_path: torch.optim.lr_scheduler.SequentialLR, init_args: {outer}}}"
    for plan in (
        f"run: {{total_steps: 9}}\nlr: {call}\n",
        f"run: {{total_steps: 9}}\nlr: {nested}\n",
    ):
        (tmp_path / "plan.yaml").write_text(plan)
        done = CliRunner().invoke(main, [command, str(tmp_path / "plan.yaml")])
        assert done.exit_code == 2
        assert "'timm.models.resume_checkpoint': not imported" in done.output
        assert not marker.exists()
    with pytest.raises(subprocess.CalledProcessError):  # it is what would have been called
        import_module("timm.models").resume_checkpoint(None, f"touch {marker}; exit 1")
    assert marker.exists()


@pytest.mark.parametrize(
    "file", ["timm/scheduler/__init__.py", "transformers.py", "torch.py", "mine/__init__.py"]
)
def test_a_file_beside_the_plan_is_not_taken_for_a_library(file: str, tmp_path: Path) -> None:
    marker, path = tmp_path / "ran", tmp_path / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(RUNS.format(marker=str(marker)))
    if file.startswith("timm"):
        (tmp_path / "timm" / "__init__.py").write_text(RUNS.format(marker=str(marker)))
    if file.startswith("mine"):
        (tmp_path / "mine-1.dist-info").mkdir()
        (tmp_path / "mine-1.dist-info" / "entry_points.txt").write_text(
            f"[{classes.GROUP}]\nmine = mine:Mine\n"
        )
    class_path = {
        "timm/scheduler/__init__.py": "timm.scheduler.CosineLRScheduler",
        "transformers.py": "transformers.get_wsd_schedule",
        "torch.py": "torch.optim.lr_scheduler.StepLR",
        "mine/__init__.py": "mine",
    }[file]
    said = said_of(
        f"run: {{total_steps: 9}}\nlr: {{class_path: {class_path}}}\n", "check", tmp_path
    )
    assert (
        "is a file of the current folder here, not an installed library. Run it from another "
        "folder, or" in said
    )
    assert not marker.exists()


@pytest.mark.usefixtures("marker")
def test_an_installed_entry_point_is_allowed_by_its_name_and_its_path(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    point = EntryPoint(name="mine", value="foreign:Mine", group=classes.GROUP)
    monkeypatch.setattr(
        "importlib.metadata.entry_points", lambda group: [point] if group == classes.GROUP else []
    )
    assert find_class("mine") is find_class("foreign.Mine")
    with pytest.raises(ScheduleError, match="not imported"):
        find_class("foreign.NoScheduler")


def test_a_library_that_is_missing_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    for module in [name for name in sys.modules if name.startswith("torch.optim")]:
        monkeypatch.delitem(sys.modules, module)
    with pytest.raises(ScheduleError, match=r"pip install 'warmdown\[torch\]'"):
        find_class("torch.optim.lr_scheduler.StepLR")


def test_a_module_that_fails_on_import_is_said_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_one.py").write_text("1 / 0")
    (tmp_path / "needs_one.py").write_text("import not_there_at_all")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(
        ScheduleError, match="cannot be imported: ZeroDivisionError: division by zero"
    ):
        find_class("broken_one.X", ["broken_one"])
    with pytest.raises(ScheduleError, match=r"its module needs 'not_there_at_all'\. Install it"):
        find_class("needs_one.X", ["needs_one"])


@pytest.mark.usefixtures("marker")
def test_arguments_are_held_against_the_signature() -> None:
    mine = find_class("foreign.Mine", ["foreign"])
    assert dict(argument_errors(mine, "Mine", {"size": 3})) == {}
    assert dict(argument_errors(mine, "Mine", {"sice": 3, "optimizer": 1})) == {
        "sice": "Mine has no 'sice'. Did you mean 'size'?",
        "optimizer": "the optimizer is not given in a file. Leave it out.",
        "": "Mine needs 'size'. Give it.",
    }
