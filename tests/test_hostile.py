"""No text hangs a reader: every way from text into the package, over long adversarial texts."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.hostile import EVIL, TEXTS, seconds_to_read

import warmdown as wd
from warmdown import plot
from warmdown.binding.state import checksum
from warmdown.errors import ScheduleError, SpecError, WarmdownError, printable
from warmdown.experiments.space import Space
from warmdown.expressions import evaluate, has_placeholder, is_number
from warmdown.importing import from_settings
from warmdown.lint import lint_text
from warmdown.plan import Target
from warmdown.planfile import from_dict, loads, plan_from_dict, run_from_dict
from warmdown.planfile.overrides import with_overrides
from warmdown.planfile.text import from_json
from warmdown.record import Record
from warmdown.run import check_duration
from warmdown.studio.draft.document import typed
from warmdown.studio.draft.links import from_fragment

RUN = wd.Run(total_steps=100)
_SCRIPT = "from torch.optim.lr_scheduler import StepLR\ns = StepLR(opt, 10, verbose=True)  # "


def plan(**schedule: Any) -> wd.Plan:
    """Return the plan of one schedule, measured on a run."""
    return plan_from_dict({"lr": {"kind": "cosine", **schedule}}, run=RUN).over(RUN)


def one_trainer(**settings: Any) -> wd.Plan:
    """Return the plan of OneTrainer's settings."""
    return from_settings(
        {"learning_rate_scheduler": "COSINE", **settings}, total_steps=10, report=None
    )


def custom(**settings: Any) -> wd.Plan:
    """Return the plan of OneTrainer's own class by its path."""
    path = {"custom_learning_rate_scheduler": "torch.optim.lr_scheduler.StepLR"}
    return one_trainer(**{"learning_rate_scheduler": "CUSTOM", **path, **settings})


def transformers(**settings: Any) -> wd.Plan:
    """Return the plan of transformers' settings."""
    return from_settings({"lr_scheduler_type": "cosine", **settings}, total_steps=10, report=None)


READERS: Mapping[str, Callable[[str], object]] = {
    "YAML": loads,
    "YAML in quotes": lambda text: loads(f"lr: {{kind: cosine, end: {json.dumps(text)}}}"),
    "JSON": from_json,
    "JSON value": lambda text: from_json(f'{{"lr": {text}}}'),
    "a number": lambda text: plan(end=text),
    "a duration": lambda text: plan(steps=text),
    "a shape": lambda text: plan(kind=text),
    "a name": lambda text: plan(name=text),
    "an argument": lambda text: plan(**{text: 1}),
    "a schedule": lambda text: from_dict(text, run=RUN),
    "a target": lambda text: plan_from_dict({text: {"kind": "cosine"}}),
    "a pattern of groups": lambda text: (
        plan_from_dict({"lr": {"groups": {text: "cosine"}}}).targets[0].fits(text)
    ),
    "a class": lambda text: plan_from_dict({"lr": {"class_path": text}}),
    "a class's argument": lambda text: plan_from_dict(
        {"lr": {"class_path": "torch.optim.lr_scheduler.StepLR", "init_args": {"step_size": text}}}
    ),
    "a run": lambda text: run_from_dict({"total_steps": text}),
    "a budget": lambda text: run_from_dict({"budget": text}),
    "a wait": lambda text: plan(kind="plateau", patience=text),
    "check_duration": check_duration,
    "has_placeholder": has_placeholder,
    "is_number": is_number,
    "reckon": partial(evaluate, facts={}),
    "a path": lambda text: with_overrides({"a": {"a": 1}}, {text: 1}),
    "a path into a list": lambda text: with_overrides([[1]], {f"[0]{text}": 1}),
    "a range": lambda text: Space.of({"lr": {"low": text, "high": text}}),
    "a choice": lambda text: Space.of({"lr": {"choices": [text], "step": text}}),
    "a script": lint_text,
    "a comment": lambda text: lint_text(_SCRIPT + " ".join(text.replace("\0", "").split())),
    "OneTrainer's name": lambda text: one_trainer(learning_rate_scheduler=text),
    "OneTrainer's warmup": lambda text: one_trainer(learning_rate_warmup_steps=text),
    "OneTrainer's class": lambda text: custom(custom_learning_rate_scheduler=text),
    "OneTrainer's parameter": lambda text: custom(
        scheduler_params=[{"key": "step_size", "value": text}]
    ),
    "OneTrainer's epochs": lambda text: custom(epochs=text),
    "transformers' name": lambda text: transformers(lr_scheduler_type=text),
    "transformers' warmup": lambda text: transformers(warmup_steps=text),
    "transformers' rate": lambda text: transformers(learning_rate=text),
    "a link": from_fragment,
    "a link's content": lambda text: from_fragment(f"#plan={text}"),
    "the page's field": partial(typed, "value"),
    "the page's list": partial(typed, "durations"),
    "the page's literal": lambda text: typed("value", f"({text}"),
    "printable": printable,
}


