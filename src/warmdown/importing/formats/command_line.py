"""A command line of a training script: ``torchrun train.py --learning_rate 2e-5 …``."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, takewhile
from typing import Any

from warmdown.errors import ScheduleError
from warmdown.importing.formats.section import Settings
from warmdown.planfile.text import describe

_OPTION = re.compile(r"--?([A-Za-z][\w.-]*)(?:=(.*))?", re.DOTALL)
_ASSIGNED = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)
_ARRAY = re.compile(r"\s*(?:export\s+|declare\s+-a\s+)?([A-Za-z_]\w*)(\+?)=\((.*)", re.DOTALL)
_VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)(?:\[[@*]\])?(?::?-([^}]*))?\})")
_CONTINUED = re.compile(r"[\\^`][ \t]*\r?\n")
_SCRIPT = re.compile(r"\S+\.(?:py|sh)")
_LOOKS_SO = re.compile(r"(?:^|\s)--[A-Za-z][\w.-]*(?:[=\s]|$)")
_LAUNCHED = ("nproc_per_node", "num_gpus", "num_processes")
"""What a launcher calls the number of processes."""


def settings_of_command(text: str) -> Settings | None:
    """Return the options of a training script's command line, by name.

    The text may be a shell script: comments, variables, arrays of options and lines that go on are
    read, nothing is run. Names have underscores where hyphens stand, as argparse has them. An
    option without a value is true, one with several is a list, one that comes twice has its last
    value.

    Returns:
        Values as texts, or ``None`` where the text is no command line.

    Raises:
        ScheduleError: There are several commands with options, or a quote is not closed.

    Example:
        >>> settings_of_command("python train.py --learning_rate=2e-5 --max-steps 100 --bf16")
        {'learning_rate': '2e-5', 'max_steps': '100', 'bf16': True}
    """
    if not _LOOKS_SO.search(text):
        return None
    variables: dict[str, str] = {}
    found = [given for words in _commands(text, variables) if (given := _options(words))]
    trained = [given for given in found if _is_of_training(given)]
    if not trained:  # options that stand in variables alone, for a command of elsewhere
        kept = " ".join(value for value in variables.values() if value.startswith("-"))
        trained = [alone] if (alone := _options(shlex.split(kept))) else found
    if len(trained) > 1:
        raise ScheduleError(
            f"warmdown import: {len(trained)} commands with options stand there. Give one of them."
        )
    return trained[0] if trained else None


def _commands(text: str, variables: dict[str, str]) -> Iterator[Sequence[str]]:
    """Yield the words of each command, and remember the variables that are set before it."""
    for line in _logical_lines(text):
        if array := _ARRAY.fullmatch(line):
            name, adds, inside = array[1], array[2], array[3].rstrip().removesuffix(")")
            words = [word for part in _split(inside) for word in _filled_words(part, variables)]
            before = f"{variables.get(name, '')} " if adds else ""
            variables[name] = f"{before}{shlex.join(words)}"
            continue
        for words in _split(line):
            while words and (assigned := _ASSIGNED.fullmatch(words[0])):
                variables[assigned[1]] = _filled_in(assigned[2], variables)
                words = words[1:]
            if words[:1] == ["export"]:
                pairs = filter(None, map(_ASSIGNED.fullmatch, words[1:]))
                variables |= {pair[1]: _filled_in(pair[2], variables) for pair in pairs}
            else:
                yield _filled_words(words, variables)


def _logical_lines(text: str) -> Iterator[str]:
    """Yield lines, together with those that go on: in quotes or an array, or with an option."""
    pending = ""
    for line in _CONTINUED.sub(" ", text).splitlines():
        if _is_closed(pending):
            if line.lstrip().startswith("#"):
                continue
            if not line.lstrip().startswith("-"):
                yield pending
                pending = ""
        pending = f"{pending}\n{line}" if pending else line
    yield pending


def _is_closed(line: str) -> bool:
    """Whether quotes are closed, and the array that a line may be."""
    try:
        commands = _split(line)
    except ScheduleError:
        return False
    return not _ARRAY.fullmatch(line) or commands[-1][-1].endswith(")")


def _split(line: str) -> list[list[str]]:
    """Return the words of a line, as a shell takes them, one list a command."""
    reader = shlex.shlex(line, posix=True, punctuation_chars=";&|")
    reader.whitespace_split = True
    commands: list[list[str]] = [[]]
    try:
        for word in reader:
            if word.strip(";&|"):
                commands[-1].append(word)
            else:
                commands.append([])
    except ValueError as error:
        raise ScheduleError(
            f"warmdown import: {line.strip()!r:.60}: {error}. Close the quote."
        ) from None
    return commands


def _filled_words(words: Sequence[str], variables: Mapping[str, str]) -> list[str]:
    """Return words with their variables; one that holds options becomes a word for each part."""
    filled: list[str] = []
    for word in words:
        value = _filled_in(word, variables)
        is_list = _VARIABLE.fullmatch(word) and value.startswith("-")
        filled += chain.from_iterable(_split(value)) if is_list else [value]
    return filled


def _filled_in(word: str, variables: Mapping[str, str]) -> str:
    """Return a word with the variables that are known; others stay as they are written."""

    def value(found: re.Match[str]) -> str:
        return variables.get(found[1] or found[2], found[3] or found[0])

    return _VARIABLE.sub(value, word)


def _options(words: Sequence[str]) -> dict[str, Any]:
    """Return the options among the words of a command."""
    given: dict[str, Any] = {}
    values: list[str] | None = None
    for word in takewhile(_is_no_redirection, words):
        option = _OPTION.fullmatch(word)
        if option is None:
            if _SCRIPT.fullmatch(word):
                values = None  # what stands before it is the launcher's
            elif values is not None:
                values.append(word)
            continue
        name = option[1].replace("-", "_")
        values = given[name] = []
        if option[2] is not None:
            values.append(option[2])
            values = None
    return {name: _option_value(texts) for name, texts in given.items()}


def _is_no_redirection(word: str) -> bool:
    return word != "<" and not re.match(r"\d?>", word)


def _option_value(texts: Sequence[str]) -> Any:
    return True if not texts else texts[0] if len(texts) == 1 else [*texts]


def _is_of_training(given: Settings) -> bool:
    return any("learning_rate" in name or "lr" in name.split("_") for name in given)


def processes_of(settings: Settings) -> Any:
    """Return the number of processes that a launcher was given, or ``None``."""
    return next((settings[name] for name in _LAUNCHED if name in settings), None)


def refuse_file_beside(settings: Settings) -> None:
    """Refuse options that go with a file of settings which is not there.

    Raises:
        ScheduleError: Another file has the rest of the settings.
    """
    if (path := settings.get("config")) is not None:
        raise ScheduleError(
            f"config={describe(path)}: the rest of the settings is in that file. Write these "
            "options into it, and import it."
        )
