"""A plan to findings: each target by itself, and the plan as a whole."""

from __future__ import annotations

__all__ = ["check", "check_values"]

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np

from warmdown.batches import ACCUMULATION, BATCH
from warmdown.checks import curve, form
from warmdown.checks.finding import Finding, Findings
from warmdown.checks.subject import Subject, pieces
from warmdown.errors import RunError, ScheduleError
from warmdown.formatting import count, number
from warmdown.plan import Plan, Target
from warmdown.run import Run, RunLike, run_of
from warmdown.schedules import Rule, Set

_OTHER_NAMES = {
    "learning_rate": "lr",
    "wd": "weight_decay",
    "beta1": "betas[0]",
    "beta2": "betas[1]",
    "betas": "betas[0]",
}
_OF_SETTINGS = (
    r"((lr|learning_rate|param)_)?sched(ule|ulers?)?(_(type|name|config|args|kwargs))?"
    r"|lr_(policy|config)|lrate|(base|peak|max|initial)_lr"
)
"""Names that other trainers' settings have for a learning rate or its schedule."""
_WAYS_OUT = {
    BATCH: f"bind={{{BATCH!r}: BatchSizeSampler(dataset)}}.",
    ACCUMULATION: f"bind={{{ACCUMULATION!r}: a function of one number}}.",
}
_VERY_LONG = 1_000_000
"""Updates that are looked at where nothing ends."""
_FEW = 5
_ORDER = ("error", "warning", "note")


def check(plan: Any, *, run: RunLike | None = None, **facts: Any) -> tuple[Finding, ...]:
    """Return what is wrong with a plan, the worst first; nothing when it is clean.

    Long runs are sampled, so that a run of a trillion updates is checked as fast as one of a
    thousand.

    Args:
        plan: A plan, a schedule (it drives ``lr``), targets by name, the path of a plan file, or
            data as in one.
        run: Facts about the run, in place of the plan's own; a base rate that it lacks is the
            plan's. A number is its updates.
        facts: Facts of it by name, such as ``total_steps``.

    Example:
        >>> from warmdown import Cosine, Linear, Run, warmup_cosine
        >>> run = Run(total_steps=1000)
        >>> check(warmup_cosine(start=0.01), run=run)
        ()
        >>> leap = Linear(start=0.01, end=1.0, steps=100) >> Cosine(start=0.5)
        >>> for finding in check(leap, run=run):
        ...     print(finding.code, finding.step, finding.numbers)
        jump 100 {'left': 1.0, 'right': 0.5}
    """
    from warmdown.planfile.plans import plan_of  # YAML takes 0.1 s; a scheduler checks values alone

    plan = plan_of(plan, who="check")
    given = run_of(run, "check", **facts) if run is not None or facts else plan.run
    facts_of_run = given if given.lr is not None else replace(given, lr=plan.run.lr)
    known: Mapping[str, Rule] = {}
    with suppress(ScheduleError, RunError):  # found again, with the target that it belongs to
        facts_of_run, known = plan.measured_on(facts_of_run)
    found = [
        *_end_of_the_clock(facts_of_run),
        *_other_batch(plan, facts_of_run),
        *_unlikely_names(plan),
        *_shadowed(plan.targets),
        *_previews(plan),
    ]
    for target in plan.targets:
        found += _target_findings(target, plan, facts_of_run, known)
    return tuple(sorted(dict.fromkeys(found), key=lambda finding: _ORDER.index(finding.severity)))


def _target_findings(target: Target, plan: Plan, run: Run, known: Mapping[str, Rule]) -> Findings:
    try:
        measured = plan.settled(target, run, known)
        stop = run.length or _length_of(plan, run)
        if stop is None:
            yield _unknown_length(target)
            return
        base = {"lr": run.lr, BATCH: run.samples_per_step}.get(target.name)
        subject = Subject(measured, target.rule.of, run, stop, base)
        with np.errstate(all="ignore"):  # what is not finite is one finding
            steps, values = subject.samples
            is_finite = np.isfinite(values)
            if is_finite.all():
                for rule in (*form.CHECKS, *curve.CHECKS):
                    yield from rule(subject)
            else:
                yield _not_finite(target, int(steps[is_finite.argmin()]))
    except ScheduleError as error:
        is_open = run.length is None
        yield _unknown_length(target) if is_open else _error("does-not-fit", target, str(error))
    except ArithmeticError:
        yield _not_finite(target, None)
    except RunError as error:
        yield _error("not-measurable", target, str(error))


