"""Values made from nothing: counting, filling, random numbers."""

from __future__ import annotations

from collections.abc import Callable

from ..ir.types import Shape
from ..ops.leaves import LISTED
from .request import Refusal, Request, Result, shown
from .values import show


def _arange(r: Request) -> Result:
    return r.b.iota((r["n"],), 0)


def _linspace(r: Request) -> Result:
    count = r.b.cast(r.b.iota((r["n"],), 0), "f32")
    if not isinstance(r["n"], int):
        raise Refusal("E310", f"`n` must be a number, not the size {r['n']}")
    step = (r["stop"] - r["start"]) / max(r["n"] - 1, 1)
    return _scaled(r, count, step, r["start"])


def _scaled(r: Request, x: int, factor: float, offset: float) -> int:
    x = r.b.elementwise("mul", x, r.b.constant(float(factor)))
    return r.b.elementwise("add", x, r.b.constant(float(offset)))


def _filled(value: float | None) -> Callable[[Request], Result]:
    def build(r: Request) -> Result:
        number = r.b.constant(float(r["value"] if value is None else value))
        return r.b.broadcast(number, (), _shape(r))

    return build


def _shape(r: Request) -> Shape:
    """The shape given, or that of `like`."""
    if "like" in r.named:
        return r.b[r.named["like"]].shape
    if r["shape"] is None:
        raise Refusal(
            "E307", "needs `shape` or `like`", (), "for instance normal([B, 16]), normal(like=x)"
        )
    shape: Shape = tuple(r["shape"])
    if any(isinstance(e, int) and e < 0 for e in shape):
        raise Refusal("E408", f"{shown(shape)} is no shape")
    return shape


def _numbers(r: Request) -> Result:
    """A table; whole numbers are i32 unless there are others among them."""
    shape, flat = _listed(r["values"], ())
    if len(flat) > LISTED:
        raise Refusal(
            "E311",
            f"`values` holds {len(flat):,} numbers, at most {LISTED:,} can be listed",
            hint="larger tensors are data: give them as an input, or as a weight of a checkpoint",
        )
    whole = all(isinstance(v, int) for v in flat)
    large = next((v for v in flat if whole and abs(v) >= 1 << 31), None)
    if large is not None:
        raise Refusal("E311", f"{large} in `values` does not fit into 32 bits")
    return r.b.table(flat, shape, "i32" if whole else "f32")


def _listed(value: object, at: tuple[int, ...]) -> tuple[tuple[int, ...], list[float]]:
    """The shape and the numbers of a list of numbers, or of lists of them; `at`: where it stands.

    Raises: Refusal E311 naming the first entry that is something else, or of another shape.
    """
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return (), [value]
    name = "values" + "".join(f"[{k}]" for k in at)
    if not isinstance(value, tuple):
        raise Refusal("E311", f"`{name}` must be a number, not {show(value)}")
    if not value:
        raise Refusal("E311", f"`{name}` is empty", hint="numbers, or lists of numbers")
    rows = [_listed(entry, (*at, k)) for k, entry in enumerate(value)]
    first = rows[0][0]
    for k, (shape, _) in enumerate(rows):
        if shape != first:
            message = f"`{name}[{k}]` is {_shaped(shape)}, `{name}[0]` is {_shaped(first)}"
            raise Refusal("E311", message, hint="all lists of one level have the same length")
    return (len(value), *first), [number for _, flat in rows for number in flat]


def _shaped(shape: tuple[int, ...]) -> str:
    return f"a list of {' x '.join(map(str, shape))}" if shape else "a number"


def _normal(r: Request) -> Result:
    return _scaled(r, r.b.random("normal", _shape(r), r.stream()), r["std"], r["mean"])


def _uniform(r: Request) -> Result:
    x = r.b.random("uniform", _shape(r), r.stream())
    return _scaled(r, x, r["high"] - r["low"], r["low"])


def _randint(r: Request) -> Result:
    """floor(u n) + low; in float32 u n can round up to n, so the largest number is held."""
    count = r["high"] - r["low"]
    if count < 1:
        raise Refusal("E316", f"`high` must be above `low`, got {r['low']} and {r['high']}")
    drawn = _scaled(r, r.b.random("uniform", _shape(r), r.stream()), count, 0.0)
    below = r.b.elementwise("minimum", r.b.elementwise("floor", drawn), r.b.constant(count - 1.0))
    return r.b.cast(_scaled(r, below, 1.0, r["low"]), "i32")


LEAVES = (
    ("arange(; n:dim)", _arange, "0, 1, ... n - 1"),
    ("linspace(; start:number, stop:number, n:dim)", _linspace, "n numbers from start to stop"),
    ("numbers(; values:value)", _numbers, "a list of numbers, or lists of them, as a tensor"),
    ("zeros(; shape:dims=none)[like]", _filled(0.0), "zeros"),
    ("ones(; shape:dims=none)[like]", _filled(1.0), "ones"),
    ("full(; shape:dims, value:number)", _filled(None), "one number everywhere"),
    (
        "normal(; shape:dims=none, mean:number=0, std:number=1)[like]",
        _normal,
        "normally distributed random numbers",
    ),
    (
        "uniform(; shape:dims=none, low:number=0, high:number=1)[like]",
        _uniform,
        "random numbers, uniform in [low, high)",
    ),
    (
        "randint(; low:integer, high:integer, shape:dims)",
        _randint,
        "random whole numbers in [low, high)",
    ),
)
