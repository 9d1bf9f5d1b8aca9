"""Numbers that are known later: as text, ``"%LR% / 2"``, or as objects, ``NUM_EPOCHS * 2``.

Both are the same tree of operations. A text is parsed and walked, never evaluated as code.
"""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import partial
from types import MappingProxyType
from typing import Any, Self, TypeAlias, final

from warmdown.errors import RunError, nearest
from warmdown.run import Run

Facts: TypeAlias = Mapping[str, float | None]
"""What is known, by placeholder; ``None`` where it is not."""

_Binary: TypeAlias = Callable[[Any, Any], Any]

PLACEHOLDERS: Mapping[str, str] = {
    "LR": "lr",
    "EPOCHS": "epochs",
    "STEPS_PER_EPOCH": "steps_per_epoch",
    "TOTAL_STEPS": "total_steps",
    "SCHEDULER_STEPS": "total_steps",
    "SAMPLES_PER_STEP": "samples_per_step",
    "TOKENS_PER_STEP": "tokens_per_step",
    "SECONDS_PER_STEP": "seconds_per_step",
    # as the Trainer names them
    "NUM_EPOCHS": "epochs",
    "NUM_UPDATE_STEPS_PER_EPOCH": "steps_per_epoch",
    "PER_PROCESS_NUM_UPDATE_STEPS_PER_EPOCH": "steps_per_epoch",
    "TRAIN_DATALOADER_LEN": "",
    "EVAL_DATALOADER_LEN": "",
}
"""The run's fact behind each placeholder, or nothing: then only a Trainer knows the number.

``SCHEDULER_STEPS`` is what a chain leaves to the phase it stands in.
"""
_WHOLE = ("NUM_EPOCHS", "NUM_UPDATE_STEPS_PER_EPOCH", "PER_PROCESS_NUM_UPDATE_STEPS_PER_EPOCH")
"""Counted to the end, as the Trainer counts: an epoch that is cut short is one of them."""

# Possessive quantifiers: a pattern that never backtracks looks at each character once, so that a
# hostile text costs no more than its length.
_PLACEHOLDER = re.compile(r"%([A-Za-z_][A-Za-z_0-9]*+)%")
_NUMBER = re.compile(r"[-+]?(?:\d++(?:_\d++)*+(?:\.\d*+)?+|\.\d++)(?:[eE][-+]?\d++)?+")
_ARITHMETIC = re.compile(r"[\d\s.eE_+\-*/()]*+")
_LONGEST = 200
_LARGEST = 1e18
_HIGHEST_POWER = 64
_FORMS = "Numbers, placeholders such as %TOTAL_STEPS%, + - * / // ** and parentheses are taken."


def run_facts(run: Run, loaders: Facts = MappingProxyType({})) -> Facts:
    """Return the run's facts by placeholder; a third fact that follows from two is among them.

    Args:
        run: Facts about the run.
        loaders: A Trainer's further facts: the batches in an epoch, and in an evaluation.
    """
    facts = {fact: getattr(run, fact) for fact in PLACEHOLDERS.values() if fact}
    for missing, known in (("epochs", "steps_per_epoch"), ("steps_per_epoch", "epochs")):
        if run.total_steps and not facts[missing] and getattr(run, known):
            quotient, rest = divmod(run.total_steps, getattr(run, known))
            facts[missing] = run.total_steps / getattr(run, known) if rest else quotient
    named: dict[str, float | None] = {}
    for name, fact in PLACEHOLDERS.items():
        number = facts[fact] if fact else loaders.get(name)
        named[name] = math.ceil(number) if name in _WHOLE and number is not None else number
    return named


def has_placeholder(text: str) -> bool:
    """Whether a text names a placeholder."""
    return _PLACEHOLDER.search(text) is not None


def is_arithmetic(text: str) -> bool:
    """Whether a text has to be evaluated, because it is not just a number."""
    is_computed = _ARITHMETIC.fullmatch(text) is not None and not _is_literal(text)
    return is_computed or has_placeholder(text)


def is_number(text: str) -> bool:
    """Whether a text means a number: written out, or as arithmetic."""
    return _is_literal(text) or is_arithmetic(text)


def _is_literal(text: str) -> bool:
    plain = text.strip()
    return len(plain) <= _LONGEST and _NUMBER.fullmatch(plain) is not None


def _finite(number: float, text: str) -> float:
    if not math.isfinite(number):
        raise RunError(f"{text[:40]!r}: not a finite number. Give a smaller one.")
    return number


