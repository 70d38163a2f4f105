"""Operations that move elements and keep them: reshape, transpose, concat, pad, ..."""

from __future__ import annotations

from collections.abc import Sequence

from ...spec.dims import Dim, equal, exact_quotient, numel, sign
from ..ir.types import INTEGERS, Shape
from .rearrange import rearrange
from .request import Known, Refusal, Request, Result, agree, shown
from .values import show

PROMOTION = ("bool", "i32", "i64", "f16", "bf16", "f32", "f64")


def _reshape(r: Request) -> Result:
    shape: list[Dim] = list(r["shape"])
    have = numel(r.shape())
    if shape.count(-1) > 1:
        raise Refusal("E411", f"{shown(tuple(shape))} leaves more than one size open", (0,))
    if -1 in shape:
        rest = numel(e for e in shape if e != -1)
        open_size = exact_quotient(have, rest)
        if open_size is None:
            raise Refusal(
                "E411", f"{rest} does not divide the {have} elements of {shown(r.shape())}", (0,)
            )
        shape[shape.index(-1)] = open_size
    want = numel(shape)
    if agree(want, have):
        message = f"{shown(r.shape())} has {have} elements, {shown(tuple(shape))} has {want}"
        raise Refusal("E411", message, (0,))
    return r.b.reshape(r.x[0], shape)


def _flatten(r: Request) -> Result:
    start = r.axis(r["start"])
    return r.b.reshape(r.x[0], [*r.shape()[:start], numel(r.shape()[start:])])


def _transpose(r: Request) -> Result:
    rank = len(r.shape())
    if r["axes"] is None:
        if rank < 2:
            raise Refusal("E402", f"{shown(r.shape())} has no two axes to swap", (0,))
        return r.b.transpose(r.x[0], [*range(rank - 2), rank - 1, rank - 2])
    order = [r.axis(axis) for axis in r["axes"]]
    if sorted(order) != list(range(rank)):
        raise Refusal(
            "E416", f"{list(r['axes'])} does not order the {rank} axes of {shown(r.shape())}", (0,)
        )
    return r.b.transpose(r.x[0], order)


def _expand(r: Request) -> Result:
    shape: Shape = tuple(r["shape"])
    have = r.shape()
    offset = len(shape) - len(have)
    fits = offset >= 0 and all(e == 1 or equal(e, shape[i + offset]) for i, e in enumerate(have))
    if not fits:
        raise Refusal("E401", f"{shown(have)} does not broadcast to {shown(shape)}", (0,))
    return r.b.expand(r.x[0], shape)


def _squeeze(r: Request) -> Result:
    axis = r.axis(r["axis"])
    if r.shape()[axis] != 1:
        raise Refusal("E415", f"axis {axis} of {shown(r.shape())} is not 1", (0,))
    return r.b.squeeze(r.x[0], (axis,))


def _unsqueeze(r: Request) -> Result:
    return _insert_axis(r, r.x[0], r.axis(r["axis"], new=1))


def _insert_axis(r: Request, x: int, axis: int) -> int:
    shape = r.b[x].shape
    return r.b.reshape(x, [*shape[:axis], 1, *shape[axis:]])


def _promoted(r: Request) -> list[int]:
    dtype = max((r.type(i).dtype for i in range(len(r.x))), key=PROMOTION.index)
    return [r.b.cast(x, dtype) for x in r.x]


def _concat(r: Request) -> Result:
    axis = r.axis(r["axis"])
    _same_but(r, axis)
    return r.b.concat(_promoted(r), axis)


def _same_but(r: Request, axis: int | None) -> None:
    """All operands have the shape of the first, outside `axis`."""
    first = r.shape(0)
    outside = "" if axis is None else f" outside axis {axis}"
    for i in range(1, len(r.x)):
        shape = r.shape(i)
        if len(shape) != len(first):
            raise Refusal("E401", f"{shown(first)} and {shown(shape)} have different ranks", (0, i))
        for j, (e, f) in enumerate(zip(first, shape, strict=True)):
            if j != axis and agree(e, f):
                raise Refusal(
                    "E401", f"{shown(first)} and {shown(shape)} differ{outside}", (0, i), axis=j
                )


