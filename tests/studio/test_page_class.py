"""Classes of other libraries on the page, without a browser: asked about, typed, turned, saved."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from tests.studio.pages import Simulated, shown, until
from tests.studio.test_page import errors, field, marks, texts
from tests.studio.test_page_edit import happen, pick, press_named

from warmdown.planfile.text import parse
from warmdown.studio.draft.document import Draft
from warmdown.studio.draft.files import document_from
from warmdown.studio.draft.links import to_plain
from warmdown.studio.security.worker import Ended, Worker

if TYPE_CHECKING:
    from nicegui.testing import User

pytestmark = pytest.mark.usefixtures("answered_here")
PageOf = Callable[..., Simulated]
STEPS = {
    "class_path": "torch.optim.lr_scheduler.MultiStepLR",
    "init_args": {"milestones": [2, 4], "gamma": 0.5},
}
OWN = """
from pathlib import Path

Path(__file__).with_name("ran").touch()

class Halves:
    def __init__(self, optimizer, **more): self.optimizer = optimizer
    def step(self):
        for group in self.optimizer.param_groups: group["lr"] /= 2
"""


def with_class(schedule: Any, **run: Any) -> Draft:
    """Return a draft with a class in it."""
    return Draft(document_from({"run": {"total_steps": 10, "lr": 1.0, **run}, "lr": schedule}))


def test_a_class_outside_the_list_waits_for_a_yes_and_takes_what_no_signature_names(
    page_of: PageOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = page_of(with_class({"class_path": "own_parts.Halves"}))
    (page.app.folder.path / "own_parts.py").write_text(OWN)
    monkeypatch.syspath_prepend(page.app.folder.path)
    monkeypatch.delitem(sys.modules, "own_parts", raising=False)
    ran = page.app.folder.path / "ran"

    async def act(user: User) -> None:
        await until(lambda: "yes" in marks(user))
        assert not ran.exists()
        user.find(marker="yes").click()
        await until(lambda: "0.0625" in shown(user) and "yes" not in marks(user))
        assert ran.exists()
        user.find(marker="more-name").type("two words")
        user.find(marker="more-add").click()
        user.find(marker="more-name").clear().type("extra")
        user.find(marker="more-add").click()
        await until(lambda: "plan.lr.init_args.extra" in marks(user))
        user.find(marker="plan.lr.init_args.extra").clear().type("7")
        await until(lambda: "extra: 7" in texts(user, "text"))
        assert "two words" not in texts(user, "text")
        press_named(user, "Remove extra")
        await until(lambda: "extra" not in texts(user, "text"))

    page.visit(act)


def test_a_class_is_chosen_typed_and_takes_the_numbers_of_the_run(page_of: PageOf) -> None:
    async def act(user: User) -> None:
        await pick(user, "other-0", "class")
        await until(lambda: "type where the class is" in str(mistake(user, "class_path")))
        user.find(marker="plan.lr.class_path").type("torch.optim.lr_scheduler.No")
        await until(lambda: "there is no such class" in str(mistake(user, "class_path")))
        user.find(marker="plan.lr.class_path").clear().type("torch.optim.lr_scheduler.StepLR")
        await until(lambda: "plan.lr.init_args.step_size" in marks(user))
        step_size = field(user, "plan.lr.init_args.step_size")
        assert step_size.props["aria-required"] == "true"  # type: ignore[attr-defined]
        insert(user, "%TOTAL_STEPS%  = 10")
        await until(lambda: "%TOTAL_STEPS%" in texts(user, "text"))
        user.find(marker="plan.lr.init_args.step_size").type(" // 2")
        await until(lambda: step_size.props["suffix"] == "= 5")  # type: ignore[attr-defined]
        await until(lambda: "step_size: '%TOTAL_STEPS% // 2'" in texts(user, "text"))

    page_of(with_class("cosine")).visit(act)


def mistake(user: User, name: str) -> Any:
    """Return what is wrong with a field of the one schedule."""
    return field(user, f"plan.lr.{name}").error  # type: ignore[attr-defined]


def insert(user: User, text: str) -> None:
    """Choose a number of the run for the first field that offers it."""
    from nicegui import ui
    from nicegui.testing.user_interaction import UserInteraction

    assert user.client is not None
    items = [one for one in user.client.elements.values() if isinstance(one, ui.menu_item)]
    offered = [one for one in items if any(text == getattr(i, "text", "") for i in one)]
    UserInteraction(user, {offered[0]}, None).click()


def test_a_plan_of_one_class_is_code_rows_and_an_own_schedule(page_of: PageOf) -> None:
    page = page_of(with_class(STEPS))
    path = page.app.folder.path / "plan.yaml"

    async def act(user: User) -> None:
        await until(lambda: "0.25" in shown(user))
        user.find(marker="form-PyTorch").click()
        await until(lambda: "MultiStepLR(optimizer, milestones=[2, 4]" in texts(user, "text"))
        user.find(marker="form-Python").click()
        await until(lambda: "wd.Milestones(" in texts(user, "text"))
        user.find(marker="csv").click()
        rows = (await user.download.next()).text.splitlines()
        assert rows[1:6:2] == ["0,lr,1.0", "2,lr,0.5", "4,lr,0.25"]
        user.find(marker="form-YAML").click()
        user.find(marker="save").click()
        await until(lambda: "save-class" in marks(user))
        user.find(marker="save-class").click()
        user.find(marker="save-yes").click()
        await until(path.exists)
        assert parse("plan.yaml", path.read_text()).data["lr"] == STEPS
        user.find(marker="native").click()
        await until(lambda: "kind: milestones" in texts(user, "text"))
        assert "A class was turned into a schedule of warmdown's own." in shown(user)

    page.visit(act)


def test_a_class_that_cannot_be_turned_stays_and_says_why(page_of: PageOf) -> None:
    inner = {"kind": "repeat", "of": {**STEPS, "steps": 5}, "times": 2}
    page = page_of(with_class([inner, {**STEPS, "init_args": {"milestones": [1], "gamma": "x"}}]))

    async def act(user: User) -> None:
        await until(lambda: "plan.lr[0].times" in marks(user))
        user.find(marker="form-Python").click()
        await until(lambda: texts(user, "text").startswith("# "))
        assert "a number is needed" in texts(user, "text")
        user.find(marker="save").click()
        user.find(marker="native-save").click()
        await until(lambda: any("a number is needed" in error for error in errors(user)))

    page.visit(act)


def test_a_process_that_was_ended_is_told_where_the_class_and_the_file_are(
    page_of: PageOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ask(*_: Any, **__: Any) -> Any:
        raise Ended("it took longer than 1 seconds.")

    monkeypatch.setattr(Worker, "ask", ask)

    async def act(user: User) -> None:
        await until(lambda: "it took longer than 1 seconds" in str(mistake(user, "class_path")))
        happen(
            user, "dropped", {"name": "a.yaml", "text": "lr_scheduler_type: cosine\nmax_steps: 9"}
        )
        await until(lambda: "It was stopped: it took longer than 1 seconds." in shown(user))

    page_of(with_class(STEPS)).visit(act)


def test_kept_plans_with_classes_are_drawn_again_after_a_reload(page_of: PageOf) -> None:
    plans = {"steps": to_plain(with_class(STEPS).document),
             "own": to_plain(with_class("linear").document)}  # fmt: skip

    async def act(user: User) -> None:
        await until(lambda: "kept-1" in marks(user))
        names = [field(user, f"kept-{at}").props["^value"] for at in range(2)]  # type: ignore[attr-defined]
        assert names == ["steps", "own"]
        user.find(marker="back-0").click()
        await until(lambda: "MultiStepLR" in texts(user, "text"))

    page_of(with_class("cosine"), plans=json.dumps(plans)).visit(act)


def test_a_yes_or_no_of_a_class_is_a_box_to_tick(page_of: PageOf) -> None:
    cyclic = "torch.optim.lr_scheduler.CyclicLR"
    arguments = {"base_lr": 0.1, "max_lr": 1.0, "step_size_up": 2}

    async def act(user: User) -> None:
        await until(lambda: "plan.lr.init_args.cycle_momentum" in marks(user))
        box = field(user, "plan.lr.init_args.cycle_momentum")
        assert box.value is True  # type: ignore[attr-defined]
        user.find(marker="plan.lr.init_args.cycle_momentum").click()
        await until(lambda: "cycle_momentum: false" in texts(user, "text"))

    page_of(with_class({"class_path": cyclic, "init_args": arguments})).visit(act)
