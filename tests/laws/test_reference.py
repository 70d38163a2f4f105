"""signature = reference's shape; gradient = finite differences in float64."""

from __future__ import annotations

import numpy as np
import pytest

from tests.laws.cases import Case
from tests.laws.harness import SEED, STEP, build, expected, feeds, graph_of
from tests.laws.primitive_cases import CASES
from tests.laws.scan_cases import SCAN_CASES
from tests.laws.window_cases import PLACED_CASES, WINDOW_CASES
from weft.compiler import reference
from weft.compiler.ir.types import TensorType
from weft.compiler.ops import OPS, RULES, new_builder  # type: ignore[attr-defined]
from weft.compiler.passes.differentiate import differentiate
from weft.spec.dims import evaluate

EPSILON = 1e-6
ALL = (*CASES, *WINDOW_CASES, *PLACED_CASES, *SCAN_CASES)


def test_every_op_has_a_case() -> None:
    """`joined` is written for C alone, where it takes no time (test_scan.py), and so are winners
    (test_winners.py); `all_reduce` is put in by `join` alone (test_exchange.py).
    """
    used = {node.op for case in ALL for node in build(case)[0].nodes} | {"joined"}
    rest = {"moments", "squares", "scatter_add", "stop_gradient", "convolve_weight_put"}
    rest.add("all_reduce")
    assert set(OPS) - used - rest == set()
    assert set(RULES) <= set(OPS)


@pytest.mark.parametrize("case", ALL, ids=lambda c: c.name)
def test_inferred_shape_is_the_reference_shape(case: Case) -> None:
    b, outputs = build(case)
    graph = graph_of(b, outputs)
    for sizes in case.sizes:
        values = reference.run_all(graph, feeds(graph, sizes, positive=case.positive), sizes)
        for i, value in values.items():
            assert value.shape == tuple(evaluate(d, sizes) for d in graph[i].shape)


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_sums_in_order_are_the_same_sums(case: Case) -> None:
    b, outputs = build(case)
    graph = graph_of(b, outputs)
    for sizes in case.sizes:
        fed = feeds(graph, sizes, positive=case.positive)
        want, got = (reference.run(graph, fed, sizes, in_order=order) for order in (False, True))
        for name, value in want.items():
            np.testing.assert_allclose(got[name], value, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("op", ["sum", "logsumexp"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_sums_in_order_of_what_is_not_finite(op: str, value: float) -> None:
    x = np.where(np.arange(12).reshape(3, 4) % 5 == 0, value, 1.0)
    x[1] = value
    assert OPS[op].in_order is not None
    with np.errstate(invalid="ignore"):
        want, got = (f(x, axes=(1,)) for f in (OPS[op].reference, OPS[op].in_order))
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("case", [c for c in ALL if c.smooth], ids=lambda c: c.name)
def test_gradient_is_the_finite_difference(case: Case) -> None:
    b, outputs = build(case)
    real = {name: i for name, i in outputs.items() if b[i].dtype == "f32"}
    rng = np.random.default_rng(1)
    sizes = case.sizes[min(1, len(case.sizes) - 1)]
    total, weights = None, {}
    for name, i in real.items():
        weight = b.input(f"weight_{name}", b[i].type)
        weights[f"weight_{name}"] = rng.normal(size=tuple(evaluate(d, sizes) for d in b[i].shape))
        part = b.sum(b.map("mul", i, weight), range(len(b[i].shape)))
        total = part if total is None else b.map("add", total, part)
    wrt = {
        n["feed"]: n.id
        for n in b.nodes
        if n.op == "input" and n.dtype == "f32" and not n["feed"].startswith("weight_")
    }
    assert total is not None
    found = differentiate(b, total, list(wrt.values()))
    graph = graph_of(b, {"loss": total, **{f"d_{name}": found[i] for name, i in wrt.items()}})
    fed = {
        name: x.astype(np.float64) if x.dtype == np.float32 else x
        for name, x in feeds(graph, sizes, positive=case.positive).items()
    } | weights
    result = reference.run(graph, fed, sizes, seed=SEED, step=STEP)
    for name in wrt:
        flat = fed[name].reshape(-1)
        for k in rng.permutation(flat.size)[:6]:
            before, slopes = flat[k], []
            for sign in (1, -1):
                flat[k] = before + sign * EPSILON
                slopes.append(reference.run(graph, fed, sizes, seed=SEED, step=STEP)["loss"])
            flat[k] = before
            slope = (slopes[0] - slopes[1]) / (2 * EPSILON)
            assert result[f"d_{name}"].reshape(-1)[k] == pytest.approx(slope, rel=1e-3, abs=1e-5)


def test_expected_is_deterministic() -> None:
    case = next(c for c in CASES if c.name == "random")
    b, outputs = build(case)
    graph = graph_of(b, outputs)
    fed = feeds(graph, case.sizes[1], positive=False)
    first, second = (expected(graph, fed, case.sizes[1]) for _ in range(2))
    assert all(np.array_equal(first[k], second[k]) for k in first)


@pytest.mark.parametrize(
    "spec",
    [
        "ik,kj->ij",
        "bik,bkj->bij",
        "bqhd,bkhd->bhqk",
        "btg,btu->gu",
        "ab,cd->ad",
        "i,i->",
        "abc,c->ba",
    ],
)
@pytest.mark.parametrize("extent", [0, 1, 3])
def test_products_are_those_of_einsum(spec: str, extent: int) -> None:
    inputs, _ = spec.split("->")
    random = np.random.default_rng(0)
    sizes = {
        letter: extent if letter in "kta" else 2 + i for i, letter in enumerate("abcdghijkqtu")
    }
    x, y = (random.normal(size=[sizes[letter] for letter in text]) for text in inputs.split(","))
    got = OPS["contract"].reference(x, y, spec=spec)
    np.testing.assert_allclose(got, np.einsum(spec, x, y), rtol=1e-12, atol=1e-12)


def test_what_lies_behind_a_change_is_computed_again() -> None:
    b = new_builder()
    x, w = (b.input(name, TensorType("f32", (3,))) for name in "xw")
    b.outputs = {"y": b.map("mul", b.map("exp", x), w)}
    graph, fed = b.graph(), {"x": np.arange(3.0), "w": np.ones(3)}
    values = reference.run_all(graph, fed, {})
    for changed in ({"w": np.full(3, 2.0)}, {"x": np.ones(3)}, {}):
        want = reference.run(graph, {**fed, **changed}, {})["y"]
        np.testing.assert_array_equal(reference.run_again(graph, values, changed, "y", {}), want)