def _stack(r: Request) -> Result:
    axis = r.axis(r["axis"], new=1)
    _same_but(r, None)
    return r.b.concat([_insert_axis(r, x, axis) for x in _promoted(r)], axis)


def _split(r: Request) -> Result:
    axis, parts = r.axis(r["axis"]), r["parts"]
    extent = r.shape()[axis]
    if isinstance(parts, tuple):
        sizes: Sequence[Dim] = parts
        if agree(sum(sizes), extent):
            total = f"{' + '.join(map(str, sizes))} is {sum(sizes)}"
            raise Refusal("E409", f"{total}, axis {axis} of {shown(r.shape())} is {extent}", (0,))
    else:
        share = exact_quotient(extent, parts) if parts > 0 else None
        if share is None:
            raise Refusal(
                "E409", f"{parts} parts do not divide axis {axis} of {shown(r.shape())}", (0,)
            )
        sizes = [share] * parts
    pieces, start = [], 0
    for size in sizes:
        pieces.append(cut(r, r.x[0], axis, start, size))
        start = start + size  # type: ignore[assignment]
    return tuple(pieces)


def cut(r: Request, x: int, axis: int, start: Dim, size: Dim) -> int:
    """`size` entries of one axis from `start` on."""
    shape = r.b[x].shape
    starts = [start if i == axis else 0 for i in range(len(shape))]
    sizes = [size if i == axis else e for i, e in enumerate(shape)]
    return r.b.slice(x, starts, sizes, [1] * len(shape))


def _pad(r: Request) -> Result:
    widths = r["widths"] if isinstance(r["widths"], tuple) else (r["widths"],) * len(r.shape())
    if len(widths) != len(r.shape()):
        message = f"`widths` has {len(widths)} entries, {shown(r.shape())} {len(r.shape())} axes"
        raise Refusal("E402", message, (0,), "one entry for each axis: widths=[0, [1, 1]]")
    pairs = [w if isinstance(w, tuple) else (w, w) for w in widths]
    if not isinstance(r["widths"], tuple) and not isinstance(r.shape()[0], int):
        kept = min(2, len(widths) - 1)
        each = ", ".join(["0"] * kept + [show(r["widths"])] * (len(widths) - kept))
        message = f"one number for all axes of {shown(r.shape())} would pad the samples, too"
        raise Refusal("E402", message, (0,), f"a number for each axis: pad([{each}])")
    if r["mode"] != "constant":
        return continued(r, r.x[0], pairs, r["mode"])
    if any(isinstance(w, int) and w < 0 for pair in pairs for w in pair):
        raise Refusal("E408", "a width below 0", (0,), "cut with an index: x[:, 1:]")
    return r.b.pad(r.x[0], [low for low, _ in pairs], [high for _, high in pairs], r["value"])


def continued(r: Request, x: int, pad: Sequence[tuple[Dim, Dim]], mode: str, start: int = 0) -> int:
    """Axes from `start` on with elements of the operand around them.

    `reflect` mirrors without repeating the border, `replicate` repeats it, `circular` takes the
    other side.  Raises: Refusal E408 where the operand is too short.
    """
    for axis, (low, high) in enumerate(pad, start):
        x = _continued(r, x, axis, low, high, mode)
    return x


