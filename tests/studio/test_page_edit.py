"""The page's logic, without a browser: phases, targets and handles, and what is taken away."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from tests.studio.pages import Simulated, shown, until
from tests.studio.test_page import RISE, WARMED, errors, field, marks, texts

import warmdown as wd
from warmdown.planfile import loads
from warmdown.planfile.text import parse
from warmdown.schedules.base import PlainData
from warmdown.studio.draft.document import Draft
from warmdown.studio.draft.files import document_from
from warmdown.studio.page.show.plot import PlotElement
from warmdown.studio.preview.bring import import_configuration

if TYPE_CHECKING:
    from nicegui.testing import User

PageOf = Callable[..., Simulated]


def happen(user: User, event: str, arguments: Any) -> None:
    """Let the browser tell of something on the page as a whole."""
    from nicegui.testing.user_interaction import UserInteraction

    assert user.client is not None
    UserInteraction(user, {user.client.layout}, None).trigger(event, arguments)


def press_named(user: User, name: str) -> None:
    """Press the button with a name for those who do not see it, or with a text."""
    from nicegui import ui
    from nicegui.testing.user_interaction import UserInteraction

    assert user.client is not None
    found = [
        one
        for one in user.client.elements.values()
        if isinstance(one, ui.button) and name in (one.props.get("aria-label"), one.text)
    ]
    UserInteraction(user, {*found}, None).click()


async def pick(user: User, opener: str, schedule: str) -> None:
    """Open the gallery, and choose."""
    user.find(marker=opener).click()
    await until(lambda: f"pick-{schedule}" in marks(user))
    user.find(marker=f"pick-{schedule}").click()
    forget_dialogs(user)


def forget_dialogs(user: User) -> None:
    """Do as a browser does when it has closed a dialog."""
    from nicegui import ui

    assert user.client is not None
    dialogs = [one for one in user.client.elements.values() if isinstance(one, ui.dialog)]
    for dialog in [dialog for dialog in dialogs if not dialog.value]:
        dialog.delete()


def choose(user: User, mark: str, value: Any) -> None:
    """Choose of what a field offers, or type into it anew."""
    assert user.client is not None
    with user.client:
        field(user, mark).value = value  # type: ignore[attr-defined]


def plan_of(user: User) -> Any:
    """Return the data of the plan as it stands in the text."""
    data = parse("plan.yaml", texts(user, "text")).data
    assert "lr" in data
    return data


def test_phases_are_added_doubled_replaced_folded_and_removed(page_of: PageOf) -> None:
    async def act(user: User) -> None:
        await pick(user, "add-phase", "linear")
        await until(lambda: "phase-2" in marks(user))
        # it begins where the cosine ends, which keeps half of its time
        await until(lambda: len(plan_of(user)["lr"]) == 3)
        assert [one.get("steps") for one in plan_of(user)["lr"]] == ["10%", "45%", None]
        user.find(marker="duplicate-0").click()
        await until(lambda: len(plan_of(user)["lr"]) == 4)
        first, second, *_ = plan_of(user)["lr"]
        assert first == second == {"kind": "linear", "start": 0.01, "end": 1.0, "steps": "10%"}
        await pick(user, "other-1", "constant")
        await until(lambda: plan_of(user)["lr"][1]["kind"] == "constant")
        user.find(marker="remove-0").click()
        await until(lambda: [one["kind"] for one in plan_of(user)["lr"]] == [
            "constant", "cosine", "linear"])  # fmt: skip
        user.find(marker="warmup").click()
        await until(lambda: plan_of(user)["lr"][0].get("name") == "warmup")
        assert field(user, "phase-0").props["aria-expanded"] == "true"  # type: ignore[attr-defined]
        user.find(marker="phase-0").click()
        await until(lambda: "plan.lr[0].steps" not in marks(user))

    page_of(WARMED).visit(act)


def test_a_choice_of_several_phases_and_of_several_targets_takes_the_place_of_what_was_there(
    page_of: PageOf,
) -> None:
    async def act(user: User) -> None:
        await pick(user, "other-1", "LinearLR")
        await until(lambda: "cosine" not in texts(user, "text"))
        await pick(user, "other-0", "OneCycleLR")
        await until(lambda: "momentum" in texts(user, "text"))
        assert {"lr", "momentum"} <= plan_of(user).keys()

    page_of(WARMED).visit(act)


def test_a_target_is_renamed_set_shown_by_its_tab_and_removed(page_of: PageOf) -> None:
    plan = {"run": {"total_steps": 100, "lr": 1e-3}, "lr": "cosine"}
    page = page_of(Draft(document_from({**plan, "weight_decay": {"set": "cosine"}})))

    async def act(user: User) -> None:
        user.find(marker="track-1").click()
        await until(lambda: "plan.weight_decay.@groups" in marks(user))
        user.find(marker="plan.weight_decay.@groups").clear().type("head").trigger("blur")
        await until(lambda: plan_of(user)["weight_decay"].keys() == {"groups"})
        assert plan_of(user)["weight_decay"]["groups"].keys() == {"head"}
        (mark,) = (mark for mark in marks(user) if mark.endswith("@meaning"))
        choose(user, mark, "scale")
        await until(lambda: "set" not in plan_of(user)["weight_decay"]["groups"]["head"])
        user.find(marker="add-lr").click()
        await until(lambda: "track-2" in marks(user))
        user.find(marker="remove-track").click()
        await until(lambda: "track-2" not in marks(user))
        user.find(marker="remove-track").click()
        await until(lambda: "track-1" not in marks(user))

    page.visit(act)


def test_schedules_inside_a_schedule_are_chosen_added_and_taken_out(page_of: PageOf) -> None:
    inner = {"kind": "repeat", "of": {"kind": "cosine", "steps": 50}}
    document = document_from({"run": {"total_steps": 200, "lr": 1.0}, "lr": inner})

    async def act(user: User) -> None:
        choose(user, "plan.lr.of.kind", "linear")
        await until(lambda: plan_of(user)["lr"]["of"] == {"kind": "linear"})
        user.find(marker="plan.lr.of.steps").type("20")
        await until(lambda: plan_of(user)["lr"]["of"].get("steps") == 20)
        await pick(user, "other-0", "sum")
        await until(lambda: plan_of(user)["lr"]["kind"] == "sum")
        count = len(plan_of(user)["lr"]["terms"])
        press_named(user, "Add to terms")
        await until(lambda: len(plan_of(user)["lr"]["terms"]) == count + 1)
        assert plan_of(user)["lr"]["terms"][-1] == {"kind": "cosine"}
        press_named(user, "Remove terms 1")
        await until(lambda: len(plan_of(user)["lr"]["terms"]) == count)

    page_of(Draft(document)).visit(act)


def test_handles_move_by_pointer_and_key_part_and_join_and_the_fields_follow(
    page_of: PageOf,
) -> None:
    async def act(user: User) -> None:
        await until(lambda: "phase-1" in marks(user))
        happen(user, "handle", {"at": 1, "x": 201.0, "y": 5e-4})
        await until(lambda: plan_of(user)["lr"][0] == {**RISE, "end": 0.5, "steps": "20%"})
        assert plan_of(user)["lr"][1]["start"] == 0.5
        assert field(user, "plan.lr[0].end").value == "0.5"  # type: ignore[attr-defined]
        happen(user, "handle", {"at": 1, "key": "ArrowRight"})
        await until(lambda: plan_of(user)["lr"][0]["steps"] == "21%")
        happen(user, "handle", {"at": 1, "key": "Enter"})
        happen(user, "handle", {"at": 1, "x": 210.0, "y": 2e-4})  # parted, it moves alone
        await until(lambda: plan_of(user)["lr"][0]["end"] == 0.2)
        assert plan_of(user)["lr"][1]["start"] == 0.5
        happen(user, "handle", {"at": 2, "key": "Enter"})
        await until(lambda: plan_of(user)["lr"][1]["start"] == 0.2)
        before = texts(user, "text")
        happen(user, "handle", {"at": 99, "x": 0.0, "y": 0.0})
        assert texts(user, "text") == before
        happen(user, "handle", {"at": 2, "x": 1000.0, "y": 1e-4})
        await until(lambda: field(user, "phase-1").props["aria-expanded"] == "true")  # type: ignore[attr-defined]
        await until(lambda: plan_of(user)["lr"][1].get("end") == 0.1)

    page_of(WARMED).visit(act)


def test_the_curve_is_read_zoomed_and_drawn_on_a_logarithmic_axis(
    page_of: PageOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[tuple[str, str]] = []
    monkeypatch.setattr(PlotElement, "_call", lambda _, *call: sent.append(call))

    async def act(user: User) -> None:
        await until(lambda: "area under lr" in shown(user))
        user.find(marker="cursor").trigger("input", "100")
        await until(lambda: "Update 100: lr 1e-3" in shown(user))
        user.find(marker="zoom-in").click()
        await until(lambda: ("zoom", "0, 250") in sent)
        happen(user, "zoomed", [40.2, 60.9])
        await until(lambda: field(user, "cursor").props["max"] == "61")  # type: ignore[attr-defined]
        assert field(user, "cursor").props["min"] == "40"  # type: ignore[attr-defined]
        user.find(marker="zoom-out").click()
        await until(lambda: ("zoom", "0, 1000") in sent)
        happen(user, "zoomed", [0, 1000])
        await until(lambda: field(user, "cursor").props["max"] == "1000")  # type: ignore[attr-defined]
        sent.clear()
        user.find(marker="log").click()
        await until(lambda: any('"type":"log"' in one for call, one in sent if call == "draw"))

    page_of(WARMED).visit(act)


def test_kept_plans_have_names_of_their_own_and_are_forgotten(page_of: PageOf) -> None:
    async def act(user: User) -> None:
        for number in range(2):
            user.find(marker="keep").click()
            await until(lambda: f"kept-{number}" in marks(user))  # noqa: B023
        names = [field(user, f"kept-{at}").props["^value"] for at in range(2)]  # type: ignore[attr-defined]
        assert names == ["kept", "kept 2"]
        user.find(marker="kept-1").trigger("change", " steep ")
        await until(lambda: field(user, "kept-1").props["^value"] == "steep")  # type: ignore[attr-defined]
        user.find(marker="kept-1").trigger("change", "kept")  # which is taken
        await until(lambda: field(user, "kept-1").props["^value"] == "kept 2")  # type: ignore[attr-defined]
        user.find(marker="forget-0").click()
        await until(lambda: "kept-1" not in marks(user))
        assert field(user, "kept-0").props["^value"] == "kept 2"  # type: ignore[attr-defined]

    page_of(WARMED).visit(act)


def test_a_plan_is_taken_away_as_text_rows_and_picture(page_of: PageOf) -> None:
    async def act(user: User) -> None:
        async def got(mark: str) -> bytes:
            user.find(marker=mark).click()
            return (await user.download.next(timeout=20.0)).content

        copied: list[str] = []

        def copy(match: re.Match[str]) -> bool:
            copied.append(json.loads(match[1]))
            return True

        user.javascript_rules[re.compile(r"warmdown\.copy\((.*)\)$")] = copy
        await until(lambda: "cosine" in texts(user, "text"))
        plan = loads(texts(user, "text"))
        for form, sign in (("JSON", '"cosine"'), ("Python", "wd."), ("PyTorch", "LambdaLR")):
            user.find(marker=f"form-{form}").click()
            await until(lambda: sign in texts(user, "text"))  # noqa: B023
            assert (await got("download")).decode() == texts(user, "text")
            if form == "JSON":
                assert wd.plan_from_dict(json.loads(texts(user, "text"))) == plan
        user.find(marker="copy").click()
        await until(lambda: user.notify.contains("Copied."))
        assert copied == [texts(user, "text")]
        rows = (await got("csv")).decode().splitlines()
        assert len(rows) == 1001
        assert rows[101].endswith(",0.001")
        assert (await got("svg")).startswith(b"<?xml")
        assert (await got("png")).startswith(b"\x89PNG")
        user.find(marker="form-YAML").click()
        user.find(marker="plan.run.total_steps").clear()
        await until(lambda: "total_steps" not in texts(user, "text"))

    page_of(WARMED).visit(act)


def test_without_a_curve_there_is_no_picture(page_of: PageOf) -> None:
    async def act(user: User) -> None:
        user.find(marker="png").click()
        await until(lambda: user.notify.contains("There is no curve yet."))

    lr = {"kind": "cosine", "end": "x"}
    page_of(Draft({"plan": {"lr": lr}, "groups": [{}], "loader": {}})).visit(act)


def test_keys_undo_make_again_and_ask_what_to_open(page_of: PageOf) -> None:
    async def act(user: User) -> None:
        user.find(marker="plan.lr[0].end").clear().type("0.2")
        await until(lambda: "end: 0.2" in texts(user, "text"))
        for shift, end in ((False, "end: 1"), (True, "end: 0.2")):
            happen(user, "keydown", {"key": "z", "shift": shift})
            await until(lambda: end in texts(user, "text"))  # noqa: B023
        happen(user, "keydown", {"key": "o", "shift": False})
        await until(lambda: "open-link" in marks(user))

    page_of(WARMED).visit(act)


def test_a_link_is_copied_or_shown_to_be_copied_and_opens_as_the_plan(page_of: PageOf) -> None:
    async def act(user: User) -> None:
        user.javascript_rules[re.compile(r"warmdown\.copy")] = lambda _: False
        user.find(marker="link").click()
        await until(lambda: "link-text" in marks(user))
        assert user.notify.contains("The browser did not let it be copied. Copy it from the field.")
        link = field(user, "link-text").value  # type: ignore[attr-defined]
        assert link.startswith("http://test/#plan=")
        user.find(marker="remove-1").click()
        await until(lambda: "cosine" not in texts(user, "text"))
        user.find(marker="open").click()
        await until(lambda: "open-link" in marks(user))
        user.find(marker="open-link").type(f" {link} ")
        user.find(marker="open-link-yes").click()
        user.find(marker="leave-lose").click()
        await until(lambda: "cosine" in texts(user, "text"))
        happen(user, "linked", "#plan=x")
        await until(lambda: any("damaged" in error for error in errors(user)))

    page_of(WARMED).visit(act)


def test_a_file_that_changed_can_be_opened_or_left_alone(page_of: PageOf) -> None:
    page = page_of(WARMED)
    path = page.app.folder.path / "plan.yaml"

    async def act(user: User) -> None:
        user.find(marker="save").click()
        user.find(marker="save-yes").click()
        await until(path.exists)
        path.write_text("lr: {kind: linear, name: theirs}\n")
        user.find(marker="groups[0].lr").clear().type("2e-3")
        happen(user, "keydown", {"key": "s", "shift": False})
        await until(lambda: "save-other" in marks(user))
        user.find(marker="save-other").click()
        forget_dialogs(user)
        choose(user, "save-name", "other.yaml")
        user.find(marker="save-name").trigger("keydown.enter")
        await until((path.parent / "other.yaml").exists)
        assert "2e-3" in (path.parent / "other.yaml").read_text()
        assert path.read_text() == "lr: {kind: linear, name: theirs}\n"

    page.visit(act)


@pytest.mark.usefixtures("answered_here")
def test_a_configuration_is_read_with_the_file_that_it_names_and_python_is_refused(
    page_of: PageOf,
) -> None:
    page = page_of()
    scheduler = {"type": "WarmupLR", "params": {"warmup_num_steps": 10}}
    (page.app.folder.path / "ds.json").write_text(json.dumps({"scheduler": scheduler}))
    arguments = {"deepspeed": "ds.json", "learning_rate": 1e-3, "max_steps": 50}
    arguments["per_device_train_batch_size"] = 8
    (page.app.folder.path / "args.json").write_text(json.dumps(arguments))

    async def act(user: User) -> None:
        happen(user, "dropped", {"name": "train.py", "text": "import torch\n"})
        await until(lambda: any("it is Python, which is not executed" in e for e in errors(user)))
        user.find(marker="open").click()
        await until(lambda: "file-args.json" in marks(user))
        user.find(marker="file-args.json").click()
        await until(lambda: "From args.json." in shown(user))
        assert "was not read" not in shown(user)
        files = {"ds.json": json.dumps({"scheduler": scheduler})}
        question: PlainData = {"name": "args.json", "text": json.dumps(arguments), "files": files}
        known = import_configuration({**question, "known": {}, "beside": {}})["plan"]
        await until(lambda: plan_of(user)["lr"] == known["lr"])

    page.visit(act)


def test_the_run_says_how_its_length_comes_about_and_where_a_fact_is_wrong(
    page_of: PageOf,
) -> None:
    loader = {"batches": "100", "accumulation": "2", "batch_size": "8", "tokens": "512"}
    plan = {"run": {"epochs": 3}, "lr": {"kind": "plateau"}}
    made = {"plan": plan, "groups": [{"name": "a"}, {"name": "b"}], "loader": loader}

    async def act(user: User) -> None:
        await until(lambda: "150 updates" in shown(user))
        assert "3 epochs × 50 · 16 samples an update · 8192 tokens an update" in shown(user)
        total = field(user, "plan.run.total_steps")
        assert total.props["placeholder"] == "from epochs"  # type: ignore[attr-defined]
        choose(user, "loader.processes", "x")
        await until(lambda: bool(field(user, "loader.processes").error))  # type: ignore[attr-defined]
        choose(user, "loader.processes", "2")
        await until(lambda: "32 samples an update" in shown(user))
        press_named(user, "Remove a")
        await until(lambda: "groups[1].name" not in marks(user))
        assert field(user, "groups[0].name").value == "b"  # type: ignore[attr-defined]
        choose(user, "plan.lr.mode", "max")
        await until(lambda: "mode: max" in texts(user, "text"))

    page_of(Draft(made)).visit(act)


def test_a_plan_is_saved_before_another_takes_its_place_and_a_search_may_find_nothing(
    page_of: PageOf,
) -> None:
    page = page_of(WARMED)

    async def act(user: User) -> None:
        choose(user, "groups[0].lr", "2e-3")
        user.find(marker="new").click()
        await until(lambda: "leave-save" in marks(user))
        user.find(marker="leave-save").click()
        user.find(marker="save-yes").click()
        await until(lambda: "Start with your situation" in shown(user))
        assert "2e-3" in (page.app.folder.path / "plan.yaml").read_text()
        user.find(marker="search").type("no such schedule")
        await until(lambda: "Nothing of ours is called “no such schedule”." in shown(user))
        assert "0 found" in shown(user)

    page.visit(act)


def test_a_schedule_that_stands_where_a_number_is_needed_is_shown_with_what_is_wrong(
    page_of: PageOf,
) -> None:
    clipped = {"kind": "clipped", "of": "cosine", "low": {"kind": "linear", "end": 0.2}}
    bound = {"kind": "constant", "value": 0.1}
    made = {"plan": {"lr": {"scale": clipped, "low": bound}}, "groups": [{}], "loader": {}}

    async def act(user: User) -> None:
        await until(lambda: "plan.lr.scale.low.end" in marks(user))
        await until(lambda: "to-plan.lr.scale.low" in marks(user))
        choose(user, "plan.lr.scale.low.end", "0.3")
        await until(lambda: plan_of(user)["lr"]["scale"]["low"]["end"] == 0.3)
        assert "plan.lr.low" not in marks(user)  # which the text alone holds

    page_of(Draft(made)).visit(act)
