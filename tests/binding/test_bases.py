"""A base value is what a person gave, never what a schedule wrote, whoever binds the group next."""

from __future__ import annotations

import copy
import gc
import pickle
import warnings
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from tests.binding.loops import each_rate, model, sgd, train, warns

import warmdown as wd

LINE = wd.Linear(steps=100)
RUN = wd.Run(total_steps=100)


def adam(*rates: float, tensors: bool = False, dtype: Any = torch.float32) -> torch.optim.Optimizer:
    """Return an optimizer with one group for each rate."""
    numbers: list[Any] = [torch.tensor(rate, dtype=dtype) if tensors else rate for rate in rates]
    return torch.optim.AdamW(
        [{"params": [torch.nn.Parameter(torch.ones(2))], "lr": number} for number in numbers],
        weight_decay=0.05,
    )


def trained(optimizer: torch.optim.Optimizer, updates: int = 50, **targets: Any) -> wd.Scheduler:
    scheduler = wd.Scheduler(optimizer, **(targets or {"lr": LINE}), run=RUN)
    train(optimizer, scheduler, updates)
    return scheduler


def test_a_cell_that_is_run_again_and_again_keeps_the_base() -> None:
    optimizer = sgd(1e-3)
    for _ in range(4):
        scheduler = wd.Scheduler(optimizer, lr=wd.warmup_cosine(warmup=10, start=0.01), run=RUN)
        assert scheduler.base_lrs == [1e-3]
    assert each_rate(optimizer) == [1e-5]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, None])
@pytest.mark.parametrize("first_one", ["alive", "deleted"])
@pytest.mark.parametrize("updates", [0, 37, 99, 100])
def test_a_second_scheduler_takes_the_base_of_the_first(
    updates: int, first_one: str, dtype: Any
) -> None:
    optimizer = adam(0.5, 0.25, tensors=dtype is not None, dtype=dtype)
    fields: Any = {"lr": LINE, "weight_decay": LINE, "betas[1]": wd.Linear(end=0.9)}
    first: Any = trained(optimizer, updates, **fields)
    expected = first.writer.bases()
    if first_one == "deleted":
        del first
    second = wd.Scheduler(optimizer, **fields, run=RUN)
    assert second.writer.bases() == pytest.approx(expected, rel=1e-6)
    assert [group["initial_lr"] for group in optimizer.param_groups] == [0.5, 0.25]
    if first_one == "deleted":
        train(optimizer, second, 3)


def test_a_value_that_was_set_and_not_scaled_is_no_base_of_a_scale_either() -> None:
    optimizer = adam(0.1)
    trained(optimizer, 40, weight_decay=wd.Set(wd.Linear(start=0.1, end=0.4)))
    second = wd.Scheduler(optimizer, weight_decay=LINE, run=RUN)
    assert second.writer.bases() == {"weight_decay/0": 0.05}


def test_a_finished_one_cycle_may_be_followed_by_another() -> None:
    optimizer = sgd(0.4, momentum=0.9)
    cycle: Any = wd.one_cycle()
    for _ in range(3):
        scheduler = wd.Scheduler(optimizer, **cycle, run=RUN)
        assert scheduler.base_lrs == [0.4]
        train(optimizer, scheduler, 100)


@pytest.mark.parametrize("is_alive", [False, True])
def test_a_rate_set_in_between_is_the_new_base_and_both_are_shown(is_alive: bool) -> None:
    optimizer = sgd(0.5, 0.25)
    first: Any = trained(optimizer, 50)
    if not is_alive:
        del first
    optimizer.param_groups[1]["lr"] = 0.01
    with warns(wd.BaseDiffers, "lr/1): it holds 0.01, and a schedule wrote 0.125 there"):
        second = wd.Scheduler(optimizer, lr=LINE, run=RUN)
    assert second.base_lrs == [0.5, 0.01]
    assert [group["initial_lr"] for group in optimizer.param_groups] == [0.5, 0.01]


