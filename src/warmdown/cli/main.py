"""The command ``warmdown``: its commands, each loaded when it is called, and its exit codes."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Mapping, Sequence
from importlib import import_module
from keyword import iskeyword
from typing import Any, NamedTuple

import click

from warmdown import __version__
from warmdown.errors import (
    MissingExtra,
    SpecError,
    WarmdownError,
    nearest,
    printable,
    use_look_alikes,
)


class Entry(NamedTuple):
    """What is said about a command before it is loaded.

    Args:
        help: One line for ``warmdown --help``.
        extra: The extra whose libraries it needs, if any.
    """

    help: str
    extra: str = ""


COMMANDS: Mapping[str, Entry] = {
    "list": Entry("Every shape and recipe: one line and a sparkline."),
    "show": Entry("A plan or shape as a curve, a table or a picture."),
    "check": Entry("What is wrong with a plan, before it runs."),
    "train": Entry("Train the demo model under a plan.", "train"),
    "tell": Entry("Ask a running job: decay now, rescale, hold, extend, checkpoint, stop."),
    "merge": Entry("Merge checkpoints into the model that a cooldown would leave.", "train"),
    "studio": Entry("Design a plan on a page in the browser.", "studio"),
    "find": Entry("Find a learning rate by a range test.", "train"),
    "compare": Entry("Train under several plans and compare the results.", "train"),
    "forecast": Entry("Forecast the loss of plans from the logs of other runs.", "forecast"),
    "search": Entry("Search the numbers of a plan.", "sweep"),
    "explain": Entry("What a warning, a finding or a rule means, and the way out."),
    "suggest": Entry("Suggest a plan for a run."),
    "lint": Entry("Find scheduler mistakes in Python code.", "lint"),
    "import": Entry("Turn another library's configuration into a plan."),
    "export": Entry("Write a plan as another trainer's configuration."),
    "mcp": Entry("Serve commands as tools to an agent.", "mcp"),
    "schema": Entry("The JSON Schema of what a command prints with --json."),
}


_OTHER_WORDS = {
    **dict.fromkeys(("plot", "draw", "view", "preview", "print", "curve"), "show NAME_OR_FILE"),
    **dict.fromkeys(("validate", "verify", "test"), "check NAME_OR_FILE"),
    **dict.fromkeys(("convert", "from-torch", "migrate"), "import FILE"),
    **dict.fromkeys(("lr-find", "lr_find", "find-lr", "find_rate", "range-test"), "find"),
    **dict.fromkeys(("ui", "gui", "web", "serve"), "studio"),
    **dict.fromkeys(("predict", "law", "scaling"), "forecast LOG…"),
    **dict.fromkeys(("sweep", "tune"), "search SPACE"),
    **dict.fromkeys(("ask", "send", "control"), "tell RUN COMMAND"),
    **dict.fromkeys(("run", "fit"), "train NAME_OR_FILE"),
    **dict.fromkeys(("soup", "average", "cool"), "merge CHECKPOINTS"),
}
"""Commands that people try, and what there is."""

INTERRUPTED = 130
"""What shells expect of a program that Ctrl-C ended: 128 and the number of the signal."""
DEFECT = 70
"""What sysexits.h calls an internal error of the program."""

EXIT_CODES: Mapping[int, str] = {
    0: "Done; `check` and `lint` found nothing.",
    1: "`check` or `lint` found something.",
    2: "Not done: a wrong option, a file that is none, a plan that cannot be used, a task "
    "that cannot be built, a library that is missing.",
    DEFECT: "A defect of warmdown: the traceback is on standard error.",
    INTERRUPTED: "Ctrl-C.",
    143: "SIGTERM, after `train` has saved.",
}
"""Every exit code of every command."""


class Unusable(click.ClickException):
    """An error of the user's making: its message on stderr, no traceback, exit code 2."""

    exit_code = 2


class LazyGroup(click.Group):
    """A group that knows its commands by name and imports one when it is called.

    Args:
        entries: Every command by its name.
    """

    def __init__(self, *args: Any, entries: Mapping[str, Entry] = COMMANDS, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.entries = entries

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names, in the order in which a person meets them."""
        return list(self.entries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        entry = self.entries.get(cmd_name)
        return None if entry is None else _load(cmd_name, entry)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that the first argument names; say the nearest when there is none."""
        if args[0] not in self.entries and not args[0].startswith("-"):
            other = _OTHER_WORDS.get(args[0])
            way_out = f"It is: warmdown {other}." if other else nearest(args[0], self.entries)
            ctx.fail(f"there is no command {args[0]!r}. {way_out}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in self.entries.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; its errors end as a message and exit code 2, Ctrl-C with 130."""
        as_json = "--json" in ctx.args  # running the command takes them away
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("\nInterrupted.", err=True)  # a terminal has written ^C on the line before
            ended: BaseException = click.exceptions.Exit(INTERRUPTED)
        except click.ClickException as error:
            # it may quote the name of a file
            error.message = printable(error.message)  # type: ignore[misc]
            ended = error
        except WarmdownError as error:
            ended = Unusable(str(error))
            ended.__cause__ = error
        except (Exception, SystemExit) as error:
            ended = error
        if as_json:
            _print_error(ctx, ended)
        raise ended

    def main(self, args: Sequence[str] | None = None, *more: Any, **how: Any) -> Any:
        """Run the command of a process; a defect ends as its traceback and a code of its own."""
        try:
            return super().main(args, *more, **how)
        except Exception:
            if not how.get("standalone_mode", True):
                raise
            traceback.print_exc()
            sys.exit(DEFECT)


def _print_error(ctx: click.Context, ended: BaseException) -> None:
    """Print why there is no result, as the JSON document of a command that was asked for one."""
    from warmdown.cli.say import PRINTED, say_json

    code = getattr(ended, "exit_code", getattr(ended, "code", DEFECT))
    if ctx.meta.get(PRINTED) or not code:
        return
    error = ended.__cause__ if isinstance(ended.__cause__, WarmdownError) else ended
    name = "KeyboardInterrupt" if code == INTERRUPTED else type(error).__name__
    message = EXIT_CODES[code] if code > DEFECT else str(error)
    if isinstance(error, click.ClickException):
        message = error.format_message()  # with the name of the option
    message = printable(message)
    mistakes = list(error.mistakes) if isinstance(error, SpecError) else [message]
    facts = {"type": name, "message": message, "mistakes": mistakes}
    say_json({"error": {**facts, "exit_code": code}})


@click.group(
    cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "show_default": True}
)
@click.version_option(__version__, prog_name="warmdown")
def main() -> None:
    """Schedules for everything that a training run turns: see, check and run them."""
    for stream in (sys.stdout, sys.stderr):
        use_look_alikes(stream)


def _load(name: str, entry: Entry) -> click.Command:
    path = f"warmdown.cli.{name}_" if iskeyword(name) else f"warmdown.cli.{name}"
    try:
        command: click.Command = import_module(path).command
    except ModuleNotFoundError as error:
        missing = error.name or "a library"
        if missing == path:
            raise Unusable(
                f"warmdown {name}: this command is not part of warmdown {__version__}. Upgrade it."
            ) from error
        if missing.startswith("warmdown") or not entry.extra:  # a bug of ours: keep its traceback
            raise
        raise Unusable(str(MissingExtra(f"warmdown {name}", missing, entry.extra))) from error
    return command
