"""Batch norms behind products to more channels: the same numbers, and no product of that width."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pytest

import weft
from weft.compiler import reference
from weft.compiler.build import elaborate, training_net
from weft.compiler.compile import compile_gpu, lower
from weft.compiler.explain import report
from weft.compiler.ir.builder import Builder
from weft.compiler.ir.graph import Graph
from weft.compiler.ir.verify import verify
from weft.compiler.ops import OPS
from weft.compiler.passes.differentiate import differentiate
from weft.compiler.passes.fold_norms import fold_norms
from weft.compiler.plan.loaded import LoadedValues
from weft.compiler.plan.traffic import is_symmetric

SIZES = {"B": 64}
IMAGE, ROWS = "f32[B, 6, 5, 5]", "f32[B, 6]"
WIDE = "conv(12, 1, bias=false) -> batch_norm"
FIRST = "conv(5, 3) -> batch_norm -> relu"


@dataclass(frozen=True, slots=True)
class Case:
    """A net, the images or rows that it takes, and how many products of rows with themselves."""

    layers: str
    grams: int = 1
    takes: str = IMAGE
    batch: int = 3


CASES = {
    "activated": Case(f"{FIRST} -> {WIDE} -> relu"),
    "with a bias": Case(f"{FIRST} -> conv(12, 1) -> batch_norm -> relu"),
    "rows": Case(
        "linear(5) -> batch_norm -> gelu -> linear(16) -> batch_norm -> tanh",
        takes=ROWS,
        batch=9,
    ),
    "without gain and shift": Case(f"{FIRST} -> conv(12, 1) -> batch_norm(affine=false)"),
    "one after the other": Case(f"{FIRST} -> {WIDE} -> relu -> conv(24, 1) -> batch_norm", 2),
    "behind a pool": Case(f"{FIRST} -> max_pool(3, stride=2, pad=1) -> {WIDE} -> relu"),
    "strides": Case(f"{FIRST} -> conv(12, 1, stride=2) -> batch_norm"),
    "two of the same rows": Case(f"{FIRST} -> residual {{ {WIDE} | {WIDE} }} -> relu"),
    "a stream of residuals": Case(
        f"conv(10, 1) -> batch_norm -> residual {{ {FIRST} -> conv(10, 1) -> batch_norm }}"
        f" -> relu -> residual {{ {FIRST} -> conv(10, 1) -> batch_norm }}",
        2,
    ),
    "scaled twice": Case(f"{FIRST} -> {WIDE} -> scale_by -> relu", 1),
    "one row": Case(
        "linear(4) -> batch_norm -> relu -> linear(8) -> batch_norm", takes=ROWS, batch=1
    ),
}
LEFT = {
    "one channel": f"conv(1, 3) -> batch_norm -> silu -> {WIDE}",
    "no wider": f"{FIRST} -> conv(9, 1) -> batch_norm",
    "windows": f"{FIRST} -> conv(12, 3) -> batch_norm",
    "groups": f"{FIRST} -> conv(10, 1, groups=5) -> batch_norm",
    "nobody knows about what": "conv(5, 3) -> relu -> conv(12, 1) -> batch_norm",
    "drawn": f"{FIRST} -> dropout(0.5) -> {WIDE}",
    "read twice": f"{FIRST} -> conv(12, 1) -> branch {{ batch_norm | relu }} -> concat(axis=1)",
    "another norm": f"{FIRST} -> conv(12, 1) -> instance_norm",
}


def built(layers: str, takes: str = IMAGE) -> tuple[Builder, dict[str, int], set[str]]:
    """A net in training mode with its loss and running statistics; the names of these."""
    text = f"""
