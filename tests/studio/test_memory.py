"""What the page keeps does not grow with edits, nor with tabs that come and go."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from tests.studio.pages import Simulated, until

from warmdown.studio.draft.document import Draft
from warmdown.studio.draft.files import document_from
from warmdown.studio.page.state import Studio

if TYPE_CHECKING:
    from nicegui.testing import User

# what other tests leave in the process is counted too: run with those that drive the page for long
pytestmark = [pytest.mark.slow, pytest.mark.browser]

PLAN = {"run": {"total_steps": 1000, "lr": 1e-3}, "lr": {"kind": "cosine", "end": 0.1}}


def studios() -> list[Studio]:
    """Return the state of each tab that is still kept."""
    gc.collect()
    return [one for one in gc.get_objects() if type(one) is Studio]


async def edit(studio: Studio, count: int) -> None:
    """Type into two fields in turn, so that each key is an edit of its own."""
    for number in range(count):
        field = "end" if number % 2 else "k"
        studio.type(("plan", "lr", field), f"{1 + number % 7}")
        await asyncio.sleep(0)


def test_memory_is_flat_over_a_thousand_edits(
    page_of: Callable[..., Simulated], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("warmdown.studio.draft.history._REMEMBERED", 50)

    async def act(user: User) -> None:
        assert user.client is not None
        (studio,) = studios()
        await edit(studio, 1000)  # until pools and caches are full
        gc.collect()
        before = sys.getallocatedblocks()
        await edit(studio, 1000)
        gc.collect()
        assert studio.history.can_undo
        assert sys.getallocatedblocks() - before < 2_000  # a draft that was kept takes 9 an edit

    page_of(Draft(document_from(PLAN))).visit(act)


def test_nothing_is_kept_of_a_hundred_tabs_that_come_and_go(
    page_of: Callable[..., Simulated],
) -> None:
    async def act(user: User) -> None:
        for _ in range(100):
            assert user.client is not None
            user.client.delete()
            await user.open("/")
        await until(lambda: len(studios()) <= 2)  # the words of the last ones come after a pause

    page_of(Draft(document_from(PLAN))).visit(act)
