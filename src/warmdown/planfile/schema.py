"""The JSON Schema of plan files, for editors: from the same signatures that reading uses."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from warmdown.plan import AFTER_END, COUNTS
from warmdown.planfile.schedules import drives_several, shapes
from warmdown.planfile.writing import write_text
from warmdown.run import Run
from warmdown.schedules.parameters import Maker, parameters_of

PATH = Path(__file__).parent.parent / "plan.schema.json"
"""The shipped schema; ``python -m warmdown.planfile.schema`` writes it."""

JsonSchema: TypeAlias = dict[str, Any]

_NUMBER = {"$ref": "#/$defs/number"}
_SCHEDULE = {"$ref": "#/$defs/schedule"}
_WELL_KNOWN = {
    "lr": "Learning rate.",
    "weight_decay": "Weight decay.",
    "momentum": "A group's momentum, or its first beta, whichever it has.",
    "betas[0]": "First beta.",
    "betas[1]": "Second beta.",
}


def plan_schema() -> JsonSchema:
    """Return the schema of a plan file, as JSON Schema 2020-12.

    Example:
        >>> plan_schema()["properties"]["after_end"]["enum"]
        ['hold', 'raise']
    """
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "warmdown plan",
        "description": "What is scheduled: targets by name, and the run they are measured on.",
        "type": "object",
        "properties": {
            "run": {"$ref": "#/$defs/run"},
            "after_end": {
                "enum": list(AFTER_END),
                "description": "What happens past the planned end.",
            },
            "count": {"enum": list(COUNTS), "description": "What the clock counts."},
            "targets": {"$ref": "#/$defs/several"},
            **{
                name: {"$ref": "#/$defs/target", "description": about}
                for name, about in _WELL_KNOWN.items()
            },
        },
        "additionalProperties": {"$ref": "#/$defs/target"},
        "$defs": _definitions(),
    }


def as_text() -> str:
    """Return the schema as it is shipped."""
    return json.dumps(plan_schema(), indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def write(path: Path = PATH) -> None:
    """Write the shipped schema."""
    write_text(path, as_text())


def _definitions() -> JsonSchema:
    ours = {
        word: shape for word, shape in shapes().items() if shape.__module__.startswith("warmdown.")
    }
    several = [word for word, shape in ours.items() if drives_several(shape)]
    single = ours.keys() - several
    return {
        **_number_definitions(),
        "run": _mapping_of(Run, {}),
        "class": _class(),
        **{f"kind.{word}": _kind(word, shape) for word, shape in ours.items()},
        "schedule": {
            "description": "A shape by its kind, its name alone, a list (a chain), a number (a "
            "constant), or a class.",
            "anyOf": [
                {"enum": sorted(single)},
                {"type": "array", "items": _SCHEDULE, "minItems": 1},
                _NUMBER,
                {"$ref": "#/$defs/class"},
                _by_kind(single),
            ],
        },
        "several": {"description": "A recipe that drives several fields.", **_by_kind(several)},
        **_target_definitions(),
    }


def _number_definitions() -> JsonSchema:
    number = r"[-+]?(\d[\d_]*\.?\d*|\.\d+)([eE][-+]?\d+)?"
    operand = r"[-+*/().%\w\s]*"
    written = rf"^\s*({number}|{operand}%[A-Za-z_]\w*%{operand})\s*$"
    return {
        "number": {
            "description": "A number, also as text, or arithmetic over the run: %LR% / 10.",
            "anyOf": [{"type": "number"}, {"type": "string", "pattern": written}],
        },
        "count": {
            "description": "A whole number, or arithmetic over the run.",
            "anyOf": [{"type": "integer"}, {"type": "string", "pattern": written}],
        },
        "duration": {
            "description": "Updates, or with a unit: 5%, 10ep, 2e9tok, 8192samples, 1h30m, rest.",
            "anyOf": [{"type": "integer", "minimum": 0}, {"type": "string"}],
        },
    }


def _target_definitions() -> JsonSchema:
    rule = {"anyOf": [{"$ref": "#/$defs/set"}, {"$ref": "#/$defs/scale"}, _SCHEDULE]}
    return {
        "set": _object(
            {"set": {**_SCHEDULE, "description": "The value itself, the same for every group."}},
            ["set"],
        ),
        "scale": _object(
            {
                "scale": {**_SCHEDULE, "description": "Factor on each group's base value."},
                "offset": {**_SCHEDULE, "description": "Added, in the field's unit."},
                "low": {**_NUMBER, "description": "Lower bound, in the field's unit."},
            },
            ["scale"],
        ),
        "meaning": rule,
        "target": {
            "anyOf": [
                {"$ref": "#/$defs/meaning"},
                _object(
                    {
                        "groups": {
                            "type": "object",
                            "additionalProperties": {"$ref": "#/$defs/meaning"},
                        }
                    },
                    ["groups"],
                ),
            ]
        },
    }


def _class() -> JsonSchema:
    properties = {
        "class_path": {
            "type": "string",
            "description": "torch.optim.lr_scheduler.StepLR, or another allowed class.",
        },
        "init_args": {
            "type": "object",
            "description": "What it is made with, besides the optimizer.",
        },
        "name": {"type": "string", "description": "What the phase is called."},
        "steps": {"$ref": "#/$defs/duration"},
        "base": _NUMBER,
    }
    return _object(properties, ["class_path"])


def _by_kind(words: Iterable[str]) -> JsonSchema:
    """Return the schema of a mapping with a kind: the kind decides what else may stand there."""
    chosen = [
        {"if": {"properties": {"kind": {"const": word}}}, "then": {"$ref": f"#/$defs/kind.{word}"}}
        for word in sorted(words)
    ]
    kind = {"enum": sorted(words), "description": "The shape; 'warmdown list' shows them all."}
    return {"type": "object", "properties": {"kind": kind}, "required": ["kind"], "allOf": chosen}


def _kind(word: str, shape: Maker) -> JsonSchema:
    beside: JsonSchema = {"kind": {"const": word}}
    if not drives_several(shape):
        beside["name"] = {"type": ["string", "number"], "description": "What the phase is called."}
    return _mapping_of(shape, beside)


def _mapping_of(target: Maker, beside: JsonSchema) -> JsonSchema:
    from docstring_parser import parse

    text, parameters = inspect.getdoc(target) or "", parameters_of(target)
    helps = {
        entry.arg_name: " ".join((entry.description or "").split()) for entry in parse(text).params
    }
    properties = dict(beside)
    for name, parameter in parameters.items():
        properties[name] = dict(parameter.type.schema)
        if name in helps:
            properties[name]["description"] = helps[name]
    required = [name for name, parameter in parameters.items() if parameter.is_required]
    described = {"description": text.split("\n", 1)[0]}
    return described | _object(properties, [*beside.keys() & {"kind"}, *required])


def _object(properties: JsonSchema, required: Sequence[str] = ()) -> JsonSchema:
    closed = {"type": "object", "properties": dict(properties), "additionalProperties": False}
    return {**closed, "required": list(required)} if required else closed


if __name__ == "__main__":
    write()
