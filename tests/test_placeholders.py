"""Placeholders combine before a run starts, and become numbers when it does."""

from __future__ import annotations

import operator
import pickle
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warmdown.errors import RunError
from warmdown.placeholders import TrainerPlaceholderValues as Value
from warmdown.placeholders import resolve

FACTS = {
    "NUM_EPOCHS": 3,
    "NUM_UPDATE_STEPS_PER_EPOCH": 10,
    "PER_PROCESS_NUM_UPDATE_STEPS_PER_EPOCH": 5,
    "TRAIN_DATALOADER_LEN": 20,
    "EVAL_DATALOADER_LEN": None,
}
SIGNS = (operator.add, operator.sub, operator.mul, operator.truediv, operator.floordiv)


@pytest.mark.parametrize("sign", SIGNS)
def test_a_placeholder_computes_on_either_side_and_with_another(
    sign: Callable[[Any, Any], Any],
) -> None:
    assert resolve(sign(Value.NUM_UPDATE_STEPS_PER_EPOCH, 4), FACTS) == sign(10, 4)
    assert resolve(sign(4, Value.NUM_UPDATE_STEPS_PER_EPOCH), FACTS) == sign(4, 10)
    assert resolve(sign(Value.NUM_EPOCHS, Value.TRAIN_DATALOADER_LEN), FACTS) == sign(3, 20)


@given(st.lists(st.tuples(st.sampled_from(SIGNS), st.integers(1, 9), st.booleans()), max_size=6))
def test_an_expression_of_any_depth_is_the_same_arithmetic_on_the_number(steps: list[Any]) -> None:
    expression, number = Value.NUM_EPOCHS, 3.0
    for sign, operand, swapped in steps:
        if swapped and number == 0:
            continue
        expression = sign(operand, expression) if swapped else sign(expression, operand)
        number = sign(operand, number) if swapped else sign(number, operand)
    assert resolve(expression, FACTS) == pytest.approx(number)


def test_partials_are_resolved_with_what_is_nested_in_them() -> None:
    inner: partial[Any] = partial(dict, first=Value.NUM_EPOCHS)
    outer = partial(
        inner, [("marks", [Value.NUM_EPOCHS, (Value.NUM_EPOCHS * 2,)])], second={"deep": inner}
    )
    resolved = resolve(outer, FACTS)()
    assert (resolved["first"], resolved["marks"]) == (3, [3, (6,)])
    assert resolved["second"]["deep"]() == {"first": 3}


def test_what_holds_no_placeholder_comes_back_as_it_is() -> None:
    thing = object()
    assert resolve(thing, FACTS) is thing
    assert resolve("NUM_EPOCHS", FACTS) == "NUM_EPOCHS"


def test_an_unknown_number_is_named_with_what_the_run_knows() -> None:
    with pytest.raises(
        RunError,
        match=r"EVAL_DATALOADER_LEN: this run does not know .* It knows "
        r".*TRAIN_DATALOADER_LEN",
    ):
        resolve([Value.EVAL_DATALOADER_LEN], FACTS)


def test_dividing_by_zero_shows_the_expression() -> None:
    with pytest.raises(RunError, match=r"6 // \(NUM_EPOCHS - 3\): divides 6 by zero"):
        resolve(6 // (Value.NUM_EPOCHS - 3), FACTS)


def test_a_placeholder_combines_with_numbers_only() -> None:
    with pytest.raises(TypeError):
        Value.NUM_EPOCHS + "1"


def test_an_expression_is_printed_compared_and_sent_to_another_process() -> None:
    expression = 1 + Value.NUM_EPOCHS * 0.1
    assert repr(expression) == "1 + (NUM_EPOCHS * 0.1)"
    assert expression.name == "NUM_EPOCHS"
    assert expression.value == "(1 + (trainer.run_config.num_epochs * 0.1))"
    assert pickle.loads(pickle.dumps(expression)) == expression