def test_a_rate_set_on_a_loaded_optimizer_is_the_new_base() -> None:
    saved = sgd(0.5)
    scheduler = trained(saved)
    optimizer = sgd(0.5)
    optimizer.load_state_dict(saved.state_dict())
    optimizer.param_groups[0]["lr"] = 0.01
    with warns(wd.BaseDiffers, "it holds 0.01, and a schedule wrote 0.25 there"):
        assert wd.Scheduler(optimizer, lr=LINE, run=RUN).base_lrs == [0.01]
    del scheduler


def test_an_older_scheduler_that_goes_leaves_nothing_where_another_drives() -> None:
    optimizer = sgd(0.5)
    first: Any = wd.Scheduler(optimizer, lr=LINE)
    second = wd.Scheduler(optimizer, lr=LINE)
    del first
    train(optimizer, second, 30)
    assert "scheduled_lr" not in optimizer.param_groups[0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert wd.Scheduler(copy.deepcopy(optimizer), lr=LINE).base_lrs == [0.5]


def test_a_scheduler_that_could_not_be_made_leaves_no_trace_of_a_value() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)

    def refuse(value: float) -> None:
        raise OSError

    with pytest.raises(OSError):
        wd.Scheduler(optimizer, kl=wd.Cosine(steps=4), lr=wd.Cosine(steps=4), bind={"kl": refuse})
    assert optimizer.param_groups[0]["lr"] == 0.1
    assert wd.Scheduler(optimizer, lr=wd.Cosine(steps=4)).base_lrs == [0.1]


class _Model:
    kl = 0.5


@pytest.mark.parametrize("is_alive", [True, False])
@pytest.mark.parametrize("is_scaled_first", [True, False])
def test_a_value_that_a_schedule_wrote_on_an_object_is_no_base(
    is_alive: bool, is_scaled_first: bool
) -> None:
    model, kept = _Model(), []
    for turn in range(3):
        curve = wd.Linear(start=1.0, end=0.0, steps=4)
        rule = wd.Scale(curve) if turn or is_scaled_first else wd.Set(curve)
        scheduler = wd.Scheduler((), kl=rule, bind={"kl": wd.Attribute(model, "kl")})
        assert model.kl == (0.5 if isinstance(rule, wd.Scale) else 1.0)
        scheduler.seek(2)
        assert model.kl == (0.25 if isinstance(rule, wd.Scale) else 0.5)
        kept.append(scheduler)
        if not is_alive:
            kept.clear()
    model.kl = 4.0
    with pytest.warns(wd.BaseDiffers, match="4"):
        wd.Scheduler((), kl=wd.Cosine(steps=4), bind={"kl": wd.Attribute(model, "kl")})
    call = wd.Call(lambda value: None, base=8.0)
    for _ in range(2):
        scheduler = wd.Scheduler((), kl=wd.Linear(steps=4), bind={"kl": call})
        scheduler.seek(2)
        assert call.read() == [4.0]


def test_an_object_that_was_driven_is_not_kept_alive() -> None:
    model = _Model()
    wd.Scheduler((), kl=wd.Cosine(steps=4), bind={"kl": wd.Attribute(model, "kl")})
    reference = weakref.ref(model)
    del model
    gc.collect()
    assert reference() is None


def test_schedulers_of_different_fields_of_one_optimizer_do_not_meet() -> None:
    optimizer = adam(0.5)
    rates = wd.Scheduler(optimizer, lr=LINE)
    for _ in range(20):
        optimizer.step()
        rates.step()
    decays = wd.Scheduler(optimizer, weight_decay=LINE)
    for _ in range(20):
        optimizer.step()
        rates.step()
        decays.step()
    third = wd.Scheduler(optimizer, lr=LINE, weight_decay=LINE)
    assert third.writer.bases() == {"lr/0": 0.5, "weight_decay/0": 0.05}


