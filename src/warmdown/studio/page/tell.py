"""What a person asks of a running job: seen as a curve first, then sent, and answered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, final

from nicegui import ui

from warmdown.errors import WarmdownError
from warmdown.forecast import Law
from warmdown.mailbox import COMMANDS, OF_LOOP, Answer, tell
from warmdown.plot.trial import Curves, trial_lines, trial_sentences
from warmdown.schedules.recipes.shapes import SHAPES
from warmdown.studio.page.parts import ask_in_dialog, marked, plain_button, set_text, tag
from warmdown.studio.page.show.plot import PlotElement
from warmdown.studio.preview.chart import Layer
from warmdown.studio.preview.watch import RunFolder, WatchedRun

_ABOUT = {
    "decay-now": ("Decay now", "The last decay begins now, and the run ends with it."),
    "rescale": ("Rescale", "Every later value is multiplied by the factor, or those of a while."),
    "hold": ("Hold", "The present values stay for a while; the rest of the plan follows after it."),
    "extend": ("Extend", "The whole run gets another length."),
    "checkpoint": ("Checkpoint", "The training saves at once."),
    "stop": ("Stop", "The training saves and ends. It can be resumed where it stopped."),
}
_FIELDS = {
    "over": ("How long: updates, or a share as 10%", "10%"),
    "curve": ("Curve", "linear"),
    "factor": ("Factor", "0.5"),
    "target": ("Which values", "lr"),
    "total_steps": ("Updates in the whole run", ""),
    "on_change": ("How the plan takes it", "given"),
}
"""Label and first value of each argument; a group stands behind its target, as in ``lr/head``."""
_EVERYTHING = "all values"
_FIRST = {("hold", "target"): _EVERYTHING, ("rescale", "over"): ""}
"""First values that one command has of its own."""
_POLICIES = ["given", "stretch", "continue", "rewarm", "fit"]
_PATIENCE = 30.0
"""Seconds to wait for an answer; what is asked stays there, and may be done later."""
_MOST_LINES = 4


@final
class TellDialog:
    """The dialog in which one run is spoken to.

    Args:
        folder: Of all runs.
        run: The one that is at work.
        law: What the loss is predicted by, if anything.
        is_dark: Whether to draw in dark colours.
        take: Called with the answer to what was sent.
    """

    def __init__(
        self,
        folder: RunFolder,
        run: WatchedRun,
        law: Law | None,
        is_dark: bool,
        take: Callable[[Answer], Any],
    ) -> None:
        self.folder, self.run, self.law, self.is_dark, self.take = folder, run, law, is_dark, take
        self.command = "decay-now"
        self.inputs: dict[str, Any] = {}
        self.seen: object = None
        self.is_waiting = False
        self.plot: PlotElement | None = None
        with ask_in_dialog(ui.context.client, f"Speak to {run.name}", "ask wide stack") as dialog:
            self.dialog = dialog
            names = {name: label for name, (label, _) in _ABOUT.items()}
            choice = ui.toggle(names, value=self.command, on_change=self._choose)
            choice.props("dense flat no-caps role=group aria-label='What is asked'")
            marked(choice, "tell-command")
            self.about = tag("p", "", "small quiet")
            self.form = tag("div", classes="line")
            with tag("div", classes="line"):
                preview, send = partial(self._ask, True), partial(self._ask, False)
                self.preview = plain_button("Preview", preview, mark="tell-preview")
                plain_button("Send", send, mark="tell-send").classes("main")
            self.words = marked(tag("p", "", "small", role="status"), "tell-answer")
            self.place = tag("div")
        self._build_form()

    def _choose(self, event: Any) -> None:
        self.command = event.value
        self._build_form()

    def _build_form(self) -> None:
        """Build the fields of the command."""
        self._forget()
        set_text(self.about, _ABOUT[self.command][1])
        self.preview.set_visibility(self.command not in OF_LOOP)
        self.inputs = {}
        self.form.clear()
        with self.form:
            for name in [name for name in COMMANDS[self.command] if name in _FIELDS]:
                self.inputs[name] = self._build_field(name)

    def _build_field(self, name: str) -> Any:
        label, value = _FIELDS[name]
        value = _FIRST.get((self.command, name), value)
        options = {
            "curve": list(SHAPES),
            "on_change": _POLICIES,
            "target": _changeable_values(self.run),
        }
        if self.command == "hold" and name == "target":
            options[name].insert(0, _EVERYTHING)
        if name == "total_steps":
            value = str(self.run.length or "")
        element: Any
        if name in options:
            first = value if value in options[name] else options[name][0]
            element = ui.select(options[name], label=label, value=first)
        else:
            element = ui.input(label, value=value).props("autocomplete=off spellcheck=false")
            element.on("keydown.enter", partial(self._ask, True))
        element.on_value_change(self._forget)
        return marked(element.props("outlined dense options-dense").classes("grow"), f"tell-{name}")

    def _forget(self) -> None:
        """Forget what was shown: it was of something else."""
        self.seen = None
        set_text(self.words, "")
        self.place.clear()
        self.plot = None

    def _arguments(self) -> dict[str, str]:
        found = {name: str(one.value or "").strip() for name, one in self.inputs.items()}
        return {name: text for name, text in found.items() if text and text != _EVERYTHING}

    async def _ask(self, is_trial: bool) -> None:
        """Ask the job, at first only for what would come of it."""
        asked = self.command, self._arguments()
        is_trial = is_trial or (self.command not in OF_LOOP and asked != self.seen)
        if self.is_waiting:
            return
        self.is_waiting = True
        set_text(self.words, "Asked. The job looks about once a second …")
        answer: Answer | None = None
        try:
            place = self.folder.job_of(self.run)
            asking = partial(tell, place, self.command, wait=_PATIENCE, is_trial=is_trial)
            answer = await asyncio.to_thread(partial(asking, **asked[1]))
            words = answer.text
        except WarmdownError as error:
            words = str(error)
        self.is_waiting = False
        if answer is not None and not is_trial:
            self.take(answer)
        if self.dialog.is_deleted or asked != (self.command, self._arguments()):
            return
        if answer is not None and answer.curves is not None:
            self.seen = asked
            said = trial_sentences(answer.curves, self.law)
            words = " ".join([words, *said, "Send it, or change it."])
            self._draw(answer.curves, " ".join(said))
        set_text(self.words, words)

    def _draw(self, curves: Curves, text: str) -> None:
        lines = list(trial_lines(curves).values())[:_MOST_LINES]
        if not lines:
            return
        if self.plot is None:
            with self.place:
                self.plot = PlotElement("tell-plot")
        layers = [
            Layer([line], number=number, is_faint=not place)
            for number, pair in enumerate(lines)
            for place, line in enumerate(pair)
        ]
        stop = max(line.stop for pair in lines for line in pair)
        self.plot.draw(layers, stop, log=False, dark=self.is_dark, clock="updates")
        self.plot.name(f"Values before and after. {text}")


def _changeable_values(run: WatchedRun) -> list[str]:
    """Return what may be changed: each field that is driven, and those of its groups."""
    fields = ["lr"] if run.plan is None else [target.name for target in run.plan.targets]
    groups = [name for name in run.last if name.partition("/")[0] in fields and "/" in name]
    return sorted({*fields, *groups})
