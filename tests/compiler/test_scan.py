"""`scan` as the language has it: a cell written once is the same as its steps written out."""

from __future__ import annotations

import numpy as np
import pytest

from weft.compiler import reference
from weft.compiler.build import elaborate, training_net
from weft.compiler.ir.builder import Builder
from weft.compiler.ops import OPS, RULES  # type: ignore[attr-defined]
from weft.compiler.passes.differentiate import differentiate
from weft.spec.dims import evaluate
from weft.spec.load import load_text

from .built import buffers, gradients, net, program

B, T = 3, 4

CELL = """
block Cell(units, scale=1) {
  in x: f32[B, D], h: f32[B, units]
  f = concat(x, h, axis=1) -> linear(units) as forget -> sigmoid
  candidate = concat(x, f*h, axis=1) -> linear(units) as fresh -> tanh
  out (1 - f)*h + f*candidate*scale
}
"""

UNROLLED = """
block Walk {
  in x: f32[B, T, D], h: f32[B, U], w: f32[U, E], b: f32[U], v: f32[U, E], c: f32[U]
  h -> for t in range(4) { Turn(x[:, t], w, b, v, c) }
}
block Turn {
  in h: f32[B, U], x: f32[B, D], w: f32[U, E], b: f32[U], v: f32[U, E], c: f32[U]
  f = sigmoid(matmul(concat(x, h, axis=1), transpose(w)) + b)
  fresh = tanh(matmul(concat(x, f*h, axis=1), transpose(v)) + c)
  out (1 - f)*h + f*fresh
}
net n {
  in x: f32[B, 4, 6]
  weight w: f32[5, 11] = zeros()
  weight b: f32[5] = zeros()
  weight v: f32[5, 11] = zeros()
  weight c: f32[5] = zeros()
  weight start: f32[5] = zeros()
  out Walk(x, expand(start, [B, 5]), w, b, v, c)
}
"""

SCANNED = (
    CELL
    + """
net n {
  in x: f32[B, T, 6]
  weight start: f32[5] = zeros()
  h, last = x -> scan(Cell(5), h=start, return_state=true)
  last + 0*h[:, 0]
}
"""
)


