"""The operations that the prelude is written in, one line each: signature, meaning, documentation.

Everything else is weft (`spec/prelude/*.weft`).  A signature reads as in `signature.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from .adaptive import ADAPTIVE
from .folding import FOLDING
from .pooling import POOLING
from .reductions import FOLDS
from .request import Request, Result, elementwise
from .resampling import RESAMPLING
from .sampling import LEAVES
from .shaping import SHAPING
from .signature import Signature, parse
from .states import STATES
from .windowing import WINDOWING


@dataclass(frozen=True, slots=True)
class Intrinsic:
    """An operation of the language that is not written in it."""

    signature: Signature
    build: Callable[[Request], Result]
    doc: str
    family: str

    @property
    def name(self) -> str:
        return self.signature.name


def _map(function: str) -> Callable[[Request], Result]:
    return lambda r: elementwise(r.b, function, r.x)


def _chain(function: str) -> Callable[[Request], Result]:
    def build(r: Request) -> Result:
        total = r.x[0]
        for x in r.x[1:]:
            total = elementwise(r.b, function, (total, x))
        return total

    return build


def _cast(r: Request) -> Result:
    return r.b.rounded(r.x[0], r["dtype"])


def _stop(r: Request) -> Result:
    return tuple(r.b.stop_gradient(x) for x in r.x)


_SCALAR = (
    ("exp(x;)", _map("exp"), "e to the power of x"),
    ("log(x;)", _map("log"), "the natural logarithm"),
    ("sqrt(x;)", _map("sqrt"), "the square root"),
    ("rsqrt(x;)", _map("rsqrt"), "1/sqrt(x)"),
    ("tanh(x;)", _map("tanh"), "the hyperbolic tangent"),
    ("sigmoid(x;)", _map("sigmoid"), "1/(1 + exp(-x))"),
    ("softplus(x;)", _map("softplus"), "log(1 + exp(x)), without overflow"),
    ("erf(x;)", _map("erf"), "the error function"),
    ("sin(x;)", _map("sin"), "the sine"),
    ("cos(x;)", _map("cos"), "the cosine"),
    ("abs(x;)", _map("abs"), "the absolute value"),
    ("sign(x;)", _map("sign"), "-1, 0 or 1"),
    ("floor(x;)", _map("floor"), "the largest whole number up to x"),
    ("round(x;)", _map("round"), "the nearest whole number, halves to even"),
    ("maximum(x, y;)", _map("maximum"), "the larger of two"),
    ("minimum(x, y;)", _map("minimum"), "the smaller of two"),
    ("pow(x, y;)", _map("pow"), "x to the power of y; `x**y`"),
    ("where(condition, a, b;)", _map("where"), "a where the condition holds, else b"),
    ("add(2*xs;)", _chain("add"), "the sum of all inputs"),
    ("mul(2*xs;)", _chain("mul"), "the product of all inputs"),
    ("identity(*xs;)", lambda r: r.x, "the inputs as they are"),
    ("stop_gradient(*xs;)", _stop, "the inputs, with no gradient through them"),
    (
        "cast(x; dtype:word|f16|bf16|f32|f64|i32|i64|bool)",
        _cast,
        "the same numbers as another element type; f16 and bf16 round, and stay f32",
    ),
)

_TABLE = {
    "scalar functions": _SCALAR,
    "reductions and products": FOLDS,
    "shapes": SHAPING,
    "windows": (*WINDOWING, *POOLING, *ADAPTIVE, *FOLDING, *RESAMPLING),
    "sequences and states": STATES,
    "new values": LEAVES,
}

INTRINSICS: Mapping[str, Intrinsic] = {
    parse(text).name: Intrinsic(parse(text), build, doc, family)
    for family, rows in _TABLE.items()
    for text, build, doc in rows
}
"""Every intrinsic by name."""
