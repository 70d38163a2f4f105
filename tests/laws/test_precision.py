"""Products in 16 bits: every case = the reference that rounds alike, on both printers; whole
networks against PyTorch's autocast; kernels for every architecture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import pytest
import torch
from torch import nn

import weft
from tests.laws.cases import Case
from tests.laws.harness import SEED, STEP, backward, build, entry_of, expected, feeds, graph_of
from tests.laws.kernels import Key, emitted
from tests.laws.primitive_cases import CASES
from tests.laws.window_cases import WINDOW_CASES
from weft.compiler.arena import Arena
from weft.compiler.artifact import Artifact
from weft.compiler.build import elaborate
from weft.compiler.compile import compile_gpu, lower
from weft.compiler.ir.graph import Graph
from weft.compiler.ir.types import TensorType
from weft.compiler.native import emit_native
from weft.compiler.ops import new_builder
from weft.compiler.passes.reduce_precision import PRODUCTS, reduce_precision
from weft.runtime.gate import cross_compiled
from weft.runtime.native_engine import NativeEngine
from weft.runtime.triton_engine import TritonEngine
from weft.spec.dims import symbol

DIGITS = {"bf16": 2.0**-8, "f16": 2.0**-11}
"""Half the distance of neighbours, relative to them."""

SAMPLE = (
    "contract_ik,kj->ij", "contract_bhik,bhjk->bhij", "contract_i,i->",
    "convolve_same", "convolve_strided", "convolve_depthwise_wide", "convolve_input_grouped",
)  # fmt: skip

NOMINAL = {"B": 67, "T": 3}


def _multiplies(graph: Graph) -> bool:
    return any(node.op in PRODUCTS for node in graph)


def _sample() -> list[Case]:
    found = [c for c in (*CASES, *WINDOW_CASES) if c.name in SAMPLE]
    assert len(found) == len(SAMPLE)
    return found


def _graphs(cases: Iterable[Case]) -> dict[Key, tuple[Case, Graph]]:
    found: dict[Key, tuple[Case, Graph]] = {}
    for case in cases:
        found["forward", case.name] = case, graph_of(*build(case))
        if case.smooth:
            found["backward", case.name] = case, backward(case)
    return {key: pair for key, pair in found.items() if _multiplies(pair[1])}


def _agree(what: str, got: np.ndarray, want: np.ndarray, dtype: str) -> None:
    """Equal but for sums that end beside a half, and what stays in a kernel and is not rounded."""
    assert np.array_equal(np.isnan(got), np.isnan(want)), what
    scale = max(1.0, float(np.abs(np.nan_to_num(want)).max(initial=0.0)))
    apart = np.abs(np.nan_to_num(got - want)).max(initial=0.0)
    assert apart <= 16 * DIGITS[dtype] * scale, (what, apart)


def test_cases_interpreted() -> None:
    cases = _graphs(_sample())
    graphs = {k: reduce_precision(g, "f16", packed=True) for k, (_, g) in cases.items()}
    engine = TritonEngine(emitted(graphs, NOMINAL, "interpret"), "interpret")
    try:
        for key, (case, _) in cases.items():
            sizes = case.sizes[min(1, len(case.sizes) - 1)]
            fed = feeds(graphs[key], sizes, positive=case.positive)
            call = engine._run(*key, fed, index=STEP, seed=SEED)
            got = {p.name: engine._output(call, i) for i, p in enumerate(call.entry.outputs)}
            for name, value in expected(graphs[key], fed, sizes).items():
                _agree(f"{key} {name} at {sizes}", got[name], value, "f16")
    finally:
        engine.close()


@pytest.mark.parametrize("dtype", ["bf16", "f16"])
def test_cases_in_c(dtype: str) -> None:
    cases = _graphs(_sample())
    graphs = {k: reduce_precision(g, dtype, packed=False) for k, (_, g) in cases.items()}
    entries = [entry_of(graph, *key) for key, graph in graphs.items()]
    files, records, kernels, _ = emit_native(entries, Arena({}, {}, 0), {}, NOMINAL, "laws")
    found = tuple(records), tuple(kernels)
    engine = NativeEngine(
        Artifact("laws", "cpu", dtype, files, {}, (), 0, (), *found, NOMINAL, None, {})
    )
    for key, (case, _) in cases.items():
        for sizes in case.sizes[:2]:
            fed = feeds(graphs[key], sizes, positive=case.positive)
            got = engine.call(*key, fed, seed=SEED, index=STEP)
            for name, value in expected(graphs[key], fed, sizes).items():
                _agree(f"{key} {name} at {sizes}", got[name], value, dtype)


def test_rounding_in_c_is_numpys() -> None:
    """Every pattern of the upper bits, halves between neighbours, the largest and the smallest."""
    bits = np.arange(0, 1 << 32, 4093, dtype=np.uint64).astype(np.uint32)
    near = np.arange(1 << 16, dtype=np.uint32) << 16
    halves = np.concatenate([near | k for k in (0x7FFF, 0x8000, 0x8001, 0x0FFF, 0x1000, 0x1001)])
    x = np.concatenate([bits, near, halves]).view(np.float32)
    with np.errstate(over="ignore"):
        want = x.astype(np.float16).astype(np.float32)
    got = _rounded(x, "f16")
    assert np.array_equal(got, want, equal_nan=True)
    torch_bf16 = torch.from_numpy(x.copy()).to(torch.bfloat16).float().numpy()
    assert np.array_equal(_rounded(x, "bf16"), torch_bf16, equal_nan=True)


def _rounded(x: np.ndarray, dtype: str) -> np.ndarray:
    b = new_builder()
    given = b.input("x", TensorType("f32", (symbol("B"),)))
    graph = graph_of(b, {"y": b.cast(b.cast(given, dtype), "f32")})
    entries = [entry_of(graph, "forward", "round")]
    files, records, kernels, _ = emit_native(entries, Arena({}, {}, 0), {}, {"B": 64}, "round")
    found = tuple(records), tuple(kernels)
    artifact = Artifact("r", "cpu", "f32", files, {}, (), 0, (), *found, {"B": 64}, None, {})
    return NativeEngine(artifact).call("forward", "round", {"x": x}, seed=0, index=0)["y"]


# ---- networks ------------------------------------------------------------------------------------

TRAIN = """
train {{
  steps = 5
  data x: {x}, label: {label} = npz("unused.npz", batch=9)
  step main updates n {{
    optimizer = sgd(lr=0.01)
    loss = x -> n -> cross_entropy(label)
  }}
}}
"""

MLP = (
    "net n {\n  in x: f32[B, 37]\n"
    "  x -> linear(50) -> layer_norm -> gelu -> linear(29) -> tanh -> linear(7) as y\n}\n"
    + TRAIN.format(x="f32[B, 37]", label="i32[B]")
)
CONVOLUTION = (
    "net n {\n  in x: f32[B, 3, 9, 9]\n"
    "  x -> conv(16, 3, pad=1) -> gelu -> conv(16, 3, groups=16, pad=1) -> gelu\n"
    "    -> conv(18, 3, stride=2, pad=1) -> gelu -> flatten -> linear(7) as y\n}\n"
    + TRAIN.format(x="f32[B, 3, 9, 9]", label="i32[B]")
)
TRANSFORMER = (
    "net n {\n  in x: i32[B, 13]\n  x -> embedding(19, 24)\n"
    "    -> residual { layer_norm -> attention(heads=3, causal=true) }\n"
    "    -> residual { layer_norm -> linear(48) -> gelu -> linear(24) }\n"
    "    -> layer_norm -> linear(7) as y\n}\n" + TRAIN.format(x="i32[B, 13]", label="i32[B, 13]")
)


def _mlp() -> nn.Module:
    return nn.Sequential(
        nn.Linear(37, 50), nn.LayerNorm(50), nn.GELU(), nn.Linear(50, 29), nn.Tanh(),
        nn.Linear(29, 7),
    )  # fmt: skip


def _convolution() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.GELU(), nn.Conv2d(16, 16, 3, groups=16, padding=1),
        nn.GELU(), nn.Conv2d(16, 18, 3, stride=2, padding=1), nn.GELU(), nn.Flatten(),
        nn.Linear(450, 7),
    )  # fmt: skip


def _gradients(twin: nn.Module, x: torch.Tensor, label: torch.Tensor, dtype: str) -> np.ndarray:
    twin.zero_grad()
    kind = torch.bfloat16 if dtype == "bf16" else torch.float16
    with torch.autocast("cpu", kind, enabled=dtype != "f64"):
        loss = nn.functional.cross_entropy(twin(x), label)
    loss.backward()
    return np.concatenate([p.grad.double().numpy().ravel() for p in twin.parameters()])


@pytest.mark.parametrize("dtype", ["bf16", "f16"])
@pytest.mark.parametrize(
    ("text", "make", "shape"),
    [(MLP, _mlp, (9, 37)), (CONVOLUTION, _convolution, (9, 3, 9, 9))],
    ids=["mlp", "convolution"],
)
def test_as_near_as_autocast(
    text: str, make: Callable[[], nn.Module], shape: tuple[int, ...], dtype: str
) -> None:
    torch.manual_seed(0)
    twin, x, label = make(), torch.randn(shape), torch.randint(0, 7, (9,))
    program = weft.compile(weft.load_text(text, "n.weft"), "cpu", dtype)
    names = [p.name for p in program.artifact.parameters]
    given = dict(zip(names, twin.parameters(), strict=True))
    program.load_state_dict({name: p.detach() for name, p in given.items()})
    _, found = program.value_and_grad({"x": x, "label": label.int()})
    got = np.concatenate([found[name].numpy().ravel() for name in names])
    theirs = _gradients(twin, x, label, dtype)
    exact = _gradients(twin.double(), x.double(), label, "f64")
    error, other = (float(np.sqrt(np.mean((g - exact) ** 2))) for g in (got, theirs))
    assert 0 < error <= 3 * other


@pytest.mark.parametrize(
    "target",
    [
        "cuda:90",
        *(pytest.param(t, marks=pytest.mark.sweep) for t in ("cuda:80", "cuda:100", "hip:gfx942")),
    ],
)
def test_kernels_compile(target: str) -> None:
    lowered = lower(
        elaborate(weft.load_text(TRANSFORMER, "n.weft")), native=False, precision="bf16"
    )
    _, reports = cross_compiled(lowered, target)
    assert all(r.ok for r in reports), [r for r in reports if not r.ok]


def test_weights_and_what_is_kept_have_16_bits() -> None:
    program = elaborate(weft.load_text(MLP, "n.weft"))
    low, full = (
        compile_gpu(lower(program, native=False, precision=p), "cuda:90") for p in ("bf16", "f32")
    )
    buffers = low.entry("gradient", "main").buffers
    narrow = [b for b in buffers if b.dtype == "bf16"]
    assert sum(b.name.startswith("n_") for b in narrow) >= 3
    assert {b.dtype for b in buffers if b.space in ("gradient", "parameter", "output")} == {"f32"}
    moved, before = (each.traffic["main"]["product_bytes"] for each in (low, full))
    assert moved < 0.7 * before


def test_precisions_that_there_are_not() -> None:
    spec = weft.load_text(MLP, "n.weft")
    with pytest.raises(weft.UsageError, match="no precision `f8`"):
        weft.compile(spec, "cpu", "f8")
    with pytest.raises(weft.UsageError, match="interpreter gets bf16 wrong"):
        weft.compile(spec, "interpret", "bf16")
    assert weft.compile(spec, "reference", "bf16").artifact.precision == "f64"
