"""The page's logic, without a browser."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tests.app.studio.pages import shown, until

if TYPE_CHECKING:
    from nicegui.testing import User


def test_a(page_of: Callable[..., Any]) -> None:
    async def act(user: User) -> None:
        user.find(marker="preset-1").click()
        await user.should_see(marker="plot")
        user.find(marker="t0.p0.end").clear().type("0.2")
        await until(lambda: "1.2e-4" in shown(user))

    page_of().visit(act)
