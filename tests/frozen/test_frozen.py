"""Files that version 0.1.0 wrote are read as they are, and mean what they meant."""

from __future__ import annotations

import json
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.frozen import parts

import warmdown as wd

FOLDER = parts.FOLDER


@cache
def frozen(name: str) -> Any:
    """Return the content of a frozen JSON file."""
    return json.loads((FOLDER / name).read_text(encoding="utf-8"))


@cache
def is_same_arithmetic() -> bool:
    """Whether this machine gives the last bits that the maker's gave."""
    return bool(parts.arithmetic() == frozen("arithmetic.json"))


def assert_same(found: Any, wanted: Any, rel: float = 1e-12) -> None:
    """Hold numbers to the same bits, or to ``rel`` where the machine's own sine or matrix product
    differs.
    """
    if isinstance(wanted, dict):
        assert found.keys() == wanted.keys()
        for key in wanted:
            assert_same(found[key], wanted[key], rel)
    elif isinstance(wanted, list):
        assert len(found) == len(wanted)
        for one, other in zip(found, wanted, strict=True):
            assert_same(one, other, rel)
    elif isinstance(wanted, float) and not is_same_arithmetic():
        assert found == pytest.approx(wanted, rel=rel, abs=rel * 1e-3)
    else:
        assert found == wanted


@pytest.mark.parametrize("name", sorted(frozen("plans.json")))
def test_a_plan_file_has_the_fingerprint_and_the_values_that_it_had(name: str) -> None:
    wanted = frozen("plans.json")[name]
    plan = wd.load(FOLDER / "plans" / name)
    assert plan.fingerprint == wanted["fingerprint"]
    assert wd.loads(wanted["written"]) == plan
    measured = plan.over(wd.Run(total_steps=120)) if plan.run == wd.Run() else plan.over()
    assert measured.fingerprint == wanted["measured"]
    assert [target.label for target in measured.targets] == wanted["labels"]
    values = [
        [float(t.rule.value(step, base=0.3)) for step in wanted["at"]] for t in measured.targets
    ]
    assert_same(values, wanted["values"])


# the lives of the files give fewer data with each update than their plans say
@pytest.mark.filterwarnings("ignore::warmdown.errors.AmountMismatch")
@pytest.mark.parametrize("form", ["full", "compact"])
@pytest.mark.parametrize("name", sorted(path.stem for path in (FOLDER / "states").iterdir()))
def test_a_state_goes_on_as_it_would_have_gone_on(name: str, form: str) -> None:
    wanted = frozen(f"states/{name}.json")
    scheduler, timer = parts.scheduler_of(wd.load(FOLDER / "plans" / wanted["plan"]), strict=False)
    scheduler.load_state_dict(wanted[form])
    assert (scheduler.count, scheduler.position) == (wanted["count"], wanted["position"])
    assert content(scheduler.state_dict(plan=form == "full")) == content(wanted[form])
    assert_same(parts.values_at(scheduler), wanted["at"])
    updates = max(map(len, wanted["next"].values()))
    used = parts.live(scheduler, timer, updates)
    assert_same({label: [row[label] for row in used] for label in wanted["next"]}, wanted["next"])


def content(state: dict[str, Any]) -> dict[str, Any]:
    """Return what a state says: today a whole one always has the same keys, most of them a text,
    and what schedules observed is kept by the name of their target.
    """
    written = ("events", "seen", "plan", "bases")
    read = {
        key: json.loads(value) if key in written and isinstance(value, str) else value
        for key, value in state.items()
        if value != ""
    }
    for entry in (read, *(read.get("events") or ())):
        if entry.get("seen"):
            rows = [row[3:] if isinstance(row[0], str) else [row] for row in entry["seen"]]
            entry["seen"] = [one for row in rows for one in row]
    left_out = ("version", "check")
    return {key: value for key, value in read.items() if value is not None and key not in left_out}


@pytest.mark.parametrize("name", sorted(parts.DROP_INS))
def test_a_scheduler_by_another_librarys_name_goes_on_from_its_state(name: str) -> None:
    scheduler, wanted = parts.DROP_INS[name](parts.sgd()), frozen("drop_ins.json")[name]
    load(scheduler, name)
    assert_same(parts.drive(scheduler, len(wanted["next"])), wanted["next"])


@pytest.mark.parametrize("name", sorted(parts.OTHERWISE))
def test_a_scheduler_made_with_other_arguments_than_its_state_says_which(name: str) -> None:
    make, differing = parts.OTHERWISE[name]
    with pytest.warns(UserWarning, match="".join(f"(?=.*{word}=)" for word in differing)):
        load(make(parts.sgd()), name)


def load(scheduler: Any, name: str) -> None:
    """Load the frozen states of a scheduler and of its optimizer."""
    states = (
        frozen("drop_ins.json")[name]["states"]
        or torch.load(FOLDER / "drop_ins.pt", weights_only=True)[name]
    )
    scheduler.optimizer.load_state_dict(states["optimizer"])
    scheduler.load_state_dict(states["scheduler"])