@pytest.mark.parametrize("reader", READERS)
def test_no_text_of_16_kilobytes_holds_a_reader_for_a_second(reader: str) -> None:
    for make in TEXTS.values():  # what it imports is no part of reading
        seconds_to_read(READERS[reader], make(64))
    seconds = {name: seconds_to_read(READERS[reader], make(16_000)) for name, make in TEXTS.items()}
    assert {name: spent for name, spent in seconds.items() if spent > 1.0} == {}


@pytest.mark.slow
@pytest.mark.parametrize("reader", READERS)
def test_no_text_of_the_size_that_is_allowed_holds_a_reader_for_long(reader: str) -> None:
    seconds = {
        name: seconds_to_read(READERS[reader], make(1 << 19)) for name, make in TEXTS.items()
    }
    assert {name: spent for name, spent in seconds.items() if spent > 10.0} == {}


@pytest.mark.parametrize(
    "text", ["9" * 5000, "1e999999999", "9" * 150 + "**64", "10**64**64", "1" + "0" * 400, "1e400"]
)
def test_a_number_too_large_is_refused_in_our_words(text: str) -> None:
    for read in (READERS["a number"], READERS["a duration"], READERS["a run"], READERS["a range"]):
        with pytest.raises(WarmdownError):
            read(text)
    with pytest.raises(SpecError):
        plan_from_dict(from_json(f'{{"lr": {{"kind": "cosine", "end": {text}}}}}').data)


def test_a_number_of_a_program_that_python_would_not_write_out_is_refused() -> None:
    with pytest.raises(
        SpecError,
        match=r"more than 4096 bits: too large to be meant\. Give a "
        r"smaller one\.",
    ):
        plan_from_dict({"lr": {"kind": "cosine", "end": 10**5000}})


def test_a_pattern_for_groups_has_a_length_that_matching_can_bear() -> None:
    with pytest.raises(
        ScheduleError,
        match=r"Target\(groups='\*a.*longer than 200 characters. "
        r"Shorten it with a \*",
    ):
        Target("lr", "*a" * 101, wd.Scale(wd.Cosine()))
    with pytest.raises(
        SpecError,
        match=r"lr\.groups\..*: longer than 200 characters\. Shorten it "
        r"with a \*\.",
    ):
        plan_from_dict({"lr": {"groups": {"*a" * 101: "cosine"}}})


@pytest.mark.parametrize("value", ["text", [1], True, -1, float("nan"), float("inf"), 10**400])
@pytest.mark.parametrize(
    "name", ["learning_rate_warmup_steps", "gradient_accumulation_steps", "learning_rate_cycles"]
)
def test_a_setting_of_onetrainer_that_is_no_number_is_named(name: str, value: Any) -> None:
    with pytest.raises(
        ScheduleError,
        match=rf"{name}=.*: a number from 0 to 1e\+15 is needed\. "
        rf"Correct the settings\.",
    ):
        one_trainer(**{"learning_rate_warmup_steps": 2, name: value})


