"""From a plan as plain data to what could have been typed; what opens is the plan that was written, or nothing does."""

from __future__ import annotations

__all__ = ["draft_of", "opened", "with_targets"]

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from warmdown.errors import SpecError, WarmdownError
from warmdown.plan import Plan
from warmdown.planfile.plans import plan_from_dict
from warmdown.planfile.text import from_json, from_yaml
from warmdown.studio.draft.fields import shapes, shown
from warmdown.studio.draft.pieces import EVERY, FOREIGN, Draft, Given, Group, Piece, RunTexts, Track
from warmdown.studio.draft.writing import piece_data, written
from warmdown.studio.preview.export import groups_in
from warmdown.studio.security.limits import LONGEST_TEXT, MOST_PHASES, MOST_PIECES

_OF_A_PLAN = ("run", "after_end", "count")
_WARMUP = {"kind": "linear", "start": 0.0, "end": 1.0, "name": "warmup"}


def opened(text: str, *, is_json: bool = False) -> Draft:
    """Return the draft of a plan file.

    Raises:
        SpecError: It is no plan, or larger than the page can show.
    """
    if len(text) > LONGEST_TEXT:
        raise SpecError(
            [f"{len(text):,} characters: more than the page shows. Use 'warmdown show'."]
        )
    data = (from_json(text) if is_json else from_yaml(text)).data
    return draft_of(data, groups_in(text))


def draft_of(data: Any, groups: tuple[Group, ...] = ()) -> Draft:
    """Return the draft of a plan as plain data.

    Example:
        >>> draft = draft_of({"lr": [{"kind": "linear", "start": 0, "end": 1, "steps": "5%"}, {"kind": "cosine"}]})
        >>> [piece.kind for piece in draft.tracks[0].phases]
        ['linear', 'cosine']

    Raises:
        SpecError: It is no plan, or larger than the page can show.
    """
    plan = plan_from_dict(_without_classes(data))
    if sum(1 for target in plan.targets for _ in _all_of(target.rule.schedules())) > MOST_PIECES:
        raise SpecError(
            [f"more than {MOST_PIECES:,} schedules: more than the page shows. Use 'warmdown show'."]
        )
    try:
        draft = _draft(data, groups)
        is_same = _same(plan_from_dict(_without_classes(written(draft).data)), plan)
    except (ValueError, KeyError, TypeError, AttributeError, WarmdownError):
        is_same = False
    if is_same:
        return draft
    if _has_class(data):
        raise SpecError(["this way of writing cannot be shown on the page. Use 'warmdown show'."])
    return _draft(plan.to_dict(), groups)


def with_targets(draft: Draft, piece: Piece) -> Draft:
    """Return the draft with the targets that a recipe for several fields makes, each in the place of its like.

    Example:
        >>> [track.field for track in with_targets(Draft(), Piece("one_cycle")).tracks]
        ['lr', 'momentum']
    """
    plan = plan_from_dict({"targets": piece_data(piece)})
    made = {track.label: track for track in _draft(plan.to_dict(), ()).tracks}
    held = {track.label: track for track in draft.tracks if track.phases or track.label in made}
    return replace(draft, tracks=tuple({**held, **made}.values()))


def _draft(data: Any, groups: tuple[Group, ...]) -> Draft:
    if not isinstance(data, Mapping) or data.keys() & {"kind", "class_path"}:
        data = {"lr": data}
    run = dict(data.get("run") or {})
    base = run.pop("lr", None)
    tracks = [
        track
        for name, target in data.items()
        if name not in _OF_A_PLAN
        for track in _tracks(str(name), target)
    ]
    if len(tracks) > MOST_PHASES or any(len(track.phases) > MOST_PHASES for track in tracks):
        raise SpecError(
            [f"more than {MOST_PHASES} phases: more than the page shows. Use 'warmdown show'."]
        )
    rows = groups or (Group("", (("lr", "" if base is None else shown(_number(base))),)),)
    options = {name: str(data[name]) for name in ("after_end", "count") if name in data}
    return Draft(run=_run(run), groups=rows, tracks=tuple(tracks), **options)


def _run(facts: dict[str, Any]) -> RunTexts:
    texts: dict[str, str] = {
        name: shown(_number(facts[name]))
        for name in ("total_steps", "epochs", "seconds_per_step")
        if name in facts
    }
    texts |= {name: str(facts[name]) for name in ("budget", "clock") if facts.get(name)}
    if "steps_per_epoch" in facts:
        texts["batches"] = shown(_number(facts["steps_per_epoch"]))
    samples = _number(facts.get("samples_per_step"))
    if samples is not None:
        texts["batch_size"] = shown(_whole(samples))
    if facts.get("tokens_per_step") is not None:
        texts["tokens"] = shown(_whole(_number(facts["tokens_per_step"]) / (samples or 1)))
    return RunTexts(**texts)


def _tracks(name: str, data: Any) -> list[Track]:
    if isinstance(data, Mapping) and "groups" in data and "kind" not in data:
        return [_track(name, str(group), one) for group, one in data["groups"].items()]
    return [_track(name, EVERY, data)]


