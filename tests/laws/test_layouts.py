"""A value is the same however it lies: weights that are made, reshaped, turned, or read in two
orders.
"""

from __future__ import annotations

import numpy as np
import pytest

from weft.compiler import reference
from weft.compiler.entries import EntryGraph
from weft.runtime.engine import parameter_view
from weft.runtime.program import CompiledProgram, compile

KERNEL = "weight w: f32[4, 4, 3, 3] = pytorch_conv()"
FLAT = "weight w: f32[144] = normal()"
GROUPS = "weight w: f32[72] = normal()"
TABLE = "weight w: f32[20, 36] = normal()"
SQUARE = "weight w: f32[9, 9] = normal(std=0.3)"
CASES = [
    (KERNEL, "x -> convolve(w)", "reshape(w, [4, 36])"),
    (KERNEL, "x -> convolve(2*w)", "reshape(2*w, [36, 4])"),
    (KERNEL, "x -> convolve(w)", "matmul(r, reshape(w, [36, 4]))"),
    (KERNEL, "x -> convolve(3*w)", "3*w"),
    (KERNEL, "x -> convolve(transpose(w, axes=[1, 0, 3, 2]))", "w"),
    (KERNEL, "x -> convolve(w[:, :, 1:, :2])", "reshape(w[:, :, 1:, :2], [16, 4])"),
    (KERNEL, "take(x, numbers([2, 0, 1, 2]), axis=1) -> convolve(w)", "w[0]"),
    (FLAT, "x -> convolve(reshape(w, [4, 4, 3, 3]))", "r"),
    (FLAT, "x -> convolve(reshape(2*w, [4, 4, 3, 3]))", "r"),
    (GROUPS, "x -> convolve(reshape(w, [8, 1, 3, 3]), groups=4)", "r"),
    (GROUPS, "x -> convolve(reshape(2*w, [4, 2, 3, 3]), groups=2)", "r"),
    (GROUPS, "x -> convolve_transpose(reshape(2*w, [4, 2, 3, 3]), groups=2)", "r"),
    (KERNEL, "tanh(x[:, :, :1, :1]) -> upsample(2, mode=bilinear, align_corners=true)", "w"),
    (KERNEL, "r[:, :3] -> scan(Cell(w), h=x)", "r"),
    (TABLE, "matmul(r, transpose(w))", "matmul(h, reshape(w, [36, 20])[:20])"),
    (TABLE, "matmul(h, w)", "matmul(r, reshape(w, [36, 20]))"),
    (SQUARE, "tanh(w) + transpose(tanh(w))", "matmul(r[:, :9], transpose(tanh(w)) - tanh(w))"),
    (SQUARE, "unsqueeze(tanh(w), axis=2)*unsqueeze(cos(tanh(w)), axis=1)", "w"),
    (SQUARE, "tanh(matmul(w, transpose(w)))", "cos(2*tanh(w) - transpose(tanh(w)))*w"),
]
"""A weight, and two things that are made of it."""

CELL = """block Cell(w) {
  in r: f32[B], h: f32[B, 4, 5, 6]
  tanh(convolve(h, w, pad=1) + reshape(r, [B, 1, 1, 1]))
}
"""

BATCH = 40  # more than a panel has
INPUTS = {"x": (BATCH, 4, 5, 6), "r": (BATCH, 36), "h": (BATCH, 20)}


def _spec() -> str:
    types = ", ".join(f"{n}: f32[{', '.join(('B', *map(str, s[1:])))}]" for n, s in INPUTS.items())
    nets = [
        f"net case_{i} {{\n  in {types}\n  {weight}\n  a = {one}\n  b = {other}\n"
        f"  unused = 0*(sum(x) + sum(r) + sum(h))\n  out a + unused, b + unused\n}}\n"
        for i, (weight, one, other) in enumerate(CASES)
    ]
    values = [f"    a_{i}, b_{i} = case_{i}(x, r, h)\n" for i in range(len(CASES))]
    loss = " + ".join(f"sum(a_{i}*a_{i}) + sum(b_{i}*b_{i})" for i in range(len(CASES)))
    updates = ", ".join(f"case_{i}" for i in range(len(CASES)))
    return (
        "\n".join([CELL, *nets])
        + f"train {{\n  steps = 1\n  data {types} = npz('none.npz', batch={BATCH})\n"
        f"  step main updates {updates} {{\n    optimizer = sgd(lr=0.1)\n{''.join(values)}"
        f"    loss = {loss}\n  }}\n}}\n"
    ).replace("'", '"')


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> CompiledProgram:
    path = tmp_path_factory.mktemp("layouts") / "layouts.weft"
    path.write_text(_spec(), encoding="utf-8")
    return compile(path, "cpu")


@pytest.fixture(scope="module")
def inputs() -> dict[str, np.ndarray]:
    random = np.random.default_rng(5)
    return {n: random.standard_normal(s).astype(np.float32) for n, s in INPUTS.items()}


def _truth(program: CompiledProgram, entry: EntryGraph, inputs: dict) -> dict[str, np.ndarray]:
    assert entry.graph is not None
    views = {
        p.name: parameter_view(program.engine.parameters, p) for p in program.artifact.parameters
    }
    return reference.run(entry.graph, {**views, **inputs}, {"B": BATCH})


@pytest.mark.parametrize("i", range(len(CASES)), ids=[f"{a} | {b}" for _, a, b in CASES])
def test_results(program: CompiledProgram, inputs: dict[str, np.ndarray], i: int) -> None:
    wanted = _truth(program, program.lowered.entry("forward", f"case_{i}"), inputs)
    found = program.engine.forward(f"case_{i}", inputs)
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-5, atol=1e-5, err_msg=name)


@pytest.fixture(scope="module")
def gradients(
    program: CompiledProgram, inputs: dict[str, np.ndarray]
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """What was found and what is right, by parameter."""
    entry = program.lowered.entry("gradient", "main")
    wanted = _truth(program, entry, inputs)
    _, arena = program.engine.gradient("main", inputs, index=0, seed=0)
    found = {p.name: parameter_view(arena, p) for p in program.artifact.parameters}
    return {name: (found[name], wanted[out]) for out, name in entry.gradients.items()}


@pytest.mark.parametrize("i", range(len(CASES)), ids=[f"{a} | {b}" for _, a, b in CASES])
def test_gradients(gradients: dict[str, tuple[np.ndarray, np.ndarray]], i: int) -> None:
    found, wanted = gradients[f"case_{i}.w"]
    size = float(np.abs(wanted).max())
    assert size > 0
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5 * size)
