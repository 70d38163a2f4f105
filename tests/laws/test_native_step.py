"""Whole training steps: the emitted C computes the reference's gradients, whatever the threads."""

from __future__ import annotations

import numpy as np
import pytest

from tests.compiler.built import program
from weft.compiler.compile import compile_native, lower
from weft.compiler.lowered import Lowered
from weft.runtime.engine import Engine
from weft.runtime.initialise import fill_parameters
from weft.runtime.native_engine import NativeEngine
from weft.runtime.reference_engine import ReferenceEngine

SPEC = """
net mlp {{
  in x: f32[B, {inputs}]
  x -> {body} as z
}}

train {{
  steps = 1
  seed = 3
  data x: f32[B, {inputs}], y: {label} = npz("none.npz", batch={batch})
  step main updates mlp {{
    optimizer = adamw(lr=1e-2)
    z = x -> mlp
    loss = {loss}(z, y)
  }}
}}
"""

NETS = {
    "one_hidden": ((2, 4, 1), "tanh", "mse", 100),
    "all_thin": ((3, 3, 2, 1), "tanh", "mse", 40),
    "one_input": ((1, 5, 2), "sigmoid", "mse", 300),
    "wide_surface": ((2, 125, 1), "tanh", "mse", 64),
    "deep_surface": ((2, 20, 20, 1), "tanh", "mse", 700),
    "three_classes": ((2, 20, 3), "relu", "cross_entropy", 64),
    "narrow_gelu": ((4, 10, 20, 10), "gelu", "mse", 128),
    "digits": ((64, 128, 10), "relu", "cross_entropy", 64),
    "weights_stay": ((784, 120, 10), "relu", "cross_entropy", 64),
    "panels_joined": ((809, 524, 310, 10), "relu", "cross_entropy", 72),
    "weights_stay_ragged": ((530, 61, 70, 3), "relu", "cross_entropy", 32),
}
ROWS = (1, 7, 64, 333)
"""Batches that are not the one the plan was made for as well."""


def _lowered(name: str) -> Lowered:
    sizes, act, loss, batch = NETS[name]
    layers = [f"linear({n})" for n in sizes[1:]]
    label = "i32[B]" if loss == "cross_entropy" else f"f32[B, {sizes[-1]}]"
    body = f" -> {act} -> ".join(layers)
    text = SPEC.format(inputs=sizes[0], body=body, label=label, batch=batch, loss=loss)
    return lower(program(text), native=True)


def _batch(name: str, rows: int) -> dict[str, np.ndarray]:
    sizes, _, loss, _ = NETS[name]
    rng = np.random.default_rng(rows)
    x = rng.normal(size=(rows, sizes[0])).astype(np.float32)
    if loss == "cross_entropy":
        return {"x": x, "y": rng.integers(0, sizes[-1], rows).astype(np.int32)}
    return {"x": x, "y": rng.normal(size=(rows, sizes[-1])).astype(np.float32)}


def _filled(engine: Engine) -> Engine:
    fill_parameters(engine.artifact, engine.parameters, 3)
    return engine


@pytest.mark.parametrize("name", NETS)
def test_gradients_are_the_references(name: str) -> None:
    lowered = _lowered(name)
    native = _filled(NativeEngine(compile_native(lowered), threads=2))
    reference = _filled(ReferenceEngine(lowered))
    for rows in ROWS:
        fed = _batch(name, rows)
        want, gradient = reference.gradient("main", fed, index=0, seed=0)
        got, found = native.gradient("main", fed, index=0, seed=0)
        assert got.values["loss"] == pytest.approx(want.values["loss"], rel=2e-6)
        scale = np.abs(gradient).max()
        assert np.abs(found - gradient).max() <= 4e-6 * scale, f"{rows} rows"


