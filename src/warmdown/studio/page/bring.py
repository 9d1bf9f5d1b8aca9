"""What another program made, as a plan: its configuration, or its class in place of a phase."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from nicegui import ui

from warmdown.errors import SpecError
from warmdown.importing.fence import LONGEST_LOOK
from warmdown.importing.fence_worker import LONGEST_START
from warmdown.schedules.base import PlainData
from warmdown.studio.draft.document import NOT_TARGETS, Draft
from warmdown.studio.draft.files import brought
from warmdown.studio.draft.wording import in_words
from warmdown.studio.page.parts import marked, plain_button, show_error, tag
from warmdown.studio.page.state import Studio
from warmdown.studio.security.worker import Ended

FACTS = {
    "total_steps": "Updates",
    "steps_per_epoch": "Updates in an epoch",
    "epochs": "Epochs",
    "lr": "Learning rate",
}
"""What a configuration may leave open, and its field on the page."""
BESIDE = "Other settings (name=value, …)"
_LONGEST_NATIVE = 3 * LONGEST_LOOK


async def read_configuration(
    studio: Studio, name: str, text: str, facts: PlainData, files: Mapping[str, str]
) -> Draft:
    """Return the draft of a configuration.

    Args:
        studio: The tab.
        name: Of the file.
        text: What it holds.
        facts: What is known of the run, by the name of its field, and further settings, as typed.
        files: Texts of the files that it may name.

    Raises:
        SpecError: It cannot be read, or leaves something open.
    """
    known, beside = _numbers(facts)
    question: PlainData = {"task": "read", "name": name, "text": text, "files": files}
    question |= {"known": known, "beside": beside}
    answer = await _ask(studio, question, LONGEST_START)
    return brought(answer["plan"], answer["report"], name)


async def native_plan(studio: Studio) -> PlainData:
    """Return the targets of the plan with warmdown's own schedules for classes, and the report.

    Raises:
        SpecError: A class has no equal that can be written down.
    """
    plan = studio.reading
    question = {"task": "native", "data": plan.data, "bases": plan.bases}
    question["allow"] = sorted(studio.trusted)
    return await _ask(studio, question, _LONGEST_NATIVE)


async def make_native(studio: Studio) -> bool:
    """Put warmdown's own schedules in place of classes; return whether that can be."""
    try:
        answer = await native_plan(studio)
    except SpecError as error:
        show_mistakes(studio, error)
        return False
    plan = studio.document["plan"]
    document = {
        **studio.document,
        "plan": {name: plan[name] for name in plan if name in NOT_TARGETS} | answer["plan"],
    }
    notes = answer["report"] or ["It does the same at every update."]
    report = ("A class was turned into a schedule of warmdown's own.", *notes)
    studio.history.edit(replace(studio.draft, document=document, report=report))
    studio.refresh()
    studio.focus("report")
    return True


@contextmanager
def mistakes_shown(studio: Studio) -> Iterator[None]:
    """Show what is found to be wrong in the block."""
    try:
        yield
    except SpecError as error:
        show_mistakes(studio, error)


def show_mistakes(studio: Studio, error: SpecError) -> None:
    """Show what is wrong with a file, a link or a class; the page stays as it is."""
    with studio.client:  # what was pressed may be gone by now
        show_error("\n".join(error.mistakes[:5]))


def build_native_button(studio: Studio) -> None:
    """Build what turns the classes of the plan into schedules that can be trained with."""

    async def turn() -> None:
        await make_native(studio)

    with tag("div", classes="stack"):
        tag(
            "p",
            "A class is only looked at here. To train, turn it into a schedule of warmdown's own, "
            "or take the code that makes it: As text, PyTorch.",
            "small quiet",
        )
        with tag("div", classes="line"):
            plain_button("Turn into an own schedule", turn, icon="sync_alt", mark="native")


def build_report(studio: Studio) -> None:
    """Build the place that shows the report of the reader that a plan is from."""
    shown: tuple[str, ...] = ()

    def show() -> None:
        nonlocal shown
        if shown == studio.draft.report:
            return
        shown = studio.draft.report
        place.set_visibility(bool(shown))
        place.clear()
        with place:
            tag("h2", "Where this plan is from", id="head-report")
            with tag("ul", classes="small"):
                for line in shown:
                    tag("li", line)

    place = marked(tag("section", classes="card", aria_labelledby="head-report"), "report")
    place.props["tabindex"] = "-1"
    place.set_visibility(False)
    for event in ("draft", "file"):
        studio.subscribe(event, show)


def build_facts(facts: PlainData, mistake: str) -> dict[str, Any]:
    """Build the fields for what a configuration leaves open; return them by name."""
    tag("p", in_words(mistake, FACTS), "small", role="alert")
    labels = {**FACTS, **({"beside": BESIDE} if "-p " in mistake or "beside" in facts else {})}
    fields = {}
    for name, label in labels.items():
        fields[name] = ui.input(label, value=facts.get(name, ""))
        marked(fields[name].props("outlined dense autocomplete=off"), f"fact-{name}")
    return fields


def _numbers(facts: PlainData) -> tuple[PlainData, PlainData]:
    known: PlainData = {}
    for name, label in FACTS.items():
        if text := str(facts.get(name) or "").strip():
            try:
                value = float(text)
            except ValueError:
                raise SpecError(f"{label}: a number is needed, like 1000 or 1e-4.") from None
            if not value > 0 or (name != "lr" and value % 1):
                raise SpecError(f"{label}: a number above 0 is needed, whole but for the rate.")
            known[name] = value if name == "lr" else int(value)
    pairs = [pair.partition("=") for pair in str(facts.get("beside") or "").split(",")]
    return known, {name.strip(): value.strip() for name, equal, value in pairs if equal}


async def _ask(studio: Studio, question: PlainData, seconds: float) -> PlainData:
    try:
        answer = await studio.app.worker.ask(question, seconds=seconds)
    except Ended as error:
        raise SpecError(f"It was stopped: {error}") from None
    if "plan" not in answer:
        raise SpecError(list(map(str, answer.get("mistakes", ()))) or ["It gave no answer."])
    return answer
