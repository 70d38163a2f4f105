"""Every kernel compiles for every architecture: no spills, tensor cores, enough shared memory."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from tests.laws.cases import B, Case
from tests.laws.conftest import Share
from tests.laws.harness import backward
from tests.laws.kernels import ARCHITECTURES, emitted, passed
from tests.laws.test_interpreted import NOMINAL, law_graphs
from weft.compiler.artifact import Artifact
from weft.compiler.ir.builder import Builder
from weft.compiler.ir.types import TensorType
from weft.compiler.ops import new_builder
from weft.compiler.passes.reduce_precision import reduce_precision
from weft.runtime.crosscompile import compile_module
from weft.runtime.gate import gated
from weft.spec.dims import symbol

LARGE = {"B": 8192, "T": 64}
SAMPLE = (
    "layer_norm",
    "softmax",
    "mixed_sums",
    "chain",
    "embedding",
    "random",
    "tables",
    "contract_ki,kj->ij",
    "contract_bhik,bhjk->bhij",
)


def _check(artifact: Artifact, target: str, names: list[str]) -> None:
    records = {k.name: k.compile for k in artifact.kernels if k.name in names}
    reports = compile_module(
        artifact.files["kernels.py"], [dict(r) for r in records.values() if r], target
    )
    assert [r.kernel for r in reports] == list(records)
    failures = [f"{r.kernel}: {', '.join(r.failures)}" for r in reports if not r.ok]
    assert not failures


def _operations(text: str, name: str) -> frozenset[str]:
    """What a kernel calls: kernels that call the same functions compile alike."""
    body = re.split(r"@triton\.jit\n", text[text.index(f"def {name}(") :])[0]
    return frozenset(re.findall(r"([\w.]+)\(", re.sub(r'""".*?"""', "", body, flags=re.DOTALL)))


def _distinct(artifact: Artifact) -> list[str]:
    """One kernel for each set of operations."""
    text = artifact.files["kernels.py"]
    found: dict[frozenset[str], str] = {}
    for k in artifact.kernels:
        found.setdefault(_operations(text, k.name) - {k.name}, k.name)
    return list(found.values())


def _sampled(target: str, sizes: dict[str, int]) -> Artifact:
    graphs = {key: graph for key, graph in law_graphs().items() if key[1] in SAMPLE}
    return emitted(graphs, sizes, target)


@pytest.mark.parametrize("target", ["cuda:90", "hip:gfx942"])
def test_a_sample_compiles(target: str) -> None:
    artifact = _sampled(target, NOMINAL)
    names = _distinct(artifact)
    assert len(names) > 15
    _check(artifact, target, names)


def test_no_kernel_uses_atomics() -> None:
    artifact = emitted(law_graphs(), NOMINAL, "cuda:90")
    assert "atomic" not in artifact.files["kernels.py"]


@pytest.mark.slow
@pytest.mark.parametrize("sizes", [NOMINAL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("target", ARCHITECTURES)
def test_every_kernel_compiles(target: str, sizes: dict[str, int], share: Share) -> None:
    """For one architecture and one size, and of those that compile alike one; or for all in a
    sweep.
    """
    number = 2 * ARCHITECTURES.index(target) + (sizes is LARGE)
    graphs = law_graphs()
    dealt = share(graphs, number, 10)

    def emit(levels: Mapping[str, int]) -> Artifact:
        artifact = emitted(dealt, sizes, target, levels)
        if len(dealt) == len(graphs):
            return artifact
        names = _distinct(artifact)
        return replace(artifact, kernels=tuple(k for k in artifact.kernels if k.name in names))

    artifact, reports = gated(emit, target)
    assert {r.kernel for r in reports} == {k.name for k in artifact.kernels}
    assert all(r.ok for r in reports)


@pytest.mark.slow
def test_kernels_compile_for_sizes_of_one(share: Share) -> None:
    """Triton makes an argument of 1 a constant of the kernel."""
    artifact = emitted(share(law_graphs(), 0, 8), NOMINAL, "cuda:90")
    records: dict[str, dict[str, Any]] = {}
    for k in artifact.kernels:
        record = dict(k.compile or {})
        sizes = [p[0] for p in record["parameters"] if p[1] == "i32"]
        pointers = [p for p in record["parameters"] if p[1] != "i32"]
        if sizes:
            constants = dict.fromkeys(sizes, 1)
            records[k.name] = {**record, "parameters": pointers, "constants": constants, "dots": 0}
    reports = compile_module(artifact.files["kernels.py"], list(records.values()), "cuda:90")
    assert not [r for r in reports if not r.ok]


def test_a_single_channel_of_any_image_compiles() -> None:
    """Pixels that lie apart times one row of weights: its addresses have to span a block."""
    h, w = symbol("H"), symbol("W")
    b = new_builder()
    x = b.input("x", TensorType("f32", (B, h, w, 64)))
    weight = b.input("weight", TensorType("f32", (1, 64)))
    b.outputs = {"y": b.contract("bhwc,oc->bhwo", x, weight)}
    artifact = emitted({("forward", "one"): b.graph()}, {**NOMINAL, "H": 9, "W": 7}, "cuda:90")
    reports = compile_module(
        artifact.files["kernels.py"], [dict(k.compile or {}) for k in artifact.kernels], "cuda:90"
    )
    assert reports and all(r.ok for r in reports)


def _row_kept(b: Builder) -> dict[str, int]:
    """Three large reads of a row that stays in registers."""
    x, y, z = (b.input(name, TensorType("f32", (B, 4096))) for name in ("x", "y", "z"))
    value = b.map("sub", b.map("mul", x, y), z)
    mean = b.broadcast(b.mean(value, (1,)), (0,), (B, 4096))
    return {"centred": b.map("sub", value, mean)}


def test_a_kept_row_that_is_refused_gets_threads_and_then_passes() -> None:
    """Refused once: more threads; refused again: the row is read pass by pass."""
    builder = new_builder()
    builder.outputs = _row_kept(builder)
    key, graph = ("forward", "rows"), builder.graph()
    (kernel,) = emitted({key: graph}, NOMINAL, "cuda:80").kernels
    tried = [
        emitted({key: graph}, NOMINAL, "cuda:80", {str((kernel.compile or {})["key"]): level})
        for level in range(4)
    ]
    records = [dict(a.kernels[0].compile or {}) for a in tried]
    assert [r["warps"] for r in records] == [8, 16, 4, 4]
    assert ["for " in a.files["kernels.py"] for a in tried] == [False, False, True, True]
    for artifact, record in zip(tried, records, strict=True):
        (report,) = compile_module(artifact.files["kernels.py"], [record], "cuda:80")
        assert report.ok


@pytest.mark.parametrize("target", ["cuda:80", "cuda:86"])
def test_what_two_sums_over_rows_are_made_of_fits_beside_the_product(target: str) -> None:
    """At the first tile: the adjoint of a normalised layer, which adds to another cotangent."""
    b, rows = new_builder(), (symbol("B"), 768)
    d, w = b.input("d", TensorType("f32", (B, 128))), b.input("w", TensorType("f32", (128, 768)))
    x, other = (b.input(name, TensorType("f32", rows)) for name in ("x", "other"))
    gain = b.broadcast(b.input("gain", TensorType("f32", (768,))), (1,), rows)
    scaled = b.map("mul", x, gain)
    d_y = b.map("where", b.map("gt", scaled, 0.0), b.contract("bo,oi->bi", d, w), 0.0)
    b.outputs = {
        "d_x": b.map("add", other, b.map("mul", d_y, gain)),
        "d_bias": b.sum(d_y, (0,)),
        "d_gain": b.sum(b.map("mul", d_y, x), (0,)),
    }
    artifact = emitted({("forward", "layer"): b.graph()}, {"B": 50_176}, target)
    (product,) = [k.name for k in artifact.kernels if k.compile and k.compile["dots"]]
    _check(artifact, target, [product])


@pytest.mark.parametrize("dtype", ["f32", "bf16"])
def test_large_products_take_a_hoppers_own_instructions(dtype: str) -> None:
    """`wgmma`, forward and for both gradients, with what rides behind."""

    def layer(b: Builder) -> dict[str, int]:
        x, w = (
            b.input("x", TensorType("f32", (B, 768))),
            b.input("w", TensorType("f32", (3072, 768))),
        )
        bias = b.broadcast(b.input("bias", TensorType("f32", (3072,))), (1,), (B, 3072))
        return {"y": b.map("tanh", b.map("add", b.contract("ik,jk->ij", x, w), bias))}

    graph = backward(Case("layer", layer))
    if dtype != "f32":
        graph = reduce_precision(graph, dtype, packed=True)
    artifact, reports = passed({("backward", "layer"): graph}, {"B": 8192}, "cuda:90")
    products = {k.name for k in artifact.kernels if k.compile and k.compile["dots"]}
    assert len(products) == 3
    assert all(r.instructions["wgmma"] for r in reports if r.kernel in products)
