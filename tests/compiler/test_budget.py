"""A budget of memory: values are forgotten and made again, and nothing changes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import weft
from weft.compiler.artifact import Artifact
from weft.compiler.budget import divided, peak
from weft.compiler.build import elaborate
from weft.compiler.compile import compile_for, compile_gpu, compile_native, lower
from weft.compiler.lowered import Lowered
from weft.runtime.engine import Engine
from weft.runtime.initialise import fill_parameters
from weft.runtime.native_engine import NativeEngine
from weft.runtime.reference_engine import ReferenceEngine
from weft.runtime.triton_engine import TritonEngine
from weft.spec.errors import SpecError

TRAIN = """
train {{
  steps = 1
  {memory}
  data {data} = npz("none.npz", batch={batch})
  step main updates net_of {{
    optimizer = sgd(lr=0.1)
    loss = x -> net_of -> cross_entropy(t)
  }}
}}
"""
NETS = {
    "mlp": (
        "net net_of { in x: f32[B, 24]\n"
        " x -> repeat 7 { linear(128) -> gelu } -> linear(10) as y }",
        "x: f32[B, 24], t: i32[B]",
    ),
    "gpt": (
        "net net_of { in x: i32[B, 12]\n"
        " x -> embedding(19, 24) -> repeat 4 {"
        " residual { layer_norm -> attention(2, causal=true, dropout=0.1) }"
        " -> residual { layer_norm -> linear(48) -> gelu -> linear(24) -> dropout(0.1) } }"
        " -> linear(19) as y }",
        "x: i32[B, 12], t: i32[B, 12]",
    ),
    "resnet": (
        "block Unit { residual { conv(6, 3) -> batch_norm -> relu -> conv(6, 3) -> batch_norm }"
        " -> relu }\n"
        "net net_of { in x: f32[B, 3, 9, 9]\n"
        " x -> conv(6, 3) -> repeat 4 { Unit } -> global_avg_pool -> linear(5) as y }",
        "x: f32[B, 3, 9, 9], t: i32[B]",
    ),
}
SMALLER = {("mlp", "cpu"): 0.75, ("resnet", "cpu"): 0.8}
SMALLER |= {("mlp", "cuda:90"): 0.75, ("gpt", "cuda:90"): 0.5}
"""What is left of the memory, at least so much less of it, where the most is computed again."""


def _lowered(name: str, *, native: bool, batch: int = 64, memory: str = "") -> Lowered:
    net, data = NETS[name]
    text = net + TRAIN.format(data=data, batch=batch, memory=memory)
    return lower(elaborate(weft.load_text(text, "net.weft")), native=native)


def _peak(artifact: Artifact) -> int:
    return peak(artifact, artifact.entry("train", "main"))


@pytest.mark.parametrize(("name", "target"), SMALLER)
def test_budgets_are_met(name: str, target: str) -> None:
    native = target == "cpu"
    most = _peak(compile_for(_lowered(name, native=native, batch=4096), target))
    wanted = int(SMALLER[name, target] * most)
    lowered = _lowered(name, native=native, batch=4096, memory=f"memory = {wanted}")
    artifact = compile_for(lowered, target)
    assert _peak(artifact) <= wanted
    assert artifact.train is not None
    assert artifact.train["memory"] == wanted


def test_a_large_budget_changes_nothing() -> None:
    plain = compile_native(_lowered("gpt", native=True))
    assert compile_native(_lowered("gpt", native=True, memory='memory = "2 GiB"')).files == (
        plain.files
    )


def _batch(name: str, rows: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(rows)
    if name == "gpt":
        return {n: rng.integers(0, 19, (rows, 12)).astype(np.int32) for n in ("x", "t")}
    shape = (rows, 24) if name == "mlp" else (rows, 3, 9, 9)
    label = rng.integers(0, 5, rows).astype(np.int32)
    return {"x": rng.normal(size=shape).astype(np.float32), "t": label}


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("stretches", [2, 4])
def test_gradients_are_the_same(name: str, stretches: int) -> None:
    whole = _lowered(name, native=True)
    again = divided(whole, "main", stretches)
    engines = [ReferenceEngine(whole), ReferenceEngine(again)]
    for engine in engines:
        fill_parameters(engine.artifact, engine.parameters, 3)
    results = [e.gradient("main", _batch(name, 5), index=2, seed=4) for e in engines]
    assert results[0][0].values == results[1][0].values
    assert results[0][1].tobytes() == results[1][1].tobytes()
    counts = [len(e.lowered.entry("train", "main").graph or ()) for e in engines]
    assert counts[1] > counts[0]


@pytest.mark.parametrize(
    ("name", "target"), [("gpt", "cpu"), ("resnet", "cpu"), ("mlp", "interpret")]
)
def test_kernels_that_compute_again(name: str, target: str) -> None:
    whole = _lowered(name, native=target == "cpu")
    truth: Engine = ReferenceEngine(whole)
    again = divided(whole, "main", 3)
    again = replace(again, entries=tuple(e for e in again.entries if e.kind == "gradient"))
    engine: Engine
    if target == "cpu":
        engine = NativeEngine(compile_native(again), threads=2)
    else:
        engine = TritonEngine(compile_gpu(again, "interpret"))
    for each in (engine, truth):
        fill_parameters(each.artifact, each.parameters, 3)
    batch = _batch(name, 3)
    want, gradient = truth.gradient("main", batch, index=2, seed=4)
    got, found = engine.gradient("main", batch, index=2, seed=4)
    assert got.values == pytest.approx(want.values, rel=1e-5)
    assert np.abs(found - gradient).max() <= 1e-5 * np.abs(gradient).max()
    if isinstance(engine, TritonEngine):
        engine.close()


def test_what_cannot_be_met_says_the_least() -> None:
    lowered = _lowered("mlp", native=True, memory='memory = "1 kB"')
    with pytest.raises(SpecError, match=r"net.weft:5:12: error\[E507\]: step `main` takes at") as e:
        compile_native(lowered)
    assert str(e.value).splitlines()[1:3] == [
        '    5 |   memory = "1 kB"',
        "      |            ^^^^^^",
    ]


@pytest.mark.parametrize("memory", ['"2 gigs"', '"GiB"', '"0 MB"', "0", "-3", "[1]"])
def test_what_is_no_amount(memory: str) -> None:
    with pytest.raises(SpecError, match="E311"):
        _lowered("mlp", native=True, memory=f"memory = {memory}")