@pytest.mark.parametrize(
    "line",
    [
        "[" * 5000,
        '{"step": 9223372036854775808, "target": "lr", "value": 1}',
        '{"step": 0.5, "target": "lr", "value": 1}',
        '{"step": true, "target": "lr", "value": 1}',
        '{"step": -1, "target": "lr", "value": 1}',
        '{"step": 1, "target": 1, "value": 1}',
        '{"step": 1, "target": "lr", "value": "1e5"}',
        f'{{"step": 1, "target": "lr", "value": 1{"0" * 400}}}',
        '{"step": 1, "target": "lr", "value": 1, "reason": []}',
        '{"step": 1, "target": "lr", "value": 1, "self": 1}',
        '["step", "target", "value"]',
    ],
)
def test_a_line_that_no_record_has_is_named_and_nothing_of_it_is_kept(
    tmp_path: Path, line: str
) -> None:
    path = tmp_path / "record.jsonl"
    path.write_text(f"{line}\n" + '{"step": 1, "target": "lr", "value": 0.5}\n', encoding="utf-8")
    with pytest.raises(
        wd.StateError,
        match=r"record\.jsonl, line 1: not a row of a record: .*\. "
        r"Remove the line\.",
    ):
        Record.load(path)
    path.write_text(line, encoding="utf-8")  # as a last line it was cut short by a crash
    assert list(Record.load(path)) == []


def nested(depth: int) -> list[Any]:
    """Return a list in a list in a list …"""
    data: list[Any] = []
    for _ in range(depth):
        data = [data]
    return data


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("bases", '{"lr/0":1' + "0" * 400 + "}", r"bases\.lr/0=1000.*: a finite number is needed"),
        ("seen", [[[1.0], [], 10**400, 0, 0, 0.0, 0.0, []]], "the state cannot be read"),
        ("events", nested(5000), "it does not add up|the state cannot be read"),  # Python 3.13
        ("events", [object()], "it does not add up"),
        ("count", 10**5000, "it does not add up"),
    ],
    ids=["base", "memory", "depth", "no data", "digits"],
)
def test_a_state_that_no_scheduler_saved_is_refused_in_our_words(
    name: str, value: Any, words: str
) -> None:
    scheduler = wd.Scheduler(
        torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1), lr=wd.Plateau(), run=RUN
    )
    before = scheduler.state_dict()
    state = {**before, name: value}
    state["check"] = checksum(state) or -1
    with pytest.raises(wd.StateError, match=words):
        scheduler.load_state_dict(state)
    assert scheduler.state_dict() == before


def test_what_a_terminal_obeys_is_written_out_and_what_it_shows_stays() -> None:
    assert printable(EVIL) == "\\x1b]0;evil\\x07\\x1b[2J\\x9b31m\\u202e<b>&\"'\\ud800"
    assert printable("Größe\tmit\nZeilen 🎉") == "Größe\tmit\nZeilen 🎉"
    assert printable("a\nb\tc", as_line=True) == "a\\nb\\tc"


def test_an_error_and_a_warning_show_no_character_that_a_terminal_obeys() -> None:
    for told in (
        wd.ScheduleError(EVIL),
        SpecError([EVIL, "b"]),
        wd.ForeignWrite(EVIL),
        wd.MissingExtra(EVIL, "b", "c"),
    ):
        assert printable(str(told)) == str(told)
    assert SpecError([EVIL]).mistakes == (printable(EVIL),)


def test_a_picture_and_a_page_show_names_and_obey_none(tmp_path: Path) -> None:
    record = Record()
    for step in range(3):
        record.add(step, f"lr/{EVIL}", 0.1, EVIL if step == 1 else "")
        record.add(step, "phase", step, EVIL)
    drawn = wd.Plan.of(lr={EVIL: wd.Cosine().named(EVIL)}, run=RUN)
    for given in (drawn, record, {EVIL: drawn}):
        pages = [plot.svg(given, title=EVIL), plot.html(given, title=EVIL)]
        for text in (*pages, plot.terminal(given), plot.summary(given), repr(plot.table(given))):
            assert printable(text) == text
        assert [page for page in pages if "<b>&" in page] == []
        plot.save(given, tmp_path / "a.png", title=EVIL)


def test_a_name_too_long_to_be_read_is_cut_in_a_picture() -> None:
    text = plot.html(wd.Plan.of(lr=wd.Cosine().named("a" * 10_000), run=RUN))
    assert "a" * 199 + "…" in text
    assert "a" * 200 not in text