def drawn(shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    return {name: random.normal(size=shape) for name, shape in shapes.items()}


WEIGHTS = {
    "w": ("scan.forget.weight", (5, 11)),
    "b": ("scan.forget.bias", (5,)),
    "v": ("scan.fresh.weight", (5, 11)),
    "c": ("scan.fresh.bias", (5,)),
    "start": ("start", (5,)),
}


def test_a_scan_is_its_steps_written_out() -> None:
    """Values and all gradients, of a start that is learned too."""
    fed = drawn({"x": (B, T, 6), **{f"n.{name}": s for name, (_, s) in WEIGHTS.items()}})
    cotangent = np.random.default_rng(1).normal(size=(B, 5))
    value, found = gradients(UNROLLED, fed, cotangent)
    named = {"x": fed["x"]} | {f"n.{path}": fed[f"n.{n}"] for n, (path, _) in WEIGHTS.items()}
    scanned, ours = gradients(SCANNED, named, cotangent)
    np.testing.assert_allclose(scanned, value, atol=1e-12)
    np.testing.assert_allclose(ours["x"], found["x"], atol=1e-12)
    for name, (path, _) in WEIGHTS.items():
        np.testing.assert_allclose(ours[path], found[name], atol=1e-12)


def test_gradients_of_gradients() -> None:
    """The adjoint is a scan, and has a derivative of its own."""
    made = training_net(program(SCANNED), "n")
    b = Builder(OPS, RULES)
    b.nodes = list(made.graph.nodes)
    (out,) = made.graph.outputs.values()
    inputs = {n["feed"]: n.id for n in b.nodes if n.op == "input" and ":" not in n["feed"]}
    loss = b.sum(b.map("mul", out, out), (0, 1))
    first = differentiate(b, loss, [inputs["x"]])[inputs["x"]]
    penalty = b.sum(b.map("mul", first, first), (0, 1, 2))
    wrt = [inputs[f"n.{path}"] for path, _ in WEIGHTS.values()]
    second = differentiate(b, penalty, wrt)
    b.outputs = {"penalty": penalty} | {str(i): second[i] for i in wrt}
    graph, sizes = b.graph(), {"B": 2, "T": 3}
    shapes = {n: tuple(evaluate(d, sizes) for d in b[i].shape) for n, i in inputs.items()}
    fed = drawn(shapes)
    found = reference.run(graph, fed, sizes)
    for path, _ in WEIGHTS.values():
        name = f"n.{path}"
        toward = np.random.default_rng(2).normal(size=shapes[name])
        moved = [
            reference.run(graph, {**fed, name: fed[name] + e * toward}, sizes)["penalty"]
            for e in (1e-6, -1e-6)
        ]
        slope = (moved[0] - moved[1]) / 2e-6
        assert np.isclose(slope, (found[str(inputs[name])] * toward).sum(), rtol=1e-5, atol=1e-7)


def test_the_product_of_a_sequence_stands_before_the_loop() -> None:
    """Nor is a weight's gradient summed within: no body has a product that does without a state."""
    made = training_net(program(SCANNED), "n")
    loops = [node for node in made.graph if node.op == "scan"]
    products = [n for n in loops[0]["body"].nodes if n.op == "contract"]
    assert len(loops) == 1 and len(products) == 2
    assert all(n.shape[1] == 5 for n in products)
    assert sum(node.op == "contract" for node in made.graph) == 2


def test_cells_in_loops_and_layers() -> None:
    """Stacked scans have weights of their own, uses of a layer share them."""
    text = (
        CELL
        + """
net n {
  in x: f32[B, T, 5]
  let cell = Cell(5, scale=0.5)
  let walk = scan(Cell(5))
  y = x -> repeat 2 as i { scan(Cell(5)) } as body -> scan(cell) -> scan(cell, reverse=true)
  z = y -> walk -> walk
  z -> linear(3)
}
"""
    )
    names = set(program(text).nets["n"].parameters)
    layers = {
        f"{stem}.{part}"
        for stem in ("body.0.scan", "body.1.scan", "cell", "walk")
        for part in ("forget.weight", "forget.bias", "fresh.weight", "fresh.bias")
    }
    found = {name.removeprefix("n.") for name in names}
    assert found - {"linear.weight", "linear.bias"} in (
        layers,
        {name.replace(".scan.", ".") for name in layers},
    )


def test_a_table_has_one_line_for_a_scan() -> None:
    (scan,) = (line for line in program(SCANNED).nets["n"].layers if line.op == "scan")
    assert (scan.path, scan.op, scan.parameters) == ("scan", "scan", 2 * (5 * 11 + 5))
    each = 2 * 2 * 5 * 11  # both products
    work = evaluate(scan.flops, {"B": 1, "T": 10})
    assert 10 * each < work < 20 * each


def test_random_numbers_are_drawn_in_every_step() -> None:
    text = """
block Cell {
  in x: f32[B, D], h: f32[B, D]
  h + uniform(shape(h)) + 0*x
}
net n {
  in x: f32[B, T, 2]
  x -> scan(Cell, h=zeros([B, 2]))
}
"""
    (y,) = net(text, {"x": np.zeros((B, T, 2))}).values()
    steps = np.diff(np.concatenate([np.zeros((B, 1, 2)), y], 1), axis=1).reshape(-1)
    assert len(set(steps.round(9))) == B * T * 2 and (steps >= 0).all() and (steps < 1).all()


def test_weights_are_dropped_alike_in_all_steps() -> None:
    text = "net n {\n  in x: f32[B, T, 6]\n  x -> scan(gru_cell(5, weight_dropout=0.3))\n}"
    graph = training_net(program(text), "n").graph
    assert [node.shape for node in graph if node.op == "random"] == [(15, 5)]
    (body,) = {node["body"] for node in graph if node.op == "scan"}
    assert "random" not in {node.op for node in body.nodes}


BOTH = """
block Sums {
  in x: f32[B, 3], total: f32[B]
  new = tanh(total + sum(x, axis=1))
  out new, x*expand(reshape(new, [B, 1]), [B, 3])
}
net n {
  in x: f32[B, T, 3]
  FLOW
}
"""


def test_both_ways_is_two_scans_side_by_side() -> None:
    """Numbers of a sample, which have no axis to stand on, get one."""
    fed = drawn({"x": (B, T, 3)})
    one = "s, y, last = x -> scan(Sums, both_ways=true, return_state=true)\n  out s, y, last"
    two = "a, c, e = x -> scan(Sums, return_state=true)\n"
    two += "  b, d, f = x -> scan(Sums, return_state=true, reverse=true)\n  out a, b, c, d, e, f"
    found = list(net(BOTH.replace("FLOW", one), fed).values())
    apart = list(net(BOTH.replace("FLOW", two), fed).values())
    assert [each.shape for each in found] == [(B, T, 2), (B, T, 6), (B, 2)]
    for both, left, right in zip(found, apart[::2], apart[1::2], strict=True):
        axis = [*left.shape, 1] if left.ndim < both.ndim else left.shape
        pair = [left.reshape(axis), right.reshape(axis)]
        np.testing.assert_array_equal(both, np.concatenate(pair, axis=-1))


def test_what_surrounds_a_cell_comes_in_by_its_settings() -> None:
    """Each step looks at all of an encoder's states."""
    text = """
block Looking(units) {
  in x: f32[B, D], h: f32[B, units], memory: f32[B, S, units]
  weights = softmax(squeeze(matmul(memory, unsqueeze(h, axis=2)), axis=2))
  seen = squeeze(matmul(unsqueeze(weights, axis=1), memory), axis=1)
  out tanh(x + seen + h), weights
}
net n {
  in x: f32[B, T, 4], memory: f32[B, S, 4]
  h, weights = x -> scan(Looking(4, memory=memory))
  concat(h, weights, axis=2)
}
"""
    fed = drawn({"x": (B, T, 4), "memory": (B, 5, 4)})
    (y,) = net(text, fed).values()
    h = np.zeros((B, 4))
    for t in range(T):
        scores = np.einsum("bsd,bd->bs", fed["memory"], h)
        weights = np.exp(scores - scores.max(1, keepdims=True))
        weights /= weights.sum(1, keepdims=True)
        h = np.tanh(fed["x"][:, t] + np.einsum("bs,bsd->bd", weights, fed["memory"]) + h)
        np.testing.assert_allclose(y[:, t], np.concatenate([h, weights], 1), atol=1e-12)


def test_scans_in_scans() -> None:
    """Rows of an image, each of which is read pixel by pixel."""
    text = """
block Pixels {
  in x: f32[B, D], h: f32[B, D]
  tanh(x + 0.5*h)
}
block Rows {
  in row: f32[B, W, D], h: f32[B, D]
  inner, last = row -> scan(Pixels, h=h, return_state=true)
  out last, mean(inner, axis=1)
}
net n {
  in image: f32[B, H, W, 3]
  image -> scan(Rows, h=zeros([B, 3])) -> add
}
"""
    fed = drawn({"image": (B, 2, 3, 3)})
    (y,), h = net(text, fed).values(), np.zeros((B, 3))
    for row in range(2):
        inner = []
        for column in range(3):
            h = np.tanh(fed["image"][:, row, column] + 0.5 * h)
            inner.append(h)
        np.testing.assert_allclose(y[:, row], h + np.mean(inner, axis=0), atol=1e-12)


ENDING = """
block Cell {
  in x: f32[B, 3], u: f32[B, 1], h: f32[B, 3], all: f32[B, 1]
  new = tanh(x*u + linear(h, 3, bias=false))
  out new, all + sum(new, axis=1, keep=true), new*h + 1, u
}
net n {
  in x: f32[B, T, 3], u: f32[B, T, 1], k: i32[B]
  weight start: f32[3] = zeros()
  h, sums, seen, same, last, total = (x, u) -> scan(Cell, h=start, return_state=true, lengths=k)
  concat(flatten(concat(h, sums, seen, same, axis=2)), last, total, axis=1)
}
"""


@pytest.mark.parametrize("reverse", ["", ", reverse=true"])
def test_sequences_of_several_lengths(reverse: str) -> None:
    """Each is walked as if it were alone and had no steps behind its end; gradients too."""
    lengths, steps, weights = (
        np.array([3, 0, 7, 1, 5, 9, -2]),
        7,
        {"start": (3,), "scan.linear.weight": (3, 3)},
    )
    parts = {f"n.{name}": shape for name, shape in weights.items()}
    fed = drawn({"x": (7, steps, 3), "u": (7, steps, 1), **parts})
    cotangent = np.random.default_rng(1).normal(size=(7, steps * 8 + 4))
    text = ENDING.replace(", lengths=k", ", lengths=k" + reverse)
    value, found = gradients(text, {**fed, "k": lengths}, cotangent)
    sums = {name: np.zeros(shape) for name, shape in weights.items()}
    for row, length in enumerate(np.clip(lengths, 0, steps)):
        read = [*range(8 * length), *range(8 * steps, 8 * steps + 4)]
        assert not np.delete(value[row], read).any()
        assert not any(found[name][row, length:].any() for name in ("x", "u"))
        if not length:
            np.testing.assert_array_equal(value[row, read], [*fed["n.start"], 0])
            sums["start"] += cotangent[row, read[:3]]
            continue
        alone = {name: fed[name] for name in parts}
        alone |= {name: fed[name][row : row + 1, :length] for name in ("x", "u")}
        text = ENDING.replace(", lengths=k", reverse).replace(", k: i32[B]", "")
        wanted, slopes = gradients(text, alone, cotangent[row : row + 1, read])
        np.testing.assert_allclose(value[row, read], wanted[0], atol=1e-12)
        for name in ("x", "u"):
            np.testing.assert_allclose(found[name][row, :length], slopes[name][0], atol=1e-12)
        sums = {name: total + slopes[name] for name, total in sums.items()}
    for name, total in sums.items():
        np.testing.assert_allclose(found[name], total, atol=1e-12)


CARRIED = (
    CELL
    + """
net n {
  in x: f32[B, T, 6]
  x -> scan(Cell(5), carry=8)
}
"""
)


def test_carried_states() -> None:
    """Training begins where the last batch ended, and leaves where this one ends."""
    parts = {path: s for path, s in WEIGHTS.values() if path != "start"}
    fed = drawn({"x": (B, T, 6), **parts, "scan.kept.h": (8, 5)})
    (whole,) = net(
        CARRIED.replace(", carry=8", ", h=given").replace(
            "x: f32[B, T, 6]\n  x", "x: f32[B, T, 6], given: f32[B, 5]\n  x"
        ),
        {k: v for k, v in fed.items() if "kept" not in k} | {"given": fed["scan.kept.h"][:B]},
    ).values()
    (found,) = net(CARRIED, fed, training=True).values()
    np.testing.assert_allclose(found, whole, atol=1e-12)
    kept = buffers(CARRIED, fed)["scan.kept.h"]
    np.testing.assert_allclose(kept[:B], whole[:, -1], atol=1e-12)
    assert not kept[B:].any()
    (fresh,) = net(CARRIED, fed).values()
    assert not np.allclose(fresh, whole)


@pytest.mark.parametrize("batch", ["4", "B", "2*B"])
def test_batches_of_any_size(batch: str) -> None:
    text = (
        CELL
        + f"""
net n {{
  in x: f32[{"4" if batch == "4" else "B"}, T, {"6" if batch != "2*B" else "12"}]
  y = x{" -> reshape([2*B, T, 6])" if batch == "2*B" else ""}
  y -> scan(Cell(5))
}}
"""
    )
    (type,) = elaborate(load_text(text, "n.weft")).nets["n"].outputs.values()
    assert type.shape[0] == (4 if batch == "4" else type.shape[0]) and type.shape[2] == 5


def test_equal_layers_have_equal_bodies() -> None:
    """So that kernels and the functions of loops are written once."""
    text = (
        CELL
        + """
net n {
  in x: f32[B, T, 5]
  x -> repeat 3 { layer_norm -> scan(Cell(5)) }
}
"""
    )
    loops = [node for node in program(text).nets["n"].graph if node.op == "scan"]
    assert len(loops) == 3 and len({loop["body"] for loop in loops}) == 1
