"""Averages of weights: by decay, half-life and tail, in a loop, a trainer and from the shell."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from tests.training import small
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn, get_swa_multi_avg_fn

import warmdown as wd
from warmdown.cli.main import main
from warmdown.errors import RunError, StateError, TrainingError
from warmdown.training import (
    AveragedWeightsCallback,
    LimitEvalStepsCallback,
    StepBasedEvaluationCallback,
    Trainer,
    TrainerCallback,
    digest_of_weights,
    read_weights,
)

RULES: list[dict[str, Any]] = [
    {"decay": 0.8}, {"half_life": 5}, {"half_life": "20%"}, {"tail": "25%"}, {"tail": 7},
]  # fmt: skip
UPDATES = 30


def shares(rule: dict[str, Any], updates: int, length: int = UPDATES) -> np.ndarray[Any, Any]:
    """Return the share of each update's weights in the average, the start's first, by hand."""
    found = np.zeros(updates + 1)
    if "tail" in rule:
        first = length - (rule["tail"] if rule["tail"] == 7 else round(length / 4))
        found[first + 1 :] = 1 / (updates - first)
        return found
    found[0] = 1.0
    for update in range(1, updates + 1):
        half = {5: 5.0, "20%": 0.2 * update}.get(rule.get("half_life", ""), 1.0)
        kept = rule.get("decay", 0.5 ** (1 / half))
        found *= kept
        found[update] = 1 - kept
    return found


def walk(average: wd.AveragedWeights, model: torch.nn.Module, updates: int) -> list[torch.Tensor]:
    """Make updates; return the weights after each, the first ones before them."""
    made = torch.Generator().manual_seed(3)
    weight = next(model.parameters())
    passed = [weight.detach().clone()]
    for _ in range(updates):
        with torch.no_grad():
            weight.add_(torch.randn(weight.shape, generator=made, dtype=torch.float64).to(weight))
        average.update()
        passed.append(weight.detach().clone())
    return passed


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_an_average_is_the_sum_of_the_weights_by_the_formula(rule: dict[str, Any]) -> None:
    model = torch.nn.Linear(4, 3, dtype=torch.float64)
    average = wd.AveragedWeights(model, **rule, run=UPDATES)
    passed = walk(average, model, UPDATES)
    expected = np.tensordot(shares(rule, UPDATES), torch.stack(passed).numpy(), 1)
    own = model.weight
    with average.applied() as inside:
        assert inside is model
        assert model.weight is own
        np.testing.assert_allclose(model.weight.detach(), expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(model.weight, passed[-1], rtol=0, atol=0)


EMA, SWA = get_ema_multi_avg_fn(0.8), get_swa_multi_avg_fn()  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(
    ("rule", "theirs"),
    [({"decay": 0.8}, EMA), ({"tail": 30}, SWA)],
    ids=["ema", "tail"],
)
def test_it_is_what_torchs_averaged_model_has(rule: dict[str, Any], theirs: Any) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3))
    average = wd.AveragedWeights(model, **rule, run=UPDATES)
    peer = AveragedModel(model, multi_avg_fn=theirs)
    if "decay" in rule:
        peer.update_parameters(model)  # its first call copies: ours begins with the start
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
    for update in range(UPDATES):
        model(torch.randn(8, 4) + update).square().sum().backward()
        optimizer.step()
        average.update()
        peer.update_parameters(model)
    expected = peer.module.state_dict()
    for name, value in average.weights().items():
        torch.testing.assert_close(value, expected[name], rtol=1e-5, atol=1e-6)


def test_half_precision_is_averaged_in_single_precision() -> None:
    model = torch.nn.Linear(1, 1, bias=False, dtype=torch.bfloat16)
    torch.nn.init.constant_(model.weight, 1.0)
    average = wd.AveragedWeights(model, decay=0.999)
    torch.nn.init.constant_(model.weight, 2.0)
    for _ in range(1000):  # in bfloat16 the first step would round to nothing
        average.update()
    (kept,) = average.state_dict()["averages"].values()
    assert kept.item() == pytest.approx(2.0 - 0.999**1000, rel=1e-4)
    with average.applied():
        assert model.weight.dtype == torch.bfloat16
        assert model.weight.item() == pytest.approx(1.632, abs=0.01)
    assert model.weight.item() == 2.0


def test_a_share_of_the_updates_made_so_far_forgets_the_start_soon() -> None:
    left = shares({"half_life": "20%"}, 1000)
    # what was there at half of the updates is left by a power of that half
    assert left[:501].sum() == pytest.approx(0.5 ** (5 * np.log(2)), rel=0.01)
    assert left[0] < 1e-10


def test_a_plan_drives_the_decay_in_a_loop_of_ones_own() -> None:
    model = torch.nn.Linear(3, 1, dtype=torch.float64)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    average = wd.AveragedWeights(model, decay=0.5)
    curve = wd.Linear(start=0.2, end=0.9, steps=10)
    scheduler = wd.Scheduler(
        optimizer,
        lr=wd.Constant(),
        ema_decay=wd.Set(curve),
        bind={"ema_decay": wd.Attribute(average, "decay")},
    )
    expected = model.weight.detach().clone()
    for update in range(15):
        model(torch.ones(3, dtype=torch.float64)).square().sum().backward()
        optimizer.step()
        average.update()
        scheduler.step()
        expected = curve(update) * expected + (1 - curve(update)) * model.weight.detach()
    torch.testing.assert_close(average.weights()["weight"], expected, rtol=0, atol=1e-12)


def test_only_a_decay_can_be_driven() -> None:
    average = wd.AveragedWeights(torch.nn.Linear(1, 1), half_life="5%")
    with pytest.raises(wd.BindingError, match="AveragedWeights has no such attribute"):
        wd.Attribute(average, "decay")
    by_decay = wd.AveragedWeights(torch.nn.Linear(1, 1), decay=0.9)
    by_decay.decay = 1.5
    with pytest.raises(TrainingError, match=r"decay=1\.5\): it lies between 0 and 1"):
        by_decay.update()


def test_a_plan_whose_average_would_stand_still_is_found_before_it_runs() -> None:
    plan = wd.Plan.of(ema_decay=wd.Set(wd.Linear(start=0.9, end=1.2, steps=10)))
    assert "out-of-range" in {one.code for one in wd.check(plan, run=100)}


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_an_average_goes_on_from_its_state_bit_for_bit(
    rule: dict[str, Any], tmp_path: Path
) -> None:
    def begin() -> tuple[torch.nn.Linear, wd.AveragedWeights]:
        torch.manual_seed(1)
        model = torch.nn.Linear(4, 3)
        return model, wd.AveragedWeights(model, **rule, run=UPDATES)

    model, average = begin()
    for update in range(UPDATES):
        torch.nn.init.uniform_(model.weight, -update, update + 1)
        average.update()
        if update == 24:
            torch.save([average.state_dict(), model.state_dict()], tmp_path / "state.pt")
            state = torch.get_rng_state()
    whole = digest_of_weights(average.weights())
    model, average = begin()
    saved, weights = torch.load(tmp_path / "state.pt", weights_only=True)
    average.load_state_dict(saved)
    model.load_state_dict(weights)
    torch.set_rng_state(state)
    for update in range(25, UPDATES):
        torch.nn.init.uniform_(model.weight, -update, update + 1)
        average.update()
    assert digest_of_weights(average.weights()) == whole


def test_the_average_of_another_model_is_refused_and_changes_nothing() -> None:
    average = wd.AveragedWeights(torch.nn.Linear(2, 2), decay=0.9)
    before = digest_of_weights(average.weights())
    for other in (torch.nn.Linear(2, 3), torch.nn.Linear(2, 2, bias=False)):
        with pytest.raises(StateError, match="of another model: "):
            average.load_state_dict(wd.AveragedWeights(other, decay=0.9).state_dict())
    assert digest_of_weights(average.weights()) == before


def test_an_average_is_named_by_its_rule_and_is_of_the_model_without_wrappers() -> None:
    model = torch.nn.Linear(1, 1)
    compiled = torch.nn.Module()
    compiled._orig_mod = torch.nn.DataParallel(model)  # as torch.compile keeps it
    average = wd.AveragedWeights(compiled, decay=0.5)
    assert average.model is model
    average.update()
    assert repr(average) == "AveragedWeights(Linear, decay=0.5, updates=1)"


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("0.999", (0.999, None, None)),
        ("half-life 5%", (0.0, "5%", None)),
        ("half-life 500", (0.0, 500, None)),
        ("tail 25%", (0.0, None, "25%")),
    ],
)
def test_a_text_means_a_rule(text: str, rule: Any, tmp_path: Path) -> None:
    made = AveragedWeightsCallback.of(text)
    assert ((made.decay, made.half_life, made.tail), made.path) == (rule, None)
    assert AveragedWeightsCallback.of(text, tmp_path).path == tmp_path / f"{made.name}.safetensors"
    with pytest.raises(TrainingError, match=r"no such rule\. Give 0\.999, 'half-life 5%'"):
        AveragedWeightsCallback.of(f"mean {text}")


@pytest.mark.parametrize(
    ("rule", "error", "words"),
    [
        ({}, TrainingError, r"one rule is needed\. Give one of decay="),
        ({"decay": 0.9, "tail": 5}, TrainingError, r"decay=0\.9, tail=5\): one rule"),
        ({"decay": 1.0}, TrainingError, "between 0 and 1"),
        ({"half_life": "0%"}, TrainingError, "more than nothing"),
        ({"half_life": "2ep"}, RunError, "steps_per_epoch"),
        ({"half_life": 0.5}, RunError, "a bare float is refused"),
        ({"tail": "25%"}, TrainingError, "the run's updates are not known"),
        ({"tail": 9, "run": 8}, TrainingError, r"9 updates of 8\. Give 1 to 8"),
    ],
)
def test_a_rule_that_is_none_is_refused(
    rule: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        wd.AveragedWeights(torch.nn.Linear(1, 1), **rule)


def test_a_tail_that_has_not_begun_and_an_update_inside_the_block_are_refused() -> None:
    average = wd.AveragedWeights(torch.nn.Linear(1, 1), tail=2, run=4)
    assert not average.has_begun
    with pytest.raises(TrainingError, match="the tail begins after 2 updates, and 0 were made"):
        average.weights()
    average = wd.AveragedWeights(torch.nn.Linear(1, 1), decay=0.9)
    with average.applied(), pytest.raises(TrainingError, match="in the model's place"):
        average.update()


class Follow(TrainerCallback):
    """Keeps the weights after each update."""

    def on_training_run_start(self, trainer: Trainer, **kwargs: Any) -> None:
        if trainer.progress.updates == 0:
            self.passed = [trainer.get_model()[0].weight.detach().clone()]  # type: ignore[index]

    def on_train_update_end(self, trainer: Trainer, **kwargs: Any) -> None:
        self.passed.append(trainer.get_model()[0].weight.detach().clone())  # type: ignore[index]


def averages() -> list[AveragedWeightsCallback]:
    return [AveragedWeightsCallback(**rule) for rule in RULES[:4]] + [AveragedWeightsCallback()]


PLAN = wd.Plan.of(lr=wd.warmup_cosine(), ema_decay=wd.Set(wd.Linear(start=0.5, end=0.99)))


def test_a_trainer_keeps_several_averages_and_evaluates_each_beside_the_plain_weights() -> None:
    plain = small.make()
    small.train(plain, plan=wd.warmup_cosine())
    follow, kept = Follow(), averages()
    trainer = small.make(callbacks=[follow, *kept])
    small.train(trainer, plan=PLAN)
    assert digest_of_weights(trainer.model) == digest_of_weights(plain.model)
    history = trainer.run_history
    assert history.get_metric_values("eval_loss_epoch") == (
        plain.run_history.get_metric_values("eval_loss_epoch")
    )
    names = ("ema_0.8", "half_life_5", "half_life_20pct", "tail_25pct", "ema")
    assert [one.name for one in kept] == list(names)
    evaluated = [len(history.get_metric_values(f"{one}_eval_loss_epoch")) for one in names]
    assert evaluated == [3, 3, 3, 1, 3]
    passed = torch.stack(follow.passed).double().numpy()
    for rule, one in zip(RULES[:4], kept, strict=False):
        assert one.average is not None
        expected = np.tensordot(shares(rule, 39, 39), passed, 1)
        np.testing.assert_allclose(one.average.weights()["0.weight"], expected, atol=1e-6)
    expected = passed[0]
    for update in range(39):
        decay = trainer.scheduler.value(update, "ema_decay")
        expected = decay * expected + (1 - decay) * passed[update + 1]
    assert kept[-1].average is not None
    np.testing.assert_allclose(kept[-1].average.weights()["0.weight"], expected, atol=1e-6)


def test_the_metrics_of_an_average_are_those_of_its_weights(tmp_path: Path) -> None:
    kept = AveragedWeightsCallback(decay=0.9, save_path=tmp_path / "ema.safetensors")
    trainer = small.make(callbacks=[kept])
    small.train(trainer)
    again = small.make()
    again.model.load_state_dict(read_weights(tmp_path / "ema.safetensors"))
    again.evaluate(small.Plain(16), per_device_batch_size=4)
    assert again.run_history.get_latest_metric("eval_loss_epoch") == (
        trainer.run_history.get_latest_metric("ema_0.9_eval_loss_epoch")
    )


@pytest.mark.parametrize("after", [7, 31])
def test_a_resumed_run_has_the_same_averages_bit_for_bit(after: int, tmp_path: Path) -> None:
    def digests(kept: list[AveragedWeightsCallback]) -> list[str]:
        return [digest_of_weights(one.average.weights()) for one in kept if one.average]

    whole = averages()
    trainer = small.make(tmp_path / "whole", whole)
    small.train(trainer, plan=PLAN)
    with pytest.raises(TrainingError, match="on purpose"):
        small.train(small.make(tmp_path / "cut", [*averages(), small.Stop(after)]), plan=PLAN)
    again = averages()
    resumed = small.make(tmp_path / "cut", again, seed=99)
    small.train(resumed, plan=PLAN, resume_from=tmp_path / "cut" / "checkpoints")
    assert digests(again) == digests(whole)
    assert resumed.run_history.latest_metrics() == trainer.run_history.latest_metrics()


@pytest.mark.parametrize(
    ("rule", "first"), [({"decay": 0.9}, None), ({"tail": "25%"}, 15)], ids=["decay", "tail"]
)
def test_a_run_that_is_made_longer_goes_on_with_its_average_or_has_a_later_tail(
    rule: dict[str, Any], first: int | None
) -> None:
    kept, follow = AveragedWeightsCallback(**rule), Follow()
    trainer = small.make(callbacks=[kept, follow])
    small.train(trainer, plan=wd.Constant(), max_num_train_steps=10)
    trainer.extend(20)
    assert kept.average is not None
    passed = torch.stack(follow.passed).numpy()
    expected = passed[first + 1 :].mean(0) if first else np.tensordot(shares(rule, 20), passed, 1)
    np.testing.assert_allclose(kept.average.weights()["0.weight"], expected, atol=1e-6)


def test_a_tail_whose_run_is_made_shorter_averages_what_is_left_of_it() -> None:
    model = torch.nn.Linear(1, 1, bias=False)
    long, short = (wd.AveragedWeights(model, tail="25%", run=run) for run in (200, 100))
    for _ in range(80):
        long.update()
    short.load_state_dict(long.state_dict())
    for update in range(81, 101):
        torch.nn.init.constant_(model.weight, update)
        short.update()
    assert short.weights()["weight"].item() == pytest.approx(90.5)


def test_a_trainer_refuses_two_of_one_name_and_a_plan_without_the_decay() -> None:
    twice = [AveragedWeightsCallback(0.9, name="a"), AveragedWeightsCallback(0.8, name="a")]
    with pytest.raises(TrainingError, match="two averages have this name"):
        small.train(small.make(callbacks=twice))
    with pytest.raises(TrainingError, match="the plan has no target 'ema_decay'"):
        small.train(small.make(callbacks=[AveragedWeightsCallback()]))


def test_the_command_averages_by_its_options_and_by_the_plan(tmp_path: Path) -> None:
    (tmp_path / "plan.yaml").write_text(
        "run: {total_steps: 12}\nlr: {kind: constant}\n"
        "ema_decay: {set: {kind: constant, value: 0.9}}\n"
    )
    call = ["train", str(tmp_path / "plan.yaml"), "--out", str(tmp_path / "out"), "--track", "none"]
    rules = ["--average", "half-life 5%", "--average", "tail 25%", "--json"]
    done = CliRunner().invoke(main, [*call, *rules])
    assert done.exit_code == 0, done.output
    (run,) = json.loads(done.stdout)["runs"]
    for name in ("ema", "half_life_5pct", "tail_25pct"):
        assert f"{name}_eval_loss" in run["metrics"]
        assert (tmp_path / "out" / f"{name}.safetensors").is_file()
    refused = CliRunner().invoke(main, [*call, "--average", "half 5%"])
    assert refused.exit_code == 2
    assert "no such rule. Give 0.999" in refused.output


@pytest.mark.parametrize("is_first", [True, False])
def test_an_average_is_evaluated_on_the_batches_that_the_plain_weights_are(is_first: bool) -> None:
    seen: dict[str, list[int]] = {}

    class Count(TrainerCallback):
        def on_eval_epoch_start(self, trainer: Trainer, **kwargs: Any) -> None:
            seen.setdefault(trainer.run_history.metric_name_prefix, []).append(0)

        def on_eval_step_end(
            self, trainer: Trainer, batch: Any, batch_output: Any, **kwargs: Any
        ) -> None:
            seen[trainer.run_history.metric_name_prefix][-1] += 1

    limit, average = LimitEvalStepsCallback(1), AveragedWeightsCallback(0.9)
    order = [limit, average] if is_first else [average, limit]
    steps = StepBasedEvaluationCallback(10)
    trainer = small.make(callbacks=[Count(), steps, *order])
    small.train(trainer)
    # after 10, 13, 20, 26, 30 and 39 updates; at the ends of epochs over all 4 batches
    assert seen[""] == [1, 4, 1, 4, 1, 4]
    assert trainer.run_state.eval_limit is None
    assert seen["ema_0.9_"] == seen[""]
