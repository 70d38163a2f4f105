"""`--sync`: processes that exchange sums on their way compute what one computes with the batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from joint_trainings import digits
from threads import together

import weft
from weft.cli.train import _of_a_part
from weft.compiler.joined import lower_joined, of_parts
from weft.runtime.checkpoint import load
from weft.runtime.metrics import read
from weft.spec.errors import UsageError

NORMALISED = digits().replace("linear(32)", "linear(32) -> batch_norm")
ALONE = NORMALISED.replace("limit=250", "limit=97")  # one process has nothing of the last batch
SUMMED = digits("sgd(lr=1e-3)").replace(
    "cross_entropy(y, label)", "cross_entropy(y, label, reduction=sum)"
)
PENALISED = digits().replace(
    "loss = cross_entropy(y, label)",
    "loss = cross_entropy(y, label) + 0.1 * mean(mean(y, axis=0) ** 2)",
)
PICTURES = """
net cnn {
  in x: f32[B, 1, 8, 8]
  x -> conv(4, 3, bias=false) -> batch_norm -> relu -> conv(6, 3, bias=false) -> batch_norm -> relu
    -> global_avg_pool -> linear(10)
}
train {
  steps = 6
  ema = 0.9
  data x: f32[B, 1, 8, 8], label: i32[B] = digits(batch=20, flat=false, limit=81)
  step main updates cnn {
    optimizer = sgd(lr=0.1, momentum=0.9)
    loss = x -> cnn -> cross_entropy(label)
  }
}
"""
COVERED = """
net model {
  in tokens: i32[B, T]
  tokens -> embedding(258, 16) -> linear(258) as logits
}
train {
  steps = 6
  data tokens: i32[B, 12], covered: i32[B, 12] = text("words.txt", length=12, batch=8, masked=0.2)
  step main updates model {
    optimizer = adam(lr=1e-2)
    logits = tokens -> model
    loss = cross_entropy(logits, covered)
    metric perplexity = perplexity(logits, covered)
  }
}
"""
RECURRENT = digits().replace(
    "linear(32) -> tanh", "reshape([B, 8, 8]) -> gru(12) -> mean(axis=1) -> batch_norm"
)
CASES = {
    "normalised": NORMALISED,
    "nothing": ALONE,
    "summed": SUMMED,
    "penalised": PENALISED,
    "pictures": PICTURES,
    "covered": COVERED,
    "recurrent": RECURRENT,
    "accumulated": NORMALISED.replace("optimizer =", "accumulate = 2\n    optimizer ="),
}


def train(name: str, out: Path, **options: Any) -> Any:
    program = weft.compile(weft.load_text(CASES[name], str(out.parent / "net.weft")), target="cpu")
    return program.train(out, progress="quiet", **options), program


@pytest.mark.parametrize("name", CASES)
def test_the_number_of_processes_changes_nothing(name: str, tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("the quick brown fox jumps over the lazy dog. " * 40)
    record, alone = train(name, tmp_path / "one")
    found = together(
        3 if name == "normalised" else 2,
        lambda own: train(name, tmp_path / "all", processes=own, sync=True),
    )
    for ours, program in found:
        assert not ours.notes
        for part, values in record.metrics.items():
            assert ours.metrics[part] == pytest.approx(values, rel=1e-3)
        for key, value in alone.state_dict().items():
            np.testing.assert_array_equal(program.state_dict()[key], found[0][1].state_dict()[key])
            scale = float(value.abs().max()) if value.numel() else 0.0
            np.testing.assert_allclose(
                program.state_dict()[key], value, rtol=1e-3, atol=1e-4 * scale, err_msg=key
            )
    rows = [read(tmp_path / size / "metrics.jsonl") for size in ("one", "all")]
    for ours, theirs in zip(*rows, strict=True):
        assert theirs["loss"] == pytest.approx(ours["loss"], rel=1e-3)
    assert load(tmp_path / "all" / "checkpoints" / "last.safetensors").tensors


def test_without_it_statistics_are_those_of_a_part(tmp_path: Path) -> None:
    _, alone = train("normalised", tmp_path / "one")
    found = together(2, lambda own: train("normalised", tmp_path / "all", processes=own))
    name = "mlp.batch_norm.running_var"
    assert not np.allclose(found[0][1].state_dict()[name], alone.state_dict()[name], rtol=1e-3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ("y = x -> mlp", "z = x -> mlp\n    y = z + max(z, axis=0)"),
            r"`max_z` \(max\) needs the samples",
        ),
        (
            ("y = x -> mlp", "z = x -> mlp\n    y = matmul(matmul(z, transpose(z, [1, 0])), z)"),
            "needs the samples of",
        ),
    ],
    ids=["largest", "turned"],
)
def test_samples_that_need_each_other_are_refused(change: tuple[str, str], message: str) -> None:
    program = weft.compile(weft.load_text(digits().replace(*change), "net.weft"), target="cpu")
    with pytest.raises(UsageError, match=message) as refused:
        lower_joined(program.lowered)
    assert _of_a_part(program.lowered).startswith("of a part   net.weft:15")
    assert str(refused.value).startswith("net.weft:")


def test_what_is_of_a_part_is_named() -> None:
    def said(text: str) -> list[str]:
        program = weft.compile(weft.load_text(text, "net.weft"), target="cpu")
        return list(of_parts(program.lowered))

    assert said(digits()) == ["`cross_entropy` (net.weft:15:12)"]  # its labels are counted
    plain = digits().replace("cross_entropy(y, label)", "mean(y * y)")
    assert said(plain) == []
    assert said(SUMMED.replace("label, reduction", "label, ignore=none, reduction")) == [
        "the loss of `main`, which is a sum"
    ]
    assert said(NORMALISED)[0] == "`mlp.batch_norm` (net.weft:4:22)"
    gpu = weft.compile(weft.load_text(digits(), "net.weft"), target="interpret")
    assert list(of_parts(gpu.lowered)) == said(digits())


def test_a_fixed_batch_and_gpus_are_refused() -> None:
    text = digits().replace("[B", "[48")
    with pytest.raises(UsageError, match="the types fix the batch of 48"):
        lower_joined(weft.compile(weft.load_text(text, "net.weft"), target="cpu").lowered)
    with pytest.raises(UsageError, match="are exchanged on CPUs only"):
        lower_joined(weft.compile(weft.load_text(digits(), "net.weft"), target="interpret").lowered)


def test_what_is_exchanged_is_little() -> None:
    """Two counts for a plain network and its accuracy, for a batch norm four vectors more."""
    for text, expected in ((digits(), [1, 1]), (NORMALISED, [1, 1, 32, 32, 32, 32])):
        program = weft.compile(weft.load_text(text, "net.weft"), target="cpu")
        graph = lower_joined(program.lowered).entry("gradient", "main").graph
        assert graph is not None
        sums = [node for node in graph if node.op == "all_reduce"]
        assert sorted(int(np.prod(node.shape)) for node in sums) == expected
