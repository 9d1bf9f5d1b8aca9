"""Make the frozen files: ``python -m tests.frozen.make``, run by hand, once.

The files in this folder were made by warmdown 0.1.0, before its source was restructured, and are
never made again: what they are for is that every later version reads them as they are. A new kind
of file gets a function here and is made alone; a file that is there is left alone."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from tests.frozen import parts

import warmdown as wd
from warmdown.experiments import compare, search
from warmdown.importing import from_settings
from warmdown.planfile import shapes
from warmdown.studio.draft.catalogue import catalogue
from warmdown.studio.draft.document import read
from warmdown.studio.draft.links import to_fragment, to_plain

FOLDER = parts.FOLDER
PLANS = sorted(path for path in (FOLDER / "plans").iterdir() if path.is_file())


def main() -> None:
    """Make what is not there."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    _require_every_kind()
    makers: list[tuple[str, Callable[[Path], None]]] = [
        ("arithmetic.json", lambda path: _write(path, parts.arithmetic())),
        ("plans.json", make_plans),
        ("states", make_states),
        ("drop_ins.json", make_drop_ins),
        ("trainer/expected.json", make_training),
        ("compared", make_comparison),
        ("searched", make_search),
        ("links.json", make_links),
        ("imported.json", make_imported),
    ]
    for name, make in makers:
        if not (FOLDER / name).exists():
            print(name, file=sys.stderr)
            make(FOLDER / name)


def _write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, separators=(",", ":")) + "\n", encoding="utf-8")


def _require_every_kind() -> None:
    words = set().union(*(_words(yaml.safe_load(path.read_text())) for path in PLANS))
    if missing := shapes().keys() - words:
        raise SystemExit(f"no plan in plans/ has {', '.join(sorted(missing))}")


def _words(data: Any) -> set[str]:
    if isinstance(data, dict):
        return set().union(*map(_words, data.values()))
    return set().union(*map(_words, data)) if isinstance(data, list) else {str(data)}


def make_plans(path: Path) -> None:
    """Write what every plan in ``plans/`` comes to, and its own words for itself."""
    expected = {}
    for file in PLANS:
        plan = wd.load(file)
        measured = plan.over(wd.Run(total_steps=120)) if plan.run == wd.Run() else plan.over()
        at = np.linspace(0, 1.2 * (measured.length or 100), 8).astype(int).tolist()
        expected[file.name] = {
            "fingerprint": plan.fingerprint,
            "measured": measured.fingerprint,
            "labels": [target.label for target in plan.targets],
            "at": at,
            "values": [
                [float(t.rule.value(step, base=0.3)) for step in at] for t in measured.targets
            ],
            "written": wd.dumps(plan),
        }
    _write(path, expected)


def make_states(folder: Path) -> None:
    """Write states of schedulers in the middle of their lives."""
    for name, plan, scheduler, timer in _lives():
        full, compact = scheduler.state_dict(), scheduler.state_dict(plan=False)
        case = {
            "plan": plan,
            "seconds": timer.now,
            "count": scheduler.count,
            "position": scheduler.position,
            "at": parts.values_at(scheduler),
            "full": full,
            "compact": compact,
        }
        used = parts.live(scheduler, timer, 30 if len(scheduler.values()) < 10 else 9)
        _write(
            folder / f"{name}.json",
            {**case, "next": {label: [row[label] for row in used] for label in used[0]}},
        )


def _lives() -> Iterator[tuple[str, str, wd.Scheduler, parts.Timer]]:
    for file in PLANS:
        plan = wd.load(file)
        if (
            plan.run.length is None or "longer" in file.name or file.stem == "classes"
        ):  # a preview drives nothing
            continue
        scheduler, timer = parts.scheduler_of(plan)
        parts.live(scheduler, timer, 17)
        yield file.stem, file.name, scheduler, timer
    for name, happen in _HAPPENINGS.items():
        scheduler, timer = parts.scheduler_of(wd.load(FOLDER / "plans" / "chain.json"))
        parts.live(scheduler, timer, 23)
        happen(scheduler)
        parts.live(scheduler, timer, 5)
        yield f"chain-{name}", "chain.json", scheduler, timer
    for before, after in (("chain.json", "longer.json"), ("feedback.yaml", "feedback.longer.yaml")):
        for how in ("saved", "given", "rescale", "continue", "rewarm", "fit"):
            first, timer = parts.scheduler_of(wd.load(FOLDER / "plans" / before))
            parts.live(first, timer, 31)
            first.rescale(0.9)
            second, timer = parts.scheduler_of(wd.load(FOLDER / "plans" / after))
            second.load_state_dict(first.state_dict(), on_change=how)
            parts.live(second, timer, 6)
            yield (
                f"{Path(before).stem}-switch-{how}",
                before if how == "saved" else after,
                second,
                timer,
            )


