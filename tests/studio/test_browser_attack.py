"""Hostile plans, links, names and classes in a real browser: nothing runs; the page goes on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.studio.hostile import HOSTILE
from tests.studio.pages import field, open_tab, press, serve, text_has

from warmdown.schedules.base import PlainData
from warmdown.studio.draft.files import document_from
from warmdown.studio.draft.links import to_fragment, to_plain
from warmdown.studio.process import Server

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page

pytestmark = [pytest.mark.browser, pytest.mark.slow]

EVIL = "<img src=x onerror=window.pwned=1>"
PLANS = {
    "long": "run: {total_steps: 1000000000000}\nlr: {kind: warmup_cosine}\n",
    "many": "run: {total_steps: 20000}\nlr:\n" + "- {kind: cosine, steps: 2}\n" * 10_000,
    "pattern": f"# groups: {{{'a' * 200}!: {{lr: 1}}}}\nrun: {{total_steps: 9}}\n"
    'lr: {groups: {"(a+)+$": {kind: cosine}, "((a*)*)*b": {kind: linear}, '
    '"*": {kind: constant}}}\n',
    "anchors": "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nlr: [*c, *c]\n",
    "deep": "lr: " + "[" * 5_000 + "\n",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Serve the page from a folder with hostile files in it."""
    folder = tmp_path_factory.mktemp("hostile")
    for name, text in PLANS.items():
        (folder / f"{name}.yaml").write_text(text)
    (folder / "own_hostile.py").write_text(HOSTILE)
    (folder.parent / "secret.yaml").write_text("lr: cosine\n")
    (folder / "link.yaml").symlink_to(folder.parent / "secret.yaml")
    started = serve(folder)
    yield started
    started.close()


def still_answers(tab: Page) -> None:
    """Design something from the beginning, to see that the page goes on."""
    if tab.locator('[data-mark="phase-0"]:visible').count():
        press(tab, "new")
        # what no file holds is asked about first
        asked = '[data-mark="leave-lose"]:visible'
        tab.wait_for_selector(f'{asked}, [data-mark="pick-cosine"]:visible')
        if tab.locator(asked).count():
            press(tab, "leave-lose")
    press(tab, "pick-cosine")
    field(tab, "plan.lr.end").fill("0.25")
    text_has(tab, "end: 0.25")


def test_a_run_of_a_trillion_updates_is_drawn_like_any_other(
    context: BrowserContext, server: Server
) -> None:
    tab = opened_file(context, server, "long")
    tab.wait_for_selector("text=1,000,000,000,000 updates")
    tab.wait_for_selector('[data-mark="values"]')
    still_answers(tab)


def opened_file(context: BrowserContext, server: Server, name: str) -> Page:
    """Open one of the hostile files."""
    tab = open_tab(context, server)
    press(tab, "open")
    press(tab, f"file-{name}.yaml")
    return tab


@pytest.mark.parametrize("name", ["many", "anchors", "deep"])
def test_a_file_that_is_a_bomb_is_refused_and_the_page_goes_on(
    name: str, context: BrowserContext, server: Server
) -> None:
    tab = opened_file(context, server, name)
    tab.wait_for_selector(".q-notification")
    still_answers(tab)


def test_a_pattern_that_never_ends_elsewhere_is_matched_at_once(
    context: BrowserContext, server: Server
) -> None:
    tab = opened_file(context, server, "pattern")
    tab.wait_for_selector('[data-mark="values"]')
    tab.wait_for_selector('[data-mark="track-0"]')
    field(tab, "plan.lr.groups.(a+)+$.@groups").fill("(a|aa)+$" * 30)
    tab.keyboard.press("Enter")
    text_has(tab, "(a|aa)+$")
    still_answers(tab)


