"""What is typed becomes a plan, and a plan becomes what could have been typed."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.strategies import OURS, plans

from warmdown import Plan
from warmdown.errors import SpecError
from warmdown.planfile import plan_from_dict
from warmdown.studio.draft.catalogue import catalogue, example_data, path_of, searched
from warmdown.studio.draft.edits import add_group, add_target, get, insert, move, put, remove
from warmdown.studio.draft.history import History
from warmdown.studio.draft.model import FOREIGN, Draft, Group, RunTexts, ScheduleDraft, TargetDraft
from warmdown.studio.draft.opening import draft_of, opened, schedule_draft, with_targets
from warmdown.studio.draft.presets import PRESETS, Preset
from warmdown.studio.draft.stored import from_fragment, from_plain, to_fragment, to_plain
from warmdown.studio.draft.writing import value_of, written
from warmdown.studio.preview.export import plan_json, plan_yaml
from warmdown.studio.preview.preview import preview

COSINE = ScheduleDraft("cosine", (("end", "0.1"),))
MULTISTEP = ScheduleDraft(
    FOREIGN, (("milestones", "50, 100"),), path="torch.optim.lr_scheduler.MultiStepLR"
)


@given(plan=plans())
def test_what_opens_is_the_plan_that_was_written(plan: Plan) -> None:
    assert plan_from_dict(written(draft_of(plan.to_dict())).data) == plan


@given(plan=plans())
def test_a_draft_survives_the_tabs_memory_and_a_link(plan: Plan) -> None:
    draft = draft_of(plan.to_dict())
    assert from_plain(json.loads(json.dumps(to_plain(draft)))) == draft
    assert from_fragment(f"#{to_fragment(draft)}") == draft


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.title)
@pytest.mark.parametrize("form", [plan_yaml, plan_json])
def test_a_situation_is_a_plan_without_mistakes_and_its_file_opens_as_the_same(
    preset: Preset, form: object
) -> None:
    text = form(preset.draft)  # type: ignore[operator]
    again = opened(text, "plan.json" if form is plan_json else "plan.yaml")
    assert written(again).data == written(preset.draft).data
    assert preset.why
    if not preset.draft.class_paths():
        assert preview(written(preset.draft).data, {}).mistakes == ()


@pytest.mark.parametrize("kind", OURS)
def test_whatever_is_chosen_begins_as_something_that_can_be_drawn(kind: str) -> None:
    assert path_of(schedule_draft(example_data(kind))).startswith("M")


def test_groups_are_told_in_a_comment_of_the_file_because_they_belong_to_the_optimizer() -> None:
    draft = Draft(
        groups=(Group("unet", (("lr", "1e-4"),)), Group("new: x", (("lr", "1e-3"),))),
        targets=(TargetDraft(phases=(COSINE,)),),
    )
    assert opened(plan_yaml(draft)).groups == draft.groups


def test_a_warmup_on_top_comes_back_as_one() -> None:
    draft = Draft(targets=(TargetDraft(warmup="5%", phases=(COSINE,)),))
    assert opened(plan_yaml(draft)).targets == draft.targets


def test_opening_a_file_with_a_foreign_class_imports_nothing() -> None:
    draft = opened("lr: {class_path: no.such.module.Thing, init_args: {a: [1]}}")
    assert draft.targets[0].phases[0] == ScheduleDraft(
        FOREIGN, (("a", "[1]"),), path="no.such.module.Thing"
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("lr: {kind: cosin}", "cosine"),
        ("lr: 5", "could mean two things"),
        ("run: {total_stepz: 5}\nlr: cosine", "total_stepz"),
        ("lr: {class_path: a.b, base: 3}", "cannot be shown"),
        ("- &a [*a]", "anchors"),
    ],
)
def test_a_file_that_cannot_be_shown_whole_is_refused_with_the_reason(text: str, told: str) -> None:
    with pytest.raises(SpecError, match=told):
        opened(text)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("number", "1e-4", 1e-4),
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
    assert value_of(kind, text) == value


def test_epochs_and_batches_come_to_updates() -> None:
    run = RunTexts(
        epochs="20", batches="2,000", accumulation="4", processes="2", batch_size="8", tokens="512"
    )
    assert written(Draft(run=run)).data["run"] == {
        "epochs": 20, "steps_per_epoch": 500, "samples_per_step": 64, "tokens_per_step": 32768
    }  # fmt: skip


@pytest.mark.parametrize("text", ["-1", "0", "1.5", "many", "1e30", "nan"])
def test_a_count_that_is_none_is_marked_at_its_field(text: str) -> None:
    draft = put(Draft(), "run.epochs", text)
    assert set(written(draft).mistakes) == {"run.epochs"}


def test_a_base_value_that_is_none_is_marked_at_its_field() -> None:
    assert set(written(put(Draft(), "g0.lr", "fast")).mistakes) == {"g0.lr"}


def test_a_path_in_the_data_leads_back_to_the_field() -> None:
    out = written(
        Draft(
            targets=(
                TargetDraft(warmup="5%", phases=(COSINE, MULTISTEP)),
                TargetDraft("lr", "head", phases=(COSINE,)),
            )
        )
    )
    assert out.key_of("lr.groups.*[1].end") == "t0.p0.end"
    assert out.key_of("lr.groups.*[2].init_args.gamma") == "t0.p1.gamma"
    assert out.key_of("lr.groups.*[2].class_path") == "t0.p1.@path"
    assert out.key_of("lr.groups.*[0].steps") == "t0.warmup"
    assert out.key_of("lr.groups.head.end") == "t1.p0.end"
    assert out.key_of("elsewhere") == ""


def test_two_targets_for_the_same_groups_are_marked_at_the_second() -> None:
    out = written(Draft(targets=(TargetDraft(phases=(COSINE,)), TargetDraft(phases=(MULTISTEP,)))))
    assert set(out.mistakes) == {"t1.groups"}


THREE = Draft(
    targets=(
        TargetDraft(
            phases=(ScheduleDraft("linear"), ScheduleDraft("constant"), ScheduleDraft("cosine"))
        ),
    )
)


def kinds_of(draft: Draft) -> list[str]:
    return [piece.kind for piece in draft.targets[0].phases]


def test_phases_are_added_moved_replaced_and_removed() -> None:
    assert kinds_of(move(THREE, "t0.p0", 2)) == ["constant", "cosine", "linear"]
    assert kinds_of(move(THREE, "t0.p2", -5)) == ["cosine", "linear", "constant"]
    assert kinds_of(insert(THREE, "t0.p1", ScheduleDraft("sqrt"))) == [
        "linear",
        "sqrt",
        "constant",
        "cosine",
    ]
    assert kinds_of(put(THREE, "t0.p1", ScheduleDraft("rex"))) == ["linear", "rex", "cosine"]
    assert kinds_of(remove(THREE, "t0.p1")) == ["linear", "cosine"]


def test_a_text_is_put_deep_into_schedules_of_schedules() -> None:
    inner = ScheduleDraft(
        "sum",
        (
            (
                "terms",
                (
                    ScheduleDraft("cosine"),
                    ScheduleDraft("clipped", (("of", ScheduleDraft("linear")),)),
                ),
            ),
        ),
    )
    draft = Draft(targets=(TargetDraft(phases=(inner,)),))
    changed = put(draft, "t0.p0.terms[1].of.steps", "30%")
    assert get(changed, "t0.p0.terms[1].of") == ScheduleDraft("linear", (("steps", "30%"),))
    assert put(changed, "t0.p0.terms[1].of.steps", "") == draft


def test_a_parameter_may_be_called_like_a_property_of_the_phase() -> None:
    draft = Draft(targets=(TargetDraft(phases=(MULTISTEP,)),))
    piece = get(put(put(draft, "t0.p0.@name", "mine"), "t0.p0.name", "theirs"), "t0.p0")
    assert piece is not None
    assert (piece.name, piece.get("name")) == ("mine", "theirs")


def test_one_row_of_groups_and_one_target_always_stay() -> None:
    assert remove(Draft(), "g0").groups == (Group(),)
    assert remove(Draft(), "t0").targets == (TargetDraft(),)
    assert len(add_group(Draft(), "head").groups) == 2
    assert len(add_target(Draft(), TargetDraft("weight_decay")).targets) == 2


def test_a_target_of_some_groups_stands_before_that_of_all_as_the_first_that_fits_counts() -> None:
    assert [track.groups for track in add_target(Draft(), TargetDraft("lr", "head")).targets] == [
        "head",
        "*",
    ]


def test_a_recipe_for_several_fields_takes_the_place_of_its_like() -> None:
    draft = with_targets(
        Draft(
            targets=(TargetDraft(phases=(COSINE,)), TargetDraft("weight_decay", phases=(COSINE,)))
        ),
        ScheduleDraft("one_cycle"),
    )
    assert [track.field for track in draft.targets] == ["lr", "weight_decay", "momentum"]
    assert draft.targets[1].phases == (COSINE,)


@given(texts=st.lists(st.sampled_from(["1", "2", "30", ""]), min_size=1, max_size=20))
def test_every_edit_can_be_undone_and_made_again(texts: list[str]) -> None:
    history, drafts = History(Draft()), [Draft()]
    for text in texts:
        history.edit(put(history.now, "run.epochs", text))
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
    for text in ("1", "10", "100"):
        history.edit(put(history.now, "run.epochs", text), burst="run.epochs")
    history.edit(put(history.now, "run.batches", "5"), burst="run.batches")
    assert history.undo().run == RunTexts(epochs="100")
    assert history.undo() == Draft()


def test_a_search_finds_by_name_before_it_finds_by_sentence() -> None:
    found = [entry.shape.kind for entry in searched("cosine")]
    assert "cosine" in found
    assert found.index("flat_cosine") < found.index("swa")
    assert searched("no such thing") == []
    assert len(searched("")) == len(catalogue())


@pytest.mark.parametrize(
    "fragment", ["", "#plan=", "#plan=%%%", "#plan=AAAA", "#other", "#plan=" + "A" * 300_000]
)
def test_a_damaged_link_is_refused(fragment: str) -> None:
    with pytest.raises(SpecError, match="link"):
        from_fragment(fragment)


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"tracks": []},
        {"tracks": "many"},
        {"groups": [{"name": "x"}]},
        {"run": {"rm": "x"}},
        {"run": {"epochs": 5}},
        {"tracks": [{"field": "lr", "groups": "*", "meaning": "eval", "phases": []}]},
        {"tracks": [{"field": "x" * 3000, "groups": "*", "meaning": "set", "phases": []}]},
    ],
)
def test_plain_data_that_is_no_draft_of_ours_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        from_plain({**to_plain(Draft()), **change})
