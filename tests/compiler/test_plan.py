"""Fusion reaches the hand-written kernels: how many groups, which bytes, which levels."""

from __future__ import annotations

import math
from collections.abc import Callable

import networkx as nx
import numpy as np
import pytest

from tests.laws.cases import f32
from tests.laws.harness import backward, build, graph_of
from tests.laws.primitive_cases import CASES
from weft.compiler.artifact import evaluate
from weft.compiler.ir.graph import Graph
from weft.compiler.ir.types import TensorType
from weft.compiler.ops import new_builder
from weft.compiler.passes.differentiate import differentiate
from weft.compiler.plan.device import DeviceFusion
from weft.compiler.plan.fuse import Fusion
from weft.compiler.plan.layout import row_major
from weft.compiler.plan.memory import Request, expression, pack, split_scale
from weft.compiler.plan.product import product_of
from weft.compiler.plan.space import space
from weft.compiler.plan.values import Values
from weft.spec import dims

SIZES = {"B": 64, "T": 8}
B = dims.symbol("B")
NORM = 64 * 8 * 33 * 4  # bytes of the layer norm's tensor


def _case(name: str, direction: Callable[..., Graph]) -> Fusion:
    case = next(c for c in CASES if c.name == name)
    graph = backward(case) if direction is backward else graph_of(*build(case))
    return Fusion(Values(graph, SIZES))


def _bytes(fusion: Fusion) -> int:
    return sum(map(fusion.cost, fusion.groups))


@pytest.mark.parametrize(
    ("name", "direction", "groups", "tensors"),
    [
        ("layer_norm", graph_of, 1, 2),
        ("layer_norm", backward, 1, 2),
        ("softmax", graph_of, 1, None),
        ("softmax", backward, 1, None),
        ("mixed_sums", graph_of, 1, None),
    ],
)
def test_composites_are_one_kernel(
    name: str, direction: Callable[..., Graph], groups: int, tensors: int | None
) -> None:
    fusion = _case(name, direction)
    assert len(fusion.groups) == groups
    if tensors is not None:
        assert _bytes(fusion) <= tensors * NORM + 4 * 33 * 4


def test_fusion_moves_fewer_bytes_than_a_kernel_for_each_value() -> None:
    for case in CASES:
        graph = graph_of(*build(case))
        values = Values(graph, SIZES)
        assert _bytes(Fusion(values)) <= _bytes(Fusion(values, fused=False)), case.name


@pytest.mark.parametrize("form", [Fusion, DeviceFusion])
def test_what_shares_a_channel_only_is_not_walked_by_one_kernel(form: type[Fusion]) -> None:
    """Two images of different sizes with one bias: their places would be walked in pairs."""
    b = new_builder()
    large, small = f32(b, "large", B, 8, 6, 16), f32(b, "small", B, 4, 6, 16)
    bias = f32(b, "bias", 16)
    for name, image in (("y", large), ("z", small)):
        wide = b.broadcast(bias, (3,), b[image].shape)
        b.outputs[name] = b.map("maximum", b.map("add", image, wide), 0.0)
    fusion = form(Values(b.graph(), {"B": 64}))
    assert len(fusion.groups) == 2


@pytest.mark.parametrize("form", [Fusion, DeviceFusion])
@pytest.mark.parametrize("direction", [graph_of, backward])
def test_no_kernel_walks_more_than_its_widest_value(
    form: type[Fusion], direction: Callable[..., Graph]
) -> None:
    for case in (c for c in CASES if c.smooth):
        graph = backward(case) if direction is backward else graph_of(*build(case))
        values = Values(graph, SIZES)
        for roots in form(values).groups:
            found = math.prod(
                dims.evaluate(e, SIZES) for e in space(values, roots).extents.values()
            )
            folded = [o for r in roots for o in graph[r].operands]
            assert found <= max(map(values.count, (*roots, *folded))), case.name


