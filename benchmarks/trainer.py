"""What does a trainer cost for one update, over a raw accelerate loop that does the same work?

Each contender trains the same small network on the same data with the same schedule; progress is
switched off or quiet, as in a job. Timed is from the second batch's loss to the last one's, so that
nobody's set-up counts, in seconds of the processor: a trainer's overhead is work, and other
programs on the machine are not to be measured with it.
"""

from __future__ import annotations

import contextlib
import io
import logging
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch
from benchmarks.harness import Peers, Table, race
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import warmdown as wd

SAMPLES, BATCH, EPOCHS = 6400, 32, 2
UPDATES = SAMPLES // BATCH * EPOCHS
BASE = "raw accelerate loop"


class Clock:
    """A loss that notes when it is asked."""

    def __init__(self) -> None:
        self.begun = self.ended = 0.0
        self.calls = 0

    def __call__(self, outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the loss."""
        self.calls += 1
        self.ended = time.process_time()
        if self.calls == 2:
            self.begun = self.ended
        return nn.functional.cross_entropy(outputs, target)

    @property
    def per_update(self) -> float:
        """Seconds of the processor for one update."""
        assert self.calls == UPDATES, self.calls
        return (self.ended - self.begun) / (self.calls - 2)


def network() -> nn.Module:
    """Return the model: a few hundred microseconds for an update, so that overhead shows."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))


DATA = TensorDataset(torch.randn(SAMPLES, 64), torch.randint(0, 10, (SAMPLES,)))


def loader() -> DataLoader[Any]:
    """Return the batches, shuffled."""
    return DataLoader(DATA, batch_size=BATCH, shuffle=True)


def raw_torch(clock: Clock) -> None:
    """Train by hand."""
    model = network()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, UPDATES)
    for _ in range(EPOCHS):
        for inputs, target in loader():
            loss = clock(model(inputs), target)
            loss.backward()
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()


def raw_accelerate(clock: Clock) -> None:
    """Train by hand on accelerate."""
    from accelerate import Accelerator

    accelerator = Accelerator()
    model = network()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, UPDATES)
    model, optimizer, batches, scheduler = accelerator.prepare(
        model, optimizer, loader(), scheduler
    )
    for _ in range(EPOCHS):
        total = 0.0
        for inputs, target in batches:
            with accelerator.accumulate(model):
                loss = clock(model(inputs), target)
                accelerator.backward(loss)
                optimizer.step()
                scheduler.step()
                optimizer.zero_grad()
            total += loss.item()


def warmdown_trainer(clock: Clock) -> None:
    """Train with our trainer and its default callbacks."""
    from warmdown.training import Trainer

    model = network()
    trainer = Trainer(model, clock, torch.optim.AdamW(model.parameters(), lr=1e-3))
    trainer.train(DATA, EPOCHS, per_device_batch_size=BATCH, plan=wd.Cosine())


def warmdown_recorded(clock: Clock) -> None:
    """Train with a record of every update besides."""
    from warmdown.training import DEFAULT_CALLBACKS, RecordCallback, Trainer

    model = network()
    with tempfile.TemporaryDirectory() as folder:
        callbacks = [*DEFAULT_CALLBACKS, RecordCallback(f"{folder}/record.jsonl")]
        trainer = Trainer(model, clock, torch.optim.AdamW(model.parameters(), lr=1e-3), callbacks)
        trainer.train(DATA, EPOCHS, per_device_batch_size=BATCH, plan=wd.Cosine())


def pytorch_accelerated() -> Callable[[Clock], None]:
    """Train with pytorch-accelerated's trainer and its default callbacks, without its bar."""
    from functools import partial

    from pytorch_accelerated import Trainer
    from pytorch_accelerated.callbacks import get_default_callbacks

    def run(clock: Clock) -> None:
        model = network()
        trainer = Trainer(model, clock, torch.optim.AdamW(model.parameters(), lr=1e-3),
                          callbacks=get_default_callbacks(progress_bar=False))  # fmt: skip
        trainer.train(
            DATA, EPOCHS, per_device_batch_size=BATCH, train_dataloader_kwargs={"num_workers": 0},
            create_scheduler_fn=partial(torch.optim.lr_scheduler.CosineAnnealingLR, T_max=UPDATES),
        )  # fmt: skip

    return run