@pytest.mark.parametrize("theirs", [torch.optim.lr_scheduler.LinearLR, "after ours"])
def test_what_a_scheduler_of_torch_wrote_is_no_base_and_its_initial_lr_stays(theirs: Any) -> None:
    optimizer = sgd(0.5)
    if theirs == "after ours":
        trained(optimizer)
    other = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.9)
    for _ in range(5):
        optimizer.step()
        other.step()
    scheduler = wd.Scheduler(optimizer, lr=LINE)
    assert scheduler.base_lrs == [0.5]
    assert optimizer.param_groups[0]["initial_lr"] == 0.5
    optimizer.step()
    with warns(wd.BaseDiffers, "the group keeps 0.5 as its base"):
        scheduler.step()


@pytest.mark.parametrize(
    "twin", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))], ids=["copied", "pickled"]
)
def test_a_copy_of_the_optimizer_alone_keeps_the_base(twin: Callable[[Any], Any]) -> None:
    optimizer = adam(0.5, 0.25)
    scheduler = trained(optimizer)
    assert wd.Scheduler(twin(optimizer), lr=LINE).base_lrs == [0.5, 0.25]
    by_number = wd.Scheduler(twin(optimizer), lr=LINE)
    by_number.seek(50)
    assert by_number.get_last_lr() == scheduler.get_last_lr() == [0.25, 0.125]
    train(by_number.optimizer, by_number, 1)  # and is sure of it


def resumed(
    order: str, rates: tuple[float, ...], policy: Any, *, compact: bool = False
) -> wd.Scheduler:
    """Return a run of rates 0.1 and 0.4, resumed half-way with other rates."""
    before = adam(0.1, 0.4)
    scheduler = trained(before)
    after = adam(*rates)
    again = wd.Scheduler(after, lr=LINE, run=RUN)
    loads: dict[str, Callable[[], object]] = {
        "o": lambda: after.load_state_dict(copy.deepcopy(before.state_dict())),
        "s": lambda: again.load_state_dict(scheduler.state_dict(plan=not compact), policy),
    }
    for one in order:
        loads[one]()
    return again


@pytest.mark.parametrize("order", ["os", "so", "oos", "oso"])
@pytest.mark.parametrize("rates", [(0.2, 0.4), (0.05, 0.4), (0.2, 0.8)])
def test_a_rate_given_on_resume_counts_in_every_order(order: str, rates: tuple[float, ...]) -> None:
    given = resumed(order, rates, "given")
    assert given.base_lrs == list(rates)
    assert each_rate(given.optimizer) == [rate / 2 for rate in rates]
    for policy in ("saved", "continue", "stretch"):
        kept = resumed(order, rates, policy)
        assert kept.base_lrs == [0.1, 0.4]
        assert each_rate(kept.optimizer) == [0.05, 0.2]
    with pytest.raises(wd.StateError, match=rf"lr/0: 0.1 \(saved\), {rates[0]} \(given\)"):
        resumed(order, rates, "error")


@pytest.mark.parametrize("order", ["os", "so"])
def test_a_compact_state_goes_on_with_the_rates_that_were_given(order: str) -> None:
    assert resumed(order, (0.2, 0.4), "error", compact=True).base_lrs == [0.2, 0.4]


def without_bases(before: torch.optim.Optimizer, after: torch.optim.Optimizer) -> None:
    """Load as torch's distributed checkpoints do: by the entries that the new groups have."""
    saved = before.state_dict()
    for group, known in zip(saved["param_groups"], after.param_groups, strict=True):
        for key in group.keys() - known.keys():
            del group[key]
    after.load_state_dict(saved)


@pytest.mark.parametrize("resume", ["seek", "compact", "whole"])
def test_a_checkpoint_that_lost_its_base_values_decays_once(resume: str) -> None:
    from torch.distributed.checkpoint.state_dict import (
        StateDictOptions,
        get_optimizer_state_dict,
        set_optimizer_state_dict,
    )

    net, again = model(), model()
    before, after = (torch.optim.AdamW(one.parameters(), lr=0.1) for one in (net, again))
    scheduler = trained(before)
    flat = StateDictOptions(flatten_optimizer_state_dict=True)
    before.zero_grad()
    saved = get_optimizer_state_dict(net, before, options=flat)
    set_optimizer_state_dict(again, after, saved, options=flat)
    assert "initial_lr" not in after.param_groups[0]
    other = wd.Scheduler(after, lr=LINE, run=RUN)
    if resume == "seek":
        other.seek(50)
    else:
        other.load_state_dict(scheduler.state_dict(plan=resume == "whole"))
    assert other.base_lrs == [0.1]
    assert each_rate(after) == [0.05]


