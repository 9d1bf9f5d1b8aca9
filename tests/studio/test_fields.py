"""Fields come from signatures and docstrings: a new schedule is on the page without a line."""

from __future__ import annotations

import pytest

from warmdown.studio.draft.fields import field_of, known_shapes, parsed_docstring, shown


@pytest.mark.parametrize("kind", sorted(known_shapes()))
def test_every_parameter_of_every_schedule_has_a_typed_field(kind: str) -> None:
    untyped = [field.name for field in known_shapes()[kind].fields if field.kind == "value"]
    assert untyped == []


def test_a_field_knows_its_default_and_what_the_docstring_says() -> None:
    field = known_shapes()["cosine"].field("k")
    assert field is not None
    assert (field.kind, field.default) == ("number", "1")
    assert "k-decay" in field.help


def test_a_parameter_that_a_recipe_does_not_explain_is_explained_by_its_relatives() -> None:
    field = known_shapes()["warmup_linear"].field("warmup")
    assert field is not None
    assert field.help == "Length of the warmup."


def test_what_must_be_given_has_no_default() -> None:
    field = known_shapes()["noam"].field("d_model")
    assert field is not None
    assert field.default is None


def test_words_to_choose_from_are_a_choice() -> None:
    field = known_shapes()["wsd"].field("shape")
    assert field is not None
    assert field.kind == "choice"
    assert {"cosine", "1-sqrt"} <= set(field.choices)


def test_what_a_schedule_has_observed_is_no_field() -> None:
    assert known_shapes()["plateau"].field("state") is None


@pytest.mark.parametrize(
    ("annotation", "default", "kind"),
    [
        ("float", 0.1, "number"),
        ("bool", False, "flag"),
        ("", True, "flag"),
        ("", 3, "count"),
        ("Any", None, "value"),
    ],
)
def test_a_foreign_parameter_is_typed_by_annotation_or_default(
    annotation: str, default: object, kind: str
) -> None:
    assert field_of("x", annotation, default).kind == kind


def test_an_annotation_that_is_no_literal_is_no_choice() -> None:
    assert field_of("x", "Literal[open('/etc/passwd')]").choices == ()


@pytest.mark.parametrize("value", [1e-4, 3e-4, 0.1, 1.0, 12345.678, 1e-7, 2.5e-5, 1e22, 1 / 3])
def test_a_number_is_shown_as_a_text_that_reads_back_the_same(value: float) -> None:
    assert float(shown(value)) == value


def test_a_docstring_that_no_style_can_read_is_a_sentence() -> None:
    def badly() -> None:
        """Does it.

        :param: no name

        Args:
            no colon
        @param
        """

    assert parsed_docstring(badly)[0] == "Does it."
