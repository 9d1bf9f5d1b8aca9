"""What can go wrong is one tree, and its messages lead out."""

from __future__ import annotations

import io

import pytest

import warmdown as wd
from warmdown import errors


def test_every_error_is_warmdowns_own_and_a_standard_one_too() -> None:
    own = [
        getattr(errors, name) for name in errors.__all__ if isinstance(getattr(errors, name), type)
    ]
    assert all(issubclass(kind, wd.WarmdownError | errors.WarmdownWarning) for kind in own)
    assert issubclass(wd.ScheduleError, ValueError)
    assert issubclass(errors.MissingExtra, ImportError)


def test_the_tree_drawn_in_the_file_is_the_tree_there_is() -> None:
    drawn = errors.__doc__ or ""
    assert [
        name
        for name in errors.__all__
        if isinstance(getattr(errors, name), type) and name not in drawn
    ] == []


def test_a_spec_error_keeps_every_mistake() -> None:
    error = wd.SpecError(["lr.kind: no", "run: no"])
    assert error.mistakes == ("lr.kind: no", "run: no")
    assert str(error) == "lr.kind: no\nrun: no"


def test_a_missing_library_names_the_extra_that_brings_it() -> None:
    assert (
        str(errors.MissingExtra("a handler", "ignite", package="pytorch-ignite"))
        == "a handler needs ignite: pip install pytorch-ignite"
    )
    assert (
        str(errors.MissingExtra("plot", "matplotlib", "plot")) == "plot needs matplotlib: pip "
        "install 'warmdown[plot]'"
    )


@pytest.mark.parametrize(
    ("word", "hint"), [("cosin", "Did you mean 'cosine'?"), ("zzz", "Known: cosine, linear.")]
)
def test_the_nearest_name_or_all_of_them(word: str, hint: str) -> None:
    assert errors.nearest(word, ["linear", "cosine"]) == hint


def test_one_mistake_of_a_plan_may_stand_alone() -> None:
    assert errors.SpecError("lr: nothing stands here.").mistakes == ("lr: nothing stands here.",)
    assert errors.SpecError(["a: one.", "b: two."]).mistakes == ("a: one.", "b: two.")


def test_a_stream_writes_what_looks_alike_for_what_its_encoding_lacks() -> None:
    written = io.BytesIO()
    stream = io.TextIOWrapper(written, encoding="cp437")
    errors.use_look_alikes(stream)
    stream.write("⠉⠒⠤⣀⡠⢄⡇⢸⡀ ▁▂▃▄▅▆▇█ é×… 日")
    assert errors.encodable("█ é× 日", stream) == r"█ éx \u65e5"
    stream.flush()
    assert written.getvalue().decode("cp437") == r"'--./\||. _.-▄=+*█ éx... \u65e5"
