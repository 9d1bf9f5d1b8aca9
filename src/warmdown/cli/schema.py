"""``warmdown schema``: the JSON Schema of what each command prints with ``--json``."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import click

from warmdown.cli.main import EXIT_CODES
from warmdown.cli.say import say
from warmdown.errors import SpecError, nearest

Schema: TypeAlias = dict[str, Any]

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_WHY = "says"
"""The key of a reason in results, which files have, too."""
_PLAN = "plan"
"""Name of the schema of plan files, which the package ships."""


@click.command("schema")
@click.argument("name", required=False)
def command(name: str | None) -> None:
    """Print the JSON Schema of what the command NAME prints with --json; list all names without.

    plan is the schema of plan files, for editors.
    """
    say("\n".join(SCHEMAS) if name is None else json.dumps(schema_of(name), indent=1))


def schema_of(name: str) -> Schema:
    """Return the schema of a command's output, or of a plan file.

    Args:
        name: A command, or ``plan``.

    Raises:
        SpecError: There is no such schema.

    Example:
        >>> schema_of("check")["title"]
        'warmdown check --json'
    """
    if name not in SCHEMAS:
        raise SpecError(f"schema {name}: there is none. {nearest(name, SCHEMAS)}")
    if name == _PLAN:
        shipped: Schema = json.loads(
            (Path(__file__).parents[1] / "plan.schema.json").read_text(encoding="utf-8")
        )
        return shipped
    return {
        "$schema": _DIALECT,
        "title": f"warmdown {name} --json",
        "anyOf": [SCHEMAS[name](), {"$ref": "#/$defs/error"}],
        "$defs": {"error": _of_error()},
    }


def _a(kind: str, about: str, *, or_null: bool = False, **more: Any) -> Schema:
    """Return the schema of one value; a number that is not finite is null."""
    kinds = [kind, "null"] if or_null or kind == "number" else kind
    return {"type": kinds, "description": about, **more}


def _string(about: str, **more: Any) -> Schema:
    return _a("string", about, **more)


def _integer(about: str, **more: Any) -> Schema:
    return _a("integer", about, **more)


def _real(about: str) -> Schema:
    return _a("number", about)


def _array(each: Schema, about: str = "") -> Schema:
    return {"type": "array", "items": each} | ({"description": about} if about else {})


def _dictionary(each: Schema, about: str) -> Schema:
    return {"type": "object", "additionalProperties": each, "description": about}


def _record(optional: Mapping[str, Schema] | None = None, **fields: Schema) -> Schema:
    return {
        "type": "object",
        "properties": {**fields, **(optional or {})},
        "required": list(fields),
        "additionalProperties": False,
    }


def _of_error() -> Schema:
    """Return the schema of what stands in place of a result when there is none."""
    about = "Why there is no result; the message stands on standard error too."
    fields = _record(
        type=_string("Class of the error: SpecError, UsageError …"),
        message=_string("What is wrong, and the way out."),
        mistakes=_array(
            _string("One mistake."), "Each mistake by itself; a file may have several."
        ),
        exit_code={"enum": [code for code in EXIT_CODES if code], "description": "Of the process."},
    )
    return _record(error={**fields, "description": about})


def _of_plan() -> Schema:
    return {"type": "object", "description": "A plan, as in a file: warmdown schema plan."}


def _of_show() -> Schema:
    return _array(
        _record(
            step=_integer("The update, from 0."),
            target=_string("lr, weight_decay, lr/decoder.* …"),
            value=_real("In the field's unit; a factor where no base value is known."),
        )
    )


def _of_check() -> Schema:
    return _array(
        _record(
            code=_string("Which check found it: warmdown explain CODE."),
            severity={"enum": ["error", "warning", "note"]},
            message=_string("What is wrong, with the numbers, and the way out."),
            target=_string("lr, lr/decoder.*; empty where it is about the whole plan."),
            step=_integer("The update it happens at.", or_null=True),
            numbers=_dictionary(_real(""), "The numbers of the message."),
        )
    )


def _of_list() -> Schema:
    shape = _record(
        name=_string("The kind, as in a plan file."),
        type={"enum": ["shape", "recipe"]},
        about=_string("What it is, in one line."),
        parameters=_dictionary(
            _string("", or_null=True), "Default of each as text; null: it must be given."
        ),
        values=_array(_real("Value of an example of 1,000 updates, at every 50th.")),
    )
    recipe = _record(
        name=_string("The name of a recipe of record."),
        purpose=_string("What it is for."),
        source=_string("Paper or repository, and the place in it."),
        url=_string("The source's address."),
        date=_string("Year, month and perhaps day of the source."),
        note=_string("What else a person should know, or nothing."),
        fixed=_string("Lengths that the source states as numbers, or nothing."),
        values=_array(_real("Its first target along the run, as a share of the highest value.")),
    )
    return {"anyOf": [_array(shape), {**_array(recipe), "description": "With --recipes."}]}


def _of_import() -> Schema:
    return _record(
        plan=_of_plan(),
        notes=_array(_string("Where the original parts from its documentation.")),
        written=_string("The file of --out.", or_null=True),
    )


def _of_export() -> Schema:
    return _record(
        to=_string("The trainer."),
        text=_string("Its configuration."),
        written=_string("The file of --out.", or_null=True),
    )


def _of_interval(about: str) -> Schema:
    fields = _record(
        value=_real("The number."),
        low=_real("Lower end of its interval."),
        high=_real("Upper end."),
        count=_integer("Number of values."),
    )
    return {**fields, "description": about}


def _of_compare() -> Schema:
    plan = _record(
        name=_string("The plan."),
        metric=_of_interval("Mean over the seeds that finished."),
        difference=_of_interval("Mean difference to the baseline, paired by seed."),
        rank=_real("Mean rank over the seeds."),
        to_goal=_of_interval("Median updates until the goal was reached."),
        reached=_integer("Seeds that reached it."),
        area=_real("Mean sum of the rate over all updates."),
        seconds=_real("Mean time of a run."),
        updates=_real("Mean updates of a run."),
        finished=_integer("Runs that finished."),
        runs=_integer("Runs."),
    )
    failure = _record(
        plan=_string("The plan."),
        seed=_integer("The seed."),
        status=_string("What went wrong."),
        **{_WHY: _string("Why.")},
        key=_string("Of the run."),
    )
    runs = _record(
        task=_string("The task."),
        metric=_string("What is compared."),
        higher_is_better=_a("boolean", "Whether more of it is better."),
        goal=_real("Value whose first reaching is timed."),
        baseline=_string("The plan that others are compared with."),
        plans=_array(plan),
        failures=_array(failure),
        runs=_dictionary(_dictionary(_string("Key of the run."), "By seed."), "By plan."),
    )
    bound = _record(
        plan=_string("The plan."),
        updates=_integer("Of the run."),
        bound=_real("Last-iterate bound of its shape."),
        relative=_real("Bound over the least of all."),
        best_rate=_real("Its best rate, as a share of the first plan's, or itself with --lr."),
    )
    return {"anyOf": [runs, {**_array(bound), "description": "With --theory."}]}


def _of_final(**more: Schema) -> Schema:
    return _record(
        predicted=_real("Loss at the last update."),
        low=_real("Lower end of the 90 % interval."),
        high=_real("Upper end."),
        **more,
    )


def _of_forecast() -> Schema:
    agreement = {
        "name": _string("The log."),
        "r2": _real("Share of the loss's variance that the law explains."),
        "mae": _real("Mean absolute error."),
        "rmse": _real("Root of the mean squared error."),
        "mean_relative_error": _real("Mean error over the loss."),
        "worst_relative_error": _real("Largest error over the loss."),
        "final": _of_final(measured=_real("What the log has there.")),
    }
    pilot = _record(
        name=_string("The log."),
        updates=_integer("Its last update."),
        total=_real("Its sum of rates."),
        peak=_real("Its highest rate."),
        error=_real("Mean relative error of the fit."),
    )
    design = _of_final(
        plan=_of_plan(), gain=_dictionary(_real(""), "Less loss than each other plan has.")
    )
    forecast = _record(
        quantity=_string("What is predicted."),
        final=_of_final(),
        **{
            name: _array(_real(""), f"{name} along the run")
            for name in ("steps", "rates", "loss", "low", "high")
        },
        law=_array(_string("A line of the law's report.")),
        notes=_array(_string("What to know about it.")),
    )
    against = {"against": _array(_record(**agreement), "Logs that the law has not seen.")}
    return _record(
        {**against, **agreement, "design": design},
        command=_string("What was called."),
        law=_array(_string("A line of the law's report.")),
        pilots=_array(pilot, "The logs that it was fitted to."),
        forecasts=_dictionary(forecast, "By plan."),
    )


def _of_suggest() -> Schema:
    rows = _array(_array(_string("Method, and its result.")), "Every method with its interval.")
    return _record(
        plan=_of_plan(),
        method=_string("What it is."),
        reasons=_array(_string("Why this one.")),
        evidence=_record(setting=_string("Of the runs."), rows=rows),
    )


def _of_lint() -> Schema:
    finding = _record(
        path=_string("The file; - is standard input."),
        code=_string("The rule: warmdown explain CODE."),
        line=_integer("From 1."),
        column=_integer("From 1."),
        message=_string("What is wrong, and the way out."),
        cell=_integer("Of a notebook, from 1.", or_null=True),
        fixable=_a("boolean", "Whether --fix corrects it."),
        page=_string("Section of the documentation."),
    )
    result = _record(
        findings=_array(finding),
        fixed=_integer("Findings that were corrected."),
        errors=_array(_string("Why a file could not be read.")),
    )
    rule = _record(
        code=_string("WDL001 …"), name=_string("What it finds."), page=_string("Its section.")
    )
    return {"anyOf": [result, {**_array(rule), "description": "With --rules."}]}


def _of_find() -> Schema:
    suggestion = _record(
        rule=_string("Its name."),
        value=_real("The rate; null: there is nothing to suggest."),
        low=_real("Lower end of the 90 % interval."),
        high=_real("Upper end."),
        **{_WHY: _string("What the rule looks for, or why it found nothing.")},
    )
    return _record(
        target=_string("What was swept."),
        base=_real("Largest base value of a group."),
        values=_array(_real("The value of each update.")),
        losses=_array(_array(_real("")), "The loss of each update, one row a repeat."),
        ended=_array(_string("Why a repeat ended early, or nothing.")),
        smoothing=_real("As a share of the sweep."),
        suggestions=_array(suggestion),
    )


def _of_search() -> Schema:
    trial = _record(
        number=_integer("From 0."),
        values={"type": "object", "description": "The chosen numbers by their path in the plan."},
        state=_string("finished, pruned, or what went wrong."),
        metric=_real("Mean over the seeds."),
        runs=_dictionary(_string("Key of the run."), "By seed."),
    )
    return _record(
        metric=_string("What was searched for."), best=trial, plan=_of_plan(), trials=_array(trial)
    )


def _of_train() -> Schema:
    run = _record(
        name=_string("The plan."),
        folder=_string("All that was written."),
        metrics=_dictionary(_real(""), "The last value of each."),
        updates=_integer("Updates that were made."),
        seconds=_real("How long the training took."),
        digest=_string("SHA-256 of the weights."),
        stopped=_string("Why it ended early, or nothing."),
    )
    return _record(runs=_array(run), pictures=_array(_string("A file.")))


def _of_tell() -> Schema:
    final = _record(predicted=_real(""), low=_real(""), high=_real(""))
    curves = _record(
        steps=_array(_real("An update.")),
        lines=_dictionary(
            _record(before=_array(_real("")), after=_array(_real(""))),
            "Values by target and group.",
        ),
        ends=_array(_integer("The run's length before, and after.", or_null=True)),
    )
    return _record(
        outcome={"enum": ["done", "refused", "shown", "waiting"]},
        text=_string("The same in a sentence."),
        optional={
            "update": _integer("The first update that it changes."),
            "end": _integer("Updates in the whole run from then on."),
            "finals": _dictionary(
                _record(before=final, after=final),
                "With --dry-run and --law: the predicted loss at the end, by rate.",
            ),
            "curves": {**curves, "description": "With --dry-run."},
        },
    )


def _of_merge() -> Schema:
    share = _record(update=_integer("Of the checkpoint."), share=_real("Its part of the mean."))
    return _record(
        start=_integer("First update of the curve."),
        stop=_integer("Updates that the last checkpoint has made."),
        error=_real("How far the shares are from the curve: root mean square, of the rate."),
        shares=_array(share, "They sum to 1."),
        written=_string("The file."),
    )


def _of_explain() -> Schema:
    return _array(
        _record(
            code=_string("Of a warning, a finding or a rule."),
            title=_string("Its heading."),
            text=_string("What it means, and the way out, as Markdown."),
        )
    )


SCHEMAS: Mapping[str, Callable[[], Schema]] = {
    _PLAN: _of_plan,
    "list": _of_list,
    "show": _of_show,
    "check": _of_check,
    "train": _of_train,
    "tell": _of_tell,
    "merge": _of_merge,
    "find": _of_find,
    "compare": _of_compare,
    "forecast": _of_forecast,
    "search": _of_search,
    "explain": _of_explain,
    "suggest": _of_suggest,
    "lint": _of_lint,
    "import": _of_import,
    "export": _of_export,
}
"""Every schema by the command that it is of; a new release may add keys, and takes none away."""
