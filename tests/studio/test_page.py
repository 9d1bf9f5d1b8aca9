"""The page's logic, without a browser: what is typed, pressed, opened and saved."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from tests.studio.pages import Simulated, shown, until

from warmdown.studio.draft.document import Draft
from warmdown.studio.draft.files import document_from
from warmdown.studio.draft.links import to_fragment, to_plain

if TYPE_CHECKING:
    from nicegui.testing import User

PageOf = Callable[..., Simulated]
RISE = {"kind": "linear", "start": 0.01, "end": 1, "steps": "10%"}
WARMED = Draft(
    document_from({"run": {"total_steps": 1000, "lr": "1e-3"}, "lr": [RISE, {"kind": "cosine"}]})
)


def field(user: User, mark: str) -> object:
    """Return the one element with a mark."""
    (element,) = user.find(marker=mark).elements
    return element


def texts(user: User, mark: str) -> str:
    """Return the text of what has a mark."""
    return str(getattr(field(user, mark), "_text", ""))


def test_an_empty_page_shows_where_to_begin_and_a_choice_shows_its_fields(page_of: PageOf) -> None:
    async def act(user: User) -> None:
        assert "Fine-tune a pretrained model" in shown(user)
        user.find(marker="pick-cosine").click()
        await until(lambda: "Half a cosine wave" in shown(user))
        assert "Fine-tune a pretrained model" not in shown(user)
        for name in ("start", "end", "steps", "k", "exponent"):
            field(user, f"plan.lr.{name}")

    page_of().visit(act)


def test_a_search_narrows_the_list_and_says_how_many(page_of: PageOf) -> None:
    async def act(user: User) -> None:
        user.find(marker="search").type("wsd")
        await until(lambda: "pick-wsd" in marks(user) and "pick-cosine" not in marks(user))
        assert "2 found" in shown(user) or "3 found" in shown(user)

    page_of().visit(act)


def errors(user: User) -> list[str]:
    """Return what is shown to be wrong until a person goes on."""
    from nicegui import ui

    assert user.client is not None
    elements = user.client.elements.values()
    return [one.message for one in elements if isinstance(one, ui.notification)]


def marks(user: User) -> set[str]:
    """Return every mark on the page."""
    assert user.client is not None
    return {mark for element in user.client.elements.values() for mark in element._markers}


def test_typing_moves_table_words_and_texts_and_can_be_undone(page_of: PageOf) -> None:
    async def act(user: User) -> None:
        user.find(marker="plan.lr[1].end").type("0.5")
        await until(lambda: "5e-4" in shown(user))
        assert "end: 0.5" in texts(user, "text")
        user.find(marker="undo").click()
        await until(lambda: "end: 0.5" not in texts(user, "text"))
        user.find(marker="redo").click()
        await until(lambda: "end: 0.5" in texts(user, "text"))

    page = page_of(WARMED)
    page.visit(lambda user: open_then(user, "plan.lr[1].end", act))


async def open_then(user: User, mark: str, act: Callable[[User], object]) -> None:
    """Open the second phase, and act."""
    await until(lambda: "phase-1" in marks(user))
    user.find(marker="phase-1").click()
    await until(lambda: mark in marks(user))
    await act(user)  # type: ignore[misc]


def test_a_mistake_stands_beside_its_field_and_the_last_curve_stays(page_of: PageOf) -> None:
    async def act(user: User) -> None:
        user.find(marker="plan.lr[0].start").clear().type("x")
        await until(lambda: "not a number" in str(field(user, "plan.lr[0].start").error))  # type: ignore[attr-defined]
        await until(lambda: "One field needs another value" in shown(user))
        user.find(marker="plan.lr[0].start").clear().type("0.02")
        await until(lambda: "One field needs" not in shown(user))
        assert field(user, "plan.lr[0].start").error is None  # type: ignore[attr-defined]

    page_of(WARMED).visit(act)


def test_a_finding_stands_beside_the_field_that_causes_it(page_of: PageOf) -> None:
    async def act(user: User) -> None:
        user.find(marker="joined-1").click()  # else the end before it moves too
        user.find(marker="plan.lr[1].start").type("0.5")
        await until(lambda: "warned" in field(user, "plan.lr[1].start").classes)  # type: ignore[attr-defined]
        assert "jump" in shown(user)

    page_of(WARMED).visit(lambda user: open_then(user, "plan.lr[1].start", act))


def test_phases_move_by_buttons_and_the_open_one_stays_open(page_of: PageOf) -> None:
    async def act(user: User) -> None:
        user.find(marker="down-0").click()
        await until(lambda: texts(user, "text").find("cosine") < texts(user, "text").find("linear"))
        assert field(user, "phase-1").props["aria-expanded"] == "true"  # type: ignore[attr-defined]

    page_of(WARMED).visit(act)


def test_a_group_is_one_more_row_and_one_more_curve(page_of: PageOf) -> None:
    async def act(user: User) -> None:
        user.find(marker="groups[0].name").type("unet")
        user.find(marker="add-group").click()
        await until(lambda: "groups[1].name" in marks(user))
        user.find(marker="groups[1].name").type("embedding")
        user.find(marker="groups[1].lr").type("1e-2")
        await until(lambda: "lr/embedding" in shown(user))
        assert "# groups: {unet: {lr: 1e-3}, embedding: {lr: 1e-2}}" in texts(user, "text")

    page_of(WARMED).visit(act)


def test_a_plan_is_saved_opened_and_never_overwritten_unasked(page_of: PageOf) -> None:
    page = page_of(WARMED)
    path = page.app.folder.path / "mine.yaml"

    async def act(user: User) -> None:
        user.find(marker="save").click()
        await until(lambda: "save-name" in marks(user))
        user.find(marker="save-name").clear().type("mine.yaml")
        user.find(marker="save-yes").click()
        await until(path.exists)
        assert "kind: cosine" in path.read_text()
        path.write_text("lr: {kind: linear}\n")
        user.find(marker="groups[0].lr").clear().type("2e-3")
        user.find(marker="save").click()
        await until(lambda: "mine.yaml changed on disk" in shown(user))
        assert path.read_text() == "lr: {kind: linear}\n"
        user.find(marker="overwrite").click()
        await until(lambda: "lr: 2e-3" in path.read_text())
        user.find(marker="groups[0].lr").clear().type("3e-3")
        user.find(marker="new").click()
        await until(lambda: "leave-lose" in marks(user) and "lr: 3e-3" in texts(user, "text"))
        user.find(marker="leave-lose").click()
        await until(lambda: "Start with your situation" in shown(user))
        user.find(marker="open").click()
        await until(lambda: "file-mine.yaml" in marks(user))
        user.find(marker="file-mine.yaml").click()
        await until(lambda: "phase-1" in marks(user))

    page.visit(act)
    assert [entry.name for entry in page.app.folder.path.iterdir()] == ["mine.yaml"]


def test_a_name_that_cannot_be_stays_to_be_mended_and_one_that_is_taken_is_asked_about(
    page_of: PageOf,
) -> None:
    page = page_of(WARMED)
    path = page.app.folder.path / "theirs.yaml"
    path.write_text("lr: linear\n")

    async def act(user: User) -> None:
        user.find(marker="save-as").click()
        await until(lambda: "save-name" in marks(user))
        for name in ("../up.yaml", "plan", "", "\u202eevil.yaml", "a" * 120 + ".yaml"):
            user.find(marker="save-name").clear().type(name)
            user.find(marker="save-yes").click()
            await until(lambda: "at most 120" in str(field(user, "save-name").error))  # type: ignore[attr-defined]
            field(user, "save-name").error = None  # type: ignore[attr-defined]
        user.find(marker="save-name").clear().type("theirs.yaml")
        user.find(marker="save-yes").click()
        await until(lambda: "theirs.yaml is there already" in shown(user))
        assert path.read_text() == "lr: linear\n"

    page.visit(act)


def test_one_error_is_shown_and_goes_when_something_is_asked(
    page_of: PageOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nicegui import ui
    from nicegui.testing.user_interaction import UserInteraction

    # a browser would answer to it
    monkeypatch.setattr(ui.notification, "dismiss", ui.notification.delete)

    async def act(user: User) -> None:

        assert user.client is not None
        for name in ("run.csv", "plan.yaml"):
            sent = {"name": name, "text": ""}
            UserInteraction(user, {user.client.layout}, None).trigger("dropped", sent)
            await until(lambda: [name in error for error in errors(user)] == [True])  # noqa: B023
            assert "too large to be dropped" in errors(user)[0]
        user.find(marker="open").click()
        await until(lambda: "open-link" in marks(user))
        assert errors(user) == []

    page_of(WARMED).visit(act)


def test_a_link_shows_its_plan(page_of: PageOf) -> None:
    async def act(user: User) -> None:
        await until(lambda: "cosine" in texts(user, "text"))

    page_of(link=f"#{to_fragment(WARMED.document)}").visit(act)


def test_a_link_that_names_a_class_outside_the_list_is_refused_whole(page_of: PageOf) -> None:
    evil = document_from({"lr": {"class_path": "os.system"}})

    async def act(user: User) -> None:
        await until(lambda: any("Links may not do that" in error for error in errors(user)))
        assert "Start with your situation" in shown(user)
        assert "os.system" not in shown(user)

    page_of(link=f"#{to_fragment(evil)}").visit(act)


def test_a_tab_goes_on_where_it_was_before_it_was_loaded_again(page_of: PageOf) -> None:
    kept = json.dumps(
        {"document": to_plain(WARMED.document), "file": "", "stamp": None, "source": ""}
    )

    async def act(user: User) -> None:
        await until(lambda: "cosine" in texts(user, "text"))

    page_of(kept=kept).visit(act)


def test_a_damaged_memory_is_no_reason_not_to_start(page_of: PageOf) -> None:
    async def act(user: User) -> None:
        assert "Start with your situation" in shown(user)

    page_of(kept='{"draft": {"version": 1, "tracks": 7}}').visit(act)


def test_names_are_shown_as_text_whatever_they_hold(page_of: PageOf) -> None:
    evil = "<img src=x onerror=alert(1)>"
    plan = {"run": {"total_steps": 10}, "lr": {"kind": "cosine", "name": evil}}
    draft = Draft({**document_from(plan), "groups": [{"name": evil, "lr": "1"}]})

    async def act(user: User) -> None:
        await until(lambda: evil in shown(user))
        assert user.client is not None
        for element in user.client.elements.values():
            assert element.props.get("innerHTML") is None
            assert not any(key.startswith(":") for key in element.props)

    page_of(draft).visit(act)


def test_a_kept_plan_stays_beside_the_next_and_can_be_had_back(page_of: PageOf) -> None:
    async def act(user: User) -> None:
        user.find(marker="keep").click()
        await until(lambda: "kept-0" in marks(user))
        user.find(marker="groups[0].lr").clear().type("5")
        await until(lambda: "lr: 5" in texts(user, "text"))
        user.find(marker="back-0").click()
        await until(lambda: "lr: 1e-3" in texts(user, "text"))

    page_of(WARMED).visit(act)


@pytest.mark.parametrize("field", ["weight_decay", "ema_decay"])
def test_a_target_is_added_beside_the_rate(field: str, page_of: PageOf) -> None:
    async def act(user: User) -> None:
        user.find(marker="add-track").click()
        user.find(marker=f"add-{field}").click()
        await until(lambda: field in texts(user, "text"))
        assert "set:" in texts(user, "text")

    page_of(WARMED).visit(act)
