"""The cells of the library, and specs around them, as graphs: forward, and with all gradients."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tests.laws.harness import feeds, graph_of
from tests.laws.kernels import Key
from weft.compiler.build import elaborate, training_net
from weft.compiler.ir.graph import Graph
from weft.compiler.passes.differentiate import differentiate
from weft.spec.load import load_text

UNITS = {"tiny": 6, "small": 18, "large": 200}

CELLS = {
    "rnn": "x -> scan(rnn_cell({units}))",
    "lstm": "h, c = x -> scan(lstm_cell({units}))\n  out h*(1 + c)",
    "gru": "x -> scan(gru_cell({units}))",
    "reversed": "x -> scan(gru_cell({units}, bias=false), reverse=true)",
    "carried": "x -> scan(gru_cell({units}), carry=40)",
    "cut": "x -> scan(gru_cell({units}), lengths=n)",
    "masked": "x -> scan(Masked({units}, 0.3))",
    "normalised": "x -> scan(Normalised({units}))",
    "heads": "x -> scan(Heads({units}))",
    "outer": "_m, y = x -> scan(Outer, m=zeros([B, 3, 3]))\n  out y",
    "nested": "h, means = image -> scan(Rows({units}))\n  out h*means",
}

BLOCKS = """\
block Normalised(units) {
  in x: f32[B, D], h: f32[B, units]
  a = (linear(x, units) + linear(h, units, bias=false)) -> layer_norm
  out (tanh(a) -> rms_norm)
}
block Heads(units) {
  in x: f32[B, D], h: f32[B, units]
  q = h -> linear(units) -> reshape([B, 2, units//2])
  k = x -> linear(units) -> reshape([B, 2, units//2])
  weights = softmax(q*k)
  out weights -> reshape([B, units]) -> linear(units) -> tanh
}
block Outer {
  in x: f32[B, D], m: f32[B, D, D]
  s = 0.9*m + unsqueeze(x, axis=2)*unsqueeze(tanh(x), axis=1)
  out s, sum(s*unsqueeze(x, axis=1), axis=2)
}
block Masked(units, rate) {
  in x: f32[B, D], h: f32[B, units]
  out concat(x, h, axis=1) -> linear(units) -> tanh -> dropout(rate)
}
block Rows(units) {
  in row: f32[B, W, D], h: f32[B, units]
  inner, last = row -> scan(gru_cell(units), h=h, return_state=true)
  out last + 0.1*h, mean(inner, axis=1)
}
"""

INPUTS = {"cut": "x: f32[B, T, 3], n: i32[B]", "nested": "image: f32[B, T, 2, 3]"}


def cell_graphs(names: Mapping[str, tuple[str, ...]]) -> dict[Key, Graph]:
    """The graphs of cells in these sizes, as they are trained."""
    found: dict[Key, Graph] = {}
    for name, sizes in names.items():
        for size in sizes:
            found["forward", f"{name}_{size}"] = _graph(name, UNITS[size], gradients=False)
            found["backward", f"{name}_{size}"] = _graph(name, UNITS[size], gradients=True)
    return found


def _graph(name: str, units: int, *, gradients: bool) -> Graph:
    """What the net gives and leaves in its buffers, or the gradients of a curved function of it."""
    flow = CELLS[name].format(units=units)
    text = f"{BLOCKS}net cells {{\n  in {INPUTS.get(name, 'x: f32[B, T, 3]')}\n  {flow}\n}}\n"
    net = training_net(elaborate(load_text(text, "cells.weft")), "cells")
    b = net.builder
    outputs = {name: b.outputs[name] for name in net.outputs}
    if not gradients:
        kept = {name: i for name, i in net.buffers.items() if b[i].op != "input"}
        return graph_of(b, {**outputs, **{f"kept_{name}": i for name, i in kept.items()}})
    total = b.constant(0.0)
    for i in outputs.values():
        total = b.map("add", total, b.sum(b.map("mul", b.map("tanh", i), i), (0, 1, 2)))
    inputs = [n for n in b.nodes if n.op == "input" and n.dtype == "f32"]
    wrt = {str(n["feed"]): n.id for n in inputs if n["feed"] not in net.buffers}
    found = differentiate(b, total, list(wrt.values()))
    return graph_of(b, {f"d_{name}": found[i] for name, i in wrt.items()})


def cell_feeds(graph: Graph, sizes: Mapping[str, int]) -> dict[str, np.ndarray]:
    """Weights as large as they begin, and lengths of all kinds."""
    fed = feeds(graph, sizes, positive=False)
    for name, value in fed.items():
        if name == "n":
            fed[name] = np.arange(len(value), dtype=np.int32) % (sizes["T"] + 1)
        elif "weight" in name:
            fed[name] = value / np.float32(np.sqrt(value.shape[-1]))
    return fed