def check_values(
    plan: Plan, met: Sequence[tuple[Target, Mapping[str, float]]]
) -> tuple[Finding, ...]:
    """Return the findings about the values of a plan that is about to drive live objects.

    A function is left out, because it is called at its own step alone, and so is a value that is
    not finite. What one group has on purpose is no finding: of a field other than the rate a base
    of 0 beside others, of any field a small factor beside others.

    Args:
        plan: The plan, its lengths measured.
        met: Its targets with the base values of the groups that follow them, by name: for each
            optimizer apart.

    Example:
        >>> from warmdown import Linear, Run
        >>> plan = Plan.of(lr=Linear(start=0.0, end=3e-4), run=Run(total_steps=100)).over()
        >>> [finding.code for finding in check_values(plan, [(plan.targets[0], {"lr/0": 3e-4})])]
        ['far-below-base']
    """
    found = [
        (target, finding)
        for target, bases in met
        if all(schedule.is_predictable for schedule in target.rule.schedules())
        for finding in _value_findings(target, plan, bases)
    ]
    small = {target for target, finding in found if finding.code == "far-below-base"}
    known: dict[str, Finding] = {}
    for target, finding in found:
        beside = [(other, bases) for other, bases in met if other.name == target.name]
        is_meant = {
            "far-above-base": True,  # of a sweep, or of a base that stands for 1
            "far-below-base": target.name not in curve.KNOWN_FIELDS
            or any(other not in small for other, _ in beside),
            "zero-base": target.name != "lr" and any(any(bases.values()) for _, bases in beside),
        }
        if not is_meant.get(finding.code, False):
            known.setdefault(finding.code, finding)
    return tuple(known.values())


def _value_findings(target: Target, plan: Plan, bases: Mapping[str, float]) -> Findings:
    # a run without a length holds the last value, which belongs to the step after the last
    stop = plan.run.length or (plan.length or _VERY_LONG) + 1
    # the value is linear in the base: no extreme is inside
    for base in dict.fromkeys((max(bases.values()), min(bases.values()))):
        subject = Subject(target, target.rule.of, plan.run, stop, base)
        names = [name for name, value in bases.items() if value == base]
        shown = ", ".join(names[:_FEW]) + (" …" if len(names) > _FEW else "")
        is_highest = base == max(bases.values())
        rules = curve.BOUND_CHECKS if is_highest else (*curve.LIMIT_CHECKS, _zero_overwritten)
        try:
            with np.errstate(all="ignore"):
                if np.isfinite(subject.samples[1]).all():
                    for rule in rules:
                        yield from (replace(finding, target=shown) for finding in rule(subject))
        except ArithmeticError:
            continue


def _zero_overwritten(subject: Subject) -> Findings:
    """Find a value that is set by a pattern, and reaches a group that had 0 beside others."""
    target = subject.target
    is_for_all = isinstance(target.rule, Set) and any(sign in target.groups for sign in "*?[")
    if subject.base == 0 and is_for_all and subject.height > 0:
        yield subject.finding(
            "zero-overwritten",
            f"had 0, and is given up to {number(subject.height)} like the other groups; biases and "
            "norms often have none on purpose. Without Set each group's own value is scaled, and 0 "
            f"stays 0; or name the groups that are meant: {target.name}={{'…': Set(…)}}.",
            value=subject.height,
        )


def _error(code: str, target: Target, message: str, step: int | None = None) -> Finding:
    return Finding(code=code, severity="error", message=message, target=target.label, step=step)


def _not_finite(target: Target, step: int | None) -> Finding:
    where = "" if step is None else f" at update {count(step)}"
    message = f"is no finite number{where}: its parameters are too large. Give smaller ones."
    return _error("not-finite", target, message, step)