@pytest.mark.parametrize("case", frozen("imported.json"), ids=lambda case: str(case["fingerprint"]))
def test_settings_of_onetrainer_become_the_plan_that_they_became(case: Any) -> None:
    from warmdown.importing import from_settings

    plan = from_settings(case["settings"], total_steps=80, report=None).to_dict()
    # since then the settings' own rate is kept with the run, so that the plan can be used
    assert plan["run"].pop("lr", None) == case["settings"].get("learning_rate")
    assert_same(plan, case["plan"])
    assert wd.plan_from_dict(case["plan"]).fingerprint == case["fingerprint"]


def test_a_record_is_read_row_by_row() -> None:
    rows = [
        [row.step, row.target, row.value, row.reason]
        for row in wd.Record.load(FOLDER / "trainer/record.jsonl")
    ]
    assert rows == frozen("trainer/expected.json")["rows"]


def test_a_training_goes_on_from_its_checkpoint_and_ends_as_it_ended(tmp_path: Path) -> None:
    wanted = frozen("trainer/expected.json")
    shutil.copytree(FOLDER / "trainer" / "checkpoints", tmp_path / "checkpoints")
    (tmp_path / "record.jsonl").write_bytes((FOLDER / "trainer" / "record.jsonl").read_bytes())
    trainer = parts.trainer_in(tmp_path)
    parts.train(trainer, resume_from=tmp_path / "checkpoints")
    assert trainer.progress.updates == parts.UPDATES
    assert_same(parts.weights_of(trainer), wanted["weights"], rel=1e-5)
    assert_same(trainer.scheduler.values(), wanted["values"])
    rows = [
        [row.step, row.target, row.value, row.reason]
        for row in wd.Record.load(tmp_path / "record.jsonl")
    ]
    assert_same(_without_speed(rows), _without_speed(wanted["rows"]), rel=1e-5)


def _without_speed(rows: list[list[Any]]) -> list[list[Any]]:
    return [row for row in rows if "per_second" not in row[1]]


@pytest.mark.parametrize("name", ["portable.pt", "portable.safetensors"])
def test_a_portable_checkpoint_gives_back_weights_and_what_else_it_holds(
    name: str, tmp_path: Path
) -> None:
    wanted = frozen("trainer/expected.json")
    trainer = parts.trainer_in(tmp_path)
    parts.train(
        trainer,
        resume_from=shutil.copytree(FOLDER / "trainer" / "checkpoints", tmp_path / "checkpoints"),
    )
    for tensor in trainer.get_model().parameters():
        torch.nn.init.zeros_(tensor)
    trainer.scheduler.seek(3)
    trainer.load_checkpoint(FOLDER / "trainer" / name)
    assert parts.weights_of(trainer) == wanted["weights"]
    if name.endswith(".pt"):
        assert trainer.scheduler.count == parts.UPDATES
        assert_same(trainer.scheduler.values(), wanted["values"])


def test_a_comparison_finds_every_run_in_its_store(tmp_path: Path) -> None:
    from warmdown.experiments import compare

    made: list[str] = []
    out = shutil.copytree(FOLDER / "compared", tmp_path / "compared")
    told = compare(
        parts.PLANS,
        parts.TASK,
        out=out,
        progress=lambda *run: made.append(run[0]),
        **parts.COMPARED,
    )
    assert made == []
    assert_same(told.to_dict(), frozen("compared.json"))


def test_a_search_finds_every_trial_in_its_journal(tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    from warmdown.experiments import search

    made: list[int] = []
    out = shutil.copytree(FOLDER / "searched", tmp_path / "searched")
    told = search(
        parts.SPACE,
        parts.TASK,
        out=out,
        progress=lambda trial, done, total: made.append(done),
        **parts.SEARCHED,
    )
    assert made == []
    assert_same(told.to_dict(), frozen("searched.json"))
    assert {path.stem for path in (out / "runs").glob("*.json")} == {
        run for t in told.trials for run in t.runs.values()
    }


@pytest.mark.parametrize("case", frozen("links.json"), ids=lambda case: str(case["link"][5:25]))
def test_a_link_and_the_pages_memory_hold_the_draft_that_they_held(case: Any) -> None:
    from warmdown.planfile import plan_from_dict, run_from_dict
    from warmdown.studio.draft.document import read
    from warmdown.studio.draft.links import from_fragment, from_plain

    document = from_fragment(f"#{case['link']}")
    assert from_plain(case["memory"]) == document
    data = read(document).data
    # the page keeps a number as it was typed: 1e-4
    expected = case["plan"]
    assert run_from_dict(data["run"]) == run_from_dict(expected["run"])
    if "class_path" in str(expected):
        assert data["lr"] == expected["lr"]
    else:
        assert plan_from_dict(data) == plan_from_dict(expected)