def evaluate(text: str, facts: Facts) -> float:
    """Return the number that a text means.

    Args:
        text: At most 200 characters.
        facts: What is known, by placeholder.

    Raises:
        RunError: It is no number, uses a fact that is not known, divides by zero, or grows too
            large.

    Example:
        >>> evaluate("1e-4", {}), evaluate("(%TOTAL_STEPS% - 100) // 2", {"TOTAL_STEPS": 1000})
        (0.0001, 450)
    """
    text = text.strip()
    if len(text) > _LONGEST:
        raise RunError(f"{text[:40]!r}…: longer than {_LONGEST} characters. {_FORMS}")
    if _NUMBER.fullmatch(text):
        return _finite(float(text), text)

    def written_out(placeholder: re.Match[str]) -> str:
        # without parentheses 2%EPOCHS% would be the number 210
        return f"({_fact(placeholder[1].upper(), text, facts)})"

    expression = _PLACEHOLDER.sub(written_out, text)
    if not text or not _ARITHMETIC.fullmatch(expression):
        raise RunError(f"{text!r}: not a number. {_FORMS}")
    try:
        parsed = _operations(ast.parse(expression, mode="eval").body)
    except (SyntaxError, MemoryError):
        raise RunError(f"{text!r}: not arithmetic. {_FORMS}") from None
    return _finite(_compute(parsed, facts, repr(text)), text)


def _fact(name: str, text: str, facts: Facts) -> float:
    if name not in PLACEHOLDERS:
        raise RunError(f"{text!r}: there is no placeholder %{name}%. {nearest(name, PLACEHOLDERS)}")
    number, fact = facts.get(name), PLACEHOLDERS[name]
    if number is not None:
        return number
    if not fact:
        raise RunError(
            f"{text!r}: only a Trainer knows %{name}%, once it has its data. Give it the plan "
            "unread."
        )
    raise RunError(f"{text!r} needs the run's {fact}, which is not known. Give run: {{{fact}: …}}.")


def _operations(node: ast.expr) -> Placeholder | float:
    """Return the operations of a parsed text."""
    match node:
        case ast.Constant(value=int() | float() as number):
            return number
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return _Operation("*", -1, _operations(operand))
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return _operations(operand)
        case ast.BinOp(left=left, op=sign, right=right) if type(sign) in _SIGNS:
            return _Operation(_SIGNS[type(sign)], _operations(left), _operations(right))
    raise SyntaxError


class Placeholder:
    """A number that is not known yet; ``+ - * / //`` with another number give a further one.

    ``name`` and ``value`` are what pytorch-accelerated's Trainer reads of its own placeholders: a
    name that it knows, and the path to the number in it. ``resolve`` reads neither.
    """

    @staticmethod
    def _both_ways(sign: str) -> tuple[_Binary, _Binary]:
        def operation(left: Any, right: Any) -> Any:
            if not isinstance(right, _OPERANDS) or not isinstance(left, _OPERANDS):
                return NotImplemented
            return _Operation(sign, left, right)

        return operation, lambda right, left: operation(left, right)

    __add__, __radd__ = _both_ways("+")
    __sub__, __rsub__ = _both_ways("-")
    __mul__, __rmul__ = _both_ways("*")
    __truediv__, __rtruediv__ = _both_ways("/")
    __floordiv__, __rfloordiv__ = _both_ways("//")


_OPERANDS = (Placeholder, int, float)


@final
class TrainerPlaceholderValues(Placeholder, Enum):
    """What a trainer fills in when it knows its data loaders.

    An update that several processes make together is one update, so both counts of updates are the
    same number.

    Example:
        >>> from warmdown.placeholders import TrainerPlaceholderValues, resolve
        >>> batches = TrainerPlaceholderValues.TRAIN_DATALOADER_LEN
        >>> total = TrainerPlaceholderValues.NUM_EPOCHS * batches
        >>> total
        NUM_EPOCHS * TRAIN_DATALOADER_LEN
        >>> facts = {"NUM_EPOCHS": 3, "TRAIN_DATALOADER_LEN": 10}
        >>> resolve({"total": total, "marks": [total // 2]}, facts)
        {'total': 30, 'marks': [15]}
    """

    NUM_EPOCHS = "trainer.run_config.num_epochs", "epochs in the run"
    NUM_UPDATE_STEPS_PER_EPOCH = (
        "trainer.run_config.num_update_steps_per_epoch",
        "optimizer updates in an epoch",
    )
    PER_PROCESS_NUM_UPDATE_STEPS_PER_EPOCH = (
        "trainer.run_config.num_local_update_steps_per_epoch",
        "optimizer updates in an epoch, as one process counts them",
    )
    TRAIN_DATALOADER_LEN = (
        "len(trainer._train_dataloader)",
        "batches in an epoch of training, as one process counts them",
    )
    EVAL_DATALOADER_LEN = (
        "len(trainer._eval_dataloader)",
        "batches in an evaluation, as one process counts them",
    )

    meaning: str
    """What is counted."""

    def __new__(cls, value: str, meaning: str) -> Self:
        """Make a member whose value is the first alone."""
        member = object.__new__(cls)
        member._value_, member.meaning = value, meaning
        return member

    def __repr__(self) -> str:
        return self.name