def test_a_loss_head_is_one_kernel_forward_and_backward() -> None:
    b = new_builder()
    z, label = b.input("z", TensorType("f32", (B, 10))), b.input("label", TensorType("i32", (B,)))
    at_label = b.map("eq", b.iota((B, 10), 1), b.broadcast(label, (0,), (B, 10)))
    picked = b.sum(b.map("where", at_label, z, 0.0), (1,))
    loss = b.sum(b.map("sub", b.reduce("logsumexp", z, (1,)), picked), (0,))
    b.outputs = {"loss": loss, "d_z": differentiate(b, loss, [z])[z]}
    fusion = Fusion(Values(b.graph(), SIZES))
    assert len(fusion.groups) == 1
    assert _bytes(fusion) == 2 * 64 * 10 * 4 + 64 * 4 + 4


def _woven(seed: int) -> Graph:
    """Products and stored maps that read each other at random."""
    rng = np.random.default_rng(seed)
    b = new_builder()
    weight, outputs = f32(b, "w", 7, 7), {}
    made = [f32(b, f"x{i}", B, 7) for i in range(3)]
    for k in range(60):
        first, second = (made[int(i)] for i in rng.integers(max(0, len(made) - 25), len(made), 2))
        if rng.random() < 0.35:
            made.append(b.contract("ik,kj->ij", first, weight))
        else:
            made.append(b.map("mul", b.map("tanh", first), second))
            outputs[f"y{k}"] = made[-1]
    return graph_of(b, outputs)


def _launches(fusion: Fusion) -> nx.DiGraph:
    """Which kernel hands a value to which."""
    graph, base = fusion.values.graph, fusion.values.base
    home = {root: group for group in fusion.groups for root in group}
    network = nx.DiGraph()
    for node in graph:
        if node.op == "contract":
            network.add_edges_from((home.get(base(o), o), node.id) for o in node.operands)
    for group in fusion.groups:
        network.add_edges_from((home.get(base(i), base(i)), group) for i in fusion.reads(group))
    return network


@pytest.mark.parametrize("form", [Fusion, DeviceFusion])
def test_no_kernel_runs_both_before_and_after_another(form: type[Fusion]) -> None:
    for seed in range(60):
        fusion = form(Values(_woven(seed), {"B": 64}))
        assert nx.is_directed_acyclic_graph(_launches(fusion)), seed


def test_blocks_of_memory_overlap_only_when_their_lifetimes_do_not() -> None:
    requests = [Request(("v", k), 16 * (k + 1) * (B if k % 2 else 1), k, k + 2) for k in range(9)]
    packing = pack(requests, SIZES)
    places = [
        (evaluate(expression(packing.offsets[r.key]), SIZES), dims.evaluate(r.span, SIZES), r)
        for r in requests
    ]
    for k, (start, length, one) in enumerate(places):
        assert start + length <= dims.evaluate(packing.total, SIZES)
        for other_start, other_length, other in places[:k]:
            apart = other.last < one.first or one.last < other.first
            assert apart or start + length <= other_start or other_start + other_length <= start


def test_scales_split_into_number_and_polynomial() -> None:
    lead = ((B + 15) // 16) * 16
    assert split_scale(48) == (48, 1)
    assert split_scale(lead * 10) == (160, (B + 15) // 16)
    assert evaluate(expression(lead * 10 + 3), {"B": 17}) == 323


@pytest.mark.parametrize(
    ("spec", "a", "c", "swapped", "extents"),
    [
        ("mk,nk->mn", (B, 7), (5, 7), False, (B, 5, 7)),
        ("mk,kn->nm", (B, 7), (7, 5), True, (5, B, 7)),
        ("btk,kn->btn", (B, 8, 7), (7, 5), False, (B * 8, 5, 7)),
        ("bmk,bkn->bmn", (B, 3, 7), (B, 7, 5), False, (3, 5, 7)),
    ],
)
def test_contractions_are_read_as_products(
    spec: str,
    a: tuple[object, ...],
    c: tuple[object, ...],
    swapped: bool,
    extents: tuple[object, ...],
) -> None:
    b = new_builder()
    y = b.contract(spec, b.input("a", TensorType("f32", a)), b.input("c", TensorType("f32", c)))
    b.outputs = {"y": y}
    graph = b.graph()
    found = product_of(graph, graph[y], lambda i: row_major(graph[i].shape))
    assert found.swapped == swapped
    assert (found.m.extent, found.n.extent, found.k.extent) == extents
