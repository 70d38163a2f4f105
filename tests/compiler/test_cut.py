"""Logits of a large vocabulary exist for a few rows at a time, and nothing else changes."""

from __future__ import annotations

import numpy as np
import pytest

import weft
from weft.compiler.artifact import THREADS, evaluate
from weft.compiler.build import elaborate
from weft.compiler.compile import compile_for, compile_gpu, compile_native, lower
from weft.compiler.lowered import Lowered
from weft.compiler.passes import cut
from weft.runtime.engine import Engine
from weft.runtime.initialise import fill_parameters
from weft.runtime.loss_scale import FIELD
from weft.runtime.native_engine import NativeEngine
from weft.runtime.reference_engine import ReferenceEngine
from weft.runtime.triton_engine import TritonEngine

TEXT = """
net lm {{
  in tokens: i32[B, {length}]
  let table = embedding({vocab}, {width})
  tokens -> table -> layer_norm -> {head} as logits
}}
train {{
  steps = 1
  data tokens: i32[B, {length}], targets: i32[B, {length}] = npz("none.npz", batch={batch})
  step main updates lm {{
    optimizer = sgd(lr=1e-1)
    logits = tokens -> lm
    loss = {loss}
    metric accuracy = accuracy(logits, targets)
  }}
}}
"""
TIED = "linear({vocab}, bias=false, weight=table.weight)"
LOSS = "cross_entropy(logits, targets)"
CASES = {
    "tied": (TIED, LOSS),
    "bias": ("linear({vocab})", LOSS),
    "smoothed": (TIED, "cross_entropy(logits, targets, label_smoothing=0.1)"),
    "z_loss": ("linear({vocab})", "cross_entropy(logits, targets, z_loss=0.01)"),
    "capped": ("linear({vocab}) -> mul(0.2) -> tanh -> mul(5)", LOSS),
    "summed": (TIED, "cross_entropy(logits, targets, reduction=sum, ignore=none)"),
}


def _lowered(name: str, *, native: bool, precision: str = "f32", **sizes: int) -> Lowered:
    head, loss = CASES[name]
    text = TEXT.format(head=head.format(**sizes), loss=loss, **sizes)
    return lower(elaborate(weft.load_text(text, "lm.weft")), native=native, precision=precision)


def _pieces(lowered: Lowered, kind: str = "train") -> int:
    graph = lowered.entry(kind, "main").graph
    assert graph is not None
    return len({node.phase for node in graph if node.op == "contract" and node.phase})


