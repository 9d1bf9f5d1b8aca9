"""Files that are there as a whole or not at all."""

from __future__ import annotations

__all__ = ["write_whole"]

import os
import secrets
from pathlib import Path


def write_whole(path: Path, content: bytes | str) -> None:
    r"""Write ``content`` beside its place, and move it there when all of it is on the disk.

    Whoever reads the file meanwhile, or after the machine stopped, finds what was there before or what is there now. A
    file that was there keeps its rights; a text is written as UTF-8.

    Raises:
        OSError: It cannot be written; what was there is untouched.

    Example:
        >>> from pathlib import Path
        >>> write_whole(Path("plan.yaml"), "lr: 0.1\n")
        >>> Path("plan.yaml").read_text()
        'lr: 0.1\n'
    """
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with part.open("xb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            part.chmod(path.stat().st_mode & 0o7777)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
