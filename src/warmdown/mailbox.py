"""What is said to a running job, and what it answers: small files in the folder of the run.

::

    runs/x/commands/
    ├── 01764…-9f2c41aa.json            a request, written whole by whoever asks
    ├── 01764…-9f2c41aa.answer.json     what became of it, and the update from which it holds
    └── earlier/                        those of runs that were begun here before

Whoever may write into the folder may ask. Nothing that is read there is run as code.
"""

from __future__ import annotations

__all__ = ["Answer", "Mailbox", "Request", "tell"]

import json
import re
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias, final

from warmdown.errors import TrainingError, nearest, shortly
from warmdown.files import write_whole
from warmdown.lock import has_note
from warmdown.system import rename_path

Outcome: TypeAlias = Literal["done", "refused", "shown", "waiting"]

_FOLDER, _EARLIER, _ANSWER = "commands", "earlier", ".answer.json"
_NAME = re.compile(r"\d{20}-[0-9a-f]{8}")
_FORMAT = "warmdown command 1"
_MOST_BYTES = 65_536
_MOST_REQUESTS = 100
"""Requests that one look takes up; more wait for the next."""
_LONGEST_TEXT = 200
_PAUSE = 0.05
"""Seconds between two looks for an answer."""


def _over(value: Any) -> int | str:
    if isinstance(value, str) and not value.isdigit():
        return _text(value)
    return _positive(value)


def _positive(value: Any) -> int:
    if isinstance(value, bool) or int(value) != float(value) or not 0 < int(value) < 2**53:
        raise ValueError("a whole number from 1 on")
    return int(value)


def _multiplier(value: Any) -> float:
    if isinstance(value, bool) or not 0 <= float(value) < float("inf"):
        raise ValueError("a finite number from 0 on")
    return float(value)


def _text(value: Any) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= _LONGEST_TEXT:
        raise ValueError("a short text")
    return value


def _group(value: Any) -> int | str:
    return value if isinstance(value, int) and not isinstance(value, bool) else _text(value)


_OF_GROUPS: Mapping[str, Callable[[Any], Any]] = {"target": _text, "group": _group}
COMMANDS: Mapping[str, Mapping[str, Callable[[Any], Any]]] = {
    "decay-now": {"over": _over, "curve": _text, **_OF_GROUPS},
    "rescale": {"factor": _multiplier, "over": _over, **_OF_GROUPS},
    "hold": {"over": _over, **_OF_GROUPS},
    "extend": {"total_steps": _positive, "on_change": _text},
    "checkpoint": {},
    "stop": {},
}
"""Every command, and how each of its arguments is read."""
NEEDED: Mapping[str, str] = {"rescale": "factor", "hold": "over", "extend": "total_steps"}
"""The argument that a command cannot do without."""
OF_LOOP = ("checkpoint", "stop")
"""What only the loop can do."""


@final
@dataclass(frozen=True, kw_only=True)
class Request:
    """Something that a job is asked to do.

    Args:
        command: ``decay-now``, ``rescale``, ``hold``, ``extend``, ``checkpoint`` or ``stop``.
        arguments: Of the command, by name.
        is_trial: Whether the job only shows what would come of it.
        id: When it was written, and a random part.

    Raises:
        TrainingError: There is no such command, or an argument is none of it.
    """

    command: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    is_trial: bool = False
    id: str = field(default_factory=lambda: f"{time.time_ns():020d}-{secrets.token_hex(4)}")

    def __post_init__(self) -> None:
        readers = COMMANDS.get(self.command)
        if readers is None:
            raise TrainingError(
                f"tell({shortly(self.command)}): no such command. "
                f"{nearest(str(self.command), COMMANDS)}"
            )
        read = {}
        for name, value in self.arguments.items():
            if name not in readers:
                raise TrainingError(
                    f"tell({self.command}, {name}={shortly(value)}): it has no such argument. "
                    f"{nearest(name, readers) if readers else 'It takes none.'}"
                )
            try:
                read[name] = readers[name](value)
            except (ValueError, TypeError, OverflowError):
                raise TrainingError(
                    f"tell({self.command}, {name}={shortly(value)}): not a value of it. "
                    f"{_EXAMPLES[name]}"
                ) from None
        needed = NEEDED.get(self.command)
        if needed and needed not in read:
            raise TrainingError(f"tell({self.command}): {needed} is missing. {_EXAMPLES[needed]}")
        object.__setattr__(self, "arguments", read)

    def __str__(self) -> str:
        """Return it as a person writes it."""
        words = [f"{name}={value}" for name, value in self.arguments.items()]
        return " ".join([self.command, *words])

    def to_text(self) -> str:
        """Return the content of its file."""
        data = {"format": _FORMAT, **vars(self), "sent": f"{time.strftime('%Y-%m-%d %H:%M:%S')}"}
        return json.dumps(data)