block scale_by {{
  in x: f32[B, C, H, W]
  weight by: f32[C] = ones()
  0.5*(3 - x*reshape(by, [1, C, 1, 1]))
}}
net n {{
  in x: {takes}
  x -> {layers} as y
}}
"""
    net = training_net(elaborate(weft.load_text(text, "n.weft")), "n")
    b, (y, *_) = net.builder, net.builder.outputs.values()
    cotangent = b.input("cotangent", b[y].type)
    loss = b.sum(b.map("mul", y, cotangent), range(len(b[y].shape)))
    return b, {"y": y, "loss": loss, **net.buffers}, set(net.buffers)


def with_gradients(b: Builder, roots: Mapping[str, int], left_out: set[str]) -> Graph:
    fed = {n["feed"]: n.id for n in b.nodes if n.op == "input" and n["feed"] not in left_out}
    found = differentiate(b, roots["loss"], list(fed.values()))
    b.outputs = {**roots, **{f"d_{name}": found[i] for name, i in fed.items()}}
    return verify(b.graph(), OPS)


def numbers(graph: Graph, batch: int) -> dict[str, np.ndarray]:
    rng, found = np.random.default_rng(0), {}
    for node in graph.inputs():
        shape = [batch if not isinstance(e, int) else e for e in node.shape]
        found[node["feed"]] = rng.normal(size=shape) + 0.5 * (len(shape) == 1)
    return found


def grams(graph: Graph) -> int:
    products = (n for n in graph if n.op in ("contract", "convolve_weight"))
    return sum(n.operands[0] == n.operands[1] for n in products)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_everything_is_as_without(case: Case) -> None:
    """Outputs, running statistics and all gradients."""
    b, roots, buffers = built(case.layers, case.takes)
    folded, new = fold_norms(b, roots, SIZES)
    plain, other = with_gradients(b, roots, buffers), with_gradients(folded, new, buffers)
    assert (grams(plain), grams(other)) == (0, case.grams)
    feeds, sizes = numbers(plain, case.batch), {"B": case.batch}
    want, got = (reference.run(graph, feeds, sizes) for graph in (plain, other))
    for name, value in want.items():
        scale = np.abs(value).max() if case.batch > 1 else 1.0
        assert np.abs(got[name] - value).max() <= 1e-9 * max(scale, 1e-3), name


@pytest.mark.parametrize("layers", LEFT.values(), ids=LEFT)
def test_what_cannot_fold_or_gains_nothing_is_left_alone(layers: str) -> None:
    b, roots, _ = built(layers)
    folded, new = fold_norms(b, roots, SIZES)
    assert grams(Graph(folded.nodes, new)) == 0


def test_few_rows_are_left_alone() -> None:
    b, roots, _ = built(CASES["rows"].layers, ROWS)
    assert fold_norms(b, roots, {"B": 8}) == (b, roots)


TRAINED = """
net n {{
  in x: f32[B, 8, 4, 4]
  x -> conv(16, 1, bias=false) -> batch_norm(bias_init=constant({offset}))
    -> conv(64, 1, bias=false) -> batch_norm as y
}}
train {{
  steps = 1
  data x: f32[B, 8, 4, 4], target: f32[B, 64, 4, 4] = npz("unused.npz", batch=64)
  step main updates n {{
    optimizer = sgd(lr=0.1)
    loss = x -> n -> mse(target)
  }}
}}
"""


def test_a_mean_of_a_thousand_costs_no_more_digits_than_its_own_last() -> None:
    """Variances of 1 about 1000; sums of squares of 1000 would leave one digit of them."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(64, 8, 4, 4)).astype(np.float32)
    batch = {"x": x, "target": rng.normal(size=(64, 64, 4, 4)).astype(np.float32)}
    spec = weft.load_text(TRAINED.format(offset=1000), "n.weft")
    programs = [weft.compile(spec, target=target) for target in ("cpu", "reference")]
    (loss, grads), (wanted, exact) = (p.value_and_grad(batch, step="main") for p in programs)
    assert abs(float(loss) - float(wanted)) < 1e-5
    for name in ("n.y.weight", "n.y.bias", "n.conv_2.weight"):
        want = np.asarray(exact[name])
        assert np.abs(np.asarray(grads[name]) - want).max() <= 1e-3 * np.abs(want).max(), name


def test_a_gpu_stores_nothing_of_that_width() -> None:
    """Rows are loaded, not stored; their sum rides in the product of all with all."""
    text = TRAINED.format(offset=0).replace("-> batch_norm as y", "-> batch_norm -> relu as y")
    program = elaborate(weft.load_text(text, "n.weft"))
    lowered = lower(program, native=False)
    artifact = compile_gpu(lowered, "cuda:90")
    entry = artifact.entry("train", "main")
    wide = [b for b in entry.buffers if len(b.shape) == 4 and b.shape[-1] == 64]
    assert len(wide) <= 2  # the prediction, and its cotangent
    assert "about_centre" not in {b.name for b in entry.buffers}
    (said,) = report(lowered, artifact)["steps"]["main"]["folded"]
    assert said.endswith("n.conv_2")


def test_sums_of_activated_rows_ride_where_statistics_run() -> None:
    """Though the numbers that the rows lie about are stored for the running mean."""
    text = TRAINED.format(offset=0).replace("-> conv(64", "-> relu -> conv(64")
    lowered = lower(elaborate(weft.load_text(text, "n.weft")), native=False)
    artifact = compile_gpu(lowered, "cuda:90")
    step = [k for k in artifact.kernels if k.entry == "train_main"]
    assert not [k for k in step if k.kind == "loops" and "sum_about_centre" in k.writes]
    (gram,) = [k for k in step if "gram_partial" in k.writes]
    assert "sum_about_centre_partial" in gram.writes


def test_products_of_a_block_and_its_projection_are_one_launch() -> None:
    """Each makes its rows of what it loads; the bound knows no products of symmetric matrices."""
    block = f"{FIRST} -> residual {{ {WIDE} | conv(6, 3) -> batch_norm -> relu -> {WIDE} }} -> relu"
    layers = block.replace("conv(5,", "conv(16,").replace("conv(6,", "conv(32,")
    b, roots, _ = built(layers.replace("conv(12,", "conv(64,"))
    folded, new = fold_norms(b, roots, SIZES)
    values = LoadedValues(Graph(folded.nodes, new), SIZES)
    (terms,) = values.totals.values()
    assert [folded[i].op for i in terms] == ["convolve", "convolve"]
    assert len(values.ahead) >= 2
    squares = [n for n in values.graph if n.op == "convolve_weight"]
    assert len(squares) == 2 and all(is_symmetric(values, n) for n in squares)
    assert not any(is_symmetric(values, n) for n in values.graph if n.op == "convolve")
