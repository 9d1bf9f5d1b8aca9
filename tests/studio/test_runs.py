"""The page of runs without a browser: ticked, predicted, looked at, and a job spoken to."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.studio.pages import Simulated, shown, until
from tests.studio.test_browser_tell import RunningLoop
from tests.studio.test_outlook import PUBLISHED
from tests.studio.test_page import field, marks, texts
from tests.studio.test_page_edit import choose
from tests.studio.test_watch import run_in

import warmdown as wd
from warmdown import mailbox
from warmdown.errors import ForecastError
from warmdown.studio.page import tell, watching
from warmdown.studio.page.show.plot import PlotElement
from warmdown.studio.preview.outlook import read_law

if TYPE_CHECKING:
    from nicegui.testing import User

PageOf = Callable[..., Simulated]
PLAN = wd.Plan.of(lr=wd.warmup_cosine(end=0.1), run=wd.Run(total_steps=200, lr=3e-4))


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at the folder twenty times a second."""
    monkeypatch.setattr(watching, "_EVERY", 0.05)


def record_in(folder: Path, *targets: str) -> Path:
    """Write fifty rows of each target, beside the plan."""
    folder.mkdir(parents=True)
    record = wd.Record(folder / "record.jsonl")
    for step in range(50):
        for target in targets:
            record.add(step, target, 3e-4 if target == "lr/0" else 2.0 + step % 2)
    record.flush()
    wd.save(PLAN, folder / "plan.yaml")
    return folder / "record.jsonl"


def ticked(user: User) -> set[str]:
    """Return the names of the runs that are shown."""
    from nicegui import ui

    assert user.client is not None
    boxes = [one for one in user.client.elements.values() if isinstance(one, ui.checkbox)]
    return {box.text for box in boxes if box.value}


def test_runs_and_their_events_are_shown_as_they_come(page_of: PageOf, tmp_path: Path) -> None:
    page = page_of()
    page.app.watch = tmp_path

    async def act(user: User) -> None:
        await until(lambda: "No run yet" in shown(user))
        record = run_in(tmp_path, 50)
        await until(lambda: "running · 50 updates · decay" in shown(user))
        record.add(50, "lr/0", 1.0, "another hand wrote lr")
        record.flush()
        await until(lambda: "one: lr/0: another hand wrote lr" in shown(user))
        assert "one: decay begins" in shown(user)
        run_in(tmp_path, 20, "two")
        await until(lambda: "run-two" in marks(user))

    page.visit(act)


