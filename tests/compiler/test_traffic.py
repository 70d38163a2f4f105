"""What large networks move in a training step, over the least that any plan could."""

from __future__ import annotations

from pathlib import Path

import pytest

import weft
from weft.compiler.build import elaborate
from weft.compiler.compile import compile_for, lower, lower_backward
from weft.compiler.lowered import Lowered

EXAMPLES = Path(__file__).parents[2] / "examples"


def _lowered(path: str, variant: str | None = None) -> Lowered:
    spec = weft.load_text((EXAMPLES / path).read_text(), path, variant=variant)
    return lower(elaborate(spec), native=False)


def test_gpt2_small_on_a_gpu() -> None:
    traffic = compile_for(_lowered("gpt2/gpt2.weft"), "cuda:90").traffic["main"]
    assert traffic["traffic_ratio"] <= 1.2


@pytest.mark.slow
def test_resnet50_on_a_gpu() -> None:
    """Batch normalisation waits for sums, and two launches read cotangents of 3x3 windows."""
    backward = lower_backward(_lowered("resnet/resnet.weft", "resnet50"))
    assert compile_for(backward, "cuda:90").traffic["resnet"]["traffic_ratio"] <= 1.27


@pytest.mark.slow
def test_densenet121_on_a_gpu() -> None:
    """Nobody joins maps, and nobody takes statistics of what is joined."""
    backward = lower_backward(_lowered("densenet/densenet.weft", "densenet121"))
    assert compile_for(backward, "cuda:90").traffic["densenet"]["traffic_ratio"] <= 1.45


def test_a_gated_transformer_on_a_gpu() -> None:
    """Heads are turned without a copy, and residual sums ride in products."""
    spec = weft.load(EXAMPLES / "llama/llama.weft", params={"depth": 2})
    backward = lower_backward(lower(elaborate(spec), native=False))
    artifact = compile_for(backward, "cuda:90")
    assert artifact.traffic["llama"]["traffic_ratio"] <= 1.38
    written = [name for k in artifact.kernels for name in k.writes]
    assert not any(name.startswith("concat") for name in written)


def test_pools_are_in_the_bound() -> None:
    """Two convolutions with a pool each move little more than they have to; pools alone do too."""
    text = """
net n {
  in x: f32[B, 1, 28, 28]
  x -> conv(20, 5, pad=0) -> max_pool(2) -> conv(50, 5, pad=0) -> max_pool(2) -> flatten
    -> linear(10) as y
}
train {
  steps = 1
  data x: f32[B, 1, 28, 28], target: i32[B] = npz("unused.npz", batch=64)
  step main updates n {
    optimizer = sgd(lr=0.1)
    loss = x -> n -> cross_entropy(target)
  }
}
"""
    traffic = weft.compile(weft.load_text(text, "n.weft"), target="cpu").artifact.traffic["main"]
    assert 1.0 <= traffic["traffic_ratio"] <= 1.2


@pytest.mark.parametrize(
    ("given", "flow", "floats"),
    [
        ("x: f32[B, 512]", "tanh(x[:, :8]) as y", 16),
        ("x: i32[B, 3]", "x -> embedding(5000, 32) -> tanh as y", 195),
        ("x: f32[B, 512]", "out tanh(x[:, :8] + x[:, 8:16])", 24),
    ],
)
def test_a_kernel_reads_what_it_takes(given: str, flow: str, floats: int) -> None:
    """Rows of a table and pieces of a row count as what is read of them."""
    text = f"net n {{\n  in {given}\n  {flow}\n}}\n"
    artifact = weft.compile(weft.load_text(text, "n.weft"), target="cpu").artifact
    (kernel,) = [k for k in artifact.kernels if k.entry == "forward_n"]
    assert kernel.bytes == 4 * floats * artifact.sizes["B"]
