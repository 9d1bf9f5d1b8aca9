"""The fields of the run, and the groups with their base values."""

from __future__ import annotations

from nicegui import ui

from warmdown.formatting import count, number
from warmdown.run import CLOCKS
from warmdown.studio.draft.edits import add_group
from warmdown.studio.draft.model import RunTexts
from warmdown.studio.page.edit.inputs import Inputs
from warmdown.studio.page.parts import Act, card, icon_button, plain_button, set_text, tag
from warmdown.studio.page.state import Studio

_USUAL = (
    ("total_steps", "Updates", "", "Optimizer updates in the whole run."),
    ("epochs", "Epochs", "", "Passes over the data."),
    (
        "batches", "Batches per epoch", "",
        "As one process counts them: the length of its data loader.",
    ),
    ("accumulation", "Accumulate", "1", "Batches that make one update."),
)  # fmt: skip
_MORE = (
    ("processes", "Processes", "1", "That train together; each has its own batches."),
    ("batch_size", "Batch size", "", "Samples in a batch of one process."),
    ("tokens", "Tokens per sample", "", "For durations in tokens, such as 2e9tok."),
    ("seconds_per_step", "Seconds per update", "", "For durations in time, such as 1h30m."),
    ("budget", "Budget", "", "The run's length in another unit: 2h, 2e12tok."),
)


def build_run(studio: Studio, inputs: Inputs) -> Act:
    """Build the fields of the run; return what shows the total, and how it comes about."""
    run = studio.draft.run
    with card("Run", "run"), tag("div", classes="stack"):
        with tag("div", classes="fields"):
            _build_texts(inputs, run, _USUAL)
        more = ui.expansion("Batches, tokens, time").props("dense").classes("more")
        with more, tag("div", classes="fields"):
            _build_texts(inputs, run, _MORE)
            inputs.choice(
                "run.clock", "Clock", run.clock or "updates", list(CLOCKS),
                help="What schedules are a function of.",
            )  # fmt: skip
        more.value = any(getattr(run, name) for name in ("clock", *(row[0] for row in _MORE)))
        with tag("p", classes="total"):
            total, how = tag("b"), tag("span", "", "quiet small")

    def show() -> None:
        length, facts = _run_length(studio)
        set_text(total, length)
        set_text(how, " · ".join(facts))

    show()
    return show


def _run_length(studio: Studio) -> tuple[str, list[str]]:
    """Return the run's length, and how it comes about."""
    run = studio.run
    if run is None or run.length is None:
        is_new = studio.draft.run == RunTexts()
        return "", ["Say how long the run is, by updates or epochs."] if is_new else []
    facts = []
    if run.epochs and run.steps_per_epoch:
        facts.append(f"{count(run.epochs)} epochs × {count(run.steps_per_epoch)}")
    if run.samples_per_step:
        facts.append(f"{count(run.samples_per_step)} samples an update")
    if run.tokens_per_step:
        facts.append(f"{number(run.tokens_per_step)} tokens an update")
    return f"{count(run.length)} {run.clock}", facts


def _build_texts(inputs: Inputs, run: RunTexts, rows: tuple[tuple[str, ...], ...]) -> None:
    for name, label, placeholder, help in rows:
        if name == "total_steps" and run.epochs:
            placeholder = "from epochs"
        element = inputs.text(
            f"run.{name}", label, getattr(run, name), placeholder=placeholder, help=help
        )
        element.props(f"inputmode={'text' if name == 'budget' else 'decimal'}")


def build_groups(studio: Studio, inputs: Inputs) -> None:
    """Build the rows of groups: a name, and a base value for each number that is scaled."""

    def add() -> None:
        studio.change(add_group(studio.draft))
        studio.focus(f"g{len(studio.draft.groups) - 1}.name")

    with card("Groups and base values", "groups"), tag("div", classes="stack"):
        for at in range(len(studio.draft.groups)):
            _build_group(studio, inputs, at)
        with tag("div", classes="line"):
            plain_button("Add group", add, icon="add", mark="add-group")


def _build_group(studio: Studio, inputs: Inputs, at: int) -> None:
    draft, name = studio.draft, f"Group {at + 1}"
    group, has_others = draft.groups[at], len(draft.groups) > 1
    scaled = [target.field for target in draft.targets if target.meaning == "scale"]

    def take_out() -> None:
        studio.remove(f"g{at}")
        studio.focus("add-group")

    with tag("div", classes="group many" if has_others else "group", role="group", aria_label=name):
        inputs.text(f"g{at}.name", "Group", group.name, placeholder="all parameters")
        with tag("div", classes="stack"):
            for field in dict.fromkeys(["lr", *scaled]):
                label = "Learning rate" if field == "lr" else field.replace("_", " ")
                element = inputs.text(
                    f"g{at}.{field}", label, group.base(field), placeholder="× base",
                    help="The optimizer's own value, which the schedule multiplies.",
                )  # fmt: skip
                element.props("inputmode=decimal")
        if has_others:
            icon_button("close", f"Remove {group.name or name.lower()}", take_out)
