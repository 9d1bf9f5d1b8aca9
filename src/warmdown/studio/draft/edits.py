"""Edits: each takes a draft and returns the next one."""

from __future__ import annotations

__all__ = [
    "add_group",
    "add_phase",
    "add_track",
    "move_phase",
    "piece_at",
    "put",
    "remove_group",
    "remove_phase",
    "remove_track",
    "replace_phase",
]

import re
from dataclasses import replace
from typing import TypeVar

from warmdown.studio.draft.pieces import EVERY, Draft, Given, Group, Piece, Track

Row = TypeVar("Row")

_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")
_OF_TRACK = ("field", "groups", "meaning", "warmup", "low")


def put(draft: Draft, key: str, value: Given) -> Draft:
    """Return the draft with what was typed into the field of a key.

    Keys: ``run.epochs``, ``g0.name``, ``g0.lr``, ``t0.warmup``, ``t0.p1.k``, ``t0.p1.of.steps``,
    ``t0.p1.terms[2].k``; ``t0.p1.@name``, ``@path`` and ``@steps`` are the piece's own, because a
    parameter may be called ``name``.

    Example:
        >>> put(Draft(), "g0.lr", "1e-4").groups[0].base("lr")
        '1e-4'
    """
    first, _, rest = key.partition(".")
    if first == "run":
        return replace(draft, run=replace(draft.run, **{rest: str(value)}))
    if first.startswith("g"):
        number = int(first[1:])
        return replace(
            draft,
            groups=_changed(
                draft.groups, number, _put_group(draft.groups[number], rest, str(value))
            ),
        )
    if first.startswith("t"):
        number = int(first[1:])
        return replace(
            draft,
            tracks=_changed(draft.tracks, number, _put_track(draft.tracks[number], rest, value)),
        )
    return replace(draft, **{first: value})  # type: ignore[arg-type]  # after_end and count are texts


def piece_at(draft: Draft, key: str) -> Piece | None:
    """Return the schedule at a key, or ``None``."""
    track, _, rest = key.partition(".")
    phase, _, inner = rest.partition(".")
    phases = draft.tracks[int(track[1:])].phases
    if not phase.startswith("p") or int(phase[1:]) >= len(phases):
        return None
    found: Given | None = phases[int(phase[1:])]
    for name, number in _STEP.findall(inner):
        if isinstance(found, Piece):
            found = found.get(name)
        elif isinstance(found, tuple):
            found = found[int(number)]
    return found if isinstance(found, Piece) else None


def add_group(draft: Draft, name: str = "") -> Draft:
    """Return the draft with one more group."""
    fields = [(field, "") for field, _ in draft.groups[-1].bases] if draft.groups else [("lr", "")]
    return replace(draft, groups=(*draft.groups, Group(name, tuple(fields))))


def remove_group(draft: Draft, number: int) -> Draft:
    """Return the draft without a group; one empty row always stays."""
    return replace(draft, groups=_without(draft.groups, number) or (Group(),))


def add_track(draft: Draft, track: Track) -> Draft:
    """Return the draft with one more number that is driven; what is for some groups stands before what is for all."""
    for_all = [
        at
        for at, held in enumerate(draft.tracks)
        if (held.field, held.groups) == (track.field, EVERY)
    ]
    place = for_all[0] if for_all and track.groups != EVERY else len(draft.tracks)
    return replace(draft, tracks=(*draft.tracks[:place], track, *draft.tracks[place:]))


def remove_track(draft: Draft, number: int) -> Draft:
    """Return the draft without one; an empty rate always stays."""
    return replace(draft, tracks=_without(draft.tracks, number) or (Track(),))


def add_phase(draft: Draft, track: int, piece: Piece, at: int | None = None) -> Draft:
    """Return the draft with one more phase, at the end or at a place."""
    phases = draft.tracks[track].phases
    place = len(phases) if at is None else at
    return _with_phases(draft, track, (*phases[:place], piece, *phases[place:]))


def replace_phase(draft: Draft, track: int, number: int, piece: Piece) -> Draft:
    """Return the draft with another phase in one's place."""
    return _with_phases(draft, track, _changed(draft.tracks[track].phases, number, piece))


def remove_phase(draft: Draft, track: int, number: int) -> Draft:
    """Return the draft without a phase."""
    return _with_phases(draft, track, _without(draft.tracks[track].phases, number))


def move_phase(draft: Draft, track: int, number: int, to: int) -> Draft:
    """Return the draft with a phase moved to another place; past an end it stays at the end."""
    phases = list(draft.tracks[track].phases)
    moved = phases.pop(number)
    phases.insert(min(max(to, 0), len(phases)), moved)
    return _with_phases(draft, track, tuple(phases))


def _put_group(group: Group, name: str, text: str) -> Group:
    if name == "name":
        return replace(group, name=text)
    return replace(group, bases=tuple({**dict(group.bases), name: text}.items()))


def _put_track(track: Track, key: str, value: Given) -> Track:
    if key in _OF_TRACK:
        return replace(track, **{key: value})  # type: ignore[arg-type]  # texts, all of them
    first, _, rest = key.partition(".")
    if first == "offset":
        return replace(track, offset=_put_piece(track.offset or Piece("constant"), rest, value))
    number = int(first[1:])
    return replace(
        track, phases=_changed(track.phases, number, _put_piece(track.phases[number], rest, value))
    )


def _put_piece(piece: Piece, key: str, value: Given) -> Piece:
    match = _STEP.match(key)
    if not key or match is None:
        return value if isinstance(value, Piece) else piece
    name, rest = match[0], key[match.end() :]
    if not rest:
        return (
            _with_own(piece, name, str(value))
            if name.startswith("@")
            else _with_given(piece, name, value)
        )
    return _with_given(piece, name, _put_given(piece.get(name), rest, value))


def _with_own(piece: Piece, name: str, text: str) -> Piece:
    return replace(piece, **{name.removeprefix("@"): text})  # type: ignore[arg-type]  # name, path, steps are texts


def _put_given(held: Given | None, key: str, value: Given) -> Given:
    """Go one level down: ``.start`` into a schedule, ``[2].end`` into one of several."""
    if key.startswith("[") and isinstance(held, tuple):
        match = _STEP.match(key)
        assert match is not None
        number, rest = int(match[2]), key[match.end() :].removeprefix(".")
        return _changed(held, number, _put_piece(held[number], rest, value))
    return _put_piece(held, key.removeprefix("."), value) if isinstance(held, Piece) else value


def _with_given(piece: Piece, name: str, value: Given) -> Piece:
    """Keep the order in which parameters were first given; an empty text is no longer given."""
    given = dict(piece.given)
    if value == "":
        given.pop(name, None)
    else:
        given[name] = value
    return replace(piece, given=tuple(given.items()))


def _with_phases(draft: Draft, track: int, phases: tuple[Piece, ...]) -> Draft:
    return replace(
        draft, tracks=_changed(draft.tracks, track, replace(draft.tracks[track], phases=phases))
    )


def _changed(rows: tuple[Row, ...], number: int, row: Row) -> tuple[Row, ...]:
    return (*rows[:number], row, *rows[number + 1 :])


def _without(rows: tuple[Row, ...], number: int) -> tuple[Row, ...]:
    return (*rows[:number], *rows[number + 1 :])