@pytest.mark.parametrize("name", NETS)
def test_a_step_never_depends_on_the_threads(name: str) -> None:
    artifact = compile_native(_lowered(name))
    for rows in ROWS:
        results = []
        for threads in (1, 2, 3):
            engine = NativeEngine(artifact, threads=threads)
            _filled(engine)
            losses = []
            for index in range(3):
                bound = engine._entry("train", "main")
                bound.run(_batch(name, rows), 0, index, 1e-2)
                losses.append(bound.values())
            results.append((losses, engine.parameters.tobytes(), engine.gradients.tobytes()))
        assert results[0] == results[1] == results[2], f"{rows} rows"


RESIDUAL = """
default conv(bias=false)

net small {
  in x: f32[B, 3, 11, 9]
  x -> conv(16, 3) -> batch_norm -> relu -> residual {
    conv(16, 3) -> batch_norm -> relu -> conv(16, 3)
  } -> relu -> conv(24, 3, pad=0) -> global_avg_pool -> linear(5) as z
}

train {
  steps = 1
  seed = 3
  data x: f32[B, 3, 11, 9], y: i32[B] = npz("none.npz", batch=12)
  step main updates small {
    optimizer = adamw(lr=1e-2)
    z = x -> small
    loss = cross_entropy(z, y)
  }
}
"""


@pytest.mark.parametrize("rows", [1, 5, 12, 23])
def test_squares_of_windows_never_depend_on_the_threads(rows: int) -> None:
    """Convolutions of 3 x 3, which processors without tile units make of squares of windows."""
    lowered, rng = lower(program(RESIDUAL), native=True), np.random.default_rng(rows)
    fed = {"x": rng.normal(size=(rows, 3, 11, 9)).astype(np.float32)}
    fed["y"] = rng.integers(0, 5, rows).astype(np.int32)
    reference = _filled(ReferenceEngine(lowered))
    want, gradient = reference.gradient("main", fed, index=0, seed=0)
    found = []
    for threads in (1, 2, 3):
        engine = _filled(NativeEngine(compile_native(lowered), threads=threads))
        got, made = engine.gradient("main", fed, index=0, seed=0)
        assert got.values["loss"] == pytest.approx(want.values["loss"], rel=2e-6)
        assert np.abs(made - gradient).max() <= 4e-6 * np.abs(gradient).max()
        found.append(made.tobytes())
    assert found[0] == found[1] == found[2]


def test_padding_between_parameters_stays_zero() -> None:
    lowered = _lowered("one_hidden")
    engine = _filled(NativeEngine(compile_native(lowered), threads=2))
    used = np.zeros(engine.parameters.size, bool)
    for p in engine.artifact.parameters:
        places = np.indices(p.shape).reshape(len(p.shape), -1)
        used[p.offset + np.array(p.strides) @ places] = True
    for index in range(3):
        engine.train("main", _batch("one_hidden", 50), rate=1e-2, index=index, seed=0)
    assert not used.all()
    assert not engine.parameters[~used].any() and not engine.gradients[~used].any()


CHANNELS = """
net n {
  in x: f32[B, 16, 4, 4]
  x -> conv(32, 1) -> batch_norm -> relu -> conv(64, 1) -> batch_norm -> relu
    -> global_avg_pool as z
}
train {
  steps = 1
  data x: f32[B, 16, 4, 4], y: f32[B, 64] = npz("none.npz", batch=8)
  step main updates n {
    optimizer = sgd(lr=0.1)
    z = x -> n
    loss = mse(z, y)
  }
}
"""


def test_threads_that_share_rows_store_nothing_of_each_other() -> None:
    """What a compiler stores again beside its own would come out of an earlier call."""
    engine = _filled(NativeEngine(compile_native(lower(program(CHANNELS), native=True)), threads=2))
    rng = np.random.default_rng(0)
    shapes = {"x": (8, 16, 4, 4), "y": (8, 64)}
    batch = {name: rng.normal(size=s).astype(np.float32) for name, s in shapes.items()}
    want = engine.gradient("main", batch, index=0, seed=0)[0].values
    memory = engine._entry("gradient", "main").workspace
    for _ in range(100):
        memory.view(np.uint32)[:] = 0xFFFFFFFF  # not a number
        assert engine.gradient("main", batch, index=0, seed=0)[0].values == want
