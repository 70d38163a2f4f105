"""Networks that read texts: trained, resumed, packed; the vocabulary stays with the run."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from bare import bare, same_training

import weft
from weft.runtime import checkpoint
from weft.runtime.data import vocabulary
from weft.runtime.package import write_package
from weft.runtime.predict import evaluate

SPEC = """
param entries=256, vocabulary="bytes"
net reader {
  in tokens: i32[B, T]
  tokens -> embedding(entries, 16) -> gru(32) -> linear(entries)
}
train {
  steps = 30
  eval_every = 15
  data tokens, next = text("poems", length=12, batch=4, split=0.75, vocabulary=vocabulary, size=280)
  step main updates reader {
    optimizer = adam(lr=1e-2)
    logits = tokens -> reader
    loss = cross_entropy(logits, next)
    metric bits = bits(logits, next)
    metric perplexity = perplexity(logits, next)
  }
}
"""
SORTER = """
net sorter {
  in source: i32[B, S], target: i32[B, T], mask: bool[B, S]
  let table = embedding(10, 16)
  memory = table(source)
  table(target) -> attention(2, memory=memory, mask=mask) -> linear(10)
}
train {
  steps = 20
  data source, target, next, mask = sequences(task=sort, length=[2, 5], symbols=8, samples=400)
  step main updates sorter {
    optimizer = adam(lr=1e-2)
    logits = sorter(source, target, mask)
    loss = cross_entropy(logits, next)
    metric right = accuracy(logits, next, ignore=-100)
  }
}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A spec beside some poems."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "net.weft").write_text(SPEC)
    (tmp_path / "poems").mkdir()
    for number in range(8):
        verse = f"Verse {number}: the shuttle flies, the loom is old.\n"
        (tmp_path / "poems" / f"{number}.txt").write_text(verse * 12)
    return tmp_path


def program(folder: Path, **params: Any) -> Any:
    return weft.compile(weft.load(folder / "net.weft", params=params), target="cpu")


@pytest.mark.parametrize("kind", ["bytes", "bpe", "words"])
def test_a_run_keeps_its_vocabulary(
    folder: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was interrupted ends as what was not, bit by bit, and learns no vocabulary again."""
    if kind == "bpe":
        pytest.importorskip("tokenizers")
    params = {"vocabulary": kind, "entries": 256 if kind == "bytes" else 280}
    whole = program(folder, **params).train(folder / "whole", progress="quiet")
    program(folder, **params).train(folder / "parts", progress="quiet", steps=17)
    kept = vocabulary.read(folder / "parts" / "vocabulary.json")
    assert kept.kind == kind
    monkeypatch.setattr(vocabulary, "trained", None)
    monkeypatch.setattr("weft.runtime.data.encoded.learnt", None)
    again = program(folder, **params).train(folder / "parts", progress="quiet", resume=True)
    states = [checkpoint.load(record.paths["last"]) for record in (whole, again)]
    assert states[0].tensors.keys() == states[1].tensors.keys()
    for name, array in states[0].tensors.items():
        assert (array == states[1].tensors[name]).all(), name
    assert vocabulary.in_state(states[1].state) == kept
    test = whole.metrics["test"]
    assert test["bits"] == pytest.approx(test["loss"] / 0.693147, rel=1e-5)
    assert test["bits"] < 7
    for part in whole.metrics.values():  # of all batches together, no mean of those of batches
        assert part["perplexity"] == pytest.approx(math.exp(part["loss"]), rel=1e-5)
    columns = (folder / "whole" / "metrics.csv").read_text().splitlines()[0]
    assert ("bits_per_byte" in columns) == (kind == "bpe")
    if kind == "bpe":
        (data,) = states[0].state["data"]
        (train, held_out) = data["bytes"]["next"]
        assert 1 < train < 10
        assert test["bits_per_byte"] == pytest.approx(test["bits"] / held_out)
        (found,) = evaluated(folder, params)
        assert found == pytest.approx(test["bits_per_byte"])


def evaluated(folder: Path, params: dict[str, Any]) -> list[float]:
    """What `weft eval` says of the last checkpoint."""
    compiled = program(folder, **params)
    path = folder / "whole" / "checkpoints" / "last.safetensors"
    found = evaluate(compiled.engine, compiled.artifact, root=folder, checkpoint=path)
    return [value for name, value in found.items() if name.endswith("_per_byte")]


@pytest.mark.parametrize("bundle", [False, True])
def test_a_package_trains_on_texts_without_weft(folder: Path, bundle: bool) -> None:
    """To the same bits; where it is asked to, it takes the texts with it."""
    compiled = program(folder)
    package = write_package(compiled.artifact, folder / "p", root=folder, bundle=bundle)
    assert (package / "data").exists() == bundle
    compiled.train(folder / "ours", progress="quiet")
    if bundle:
        (folder / "poems").rename(folder / "elsewhere")
    done = bare(package / "train.py", "--out", folder / "theirs", "--quiet", cwd=folder)
    assert done.returncode == 0, done.stderr
    same_training(folder / "ours", folder / "theirs")
    assert vocabulary.read(folder / "theirs" / "vocabulary.json").kind == "bytes"


def test_byte_pairs_travel_with_a_package(folder: Path) -> None:
    """Whoever trains it needs no tokenizers."""
    pytest.importorskip("tokenizers")
    compiled = program(folder, vocabulary="bpe", entries=280)
    package = write_package(compiled.artifact, folder / "p", root=folder)
    assert (package / "data" / "tokens_next.npz").is_file()
    compiled.train(folder / "ours", progress="quiet")
    (folder / "poems").rename(folder / "elsewhere")
    done = bare(package / "train.py", "--out", folder / "theirs", "--quiet", cwd=folder)
    assert done.returncode == 0, done.stderr
    same_training(folder / "ours", folder / "theirs")


def test_a_task_with_masks(tmp_path: Path) -> None:
    (tmp_path / "net.weft").write_text(SORTER)
    record = program(tmp_path).train(tmp_path / "run", progress="quiet")
    assert 0.2 < record.metrics["test"]["right"] <= 1
    assert not (tmp_path / "run" / "vocabulary.json").exists()
