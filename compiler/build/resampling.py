"""Other sizes: pixels repeated, blended, stretched, or left out; sums over neighbours."""

from __future__ import annotations

from functools import reduce

from ...spec.dims import Dim, exact_quotient, sign
from ..ir.builder import Builder
from ..ir.types import Shape
from .request import Refusal, Request, Result, shown
from .shaping import continued, cut
from .windowing import each, spatial

SLOPE = -0.75  # of the cubic at distance 1, as in PyTorch and OpenCV

def _repeat_pixels(r: Request) -> Result:
    """[B, C, H, W] -> [B, C, H, s, W, s], repeated along the new axes -> [B, C, H s, W s]."""
    scales = each(r, "scale", spatial(r))
    batch, channels, *space = r.shape()
    wide: list[Dim] = [batch, channels]
    whole: list[Dim] = [batch, channels]
    for extent, scale in zip(space, scales, strict=True):
        wide += [extent, scale]
        whole.append(extent * scale)
    kept = (0, 1, *range(2, len(wide), 2))
    return r.b.reshape(r.b.broadcast(r.x[0], kept, tuple(wide)), whole)


def _blend(r: Request) -> Result:
    """Every new pixel between the centres of old ones; the border continues itself."""
    x = r.real()
    along = _between_four if r["mode"] == "bicubic" else _between_two
    for axis, scale in enumerate(each(r, "scale", spatial(r)), 2):
        if scale > 1:
            x = _dealt(r, along(r, x, axis, scale), axis)
    return x


def _between_two(r: Request, x: int, axis: int, scale: int) -> list[int]:
    """The new pixels of each phase, which lie alike between the old ones."""
    b, extent = r.b, r.b[x].shape[axis]
    before = b.concat([cut(r, x, axis, 0, 1), cut(r, x, axis, 0, extent - 1)], axis)
    after = b.concat([cut(r, x, axis, 1, extent - 1), cut(r, x, axis, extent - 1, 1)], axis)
    phases = []
    for phase in range(scale):
        shift = _shift(phase, scale)
        other = before if shift < 0 else after
        near = b.map("mul", x, 1.0 - abs(shift))
        phases.append(b.map("add", near, b.map("mul", other, abs(shift))) if shift else x)
    return phases


def _between_four(r: Request, x: int, axis: int, scale: int) -> list[int]:
    """Two old pixels on each side, by the cubic of their distance."""
    b, extent = r.b, r.b[x].shape[axis]
    wide = continued(r, x, [(2, 2)], "replicate", axis)
    near = [cut(r, wide, axis, start, extent) for start in range(5)]
    phases = []
    for phase in range(scale):
        shift = _shift(phase, scale)
        weights = [_cubic(abs(shift - place)) for place in range(-2, 3)]
        parts = [b.map("mul", x, w) for x, w in zip(near, weights, strict=True) if w]
        phases.append(reduce(lambda one, other: b.map("add", one, other), parts))
    return phases


def _shift(phase: int, scale: int) -> float:
    """How far a new pixel lies behind the centre of the old one it is made for, in old pixels."""
    return (phase + 0.5) / scale - 0.5


def _cubic(distance: float) -> float:
    """The weight of a pixel at this distance.

    Source: Keys, "Cubic convolution interpolation for digital image processing", 1981.
    """
    d = distance
    if d >= 2:
        return 0.0
    near = ((SLOPE + 2) * d - (SLOPE + 3)) * d * d + 1
    return near if d <= 1 else (((d - 5) * d + 8) * d - 4) * SLOPE


def _dealt(r: Request, phases: list[int], axis: int) -> int:
    """Pixels of all phases in turn along the axis."""
    b, shape = r.b, r.b[phases[0]].shape
    apart = [b.reshape(p, [*shape[: axis + 1], 1, *shape[axis + 1 :]]) for p in phases]
    joined = b.concat(apart, axis + 1)
    return b.reshape(joined, [*shape[:axis], shape[axis] * len(phases), *shape[axis + 1 :]])


def _stretch(r: Request) -> Result:
    """Corner pixels stay corner pixels."""
    scales = each(r, "scale", spatial(r))
    sizes = tuple(e * s for e, s in zip(r.shape()[2:], scales, strict=True))
    return _resampled(r, sizes, r["mode"], corners=True)


def _resize(r: Request) -> Result:
    """Blended to given sizes, each new pixel at its place between the old centres."""
    mode, corners = r["mode"], r["align_corners"]
    if mode == "nearest" and corners:
        message = "`align_corners` is a setting of mode=bilinear and mode=bicubic"
        raise Refusal("E316", message)
    return _resampled(r, each(r, "size", spatial(r)), mode, corners=corners)


def _resampled(r: Request, sizes: Shape, mode: str, *, corners: bool) -> int:
    """A product with a matrix of weights along each axis whose size changes."""
    x = r.real()
    for axis, size in enumerate(sizes, 2):
        if r.b[x].shape[axis] != size:
            whole = _by_whole_steps(r, x, axis, size) if mode == "nearest" else None
            x = _along(r, x, axis, size, mode, corners) if whole is None else whole
    return x


def _by_whole_steps(r: Request, x: int, axis: int, size: Dim) -> int | None:
    """The nearest pixels where one size divides the other: each repeated, or every so many."""
    b, shape = r.b, r.b[x].shape
    many, few = exact_quotient(size, shape[axis]), exact_quotient(shape[axis], size)
    if isinstance(many, int):
        kept = [d for d in range(len(shape) + 1) if d != axis + 1]
        wide = b.broadcast(x, kept, (*shape[: axis + 1], many, *shape[axis + 1 :]))
        return b.reshape(wide, [*shape[:axis], size, *shape[axis + 1 :]])
    if isinstance(few, int):
        sizes = [*shape[:axis], size, *shape[axis + 1 :]]
        steps = [few if d == axis else 1 for d in range(len(shape))]
        return b.slice(x, [0] * len(shape), sizes, steps)
    return None