@final
@dataclass(frozen=True, repr=False)
class _Operation(Placeholder):
    """Two numbers and what is done with them."""

    sign: str
    left: Placeholder | float
    right: Placeholder | float

    @property
    def name(self) -> str:
        """The name of a placeholder in it."""
        inner: Any = self.left if isinstance(self.left, Placeholder) else self.right
        name: str = inner.name
        return name

    @property
    def value(self) -> str:
        """The same arithmetic with the paths of the placeholders."""
        left, right = (
            part.value if isinstance(part, _Operation | TrainerPlaceholderValues) else repr(part)
            for part in (self.left, self.right)
        )
        return f"({left} {self.sign} {right})"

    def __repr__(self) -> str:
        left, right = (
            f"({part!r})" if isinstance(part, _Operation) else repr(part)
            for part in (self.left, self.right)
        )
        return f"{left} {self.sign} {right}"


def resolve(value: Any, facts: Facts) -> Any:
    """Return ``value`` with every placeholder in it replaced by its number.

    Looks into partials (their arguments and keywords), dictionaries, lists and tuples, at any
    depth.

    Args:
        value: Anything; what contains no placeholder comes back as it is.
        facts: The run's numbers by name.

    Raises:
        RunError: A number is not known in this run, an expression divides by zero, or grows too
            large.
    """
    if isinstance(value, Placeholder):
        return _compute(value, facts, repr(value))
    if isinstance(value, partial):
        return partial(value.func, *resolve(value.args, facts), **resolve(value.keywords, facts))
    if isinstance(value, dict):
        return {key: resolve(entry, facts) for key, entry in value.items()}
    if type(value) in (list, tuple):
        return type(value)(resolve(entry, facts) for entry in value)
    return value


def _compute(expression: Placeholder | float, facts: Facts, text: str) -> float:
    """Return the number of an expression; no step on the way may grow too large."""
    if isinstance(expression, TrainerPlaceholderValues):
        return _trainer_fact(expression, facts)
    if not isinstance(expression, _Operation):
        return _limited(expression, text)
    left = _compute(expression.left, facts, text)
    right = _compute(expression.right, facts, text)
    try:
        # 9**9**9 has 370 million digits, and would be written out before a bound could refuse it.
        is_huge = expression.sign == "**" and abs(right) > _HIGHEST_POWER
        result = math.inf if is_huge else _OPERATORS[expression.sign](left, right)
    except ZeroDivisionError:
        raise RunError(
            f"{text}: divides {left} by zero in this run. Divide by what is not zero."
        ) from None
    except OverflowError:
        result = math.inf
    if isinstance(result, complex):
        raise RunError(f"{text}: not arithmetic. {_FORMS}")
    return _limited(result, text)


def _limited(number: Any, text: str) -> float:
    if not abs(number) <= _LARGEST:
        raise RunError(f"{text}: larger than {_LARGEST:.0e} on the way. Give a smaller number.")
    result: float = number
    return result


def _trainer_fact(wanted: TrainerPlaceholderValues, facts: Facts) -> float:
    number = facts.get(wanted.name)
    if number is None:
        names = ", ".join(name for name, fact in facts.items() if fact is not None)
        raise RunError(
            f"{wanted}: this run does not know the {wanted.meaning}. It knows "
            f"{names or 'nothing'}: write it with those."
        )
    return number


_OPERATORS: Mapping[str, _Binary] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "**": operator.pow,
}
_SIGNS: Mapping[type[ast.operator], str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.FloorDiv: "//",
    ast.Pow: "**",
}
