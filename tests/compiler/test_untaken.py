"""Text that does not run is read all the same: its names must mean something."""

from __future__ import annotations

import pytest

from weft.spec.errors import SpecError

from .built import program

NET = "param n=0, on=false\nnet a {{\n  in x: f32[B, 8]\n  {}\n}}\n"


def _codes(flow: str) -> list[tuple[str, int]]:
    try:
        program(NET.format(flow))
    except SpecError as error:
        return [(d.code, d.place.column if d.place else 0) for d in error.diagnostics]
    return []


@pytest.mark.parametrize(
    ("flow", "found"),
    [
        ("x -> if on { linaer(4) } -> linear(n + 1)", [("E302", 16)]),
        ("x -> if on { linear(m) } -> linear(n + 1)", [("E301", 23)]),
        ("x -> if on { linear(4, bais=false) } -> linear(n + 1)", [("E304", 26)]),
        ("x -> if not on { linear(n + 1) } else { add(y) -> rleu }", [("E301", 47), ("E302", 53)]),
        ("x -> if on { linear(4) -> residual { tahn } } -> linear(n + 1)", [("E301", 40)]),
        ("x -> if on { linear(k) } else { linear(l) }", [("E301", 23), ("E301", 42)]),
        ("x -> repeat n as i { linear(i + j) }", [("E301", 35)]),
        ("x -> linear(m if on else n + 1)", [("E301", 15)]),
        ("x -> linear(n + 1, weight_init=zeros() if not on else nromal())", [("E302", 57)]),
        ("x -> gelu(approximate=none if not on else tahn) -> linear(n + 1)", [("E301", 45)]),
        ("x -> if on { for w in widths { linear(w) } } -> linear(n + 1)", [("E301", 25)]),
    ],
)
def test_wrong_names(flow: str, found: list[tuple[str, int]]) -> None:
    if "on" not in flow:
        flow = f"{flow} -> if on {{ relu }}"
    assert _codes(flow) == found


@pytest.mark.parametrize(
    "flow",
    [
        "x -> if on { linear(n + 4) as h -> add(h) } -> linear(n + 1)",
        "x -> if on { for w in [4, n] { linear(w) } } -> linear(n + 1)",
        "x -> if on { sum(axis=all) } -> linear(n + 1)",
        "x -> if on { gelu(approximate=tanh) } -> linear(n + 1)",
        "x -> if on { linear(B, weight_init=normal(std=0.1)) } -> linear(n + 1)",
        "x -> if on { linear(len([1, 2]) + max(n, 2)) } -> linear(n + 1)",
        "x -> if on { if training { dropout(0.5) } } -> linear(n + 1)",
        "x -> repeat n as i { linear(i + 1) } -> if on { relu }",
        "x -> linear(n + 1, bias_init=normal(std=0.1) if on else zeros())",
        "x -> gelu(tanh if on else none) -> linear(n + 1)",
        "x -> linear(2 if on else n + 1 if not on else 3)",
        "x -> if on { gelu(tanh if on else none) } -> linear(n + 1)",
        "x -> if on { (x -> cast(bf16) -> cast(f32)) } -> linear(n + 1)",
        "x -> if on { x[:, :n] -> concat(x, axis=1) } -> linear(n + 1)",
    ],
)
def test_right_names(flow: str) -> None:
    assert _codes(flow) == []


def test_blocks_that_end_by_an_if() -> None:
    text = NET.format("x -> Down(8) -> if on { relu } -> linear(n + 1)")
    program(text + "block Down(k) { if k > 1 { linear(k//2) -> Down(k//2) } }\n")