def _along(r: Request, x: int, axis: int, size: Dim, mode: str, corners: bool) -> int:
    b, extent = r.b, r.b[x].shape[axis]
    shape = (size, extent)
    new, old = (b.cast(b.iota(shape, k), "f32") for k in (0, 1))
    large, small = (b.broadcast(b.size(e), (), shape) for e in (size, extent))
    if mode == "nearest":
        place = b.map("add", b.map("mul", new, small), 0.5)  # rounding crosses no whole number
        place = b.map("floor", b.map("div", place, large))
    elif corners:
        steps = b.map("maximum", b.map("sub", large, 1.0), 1.0)
        place = b.map("div", b.map("mul", new, b.map("sub", small, 1.0)), steps)
    else:
        place = b.map("div", b.map("mul", b.map("add", new, 0.5), small), large)
        last = b.map("sub", small, 1.0)
        place = b.map("sub", place, 0.5)
        if mode == "bilinear":
            place = b.map("minimum", b.map("maximum", place, 0.0), last)
    if mode == "bicubic":
        weights = _cubic_weights(b, place, old, small)
    else:
        distance = b.map("abs", b.map("sub", place, old))
        near = b.map("sub", b.constant(1.0), distance)
        weights = b.map("maximum", near, 0.0, name="weights")
    letters = "abcdefgh"[: len(b[x].shape)]
    result = letters.replace(letters[axis], "o")
    return b.contract(f"o{letters[axis]},{letters}->{result}", weights, x, name="resized")


def _cubic_weights(b: Builder, place: int, old: int, small: int) -> int:
    """The cubic of the distance; the border also has the weights of all that would lie beyond."""
    last = b.map("sub", small, 1.0)
    base = b.map("floor", place)
    past = b.map("sub", place, base)
    total = b.constant(0.0)
    for step in range(-1, 3):
        distance = b.map("abs", b.map("sub", past, float(step)))
        seen = b.map("add", base, float(step))
        seen = b.map("minimum", b.map("maximum", seen, 0.0), last)
        weight = _cubic_of(b, distance, near=step in (0, 1))
        total = b.map("add", total, b.map("where", b.map("eq", seen, old), weight, 0.0))
    return b.rename(total, "weights")


def _cubic_of(b: Builder, d: int, *, near: bool) -> int:
    """`_cubic` of a tensor of distances, all up to 1 or all from there on."""
    if near:
        inner = b.map("sub", b.map("mul", d, SLOPE + 2), SLOPE + 3)
        return b.map("add", b.map("mul", inner, b.map("mul", d, d)), 1.0)
    inner = b.map("add", b.map("mul", b.map("sub", d, 5.0), d), 8.0)
    return b.map("mul", b.map("sub", b.map("mul", inner, d), 4.0), SLOPE)


def _window_sum(r: Request) -> Result:
    """The neighbours along one axis added up, each entry with as many on both sides."""
    axis, size = r.axis(r["axis"]), r["size"]
    if size < 1:
        raise Refusal("E311", f"`size` must be at least 1, not {size}")
    shape = r.shape()
    low = [size // 2 if i == axis else 0 for i in range(len(shape))]
    high = [(size - 1) // 2 if i == axis else 0 for i in range(len(shape))]
    padded = r.b.pad(r.real(), low, high)
    total = cut(r, padded, axis, 0, shape[axis])
    for start in range(1, size):
        total = r.b.map("add", total, cut(r, padded, axis, start, shape[axis]))
    return total


def _middle(r: Request) -> Result:
    """As much in front as behind, one less where that is odd."""
    sizes = each(r, "size", spatial(r))
    shape = r.shape()
    starts: list[Dim] = [0, 0]
    for axis, (extent, size) in enumerate(zip(shape[2:], sizes, strict=True), 2):
        if sign(extent - size) == -1:
            message = f"a size of {size} does not fit axis {axis} of {shown(shape)}"
            raise Refusal("E408", message, (0,), "a smaller size, or `pad` first", axis)
        starts.append((extent - size) // 2)
    return r.b.slice(r.x[0], starts, (*shape[:2], *sizes), [1] * len(shape))


RESAMPLING = (
    ("repeat_pixels(x; scale:sizes)", _repeat_pixels, "every pixel `scale` times along each axis"),
    (
        "blend(x; scale:sizes, mode:word|bilinear|bicubic=bilinear)",
        _blend,
        "`scale` times as large, between pixel centres (PyTorch's align_corners=False)",
    ),
    (
        "stretch(x; scale:sizes, mode:word|bilinear|bicubic=bilinear)",
        _stretch,
        "`scale` times as large, between pixels, corners on corners (PyTorch's align_corners=True)",
    ),
    (
        "resize(x; size:extents, mode:word|nearest|bilinear|bicubic=bilinear, "
        "align_corners:flag=false)",
        _resize,
        "any spatial sizes, linearly or by cubics between pixels, or those of the nearest",
    ),
    ("middle(x; size:extents)", _middle, "the middle of the spatial axes, at a given size"),
    (
        "window_sum(x; size:integer, axis:axis)",
        _window_sum,
        "the sum over `size` neighbours along an axis, zeros outside",
    ),
)