def _everything(scheduler: wd.Scheduler) -> None:
    scheduler.rescale(0.5)
    scheduler.rescale(0.9, target="momentum")
    scheduler.extend(140, on_change="continue")
    scheduler.decay_now(over=40, curve=wd.Cosine(start=1.0, end=0.1, steps="rest"))


_HAPPENINGS: dict[str, Callable[[wd.Scheduler], None]] = {
    "rescale": lambda scheduler: scheduler.rescale(0.5),
    "decay": lambda scheduler: scheduler.decay_now(over="40%"),
    "extend-given": lambda scheduler: scheduler.extend(130),
    "extend-rescale": lambda scheduler: scheduler.extend(130, on_change="rescale"),
    "extend-continue": lambda scheduler: scheduler.extend(130, on_change="continue"),
    "extend-rewarm": lambda scheduler: scheduler.extend(130, on_change="rewarm"),
    "extend-fit": lambda scheduler: scheduler.extend(130, on_change="fit"),
    "everything": _everything,
}


def make_drop_ins(path: Path) -> None:
    """Write states of schedulers under other libraries' names; what JSON cannot hold lies in
    ``drop_ins.pt``.
    """
    cases: dict[str, Any] = {}
    others: dict[str, Any] = {}
    for name, make in parts.DROP_INS.items():
        scheduler = make(parts.sgd())
        parts.drive(scheduler, 7)
        states = {
            "scheduler": scheduler.state_dict(),
            "optimizer": scheduler.optimizer.state_dict(),
        }
        try:
            is_plain = json.loads(json.dumps(states)) == states
        except TypeError:
            is_plain = False
        if not is_plain:
            others[name] = states
        text = json.loads(json.dumps(states)) if is_plain else None
        resumed = make(parts.sgd())
        resumed.optimizer.load_state_dict(states["optimizer"])
        resumed.load_state_dict(states["scheduler"])
        cases[name] = {"states": text, "next": parts.drive(resumed, 10)}
    torch.save(others, path.with_suffix(".pt"))
    _write(path, cases)


def make_imported(path: Path) -> None:
    """Write what configurations of OneTrainer become."""
    cases = []
    for settings in (
        {
            "learning_rate_scheduler": "COSINE",
            "learning_rate_warmup_steps": 0.1,
            "learning_rate_min_factor": 0.2,
        },
        {"learning_rate_scheduler": "REX", "learning_rate_warmup_steps": 10, "learning_rate": 3e-4},
        {
            "learning_rate_scheduler": "CUSTOM",
            "custom_learning_rate_scheduler": "torch.optim.lr_scheduler.StepLR",
            "scheduler_params": [
                {"key": "step_size", "value": "%TOTAL_STEPS% / 4"},
                {"key": "gamma", "value": "0.5"},
            ],
            "learning_rate_warmup_steps": 8,
            "learning_rate": 1e-3,
            "epochs": 4,
        },
    ):
        plan = from_settings(settings, total_steps=80, report=None)
        cases.append(
            {"settings": settings, "plan": plan.to_dict(), "fingerprint": plan.fingerprint}
        )
    _write(path, cases)


def make_training(path: Path) -> None:
    """Write the record, the checkpoint and the portable files of a training, and how it ends."""
    with tempfile.TemporaryDirectory() as made:
        trainer = parts.trainer_in(Path(made))
        parts.train(trainer)
        for name in ("portable.pt", "portable.safetensors"):
            trainer.save_checkpoint(path.parent / name, {"note": "made by 0.1.0"})
        shutil.copytree(made, path.parent, dirs_exist_ok=True)
    rows = [
        [row.step, row.target, row.value, row.reason]
        for row in wd.Record.load(path.parent / "record.jsonl")
    ]
    # rows that tell the time are read, not held against a later run
    _write(
        path,
        {"weights": parts.weights_of(trainer), "values": trainer.scheduler.values(), "rows": rows},
    )


def make_comparison(folder: Path) -> None:
    """Write a comparison's store, and what it tells."""
    told = compare(parts.PLANS, parts.TASK, out=folder, **parts.COMPARED).to_dict()
    _write(folder.with_suffix(".json"), told)


def make_search(folder: Path) -> None:
    """Write a search's journal and runs, and what it tells."""
    told = search(parts.SPACE, parts.TASK, out=folder, **parts.SEARCHED).to_dict()
    _write(folder.with_suffix(".json"), told)


def make_links(path: Path) -> None:
    """Write links of the page, and the content of its memory, for its own examples."""
    _write(
        path,
        [
            {
                "link": to_fragment(draft.document),
                "memory": to_plain(draft.document),
                "plan": read(draft.document).data,
            }
            for draft in (entry.draft for entry in catalogue() if entry.text)
        ],
    )


if __name__ == "__main__":
    main()
