"""Weights as a file and as a fingerprint."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from warmdown import StateError
from warmdown.training import digest_of_weights, read_weights, write_weights


def test_weights_come_back_bit_for_bit(tmp_path: Path) -> None:
    weights = {"a": torch.randn(3, 4), "b": torch.tensor(7), "c": torch.randn(4, 4, dtype=torch.bfloat16).t()}
    write_weights(tmp_path / "w.safetensors", weights)
    again = read_weights(tmp_path / "w.safetensors")
    assert again.keys() == weights.keys()
    assert all(torch.equal(again[name], tensor) for name, tensor in weights.items())


def test_tied_weights_are_written_once_and_come_back_under_both_names(tmp_path: Path) -> None:
    table = torch.randn(100, 100)
    write_weights(tmp_path / "w.safetensors", {"in": table, "out": table, "part": table[:5]})
    again = read_weights(tmp_path / "w.safetensors")
    assert torch.equal(again["out"], table)
    assert torch.equal(again["part"], table[:5])
    assert (tmp_path / "w.safetensors").stat().st_size < 1.2 * table.nbytes


def test_what_is_no_file_of_weights_is_refused(tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").write_bytes(b"\x08\x00\x00\x00")
    with pytest.raises(StateError, match="not a file of weights"):
        read_weights(tmp_path / "w.safetensors")


def test_the_digest_tells_every_bit_name_and_shape() -> None:
    weights = {"a": torch.zeros(2, 3), "b": torch.ones(1)}
    digest = digest_of_weights(weights)
    assert digest == digest_of_weights(dict(reversed(weights.items())))
    assert digest != digest_of_weights({**weights, "a": torch.zeros(3, 2)})
    assert digest != digest_of_weights({**weights, "a": -torch.zeros(2, 3)})
    assert digest != digest_of_weights({"a": weights["a"], "c": weights["b"]})
    model = torch.nn.Linear(2, 2)
    assert digest_of_weights(model) == digest_of_weights(model.state_dict())
