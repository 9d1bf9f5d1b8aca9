"""Weights as a file and as a fingerprint."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from tests.training import small

from warmdown import StateError
from warmdown.training import digest_of_weights, read_weights, write_weights
from warmdown.training.checkpoint import write_folder
from warmdown.training.weights import read_pickled


def test_weights_come_back_bit_for_bit(tmp_path: Path) -> None:
    weights = {
        "a": torch.randn(3, 4),
        "b": torch.tensor(7),
        "c": torch.randn(4, 4, dtype=torch.bfloat16).t(),
    }
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
    assert digest_of_weights({**weights, "name": "x"}) == digest  # type: ignore[dict-item]


@pytest.mark.parametrize("same", ["[1]", "5", '{"b": "none"}', '{"b": ["a"]}', "{", "[" * 100_000])
def test_other_names_that_lead_nowhere_are_refused(tmp_path: Path, same: str) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "w.safetensors", metadata={"same_as": same})
    with pytest.raises(StateError, match="not a file of weights"):
        read_weights(tmp_path / "w.safetensors")


class Attack:
    """An object that makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize(
    "write", [torch.save, lambda content, path: path.write_bytes(pickle.dumps(content, 2))]
)
def test_a_file_that_would_run_code_is_refused_without_a_hint_at_how_to_run_it(
    tmp_path: Path, write: Any
) -> None:
    write({"model_state_dict": {}, "more": Attack(tmp_path / "taken")}, tmp_path / "model.pt")
    with pytest.raises(StateError, match="damaged, or holds more than tensors") as told:
        read_pickled(tmp_path / "model.pt")
    assert "weights_only" not in str(told.value)
    assert not (tmp_path / "taken").exists()


@pytest.mark.parametrize(
    "content",
    [b"", b"\x80\x02h", b"\x80\x02J\x00", b"\x80\x02]q\x00.", b"PK\x03\x04", b"\x80\x02.", b"0"],
)
def test_what_is_damaged_is_refused_whatever_is_wrong_with_it(
    tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "model.pt").write_bytes(content)
    with pytest.raises(StateError, match=r"Give another one\.$"):
        read_pickled(tmp_path / "model.pt")


@pytest.mark.parametrize("name", ["extras.pt", "optimizer.pt"])
def test_a_checkpoint_that_would_run_code_is_refused_and_nothing_of_it_is_loaded(
    tmp_path: Path, name: str
) -> None:
    trainer = small.make(model=small.linear)
    small.train(trainer, plan=None, max_num_train_steps=2)
    trainer.save_training_state(tmp_path / "good")
    contents = {
        file.name: file.read_bytes()
        for file in (tmp_path / "good").iterdir()
        if file.name != "manifest.json"
    }
    torch.save(Attack(tmp_path / "taken"), tmp_path / "evil")
    contents[name] = (tmp_path / "evil").read_bytes()

    def writer(content: bytes) -> Any:
        return lambda path: path.write_bytes(content)

    write_folder(
        tmp_path / "update-9", {file: writer(content) for file, content in contents.items()}
    )
    other = small.make(model=small.linear)
    small.train(other, plan=None, max_num_train_steps=1)
    before = digest_of_weights(other.model)
    with pytest.raises(StateError, match="damaged, or holds more than tensors"):
        other.load_training_state(tmp_path / "update-9")
    assert digest_of_weights(other.model) == before
    assert not (tmp_path / "taken").exists()
