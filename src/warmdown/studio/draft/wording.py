"""Messages in the page's words: the names of fields in place of calls, parameters and options."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

FACTS = {
    "total_steps": "Updates",
    "epochs": "Epochs",
    "steps_per_epoch": "Batches per epoch",
    "samples_per_step": "Batch size",
    "tokens_per_step": "Tokens per sample",
    "seconds_per_step": "Seconds per update",
    "lr": "Learning rate",
}
"""What a run may lack, by the label of its field."""
_FACT = f"({'|'.join(FACTS)})"
_WORDS: tuple[tuple[str, str], ...] = (
    (rf"needs to know {_FACT}\. Give Run\(\1=…\)", "needs “{fact}”. Type it under Run"),
    (
        rf"needs the run's {_FACT}, which is not known\. Give run: {{\1: …}}",
        "needs “{fact}”. Type it under {card}",
    ),
    (rf"Call \.over\(Run\({_FACT}=…\)\) first", "Type “{fact}” under Run"),
    (rf"(?:Give the run a length: |Give )Run\({_FACT}=…\)", "Type “{fact}” under Run"),
    (rf"Run\({_FACT}=…\)", "“{fact}” under Run"),
    (r"an int for updates", "a whole number for updates"),
    (r"a bare float is refused, because it could", "it could"),
    (r", like \w+\(…\)\.take\('50%'\)", ", like 50%"),
    (r", or None for no end", ", or nothing for no end"),
    (r"(\w+) \(steps='rest'\)", r"\1"),
    (r"these cannot be: [^.]*\. Give other numbers", "these do not go together. Give other ones"),
    (rf"Give run: {{{_FACT}: …}}(?:, or --total-steps)?", "Type “{fact}” under {card}"),
    (r"Give a schedule, like {\w+: (\w+)}", r"Give a schedule, like \1"),
    (r"name one with --[\w-]+, in Python \w+=…", "give one of them that name"),
    (r"Make one with --save", "Fit one to logs, and save it here"),
    (r"write {set: …}, in Python Set\(…\)", "choose “is the value itself”"),
    (r"write {set: …}", "choose “is the value itself”"),
    (r"leave out Set \({set: …}\)", "choose “multiplies the base value”"),
    (r"(?:Write it )?at the top of the plan, as targets: {…}", "Choose it from the gallery"),
    (r"\bGive at\.", "Give “At”."),
    (r"(\b[a-z_]+)=(\[…\]|[\d.]+\d)", r"\1 \2"),
    (r"'plan\.yaml'", "a file"),
)
_OPTION = re.compile(r"--(total-steps|steps-per-epoch|epochs|lr)(?: \S*\d)?")
_CALL = re.compile(r"([A-Za-z_]\w*)\(")
_NAME = re.compile(r"([A-Za-z_]\w*): (?=[a-z\d])")
_ARGUMENT = re.compile(r"(\w+)(?==)")


class Message(NamedTuple):
    """A message without the call that it began with.

    Args:
        arguments: Names of the parameters that it is about.
        text: What is wrong, and the way out.
    """

    arguments: tuple[str, ...]
    text: str


def message_of(mistake: str) -> Message:
    """Return an error's message in the page's words.

    Example:
        >>> message_of("Cosine(k=-1.0): a number above 0 is needed.")
        Message(arguments=('k',), text='A number above 0 is needed.')
        >>> message_of("Exponential(start=0, end=1): both must be of one sign.").text
        'Start, end: both must be of one sign.'
        >>> message_of("Linear(steps='2h'): '2h' needs to know epochs. Give Run(epochs=…).").text
        "'2h' needs “Epochs”. Type it under Run."
    """
    arguments, text = without_call(mistake)
    if len(arguments) > 1 and not text.startswith("'"):
        text = f"{', '.join(name.replace('_', ' ') for name in arguments)}: {text}"
    return Message(arguments, in_words(text))


def in_words(text: str, labels: Mapping[str, str] = FACTS) -> str:
    """Return a text with the names of the page's fields, and no Python and no options.

    Args:
        text: A message.
        labels: The label of the field of each fact of a run.

    Example:
        >>> in_words("the run's length is not known. Give --total-steps 1000.")
        "The run's length is not known. Give “Updates”."
    """
    for pattern, words in _WORDS:
        text = re.sub(pattern, partial(_page_words, words), text)
    text = text.removeprefix("warmdown import: ").replace("-p ", "")
    text = _OPTION.sub(lambda option: f"“{labels[option[1].replace('-', '_')]}”", text)
    # a file's name, a path and a target stay as they are written
    return text[:1].upper() + text[1:] if re.match(r"[a-z]+[ ,]", text) else text


def _page_words(words: str, match: re.Match[str]) -> str:
    if "{fact}" not in words:
        return match.expand(words)
    card = "Groups and base values" if match[1] == "lr" else "Run"
    return words.format(fact=FACTS[match[1]], card=card)


def without_call(text: str) -> tuple[tuple[str, ...], str]:
    """Return the parameters of the call that a message begins with, and the rest."""
    call = _CALL.match(text)
    if call is None:
        name = _NAME.match(text)
        return (), text[name.end() :] if name else text
    depth, own = 1, ""
    for at in range(call.end(), len(text)):
        letter = text[at]
        depth += (letter in "([{") - (letter in ")]}")
        if depth == 0:
            is_message = text[at + 1 : at + 3] == ": "
            return (tuple(_ARGUMENT.findall(own)), text[at + 3 :]) if is_message else ((), text)
        own += letter if depth == 1 else ""
    return (), text
