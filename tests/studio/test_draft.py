"""What is typed becomes a plan, and a plan becomes what could have been typed."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.strategies import OURS, plans

from warmdown import Cosine, Linear, Plan
from warmdown.errors import SpecError
from warmdown.planfile import dumps, loads, plan_from_dict
from warmdown.schedules.base import PlainData
from warmdown.studio.draft.catalogue import example_data, path_of
from warmdown.studio.draft.document import (
    Draft,
    Path,
    TargetRow,
    class_paths,
    get,
    mark_of,
    phases_of,
    put,
    read,
    renamed,
    targets_in,
    typed,
    with_meaning,
    with_phases,
    with_target,
    without_target,
)
from warmdown.studio.draft.files import document_from, opened, saved_text
from warmdown.studio.draft.history import History
from warmdown.studio.draft.joints import inserted, is_joined, value_at
from warmdown.studio.draft.links import from_fragment, from_plain, to_fragment, to_plain
from warmdown.studio.preview.preview import preview

COSINE = {"kind": "cosine", "end": 0.1}
EMPTY: PlainData = Draft().document


def document(**plan: Any) -> PlainData:
    """Return a document of a plan."""
    return {**EMPTY, "plan": plan}


@given(plan=plans())
def test_what_opens_is_the_plan_that_was_written(plan: Plan) -> None:
    assert plan_from_dict(read(document_from(plan.to_dict())).data) == plan


@given(plan=plans())
def test_a_document_survives_the_tabs_memory_and_a_link(plan: Plan) -> None:
    made = document_from(plan.to_dict())
    assert from_plain(json.loads(json.dumps(to_plain(made)))) == made
    assert from_fragment(f"#{to_fragment(made)}") == made


@pytest.mark.parametrize("kind", OURS)
def test_whatever_is_chosen_begins_as_something_that_can_be_drawn(kind: str) -> None:
    assert path_of(example_data(kind)).startswith("M")


WRITTEN = """\
# my plan, with care
run: {epochs: 3, steps_per_epoch: 500, lr: 2e-5}   # three epochs

# the rate
lr:
  - {kind: linear, start: 0, end: 1.0, steps: "5%", name: warmup}  # up
  - kind: cosine   # down
    end: 1e-1
