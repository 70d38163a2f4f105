"""Compile-time values: what expressions give, and what they refuse."""

from __future__ import annotations

import math
import operator as python
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.spec.dims import symbol
from weft.spec.errors import SpecError
from weft.spec.read_weft import read_expression
from weft.spec.static import NotStatic, Value, evaluate

H = symbol("H")
ARITHMETIC: dict[str, Callable[[int, int], float]] = {
    "+": python.add,
    "-": python.sub,
    "*": python.mul,
    "//": python.floordiv,
    "%": python.mod,
    "/": python.truediv,
}
TENSOR = object()
NAMES: dict[str, object] = {
    "a": 3,
    "w": (64, 128),
    "deep": True,
    "word": "tanh",
    "H": H,
    "H8": symbol("H", 8),
    "C": 64,
    "t": TENSOR,
    "width": 1,
}


def value(text: str) -> Value:
    return evaluate(read_expression(text, "here"), NAMES)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("1 + 2*3", 7),
        ("-a**2", -9),
        ("2**-1", 0.5),
        ("7 % -3", -2),
        ("7//2", 3),
        ("1/4", 0.25),
        ("w[:-1]", (64,)),
        ("w[-1]", 128),
        ("[[1, 2], [3]][0][1]", 2),
        ("[[1, 2], [3]][0, 1]", 2),
        ("len(w) + 1", 3),
        ("w + [1]", (64, 128, 1)),
        ("[a]*2", (3, 3)),
        ('"a" + "b"', "ab"),
        ("(1, 2)", (1, 2)),
        ("w == [64, 128]", True),
        ("1 == true", False),
        ("1 == 1.0", True),
        ('word == "tanh"', True),
        ("not deep or a > 2 and a != 4", True),
        ("deep or 1/0 > 0", True),
        ("not deep and 1/0 > 0", False),
        ("max(w)", 128),
        ("min(3, 2.5)", 2.5),
        ("abs(-3)", 3),
        ("round(2.567, 1)", 2.6),
        ("floor(-2.5)", -3),
        ("ceil(2.1)", 3),
        ("range(1, 7, 2)", (1, 3, 5)),
        ("sqrt(16)", 4.0),
        ("exp(0) + log(1)", 1.0),
        ("H//2 + 1", H // 2 + 1),
        ("H8 % 8 == 0", True),
        ("H > 0", True),
        ("H < H + 1", True),
        ("H != H + 1", True),
        ("C != 64", False),
        ("sum(w)", 192),
        ("sum(w[:0])", 0),
        ("sum(a, 0.5)", 3.5),
        ("sum([H, 2])", H + 2),
        ("1 if deep else nothing", 1),
        ("word if not deep else a if a > 2 else w", 3),
        ("[H if a < 0 else C][0]", 64),
        ("max(H, H + 2)", H + 2),
        ("abs(-H)", H),
    ],
)
def test_values(text: str, wanted: Value) -> None:
    found = value(text)
    assert found == wanted
    assert type(found) is type(wanted)


@pytest.mark.parametrize(
    ("text", "code", "column"),
    [
        ("widht", "E301", 1),
        ("1 + nothing", "E301", 5),
        ("H == 3", "E310", 1),
        ("deep and H == 3", "E310", 10),
        ("true + 1", "E311", 1),
        ("1 + [2]", "E311", 1),
        ("-word", "E311", 1),
        ("not a", "E311", 1),
        ('a < "x"', "E311", 1),
        ("H/2", "E311", 1),
        ("H*0.5", "E311", 1),
        ("(-8)**0.5", "E311", 1),
        ("a[0]", "E311", 1),
        ("w[1.0]", "E311", 1),
        ("w[true]", "E311", 1),
        ("w[0.5:]", "E311", 3),
        ("len(3)", "E311", 1),
        ("min([])", "E311", 1),
        ("min(H, 3*C)", "E311", 1),
        ("sum(word)", "E311", 1),
        ("sum([H, 0.5])", "E311", 1),
        ("1 if a else 2", "E311", 6),
        ("nothing if deep else 2", "E301", 1),
        ("abs(H - C)", "E311", 1),
        ("range(0.5)", "E311", 1),
        ("range(10**9)", "E311", 1),
        ("a/0", "E312", 1),
        ("a//0", "E312", 1),
        ("a%0", "E312", 1),
        ("0**-1", "E312", 1),
        ("H//0", "E312", 1),
        ("2**64", "E313", 1),
        ("2**3000000000", "E313", 1),
        ("(2**62)*4", "E313", 1),
        ("9999999999999999999999", "E313", 1),
        ("1e308*10", "E313", 1),
        ("10.0**400", "E313", 1),
        ("H**100", "E313", 1),
        ("log(0)", "E313", 1),
        ("exp(1000)", "E313", 1),
        ("[0]*100000000", "E313", 1),
        ("w[2]", "E314", 1),
        ("len()", "E315", 1),
        ("sqrt(1, 2)", "E315", 1),
    ],
)
def test_refusals(text: str, code: str, column: int) -> None:
    with pytest.raises(SpecError) as caught:
        value(text)
    (found,) = caught.value.diagnostics
    assert (found.code, found.place and found.place.column) == (code, column), str(found)


def test_a_close_name_is_suggested() -> None:
    with pytest.raises(SpecError) as caught:
        value("widht")
    assert caught.value.diagnostics[0].hint == "did you mean `width`?"


@pytest.mark.parametrize(
    ("text", "column"),
    [("t", 1), ("1 + t", 5), ("abs(t)", 5), ("relu(3)", 1), ("w.x", 1), ("(w -> f)", 1)],
)
def test_what_is_no_value_is_a_signal_not_an_error(text: str, column: int) -> None:
    with pytest.raises(NotStatic) as caught:
        value(text)
    assert caught.value.expr.place.column == column


@given(
    st.integers(-(10**6), 10**6),
    st.integers(-(10**6), 10**6),
    st.sampled_from(["+", "-", "*", "//", "%", "/"]),
)
def test_arithmetic_is_pythons(left: int, right: int, operator: str) -> None:
    tree = read_expression(f"({left}) {operator} ({right})", "here")
    if operator in ("//", "%", "/") and right == 0:
        with pytest.raises(SpecError, match="E312"):
            evaluate(tree, {})
    else:
        assert evaluate(tree, {}) == ARITHMETIC[operator](left, right)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_keep_their_value(number: float) -> None:
    assert evaluate(read_expression(f"0 - {abs(number)!r}", "here"), {}) == -abs(number)
    assert math.isfinite(number)