def _length_of(plan: Plan, run: Run) -> int | None:
    """Return the length of the longest target, where the run does not say its own."""
    lengths = [part.length for target in plan.targets for part in target.rule.over(run).schedules()]
    return max((length for length in lengths if length), default=None)


def _unknown_length(target: Target) -> Finding:
    message = "the run has no length. Give run: {total_steps: …}, or --total-steps."
    return _error("unknown-length", target, message)


def _end_of_the_clock(run: Run) -> Findings:
    if run.clock != "updates" and run.length is None:
        yield Finding(
            code="no-end",
            severity="warning",
            message=f"the clock is {run.clock}, and the run has no end on it: no share and no rest "
            f"can be measured. Give run: {{budget: …}}, like '2h' or '2e12tok'.",
        )


def _unlikely_names(plan: Plan) -> Findings:
    for name in dict.fromkeys(target.name for target in plan.targets):
        if name in curve.KNOWN_FIELDS:
            continue
        if name in (BATCH, ACCUMULATION):
            yield Finding(
                code="needs-loader",
                severity="note",
                message="a Trainer and warmdown train cut their batches by it. In a loop of your "
                "own something has to: " + _WAYS_OUT[name],
                target=name,
            )
            continue
        near = difflib.get_close_matches(name, curve.KNOWN_FIELDS, n=1, cutoff=0.8)
        is_settings = re.fullmatch(_OF_SETTINGS, name.lower()) is not None
        other = "lr" if is_settings else _OTHER_NAMES.get(name)
        for meant in near if other is None else [other]:
            more = " Settings of another trainer are read by warmdown import." * is_settings
            yield Finding(
                code="unlikely-name",
                severity="warning",
                message=f"no optimizer has a field of this name. Did you mean {meant!r}?{more}",
                target=name,
            )
            break
        else:
            yield from _needs_bind(name)


def _needs_bind(name: str) -> Findings:
    is_batch = "batch" in name.lower() and "size" in name.lower()
    other = f" What a Trainer cuts its batches by is {BATCH!r}." if is_batch else ""
    yield Finding(
        code="needs-bind",
        severity="warning" if is_batch else "note",
        message="no optimizer of torch has a field of this name. Where the plan is bound, name "
        f"what it drives: bind={{{name!r}: Attribute(object, …)}}, or a function.{other}",
        target=name,
    )


def _other_batch(plan: Plan, run: Run) -> Findings:
    """Find a batch that begins at another size than the run's facts have."""
    size, batches = run.samples_per_step, getattr(run, "batches", None)
    if not size or batches is None or BATCH not in batches.rules:
        return
    first = batches.cut(0.0).size
    if first != size and plan.lengths_in_data():
        texts = ", ".join(plan.lengths_in_data()[:_FEW])
        yield Finding(
            code="other-batch",
            severity="warning",
            message=f"begins at {count(first)} samples, and run has samples_per_step: {size:g}. "
            f"What is given in data ({texts}) is measured on the batches themselves, what is "
            "given in updates is not. Give the run the size that the plan begins with.",
            target=BATCH,
            numbers={"first": first, "expected": size},
        )


def _shadowed(targets: Iterable[Target]) -> Findings:
    earlier: list[Target] = []
    for target in targets:
        over = next((e for e in earlier if e.name == target.name and e.fits(target.groups)), None)
        if over is not None:
            yield Finding(
                code="shadowed",
                severity="warning",
                message=f"the earlier pattern {over.groups!r} takes every group of "
                f"{target.groups!r}: "
                "the first that fits counts. Put the narrower one first.",
                target=target.label,
            )
        earlier.append(target)


def _previews(plan: Plan) -> Findings:
    for target in plan.targets:
        parts = [part for whole in target.rule.schedules() for part, _ in pieces(whole)]
        paths = [getattr(part, "class_path", "") for part in parts if part.is_preview]
        for class_path in dict.fromkeys(paths):
            yield Finding(
                code="preview",
                severity="note",
                message=f"{class_path} is another library's class; what is checked is what it does "
                f"when it is stepped once an update. Train with the class itself.",
                target=target.label,
            )