weight_decay: {set: {kind: cosine, start: 0.04, end: 0.4}}
"""


def test_a_file_that_is_saved_unchanged_is_the_same_text() -> None:
    assert saved_text(opened(WRITTEN), "plan.yaml") == WRITTEN


def test_a_save_changes_what_was_edited_and_keeps_comments_order_and_spelling() -> None:
    draft = opened(WRITTEN)
    edited = put(draft.document, ("plan", "lr", 1, "end"), "5e-2")
    text = saved_text(replace(draft, document=edited), "plan.yaml")
    assert text == WRITTEN.replace("end: 1e-1", "end: 5e-2")
    more = put(edited, ("plan", "lr"), [*get(edited, ("plan", "lr")), {"kind": "constant"}])
    more = put(more, ("plan", "weight_decay"), None)
    text = saved_text(replace(draft, document=more), "plan.yaml")
    assert loads(text) == plan_from_dict(read(more).data)
    assert "# my plan, with care" in text
    assert "# up" in text
    assert "weight_decay" not in text


@given(plan=plans(), other=plans())
def test_a_save_over_any_file_is_the_plan_of_the_page(plan: Plan, other: Plan) -> None:
    draft = replace(
        opened(saved_text(Draft(document_from(plan.to_dict())), "a.yaml")),
        document=document_from(other.to_dict()),
    )
    assert loads(saved_text(draft, "a.yaml")) == other


def test_a_save_over_a_file_keeps_the_order_of_groups() -> None:
    first, second = Cosine(steps=10), Linear(steps=10)
    was = Plan.of(lr={"*": first, "head": second})
    now = Plan.of(lr={"head": second, "*": first})
    assert was != now
    draft = replace(opened(dumps(was)), document=document_from(now.to_dict()))
    assert loads(saved_text(draft, "plan.yaml")) == now


def test_groups_and_loader_stand_in_comments_and_come_back_as_they_were_written() -> None:
    made = {
        "plan": {"run": {"epochs": 2}, "lr": COSINE},
        "groups": [{"name": "unet", "lr": "1e-4"}, {"name": "new: x", "lr": "1e-3"}],
        "loader": {"batches": "1960", "accumulation": "4", "processes": "2", "batch_size": "8"},
    }
    text = saved_text(Draft(made), "plan.yaml")
    assert opened(text).document == made
    assert loads(text).run.steps_per_epoch == 490
    # the file was edited elsewhere: what it says counts
    changed = opened(text.replace("steps_per_epoch: 490", "steps_per_epoch: 100")).document
    assert changed["loader"] == {"batches": "100", "batch_size": "64"}


def test_opening_a_file_with_a_foreign_class_imports_nothing() -> None:
    draft = opened("lr: {class_path: no.such.module.Thing, init_args: {a: [1]}}")
    assert class_paths(draft.document) == {"no.such.module.Thing": [("plan", "lr")]}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("lr: {kind: cosin}", "cosine"),
        ("lr: 5", "could mean two things"),
        ("run: {total_stepz: 5}\nlr: cosine", "total_stepz"),
        ("- &a [*a]", "anchors"),
        ("lr: [" + "cosine, " * 101 + "]", "more than 100 phases"),
    ],
)
def test_a_file_that_cannot_be_shown_whole_is_refused_with_the_reason(text: str, told: str) -> None:
    with pytest.raises(SpecError, match=told):
        opened(text)


@pytest.mark.parametrize(
    ("text", "plan"),
    [
        ("cosine", {"lr": {"kind": "cosine"}}),
        ("[cosine, {kind: constant}]", {"lr": ["cosine", {"kind": "constant"}]}),
        (
            "{run: {total_steps: 5}, kind: cosine}",
            {"run": {"total_steps": 5}, "lr": {"kind": "cosine"}},
        ),
    ],
)
def test_a_schedule_alone_drives_the_rate(text: str, plan: PlainData) -> None:
    assert opened(text).document["plan"] == plan
    assert plan_from_dict(plan) == loads(text)


def test_a_recipe_for_several_fields_opens_as_its_targets() -> None:
    made = opened("run: {total_steps: 100}\ntargets: one_cycle").document
    assert [row.field for row in targets_in(made)] == ["lr", "momentum"]


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("number", "1e-4", "1e-4"),
        ("number", "0.5", 0.5),
        ("number", " %LR% / 10 ", "%LR% / 10"),
        ("number", "1.5e", "1.5e"),
        ("duration", "500", 500),
        ("duration", "5%", "5%"),
        ("durations", "50, 80%", [50, "80%"]),
        ("numbers", "(0.1,)", [0.1]),
        ("flag", "no", False),
        ("value", "[[1, 2], [3]]", [[1, 2], [3]]),
        ("value", "None", None),
        ("value", "yes", True),
        ("value", "cos", "cos"),
        ("value", "__import__('os')", "__import__('os')"),
        ("text", "7", "7"),
        ("number", "", None),
    ],
)
def test_a_text_means_what_a_person_means_in_that_field(
    kind: str, text: str, value: object
) -> None:
    assert typed(kind, text) == value


def test_epochs_and_batches_come_to_updates() -> None:
    loader = {
        "batches": "2,000", "accumulation": "4", "processes": "2", "batch_size": "8",
        "tokens": "512",
    }  # fmt: skip
    made = {**document(run={"epochs": 20}), "loader": loader}
    assert read(made).data["run"] == {
        "epochs": 20, "steps_per_epoch": 500, "samples_per_step": 64, "tokens_per_step": 32768
    }  # fmt: skip


@pytest.mark.parametrize("text", ["-1", "0", "1.5", "many", "1e30", "nan"])
def test_a_count_that_is_none_is_marked_at_its_field(text: str) -> None:
    assert set(read({**EMPTY, "loader": {"batches": text}}).mistakes) == {"loader.batches"}


def test_a_base_value_that_is_none_is_marked_at_its_field() -> None:
    assert set(read({**EMPTY, "groups": [{"lr": "fast"}]}).mistakes) == {"groups[0].lr"}


@pytest.mark.parametrize(
    ("data", "path"),
    [
        ({"lr": [COSINE, {"kind": "linear", "end": "x"}]}, ("plan", "lr", 1, "end")),
        ({"lr": {"kind": "linear", "end": "x"}}, ("plan", "lr", "end")),
        ({"lr": {"groups": {"head": {"kind": "linear", "end": "x"}}}},
         ("plan", "lr", "groups", "head", "end")),
        ({"wd": {"set": [{"kind": "sum", "terms": [{"kind": "linear", "end": "x"}]}]}},
         ("plan", "wd", "set", 0, "terms", 0, "end")),
    ],
)  # fmt: skip
def test_a_mistake_has_the_mark_of_its_field(data: PlainData, path: Path) -> None:
    (mistake,) = preview(data, {}).mistakes
    assert f"plan.{mistake.partition(': ')[0]}" == mark_of(path)
    assert get({"plan": data}, path) == "x"


def kinds_of(made: PlainData, row: TargetRow) -> list[str]:
    """Return the kind of each phase."""
    return [get(made, (*path, "kind")) for path in phases_of(made, row)]


@pytest.mark.parametrize(
    "rule",
    [
        "linear",
        {"kind": "linear"},
        ["linear"],
        {"set": "linear"},
        {"scale": ["linear"], "low": 1e-6},
        {"kind": "chain", "members": ["linear"]},
        {"groups": {"head": "linear"}},
    ],
)
def test_phases_are_added_and_removed_however_the_rule_is_written(rule: Any) -> None:
    made = document(lr=rule)
    (row,) = targets_in(made)
    assert kinds_of(made, row) == ["linear"]
    more = with_phases(made, row, [{"kind": "sqrt"}, get(made, phases_of(made, row)[0])])
    assert kinds_of(more, row) == ["sqrt", "linear"]
    assert len(plan_from_dict(more["plan"]).targets) == 1
    assert with_phases(more, row, []) == EMPTY


def test_a_value_is_put_deep_into_schedules_of_schedules_and_an_empty_one_is_taken_out() -> None:
    inner = {"kind": "sum", "terms": ["cosine", {"kind": "clipped", "of": "linear"}]}
    path: Path = ("plan", "lr", "terms", 1, "of", "steps")
    changed = put(document(lr=inner), path, "30%")
    assert get(changed, path[:-1]) == {"kind": "linear", "steps": "30%"}
    assert get(put(changed, path, ""), path[:-1]) == {"kind": "linear"}


def test_a_target_of_some_groups_stands_before_that_of_all_as_the_first_that_fits_counts() -> None:
    made = with_target(document(lr=COSINE), "lr", "head", {"kind": "linear"})
    assert [row.groups for row in targets_in(made)] == ["head", "*"]
    made = renamed(made, targets_in(made)[0], "tail.*")
    assert [row.label for row in targets_in(made)] == ["lr/tail.*", "lr"]
    assert renamed(made, targets_in(made)[0], "*") == made  # that is taken
    assert [row.groups for row in targets_in(without_target(made, targets_in(made)[0]))] == ["*"]


def test_a_number_is_a_factor_or_the_value_itself() -> None:
    made = document(momentum=COSINE)
    (row,) = targets_in(made)
    assert with_meaning(made, row, "set")["plan"] == {"momentum": {"set": COSINE}}
    assert with_meaning(with_meaning(made, row, "set"), row, "scale") == made


@given(texts=st.lists(st.sampled_from(["1", "2", "30", ""]), min_size=1, max_size=20))
def test_every_edit_can_be_undone_and_made_again(texts: list[str]) -> None:
    history, drafts = History(Draft()), [Draft()]
    for text in texts:
        edited = put(history.now.document, ("plan", "run", "epochs"), text)
        history.edit(replace(history.now, document=edited))
        if history.now != drafts[-1]:
            drafts.append(history.now)
    for draft in reversed(drafts[:-1]):
        assert history.undo() == draft
    assert not history.can_undo
    for draft in drafts[1:]:
        assert history.redo() == draft
    assert not history.can_redo


def test_typing_in_one_field_is_one_edit() -> None:
    history = History(Draft())
    for name, text in (("epochs", "1"), ("epochs", "10"), ("epochs", "100"), ("budget", "2h")):
        edited = put(history.now.document, ("plan", "run", name), text)
        history.edit(replace(history.now, document=edited), burst=name)
    assert history.undo().document["plan"] == {"run": {"epochs": "100"}}
    assert history.undo() == Draft()


def test_undo_brings_back_the_file_of_the_plan_and_a_save_names_all_of_its_states() -> None:
    history = History(Draft(document(lr="cosine"), "mine.yaml", "1"))
    history.edit(Draft(document(lr="linear"), "other.yaml", "7", lineage=1))
    assert history.undo().file == "mine.yaml"
    history.redo()
    history.edit(replace(history.now, document=document(lr="sqrt")))
    history.name_file("new.yaml", "8", "lr: sqrt\n")
    assert (history.undo().file, history.undo().file) == ("new.yaml", "mine.yaml")


@pytest.mark.parametrize(
    "fragment", ["", "#plan=", "#plan=%%%", "#plan=AAAA", "#other", "#plan=" + "A" * 300_000]
)
def test_a_damaged_link_is_refused(fragment: str) -> None:
    with pytest.raises(SpecError, match="link"):
        from_fragment(fragment)


@pytest.mark.parametrize(
    "change",
    [
        {"version": 3},
        {"version": 1},
        {"plan": []},
        {"plan": "many"},
        {"groups": []},
        {"groups": [{"name": 5}]},
        {"loader": {"batches": 5}},
        {"plan": {"lr": {"kind": "x" * 3000}}},
        {"plan": {"lr": [{"kind": "cosine"}] * 101}},
    ],
)
def test_plain_data_that_is_no_document_of_ours_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        from_plain({**to_plain(EMPTY), **change})


def test_a_link_of_the_first_version_is_the_plan_that_it_was() -> None:
    def phase(kind: str, name: str = "", path: str = "", steps: str = "", **given: Any) -> Any:
        return {"kind": kind, "name": name, "path": path, "steps": steps, "given": given}

    def track(field: str, *phases: Any, **change: Any) -> Any:
        usual = {"groups": "*", "meaning": "scale", "warmup": "", "low": "", "offset": None}
        return {"field": field, "phases": phases, **usual, **change}

    step = {"step_size": "3"}
    inner = phase("cosine", end="0.1")
    tracks = [
        track(
            "lr",
            phase("class", " theirs ", " torch.optim.lr_scheduler.StepLR ", "50%", **step),
            phase("class", "", "torch.optim.lr_scheduler.ConstantLR"),
            warmup=" 5% ",
            low="1e-5",
        ),
        track("momentum", phase("sum", terms=[inner, inner]), meaning="set"),
        track("ema_decay", phase("repeat", of=inner), offset=phase("constant", value="0.1")),
        track("weight_decay"),
    ]
    run = {"total_steps": "100", "batches": "7"}
    groups = [{"name": "a", "bases": {"lr": "1e-3", "momentum": ""}}]
    old = {"version": 1, "run": run, "groups": groups, "tracks": tracks, "after_end": "zero"}
    made = from_plain(json.loads(json.dumps(old)))
    assert made["groups"] == [{"name": "a", "lr": "1e-3"}]
    assert made["loader"] == {"batches": "7"}
    cosine = {"kind": "cosine", "end": 0.1}
    rise = {"kind": "linear", "start": 0.0, "end": 1.0, "steps": "5%", "name": "warmup"}
    theirs = {"class_path": "torch.optim.lr_scheduler.StepLR", "init_args": {"step_size": 3}}
    other = {"class_path": "torch.optim.lr_scheduler.ConstantLR"}
    assert made["plan"] == {
        "run": {"total_steps": 100},
        "lr": {"scale": [rise, {**theirs, "steps": "50%", "name": "theirs"}, other], "low": "1e-5"},
        "momentum": {"set": {"kind": "sum", "terms": [cosine, cosine]}},
        "ema_decay": {
            "scale": {"kind": "repeat", "of": cosine},
            "offset": {"kind": "constant", "value": 0.1},
        },
        "after_end": "zero",
    }


def test_a_document_of_more_schedules_than_a_page_shows_is_refused() -> None:
    plan = {f"field {at}": [{"kind": "cosine"}] * 100 for at in range(11)}
    with pytest.raises(ValueError, match="too many schedules"):
        from_plain(to_plain(document(**plan)))
    lines = [f"x{at}: [{', '.join(['{kind: cosine}'] * 99)}]" for at in range(11)]
    with pytest.raises(SpecError, match="more than 1,000 schedules"):
        opened("\n".join(lines))
    with pytest.raises(SpecError, match=r"200,001 characters: more than the page shows"):
        opened("#" * 200_001)


def test_a_comment_that_is_none_of_ours_stays_and_damaged_ones_are_passed_over() -> None:
    text = "# groups: [\n# loader: 3\n# mine\nlr: cosine\n"
    draft = opened(text)
    assert (draft.document["groups"], draft.document["loader"]) == ([{}], {})
    assert saved_text(draft, "plan.yaml") == "# mine\nlr: cosine\n"


def test_what_joins_two_phases_is_a_number_or_nothing() -> None:
    rows = [{"kind": "linear", "end": "x"}, {"kind": "cosine", "start": 0.5}, "wsd"]
    made = document(lr=rows)
    (row,) = targets_in(made)
    assert value_at(made, ("plan", "lr", 0, "end")) != value_at(made, ("plan", "lr", 0, "end"))
    assert not is_joined(made, row, 1, ())
    # after one whose end is no number a phase begins with its own default, and keeps a given start
    assert inserted(made, row, 1, {"kind": "cosine"}, share=50.0)["plan"]["lr"][1] == {
        "kind": "cosine"
    }
    given = inserted(made, row, 2, {"kind": "cosine", "start": 0.3}, share=50.0)
    assert given["plan"]["lr"][2] == {"kind": "cosine", "start": 0.3}
    assert given["plan"]["lr"][1]["steps"] == "25%"
    after = inserted(made, row, 3, {"kind": "linear"}, share=50.0)["plan"]["lr"]
    assert after[2:] == ["wsd", {"kind": "linear"}]
