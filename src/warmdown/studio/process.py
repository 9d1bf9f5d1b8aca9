"""The page in a process of its own: started as a person does, its address read, and ended."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import final

_ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+/\S+")
_PATIENCE = 10.0
"""Seconds that the page has to end itself."""


@final
@dataclass
class Server:
    """The page, served; as a context it ends with the block.

    Args:
        address: With its token, as the terminal shows it; nothing where the page did not start.
        folder: That it may read and write.
        process: Ends by :meth:`close`, or when its standard input does where it is framed.
    """

    address: str
    folder: Path
    process: subprocess.Popen[str]

    @property
    def origin(self) -> str:
        """The address without path and token."""
        return self.address.partition("/?")[0]

    def close(self) -> None:
        """End the page as Ctrl-C does, and what it started; by force when it does not end."""
        self.process.terminate()
        try:
            self.process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def start_server(folder: Path, *options: str, env: Mapping[str, str] | None = None) -> Server:
    """Start the page in a folder, and wait for its address.

    Args:
        folder: Where plans are opened and saved.
        options: As for ``warmdown studio``; any free port, unless one is given.
        env: Variables of its process; this one's when left out.
    """
    # -P: a file in the folder of plans is not taken for an installed library
    command = [sys.executable, "-P", "-m", "warmdown", "studio", "--no-browser", *options]
    if "--port" not in options:
        command += ["--port", "0"]
    # its standard input stays open as long as this process lives: when it closes, a framed page
    # ends
    process = subprocess.Popen(
        command,
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=None if env is None else {**env},
    )
    assert process.stdout is not None
    found = _ADDRESS.search(process.stdout.readline())
    return Server(found[0] if found else "", folder, process)
