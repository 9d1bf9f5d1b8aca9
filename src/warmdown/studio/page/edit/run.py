"""How long the run is, from what people know of it, and the groups with their base values."""

from __future__ import annotations

__all__ = ["GroupRows", "RunFields"]

from functools import partial
from typing import final

from nicegui import ui

from warmdown.plot.formatting import count, number
from warmdown.run import CLOCKS, Run
from warmdown.studio.draft.edits import add_group, remove_group
from warmdown.studio.page.edit.inputs import Inputs
from warmdown.studio.page.parts import card, icon_button, plain_button, tag
from warmdown.studio.page.state import Studio

_EPOCHS = (
    ("epochs", "Epochs", "", "Passes over the data."),
    (
        "batches",
        "Batches per epoch",
        "",
        "As one process counts them: the length of its data loader.",
    ),
    ("accumulation", "Accumulate", "1", "Batches that make one update."),
    ("processes", "Processes", "1", "That train together; each has its own batches."),
    ("batch_size", "Batch size", "", "Samples in a batch of one process."),
    ("tokens", "Tokens per sample", "", "For durations in tokens, such as 2e9tok."),
)
_CLOCK = (
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
                self._text(
                    "total_steps",
                    "Updates",
                    self._reckoned(),
                    "Optimizer updates in the whole run.",
                )
                self._text(*_EPOCHS[0])
                self._text(*_EPOCHS[1])
                self._text(*_EPOCHS[2])
            more = ui.expansion("Batches, tokens, time").props("dense").classes("more")
            with more, tag("div", classes="fields"):
                for row in (*_EPOCHS[3:], *_CLOCK):
                    self._text(*row)
                words = {clock: clock for clock in CLOCKS}
                help = "What schedules are a function of."
                self.inputs.choice("run.clock", "Clock", run.clock or "updates", words, help=help)
            more.value = any(getattr(run, name) for name, *_ in (*_EPOCHS[3:], *_CLOCK)) or bool(
                run.clock
            )
            with tag("p", classes="total"):
                self.total = tag("b", "")
                self.how = tag("span", "", "quiet small")
        self.show()

    def show(self) -> None:
        """Show the total, and how it comes about."""
        total, how = _total(self.studio.run, self.studio)
        self.total._text, self.how._text = total, how
        self.total.update()
        self.how.update()

    def _text(self, name: str, label: str, placeholder: str, help: str) -> None:
        value = getattr(self.studio.draft.run, name)
        element = self.inputs.text(f"run.{name}", label, value, placeholder=placeholder, help=help)
        element.props("inputmode=text" if name == "budget" else "inputmode=decimal")

    def _reckoned(self) -> str:
        return "from epochs" if self.studio.draft.run.epochs else ""


def _total(run: Run | None, studio: Studio) -> tuple[str, str]:
    length = run.length if run else None
    if run is None or length is None:
        return (
            ("", "Say how long the run is, by updates or epochs.")
            if studio.draft.run.is_empty
            else ("", "")
        )
    unit = run.clock
    told = []
    if run.epochs and run.steps_per_epoch:
        told.append(f"{count(run.epochs)} epochs × {count(run.steps_per_epoch)}")
    if run.samples_per_step:
        told.append(f"{count(run.samples_per_step)} samples an update")
    if run.tokens_per_step:
        told.append(f"{number(run.tokens_per_step)} tokens an update")
    return f"{count(length)} {unit}", " · ".join(told)


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
        studio = self.studio
        scaled = dict.fromkeys(
            ["lr", *(t.field for t in studio.draft.tracks if t.meaning == "scale")]
        )
        several = len(studio.draft.groups) > 1
        with card("Groups and base values", "groups"), tag("div", classes="stack"):
            for number, group in enumerate(studio.draft.groups):
                with tag(
                    "div",
                    classes="group many" if several else "group",
                    role="group",
                    aria_label=f"Group {number + 1}",
                ):
                    self.inputs.text(
                        f"g{number}.name", "Group", group.name, placeholder="all parameters"
                    )
                    with tag("div", classes="stack"):
                        for field in scaled:
                            label = "Learning rate" if field == "lr" else field.replace("_", " ")
                            element = self.inputs.text(
                                f"g{number}.{field}", label, group.base(field), placeholder="× base",
                                help="The optimizer's own value, which the schedule multiplies.",
                            )  # fmt: skip
                            element.props("inputmode=decimal")
                    if several:
                        name = group.name or f"group {number + 1}"
                        icon_button("close", f"Remove {name}", partial(self._remove, number))
            with tag("div", classes="line"):
                plain_button("Add group", self._add, icon="add", mark="add-group")

    def _add(self) -> None:
        self.studio.change(add_group(self.studio.draft))
        self.studio.focus(f"g{len(self.studio.draft.groups) - 1}.name")

    def _remove(self, number: int) -> None:
        self.studio.change(remove_group(self.studio.draft, number))
        self.studio.focus("add-group")
