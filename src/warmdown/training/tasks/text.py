"""A small language model over the bytes of real text: Python's own documentation."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import TensorDataset

from warmdown.errors import TrainingError
from warmdown.training.tasks.task import Task

CONTEXT = 64
"""Bytes that the model sees at once."""
_WIDTH = 32
_TEST_SHARE = 0.1


def text_task() -> Task:
    """Return the task: guess the next byte, on text whose last tenth is kept for the test."""
    text = documentation()
    learn = int(len(text) * (1 - _TEST_SHARE))
    return Task(
        model=ByteModel(),
        loss=next_byte_loss,
        train=passages(text[:learn]),
        test=passages(text[learn:]),
        metrics={
            "bits_per_byte": lambda outputs, bytes_: (
                next_byte_loss(outputs, bytes_) / torch.log(torch.tensor(2.0))
            )
        },
        optimizer=lambda model, lr: torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.01),
        lr=3e-3,
        epochs=1,
        batch_size=16,
        description=f"the next byte of {len(text):,} bytes of Python's documentation",
    )


def documentation() -> bytes:
    """Return the text: 0.5 MB of Python's own, or the files that ``WARMDOWN_TEXT`` names.

    Debian's ``python3.11-doc`` puts the whole documentation, 10 MB, into
    ``/usr/share/doc/python3.11/html/_sources``.

    Raises:
        TrainingError: ``WARMDOWN_TEXT`` names nothing that can be read.
    """
    named = os.environ.get("WARMDOWN_TEXT")
    if named is None:
        from pydoc_data.topics import topics

        return "\n".join(topics[name] for name in sorted(topics)).encode()
    place = Path(named)
    files = sorted(place.rglob("*.txt")) if place.is_dir() else [place]
    try:
        text = b"\n".join(file.read_bytes() for file in files)
    except OSError as error:
        raise TrainingError(
            f"task('text'): WARMDOWN_TEXT={named!r} cannot be read: {error.strerror}. Name a file, "
            f"or a folder of .txt."
        ) from None
    if len(text) < 100 * CONTEXT:
        raise TrainingError(
            f"task('text'): WARMDOWN_TEXT={named!r} holds {len(text)} bytes. Name more text."
        )
    return text


def next_byte_loss(outputs: torch.Tensor, bytes_: torch.Tensor) -> torch.Tensor:
    """Return the mean cross entropy of every next byte."""
    return nn.functional.cross_entropy(outputs.flatten(0, 1), bytes_.flatten())


def passages(text: bytes, context: int = CONTEXT) -> TensorDataset:
    """Return passages that lie side by side in a text; the target is the passage one byte on.

    Args:
        text: The bytes.
        context: Bytes in a passage.
    """
    numbers = torch.frombuffer(bytearray(text), dtype=torch.uint8).long()
    end = (len(numbers) - 1) // context * context
    return TensorDataset(numbers[:end].view(-1, context), numbers[1 : end + 1].view(-1, context))


class ByteModel(nn.Module):
    """A transformer of two blocks over bytes, each a vector of 32 numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = nn.Embedding(256, _WIDTH)
        self.places = nn.Embedding(CONTEXT, _WIDTH)
        block = partial(nn.TransformerEncoderLayer, batch_first=True, norm_first=True)
        blocks = (block(_WIDTH, 2, 4 * _WIDTH, 0.0, "gelu") for _ in range(2))
        self.blocks = nn.ModuleList(blocks)
        self.norm = nn.LayerNorm(_WIDTH)
        self.guess = nn.Linear(_WIDTH, 256)
        hidden = torch.triu(torch.ones(CONTEXT, CONTEXT, dtype=torch.bool), 1)
        self.register_buffer("hidden", hidden, persistent=False)

    def forward(self, bytes_: torch.Tensor) -> torch.Tensor:
        """Return the scores of every next byte."""
        length = bytes_.shape[1]
        seen = self.bytes(bytes_) + self.places.weight[:length]
        for block in self.blocks:
            seen = block(seen, src_mask=self.hidden[:length, :length])  # type: ignore[index]
        return self.guess(self.norm(seen))  # type: ignore[no-any-return]
