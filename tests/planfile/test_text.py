"""Text to plain data: what is taken, and what is refused before it can do harm."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest
import yaml

from warmdown.errors import SpecError
from warmdown.planfile.text import MAX_DEPTH, bounded, from_json, from_yaml, parse, read_text


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("a: 1", 1),
        ("a: 1_000", 1000),
        ("a: 0.5", 0.5),
        ("a: 1.0e-4", 1e-4),
        ("a: true", True),
        ("a:", None),
        ("a: ~", None),
        ("a: '1'", "1"),
        ("a: 1e-4", "1e-4"),
        ("a: 5%", "5%"),
        ("a: 1h30m", "1h30m"),
        ("a: yes", "yes"),
        ("a: on", "on"),
        ("a: 0100", "0100"),
        ("a: 1:30", "1:30"),
        ("a: 2024-01-01", "2024-01-01"),
        ("a: [1, [2, {b: 3}]]", [1, [2, {"b": 3}]]),
        ("a: |\n  two\n  lines\n", "two\nlines\n"),
    ],
)
def test_a_plain_word_means_what_it_looks_like(text: str, data: object) -> None:
    found = from_yaml(text).data["a"]
    assert (found, type(found)) == (data, type(data))


def test_every_value_has_its_line() -> None:
    lines = from_yaml("run:\n  lr: 1\nlr:\n- kind: cosine\n- end: 2\n").lines
    assert {path: lines[path] for path in ("run.lr", "lr", "lr[0].kind", "lr[1].end")} == {
        "run.lr": 2,
        "lr": 4,
        "lr[0].kind": 4,
        "lr[1].end": 5,
    }


def test_an_empty_text_holds_nothing() -> None:
    assert from_yaml("").data is None
    assert from_yaml("# only a comment\n").data is None


BOMB = "\n".join(["a0: &a0 [x, x]", *(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 40))])


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    ("text", "said"),
    [
        (BOMB, r"line 1: anchors and aliases \(& and \*\) are not taken"),
        ("[" * 200_000, r"line 1: more than 50 levels deep"),
        ("{a: " * 200_000, r"line 1: more than 50 levels deep"),
        ("\n".join(" " * n + "a:" for n in range(900)), r"more than 50 levels deep"),
        ("- " * 200_000, r"more than 50 levels deep"),
        ("[" + "1," * 300_000 + "]", r"more than 20,000 values"),
        ("a: " + "x" * (1 << 20), r"more than 1 MiB: too large for a plan"),
        (
            "a: 1\na: 2\nb: 3\nb: 4\n",
            r"line 2: a: stands there twice.*\nline 4: b: stands there "
            r"twice",
        ),
        (
            "a: !!python/object/apply:os.system [ls]",
            r"line 1: tags such as "
            r"tag:yaml.org,2002:python/object",
        ),
        ("a: !!float 1", r"line 1: tags such as"),
        ("? [1, 2]\n: 3", r"line 1: a key must be one word"),
        ("a: 1\n---\nb: 2", r"line 2: a second document begins"),
        ("a: [1, 2", r"line 2, column 1: not YAML: while parsing a flow sequence"),
        ("a: b: c", r"line 1, column 5: not YAML"),
        ("a: \x07", r"not YAML: control characters"),
        ("a: \ud800", r"byte 3: not UTF-8 text"),
    ],
    ids=lambda value: value[:12] if isinstance(value, str) else "",
)
def test_a_hostile_or_broken_yaml_is_refused_by_name_and_place(text: str, said: str) -> None:
    with pytest.raises(SpecError, match=f"(?s){said}"):
        from_yaml(text)


@pytest.mark.timeout(60)
def test_without_the_fast_parser_the_same_is_read_and_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = "run: {lr: 1e-4}\nlr: [{kind: cosine, steps: 5%}, 'x', \"y\"]\n"
    fast = from_yaml(text)
    monkeypatch.delattr(yaml, "CSafeLoader", raising=False)
    assert from_yaml(text) == fast
    for hostile in (BOMB, "[" * 200_000, "{a: " * 200_000, "a: 1\n---\nb: 2", "a: !!float 1"):
        with pytest.raises(SpecError):
            from_yaml(hostile)


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[" * 200_000, r"more than 50 levels deep"),
        ("[" * 60 + "]" * 60, r"more than 50 levels deep"),
        ("[" + "1," * 300_000 + "1]", r"more than 20,000 values"),
        ('{"a": ' + '"' + "x" * (1 << 20) + '"}', r"more than 1 MiB"),
        (
            '{"a": 1, "b": {"c": 1, "c": 2}, "a": 2}',
            r"c: stands there twice.*\na: stands there "
            r"twice",
        ),
        ("{a: 1}", r"not JSON: Expecting property name"),
        ("", r"not JSON"),
        ("9" * 5000, r"not JSON: Exceeds the limit"),
    ],
    ids=lambda value: value[:12] if isinstance(value, str) else "",
)
def test_a_hostile_or_broken_json_is_refused_by_name(text: str, said: str) -> None:
    with pytest.raises(SpecError, match=f"(?s){said}"):
        from_json(text)


@pytest.mark.parametrize(
    "text", [BOMB, "[" * 500_000, "{a: " * 200_000, "[" + "1," * 500_000 + "]"], ids=len
)
def test_a_hostile_text_takes_little_memory(text: str) -> None:
    tracemalloc.start()
    with pytest.raises(SpecError):
        from_yaml(text)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 60e6


def test_as_deep_as_allowed_is_read() -> None:
    text = "[" * MAX_DEPTH + "]" * MAX_DEPTH
    assert from_yaml(text).data == from_json(text).data


def test_data_that_holds_itself_is_refused() -> None:
    endless: list[object] = []
    endless.append(endless)
    with pytest.raises(SpecError, match="more than 50 levels deep"):
        bounded(endless)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"lr: \xff\xfe", r"byte 4: not UTF-8 text. Save the file as UTF-8"),
        ("lr: {kind: cosine}".encode("utf-16"), r"byte 0: not UTF-8 text"),
        (b"x" * ((1 << 20) + 1), r"more than 1 MiB"),
    ],
)
def test_a_file_that_is_no_small_utf8_text_is_refused(
    tmp_path: Path, raw: bytes, said: str
) -> None:
    (tmp_path / "plan.yaml").write_bytes(raw)
    with pytest.raises(SpecError, match=said):
        read_text(tmp_path / "plan.yaml")


@pytest.mark.parametrize("start", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_byte_order_mark_and_the_line_ends_of_windows_are_no_mistake(
    start: str, end: str, tmp_path: Path
) -> None:
    for name, lines in {
        "plan.yaml": ["lr:", "  - {kind: cosine,", "     end: 0.1}", "note: |", "  a", "  b"],
        "plan.json": ['{"lr": [{"kind": "cosine",', '"end": 0.1}],', r'"note": "a\nb"}'],
    }.items():
        (tmp_path / name).write_bytes((start + end.join(lines)).encode())
        data = parse(name, read_text(tmp_path / name)).data
        assert data == {"lr": [{"kind": "cosine", "end": 0.1}], "note": "a\nb"}


def test_a_file_that_is_not_there_or_a_folder_is_said_to_be(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="cannot be read: No such file"):
        read_text(tmp_path / "none.yaml")
    with pytest.raises(SpecError, match=r"cannot be read: (Is a dir|Permission)"):
        read_text(tmp_path)


def test_an_endless_file_is_read_no_further_than_needed() -> None:
    if not Path("/dev/zero").exists():
        pytest.skip("no endless file here")
    with pytest.raises(SpecError, match="more than 1 MiB"):
        read_text("/dev/zero")


@pytest.mark.parametrize(
    ("text", "way_out"),
    [
        ("lr:\n\tkind: cosine\n", "Indent with spaces"),
        ("lr: {kind: cosine\n", "Correct what begins in line 1"),
    ],
)
def test_a_text_that_is_no_yaml_says_how_to_correct_it(text: str, way_out: str) -> None:
    with pytest.raises(SpecError, match=f"not YAML: .*{way_out}"):
        from_yaml(text)