def test_a_law_is_fitted_to_the_ticked_runs_saved_and_forgotten(
    page_of: PageOf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = page_of()
    page.app.watch = tmp_path / "runs"
    whole = record_in(tmp_path / "runs" / "whole", "lr/0", "loss")
    record_in(tmp_path / "runs" / "bare", "loss")
    law, fitted = read_law({"law.json": PUBLISHED}), []

    def fit(paths: list[Path]) -> Any:
        fitted.append(paths)
        if len(fitted) == 2:
            raise ForecastError("fit_loss(logs): they cannot tell. Log another run.")
        return law

    monkeypatch.setattr(watching, "fit_loss", fit)

    async def act(user: User) -> None:
        async def says(words: str, press: str) -> None:
            user.find(marker=press).click()
            await until(lambda: words in shown(user))

        await until(lambda: ticked(user) == {"bare", "whole"})
        await says("bare: no rate is recorded. Untick it, or record the rate too.", "law-fit")
        user.find(marker="tick-none").click()
        await says("Tick a run first.", "law-fit")
        await says("There is no law yet. Fit one to ticked runs first.", "law-save")
        user.find(marker="run-whole").click()
        await says("A law fitted to whole predicts the loss, with a 90 % interval.", "law-fit")
        assert fitted == [[whole]]
        await until(lambda: "Predicted final loss" in shown(user))
        user.find(marker="law-save").click()
        assert (await user.download.next()).text == law.to_json()
        await says("they cannot tell. Log another run.", "law-fit")
        user.find(marker="law-forget").click()
        await until(lambda: "Predicted final loss" not in shown(user))
        assert "they cannot tell" not in shown(user)

    page.visit(act)


def test_twelve_runs_are_shown_at_most_and_one_that_is_removed_goes(
    page_of: PageOf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []
    monkeypatch.setattr(PlotElement, "_call", lambda _, call, what: sent.append(what))
    page = page_of()
    page.app.watch = tmp_path / "runs"
    page.app.watch.mkdir()

    async def act(user: User) -> None:
        await until(lambda: "No run yet: it appears as soon as one writes" in shown(user))
        for number in range(13):
            record_in(tmp_path / "runs" / f"{number:02}", "lr/0", "loss")
        await until(lambda: "run-12" in marks(user) and len(ticked(user)) == 3)
        user.find(marker="tick-all").click()
        await until(lambda: len(ticked(user)) == 12)
        (left,) = {f"{number:02}" for number in range(13)} - ticked(user)
        user.find(marker=f"run-{left}").click()
        assert user.notify.contains("12 runs are shown at most. Untick another one first.")
        shutil.rmtree(tmp_path / "runs" / "03")
        await until(lambda: "run-03" not in marks(user))
        user.find(marker="filter").type("1 2")
        await until(lambda: "1 of 12 runs have a name like that." in shown(user))
        user.find(marker="tick-none").click()
        assert "12" not in ticked(user)
        assert len(ticked(user)) >= 10  # what the filter hides stays
        user.find(marker="filter").clear()
        for mark in ("tick-none", "run-00"):
            user.find(marker=mark).click()
        await until(lambda: ticked(user) == {"00"})
        sent.clear()
        user.find(marker="log").click()
        await until(lambda: any('"type":"log"' in one for one in sent))
        user.find(marker="smoothing").trigger("input", "0.5")
        await until(lambda: any('"name":"unsmoothed: loss"' in one for one in sent))
        choose(user, "axis", "epochs")
        await until(lambda: "00: how many updates an epoch has is not known" in shown(user))
        user.find(marker="theme").click()
        assert field(user, "theme").props["aria-label"] == "Light colours"  # type: ignore[attr-defined]

    page.visit(act)


def test_a_job_is_asked_only_for_what_was_seen_before(
    page_of: PageOf, loop: RunningLoop, tmp_path: Path
) -> None:
    page = page_of()
    page.app.watch, page.app.law = tmp_path / "runs", read_law({"law.json": PUBLISHED})

    async def act(user: User) -> None:
        async def answered(*parts: str) -> str:
            await until(lambda: all(part in texts(user, "tell-answer") for part in parts))
            return texts(user, "tell-answer")

        await until(lambda: "tell-job" in marks(user))
        user.find(marker="tell-job").click()
        choose(user, "tell-command", "rescale")
        choose(user, "tell-factor", "much")
        user.find(marker="tell-send").click()
        await answered("factor='much'", "not a value of it")
        choose(user, "tell-factor", "0.5")
        choose(user, "tell-target", "lr/head")
        assert texts(user, "tell-answer") == ""
        user.find(marker="tell-send").click()  # what was not seen is shown first
        await answered("this would come of it", "Predicted loss at the end by lr/head", "Send it")
        assert "tell-plot" in marks(user)
        assert loop.rates() == [3e-4, 3e-4]
        user.find(marker="tell-send").click()
        answer = await answered("rescale factor=0.5 target=lr/head: from update")
        assert loop.rates() == [3e-4, 1.5e-4]
        assert shown(user).count(answer) == 2  # beside the run too
        choose(user, "tell-command", "hold")
        assert field(user, "tell-target").value == "all values"  # type: ignore[attr-defined]
        choose(user, "tell-command", "extend")
        assert field(user, "tell-total_steps").value == "100000"  # type: ignore[attr-defined]
        choose(user, "tell-total_steps", "200000")
        user.find(marker="tell-total_steps").trigger("keydown.enter")
        await answered("The run ends after 200,000 updates; before it was 100,000.")
        choose(user, "tell-command", "stop")
        with pytest.raises(AssertionError):
            user.find(marker="tell-preview")
        user.find(marker="tell-send").click()
        await answered("stop: from update")
        loop.join(20.0)
        assert not loop.is_alive()

    page.visit(act)


def test_an_answer_to_what_was_asked_before_is_kept_beside_the_run_alone(
    page_of: PageOf, loop: RunningLoop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    real = mailbox.tell

    def slow(place: Path, command: str, **how: Any) -> Any:
        asked.append(command)
        return real(place, command, **how)

    monkeypatch.setattr(tell, "tell", slow)
    page = page_of()
    page.app.watch = tmp_path / "runs"

    async def act(user: User) -> None:
        await until(lambda: "tell-job" in marks(user))
        user.find(marker="tell-job").click()
        choose(user, "tell-command", "stop")
        for _ in range(2):  # the second press waits for no second answer
            user.find(marker="tell-send").click()
        await until(lambda: texts(user, "tell-answer").startswith("Asked."))
        choose(user, "tell-command", "hold")
        await until(lambda: "stop: from update" in shown(user))
        assert asked == ["stop"]
        assert texts(user, "tell-answer") == ""

    page.visit(act)


def test_a_page_that_only_reads_offers_no_word_to_a_job(page_of: PageOf, tmp_path: Path) -> None:
    record_in(tmp_path / "runs" / "job", "lr/0")
    page = page_of()
    page.app.watch, page.app.is_read_only = tmp_path / "runs", True

    async def act(user: User) -> None:
        await until(lambda: "run-job" in marks(user))
        assert "tell-job" not in marks(user)

    page.visit(act)
