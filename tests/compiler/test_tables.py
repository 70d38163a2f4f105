"""Listed numbers: what is made of them alone is a table again, and kernels hold it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import weft
from weft.compiler import reference
from weft.compiler.build import elaborate
from weft.compiler.ir.printer import line
from weft.compiler.ops.leaves import LISTED
from weft.spec.errors import SpecError
from weft.spec.load import load_text

TEXT = "net test {{\n  in x: f32[B, 1, 6, 6]\n{body}\n}}\n"


def graph_of(body: str) -> Any:
    text = TEXT.format(body="\n".join(f"  {part}" for part in body.split("; ")))
    return elaborate(load_text(text, "test.weft")).nets["test"].graph


@pytest.mark.parametrize(
    ("made", "wanted"),
    [
        ("transpose(t)", [[1, 3, 5], [2, 4, 6]]),
        ("reshape(t, [2, 3])", [[1, 2, 3], [4, 5, 6]]),
        ("stack(t, t*2, axis=0)", [[[1, 2], [3, 4], [5, 6]], [[2, 4], [6, 8], [10, 12]]]),
        ("concat(t, full([1, 2], 7), axis=0)", [[1, 2], [3, 4], [5, 6], [7, 7]]),
        ("t[1:]", [[3, 4], [5, 6]]),
        ("flip(t, axis=0)", [[5, 6], [3, 4], [1, 2]]),
        ("unsqueeze(t, axis=0) + numbers([1, -1])", [[[2, 1], [4, 3], [6, 5]]]),
        ("sqrt(cast(t*t, f32))", [[1, 2], [3, 4], [5, 6]]),
        ("where(t > 2, t, 0.5)", [[0.5, 0.5], [3, 4], [5, 6]]),
        ("t//2%2", [[0, 1], [1, 0], [0, 1]]),
        ("pad(t, [0, 1])", [[0, 1, 2, 0], [0, 3, 4, 0], [0, 5, 6, 0]]),
    ],
)
def test_what_is_made_of_listed_numbers(made: str, wanted: Any) -> None:
    graph = graph_of(f"t = numbers([[1, 2], [3, 4], [5, 6]]); y = {made}; out x[0, 0, 0, 0]*y")
    result = reference.run(graph, {"x": np.ones((1, 1, 6, 6))}, {"B": 1})
    assert next(iter(result.values())).tolist() == wanted
    kept = {"concat", "transpose", "reshape", "pad", "where", "sqrt", "floordiv"}
    if ">" not in made and "flip" not in made:
        assert not kept & {node.op for node in graph}


def test_one_number_everywhere_is_no_table() -> None:
    graph = graph_of("out x*numbers([[2, 2], [2, 2]])[0, 0]")
    assert "table" not in {node.op for node in graph}


def test_whole_numbers_are_weights_and_indices() -> None:
    body = "k = numbers([[0, 1], [2, 3]]); a = convolve(x, reshape(k, [1, 1, 2, 2])); "
    graph = graph_of(body + "b = take(x, numbers([5, 0]), axis=2); out a, b")
    assert {(n.dtype, n.shape) for n in graph if n.op == "table"} == {
        ("f32", (1, 1, 2, 2)),
        ("i32", (2,)),
    }


@pytest.mark.parametrize("target", ["cpu", "interpret"])
def test_kernels_hold_the_numbers(target: str) -> None:
    values = np.random.default_rng(0).integers(-3, 4, (6, 6)).tolist()
    text = TEXT.format(body=f"  y = x*numbers({values})\n  out y, sum(y, axis=3)")
    program = weft.compile(weft.load_text(text, "test.weft"), target=target)
    x = np.random.default_rng(1).normal(size=(3, 1, 6, 6)).astype(np.float32)
    y, total = program.engine.forward("test", {"x": x}).values()
    np.testing.assert_array_equal(y, x * np.float32(values))
    np.testing.assert_allclose(total, (x * np.float32(values)).sum(3), rtol=1e-5, atol=1e-6)
    text = "".join(program.artifact.files.values())
    assert ("static const float weft_table_1[36]" in text) == (target == "cpu")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ("[[1, 2], [3]]", "`values[1]` is a list of 1, `values[0]` is a list of 2"),
        ("[[1, [2]], [3, 4]]", "`values[0][1]` is a list of 1, `values[0][0]` is a number"),
        ("[[[1, 2]], [[3, 4], [5, 6]]]", "`values[1]` is a list of 2 x 2, `values[0]` is a list"),
        ("[[1], []]", "`values[1]` is empty"),
        ("[1, true]", "`values[1]` must be a number, not true"),
        ('[["a"]]', '`values[0][0]` must be a number, not "a"'),
        ("[1, 3000000000]", "3000000000 in `values` does not fit into 32 bits"),
        (str([0.5] * (LISTED + 1)), f"at most {LISTED:,} can be listed"),
    ],
)
def test_lists_that_are_no_tensor(values: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        graph_of(f"out x*numbers({values})")
    (found,) = caught.value.diagnostics
    assert found.code == "E311"
    assert message in found.message


def test_a_long_table_is_printed_shortly() -> None:
    graph = graph_of(f"out x*numbers({list(range(6 * 6))})[:6]".replace("[:6]", "[3:9]"))
    (node,) = (node for node in graph if node.op == "table")
    assert node["values"] == (3, 4, 5, 6, 7, 8)
    graph = graph_of(f"out unsqueeze(x, axis=4)*numbers({list(range(40))})")
    (node,) = (node for node in graph if node.op == "table")
    assert "15, …]" in line(node).replace(".0", "") and len(line(node)) < 200
