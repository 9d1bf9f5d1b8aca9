"""Numbers written as text: ``"1e-4"``, ``"%TOTAL_STEPS% * 0.1"``; parsed and walked, never evaluated as code."""

from __future__ import annotations

__all__ = [
    "PLACEHOLDERS",
    "Facts",
    "run_facts",
    "has_placeholder",
    "is_arithmetic",
    "is_number",
    "parse_number",
    "evaluate",
]

import ast
import math
import operator
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, TypeAlias

from warmdown.errors import RunError, nearest
from warmdown.run import Run

Facts: TypeAlias = Mapping[str, float | None]
"""What is known, by placeholder; ``None`` where it is not."""

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

# possessive: a pattern that gives nothing back needs no more than one look at each character
_PLACEHOLDER = re.compile(r"%([A-Za-z_][A-Za-z_0-9]*+)%")
_NUMBER = re.compile(r"[-+]?(?:\d++(?:_\d++)*+(?:\.\d*+)?+|\.\d++)(?:[eE][-+]?\d++)?+")
_ARITHMETIC = re.compile(r"[\d\s.eE_+\-*/()]*+")
_LONGEST = 200
_LARGEST = 1e18
_HIGHEST_POWER = 64
_SIGNS: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Pow: operator.pow,
}
_FORMS = "Numbers, placeholders such as %TOTAL_STEPS%, + - * / // ** and parentheses are taken."


def run_facts(run: Run, loaders: Facts = MappingProxyType({})) -> Facts:
    """Return the run's facts by placeholder; what two facts say of a third is known.

    Args:
        run: Facts about the run.
        loaders: What a Trainer knows beside them: the batches in an epoch, and in an evaluation.
    """
    facts = {fact: getattr(run, fact) for fact in PLACEHOLDERS.values() if fact}
    if run.total_steps and not run.epochs:
        facts["epochs"] = _divided(run.total_steps, run.steps_per_epoch)
    if run.total_steps and not run.steps_per_epoch:
        facts["steps_per_epoch"] = _divided(run.total_steps, run.epochs)
    named = {
        name: facts[fact] if fact else loaders.get(name) for name, fact in PLACEHOLDERS.items()
    }
    return {
        **named,
        **{name: math.ceil(count) for name in _WHOLE if (count := named[name]) is not None},
    }


def has_placeholder(text: str) -> bool:
    """Whether a text names a placeholder."""
    return _PLACEHOLDER.search(text) is not None


def is_arithmetic(text: str) -> bool:
    """Whether a text is to be reckoned, and is not just a number."""
    return has_placeholder(text) or not (_is_written(text) or not _ARITHMETIC.fullmatch(text))


def is_number(text: str) -> bool:
    """Whether a text means a number: written out, or to be reckoned."""
    return _is_written(text) or is_arithmetic(text)


def parse_number(text: str) -> float | None:
    """Return the number that is written out in a text, as an int where it has no fraction and no exponent."""
    plain = text.strip()
    if not _is_written(plain):
        return None
    return (
        int(plain)
        if plain.lstrip("+-").replace("_", "").isdecimal()
        else _finite(float(plain), text)
    )


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
    names = [name.upper() for name in _PLACEHOLDER.findall(text)]
    values = {f"_{index}": _fact(name, text, facts) for index, name in enumerate(names)}
    counter = iter(values)
    expression = _PLACEHOLDER.sub(lambda _: next(counter), text)
    if not text or not _ARITHMETIC.fullmatch(expression):
        raise RunError(f"{text!r}: not a number. {_FORMS}")
    try:
        return _finite(_walk(ast.parse(expression, mode="eval").body, values), text)
    except (SyntaxError, MemoryError):
        raise RunError(f"{text!r}: not arithmetic. {_FORMS}") from None
    except ZeroDivisionError:
        raise RunError(
            f"{text!r}: divides by zero in this run. Divide by what is not zero."
        ) from None
    except OverflowError:
        raise RunError(
            f"{text!r}: larger than {_LARGEST:.0e} on the way. Give a smaller number."
        ) from None


def _is_written(text: str) -> bool:
    plain = text.strip()
    return len(plain) <= _LONGEST and _NUMBER.fullmatch(plain) is not None


def _divided(total: int, by: int | None) -> float | None:
    if by is None:
        return None
    return total // by if total % by == 0 else total / by


def _walk(node: ast.expr, values: Mapping[str, float]) -> float:
    match node:
        case ast.Constant(value=int() | float() as number):
            return _bounded(number)
        case ast.Name(id=name) if name in values:
            return values[name]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_walk(operand, values)
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return _walk(operand, values)
        case ast.BinOp(left=left, op=sign, right=right) if type(sign) in _SIGNS:
            return _combined(type(sign), _walk(left, values), _walk(right, values))
    raise SyntaxError


def _combined(sign: type[ast.operator], left: float, right: float) -> float:
    if sign is ast.Pow and abs(right) > _HIGHEST_POWER:
        raise OverflowError
    result = _SIGNS[sign](left, right)
    if isinstance(result, complex):
        raise SyntaxError
    return _bounded(result)


def _bounded(number: float) -> float:
    if not abs(number) <= _LARGEST:
        raise OverflowError
    return number


def _finite(number: float, text: str) -> float:
    if not math.isfinite(number):
        raise RunError(f"{text[:40]!r}: not a finite number. Give a smaller one.")
    return number


def _fact(name: str, text: str, facts: Facts) -> float:
    if name not in PLACEHOLDERS:
        raise RunError(f"{text!r}: there is no placeholder %{name}%. {nearest(name, PLACEHOLDERS)}")
    fact = facts.get(name)
    if fact is None:
        needed = PLACEHOLDERS[name]
        if not needed:
            raise RunError(
                f"{text!r}: only a Trainer knows %{name}%, once it has its data. Give "
                f"it the plan unread."
            )
        raise RunError(
            f"{text!r} needs the run's {needed}, which is not known. Give run: {{{needed}: …}}."
        )
    return fact
