"""What is wrong reads without Python at the field that it is about, wherever that stands."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from tests.studio.pages import Simulated, shown, until

from warmdown.schedules.base import PlainData
from warmdown.studio.draft.catalogue import example_data
from warmdown.studio.draft.document import Draft, expanded
from warmdown.studio.draft.fields import known_shapes
from warmdown.studio.draft.files import document_from
from warmdown.studio.draft.wording import in_words, message_of
from warmdown.studio.page.state import mistakes_by_mark
from warmdown.studio.preview.preview import preview

if TYPE_CHECKING:
    from nicegui.testing import User

WRONG: dict[str, list[Any]] = {
    "number": ["x", -1, 0, 2, "1e400"],
    "numbers": [["x"], [1], "a"],
    "duration": ["x", -5, "200%", "5ep", "2h", "1e9tok", 1.5],
    "durations": [["x"], [-1], ["5ep"]],
    "count": ["x", -1, 0, 1.5],
    "schedule": ["x", {"kind": "cosin"}, {"kind": "cosine", "end": "x"}],
    "schedules": [[], ["x"]],
}
PYTHON = re.compile(
    r"\w\(|\w=|\bint\b|\bfloat\b|None|True|False|--\w|\.over|unpack|{\w+:|[a-z]_[a-z]"
)
"""A call, an argument, a type, an option, a name with an underline."""


def wrong_plans() -> Iterator[tuple[str, str, PlainData]]:
    """Yield the kind, the parameter and the data of plans with one wrong value."""
    for kind, shape in known_shapes().items():
        if shape.drives_several:
            continue
        for field in shape.fields:
            for value in WRONG.get(field.kind, []):
                schedule = {**expanded(example_data(kind)), field.name: value}
                yield kind, field.name, {"run": {"total_steps": 1000}, "lr": schedule}


def test_every_message_of_a_wrong_value_is_at_its_field_and_has_no_python() -> None:
    count, far = 0, []
    for kind, field, data in wrong_plans():
        found = mistakes_by_mark(preview(data, {}).mistakes, data)
        for mark, text in found.items():
            count += 1
            plain = text.split("Known: ")[0]  # names of shapes and of placeholders
            assert not PYTHON.search(re.sub(r"'[^']*'|%\w+%", "", plain)), (kind, field, text)
            if not mark.startswith("plan.lr"):
                far.append((kind, field, mark, text))
    assert count > 300
    # a plateau of these may drive the curve beyond what can be drawn: that has no one field
    assert [row for row in far if "too large to draw" not in row[3]] == []


@pytest.mark.parametrize(
    ("lr", "mark"),
    [
        ([{"kind": "linear", "steps": "5ep"}, "cosine"], "plan.lr[0].steps"),
        ([{"kind": "linear", "steps": 10}, {"kind": "cosine", "steps": "2h"}], "plan.lr[1].steps"),
        ({"kind": "warmup_cosine", "warmup": "1e9tok"}, "plan.lr.warmup"),
        ({"kind": "delayed", "of": "cosine", "steps": "200%"}, "plan.lr.steps"),
        ([{"kind": "linear", "steps": 900}, {"kind": "cosine", "steps": 200}], "plan.lr"),
        ({"kind": "staircase", "gamma": 0.1, "every": "5ep"}, "plan.lr.every"),
        ({"kind": "cosine", "k": 0}, "plan.lr.k"),
    ],
)
def test_a_length_that_cannot_be_measured_is_found_where_it_stands(lr: Any, mark: str) -> None:
    data = {"run": {"total_steps": 1000}, "lr": lr}
    assert [*mistakes_by_mark(preview(data, {}).mistakes, data)] == [mark]


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("Cosine(end=0.5): a number is needed.", "A number is needed."),
        ("Clipped(of=Cosine(k=2), low=3): the bounds.", "Of, low: the bounds."),
        ("Chain: its phases need 9 steps.", "Its phases need 9 steps."),
        ("'5ep' needs to know steps_per_epoch. Give Run(steps_per_epoch=…).",
         "'5ep' needs “Batches per epoch”. Type it under Run."),
        ("'%LR%' needs the run's lr, which is not known. Give run: {lr: …}.",
         "'%LR%' needs “Learning rate”. Type it under Groups and base values."),
        ("the run has no length. Give run: {total_steps: …}, or --total-steps.",
         "The run has no length. Type “Updates” under Run."),
        ("its factor is 7. For the value itself, write {set: …}.",
         "Its factor is 7. For the value itself, choose “is the value itself”."),
    ],
)  # fmt: skip
def test_a_message_says_what_is_wrong_and_the_way_out_in_the_words_of_the_page(
    message: str, words: str
) -> None:
    assert message_of(message).text == words
    assert in_words("lr.end: a number is needed.") == "lr.end: a number is needed."
    assert in_words(words) == words


FOLDED: PlainData = {
    "run": {"total_steps": 1000},
    "lr": [
        {"kind": "linear", "start": 0, "end": 1, "steps": 100, "name": "warmup"},
        {"kind": "cosine", "end": 0.1},
    ],
    "weight_decay": {"set": {"kind": "linear", "start": 0.1, "end": 0}},
}


def test_what_is_wrong_in_a_folded_phase_stands_there_and_leads_to_its_field(
    page_of: Callable[..., Simulated],
) -> None:
    async def act(user: User) -> None:
        user.find(marker="plan.lr[0].start").clear().type("x")
        await until(lambda: "One field needs another value" in shown(user))
        user.find(marker="phase-1").click()
        await until(lambda: "Start: 'x': not a number" in element(user, "to-plan.lr[0].start").text)
        user.find(marker="to-plan.lr[0].start").click()
        await until(lambda: "not a number" in str(element(user, "plan.lr[0].start").error))
        with pytest.raises(AssertionError):
            user.find(marker="to-plan.lr[0].start")

    page_of(Draft(document_from(FOLDED))).visit(act)


def test_what_is_wrong_with_another_number_leads_to_it(page_of: Callable[..., Simulated]) -> None:
    async def act(user: User) -> None:
        user.find(marker="track-1").click()
        user.find(marker="plan.weight_decay.set.end").clear().type("x")
        user.find(marker="track-0").click()
        await until(lambda: bool(element(user, "to-plan.weight_decay.set.end")))
        assert "alert" in element(user, "track-1").props
        user.find(marker="to-plan.weight_decay.set.end").click()
        await until(lambda: "not a number" in str(element(user, "plan.weight_decay.set.end").error))
        user.find(marker="plan.weight_decay.set.end").clear().type("0")
        await until(lambda: "alert" not in element(user, "track-1").props)

    page_of(Draft(document_from(FOLDED))).visit(act)


def test_phases_that_do_not_fit_are_named_under_them(page_of: Callable[..., Simulated]) -> None:
    async def act(user: User) -> None:
        user.find(marker="plan.run.total_steps").clear().type("50")
        await until(lambda: "Its phases need" in element(user, "to-plan.lr").text)

    page_of(Draft(document_from(FOLDED))).visit(act)


def element(user: User, mark: str) -> Any:
    """Return the element with a mark; a button's text stands in its own."""
    (found,) = user.find(marker=mark).elements
    return found
