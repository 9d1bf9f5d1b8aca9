"""What can go wrong is one tree, and its messages lead out."""

from __future__ import annotations

import io
import pickle
import sys
from importlib import import_module
from typing import Any

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


def test_an_attribute_that_is_not_there_is_an_error_that_can_be_shown_and_sent() -> None:
    with pytest.raises(errors.UnknownName) as unknown:
        _ = wd.Cosine().lenght  # type: ignore[attr-defined]
    text = "Cosine.lenght: there is no such attribute. Did you mean 'length'?"
    assert str(unknown.value) == text
    assert text in repr(unknown.value)
    assert str(pickle.loads(pickle.dumps(unknown.value))) == text


def test_the_argument_that_is_not_known_is_named_among_those_that_are() -> None:
    with pytest.raises(errors.ScheduleError, match=r"Cosine\(stepz=10\).*Did you mean 'steps'"):
        wd.Cosine(start=0.5, stepz=10)  # type: ignore[call-arg]


def test_arguments_that_do_not_fit_are_named_one_by_one() -> None:
    def call(first: int, second: int, *, third: int = 0) -> None:
        del first, second, third

    def found(*args: Any, **kwargs: Any) -> str:
        return str(errors.misfit(call, args, kwargs))

    assert found(1, 2) == "None"
    assert found(1, 2, second=3) == "call(second=…): it is given twice. Give it once."
    assert found(1) == "call(second=…): it is missing. Give it."
    assert found(1, 2, 3).startswith("call(… 3): 2 arguments may stand without a name. Give a name")
    assert found(1, 2, thrid=3).endswith("Did you mean 'third'?")


def test_a_former_name_gives_the_class_of_today_and_warns() -> None:
    with pytest.warns(DeprecationWarning, match="warmdown.Table is now PiecewiseConstant"):
        assert wd.Table is wd.PiecewiseConstant
    assert {*wd.__all__, "plot"} == {*dir(wd)}


ROOMS = ["binding", "compat.lr_scheduler", "compat.optimization", "compat.scheduler",
         "compat.schedulers", "training"]  # fmt: skip


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_that_needs_torch_names_the_extra_that_brings_it(
    room: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, f"warmdown.{room}", raising=False)
    with pytest.raises(errors.MissingExtra, match=rf"^warmdown\.{room} needs torch.*\[t.*\]"):
        import_module(f"warmdown.{room}")


@pytest.mark.parametrize(
    ("library", "error", "words"),
    [
        ("torch", errors.MissingExtra, r"^warmdown\.merge_checkpoints needs torch: pip install"),
        ("numpy", ModuleNotFoundError, "numpy"),  # the core's own: no extra brings it
    ],
)
def test_a_name_whose_room_needs_a_library_is_refused_by_its_own_name(
    library: str, error: type[Exception], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(room: str) -> Any:
        if room == "warmdown.training.merging":
            raise ModuleNotFoundError(f"No module named {library!r}", name=f"{library}.core")
        return import_module(room)

    monkeypatch.setattr(wd, "import_module", load)
    monkeypatch.delitem(vars(wd), "merge_checkpoints", raising=False)
    with pytest.raises(error, match=words):
        _ = wd.merge_checkpoints


def test_a_stream_writes_what_looks_alike_for_what_its_encoding_lacks() -> None:
    written = io.BytesIO()
    stream = io.TextIOWrapper(written, encoding="cp437")
    errors.use_look_alikes(io.StringIO())  # which takes all there is
    errors.use_look_alikes(stream)
    stream.write("⠉⠒⠤⣀⡠⢄⡇⢸⡀ ▁▂▃▄▅▆▇█ é×… 日")
    assert errors.encodable("█ é× 日", stream) == r"█ éx \u65e5"
    stream.flush()
    assert written.getvalue().decode("cp437") == r"'--./\||. _.-▄=+*█ éx... \u65e5"
