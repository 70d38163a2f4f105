"""Triton kernels of convolutions and pools in the interpreter = reference, forward and backward."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from tests.laws.cases import B, Build, Case, f32
from tests.laws.harness import backward, build, feeds, graph_of, graphs_of
from tests.laws.kernels import Guarded, Key, check, check_order, emitted
from tests.laws.window_cases import (
    AHEAD,
    AHEAD_OF_POOLS,
    COTANGENTS,
    WINDOW_CASES,
    WRITERS,
    Geometry,
    _convolve_input,
    _convolve_weight,
    normalised,
    operands,
    pooled,
    shared,
    shifted,
    spread_back,
    square,
    summed,
)
from weft.compiler.emit.triton import window_kernels
from weft.compiler.emit.triton.tiles import Tile
from weft.compiler.ir.builder import Builder
from weft.compiler.ir.graph import Graph
from weft.compiler.ops.windows import turned

NOMINAL = {"B": 67, "T": 1}
SMALL, LARGE = {"B": 3, "T": 1}, {"B": 11, "T": 1}
DEEP = (
    square("deep", 5, 3, pad=1, channels=(40, 33)),
    square("deep_strided", 6, 3, stride=2, pad=1, channels=(24, 40)),
    square("deep_groups", 5, 3, pad=1, channels=(64, 48), groups=2),
    square("strided_groups", 6, 3, stride=2, pad=1, channels=(32, 48), groups=2),
    square("multiplied", 6, 3, stride=2, pad=1, channels=(4, 8), groups=4),
)


def _ridden(g: Geometry) -> Build:
    """Bias and relu behind a convolution, and sums of every channel over the pixels."""

    def build(b: Builder) -> dict[str, int]:
        x, w = operands(b, g)
        y = b.insert("convolve", (x, w), sizes=g.sizes, **shared(g))
        bias = b.broadcast(f32(b, "bias", g.channels[1]), (3,), b[y].shape)
        y = b.map("maximum", b.map("add", b.map("mul", y, 0.1), bias), 0.0)
        return {"y": y, "sums": b.sum(y, (0, 1, 2))}

    return build


def _adjoint_ridden(g: Geometry) -> Build:
    """A mask behind the adjoint of a convolution, and sums of every channel over the pixels."""

    def build(b: Builder) -> dict[str, int]:
        inputs, outputs = g.channels
        d = f32(b, "d", B, *g.sizes, outputs)
        u = turned(b, f32(b, "w", outputs, inputs // g.groups, *g.kernel))
        x = b.insert("convolve_input", (d, u), sizes=g.space, **shared(g))
        seen = b.map("gt", f32(b, "seen", B, *g.space, inputs), 0.0)
        y = b.map("where", seen, b.map("mul", x, 0.1), 0.0)
        return {"y": y, "sums": b.sum(y, (0, 1, 2))}

    return build


def _pointwise_image(b: Builder) -> dict[str, int]:
    """Single elements of an image with its channels first: sums over axes that lie apart."""
    x, w = f32(b, "x", B, 3, 5, 6), f32(b, "w", 4, 3, 1, 1)
    one = {"stride": (1, 1), "dilation": (1, 1), "low": (0, 0), "groups": 1, "sizes": (5, 6)}
    y = b.insert("convolve", (b.transpose(x, (0, 2, 3, 1)), w), **one)
    return {"y": b.map("mul", y, 0.1)}


RIDDEN = tuple(
    Case(f"{name}_{g.name}", make(g))
    for name, make in (("ridden", _ridden), ("adjoint_ridden", _adjoint_ridden))
    for g in DEEP
)
PROLOGUES = tuple(Case(f"normalised_{g.name}", normalised(g)) for g in AHEAD)
BACK = (square("odd", 3, 1, channels=(17, 35)), square("wide", 4, 1, channels=(150, 16)))
POOLED = tuple(Case(f"pooled_{g.name}", pooled(g)) for g in AHEAD_OF_POOLS)
WRITTEN = (
    *(Case(f"summed_{g.name}", summed(g)) for g in WRITERS),
    *(Case(f"back_{g.name}", spread_back(g)) for g in BACK),
)
SHIFTED = tuple(Case(f"shifted_{g.name}", shifted(g)) for g in AHEAD[:3])
ALONE = tuple(Case(g.name, spread_back(g, alone=True)) for g in COTANGENTS)
FORWARD = (
    *WINDOW_CASES,
    *ALONE,
    *SHIFTED,
    *RIDDEN,
    *PROLOGUES,
    *WRITTEN,
    *POOLED,
    *(Case(f"convolve_weight_{g.name}", _convolve_weight(g)) for g in DEEP),
)
SAMPLE = ("dilated_strided", "grouped", "depthwise", "oblong", "volume", "strided_pointwise")
AGAIN = (*(f"convolve_{name}" for name in SAMPLE), "pool_sum_oblong", "channels_first")
BACKWARD = (
    *(c for c in WINDOW_CASES if c.name in AGAIN),
    Case("pointwise_image", _pointwise_image),
)
ORDERED = (
    *RIDDEN[:5],
    *RIDDEN[6:7],
    *PROLOGUES[:3],
    WRITTEN[1],
    ALONE[0],
    POOLED[0],
    *(c for c in WINDOW_CASES if c.name in ("pool_max_even_kernel", "convolve_weight_depthwise")),
)


@pytest.fixture(scope="module")
def graphs() -> dict[Key, Graph]:
    found: dict[Key, Graph] = graphs_of(FORWARD)
    return found | {("backward", c.name): backward(c) for c in BACKWARD}


def _sizes(case: Case) -> Mapping[str, int]:
    return case.sizes[0] if case.name == "convolve_nothing" else SMALL


@pytest.mark.parametrize("case", FORWARD, ids=lambda c: c.name)
def test_forward(case: Case, guarded: Guarded, graphs: dict[Key, Graph]) -> None:
    key = "forward", case.name
    check(guarded, key, graphs[key], _sizes(case))


@pytest.mark.parametrize("case", BACKWARD, ids=lambda c: c.name)
def test_backward(case: Case, guarded: Guarded, graphs: dict[Key, Graph]) -> None:
    key = "backward", case.name
    check(guarded, key, graphs[key], SMALL)


@pytest.mark.slow
@pytest.mark.parametrize("case", FORWARD, ids=lambda c: c.name)
def test_several_blocks_of_rows(case: Case, guarded: Guarded, graphs: dict[Key, Graph]) -> None:
    if case.name != "convolve_nothing":
        check(guarded, ("forward", case.name), graphs["forward", case.name], LARGE)


@pytest.mark.parametrize("case", ORDERED, ids=lambda c: c.name)
def test_the_order_of_programs_does_not_show(
    case: Case, guarded: Guarded, graphs: dict[Key, Graph]
) -> None:
    key = "forward", case.name
    check_order(guarded, key, feeds(graphs[key], LARGE, positive=False))


# ---- what is made of what was loaded -------------------------------------------------------------


@pytest.mark.parametrize("case", PROLOGUES, ids=lambda c: c.name)
def test_normalised_values_are_not_stored(case: Case, graphs: dict[Key, Graph]) -> None:
    graph = graphs["forward", case.name]
    artifact = emitted({("forward", case.name): graph}, NOMINAL, "interpret")
    readers = [k for k in artifact.kernels if k.kind in ("convolution", "product")]
    assert all("x" in k.reads for k in readers if len(k.reads) > 1)
    written = {name for k in artifact.kernels for name in k.writes}
    assert not [name for name in written if name.startswith("maximum")]


@pytest.mark.parametrize("case", ALONE, ids=lambda c: c.name)
def test_a_cotangent_that_one_adjoint_reads_is_not_stored(
    case: Case, graphs: dict[Key, Graph]
) -> None:
    artifact = emitted({("forward", case.name): graphs["forward", case.name]}, NOMINAL, "cuda:90")
    (reader,) = [k for k in artifact.kernels if "x" in k.reads]
    assert {"d", "z"} < {*reader.reads}
    buffers = [b for b in artifact.entries[0].buffers if b.space == "workspace"]
    assert not [b for b in buffers if b.shape[0] == "B"]


@pytest.mark.parametrize("case", SHIFTED, ids=lambda c: c.name)
def test_maps_of_what_is_stored_anyway_are_not(case: Case, graphs: dict[Key, Graph]) -> None:
    artifact = emitted({("forward", case.name): graphs["forward", case.name]}, NOMINAL, "cuda:90")
    readers = [k for k in artifact.kernels if "shift" in k.reads]
    assert readers and all("pool_max" in k.reads for k in readers)
    assert "sub" not in {name for k in artifact.kernels for name in k.writes}


def test_many_taps_read_a_stored_cotangent() -> None:
    """Each tap would load both values again."""
    made = spread_back(square("taps", 5, 3, pad=1, channels=(16, 20)), alone=True)
    graph = graph_of(*build(Case("taps", made)))
    artifact = emitted({("forward", "taps"): graph}, NOMINAL, "cuda:90")
    (reader,) = [k for k in artifact.kernels if "x" in k.reads]
    assert "z" not in reader.reads


@pytest.mark.parametrize("case", WRITTEN, ids=lambda c: c.name)
def test_a_product_writes_what_it_reads(case: Case, graphs: dict[Key, Graph]) -> None:
    """The sum, or the cotangent, is stored by the product that is first to need it."""
    artifact = emitted({("forward", case.name): graphs["forward", case.name]}, NOMINAL, "cuda:90")
    (writer,) = [k for k in artifact.kernels if k.kind == "product" and {"z"} < {*k.reads}]
    images = [
        b for b in artifact.entries[0].buffers if b.space == "workspace" and len(b.shape) == 4
    ]
    assert [b.name for b in images if b.name in writer.writes] == [b.name for b in images]
    assert len(images) == 1


@pytest.mark.parametrize("case", POOLED, ids=lambda c: c.name)
def test_pools_make_what_they_read(case: Case, graphs: dict[Key, Graph]) -> None:
    """But for windows that tile the image: there one launch finds the maximum and what won it."""
    artifact = emitted({("forward", case.name): graphs["forward", case.name]}, NOMINAL, "cuda:90")
    written = {name for k in artifact.kernels for name in k.writes}
    assert ("sub" in written) == case.name.endswith("tiles")


def test_a_wide_product_reads_what_is_stored() -> None:
    """Of many blocks of columns each would have to read both values."""
    g = square("many", 4, 1, channels=(16, 600))
    artifact = emitted(
        {("forward", "many"): graph_of(*build(Case("many", summed(g))))}, NOMINAL, "cuda:90"
    )
    assert not [k for k in artifact.kernels if k.kind == "product" and "z" in k.reads]


# ---- what rides ----------------------------------------------------------------------------------


@pytest.mark.parametrize("case", RIDDEN, ids=lambda c: c.name)
def test_one_kernel_carries_what_follows(case: Case, graphs: dict[Key, Graph]) -> None:
    """The convolution itself is not stored, and the sums are finished by one more launch."""
    artifact = emitted({("forward", case.name): graphs["forward", case.name]}, LARGE, "cuda:90")
    kinds = [k.kind for k in artifact.kernels]
    assert kinds in (["convolution"], ["convolution", "finish"])
    assert "convolve" not in {b.name for e in artifact.entries for b in e.buffers}


def test_a_turned_weight_is_not_copied() -> None:
    graph = backward(next(c for c in WINDOW_CASES if c.name == "convolve_strided"))
    artifact = emitted({("backward", "strided"): graph}, NOMINAL, "cuda:90")
    made = {b.name: b.shape for e in artifact.entries for b in e.buffers}
    assert made["w"] == (8, 16, 3, 3)
    assert (3, 3, 8, 16) not in made.values()


# ---- forms that small cases do not take ----------------------------------------------------------


def _alone(make: Build, sizes: Mapping[str, int]) -> str:
    """Runs a case by itself, planned for `sizes`; the text of its kernels."""
    graph = graph_of(*build(Case("alone", make)))
    artifact = emitted({("forward", "alone"): graph}, sizes, "interpret")
    guarded = Guarded(artifact)
    check(guarded, ("forward", "alone"), graph, SMALL)
    guarded.engine.close()
    return artifact.files["kernels.py"]


@pytest.mark.parametrize("make", [_ridden, _adjoint_ridden])
@pytest.mark.parametrize("g", [DEEP[1], DEEP[4]], ids=lambda g: g.name)
def test_offsets_of_64_bits(make: Any, g: Geometry) -> None:
    assert ".to(tl.int64)" in _alone(make(g), {"B": 10_000_000, "T": 1})


def test_a_weight_gradient_of_many_pixels_has_64_bit_offsets() -> None:
    assert ".to(tl.int64)" in _alone(_convolve_weight(DEEP[1]), {"B": 10_000_000, "T": 1})


@pytest.mark.parametrize("g", [DEEP[0], DEEP[2]], ids=lambda g: g.name)
def test_programs_share_a_deep_sum(g: Geometry, monkeypatch: pytest.MonkeyPatch) -> None:
    choose = window_kernels.choose

    def split(*arguments: Any, **settings: Any) -> Tile:
        return replace(choose(*arguments, **settings), split=3)

    monkeypatch.setattr(window_kernels, "choose", split)
    text = _alone(_convolve_input(g) if g.groups > 1 else _ridden(g), NOMINAL)
    assert "split = tl.program_id" in text
    assert "for share in tl.static_range(1, 3)" in text


def _sized(b: Builder) -> dict[str, int]:
    """Images whose height is only known when they come."""
    x, w = f32(b, "x", B, B + 2, 5, 16), f32(b, "w", 4, 16, 3, 3)
    same = {"stride": (2, 1), "dilation": (1, 1), "low": (1, 1), "groups": 1}
    y = b.insert("convolve", (x, w), sizes=((B + 1) // 2 + 1, 5), **same)
    pooled = b.insert(
        "pool_max", (y,), kernel=(2, 2), stride=(1, 2), dilation=(1, 1), low=(1, 0),
        sizes=((B + 1) // 2 + 2, 2),
    )  # fmt: skip
    return {"y": b.map("mul", y, 0.1), "pooled": b.map("mul", pooled, 0.1)}


def test_sizes_that_calls_bring() -> None:
    assert "h_in" in _alone(_sized, NOMINAL)