SMALL = {"length": 13, "vocab": 37, "width": 12, "batch": 3}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut what is small, in three pieces."""
    monkeypatch.setattr(cut, "LARGE", 1)
    monkeypatch.setattr(cut, "DEEP", 1)
    monkeypatch.setattr(cut, "PIECES", 3)
    monkeypatch.setattr(cut, "EACH", 1)


def _batch(rows: int, *, ignored: bool) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(rows)
    shape = (rows, SMALL["length"])
    names = ("tokens", "targets")
    batch = {n: rng.integers(0, SMALL["vocab"], shape).astype(np.int32) for n in names}
    if ignored:
        batch["targets"][2, 3:9] = -100
    return batch


@pytest.mark.parametrize("name", CASES)
def test_pieces_compute_what_the_whole_does(name: str, request: pytest.FixtureRequest) -> None:
    whole = _lowered(name, native=True, **SMALL)
    request.getfixturevalue("small")
    pieces = _lowered(name, native=True, **SMALL)
    assert _pieces(whole) == 0
    assert _pieces(pieces) == _pieces(pieces, "evaluate") == 3
    batch = _batch(5, ignored="ignore" not in CASES[name][1])
    truth, engine = ReferenceEngine(whole), ReferenceEngine(pieces)
    for each in (truth, engine):
        fill_parameters(each.artifact, each.parameters, 3)
    want, gradient = truth.gradient("main", batch, index=0, seed=0)
    got, found = engine.gradient("main", batch, index=0, seed=0)
    assert got.values == pytest.approx(want.values, rel=1e-9)
    np.testing.assert_allclose(found, gradient, rtol=0, atol=1e-6 * np.abs(gradient).max())
    results = [e.evaluate("main", batch, index=0, seed=0).values for e in (engine, truth)]
    assert results[0] == pytest.approx(results[1], rel=1e-9)


@pytest.mark.parametrize(
    ("name", "target", "precision"),
    [
        ("tied", "cpu", "f32"),
        ("bias", "cpu", "f32"),
        ("tied", "interpret", "f32"),
        ("tied", "interpret", "f16"),
    ],
)
def test_kernels_of_pieces(
    name: str, target: str, precision: str, request: pytest.FixtureRequest
) -> None:
    native = target == "cpu"
    truth: Engine = ReferenceEngine(_lowered(name, native=native, precision=precision, **SMALL))
    request.getfixturevalue("small")
    lowered = _lowered(name, native=native, precision=precision, **SMALL)
    engine: Engine = (
        NativeEngine(compile_native(lowered), threads=2)
        if native
        else TritonEngine(compile_gpu(lowered, "interpret"))
    )
    for each in (engine, truth):
        fill_parameters(each.artifact, each.parameters, 3)
    batch = _batch(5, ignored=True) | ({FIELD: np.float32(8)} if precision == "f16" else {})
    want, gradient = truth.gradient("main", batch, index=0, seed=0)
    got, found = engine.gradient("main", batch, index=0, seed=0)
    assert got.values == pytest.approx(want.values, rel=1e-5)
    assert np.abs(found - gradient).max() <= 4e-6 * np.abs(gradient).max()
    if isinstance(engine, NativeEngine):
        for threads in (1, 3):
            other = NativeEngine(engine.artifact, threads=threads)
            fill_parameters(other.artifact, other.parameters, 3)
            again = other.gradient("main", batch, index=0, seed=0)[1]
            assert again.tobytes() == found.tobytes()
    if isinstance(engine, TritonEngine):
        engine.close()


@pytest.mark.parametrize(
    ("target", "precision"), [("cpu", "f32"), ("cuda:90", "f32"), ("cuda:90", "bf16")]
)
def test_the_logits_of_a_large_vocabulary_are_never_whole(target: str, precision: str) -> None:
    sizes = {"length": 128, "vocab": 50257, "width": 32, "batch": 16}
    lowered = _lowered("tied", native=target == "cpu", precision=precision, **sizes)
    artifact = compile_for(lowered, target)
    logits = 4 * sizes["batch"] * sizes["length"] * sizes["vocab"]
    for kind in ("train", "gradient", "evaluate"):
        workspace = artifact.entry(kind, "main").workspace
        assert evaluate(workspace, {**artifact.sizes, THREADS: 2}) <= logits / 7
    texts = {k.name for k in artifact.kernels if k.entry == "train_main"}
    assert len(texts) <= 24


def test_a_piece_is_larger_than_the_weight_that_all_of_them_read() -> None:
    """48 samples of 1,024 positions, width 256: 192 times the weight, but no more pieces than 32;
    one of them: 4 times.  Pieces are alike where they can be.
    """
    found = []
    for sizes in ((1024, 48), (1024, 16), (1024, 1), (1026, 4)):
        shape = {"length": sizes[0], "vocab": 50257, "width": 256, "batch": sizes[1]}
        found.append(_pieces(_lowered("tied", native=True, **shape)))
    assert found == [32, 16, 2, 3]


def test_pieces_share_their_weight_in_the_bound() -> None:
    """More pieces move more, and cannot make the least that has to be moved look larger."""
    sizes = {"length": 1024, "vocab": 50257, "width": 256, "batch": 4}
    ratios = []
    for most in (4, 32):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(cut, "PIECES", most)
            patch.setattr(cut, "FEWEST", most)
            for target in ("cpu", "cuda:90"):
                lowered = _lowered("tied", native=target == "cpu", **sizes)
                ratios.append(compile_for(lowered, target).traffic["main"]["traffic_ratio"])
    assert ratios[2] > 1.3 * ratios[0] and ratios[3] > 1.3 * ratios[1]


def test_rows_of_a_table_are_added_where_its_gradient_lies() -> None:
    """A GPU scatters onto what the pieces left, and moves those rows alone."""
    sizes = {"length": 128, "vocab": 50257, "width": 32, "batch": 16}
    artifact = compile_for(_lowered("tied", native=False, **sizes), "cuda:90")
    kernels = [k for k in artifact.kernels if k.entry == "train_main"]
    (scatter,) = [k for k in kernels if k.kind == "scatter"]
    rows = 4 * sizes["batch"] * sizes["length"] * sizes["width"]
    assert 3 * rows <= scatter.bytes <= 3.2 * rows
    table = 4 * sizes["vocab"] * sizes["width"]
    made = [k for k in kernels if set(scatter.writes) & set(k.writes) and k is not scatter]
    assert not [k for k in made if k.kind == "loops" and k.bytes >= table]
