"""The types of parameters, found by resolved hints: validated, read, described and edited in one
place.
"""

from dataclasses import dataclass
from typing import Any, Literal, Optional

import numpy as np
import pytest

import warmdown as wd
from warmdown.run import Duration
from warmdown.schedules.parameters import parameters_of, type_of


@dataclass(frozen=True, kw_only=True)
class Ramp(wd.Schedule):
    """A shape in a module whose annotations are no texts."""

    start: float = 0.0
    count: int = 1
    low: Optional[float] = None  # noqa: UP045 the older spelling is a person's own
    side: Literal["left", "right"] = "left"
    label: str = "ramp"
    steps: Duration = "rest"

    def evaluate(self, step: Any, xp: Any) -> Any:
        return self.start + xp.clip(step, 0, self.steps)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("start", "a"), ("start", float("nan")), ("start", 10**400), ("count", 1.5), ("count",
        True),
        ("low", "a"), ("side", "top"), ("label", 3), ("steps", 1.5), ("steps", -3), ("steps",
        "soon"),
    ],
)  # fmt: skip
def test_a_shape_without_the_future_import_is_checked_all_the_same(field: str, value: Any) -> None:
    with pytest.raises(wd.ScheduleError, match=rf"Ramp\({field}="):
        Ramp(**{field: value})


def test_a_numpy_integer_is_a_length() -> None:
    steps: Any = np.int64(4)
    ramp = Ramp(steps=steps)
    assert ramp.length == 4
    assert type(ramp.steps) is int
    assert ramp(9) == 4.0


def test_nothing_stands_where_nothing_is_allowed() -> None:
    assert Ramp(low=None).low is None
    assert Ramp(low=1).low == 1.0


def test_a_class_inside_a_function_is_checked_as_far_as_its_hints_are_known() -> None:
    class Unknown:
        pass

    @dataclass(frozen=True, kw_only=True)
    class Inner(wd.Schedule):
        height: "float" = 1.0
        other: "Unknown | None" = None

        def evaluate(self, step: Any, xp: Any) -> Any:
            return xp.full_like(step, self.height)

    assert Inner(other=Unknown())(3) == 1.0
    with pytest.raises(wd.ScheduleError, match=r"Inner\(height="):
        Inner(height="high")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("hint", "widget"),
    [
        (float, "number"), (float | None, "number"), (int, "count"), (Duration, "duration"),
        (Duration | None, "duration"), (bool, "flag"), (str, "text"), (Literal["a", "b"], "choice"),
        (wd.Schedule, "schedule"), (wd.Cosine, "schedule"), (float | wd.Schedule, "number"),
        (tuple[float, ...], "numbers"), (list[int], "counts"), (tuple[Duration, ...], "durations"),
        (tuple[wd.Schedule, ...], "schedules"), (dict[str, Any], "value"), (Any, "value"),
    ],
    ids=str,
)  # fmt: skip
def test_every_type_has_its_widget(hint: Any, widget: str) -> None:
    assert type_of(hint).widget == widget


def test_a_schema_describes_what_a_union_takes() -> None:
    assert type_of(float | None).schema == {"anyOf": [{"$ref": "#/$defs/number"}, {"type": "null"}]}
    assert type_of(Duration).schema == {"$ref": "#/$defs/duration"}
    assert type_of(Literal["a", "b"]).schema == {"enum": ["a", "b"]}
    assert type_of(Literal["a", "b"]).choices == ("a", "b")


def test_parameters_leave_out_what_is_no_data() -> None:
    known = parameters_of(wd.Plateau)
    assert "state" not in known
    assert not known["metric"].is_required
    assert parameters_of(wd.Clipped)["of"].is_required
    assert parameters_of(wd.one_cycle)["momentum"].type.widget == "numbers"


@pytest.mark.parametrize("wrong", [{"low": "x"}, {"of": "3"}, {"offset": 0.1}])
def test_a_scale_is_checked_too(wrong: dict[str, Any]) -> None:
    with pytest.raises(wd.ScheduleError, match=rf"Scale\({next(iter(wrong))}="):
        wd.Scale(**{"of": wd.Linear(), **wrong})