@pytest.mark.parametrize(
    "name", ["../secret.yaml", "/etc/cron.yaml", "link.yaml", "~/plan.yaml", "a\\..\\b.yaml"]
)
def test_a_plan_is_saved_in_the_folder_alone_whatever_is_typed(
    name: str, context: BrowserContext, server: Server
) -> None:
    tab = open_tab(context, server)
    before = {path: path.read_text() for path in server.folder.parent.rglob("*.yaml")}
    press(tab, "open")
    tab.wait_for_selector('[data-mark="file-long.yaml"]')
    assert tab.locator('[data-mark="file-link.yaml"]').count() == 0
    tab.keyboard.press("Escape")
    press(tab, "pick-cosine")
    tab.wait_for_selector('[data-mark="phase-0"]:visible')
    tab.keyboard.press("Control+s")
    field(tab, "save-name").fill(name)
    press(tab, "save-yes")
    tab.wait_for_selector(".q-dialog .q-field--error")
    assert {path: path.read_text() for path in server.folder.parent.rglob("*.yaml")} == before


def test_names_of_a_plan_never_become_html(context: BrowserContext, server: Server) -> None:
    plan = f'lr: {{kind: cosine, steps: 10, name: "{EVIL}"}}\nrun: {{total_steps: 10}}\n'
    more = f'weight_decay: {{groups: {{"{EVIL}": {{set: {{kind: constant}}}}}}}}\n'
    path = server.folder / "evil.yaml"
    path.write_text(
        f"# groups: {{'{EVIL}': {{lr: 1, weight_decay: 1}}, ':x': {{lr: 2}}}}\n{plan}{more}"
    )
    tab = opened_file(context, server, "evil")
    path.unlink()
    tab.wait_for_selector('[data-mark="values"]')
    tab.hover('[data-mark="plot"]', position={"x": 300, "y": 150})
    for name in ("tab-words", "tab-table"):
        press(tab, name)
    assert EVIL in tab.locator('[data-mark="values"]').inner_text()
    tab.reload()
    tab.wait_for_selector('[data-mark="values"]')
    assert tab.evaluate("window.pwned") is None
    assert tab.evaluate("document.querySelectorAll('img[src=x]').length") == 0


def test_a_script_that_gets_into_the_page_does_not_run(tab: Page) -> None:
    refused = (
        "new Promise(done => document.addEventListener('securitypolicyviolation', e => "
        "done(e.violatedDirective)))"
    )
    for inject in (
        "document.body.insertAdjacentHTML('beforeend', '<img src=data:, onerror=\"window.pwned = "
        "1\">')",
        "document.body.append(Object.assign(document.createElement('script'), {textContent: "
        "'window.pwned = 2'}))",
    ):
        assert tab.evaluate(
            f"(() => {{ const told = {refused}; {inject}; return told; }})()"
        ).startswith("script-src")
    sent = "fetch('http://127.0.0.2:9/').then(() => 'sent', () => 'refused')"
    assert tab.evaluate(sent) == "refused"
    assert tab.evaluate("window.pwned") is None


def own(name: str) -> PlainData:
    """Return a plan with a class of the folder's own module."""
    return document_from({"run": {"total_steps": 10}, "lr": {"class_path": f"own_hostile.{name}"}})


def test_a_link_never_brings_a_class_and_the_tabs_memory_never_runs_one(
    context: BrowserContext, server: Server
) -> None:
    tab = open_tab(context, server, to_fragment(own("Halves")))
    tab.wait_for_selector("text=Links may not do that")
    assert tab.locator('[data-mark="yes"]').count() == 0
    kept = json.dumps(
        {"document": to_plain(own("Halves")), "file": "", "stamp": None, "source": ""}
    )
    tab.evaluate("kept => sessionStorage.setItem('warmdown-draft', kept)", kept)
    tab.reload()
    tab.wait_for_selector('[data-mark="yes"]')  # it asks
    assert not (server.folder / "ran").exists()


@pytest.mark.parametrize(
    ("name", "told"), [("HangsHard", "took longer than 10 seconds"), ("Allocates", "memory")]
)
def test_a_class_that_hangs_or_allocates_is_ended_while_other_tabs_go_on(
    name: str, told: str, context: BrowserContext, server: Server
) -> None:
    one, two = open_tab(context, server), open_tab(context, server)
    press(one, "pick-class")
    field(one, "plan.lr.class_path").fill(f"own_hostile.{name}")
    press(one, "yes")
    still_answers(two)
    one.wait_for_function(
        "told => document.querySelector('.findings').innerText.toLowerCase().includes(told)",
        arg=told,
        timeout=120_000,
    )
    assert (server.folder / "ran").exists()
    still_answers(one)
    assert Path(f"/proc/{server.process.pid}").exists()