def _track(name: str, groups: str, data: Any) -> Track:
    if isinstance(data, Mapping) and "set" in data:
        return Track(name, groups, "set", phases=_phases(data["set"]))
    if isinstance(data, Mapping) and "scale" in data and "kind" not in data:
        low = "" if data.get("low") is None else shown(_number(data["low"]))
        offset = None if data.get("offset") is None else _piece(data["offset"])
        warmup, phases = _warmed(data["scale"])
        return Track(name, groups, "scale", warmup, phases, low, offset)
    warmup, phases = _warmed(data)
    return Track(name, groups, "scale", warmup, phases)


def _warmed(data: Any) -> tuple[str, tuple[Piece, ...]]:
    """Split off a warmup from zero to the base value, which the page shows in a field of its own."""
    members = _laid_flat(data)
    first = members[0] if len(members) > 1 and isinstance(members[0], Mapping) else {}
    if {**first, "steps": None} == {**_WARMUP, "steps": None} and "steps" in first:
        return shown(first["steps"]), _phases(members[1:])
    return "", _phases(data)


def _phases(data: Any) -> tuple[Piece, ...]:
    return tuple(_piece(one) for one in _laid_flat(data))


def _laid_flat(data: Any) -> list[Any]:
    """Return the phases of a chain, written as a list or by its kind; anything else is one phase."""
    if isinstance(data, Mapping) and data.get("kind") == "chain" and "name" not in data:
        data = data["members"]
    return list(data) if isinstance(data, list | tuple) else [data]


def _piece(data: Any) -> Piece:
    if isinstance(data, str) and data in shapes():
        return Piece(data)
    if isinstance(data, list | tuple):
        return Piece("chain", (("members", tuple(_piece(one) for one in data)),))
    if not isinstance(data, Mapping):
        return Piece("constant", (("value", shown(_number(data))),))
    if "class_path" in data:
        return _foreign(data)
    given = {str(name): value for name, value in data.items()}
    kind, name = given.pop("kind"), given.pop("name", "")
    if kind == "named":
        inner = _piece(given["of"])
        return Piece(inner.kind, inner.given, str(name), inner.path, inner.steps)
    known = shapes()[kind]
    typed = tuple((key, _given(known.field(key), value)) for key, value in given.items())
    return Piece(str(kind), typed, str(name))


def _foreign(data: Mapping[str, Any]) -> Piece:
    if data.keys() - {"class_path", "init_args", "steps", "name"}:
        raise SpecError(
            [
                "class_path: beside it the page shows only init_args, steps and name. "
                "Leave the rest out."
            ]
        )
    given = tuple(
        (str(name), _text(value)) for name, value in (data.get("init_args") or {}).items()
    )
    steps = "" if data.get("steps") in (None, "rest") else shown(data["steps"])
    return Piece(FOREIGN, given, str(data.get("name", "")), str(data["class_path"]), steps)


def _given(field: Any, value: Any) -> Given:
    if field is not None and field.kind == "pieces":
        return tuple(_piece(one) for one in value)
    if isinstance(value, Mapping) or (field is not None and field.kind == "piece"):
        return _piece(value)
    return shown(value) if isinstance(value, list | tuple) else _text(value)


def _text(value: Any) -> str:
    """Return a value as a text that means the same in a field of unknown type."""
    if value is None:
        return "None"
    if isinstance(value, list | tuple) and (
        len(value) < 2 or any(isinstance(one, list | str) for one in value)
    ):
        return repr(list(value))
    return repr(value) if isinstance(value, Mapping) else shown(value)


def _number(value: Any) -> Any:
    """Return a number that stands in a file as text, such as ``1e-4``, as one."""
    if not isinstance(value, str):
        return value
    try:
        return float(value)
    except ValueError:
        return value


def _whole(value: Any) -> Any:
    return int(value) if value == int(value) else value


def _without_classes(data: Any) -> Any:
    """Return the data with a plain shape in place of each foreign class, so that reading it imports nothing."""
    if isinstance(data, Mapping):
        if "class_path" in data:
            name = {"name": data["name"]} if "name" in data else {}
            return {"kind": "constant", "steps": data.get("steps", "rest"), **name}
        return {key: _without_classes(value) for key, value in data.items()}
    return [_without_classes(one) for one in data] if isinstance(data, list) else data


def _has_class(data: Any) -> bool:
    inside = data.values() if isinstance(data, Mapping) else data if isinstance(data, list) else ()
    return (isinstance(data, Mapping) and "class_path" in data) or any(map(_has_class, inside))


def _same(one: Plan, other: Plan) -> bool:
    """Whether two plans are equal but for the base rate, which belongs to the groups here."""
    ours, theirs = one.to_dict(), other.to_dict()
    for data in (ours, theirs):
        data.get("run", {}).pop("lr", None)
        if not data.get("run", True):
            del data["run"]
    return bool(ours == theirs)


def _all_of(schedules: Any) -> Any:
    for schedule in schedules:
        yield schedule
        yield from _all_of(schedule.parts())