def test_where_the_base_of_a_trained_group_is_unknown_a_seek_is_refused() -> None:
    before = adam(0.1, 0.4)
    trained(before)
    after = adam(0.1, 0.4)
    without_bases(before, after)
    scheduler = wd.Scheduler(after, lr=LINE, run=RUN)
    with pytest.raises(wd.StateError, match=r"lr/0=0.05\): the optimizer was trained before"):
        scheduler.seek(50)
    for group, base in zip(after.param_groups, (0.1, 0.4), strict=True):
        group["initial_lr"] = base
    again = wd.Scheduler(after, lr=LINE, run=RUN)
    again.seek(50)
    assert each_rate(after) == [0.05, 0.2]


def test_one_group_that_has_decayed_from_the_default_speaks_for_the_others() -> None:
    def made() -> torch.optim.Optimizer:
        parts = [{"params": [torch.nn.Parameter(torch.ones(2))]} for _ in range(2)]
        parts[1]["lr"] = 0.4  # type: ignore[assignment]
        return torch.optim.AdamW(parts, lr=0.1)

    before, after = made(), made()
    trained(before)
    without_bases(before, after)
    scheduler = wd.Scheduler(after, lr=LINE, run=RUN)
    scheduler.seek(50)
    assert scheduler.base_lrs == pytest.approx([0.1, 0.4])


def test_a_fresh_scheduler_asks_an_older_flat_checkpoint_for_nothing_new() -> None:
    optimizer = adam(0.1)
    scheduler = wd.Scheduler(
        optimizer, lr=LINE, weight_decay=wd.Set(wd.Linear(start=0.1, end=0.4)), run=RUN
    )
    added = optimizer.state_dict()["param_groups"][0].keys() - adam(0.1).param_groups[0].keys()
    assert added == {"initial_lr"}
    train(optimizer, scheduler, 1)
    saved = optimizer.state_dict()["param_groups"][0]
    assert (saved["scheduled_lr"], saved["initial_lr"]) == (0.1 * LINE(1), 0.1)
    assert saved["initial_weight_decay"] == 0.05
    assert "scheduled_lr" not in optimizer.param_groups[0]


def test_layers_scaled_as_timm_scales_them_have_the_rates_that_timm_gives() -> None:
    optimizer = adam(1.0, 1.0)
    optimizer.param_groups[0]["lr_scale"] = 0.25
    schedule = wd.Scale(wd.Linear(steps=100), offset=wd.Linear(start=0.0, end=0.1, steps=100))
    scheduler = wd.Scheduler(optimizer, lr=schedule, weight_decay=LINE, run=RUN)
    train(optimizer, scheduler, 50)
    assert each_rate(optimizer) == pytest.approx([0.25 * 0.55, 0.55])
    assert scheduler.value(50) == pytest.approx(0.25 * 0.55)
    assert optimizer.param_groups[0]["weight_decay"] == pytest.approx(0.025)
    del scheduler
    assert wd.Scheduler(optimizer, lr=schedule, run=RUN).base_lrs == [1.0, 1.0]


def test_layers_that_share_a_tensor_are_parted_by_their_scale() -> None:
    parts = [{"params": [torch.nn.Parameter(torch.ones(1))], "lr_scale": scale} for scale in (1, 2)]
    optimizer = torch.optim.Adam(parts, lr=torch.tensor(0.5))
    wd.Scheduler(optimizer, lr=LINE)
    assert each_rate(optimizer) == [0.5, 1.0]


