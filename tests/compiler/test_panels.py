"""Batch norm on both targets: who makes its sums, how often, and what it moves."""

from __future__ import annotations

import pytest

import weft
from weft.compiler.artifact import Artifact
from weft.compiler.build import elaborate, training_net
from weft.compiler.compile import compile_for, lower
from weft.compiler.entries import module_entries

CHANNELS, IMAGE = 16, 64 * 16 * 12 * 12 * 4  # bytes of a value of all images

TRAIN = """
train {
  steps = 1
  data x: f32[B, 16, 12, 12], target: i32[B] = npz("unused.npz", batch=64)
  step main updates n {
    optimizer = sgd(lr=0.1)
    loss = x -> n -> global_avg_pool -> cross_entropy(target)
  }
}
"""


def compiled(layers: str, target: str) -> Artifact:
    text = f"net n {{\n  in x: f32[B, 16, 12, 12]\n  x -> {layers} as y\n}}\n{TRAIN}"
    lowered = lower(elaborate(weft.load_text(text, "n.weft")), native=target == "cpu")
    return compile_for(lowered, target)


def moved(artifact: Artifact, kind: str) -> int:
    found = [k.bytes for k in artifact.kernels if k.entry.startswith(kind)]
    assert found
    return sum(found)


NORMED = "conv(16, 3, bias=false) -> batch_norm"
PLAIN = f"{NORMED} -> relu -> {NORMED} -> relu"
RESIDUAL = (
    f"{NORMED} -> relu -> residual {{ {NORMED} -> relu -> {NORMED} }} -> relu -> {NORMED} -> relu"
)
LAYER = (
    f"branch {{ identity | batch_norm -> relu -> {NORMED} -> relu -> {NORMED} }} -> concat(axis=1)"
)
DENSE = f"{NORMED} -> {LAYER} -> {LAYER} -> batch_norm -> relu -> {NORMED} -> relu"


@pytest.mark.parametrize("layers", [PLAIN, RESIDUAL, DENSE], ids=["plain", "residual", "dense"])
@pytest.mark.parametrize("target", ["cpu", "cuda:90"])
def test_batch_norm_in_inference_moves_nothing_but_its_channels(target: str, layers: str) -> None:
    """It rides with the activation on a CPU, and in the convolution on a GPU; one that stands
    before a convolution rides with what joins the layers before it.
    """
    plain = layers.replace("batch_norm -> ", "").replace(" -> batch_norm", "")
    more = moved(compiled(layers, target), "forward") - moved(compiled(plain, target), "forward")
    assert 0 < more <= layers.count("batch_norm") * 6 * 2 * CHANNELS * 4


def test_a_large_batch_norm_shares_its_sums() -> None:
    """The stage of a convolution adds up its panels; the running statistics are replaced once."""
    artifact = compiled("conv(16, 3, bias=false) -> batch_norm -> relu", "cpu")
    kernels = [k for k in artifact.kernels if k.entry.startswith("train")]
    large = [k for k in kernels if k.bytes >= IMAGE]
    assert not [k for k in large if any("running" in name for name in k.writes)]
    folds = [k for k in large if k.kind == "moments"]
    assert folds and all(k.bytes < 2 * IMAGE for k in folds)


def test_the_derivative_of_batch_norm_needs_two_sums() -> None:
    """The sum over centred values is known to be zero, whatever the size of the batch."""
    text = "net n {\n  in x: f32[B, 16, 6, 6]\n  x -> batch_norm as y\n}\n"
    run, backward = module_entries(training_net(elaborate(weft.load_text(text, "n.weft")), "n"))
    assert run.graph is not None and backward.graph is not None
    sums = [sum(node.op == "sum" for node in e.graph) for e in (run, backward) if e.graph]
    assert sums == [2, 4]
