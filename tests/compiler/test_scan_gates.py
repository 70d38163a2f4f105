"""Gates of a step: taken apart where their product is read, left behind, joined in one loop."""

from __future__ import annotations

import re

import pytest

from weft import compile
from weft.compiler.build import training_net
from weft.compiler.ir.builder import Builder
from weft.compiler.ops import OPS, RULES  # type: ignore[attr-defined]
from weft.compiler.passes.differentiate import differentiate
from weft.compiler.plan.layout import parameter_layouts
from weft.spec.load import load_text

from .built import program

WALKED = """
net n {{
  in x: f32[B, 4, 6]
  h{more} = x -> scan({cell}(5))
  h
}}
train {{
  steps = 1
  data x: f32[B, 4, 6], y: f32[B, 4, 5] = npz("unused.npz", batch=3)
  step main updates n {{
    optimizer = sgd(lr=0.1)
    loss = mse(n(x), y)
  }}
}}
"""
GATED = [WALKED.format(cell="lstm_cell", more=", _cells"), WALKED.format(cell="gru_cell", more="")]


@pytest.mark.parametrize("text", GATED)
def test_gates_are_left_behind(text: str) -> None:
    """Parts of a product are taken where it is read, and an adjoint computes no gate again."""
    b = Builder(OPS, RULES)
    made = training_net(program(text), "n")
    b.nodes = list(made.graph.nodes)
    (out,) = made.graph.outputs.values()
    weights = [n.id for n in b.nodes if n.op == "input"]
    found = differentiate(b, b.sum(out, (0, 1, 2)), weights)
    b.outputs = {str(i): found[i] for i in weights}
    graph = b.graph()
    forward, backward = dict.fromkeys(n["body"] for n in graph if n.op == "scan")
    for node in forward.nodes:
        source = forward.nodes[node.operands[0]].op if node.op == "slice" else "input"
        assert source in ("input", "contract")
    again = {*backward.reached(backward.results), *(n for n in graph if n.op != "scan")}
    assert not [n for n in again if OPS[n.op].flops >= 8 or n.op == "pad"]
    assert sum(n.op == "contract" for n in backward.nodes) == 1


@pytest.mark.parametrize("text", GATED)
def test_one_kernel_makes_a_step_in_c(text: str) -> None:
    """Cotangents of gates are written where the product reads them, all in one loop."""
    artifact = compile(load_text(text, "n.weft"), target="cpu").artifact
    source = "\n".join(t for name, t in artifact.files.items() if name.startswith("gradient"))
    loops = re.findall(r"^WEFT_(?:KERNEL|SHARED) void scan_.*?^}", source, re.DOTALL | re.MULTILINE)
    assert len(loops) == 2
    for loop in loops:
        step = loop[loop.index("const long t = ") :]
        names = set(re.findall(r"(compute_\w+)\(", step))
        assert len(names) <= 2, names


@pytest.mark.parametrize("text", GATED)
def test_weights_of_steps_lie_as_their_products_read_them(text: str) -> None:
    """As those of products outside of loops do."""
    wide = text.partition("train")[0].replace("(5)", "(64)")
    graph = training_net(program(wide), "n").graph
    weights = {n["feed"]: n.id for n in graph.inputs() if ".weight_" in n["feed"]}
    for layout in parameter_layouts(graph, weights, native=True).values():
        assert layout.strides[0] == 1


NORMALISED = """
block Cell(units) {
  in x: f32[B, D], h: f32[B, units], c: f32[B, units]
  i, f, o = (linear(x, 3*units) + (h -> linear(3*units) -> layer_norm)) -> split(3)
  cells = sigmoid(f)*c + sigmoid(i)*x[:, :units]
  squashed = cells -> layer_norm -> tanh
  out sigmoid(o)*squashed, cells
}
net n {
  in x: f32[B, 4, 64]
  h, _cells = x -> scan(Cell(48))
  h
}
train {
  steps = 1
  data x: f32[B, 4, 64], y: f32[B, 4, 48] = npz("unused.npz", batch=8)
  step main updates n {
    optimizer = sgd(lr=0.1)
    loss = mse(n(x), y)
  }
}
"""


def test_what_is_normalised_stays_whole() -> None:
    """Its moments are those of all gates: maps behind them would be computed part by part."""
    graph = training_net(program(NORMALISED), "n").graph
    (body,) = {node["body"] for node in graph if node.op == "scan"}
    read = {body.nodes[n.operands[0]].op for n in body.nodes if n.op == "slice"}
    assert "add" in read and "contract" not in read


def test_functions_of_several_passes_are_computed_once_in_c() -> None:
    """The second pass over the units, behind the mean of the first, reads what opened."""
    artifact = compile(load_text(NORMALISED, "n.weft"), target="cpu").artifact
    source = "\n".join(t for name, t in artifact.files.items() if name.startswith("gradient"))
    kernels = re.findall(
        r"^WEFT_(?:KERNEL|SHARED) void compute_.*?^}", source, re.DOTALL | re.MULTILINE
    )
    opening = [kernel for kernel in kernels if "weft_sigmoid(" in kernel]
    assert [kernel.count("weft_sigmoid(") for kernel in opening] == [3]
