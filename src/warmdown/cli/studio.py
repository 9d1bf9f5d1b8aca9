"""``warmdown studio``: design a plan on a page in the browser."""

from __future__ import annotations

import signal
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click import option

from warmdown.cli.options import law_of, law_option
from warmdown.cli.say import say
from warmdown.errors import SpecError

if TYPE_CHECKING:
    from warmdown.studio.draft.document import Draft


@click.command("studio")
@click.argument("given", metavar="[FILE]", required=False)
@option(
    "--port",
    type=click.IntRange(0, 65_535),
    metavar="N",
    default=8421,
    help="0 takes any free one.",
)
@option("--no-browser", is_flag=True, help="Only print the address.")
@option(
    "--watch",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="Show the runs recorded under DIR, as they go.",
)
@law_option
@option("--read-only", is_flag=True, help="Save no plan, and ask nothing of a running job.")
@option(
    "--framed",
    is_flag=True,
    hidden=True,
    help="Let a notebook on this machine show the page in a frame.",
)
def command(
    given: str | None,
    port: int,
    no_browser: bool,
    watch: Path | None,
    law_file: Path | None,
    read_only: bool,
    framed: bool,
) -> None:  # fmt: skip
    """Design a plan on a page in the browser.

    Without FILE the page starts with situations to choose from. FILE is a plan, or another
    trainer's configuration, which is shown as a plan: 'warmdown import --help' names them.

    The page reads and writes plan files in FILE's folder (without FILE in the current one), and
    nowhere else. It listens on this machine alone, and answers only who has the address that is
    printed.

    \b
    warmdown studio
    warmdown studio plan.yaml
    warmdown studio --watch runs/
    warmdown studio plan.yaml --law law.json
    warmdown studio 'http://127.0.0.1:8421/#plan=…'
    """  # noqa: D301  # click reads the backspace
    from warmdown.studio.serve import ServerConfig, serve_page

    if framed:
        _end_with_standard_input()
    folder, draft, bring = _what_to_show(given, framed)
    start = ServerConfig(
        folder,
        draft,
        port,
        watch,
        not no_browser,
        framed,
        announce=_print_address,
        law=law_of(law_file),
        bring=bring,
        is_read_only=read_only,
    )
    try:
        serve_page(start)
    except OSError as error:
        # of its own text without the address: Windows has numbers that strerror does not know
        reason = (error.strerror or str(error)).partition(" (while")[0]
        raise SpecError(
            f"--port {port}: {reason}. Give another one, or --port 0 for any that is free."
        ) from None


def _what_to_show(given: str | None, framed: bool) -> tuple[Path, Draft, str]:
    """Return the folder, and the draft or the configuration to begin with."""
    from warmdown.importing.configs import format_of_text
    from warmdown.studio.draft.document import Draft
    from warmdown.studio.draft.files import opened
    from warmdown.studio.draft.links import from_fragment, from_link
    from warmdown.studio.security.folder import Folder

    if given is None:
        return Path.cwd(), Draft(), ""
    if "#plan=" in given:
        # a notebook passes a plan of its own process; any other link comes from elsewhere
        read = from_fragment if framed else from_link
        return Path.cwd(), Draft(read(given.partition("#")[2])), ""
    path = Path(given)
    if not path.parent.is_dir():
        raise SpecError(f"{given}: there is no folder {path.parent}. Check the path.")
    with closing(Folder(path.parent)) as folder:
        text, stamp = folder.read(path.name)
    if format_of_text(text, path.name):
        return path.parent, Draft(), path.name
    return path.parent, opened(text, path, stamp), ""


def _end_with_standard_input() -> None:
    """End when the notebook does that holds the other end of our standard input."""

    def wait() -> None:
        sys.stdin.buffer.read()
        signal.raise_signal(signal.SIGTERM)  # os.kill would end it at once on Windows

    threading.Thread(target=wait, daemon=True).start()


def _print_address(address: str) -> None:
    say(f"warmdown studio: {address}\nCtrl+C ends it.")
