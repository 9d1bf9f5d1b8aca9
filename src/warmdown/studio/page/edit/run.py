"""The fields of the run, and the groups with their base values."""

from __future__ import annotations

from collections.abc import Sequence

from nicegui import ui

from warmdown.formatting import count, number
from warmdown.run import CLOCKS
from warmdown.studio.draft.document import Path, mark_of, meaning_of, targets_in
from warmdown.studio.page.edit.inputs import Inputs
from warmdown.studio.page.parts import Act, card, icon_button, plain_button, set_text, tag
from warmdown.studio.page.state import Studio

_RUN: Path = ("plan", "run")
_LOADER: Path = ("loader",)
_USUAL = (
    (_RUN, "total_steps", "Updates", "", "Optimizer updates in the whole run."),
    (_RUN, "epochs", "Epochs", "", "Passes over the data."),
    (
        _LOADER, "batches", "Batches per epoch", "",
        "As one process counts them: the length of its data loader.",
    ),
    (_LOADER, "accumulation", "Accumulate", "1", "Batches that make one update."),
)  # fmt: skip
_MORE = (
    (_LOADER, "processes", "Processes", "1", "That train together; each has its own batches."),
    (_LOADER, "batch_size", "Batch size", "", "Samples in a batch of one process."),
    (_LOADER, "tokens", "Tokens per sample", "", "For durations in tokens, such as 2e9tok."),
    (_RUN, "seconds_per_step", "Seconds per update", "", "For durations in time, such as 1h30m."),
    (_RUN, "budget", "Budget", "", "The run's length in another unit: 2h, 2e12tok."),
)


def build_run(studio: Studio, inputs: Inputs) -> Act:
    """Build the fields of the run; return what shows the total, and how it comes about."""
    with card("Run", "run"), tag("div", classes="stack"):
        with tag("div", classes="fields"):
            _build_texts(studio, inputs, _USUAL)
        more = ui.expansion("Batches, tokens, time").props("dense").classes("more")
        with more, tag("div", classes="fields"):
            _build_texts(studio, inputs, _MORE)
            clock = studio.get((*_RUN, "clock"))
            inputs.choice(
                (*_RUN, "clock"), "Clock", clock if clock in CLOCKS else "updates", list(CLOCKS),
                help="What schedules are a function of.",
            )  # fmt: skip
        given = [clock, *(studio.get((*home, name)) for home, name, *_ in _MORE)]
        more.value = any(fact is not None for fact in given)
        with tag("p", classes="total"):
            total, how = tag("b"), tag("span", "", "quiet small")

    def show() -> None:
        if any(mark_of((*home, name)) in studio.mistakes for home, name, *_ in _MORE):
            more.value = True
        length, facts = _run_length(studio)
        set_text(total, length)
        set_text(how, " · ".join(facts))

    show()
    return show


def _run_length(studio: Studio) -> tuple[str, list[str]]:
    """Return the run's length, and how it comes about."""
    run = studio.run
    if run is None or run.length is None:
        is_new = not studio.reading.data.get("run")
        return "", ["Say how long the run is, by updates or epochs."] if is_new else []
    facts = []
    if run.epochs and run.steps_per_epoch:
        facts.append(f"{count(run.epochs)} epochs × {count(run.steps_per_epoch)}")
    if run.samples_per_step:
        facts.append(f"{count(run.samples_per_step)} samples an update")
    if run.tokens_per_step:
        facts.append(f"{number(run.tokens_per_step)} tokens an update")
    return f"{count(run.length)} {run.clock}", facts


def _build_texts(
    studio: Studio, inputs: Inputs, rows: Sequence[tuple[Path, str, str, str, str]]
) -> None:
    for home, name, label, placeholder, help in rows:
        if name == "total_steps" and studio.get((*_RUN, "epochs")) is not None:
            placeholder = "from epochs"
        widget = "number" if home == _RUN and name != "budget" else "text"
        element = inputs.value((*home, name), label, widget, placeholder=placeholder, help=help)
        element.props(f"inputmode={'text' if name == 'budget' else 'decimal'}")


def build_groups(studio: Studio, inputs: Inputs) -> None:
    """Build the rows of groups: a name, and a base value for each number that is scaled."""

    def add() -> None:
        groups = studio.document["groups"]
        studio.put(("groups",), [*groups, {}])
        studio.focus(mark_of(("groups", len(groups), "name")))

    with card("Groups and base values", "groups"), tag("div", classes="stack"):
        for at in range(len(studio.document["groups"])):
            _build_group(studio, inputs, at)
        with tag("div", classes="line"):
            plain_button("Add group", add, icon="add", mark="add-group")


def _build_group(studio: Studio, inputs: Inputs, at: int) -> None:
    document, title = studio.document, f"Group {at + 1}"
    groups = document["groups"]
    name, has_others = str(groups[at].get("name", "")), len(groups) > 1
    scaled = [row.field for row in targets_in(document) if meaning_of(document, row) == "scale"]

    def take_out() -> None:
        studio.put(("groups",), groups[:at] + groups[at + 1 :])
        studio.focus("add-group")

    classes = "group many" if has_others else "group"
    with tag("div", classes=classes, role="group", aria_label=title):
        inputs.value(("groups", at, "name"), "Group", "text", placeholder="all parameters")
        with tag("div", classes="stack"):
            for field in dict.fromkeys(["lr", *scaled]):
                label = "Learning rate" if field == "lr" else field.replace("_", " ")
                element = inputs.value(
                    ("groups", at, field), label, "text", placeholder="× base",
                    help="The optimizer's own value, which the schedule multiplies.",
                )  # fmt: skip
                element.props("inputmode=decimal")
        if has_others:
            icon_button("close", f"Remove {name or title.lower()}", take_out)
