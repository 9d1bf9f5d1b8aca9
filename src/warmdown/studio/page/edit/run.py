"""The fields of the run, and the groups with their base values."""

from __future__ import annotations

from functools import partial
from typing import final

from nicegui import ui

from warmdown.plot.formatting import count, number
from warmdown.run import CLOCKS
from warmdown.studio.draft.edits import add_group, remove
from warmdown.studio.draft.model import RunTexts
from warmdown.studio.page.edit.inputs import Inputs
from warmdown.studio.page.parts import card, icon_button, plain_button, set_text, tag
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


@final
class RunFields:
    """The fields of the run.

    Args:
        studio: The tab.
        inputs: Where its fields are kept.
    """

    def __init__(self, studio: Studio, inputs: Inputs) -> None:
        self.studio = studio
        self.inputs = inputs

    def build(self) -> None:
        """Build them."""
        run = self.studio.draft.run
        with card("Run", "run"), tag("div", classes="stack"):
            with tag("div", classes="fields"):
                self._texts(_USUAL)
            more = ui.expansion("Batches, tokens, time").props("dense").classes("more")
            with more, tag("div", classes="fields"):
                self._texts(_MORE)
                self.inputs.choice(
                    "run.clock", "Clock", run.clock or "updates", list(CLOCKS),
                    help="What schedules are a function of.",
                )  # fmt: skip
            more.value = any(getattr(run, name) for name in ("clock", *(row[0] for row in _MORE)))
            with tag("p", classes="total"):
                self.total = tag("b", "")
                self.how = tag("span", "", "quiet small")
        self.show()

    def show(self) -> None:
        """Show the total, and how it comes about."""
        run, total, facts = self.studio.run, "", []
        if run is not None and run.length is not None:
            total = f"{count(run.length)} {run.clock}"
            if run.epochs and run.steps_per_epoch:
                facts.append(f"{count(run.epochs)} epochs × {count(run.steps_per_epoch)}")
            if run.samples_per_step:
                facts.append(f"{count(run.samples_per_step)} samples an update")
            if run.tokens_per_step:
                facts.append(f"{number(run.tokens_per_step)} tokens an update")
        elif self.studio.draft.run == RunTexts():
            facts.append("Say how long the run is, by updates or epochs.")
        set_text(self.total, total)
        set_text(self.how, " · ".join(facts))

    def _texts(self, rows: tuple[tuple[str, str, str, str], ...]) -> None:
        run = self.studio.draft.run
        for name, label, placeholder, help in rows:
            if name == "total_steps" and run.epochs:
                placeholder = "from epochs"
            element = self.inputs.text(
                f"run.{name}", label, getattr(run, name), placeholder=placeholder, help=help
            )
            element.props(f"inputmode={'text' if name == 'budget' else 'decimal'}")


@final
class GroupRows:
    """The rows of parameter groups: a name, and a base value for each number that is scaled.

    Args:
        studio: The tab.
        inputs: Where its fields are kept.
    """

    def __init__(self, studio: Studio, inputs: Inputs) -> None:
        self.studio = studio
        self.inputs = inputs

    def build(self) -> None:
        """Build them."""
        draft = self.studio.draft
        with card("Groups and base values", "groups"), tag("div", classes="stack"):
            for number_of_group in range(len(draft.groups)):
                self._row(number_of_group, is_one_of_many=len(draft.groups) > 1)
            with tag("div", classes="line"):
                plain_button("Add group", self._add, icon="add", mark="add-group")

    def _row(self, number: int, *, is_one_of_many: bool) -> None:
        draft = self.studio.draft
        group, name = draft.groups[number], f"Group {number + 1}"
        scaled = [target.field for target in draft.targets if target.meaning == "scale"]
        classes = "group many" if is_one_of_many else "group"
        with tag("div", classes=classes, role="group", aria_label=name):
            self.inputs.text(f"g{number}.name", "Group", group.name, placeholder="all parameters")
            with tag("div", classes="stack"):
                for field in dict.fromkeys(["lr", *scaled]):
                    label = "Learning rate" if field == "lr" else field.replace("_", " ")
                    element = self.inputs.text(
                        f"g{number}.{field}", label, group.base(field), placeholder="× base",
                        help="The optimizer's own value, which the schedule multiplies.",
                    )  # fmt: skip
                    element.props("inputmode=decimal")
            if is_one_of_many:
                act = partial(self._remove, number)
                icon_button("close", f"Remove {group.name or name.lower()}", act)

    def _add(self) -> None:
        self.studio.change(add_group(self.studio.draft))
        self.studio.focus(f"g{len(self.studio.draft.groups) - 1}.name")

    def _remove(self, number: int) -> None:
        self.studio.change(remove(self.studio.draft, f"g{number}"))
        self.studio.focus("add-group")
