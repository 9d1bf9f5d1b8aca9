"""The JSON Schema of plan files, for editors: from the same signatures that reading uses."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterable
from pathlib import Path

import yaml

from warmdown.plan import AFTER_END, COUNTS, RATE_RULES
from warmdown.planfile.schedules import drives_several, shapes
from warmdown.planfile.writing import write_text
from warmdown.run import Run
from warmdown.schedules.base import PlainData
from warmdown.schedules.parameters import Maker, parameters_of

PATH = Path(__file__).parent.parent / "plan.schema.json"
"""The shipped schema; ``python -m warmdown.planfile.schema`` writes it."""

_NUMBER = r"[-+]?(\d[\d_]*\.?\d*|\.\d+)([eE][-+]?\d+)?"
_OPERAND = r"[-+*/().%\w\s]*"
_WRITTEN = rf"^\s*({_NUMBER}|{_OPERAND}%[A-Za-z_]\w*%{_OPERAND})\s*$"
"""A number as text, or arithmetic over the run."""

_FIXED = """
$schema: https://json-schema.org/draft/2020-12/schema
title: warmdown plan
description: "What is scheduled: targets by name, and the run they are measured on."
type: object
properties:
  run: {$ref: "#/$defs/run"}
  after_end: {description: What happens past the planned end.}
  count: {description: What the clock counts.}
  rate_rule: {description: How the rate follows a batch that the plan changes.}
  targets: {$ref: "#/$defs/several"}
  lr: {$ref: "#/$defs/target", description: Learning rate.}
  weight_decay: {$ref: "#/$defs/target", description: Weight decay.}
  momentum:
    $ref: "#/$defs/target"
    description: "A group's momentum, or its first beta, whichever it has."
  "betas[0]": {$ref: "#/$defs/target", description: First beta.}
  "betas[1]": {$ref: "#/$defs/target", description: Second beta.}
additionalProperties: {$ref: "#/$defs/target"}
$defs:
  number:
    description: "A number, also as text, or arithmetic over the run: %LR% / 10."
    anyOf: [{type: number}]
  count:
    description: A whole number, or arithmetic over the run.
    anyOf: [{type: integer}]
  duration:
    description: "Updates, or with a unit: 5%, 10ep, 2e9tok, 8192samples, 1h30m, rest."
    anyOf: [{type: integer, minimum: 0}, {type: string}]
  schedule:
    description: >-
      A shape by its kind, its name alone, a list (a chain), a number (a constant), or a class.
    anyOf:
    - {type: array, items: {$ref: "#/$defs/schedule"}, minItems: 1}
    - $ref: "#/$defs/number"
    - $ref: "#/$defs/class"
  several: {description: A recipe that drives several fields.}
  class:
    type: object
    properties:
      class_path:
        type: string
        description: torch.optim.lr_scheduler.StepLR, or another allowed class.
      init_args: {type: object, description: "What it is made with, besides the optimizer."}
      name: {type: string, description: What the phase is called.}
      steps: {$ref: "#/$defs/duration"}
      base: {$ref: "#/$defs/number"}
    required: [class_path]
    additionalProperties: false
  set:
    type: object
    properties:
      set:
        $ref: "#/$defs/schedule"
        description: The value itself, the same for every group.
    required: [set]
    additionalProperties: false
  scale:
    type: object
    properties:
      scale: {$ref: "#/$defs/schedule", description: "Factor on each group's base value."}
      offset: {$ref: "#/$defs/schedule", description: "Added, in the field's unit."}
      low:
        anyOf: [{$ref: "#/$defs/number"}, {$ref: "#/$defs/schedule"}]
        description: Lower bound, in the field's unit.
    required: [scale]
    additionalProperties: false
  meaning: {anyOf: [{$ref: "#/$defs/set"}, {$ref: "#/$defs/scale"}, {$ref: "#/$defs/schedule"}]}
  target:
    anyOf:
    - $ref: "#/$defs/meaning"
    - type: object
      properties:
        groups: {type: object, additionalProperties: {$ref: "#/$defs/meaning"}}
      required: [groups]
      additionalProperties: false
"""
"""What does not follow from signatures, in the words of the format itself."""


def plan_schema() -> PlainData:
    """Return the schema of a plan file, as JSON Schema 2020-12.

    Example:
        >>> plan_schema()["properties"]["after_end"]["enum"]
        ['hold', 'raise']
    """
    schema: PlainData = yaml.safe_load(_FIXED)
    schema["properties"]["after_end"]["enum"] = list(AFTER_END)
    schema["properties"]["count"]["enum"] = list(COUNTS)
    schema["properties"]["rate_rule"]["enum"] = list(RATE_RULES)
    definitions = schema["$defs"]
    for name in ("number", "count"):
        definitions[name]["anyOf"].append({"type": "string", "pattern": _WRITTEN})
    ours = {
        word: shape for word, shape in shapes().items() if shape.__module__.startswith("warmdown.")
    }
    several = [word for word, shape in ours.items() if drives_several(shape)]
    single = ours.keys() - several
    any_schedule = [{"enum": sorted(single)}, *definitions["schedule"]["anyOf"], _by_kind(single)]
    definitions["schedule"]["anyOf"] = any_schedule
    definitions["several"] |= _by_kind(several)
    definitions["run"] = _mapping_of(Run, {})
    for word, shape in ours.items():
        beside: PlainData = {"kind": {"const": word}}
        if word in single:
            about = "What the phase is called."
            beside["name"] = {"type": ["string", "number"], "description": about}
        definitions[f"kind.{word}"] = _mapping_of(shape, beside)
    return schema


def as_text() -> str:
    """Return the schema as it is shipped."""
    return json.dumps(plan_schema(), indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def write(path: Path = PATH) -> None:
    """Write the shipped schema."""
    write_text(path, as_text())


def _by_kind(words: Iterable[str]) -> PlainData:
    """Return the schema of a mapping with a kind: the kind decides what else may stand there."""
    chosen = [
        {"if": {"properties": {"kind": {"const": word}}}, "then": {"$ref": f"#/$defs/kind.{word}"}}
        for word in sorted(words)
    ]
    kind = {"enum": sorted(words), "description": "The shape; 'warmdown list' shows them all."}
    return {"type": "object", "properties": {"kind": kind}, "required": ["kind"], "allOf": chosen}


def _mapping_of(target: Maker, beside: PlainData) -> PlainData:
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
    schema = {
        "description": text.split("\n", 1)[0],
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
    }
    # facts about the run have no kind
    required = [*beside.keys() & {"kind"}, *required]
    return {**schema, "required": required} if required else schema


if __name__ == "__main__":
    write()
