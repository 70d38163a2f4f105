"""What is made again for windows is not stored, and traffic counts what caches do not hold."""

from __future__ import annotations

import numpy as np
import pytest

import weft
from weft.compiler.emit.c.part import Part
from weft.compiler.plan import traffic as counting
from weft.compiler.plan.again import chains

from . import built

CHAIN = "conv(16, 3, bias=false) -> batch_norm -> relu -> conv(16, 3, bias=false) -> batch_norm"


def spec(layers: str) -> weft.Spec:
    return weft.load_text(
        f"""
net n {{
  in x: f32[B, 16, 12, 12]
  x -> {layers} -> relu -> global_avg_pool -> linear(4) as y
}}
train {{
  steps = 1
  data x: f32[B, 16, 12, 12], target: i32[B] = npz("unused.npz", batch=64)
  step main updates n {{
    optimizer = sgd(lr=0.1)
    loss = x -> n -> cross_entropy(target)
  }}
}}
""",
        "n.weft",
    )


def stored(part: Part) -> list[str]:
    """Images that are neither fed nor stay within a panel."""
    written = (v for level in part.levels for stage in level for v in stage.writes)
    images = [part.graph[v] for v in {*written} if len(part.graph[v].shape) == 4]
    kept = [node for node in images if not part.cached(node.id) and node.shape[0] != 16]
    return sorted(node.op for node in kept if node.op != "transpose")  # x with channels last


def test_only_convolutions_and_cotangents_are_stored() -> None:
    """z of both convolutions, and the cotangent of what the first normalisation gives."""
    assert stored(built.part(spec(CHAIN))) == ["convolve", "convolve", "where"]


def test_a_pool_and_two_convolutions_share_what_they_read() -> None:
    layers = (
        "conv(16, 3, bias=false) -> batch_norm -> silu -> branch { conv(8, 3, bias=false)"
        " | max_pool(3, stride=1, pad=1) } -> concat(axis=1) -> batch_norm"
    )
    part = built.part(spec(layers))
    copies = [node for node in part.graph if node.op == "again"]
    numbers = sorted(node["number"] for node in copies)
    assert numbers == [0, 1]  # once forward, once backward: the pool remembers places
    assert all(part.cached(node.id) for node in copies)


@pytest.mark.parametrize(
    "layers",
    [
        CHAIN.replace("-> batch_norm", ""),  # one stage from the first layer to the last
        CHAIN.replace("-> relu", "-> dropout(0.5)"),  # random numbers are dear
        CHAIN.replace("-> relu", "-> residual { relu } -> layer_norm"),
    ],
)
def test_what_gains_nothing_is_left_alone(layers: str) -> None:
    part = built.part(spec(layers))
    assert not [node for node in part.graph if node.op == "again"]


def test_a_stream_of_residuals_is_normalised_again() -> None:
    """Its sums are stored; what precedes each convolution is not."""
    unit = "residual { batch_norm -> relu -> conv(16, 3, bias=false) }"
    part = built.part(spec(f"conv(16, 3, bias=false) -> {unit} -> {unit} -> batch_norm"))
    copies = [node for node in part.graph if node.op == "again"]
    assert len(copies) == 4
    assert all(part.cached(node.id) for node in copies)


def test_joined_values_are_made_once() -> None:
    layers = "conv(16, 3, bias=false) -> branch { relu | tanh } -> concat(axis=1)"
    part = built.part(spec(f"{layers} -> batch_norm -> relu -> conv(16, 3) -> batch_norm"))
    assert not [node for node in part.graph if node.op == "again"]


def test_an_output_is_stored_anyway() -> None:
    graph = built.part(spec(CHAIN)).graph
    found = chains(graph, {"B": 64})
    assert not found & set(graph.outputs.values())


def test_a_value_that_left_the_cache_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    part = built.part(spec(CHAIN))

    def count() -> counting.Traffic:
        places = part.homes, part.panels, part.strips
        return counting.traffic(part.values, part.fusion, part.levels, *places)

    large = count()
    monkeypatch.setattr(counting, "CACHE", 0)
    small = count()
    assert (large.products, large.kernels) == (small.products, small.kernels)
    assert large.memory < 1.7 * large.products < 2 * large.products < small.memory


def test_gradients_are_those_of_the_reference() -> None:
    layers = (
        "conv(16, 3, bias=false) -> batch_norm -> silu -> branch { conv(8, 3, bias=false)"
        " | max_pool(3, stride=1, pad=1) } -> concat(axis=1) -> batch_norm -> relu"
        " -> conv(8, 3, groups=8)"
    )
    rng = np.random.default_rng(0)
    batch = {
        "x": rng.normal(size=(7, 16, 12, 12)).astype(np.float32),
        "target": rng.integers(0, 4, 7).astype(np.int32),
    }
    programs = [weft.compile(spec(layers), target=t) for t in ("cpu", "reference")]
    (loss, grads), (wanted, exact) = (p.value_and_grad(batch, step="main") for p in programs)
    assert abs(float(loss) - float(wanted)) < 1e-5
    for name, gradient in grads.items():
        scale = np.abs(np.asarray(exact[name])).max()
        error = np.abs(np.asarray(gradient) - np.asarray(exact[name])).max()
        assert error <= 1e-4 * max(scale, 1e-3), name
