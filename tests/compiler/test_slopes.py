"""What is kept of an activation for the backward pass: its slope, where that is dear."""

from __future__ import annotations

import numpy as np
import pytest

import weft
from weft.compiler.plan.slopes import slopes
from weft.compiler.plan.values import lowering

from . import built

KEPT = {  # layers behind a linear one, and how many slopes are kept
    "relu -> dropout(0.25)": 1,
    "gelu -> dropout(0.25)": 1,
    "dropout(0.25) -> silu": 1,
    "tanh -> dropout(0.25)": 1,
    "mish": 1,
    "residual { relu -> dropout(0.25) }": 1,
    "mish -> linear(24) -> gelu -> dropout(0.25)": 2,
    "gelu": 0,  # computed again in less time than it takes to write and to read the slope
    "relu": 0,
    "tanh": 0,  # computed from its result, which is stored
    "dropout(0.25)": 0,  # what it reads is not needed for its cotangent
    "mish -> layer_norm": 0,  # the cotangent of the norm is not stored before
    "branch { mish | silu } -> concat(axis=1)": 0,  # two cotangents come together
    "branch { mish | linear(24) } -> concat(axis=1)": 0,  # stored for its other reader
}


def spec(layers: str) -> weft.Spec:
    return weft.load_text(
        f"""
net n {{
  in x: f32[B, 21]
  x -> linear(40) -> {layers} -> linear(5) as y
}}
train {{
  steps = 1
  seed = 5
  data x: f32[B, 21], target: i32[B] = npz("unused.npz", batch=64)
  step main updates n {{
    optimizer = sgd(lr=0.1)
    loss = x -> n -> cross_entropy(target)
  }}
}}
""",
        "n.weft",
    )


@pytest.mark.parametrize("layers", KEPT)
def test_what_is_kept(layers: str) -> None:
    graph = built.part(spec(layers)).graph
    assert sum(node.op == "slope" for node in graph) == KEPT[layers]
    assert not slopes(graph), "a second look finds nothing"


@pytest.mark.parametrize("layers", [layers for layers, count in KEPT.items() if count])
def test_a_slope_is_made_where_the_activation_is(layers: str) -> None:
    """By the launch that makes another value of the same source, which leaves no panel itself."""
    part = built.part(spec(layers))
    launches = [x for level in part.levels for stage in level for x in stage.launches]
    for node in (node for node in part.graph if node.op == "slope"):
        (maker,) = [x for x in launches if node.id in x.writes]
        assert len(maker.writes) > 1
        sources = [i for i in maker.reads if part.graph[i].shape == node.shape]
        assert sources and all(lowering(part.graph[i]) == "heavy" for i in sources)
        readers = [x for x in launches if node.id in x.reads]
        assert readers and not any(x.reads & {*sources} for x in readers)


def test_gradients_are_those_of_the_reference() -> None:
    """Of one net that keeps all these slopes."""
    layers = " -> linear(24) -> ".join(
        [
            "gelu -> dropout(0.25)",
            "silu",
            "relu -> dropout(0.5)",
            "gelu(approximate=tanh)",
            "softplus",
        ]
    )
    rng = np.random.default_rng(0)
    batch = {
        "x": rng.normal(size=(67, 21)).astype(np.float32) * 3,
        "target": rng.integers(0, 5, 67).astype(np.int32),
    }
    programs = [weft.compile(spec(layers), target=t) for t in ("cpu", "reference")]
    (loss, grads), (wanted, exact) = (p.value_and_grad(batch, step="main") for p in programs)
    assert abs(float(loss) - float(wanted)) < 1e-5 * max(1.0, abs(float(wanted)))
    for name, gradient in grads.items():
        scale = np.abs(np.asarray(exact[name])).max()
        error = np.abs(np.asarray(gradient) - np.asarray(exact[name])).max()
        assert error <= 2e-5 * max(scale, 1e-3), name