class Finetuning:
    """What Lightning's ``BaseFinetuning`` keeps: the groups that it has seen, by optimizer."""

    def __init__(self) -> None:
        self.seen: dict[int, list[Any]] = {}

    def unfreeze_and_add_param_group(self, optimizer: Any, place: int, rate: float) -> None:
        optimizer.add_param_group({"params": [torch.nn.Parameter(torch.ones(2))], "lr": rate})
        self.seen[place] = [*optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        return {"internal_optimizer_metadata": self.seen} if self.seen else {}


class LightningTrainer:
    """A trainer as far as it is looked for among the callers: its class, optimizers, callbacks."""

    __module__ = "lightning.pytorch.trainer.trainer"

    def __init__(self, optimizers: list[Any], callbacks: list[Any]) -> None:
        self.optimizers, self.callbacks = optimizers, callbacks

    def fit(self, scheduler: wd.Scheduler, updates: int) -> None:
        train(self.optimizers[-1], scheduler, updates)


@pytest.mark.parametrize("place", [1, 0])
def test_only_a_group_that_a_finetuning_callback_has_added_joins_at_its_present_rate(
    place: int,
) -> None:
    optimizer, unfreezing = sgd(0.1), Finetuning()
    scheduler = wd.Scheduler(optimizer, lr=wd.Linear(start=1.0, end=0.0, steps=8))
    trainer = LightningTrainer([sgd(), optimizer], [object(), Finetuning(), unfreezing])
    trainer.fit(scheduler, 4)
    unfreezing.unfreeze_and_add_param_group(optimizer, place, 0.02)
    trainer.fit(scheduler, 2)
    optimizer.add_param_group({"params": [torch.nn.Parameter(torch.ones(2))], "lr": 0.1})
    trainer.fit(scheduler, 1)
    # at 0.02 it was half way: of what another optimizer's groups are, the rate is the base
    joined = 0.02 / 4 if place == 1 else 0.02 / 8
    assert each_rate(optimizer) == pytest.approx([0.1 / 8, joined, 0.1 / 8])


@pytest.mark.slow  # its import alone takes seconds
@pytest.mark.parametrize("rate", [None, 0.02])
def test_a_group_that_lightning_unfreezes_joins_at_the_rate_it_comes_with(rate: Any) -> None:
    lightning = pytest.importorskip("lightning.pytorch")
    callbacks = pytest.importorskip("lightning.pytorch.callbacks")

    class Net(lightning.LightningModule):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.backbone, self.head = torch.nn.Linear(2, 2), torch.nn.Linear(2, 1)
            self.seen: list[list[float]] = []

        def training_step(self, batch: Any, _: int) -> Any:
            if self.trainer.global_step == 6:  # one of a person's own has its own base
                extra = torch.nn.Parameter(torch.ones(1))
                self.optimizers().optimizer.add_param_group({"params": [extra], "lr": 0.1})
            self.seen.append([float(one["lr"]) for one in self.optimizers().param_groups])
            return self.head(self.backbone(batch[0])).square().mean()

        def configure_optimizers(self) -> Any:
            optimizer = torch.optim.SGD(self.head.parameters(), lr=0.1)
            scheduler = wd.Scheduler(optimizer, lr=wd.Linear(steps=8))
            return [optimizer], [{"scheduler": scheduler, "interval": "step"}]

    class Unfreeze(callbacks.BaseFinetuning):  # type: ignore[misc, name-defined]
        def freeze_before_training(self, module: Any) -> None:
            self.freeze(module.backbone)

        def finetune_function(self, module: Any, epoch: int, optimizer: Any) -> None:
            if epoch == 2:
                self.unfreeze_and_add_param_group(module.backbone, optimizer, lr=rate)

    net = Net()
    rows = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.ones(2, 2)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lightning.Trainer(
            max_epochs=4, callbacks=[Unfreeze()], logger=False, enable_checkpointing=False,
            accelerator="cpu", enable_progress_bar=False, enable_model_summary=False,
        ).fit(net, rows)  # fmt: skip
    joined = rate or 0.005
    assert net.seen[4] == pytest.approx([0.05, joined])
    assert net.seen[7] == pytest.approx([0.0125, joined / 4, 0.0125])
