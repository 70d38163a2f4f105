"""Training steps as launch lists, interpreted and on a GPU, against the reference."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from weft.compiler.build import elaborate
from weft.compiler.compile import compile_gpu, lower
from weft.runtime.engine import Engine, parameter_view
from weft.runtime.program import CompiledProgram, compile
from weft.spec.load import Spec, load_text

MLP = """
net mlp {
  in image: f32[B, 33]
  image -> linear(24) -> relu -> dropout(0.25) -> linear(5) as logits
}
train {
  steps = 5
  data image: f32[B, 33], label: i32[B] = npz("unused.npz", batch=29)
  step main updates mlp {
    optimizer = adamw(lr=0.01, weight_decay=0.01)
    clip = 0.5
    logits = image -> mlp
    loss = cross_entropy(logits, label)
    metric accuracy = accuracy(logits, label)
  }
}
"""

# Not Adam: keys have biases whose gradient is exactly 0, and Adam would follow the rounding errors.
LANGUAGE = """
param heads=2, d=12, vocab=19
block Attend(heads, d) {
  in x: f32[B, T, D]
  q = x -> linear(d) -> reshape([B, T, heads, d//heads]) -> transpose(axes=[0, 2, 1, 3])
  k = x -> linear(d) -> reshape([B, T, heads, d//heads]) -> transpose(axes=[0, 2, 1, 3])
  v = x -> linear(d) -> reshape([B, T, heads, d//heads]) -> transpose(axes=[0, 2, 1, 3])
  p = (matmul(q, transpose(k)) * 0.4) -> softmax
  matmul(p, v) -> transpose(axes=[0, 2, 1, 3]) -> reshape([B, T, d]) -> linear(d)
}
net lm {
  in tokens: i32[B, T]
  tokens -> embedding(vocab, d)
    -> residual { layer_norm -> Attend(heads, d) -> dropout(0.1) }
    -> residual { layer_norm -> linear(4*d) -> gelu -> linear(d) }
    -> layer_norm -> linear(vocab) as logits
}
train {
  steps = 5
  data tokens: i32[B, T], next: i32[B, T] = npz("unused.npz", batch=3)
  step main updates lm {
    optimizer = sgd(lr=0.01, momentum=0.9)
    clip = 1.0
    logits = tokens -> lm
    loss = cross_entropy(logits, next)
  }
}
"""

# Convolutions in groups and with strides, running statistics, both pools, a residual.
PICTURES = """
net small {
  in image: f32[B, 3, 9, 8]
  image -> conv(8, 3, bias=false) -> batch_norm -> relu -> max_pool(3, stride=2, pad=1)
    -> residual { conv(8, 3, groups=2) -> batch_norm -> relu -> conv(8, 3, groups=8) }
    -> relu -> conv(16, 3, stride=2) -> relu -> conv(6, 1) -> avg_pool(2) -> flatten -> linear(5)
}
train {
  steps = 5
  data image: f32[B, 3, 9, 8], label: i32[B] = npz("unused.npz", batch=7)
  step main updates small {
    optimizer = sgd(lr=0.01, momentum=0.9)
    logits = image -> small
    loss = cross_entropy(logits, label)
  }
}
"""

# Two recurrent layers of different kinds, seventeen units: a block and a rest.
RECURRENT = """
net lm {
  in tokens: i32[B, T]
  tokens -> embedding(19, 12) -> lstm(17) -> dropout(0.1) -> gru(9) -> linear(19) as logits
}
train {
  steps = 5
  data tokens: i32[B, T], next: i32[B, T] = npz("unused.npz", batch=3)
  step main updates lm {
    optimizer = sgd(lr=0.01, momentum=0.9)
    clip = 1.0
    logits = tokens -> lm
    loss = cross_entropy(logits, next)
  }
}
"""

SEED, RATE = 5, 0.01


def images(rows: int, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 5, rows).astype(np.int32)
    label[rows // 2] = -100
    return {"image": rng.normal(size=(rows, 33)).astype(np.float32), "label": label}


def pictures(rows: int, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 5, rows).astype(np.int32)
    return {"image": rng.normal(size=(rows, 3, 9, 8)).astype(np.float32), "label": label}


def sentences(rows: int, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {name: rng.integers(0, 19, (rows, 7)).astype(np.int32) for name in ("tokens", "next")}


def spec(text: str) -> Spec:
    return load_text(text, "spec.weft")


def matched(program: CompiledProgram, truth: CompiledProgram) -> tuple[Engine, Engine]:
    """Both engines with the same parameters, optimizer states at their start."""
    for p, q in zip(program.artifact.parameters, truth.artifact.parameters, strict=True):
        parameter_view(truth.engine.parameters, q)[...] = parameter_view(
            program.engine.parameters, p
        )
    return program.engine, truth.engine


def compare(program: CompiledProgram, truth: CompiledProgram, tolerance: float) -> None:
    for p, q in zip(program.artifact.parameters, truth.artifact.parameters, strict=True):
        got, want = (
            parameter_view(program.engine.parameters, p),
            parameter_view(truth.engine.parameters, q),
        )
        np.testing.assert_allclose(got, want, rtol=0, atol=tolerance, err_msg=p.name)
        for state in program.engine.states:
            got, want = (
                parameter_view(e.states[state], x)
                for e, x in ((program.engine, p), (truth.engine, q))
            )
            np.testing.assert_allclose(
                got, want, rtol=0, atol=tolerance, err_msg=f"{p.name} {state}"
            )


def check_training(
    program: CompiledProgram,
    truth: CompiledProgram,
    batch: Any,
    rows: tuple[int, ...],
    tolerance: float,
) -> None:
    engine, reference = matched(program, truth)
    for index, count in enumerate(rows):
        inputs = batch(count, index)
        got = engine.train("main", inputs, rate=RATE, index=index, seed=SEED)
        want = reference.train("main", inputs, rate=RATE, index=index, seed=SEED)
        assert got.finite
        assert got.values == pytest.approx(want.values, rel=10 * tolerance, abs=10 * tolerance)
    compare(program, truth, 20 * tolerance)


@pytest.fixture(scope="module")
def mlp() -> Iterator[CompiledProgram]:
    program = compile(spec(MLP), "interpret")
    yield program
    program.engine.close()  # type: ignore[attr-defined]


def test_a_classifier_trains_as_the_reference(mlp: CompiledProgram) -> None:
    check_training(mlp, compile(spec(MLP), "reference"), images, (29, 29, 17, 64), 2e-6)


def test_a_transformer_trains_as_the_reference() -> None:
    program = compile(spec(LANGUAGE), "interpret")
    check_training(program, compile(spec(LANGUAGE), "reference"), sentences, (3, 2), 5e-6)
    program.engine.close()  # type: ignore[attr-defined]


def test_a_recurrent_language_model_trains_as_the_reference() -> None:
    """One launch takes a layer through all steps, one more takes it back."""
    program = compile(spec(RECURRENT), "interpret")
    check_training(program, compile(spec(RECURRENT), "reference"), sentences, (3, 2), 5e-6)
    kinds = [k.kind for k in program.artifact.kernels if k.entry == "train_main"]
    assert kinds.count("scan") == 4
    program.engine.close()  # type: ignore[attr-defined]


def test_a_convolutional_net_trains_as_the_reference() -> None:
    """Running statistics too, which kernels replace in place."""
    program = compile(spec(PICTURES), "interpret")
    check_training(program, compile(spec(PICTURES), "reference"), pictures, (5, 3), 5e-6)
    text = program.artifact.files["kernels.py"]
    assert "atomic" not in text
    program.engine.close()  # type: ignore[attr-defined]


def test_statistics_and_masks_ride_in_convolutions() -> None:
    """No program folds a whole batch, and no weight is copied."""
    artifact = compile_gpu(lower(elaborate(spec(PICTURES)), native=False), "cuda:90")
    train = artifact.entry("train", "main")
    kinds = {k.name: k.kind for k in artifact.kernels if k.entry == "train_main"}
    assert sum(kind == "convolution" for kind in kinds.values()) >= 9
    text = artifact.files["kernels.py"]
    bodies = {name: text.split(f"def {name}(")[1].split("@triton.jit")[0] for name in kinds}
    summing = [n for n, kind in kinds.items() if kind == "convolution" and "_partial" in bodies[n]]
    assert len(summing) >= 4
    weights = [b for b in train.buffers if b.space == "workspace" and len(b.shape) == 4]
    assert not [b.name for b in weights if b.shape[-2:] == (3, 3) or b.shape[:2] == (3, 3)]


def test_nothing_changes_when_the_loss_is_not_finite(mlp: CompiledProgram) -> None:
    inputs = images(29, 1)
    inputs["image"][3, 4] = np.nan
    before = mlp.engine.parameters.copy()
    states = {key: np.array(value) for key, value in mlp.engine.states.items()}
    assert not mlp.engine.train("main", inputs, rate=RATE, index=0, seed=SEED).finite
    assert np.array_equal(mlp.engine.parameters, before)
    assert all(np.array_equal(mlp.engine.states[key], value) for key, value in states.items())


def test_a_probe_finds_the_first_value_that_is_not_finite(mlp: CompiledProgram) -> None:
    inputs = images(29, 1)
    inputs["image"][3, 4] = np.inf
    found = mlp.engine.probe("main", inputs, index=0, seed=SEED)
    bad = [
        b.name
        for b, values in found
        if values.dtype == np.float32 and not np.isfinite(values).all()
    ]
    assert bad[0] == "image"
    assert len(bad) > 2


def test_the_order_of_programs_does_not_show(mlp: CompiledProgram) -> None:
    inputs = images(64, 3)
    _, natural = mlp.engine.gradient("main", inputs, index=1, seed=SEED)
    natural = natural.copy()
    mlp.engine.device.shuffle = 3  # type: ignore[attr-defined]
    _, permuted = mlp.engine.gradient("main", inputs, index=1, seed=SEED)
    mlp.engine.device.shuffle = None  # type: ignore[attr-defined]
    assert np.array_equal(natural, permuted)


def test_products_carry_the_values_that_follow(mlp: CompiledProgram) -> None:
    """Bias, relu and dropout ride in the product; so do the loss and its gradient in the head, and
    adjoints of one layer are a launch.
    """
    text = mlp.artifact.files["kernels.py"]
    train = mlp.artifact.entry("train", "main")
    assert text.count("tl.dot(") >= 5
    launched = [launch.kernel for launch in train.launches]
    products = [
        k.name for k in mlp.artifact.kernels if k.kind == "product" and k.entry == "train_main"
    ]
    assert len(products) == 4
    assert len(launched) <= 14
    assert mlp.artifact.traffic["main"]["traffic_ratio"] < 1.2


@pytest.mark.gpu
@pytest.mark.parametrize(
    ("text", "batch", "rows"),
    [
        (MLP, images, (29, 29, 29, 17)),
        (LANGUAGE, sentences, (3, 3, 3)),
        (RECURRENT, sentences, (3, 3, 3)),
        (PICTURES, pictures, (7, 7, 3)),
    ],
)
def test_training_on_a_gpu(text: str, batch: Any, rows: tuple[int, ...]) -> None:
    """Products in tf32: about three digits."""
    program = compile(spec(text), "cuda")
    engine, reference = matched(program, compile(spec(text), "reference"))
    for index, count in enumerate(rows):
        inputs = batch(count, index)
        got = engine.train("main", inputs, rate=RATE, index=index, seed=SEED)
        want = reference.train("main", inputs, rate=RATE, index=index, seed=SEED)
        assert got.values["loss"] == pytest.approx(want.values["loss"], rel=1e-2)


@pytest.mark.gpu
def test_a_replayed_graph_gives_the_bits_of_single_launches() -> None:
    found = []
    for graphs in (True, False):
        program = compile(spec(MLP), "cuda")
        program.engine.device._graphs = graphs  # type: ignore[attr-defined]
        losses = [
            program.engine.train("main", images(29, i), rate=RATE, index=i, seed=SEED).values
            for i in range(6)
        ]
        found.append((losses, program.engine.parameters.copy()))
    assert found[0][0] == found[1][0]
    assert np.array_equal(found[0][1], found[1][1])
