"""Symbolic dims against plain integers: whatever is computed symbolically has the same value."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from weft.spec.dims import (
    Dim,
    Polynomial,
    bounds,
    c_expression,
    equal,
    evaluate,
    exact_quotient,
    multiples,
    numel,
    python_expression,
    readable,
    shape_text,
    sign,
    substitute,
    symbol,
    symbols,
)

MULTIPLES = {"B": 1, "T": 1, "H": 4}
B, T, H, W = symbol("B"), symbol("T"), symbol("H", 4), symbol("W")

OPERATIONS: dict[str, Callable[[Dim, Dim], Dim]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "//": lambda a, b: a // b,
    "%": lambda a, b: a % b,
}

leaves = st.one_of(st.integers(-6, 9), st.sampled_from(sorted(MULTIPLES)))
formulas = st.recursive(
    leaves, lambda inner: st.tuples(st.sampled_from(sorted(OPERATIONS)), inner, inner), max_leaves=7
)
sizes = st.fixed_dictionaries(
    {"B": st.integers(1, 9), "T": st.integers(1, 9), "H": st.integers(1, 5).map(lambda n: 4 * n)}
)


def compute(formula: object, leaf: Callable[[object], Dim]) -> Dim:
    """The formula over dims or over ints, by what its leaves become."""
    if isinstance(formula, tuple):
        operator, left, right = formula
        return OPERATIONS[operator](compute(left, leaf), compute(right, leaf))
    return leaf(formula)


def number_of(leaf: object, numbers: dict[str, int]) -> int:
    return numbers[leaf] if isinstance(leaf, str) else leaf  # type: ignore[return-value]


def symbolic(leaf: object) -> Dim:
    return symbol(leaf, MULTIPLES[leaf]) if isinstance(leaf, str) else leaf  # type: ignore[return-value]


@settings(max_examples=400, deadline=None)
@given(formulas, sizes)
def test_every_operation_is_that_of_integers(formula: object, numbers: dict[str, int]) -> None:
    try:
        wanted = compute(formula, lambda leaf: number_of(leaf, numbers))
        dim = compute(formula, symbolic)
    except ZeroDivisionError:
        assume(False)
    assert evaluate(dim, numbers) == wanted
    assert eval(python_expression(dim), {}, dict(numbers)) == wanted
    low, high = bounds(dim)
    assert low is None or low <= wanted
    assert high is None or wanted <= high
    assert sign(dim) in (None, (wanted > 0) - (wanted < 0))


@settings(max_examples=100, deadline=None)
@given(formulas, sizes, sizes)
def test_substitution_then_evaluation_is_evaluation(
    formula: object, numbers: dict[str, int], others: dict[str, int]
) -> None:
    try:
        dim = compute(formula, symbolic)
        moved = substitute(dim, {"B": symbol("T") + 1, "H": 8})
        wanted = evaluate(dim, {"B": others["T"] + 1, "T": others["T"], "H": 8})
    except ZeroDivisionError:
        assume(False)
    assert evaluate(moved, others) == wanted


def test_equal_dims_have_one_form() -> None:
    assert (2 * B) // 2 == B
    assert B * T == T * B
    assert (B + 1) * (B - 1) == B**2 - 1
    assert H // 2 * 2 == H
    assert H % 4 == 0
    assert W % 4 + 4 * (W // 4) == W
    assert ((W + 1) // 2 + 1) // 2 == (W + 3) // 4
    assert (W - 2) // 2 + 1 == W // 2
    assert (B * T * W) // (B * T) == W
    assert (6 * B) // 4 == (3 * B) // 2
    assert B - B == 0 and isinstance(B - B, int)
    assert hash((2 * B) // 2) == hash(B)


def test_different_dims_differ() -> None:
    assert W // 2 * 2 != W
    assert B + 1 != B
    assert symbol("H") != symbol("H", 8)
    assert equal(B, B + 1) is False
    assert equal(B, T) is None
    assert equal(2 * B, B + B) is True


@pytest.mark.parametrize(
    ("dim", "shown"),
    [
        (B * T, "B*T"),
        (H // 2, "H//2"),
        (W // 2 + 1, "W//2 + 1"),
        (3 - W, "3 - W"),
        (W % 8, "W%8"),
        (B * (W // 2), "B*(W//2)"),
        (-(W // 2), "-(W//2)"),
        (3 * H // 4, "3*H//4"),
        (B**2, "B**2"),
        (symbol("H", 8) // 16, "H//16"),
    ],
)
def test_dims_read_like_arithmetic(dim: Dim, shown: str) -> None:
    assert str(dim) == shown


def test_wrong_sizes_are_errors() -> None:
    with pytest.raises(ValueError, match="H must be a multiple of 4, got 6"):
        evaluate(H * 2, {"H": 6})
    with pytest.raises(KeyError):
        evaluate(B + T, {"B": 1})
    with pytest.raises(ValueError, match="multiple of 4, got W"):
        substitute(H, {"H": W})
    with pytest.raises(ZeroDivisionError):
        _ = B // 0
    with pytest.raises(TypeError):
        _ = B * 0.5  # type: ignore[operator]
    with pytest.raises(ValueError, match="not a size"):
        symbol("B", 0)


def test_facts_about_dims() -> None:
    assert symbols(B * T + W // 2) == {"B", "T", "W"}
    assert multiples(B * H) == {"B": 1, "H": 4}
    assert numel((B, T, 4)) == 4 * B * T
    assert numel(()) == 1
    assert exact_quotient(6 * B, 4) is None
    assert exact_quotient(H * B, 4) == H // 4 * B
    assert exact_quotient(B, 0) is None
    assert bounds(H) == (4, None)
    assert isinstance(B, Polynomial)
    assert evaluate(7, {}) == 7
    assert python_expression(B * H, {"B": "batch"}) == "batch*H"


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
def test_c_expressions_agree_with_python(tmp_path: Path) -> None:
    dims: list[Dim] = [
        (B - T) // 3,
        (W + 1) // 2 - B,
        H // 2 * B,
        (T - 5) // W,
        W % 8 - (2 - B) // 2,
    ]
    lines = "".join(f'printf("%ld ", (long)({c_expression(dim)}));' for dim in dims)
    loops = "for(long B=1;B<6;B++)for(long T=1;T<6;T++)for(long W=1;W<6;W++)for(long H=4;H<9;H+=4)"
    source = tmp_path / "dims.c"
    source.write_text(f"#include <stdio.h>\nint main(void){{{loops}{{{lines}}}return 0;}}")
    subprocess.run(["cc", "-O0", "-o", tmp_path / "dims", source], check=True)
    printed = subprocess.run([tmp_path / "dims"], check=True, capture_output=True, text=True).stdout
    wanted = [
        evaluate(dim, {"B": b, "T": t, "W": w, "H": h})
        for b in range(1, 6)
        for t in range(1, 6)
        for w in range(1, 6)
        for h in (4, 8)
        for dim in dims
    ]
    assert [int(number) for number in printed.split()] == wanted


@pytest.mark.parametrize(
    ("dim", "shown"),
    [
        (H // 2, "H/2"),
        (H // 8, "H//8"),
        (W // 2, "W//2"),
        (3 * H // 4 + 1, "3*H/4 + 1"),
        (((W + 2 * 3 - 7) // 2 + 1 + 2 - 3) // 2 + 1, "(W + 3)//4"),
        (((H - 1) // 2 + 1 - 1) // 2 + 1, "H/4"),
        ((W // 2) // 2, "W//4"),
        ((2 * W) // 2, "W"),
    ],
)
def test_people_read_exact_divisions(dim: Dim, shown: str) -> None:
    assert readable(dim) == shown
    assert shape_text((B, 64, dim)) == f"[B, 64, {shown}]"


def test_bounds_know_that_a_part_is_not_more_than_the_whole() -> None:
    for whole, part in ((W, W // 3), (W, (W + 1) // 2), (H, 3 * (H // 8)), (W * T, (W * T) // 2)):
        low, _ = bounds(whole - part)
        assert low is not None and low >= 0
        _, high = bounds(part - whole)
        assert high is not None and high <= 0
    assert bounds(W // 2 - W // 3)[0] == 0
    assert bounds(W // 3 - W // 2)[0] is None


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-4, 4), st.integers(0, 5), st.integers(1, 6)), max_size=4),
    st.integers(1, 60),
)
def test_bounds_hold(terms: list[tuple[int, int, int]], number: int) -> None:
    dim: Dim = 0
    for factor, shift, divisor in terms:
        dim = dim + factor * ((W + shift) // divisor)
    low, high = bounds(dim)
    value = evaluate(dim, {"W": number})
    assert low is None or low <= value
    assert high is None or value <= high
