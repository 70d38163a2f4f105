"""Networks for texts and sequences learn in seconds what a broken layer would keep them from."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import weft

from .counts import FOLDER


def _train(
    spec: str, out: Path, changes: dict[str, str] | None = None, **options: Any
) -> dict[str, Any]:
    """The metrics after a training of an example whose text was changed here and there."""
    text = (FOLDER / f"{spec}.weft").read_text(encoding="utf-8")
    for old, new in (changes or {}).items():
        assert old in text
        text = text.replace(old, new)
    params, variant = options.pop("params", None), options.pop("variant", None)
    path = out / "net.weft"
    path.write_text(text, encoding="utf-8")
    program = weft.compile(weft.load(path, params=params, variant=variant), target="cpu")
    return program.train(out / "run", progress="quiet", **options).metrics


LITTLE = {"stdlib(": "stdlib(split=0.999, by=tail, "}
"""Only little of the standard library is held out."""


@pytest.mark.parametrize(
    ("spec", "params"), [("bytes/bytes", {"depth": 2, "heads": 4}), ("lstm_lm/bytes", {})]
)
def test_bytes_of_python(spec: str, params: dict[str, int], tmp_path: Path) -> None:
    """A byte of eight bits costs less than five soon: spaces, and the letters of words."""
    metrics = _train(spec, tmp_path, LITTLE, params={**params, "width": 64}, steps=60)
    assert metrics["test"]["bits"] < 5
    assert metrics["test"]["bits"] == pytest.approx(metrics["test"]["loss"] / math.log(2), rel=1e-5)
    assert (tmp_path / "run" / "vocabulary.json").is_file()


def _sentences(folder: Path) -> dict[str, str]:
    """The data line of a text in which only four words of eight are open."""
    random = np.random.default_rng(0)
    kinds = (["cat", "dog", "loom"], ["sees", "hears"], ["red", "blue"], ["bird", "thread"])
    drawn = [[words[k] for k in random.integers(len(words), size=3000)] for words in kinds]
    lines = (f"the {a} {b} a {c} {d}.\n" for a, b, c, d in zip(*drawn, strict=True))
    (folder / "a.txt").write_text("".join(lines))
    return {"stdlib(": 'text("a.txt", split=0.9, by=tail, ', "warmup=": "warmup=20 + 0*"}


def test_words_that_follow_each_other(tmp_path: Path) -> None:
    """A word of sentences of one form costs what its place leaves open, not its frequency."""
    params = {"vocab": 30, "vectors": 8, "hidden": 16}
    metrics = _train("ngram/ngram", tmp_path, _sentences(tmp_path), params=params, steps=600)
    assert metrics["test"]["bits"] < 1.7


def test_covered_bytes(tmp_path: Path) -> None:
    """The most frequent byte of these sentences, the blank, is right in a fifth of all places."""
    params = {"width": 32, "heads": 2, "depth": 2, "length": 32, "rate": 5e-3}
    metrics = _train("bert/masked", tmp_path, _sentences(tmp_path), params=params, steps=250)
    assert metrics["test"]["right"] > 0.5


@pytest.mark.parametrize("variant", [None, "sort"])
def test_a_transformer_answers(variant: str | None, tmp_path: Path) -> None:
    """Short sequences of few symbols in a few hundred steps of a narrow one."""
    params = {"width": 32, "depth": 1, "hidden": 64, "symbols": 6, "longest": 5}
    changes = {"samples=10000": "samples=2000"}
    metrics = _train(
        "transformer/sequences", tmp_path, changes, params=params, variant=variant, epochs=8
    )
    assert metrics["test"]["right"] > 0.85


@pytest.mark.parametrize(("spec", "least"), [("vit/digits", 0.5), ("mixer/digits", 0.7)])
def test_words_of_pixels(spec: str, least: float, tmp_path: Path) -> None:
    """A small part of the training; all of it reaches 97 %."""
    metrics = _train(spec, tmp_path, epochs=4)
    assert metrics["test"]["accuracy"] >= least


def test_gpt2_reads_a_text(tmp_path: Path) -> None:
    """Its own data line, with a vocabulary that is learnt, in a network of toy size."""
    pytest.importorskip("tokenizers")
    (tmp_path / "texts").mkdir()
    for number in range(4):
        text = f"Chapter {number}. The shuttle flies from left to right and back again.\n" * 60
        (tmp_path / "texts" / f"{number}.txt").write_text(text)
    params = {"width": 24, "heads": 3, "depth": 1, "vocab": 300, "context": 16, "tokenizer": "bpe"}
    changes = {"split=0.995": "split=0.75", "accumulate = 4": "accumulate = 1"}
    changes["warmup=2000"] = "warmup=2"
    metrics = _train("gpt2/gpt2", tmp_path, changes, params=params, steps=30)
    assert metrics["test"]["loss"] < 0.98 * math.log(300)


def test_the_transformer_reads_pairs(tmp_path: Path) -> None:
    pytest.importorskip("tokenizers")
    lines = [f"{'ab' * (n % 5 + 1)} {n}\t{n} {'cd' * (n % 5 + 1)}" for n in range(80)]
    (tmp_path / "sentences.tsv").write_text("\n".join(lines))
    params = {"width": 16, "heads": 2, "depth": 1, "hidden": 16, "vocab": 280, "longest": 12}
    params["tokenizer"] = "bpe"
    changes = {"split=0.995": "split=0.75", "accumulate = 4": "accumulate = 1"}
    changes |= {"warmup=4000": "warmup=2", "batch=64": "batch=8"}
    metrics = _train("transformer/transformer", tmp_path, changes, params=params, steps=10)
    assert math.isfinite(metrics["test"]["loss"]) and metrics["test"]["right"] > 0
