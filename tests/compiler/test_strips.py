"""Positions of long samples walk in strips through what treats them alike; nothing else changes."""

from __future__ import annotations

import numpy as np
import pytest

import weft
from weft.compiler.build import elaborate
from weft.compiler.compile import compile_native, lower
from weft.compiler.lowered import Lowered
from weft.compiler.plan import strips
from weft.compiler.plan.launch import Launch
from weft.compiler.plan.strips import Even
from weft.runtime.engine import Engine
from weft.runtime.initialise import fill_parameters
from weft.runtime.native_engine import NativeEngine
from weft.runtime.reference_engine import ReferenceEngine
from weft.spec.dims import symbol

TEXT = """
block Shifted {{
  in x: f32[B, T, C]
  x + pad(x[:, :-1], [0, [1, 0], 0])
}}
net n {{
  in x: i32[B, {length}]
  weight place: f32[{length}, 24] = normal(std=0.5)
  ((x -> embedding(11, 24)) + place) -> {body} -> layer_norm -> linear(11) as logits
}}
train {{
  steps = 1
  data x: i32[B, {length}], y: i32[B, {length}] = npz("none.npz", batch=3)
  step main updates n {{
    optimizer = adamw(lr=1e-2)
    loss = x -> n -> cross_entropy(y)
  }}
}}
"""
ATTENTION = "residual { layer_norm -> attention(2, causal=true) }"
MLP = "residual { layer_norm -> linear(40) -> gelu -> linear(24) }"
BODIES = {
    "mlp": f"repeat 2 {{ {MLP} }}",
    "transformer": f"repeat 2 {{ {ATTENTION} -> {MLP} }}",
    "dropout": f"dropout(0.3) -> {MLP} -> dropout(0.2)",
    "shifted": f"{MLP} -> linear(24) -> Shifted -> linear(24) -> Shifted",
    "recurrent": f"{MLP} -> lstm(24) -> {MLP}",
}


def _lowered(body: str, length: int) -> Lowered:
    text = TEXT.format(body=BODIES[body], length=length)
    return lower(elaborate(weft.load_text(text, "n.weft")), native=True)


def _gradient(engine: Engine, length: int, rows: int) -> tuple[float, np.ndarray]:
    rng = np.random.default_rng(rows)
    x, y = rng.integers(0, 11, (2, rows, length)).astype(np.int32)
    fill_parameters(engine.artifact, engine.parameters, 3)
    values, gradient = engine.gradient("main", {"x": x, "y": y}, index=2, seed=5)
    return float(values.values["loss"]), np.array(gradient)


CASES = [(body, 37) for body in BODIES] + [("transformer", 32)]


@pytest.mark.parametrize(("body", "length"), CASES)
def test_gradients_are_the_references(
    monkeypatch: pytest.MonkeyPatch, body: str, length: int
) -> None:
    """Samples of whole strips and ragged ones, one and several, with any number of threads."""
    monkeypatch.setattr(strips, "STRIP", 8)
    lowered = _lowered(body, length)
    artifact = compile_native(lowered)
    assert "long strip" in artifact.files["gradient.c"]
    reference = ReferenceEngine(lowered)
    for rows in (1, 5):
        want, gradient = _gradient(reference, length, rows)
        got, found = _gradient(NativeEngine(artifact, threads=2), length, rows)
        again, same = _gradient(NativeEngine(artifact, threads=3), length, rows)
        assert got == again and found.tobytes() == same.tobytes()
        assert abs(got - want) <= 2e-5 * abs(want)
        error = np.sqrt(np.mean((found - gradient) ** 2)) / np.sqrt(np.mean(gradient**2))
        assert error <= 2e-5


def test_short_samples_have_no_strips() -> None:
    assert "long strip" not in compile_native(_lowered("mlp", 32)).files["kernels.c"]


def test_strips_keep_what_a_long_sample_touches_in_the_cache() -> None:
    """A layer of 2,048 positions and 1,024 hidden units fits no cache; its strips do."""
    text = TEXT.format(body=BODIES["mlp"].replace("40", "1024"), length=2048)
    program = elaborate(weft.load_text(text, "n.weft"))
    ratios = []
    for rows in (1 << 20, 256):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(strips, "STRIP", rows)
            found = compile_native(lower(program, native=True)).traffic["main"]
            ratios.append(found["memory_ratio"])
    assert ratios[1] < 0.85 * ratios[0]


# ---- which launches share a strip ----------------------------------------------------------------


def _launch(reads: set[int], writes: set[int]) -> Launch:
    none: frozenset[int] = frozenset()
    return Launch(None, none, frozenset(reads), frozenset(writes), symbol("B"), (), none)


def _walk(steps: dict[int, int], *, positions: int = 1024, beyond: set[int] | None = None) -> Even:
    found = {value: (positions * step, step) for value, step in steps.items()}
    return Even(positions, found, frozenset(beyond or ()))


@pytest.mark.parametrize(
    ("second", "together"),
    [
        (_walk({2: 8, 3: 4}), True),
        (_walk({2: 8, 3: 4}, beyond={2}), False),
        (_walk({2: 16, 3: 4}), False),
        (_walk({2: 8, 3: 4}, positions=512), False),
        (None, False),
    ],
    ids=["alike", "neighbours", "every_second", "other_samples", "whole"],
)
def test_launches_that_find_every_position_as_it_was_left_share_a_strip(
    second: Even | None, together: bool
) -> None:
    a, b = _launch({1}, {2}), _launch({2}, {3})
    walks = {a: _walk({1: 8, 2: 8}), b: second}
    found = strips.strips([a, b], walks.__getitem__)
    assert [strip.launches for strip in found] == ([(a, b)] if together else [])
    if together:
        assert dict(found[0].own) == {2: 8}
        assert not strips.strips([a, b], lambda x: None if x is b else walks[x])


def test_what_somebody_else_reads_is_no_strips_own() -> None:
    a, b, last = _launch({1}, {2}), _launch({2}, {3}), _launch({2}, {4})
    walks = {a: _walk({1: 8, 2: 8}), b: _walk({2: 8, 3: 8}), last: None}
    (strip,) = strips.strips([a, b, last], walks.__getitem__)
    assert not strip.own