def _continued(r: Request, x: int, axis: int, low: Dim, high: Dim, mode: str) -> int:
    extent = r.b[x].shape[axis]
    if not (isinstance(low, int) and isinstance(high, int)):
        raise Refusal("E310", f"with mode={mode} the widths must be numbers")
    if min(low, high) < 0:
        raise Refusal("E408", "a width below 0", (0,), "cut with an index: x[:, 1:]")
    most = extent - 1 if mode == "reflect" else extent
    if mode != "replicate" and sign(most - max(low, high)) == -1:
        message = (
            f"a {mode} padding of {max(low, high)} does not fit axis {axis} of {shown(r.shape())}"
        )
        setting = "pad_mode" if "pad_mode" in r.settings else "mode"
        raise Refusal("E408", message, (0,), f"{setting}=replicate repeats the border", axis)
    pieces: list[int] = []
    for width, before in ((low, True), (high, False)):
        if not before:
            pieces.append(x)
        if mode == "circular":
            pieces += [cut(r, x, axis, extent - width if before else 0, width)] if width else []
        else:
            pieces += [cut(r, x, axis, at, 1) for at in _mirrored(extent, width, before, mode)]
    return r.b.concat(pieces, axis)


def _mirrored(extent: Dim, width: int, before: bool, mode: str) -> list[Dim]:
    """Which elements stand outside a border, in their order."""
    if mode == "replicate":
        return [0 if before else extent - 1] * width
    return [width - i if before else extent - 2 - i for i in range(width)]


def _position(r: Request) -> Result:
    return r.b.iota(r.shape(), r.axis(r["axis"]))


def _bounded(r: Request) -> Result:
    r.bounds(r.x[0], r["below"], r["ignore"])
    return r.x[0]


def _divides(r: Request) -> Result:
    extent, number = r.shape()[r.axis(r["axis"])], r["number"]
    return Known(number > 0 and exact_quotient(extent, number) is not None)


def _require(r: Request) -> Result:
    if not r["condition"]:
        message, values = r["message"], r["values"]
        listed = values if isinstance(values, tuple) else ()
        for value in listed:
            message = message.replace("{}", show(value), 1)
        about = (0,) if any(isinstance(value, tuple) for value in listed) else ()
        raise Refusal("E316", message, about, r["hint"])
    return r.x[0]


SHAPING = (
    ("reshape(x; shape:dims)", _reshape, "the same elements under another shape; one -1 is found"),
    ("flatten(x; start:axis=1)", _flatten, "the axes from `start` on as one"),
    (
        "transpose(x; axes:order=none)",
        _transpose,
        "the last two axes swapped, or all in this order",
    ),
    (
        "rearrange(x; pattern:text, **sizes)",
        rearrange,
        'split, order and join axes: rearrange("b c h w -> b (h w) c")',
    ),
    ("expand(x; shape:dims)", _expand, "repeated along axes of 1 and along new axes in front"),
    ("squeeze(x; axis:axis)", _squeeze, "without an axis of 1"),
    ("unsqueeze(x; axis:axis)", _unsqueeze, "with a new axis of 1"),
    ("concat(2*xs; axis:axis)", _concat, "one after the other along the axis"),
    ("stack(2*xs; axis:axis)", _stack, "one after the other along a new axis"),
    ("split(x; parts:parts, axis:axis=-1)", _split, "equal parts, or parts of these sizes"),
    (
        "pad(x; widths:widths, value:number=0, "
        "mode:word|constant|reflect|replicate|circular=constant)",
        _pad,
        "`value`, or by another mode elements of x, before and after each axis",
    ),
    ("position(x; axis:axis=-1)", _position, "for each element of x, its index along the axis"),
    (
        "bounded(x; below:dim, ignore:integer=none)",
        _bounded,
        "x; training checks that its numbers lie in [0, below), or are `ignore`",
    ),
    (
        "require(x; condition:flag, message:text, values:value=none, hint:text=none)",
        _require,
        "x; an error where the condition does not hold, with the values in place of each {}",
    ),
    ("shape(x;)", lambda r: Known(tuple(r.shape())), "the sizes of all axes, at compile time"),
    ("rank(x;)", lambda r: Known(len(r.shape())), "the number of axes, at compile time"),
    (
        "divides(x; number:integer, axis:axis)",
        _divides,
        "whether the number divides the axis, as far as that is known at compile time",
    ),
    (
        "is_integer(x;)",
        lambda r: Known(r.type().dtype in INTEGERS),
        "whether x holds whole numbers, at compile time",
    ),
)
