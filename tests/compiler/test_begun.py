"""Products that begin with their bias: no kernel adds it, wherever it would be one of its own."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import weft

from . import built

BEGUN = {  # layers; their width, and how many products begin with biases: in the step, in the net
    "linear(33)": (33, 0, 1),  # in the step it rides in the loss
    "linear(33) -> gelu -> linear(20)": (20, 0, 1),
    "attention(2, causal=true)": (24, 3, 4),  # queries, keys and values; the last one, alone, too
    "attention(2) -> linear(33)": (33, 4, 5),
    "linear(8, bias=false) -> linear(20)": (20, 0, 1),
    "linear(9)": (9, 0, 1),
    "lstm(16) -> linear(20)": (20, 1, 2),  # its two biases are one
}


def spec(layers: str) -> weft.Spec:
    return weft.load_text(
        f"""
net n {{
  in x: f32[B, T, 24]
  x -> {layers} as y
}}
train {{
  steps = 1
  data x: f32[B, 19, 24], target: f32[B, 19, {BEGUN[layers][0]}] = npz("unused.npz", batch=6)
  step main updates n {{
    optimizer = sgd(lr=0.1)
    loss = x -> n -> mse(target)
  }}
}}
""",
        "n.weft",
    )


@pytest.mark.parametrize("layers", BEGUN)
def test_products_begin_with_biases(layers: str) -> None:
    counts = [len(built.part(spec(layers), kind).begun) for kind in ("train", "forward")]
    assert tuple(counts) == BEGUN[layers][1:]


def test_probes_keep_what_is_added() -> None:
    assert not built.part(spec("attention(2) -> linear(33)"), "probe").begun


@pytest.mark.parametrize("layers", ["attention(2) -> linear(33)", "lstm(16) -> linear(20)"])
def test_nets_and_gradients_are_those_of_the_reference(layers: str) -> None:
    """Of 19 positions a sample, and of as many as there are in a net alone."""
    rng = np.random.default_rng(1)
    native, exact = (weft.compile(spec(layers), target=t) for t in ("cpu", "reference"))
    state = {
        name: 0.3 * rng.normal(size=value.shape) for name, value in native.state_dict().items()
    }
    native.load_state_dict(state)
    exact.load_state_dict(state)
    for rows, positions in ((1, 1), (7, 40)):
        x = torch.from_numpy(rng.normal(size=(rows, positions, 24)).astype(np.float32))
        torch.testing.assert_close(native.net(x), exact.net(x).float(), rtol=1e-4, atol=1e-4)
    batch = {
        "x": rng.normal(size=(7, 19, 24)),
        "target": rng.normal(size=(7, 19, BEGUN[layers][0])),
    }
    batch = {name: value.astype(np.float32) for name, value in batch.items()}
    (_, grads), (_, wanted) = (p.value_and_grad(batch, step="main") for p in (native, exact))
    for name, gradient in grads.items():
        want = np.asarray(wanted[name])
        assert np.abs(np.asarray(gradient) - want).max() <= 2e-5 * np.abs(want).max() + 1e-6, name