def lightning() -> Callable[[Clock], None]:
    """Train with Lightning, bar, logger and checkpoints off."""
    import lightning as li

    class Module(li.LightningModule):
        def __init__(self, clock: Clock) -> None:
            super().__init__()
            self.model, self.clock = network(), clock

        def training_step(self, batch: Any, index: int) -> torch.Tensor:
            return self.clock(self.model(batch[0]), batch[1])

        def configure_optimizers(self) -> Any:
            optimizer = torch.optim.AdamW(self.parameters(), lr=1e-3)
            scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, UPDATES)
            return [optimizer], [{"scheduler": scheduler, "interval": "step"}]

    for name in ("lightning.pytorch.utilities.rank_zero", "lightning.pytorch.accelerators.cuda"):
        logging.getLogger(name).setLevel(logging.ERROR)

    def run(clock: Clock) -> None:
        trainer = li.Trainer(
            max_epochs=EPOCHS, accelerator="cpu", logger=False, enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )  # fmt: skip
        trainer.fit(Module(clock), loader())

    return run


def transformers() -> Callable[[Clock], None]:
    """Train with transformers' trainer, reports, bar and checkpoints off."""
    from transformers import Trainer, TrainingArguments

    class Model(nn.Module):
        def __init__(self, clock: Clock) -> None:
            super().__init__()
            self.model, self.clock = network(), clock

        def forward(self, inputs: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
            outputs = self.model(inputs)
            return {"loss": self.clock(outputs, labels), "logits": outputs}

    def collated(pairs: list[Any]) -> dict[str, torch.Tensor]:
        return {
            "inputs": torch.stack([pair[0] for pair in pairs]),
            "labels": torch.stack([pair[1] for pair in pairs]),
        }

    def run(clock: Clock) -> None:
        with tempfile.TemporaryDirectory() as folder:
            told = TrainingArguments(
                folder, num_train_epochs=EPOCHS, per_device_train_batch_size=BATCH, report_to=[],
                save_strategy="no",
                logging_strategy="no", disable_tqdm=True, lr_scheduler_type="cosine", use_cpu=True,
                max_grad_norm=0.0,
            )  # fmt: skip
            Trainer(Model(clock), told, train_dataset=DATA, data_collator=collated).train()

    return run


def ignite() -> Callable[[Clock], None]:
    """Train with ignite's engine and a scheduler at each iteration."""
    from ignite.engine import Engine, Events

    def run(clock: Clock) -> None:
        model = network()
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, UPDATES)

        def update(engine: Any, batch: Any) -> float:
            loss = clock(model(batch[0]), batch[1])
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            return loss.item()

        engine = Engine(update)
        engine.add_event_handler(Events.ITERATION_COMPLETED, lambda: scheduler.step())
        engine.run(loader(), max_epochs=EPOCHS)

    return run


def timed(train: Callable[[Clock], None], seen: list[float]) -> Callable[[], None]:
    """Return a call that trains once and notes the seconds of an update."""

    def call() -> None:
        clock = Clock()
        with quiet():
            train(clock)
        seen.append(clock.per_update)

    return call


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Let nobody speak."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


def main() -> None:
    """Race them."""
    contenders: dict[str, Callable[[], Callable[[Clock], None]]] = {
        BASE: lambda: raw_accelerate,
        "raw torch loop": lambda: raw_torch,
        "warmdown Trainer": lambda: warmdown_trainer,
        "warmdown Trainer with a record": lambda: warmdown_recorded,
        "pytorch-accelerated": pytorch_accelerated,
        "Lightning": lightning,
        "transformers": transformers,
        "ignite": ignite,
    }
    peers, seen = Peers(), {name: [] for name in contenders}
    for name, build in contenders.items():
        peers.add(name, lambda name=name, build=build: timed(build(), seen[name]))
    race(peers.found, rounds=9)
    table = Table(
        "trainer",
        "One update of a trainer over a raw accelerate loop, in time of the processor",
        ("contender", "us", "x raw loop"),
    )
    for name in peers.found:
        ratio = statistics.median(
            mine / base for mine, base in zip(seen[name], seen[BASE], strict=True)
        )
        table.add(name, f"{statistics.median(seen[name]) * 1e6:,.0f}", f"{ratio:.2f}")
        table.figures[name] = {"us": statistics.median(seen[name]) * 1e6, "ratio": ratio}
    table.publish(peers.skipped)


if __name__ == "__main__":
    main()
