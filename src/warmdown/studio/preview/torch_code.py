"""The rate in plain torch, where a short formula exists: a function of the step for LambdaLR."""

from __future__ import annotations

from warmdown.importing.torch_code import NoTorchCode as NoTorchCode
from warmdown.importing.torch_code import lambda_code
from warmdown.plan import EVERY_GROUP, Plan
from warmdown.studio.draft.model import Draft, ScheduleDraft
from warmdown.studio.draft.writing import schedule_data


def as_torch(draft: Draft, plan: Plan | None) -> str:
    """Return code that uses torch alone.

    Raises:
        NoTorchCode: It needs more than a factor on the learning rate, or a shape without a short
            formula.
    """
    target = draft.targets[0]
    if len(draft.targets) > 1 or target.field != "lr" or target.groups != EVERY_GROUP:
        raise NoTorchCode(
            "torch drives one number by one scheduler. Use the Python of warmdown for "
            "several targets."
        )
    if len(target.phases) == 1 and target.phases[0].is_foreign and not target.warmup.strip():
        return _class_code(target.phases[0])
    if plan is None or draft.class_paths():
        raise NoTorchCode(
            "a class of another library after a warmup takes torch's SequentialLR, which loses its "
            "place on resume."
        )
    return lambda_code(plan)


def _class_code(schedule: ScheduleDraft) -> str:
    data = schedule_data(schedule)
    arguments = data.get("init_args", {})
    if not all(word.isidentifier() for word in (*data["class_path"].split("."), *arguments)):
        raise NoTorchCode("a path or a parameter is no name, so there is no code for it.")
    module, _, name = data["class_path"].rpartition(".")
    keywords = "".join(f", {key}={value!r}" for key, value in arguments.items())
    return f"from {module} import {name}\n\nscheduler = {name}(optimizer{keywords})\n"