_EXAMPLES = {
    "over": "Give updates, as 500, or a share, as '10%'.",
    "curve": "Give the name of a shape, as 'cosine'.",
    "factor": "Give a finite number from 0 on, as 0.5.",
    "target": "Give the name of a field, as 'lr'.",
    "group": "Give a group's name, its index or a pattern.",
    "total_steps": "Give the updates of the whole run, as 20000.",
    "on_change": "Give a policy, as 'given'.",
}


@final
@dataclass(frozen=True, kw_only=True)
class Answer:
    """What became of a request.

    Args:
        outcome: ``"done"``, ``"refused"``, ``"shown"`` after a trial, or ``"waiting"``: the job has
            not read it yet, and will.
        text: The same in a sentence.
        update: The first update that it changes.
        end: Updates in the whole run from then on, where that is known.
        curves: Of a trial: the values ``before`` and ``after`` by label, at ``steps``, and the
            run's ``ends``.
    """

    outcome: Outcome
    text: str
    update: int | None = None
    end: int | None = None
    curves: Mapping[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {name: fact for name, fact in vars(self).items() if fact is not None}


def tell(
    run: str | Path, command: str, *, wait: float = 30.0, is_trial: bool = False, **arguments: Any
) -> Answer:
    """Ask a running job for something, and wait until it has answered.

    Args:
        run: The folder that its ``Scheduler`` was given as ``commands``, or that it trains into.
        command: ``"decay-now"`` (``over``, ``curve``), ``"rescale"`` (``factor``, ``over``),
            ``"hold"`` (``over``), ``"extend"`` (``total_steps``), all with ``target`` and
            ``group`` but the last; ``"checkpoint"``, ``"stop"``.
        wait: Seconds to wait. Without an answer the request stays, and is done when it is read.
        is_trial: Only ask what would come of it.
        arguments: Of the command.

    Raises:
        TrainingError: No job works there, or there is no such command.

    Example:
        >>> import torch, warmdown as wd
        >>> optimizer = torch.optim.SGD(torch.nn.Linear(2, 2).parameters(), lr=0.4)
        >>> scheduler = wd.Scheduler(optimizer, lr=wd.Constant(), commands="runs/x")
        >>> wd.tell("runs/x", "rescale", factor=0.5, wait=0).outcome
        'waiting'
        >>> optimizer.step()
        >>> scheduler.step()
        >>> scheduler.values()
        {'lr/0': 0.2}
    """
    request = Request(command=command, arguments=arguments, is_trial=is_trial)
    mailbox = Mailbox(_listening(Path(run)))
    try:
        mailbox.send(request)
    except OSError as error:
        raise TrainingError(
            f"tell({run}): nothing can be written there: {error.strerror or error}. Ask as a user "
            "who may write into the run's folder."
        ) from None
    last = time.monotonic() + wait
    while (answer := mailbox.answer_to(request)) is None and time.monotonic() < last:
        time.sleep(_PAUSE)
    if answer is None:
        text = f"{request}: not read yet. It is done when a job that listens in {run} reads it."
        return Answer(outcome="waiting", text=text)
    return answer


@final
class Mailbox:
    """The requests to a job, and its answers.

    Args:
        folder: Of the run.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder) / _FOLDER

    def send(self, request: Request) -> None:
        """Write a request.

        Raises:
            TrainingError: The folder of the requests is a link.
        """
        if self.folder.is_symlink():
            raise TrainingError(f"tell({self.folder.parent}): {_FOLDER} is a link. Remove it.")
        self.folder.mkdir(exist_ok=True)
        write_whole(self.folder / f"{request.id}.json", request.to_text())

    def waiting(self) -> list[str]:
        """Return the names of files that nothing was answered to, the oldest first."""
        names = {path.name for path in self._files()}
        asked = sorted(name for name in names if not name.endswith(_ANSWER))
        return [name for name in asked if _answer_name(name) not in names][:_MOST_REQUESTS]

    def read(self, name: str) -> Request:
        """Return the request in a file.

        Raises:
            TrainingError: There is none in it; nothing of it is to be done.
        """
        data = self._data(name)
        stem = name.removesuffix(".json")
        known = {"format", "command", "arguments", "is_trial", "id", "sent"}
        is_ours = isinstance(data, dict) and data.get("format") == _FORMAT and data.keys() <= known
        if not is_ours:
            raise TrainingError(f"{stem[:60]}: no request of warmdown. Ask with 'warmdown tell'.")
        if not _NAME.fullmatch(stem) or data.get("id") != stem:
            raise TrainingError(f"{stem[:60]}: the copy of another request. Ask again.")
        arguments, is_trial = data.get("arguments", {}), data.get("is_trial", False)
        if not isinstance(arguments, dict) or not isinstance(is_trial, bool):
            raise TrainingError(f"{stem}: it is damaged. Ask again.")
        command = str(data.get("command"))
        return Request(command=command, arguments=arguments, is_trial=is_trial, id=stem)

    def answer(self, name: str, answer: Answer) -> None:
        """Answer the request in a file."""
        write_whole(self.folder / _answer_name(name), json.dumps(answer.to_dict()))

    def answer_to(self, request: Request) -> Answer | None:
        """Return the answer to a request, if there is one."""
        name = _answer_name(f"{request.id}.json")
        if not (self.folder / name).exists():
            return None
        with suppress(TypeError):
            return Answer(**self._data(name))
        raise TrainingError(f"tell({request}): the answer in {name} is damaged. Look at the run.")

    def done_after(self, update: int) -> list[tuple[int, Request]]:
        """Return what was done at a later update, with the update, in its order."""
        found = []
        for name, answer in self._done():
            with suppress(TrainingError):
                if int(answer.update or 0) > update:
                    found.append((int(answer.update or 0), self.read(name)))
        return sorted(found, key=lambda one: (one[0], one[1].id))

    def end(self) -> int | None:
        """Return the length of the run by what was done last, if anything was."""
        known = [
            (int(answer.update or 0), name, answer.end)
            for name, answer in self._done()
            if isinstance(answer.end, int)
        ]
        return max(known)[2] if known else None

    def _done(self) -> Iterator[tuple[str, Answer]]:
        """Yield the answer to each request that was done, with the name of its file."""
        for path in self._files():
            if path.name.endswith(_ANSWER):
                with suppress(TrainingError, TypeError, ValueError):
                    answer = Answer(**self._data(path.name))
                    if answer.outcome == "done":
                        yield f"{path.name.removesuffix(_ANSWER)}.json", answer

    def put_aside(self) -> None:
        """Move what was answered to a run that was begun here before."""
        earlier = self.folder / _EARLIER
        waiting = set(self.waiting())
        for path in list(self._files()):
            if path.name not in waiting:
                earlier.mkdir(exist_ok=True)
                rename_path(path, earlier / path.name)

    def _files(self) -> Iterator[Path]:
        with suppress(FileNotFoundError):
            for path in self.folder.iterdir():
                if path.suffix == ".json" and not path.name.startswith("."):
                    yield path

    def _data(self, name: str) -> Any:
        path = self.folder / name
        try:
            if path.is_symlink() or not path.is_file() or path.stat().st_size > _MOST_BYTES:
                raise TrainingError(f"{name[:60]}: no small file of its own. Ask again.")
            return json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            raise TrainingError(f"{name[:60]}: it cannot be read. Ask again.") from None


def _listening(run: Path) -> Path:
    """Return the folder that a job works in: the one given, or the only one in it that is locked.

    Raises:
        TrainingError: There is none, or several.
    """
    if not run.is_dir():
        raise TrainingError(
            f"tell({run}): no job works there. Name the folder that a Scheduler was given as "
            "commands=…, or that a Trainer writes its checkpoints to."
        )
    inside = sorted(
        folder for folder in run.iterdir() if has_note(folder) and not folder.is_symlink()
    )
    if has_note(run) or not inside:
        return run
    if len(inside) > 1:
        names = ", ".join(map(str, inside[:5]))
        raise TrainingError(f"tell({run}): several jobs work there. Name one of {names}.")
    return inside[0]


def _answer_name(name: str) -> str:
    return f"{name.removesuffix('.json')}{_ANSWER}"
